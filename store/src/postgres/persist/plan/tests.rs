//! Contests of a group with itself and with the store.

use types::event;

use super::*;

fn competitor(id: &str, body: &str) -> AdmittedEvent {
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

fn holder(seq: u64, body: &str) -> Holder {
    let hash = event::hash(body.as_bytes());
    let body = body.as_bytes().to_vec();
    Holder {
        at: at(seq),
        hash,
        body,
        effective_at: 7,
        local_day: "2026-03-02".to_owned(),
    }
}

fn contest(entries: &[(u64, AdmittedEvent)]) -> Contest<'_> {
    let entries = entries
        .iter()
        .map(|(seq, event)| Entry {
            at: at(*seq),
            event,
        })
        .collect();
    Contest {
        developer: "ada",
        entries,
    }
}

/// One letter a submission: new, own, takes, duplicate, conflict; and the seq of the original.
fn story(contest: &Contest<'_>, holder: Option<&Holder>) -> Vec<(char, u64)> {
    let fates = contest.fates(holder).into_iter();
    fates
        .map(|(entry, fate)| match fate {
            Fate::New => ('n', entry.at.seq),
            Fate::Own => ('o', entry.at.seq),
            Fate::Takes(holder) => ('t', holder.at.seq),
            Fate::Loses {
                loser: Loser::Duplicate { .. },
                original,
            } => ('d', original.seq),
            Fate::Loses {
                loser: Loser::Conflict,
                original,
            } => ('c', original.seq),
        })
        .collect()
}

#[test]
fn the_lowest_submission_holds_the_id_and_the_others_are_judged_beside_it() {
    let entries = [
        (3, competitor("e", r#"{"n":1}"#)),
        (5, competitor("e", r#"{ "n":1}"#)),
        (6, competitor("e", r#"{"n":2}"#)),
    ];
    let group = contest(&entries);
    assert_eq!(story(&group, None), [('n', 3), ('d', 3), ('c', 3)]);
    assert_eq!(
        story(&group, Some(&holder(2, r#"{"n":2}"#))),
        [('c', 2), ('c', 2), ('d', 2)]
    );
    assert_eq!(
        story(&group, Some(&holder(4, r#"{"n":2}"#))),
        [('t', 4), ('d', 3), ('c', 3)]
    );
    assert_eq!(
        story(&group, Some(&holder(3, r#"{"n":1}"#))),
        [('o', 3), ('d', 3), ('c', 3)]
    );
}
