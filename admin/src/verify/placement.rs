//! Whether each event of a message is in exactly one place, with its own bytes. Pure.

use store::{Account, StoredPlacement};
use types::batch::{BadMessage, Batch, EventMetadata};
use types::event::{self, EventHead};
use types::id::{BatchRef, EventRef};
use types::time::rfc3339;
use types::verdict::Verdict;

use super::findings::CheckResult;
use crate::output;

/// The whereabouts of a message that is not stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Whereabouts {
    Nowhere,
    /// In DEAD, at this sequence.
    InDead(u64),
    /// A pointer to it waits in REPLAY.
    Pending,
}

/// Reports that the store holds something of a batch that no message holds.
///
/// If one administrator redrove a dead letter while another dropped it, the message may be deleted just after it was
/// stored: the audit explains that.
pub fn surplus(account: &Account, checked: &mut CheckResult) {
    if account
        .steps
        .iter()
        .any(|taken| taken.step == "dropped" && taken.job_id.is_none())
    {
        return;
    }
    checked.suspect(format!(
        "surplus: the store holds batch {} ({}), which no message holds",
        account.at,
        output::count(account.kept.len(), "event")
    ));
}

/// Checks one message.
pub fn check(
    at: BatchRef,
    message: &Result<Batch, BadMessage>,
    account: Option<&Account>,
    whereabouts: Whereabouts,
    checked: &mut CheckResult,
) {
    let row = account.filter(|account| account.row.is_some());
    match (row, message, whereabouts) {
        (None, _, Whereabouts::InDead(_)) => checked.counts.dead += 1,
        (None, message, Whereabouts::Pending) => {
            checked.counts.events += message
                .as_ref()
                .map_or(0, |batch| batch.events().len() as u64);
            checked.counts.unfinished += 1;
            checked.is_pending = true;
        }
        (None, Ok(batch), Whereabouts::Nowhere) => {
            let developer = &batch.header.developer;
            let id = &batch.header.batch_id;
            let sent = batch.events().len();
            checked.counts.events += sent as u64;
            let sent = output::count(sent, "event");
            checked.suspect(format!(
                "missing: batch {at} ({id} of {developer}, {sent}) is neither stored nor in DEAD"
            ));
        }
        (None, Err(error), Whereabouts::Nowhere) => {
            checked.suspect(format!(
                "missing: message {at} is no batch ({error}), and is not in DEAD"
            ));
        }
        (Some(_), Err(error), _) => {
            checked.report(format!(
                "different: message {at} is no batch ({error}), but is stored"
            ));
        }
        (Some(account), Ok(batch), whereabouts) => {
            let was_redriven = account.steps.iter().any(|taken| taken.step == "redriven");
            if let (Whereabouts::InDead(dead), false) = (whereabouts, was_redriven) {
                checked.suspect(format!(
                    "surplus: batch {at} is stored, and is in DEAD as well (sequence {dead})"
                ));
            }
            checked.counts.batches += 1;
            origin(at, batch, account, checked);
            events(at, batch, account, checked);
        }
    }
}

/// The row is of this very message: a stream that was restored gives sequences out again.
fn origin(at: BatchRef, batch: &Batch, account: &Account, checked: &mut CheckResult) {
    let Some(from) = &account.stored_from else {
        return;
    };
    // A forgotten developer's row names nobody.
    let own = batch.identity();
    let differs = |stored: &str, sent: &str| !from.developer.is_empty() && stored != sent;
    for (what, stored, sent) in [
        ("developer", &from.developer, &own.developer),
        ("batch id", &from.batch_id, &own.batch_id),
        ("message id", &from.message_id, &own.message_id),
    ] {
        if differs(stored, sent) {
            checked.report(format!(
                "different: batch {at} has the {what} {stored} in the store, {sent} in its message"
            ));
        }
    }
}

/// What the row of a stored event says is what its message says.
fn columns(
    event: EventRef,
    batch: &Batch,
    note: &EventMetadata,
    bytes: &[u8],
    account: &Account,
    checked: &mut CheckResult,
) {
    let Some(row) = account
        .events
        .iter()
        .find(|row| row.ordinal == event.ordinal)
    else {
        return;
    };
    let head = EventHead::of(bytes);
    let id = head.as_ref().and_then(|head| head.id()).unwrap_or_default();
    let kind = head
        .as_ref()
        .and_then(|head| head.kind())
        .unwrap_or_default();
    let own_version = |head: &EventHead<'_>| head.schema_version().ok().flatten();
    let version = head.as_ref().and_then(own_version);
    let version = version.unwrap_or_else(|| batch.header.schema_version.clone());
    let developer = batch.header.developer.to_string();
    let effective_at = note.at.map(rfc3339).unwrap_or_default();
    let day = note.day.clone().unwrap_or_default();
    for (what, stored, sent) in [
        ("developer", row.developer.clone(), developer),
        ("id", row.event_id.clone(), id),
        ("type", row.kind.clone(), kind),
        ("schema version", row.schema_version.clone(), version),
        ("effective time", rfc3339(row.effective_at), effective_at),
        ("local day", row.local_day.clone(), day),
    ] {
        if stored != sent {
            checked.report(format!(
                "different: event {event} has the {what} {stored:?} in the store, {sent:?} in its message"
            ));
        }
    }
}

/// Each event of a stored batch is in exactly one place, with its own bytes.
fn events(at: BatchRef, batch: &Batch, account: &Account, checked: &mut CheckResult) {
    let sent = batch.events().len();
    checked.counts.events += sent as u64;
    for (ordinal, _) in account
        .kept
        .iter()
        .filter(|(ordinal, _)| *ordinal as usize >= sent)
    {
        let event = at.event(*ordinal);
        checked.report(format!(
            "surplus: the store holds event {event}, the message has {}",
            output::count(sent, "event")
        ));
    }
    for (ordinal, (note, bytes)) in batch.events().enumerate() {
        let event = at.event(ordinal as u32);
        let mut places = account
            .kept
            .iter()
            .filter(|(kept, _)| *kept == event.ordinal)
            .map(|(_, kept)| kept);
        let named = || {
            EventHead::of(bytes)
                .and_then(|head| head.id())
                .unwrap_or_else(|| "without id".to_owned())
        };
        let (Some(place), more) = (places.next(), places.count()) else {
            checked.report(format!(
                "missing: event {event} ({}) is nowhere in the store",
                named()
            ));
            continue;
        };
        if more > 0 {
            checked.report(format!(
                "surplus: event {event} ({}) is kept in {} places",
                named(),
                more + 1
            ));
        }
        columns(event, batch, note, bytes, account, checked);
        let hash = event::hash(bytes);
        if !count(place, &hash, event, note, checked) {
            let kept = kept_as(place, &hash);
            let says = note.verdict().as_str();
            checked.report(format!(
                "different: event {event} ({}) is kept as {kept}, the message says {says}",
                named()
            ));
        }
    }
}

/// Counts an event by its place; `false` if it must not be there.
fn count(
    place: &StoredPlacement,
    hash: &[u8; 32],
    event: EventRef,
    note: &EventMetadata,
    checked: &mut CheckResult,
) -> bool {
    let competes = note.competes();
    let verdict = note.verdict();
    let counts = &mut checked.counts;
    let counter = match place {
        StoredPlacement::Event(kept) if kept == hash && competes => &mut counts.stored,
        StoredPlacement::Duplicate {
            original: Some(original),
        } if *original < event && competes => &mut counts.duplicates,
        StoredPlacement::Refused(Verdict::Quarantined, kept)
            if kept == hash && (competes || verdict == Verdict::Quarantined) =>
        {
            &mut counts.quarantined
        }
        StoredPlacement::Refused(Verdict::Rejected, kept)
            if kept == hash && verdict == Verdict::Rejected =>
        {
            &mut counts.rejected
        }
        _ => return false,
    };
    *counter += 1;
    true
}

fn kept_as(place: &StoredPlacement, hash: &[u8; 32]) -> String {
    match place {
        StoredPlacement::Event(kept) if kept == hash => "accepted".to_owned(),
        StoredPlacement::Event(_) => "accepted with other bytes".to_owned(),
        StoredPlacement::Duplicate {
            original: Some(original),
        } => format!("duplicate of the later event {original}"),
        StoredPlacement::Duplicate { original: None } => "duplicate without an original".to_owned(),
        StoredPlacement::Refused(verdict, kept) if kept == hash => verdict.as_str().to_owned(),
        StoredPlacement::Refused(verdict, _) => format!("{} with other bytes", verdict.as_str()),
        StoredPlacement::Altered => "bytes that are not those of its own hash".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    //! Every place an event can be in, against every place it may be in.

    use bytes::Bytes;
    use store::{AuditStep, BatchStatus};
    use types::batch::{Header, decode, encode};
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
            zone: None,
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
            stored_from: None,
            events: Vec::new(),
            kept,
            steps: Vec::new(),
        }
    }

    fn checked(
        message: &Result<Batch, BadMessage>,
        account: Option<&Account>,
        in_dead: Option<u64>,
    ) -> CheckResult {
        let mut checked = CheckResult::default();
        check(
            AT,
            message,
            account,
            in_dead.map_or(Whereabouts::Nowhere, Whereabouts::InDead),
            &mut checked,
        );
        checked
    }

    /// The kinds of the findings, each with whether it may resolve.
    fn findings(checked: &CheckResult) -> Vec<(&str, bool)> {
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
            .map(|finding| (kind(&finding.text), finding.may_resolve))
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
        let admitted = message(None);
        let unknown = message(Some(Code::TypeUnknown));
        let bad = message(Some(Code::SchemaInvalid));
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
                findings(&checked),
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
    fn an_event_that_is_nowhere_or_twice_is_reported() {
        let own = StoredPlacement::Event(event::hash(TEXT.as_bytes()));
        let admitted = message(None);
        let of = |kept| {
            findings(&checked(&admitted, Some(&account(kept)), None))
                .to_vec()
                .len()
        };
        assert_eq!(of(vec![(0, own.clone())]), 0);
        assert_eq!(
            findings(&checked(&admitted, Some(&account(vec![])), None)),
            [("missing", false)]
        );
        let twice = checked(
            &admitted,
            Some(&account(vec![(0, own.clone()), (0, own.clone())])),
            None,
        );
        assert_eq!(findings(&twice), [("surplus", false)]);
        let more = checked(
            &admitted,
            Some(&account(vec![(0, own.clone()), (1, own)])),
            None,
        );
        assert_eq!(findings(&more), [("surplus", false)]);
    }

    #[test]
    fn a_message_without_a_row_is_in_dead_or_missing() {
        for message in [message(None), garbage()] {
            assert_eq!(
                findings(&checked(&message, None, None)),
                [("missing", true)]
            );
            let dead = checked(&message, None, Some(3));
            assert_eq!(
                (findings(&dead), dead.counts.dead, dead.counts.events),
                (vec![], 1, 0)
            );
            // A row of the audit alone is no row.
            let audit_only = Account {
                row: None,
                ..account(vec![])
            };
            assert_eq!(findings(&checked(&message, Some(&audit_only), Some(3))), []);
        }
        let own = vec![(0, StoredPlacement::Event(event::hash(TEXT.as_bytes())))];
        assert_eq!(
            findings(&checked(&garbage(), Some(&account(own.clone())), None)),
            [("different", false)]
        );
        let mut stored = account(own);
        assert_eq!(
            findings(&checked(&message(None), Some(&stored), Some(3))),
            [("surplus", true)]
        );
        stored.steps.push(AuditStep {
            step: "redriven".to_owned(),
            replay_id: None,
            job_id: None,
        });
        assert_eq!(
            findings(&checked(&message(None), Some(&stored), Some(3))),
            []
        );
    }

    #[test]
    fn a_message_that_a_pointer_names_is_pending() {
        let mut found = CheckResult::default();
        check(AT, &message(None), None, Whereabouts::Pending, &mut found);
        assert_eq!(
            (
                findings(&found),
                found.is_pending,
                found.counts.unfinished,
                found.counts.events
            ),
            (vec![], true, 1, 1)
        );
    }

    #[test]
    fn the_audit_explains_a_message_stored_while_it_was_dropped() {
        let findings_of = |job_id: Option<&str>| {
            let mut account = account(vec![]);
            let job_id = job_id.map(str::to_owned);
            account.steps.push(AuditStep {
                step: "dropped".to_owned(),
                replay_id: None,
                job_id,
            });
            let mut checked = CheckResult::default();
            surplus(&account, &mut checked);
            checked.findings.len()
        };
        assert_eq!(
            (findings_of(None), findings_of(Some("1:7:alert"))),
            (0, 1),
            "a dropped job takes no message away"
        );
    }
}
