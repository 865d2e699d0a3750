//! The oracle finds each kind of damage to a sound run.

use super::judge;
use super::observed::{BatchRow, EventRow, Observed};
use crate::send_log::{Ack, Batch, Expected, Log, Sent};

const EDIT: &str =
    r#"{"id":"e1","type":"file.saved","occurred_at":"2026-03-01T10:00:00Z","data":{"path":"a"}}"#;
const BAD: &str =
    r#"{"id":"e2","type":"coffee.brewed","occurred_at":"2026-03-01T10:00:00Z","data":{}}"#;

/// One batch of a sound event and one of an unknown type, all as it should be.
fn sound() -> (Log, Observed) {
    let sent = |id: &str, text: &str, expected| Sent {
        id: id.to_owned(),
        text: text.to_owned(),
        expected,
    };
    let events = vec![
        sent("e1", EDIT, Expected::Sound),
        sent("e2", BAD, Expected::Refused("type_unknown")),
    ];
    let batch = Batch {
        developer: "ada".to_owned(),
        id: "b1".to_owned(),
        events,
    };
    let acks = vec![Ack {
        batch: 0,
        sequence: 1,
    }];
    let log = Log {
        batches: vec![batch],
        acks,
        garbage: vec![2],
        ..Log::default()
    };
    let row = BatchRow {
        src: 1,
        seq: 1,
        developer: "ada".to_owned(),
        batch_id: "b1".to_owned(),
        state: "completed".to_owned(),
        need: 7,
        done: 7,
        failed: 0,
        received: 2,
    };
    let event = |ordinal, id: &str, body: &str| EventRow {
        place: (1, 1, ordinal),
        developer: "ada".to_owned(),
        id: id.to_owned(),
        body: body.as_bytes().to_vec(),
        ..EventRow::default()
    };
    let stored = EventRow {
        kind: "file.saved".to_owned(),
        day: "2026-03-01".to_owned(),
        ..event(0, "e1", EDIT)
    };
    let day = r#"{"events":1,"events_by_type":{"file.saved":1},"lines_added":0}"#;
    let observed = Observed {
        batches: vec![row],
        events: vec![stored],
        refused: vec![EventRow {
            code: "type_unknown".to_owned(),
            ..event(1, "e2", BAD)
        }],
        completed_jobs: ["aggregate", "normalize", "alert"]
            .map(|kind| (1, 1, kind.to_owned()))
            .into(),
        normalized: vec![("ada".to_owned(), "e1".to_owned(), (1, 1, 0))],
        days: vec![("ada".to_owned(), "2026-03-01".to_owned(), day.to_owned())],
        last_sequence: 2,
        dead: vec![("dead.EVENTS.persist".to_owned(), 2, "no batch".to_owned())],
        ..Observed::default()
    };
    (log, observed)
}

#[test]
fn a_sound_run_has_no_finding() {
    let (log, observed) = sound();
    let judgement = judge(&log, &observed);
    assert!(judgement.findings.is_empty(), "{judgement:?}");
}

type Damage = fn(&mut Log, &mut Observed);

#[test]
fn each_kind_of_damage_is_found() {
    let damages: [(&str, Damage); 17] = [
        ("lost: event e1 of ada is not stored", |_, observed| {
            observed.events.clear();
        }),
        ("lost: event e2 of ada at", |_, observed| {
            observed.refused.clear();
        }),
        ("lost: b1 of ada was acknowledged", |log, _| {
            log.acks[0].sequence = 2;
        }),
        ("lost: sequence 3", |_, observed| observed.last_sequence = 3),
        ("lost: message 2", |_, observed| observed.dead.clear()),
        ("doubled: event e1 of ada is stored twice", |_, observed| {
            let mut again = observed.events[0].clone();
            again.place = (1, 2, 0);
            observed.events.push(again);
        }),
        ("doubled: message 2, which is no batch", |_, observed| {
            observed.dead.push(observed.dead[0].clone());
        }),
        ("doubled: the alert job", |_, observed| {
            observed.completed_jobs.push((1, 1, "alert".to_owned()));
        }),
        ("changed: event e1 of ada at", |_, observed| {
            observed.events[0].body.push(b' ');
        }),
        ("invented: event e9", |_, observed| {
            observed.events[0].id = "e9".to_owned();
        }),
        ("undone: batch 1:1", |_, observed| {
            observed.batches[0].state = "triggered".to_owned();
        }),
        ("undone: the normalize job", |_, observed| {
            observed.completed_jobs.retain(|job| job.2 != "normalize");
        }),
        (
            "undone: event e1 of ada has no normalized",
            |_, observed| observed.normalized.clear(),
        ),
        ("miscounted: day 2026-03-01", |_, observed| {
            observed.days[0].2 = r#"{"events":2}"#.to_owned();
        }),
        ("dead: dead.JOBS.alert", |_, observed| {
            observed
                .dead
                .push(("dead.JOBS.alert".to_owned(), 1, String::new()));
        }),
        ("reply: b1 of ada was never", |log, _| log.acks.clear()),
        ("invented: ALERTS has revision 0", |_, observed| {
            observed.alert_messages.push(("a1".to_owned(), 0));
        }),
    ];
    for (wanted, damage) in damages {
        let (mut log, mut observed) = sound();
        damage(&mut log, &mut observed);
        let findings = judge(&log, &observed).findings;
        assert!(
            findings.iter().any(|finding| finding.starts_with(wanted)),
            "{wanted}: {findings:?}"
        );
    }
}
