//! Every place an event can be in, against every place it may be in.

use bytes::Bytes;
use store::{AuditStep, BatchStatus};
use types::batch::{EventMetadata, Header, decode, encode};
use types::job::{BatchState, Mask};
use types::verdict::Code;

use super::*;

const AT: BatchRef = BatchRef { src: 1, seq: 7 };
const TEXT: &str = r#"{"id":"e1","type":"file.saved"}"#;

/// A message with one event, admitted or refused with this code.
fn message(code: Option<Code>) -> Result<Batch, BadMessage> {
    let note = EventMetadata {
        len: TEXT.len() as u32,
        code,
        ..EventMetadata::default()
    };
    let header = Header {
        format: types::batch::FORMAT,
        developer: "ada".parse().unwrap(),
        epoch: 0,
        batch_id: "b1".to_owned(),
        correlation_id: "c1".to_owned(),
        traceparent: String::new(),
        schema_version: "1.0".to_owned(),
        sent_at: String::new(),
        received_at: 0,
        validated_at: 0,
        collector: "collector/1".to_owned(),
        skew: 0,
        envelope: std::collections::BTreeMap::new(),
        counts: std::iter::once(note.verdict()).collect(),
        events: vec![note],
        origin: None,
    };
    decode(encode(&header, &[TEXT]).unwrap())
}

fn garbage() -> Result<Batch, BadMessage> {
    decode(Bytes::from_static(b"garbage"))
}

fn account(kept: Vec<(u32, StoredPlacement)>) -> Account {
    let row = BatchStatus {
        state: BatchState::Completed,
        need: Mask::NONE,
        done: Mask::NONE,
        failed: Mask::NONE,
        is_known: true,
        persisted_at: 0,
    };
    Account {
        at: AT,
        row: Some(row),
        kept,
        steps: Vec::new(),
    }
}

fn checked(
    message: &Result<Batch, BadMessage>,
    account: Option<&Account>,
    in_dead: Option<u64>,
) -> Checked {
    let mut checked = Checked::default();
    check(
        AT,
        message,
        account,
        in_dead.map_or(Elsewhere::Not, Elsewhere::InDead),
        &mut checked,
    );
    checked
}

/// The beginnings of what is found, with whether it may pass.
fn told(checked: &Checked) -> Vec<(&str, bool)> {
    let first = |text: &'static str| text;
    let kind = |text: &str| {
        first(
            ["missing", "surplus", "different"]
                .into_iter()
                .find(|kind| text.starts_with(kind))
                .unwrap(),
        )
    };
    checked
        .findings
        .iter()
        .map(|finding| (kind(&finding.text), finding.may_pass))
        .collect()
}

#[test]
fn an_event_is_right_in_one_place_only() {
    let own = event::hash(TEXT.as_bytes());
    let other = [0; 32];
    let lower = BatchRef { src: 1, seq: 6 }.event(0);
    let quarantined = StoredPlacement::Refused(Verdict::Quarantined, own);
    let rejected = StoredPlacement::Refused(Verdict::Rejected, own);
    let duplicate = |original| StoredPlacement::Duplicate { original };
    let (admitted, unknown, bad) = (
        message(None),
        message(Some(Code::TypeUnknown)),
        message(Some(Code::SchemaInvalid)),
    );
    for (message, kept, is_right) in [
        (&admitted, StoredPlacement::Event(own), true),
        (&admitted, duplicate(Some(lower)), true),
        (&admitted, quarantined.clone(), true),
        (&admitted, StoredPlacement::Event(other), false),
        (&admitted, StoredPlacement::Altered, false),
        (&admitted, duplicate(None), false),
        (&admitted, duplicate(Some(AT.event(0))), false),
        (&admitted, rejected.clone(), false),
        (&unknown, quarantined.clone(), true),
        (&unknown, StoredPlacement::Event(own), false),
        (&unknown, rejected.clone(), false),
        (&bad, rejected, true),
        (&bad, quarantined, false),
        (
            &bad,
            StoredPlacement::Refused(Verdict::Rejected, other),
            false,
        ),
        (&bad, duplicate(Some(lower)), false),
    ] {
        let checked = checked(message, Some(&account(vec![(0, kept.clone())])), None);
        assert_eq!(
            told(&checked),
            if is_right {
                vec![]
            } else {
                vec![("different", false)]
            },
            "{kept:?}"
        );
        let counts = &checked.counts;
        let sum = counts.stored + counts.duplicates + counts.quarantined + counts.rejected;
        assert_eq!((counts.events, sum), (1, u64::from(is_right)), "{kept:?}");
    }
}

#[test]
fn what_is_nowhere_twice_or_too_much_is_named() {
    let own = StoredPlacement::Event(event::hash(TEXT.as_bytes()));
    let admitted = message(None);
    let of = |kept| {
        told(&checked(&admitted, Some(&account(kept)), None))
            .to_vec()
            .len()
    };
    assert_eq!(of(vec![(0, own.clone())]), 0);
    assert_eq!(
        told(&checked(&admitted, Some(&account(vec![])), None)),
        [("missing", false)]
    );
    let twice = checked(
        &admitted,
        Some(&account(vec![(0, own.clone()), (0, own.clone())])),
        None,
    );
    assert_eq!(told(&twice), [("surplus", false)]);
    let more = checked(
        &admitted,
        Some(&account(vec![(0, own.clone()), (1, own)])),
        None,
    );
    assert_eq!(told(&more), [("surplus", false)]);
}

#[test]
fn a_message_without_a_row_is_in_dead_or_missing() {
    for message in [message(None), garbage()] {
        assert_eq!(told(&checked(&message, None, None)), [("missing", true)]);
        let dead = checked(&message, None, Some(3));
        assert_eq!(
            (told(&dead), dead.counts.dead, dead.counts.events),
            (vec![], 1, 0)
        );
        // A row of the audit alone is no row.
        let trail = Account {
            row: None,
            ..account(vec![])
        };
        assert_eq!(told(&checked(&message, Some(&trail), Some(3))), []);
    }
    let own = vec![(0, StoredPlacement::Event(event::hash(TEXT.as_bytes())))];
    assert_eq!(
        told(&checked(&garbage(), Some(&account(own.clone())), None)),
        [("different", false)]
    );
    let mut stored = account(own);
    assert_eq!(
        told(&checked(&message(None), Some(&stored), Some(3))),
        [("surplus", true)]
    );
    stored.steps.push(AuditStep {
        step: "redriven".to_owned(),
        replay_id: None,
        job_id: None,
    });
    assert_eq!(told(&checked(&message(None), Some(&stored), Some(3))), []);
}

#[test]
fn a_message_that_a_pointer_waits_for_is_on_its_way() {
    let mut found = Checked::default();
    check(AT, &message(None), None, Elsewhere::OnTheWay, &mut found);
    assert_eq!(
        (
            told(&found),
            found.waits,
            found.counts.unfinished,
            found.counts.events
        ),
        (vec![], true, 1, 1)
    );
}

#[test]
fn what_was_stored_while_its_letter_was_dropped_is_explained_by_the_audit() {
    let told_of = |job_id: Option<&str>| {
        let mut account = account(vec![]);
        let job_id = job_id.map(str::to_owned);
        account.steps.push(AuditStep {
            step: "dropped".to_owned(),
            replay_id: None,
            job_id,
        });
        let mut checked = Checked::default();
        surplus(&account, &mut checked);
        checked.findings.len()
    };
    assert_eq!(
        (told_of(None), told_of(Some("1:7:alert"))),
        (0, 1),
        "a dropped job takes no message away"
    );
}
