//! Dedup resolution within a group and with the store.

use types::event;

use super::*;

fn admitted_event(id: &str, body: &str) -> AdmittedEvent {
    AdmittedEvent {
        ordinal: 0,
        id: id.to_owned(),
        kind: "heartbeat".to_owned(),
        schema_version: "1.0".to_owned(),
        effective_at: 0,
        local_day: "2026-03-01".to_owned(),
        body: body.as_bytes().to_vec(),
        hash: event::hash(body.as_bytes()),
    }
}

fn at(seq: u64) -> EventRef {
    EventRef {
        src: 1,
        seq,
        ordinal: 0,
    }
}

fn owner(seq: u64, body: &str) -> CurrentOwner {
    let hash = event::hash(body.as_bytes());
    let body = body.as_bytes().to_vec();
    CurrentOwner {
        at: at(seq),
        hash,
        body,
        effective_at: 7,
        local_day: "2026-03-02".to_owned(),
    }
}

fn group(candidates: &[(u64, AdmittedEvent)]) -> CandidateGroup<'_> {
    let candidates = candidates
        .iter()
        .map(|(seq, event)| GroupCandidate {
            at: at(*seq),
            developer: "ada",
            event,
        })
        .collect();
    CandidateGroup { candidates }
}

/// Of each submission the initial of its outcome (new, own, supersedes, duplicate, conflict) and the seq of its
/// original.
fn outcomes(group: &CandidateGroup<'_>, owner: Option<&CurrentOwner>) -> Vec<(char, u64)> {
    group
        .outcomes(owner)
        .into_iter()
        .map(|(candidate, outcome)| match outcome {
            CandidateOutcome::New => ('n', candidate.at.seq),
            CandidateOutcome::Own => ('o', candidate.at.seq),
            CandidateOutcome::Supersedes(owner) => ('s', owner.at.seq),
            CandidateOutcome::Displaced {
                displaced: Displacement::Duplicate { .. },
                original,
            } => ('d', original.seq),
            CandidateOutcome::Displaced {
                displaced: Displacement::Conflict,
                original,
            } => ('c', original.seq),
        })
        .collect()
}

#[test]
fn the_lowest_candidate_owns_the_id_and_the_others_are_compared() {
    let candidates = [
        (3, admitted_event("e", r#"{"n":1}"#)),
        (5, admitted_event("e", r#"{ "n":1}"#)),
        (6, admitted_event("e", r#"{"n":2}"#)),
    ];
    let group = group(&candidates);
    assert_eq!(outcomes(&group, None), [('n', 3), ('d', 3), ('c', 3)]);
    assert_eq!(
        outcomes(&group, Some(&owner(2, r#"{"n":2}"#))),
        [('c', 2), ('c', 2), ('d', 2)]
    );
    assert_eq!(
        outcomes(&group, Some(&owner(4, r#"{"n":2}"#))),
        [('s', 4), ('d', 3), ('c', 3)]
    );
    assert_eq!(
        outcomes(&group, Some(&owner(3, r#"{"n":1}"#))),
        [('o', 3), ('d', 3), ('c', 3)]
    );
}
