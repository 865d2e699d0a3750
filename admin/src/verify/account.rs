//! Does the store's account of a batch agree with its message? Pure.

use store::{Account, StoredPlacement};
use types::batch::{BadMessage, Batch};
use types::event::{self, EventHead};
use types::id::{BatchRef, EventRef};
use types::verdict::Verdict;

use super::findings::Checked;

/// Where a message may be that is not stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Elsewhere {
    /// Nowhere.
    Not,
    /// In DEAD, at this sequence.
    InDead(u64),
    /// A pointer to it waits in REPLAY.
    OnTheWay,
}

/// The store holds something of a batch that no message holds. Where one administrator redrove a letter
/// while another dropped it, the message may go just after it was stored: the audit explains it.
pub fn surplus(account: &Account, checked: &mut Checked) {
    if account
        .steps
        .iter()
        .any(|taken| taken.step == "dropped" && taken.job_id.is_none())
    {
        return;
    }
    let (at, kept) = (account.at, account.kept.len());
    checked.suspect(format!(
        "surplus: the store holds batch {at} ({kept} events), which no message holds"
    ));
}

/// Checks one message.
pub fn check(
    at: BatchRef,
    message: &Result<Batch, BadMessage>,
    account: Option<&Account>,
    elsewhere: Elsewhere,
    checked: &mut Checked,
) {
    let row = account.filter(|account| account.row.is_some());
    match (row, message, elsewhere) {
        (None, _, Elsewhere::InDead(_)) => checked.counts.dead += 1,
        (None, message, Elsewhere::OnTheWay) => {
            checked.counts.events += message
                .as_ref()
                .map_or(0, |batch| batch.events().len() as u64);
            checked.counts.unfinished += 1;
            checked.waits = true;
        }
        (None, Ok(batch), Elsewhere::Not) => {
            let (developer, id) = (&batch.header.developer, &batch.header.batch_id);
            let sent = batch.events().len();
            checked.counts.events += sent as u64;
            checked.suspect(format!(
                "missing: batch {at} ({id} of {developer}, {sent} events) is neither stored nor in DEAD"
            ));
        }
        (None, Err(error), Elsewhere::Not) => {
            checked.suspect(format!(
                "missing: message {at} is no batch ({error}), and is not in DEAD"
            ));
        }
        (Some(_), Err(error), _) => {
            checked.find(format!(
                "different: message {at} is no batch ({error}), but is stored"
            ));
        }
        (Some(account), Ok(batch), elsewhere) => {
            let was_redriven = account.steps.iter().any(|taken| taken.step == "redriven");
            if let (Elsewhere::InDead(dead), false) = (elsewhere, was_redriven) {
                checked.suspect(format!(
                    "surplus: batch {at} is stored, and is in DEAD as well (sequence {dead})"
                ));
            }
            events(at, batch, account, checked);
        }
    }
}

/// Each event of a stored batch is in exactly one place, with its own bytes.
fn events(at: BatchRef, batch: &Batch, account: &Account, checked: &mut Checked) {
    let sent = batch.events().len();
    checked.counts.events += sent as u64;
    for (ordinal, _) in account
        .kept
        .iter()
        .filter(|(ordinal, _)| *ordinal as usize >= sent)
    {
        let event = at.event(*ordinal);
        checked.find(format!(
            "surplus: the store holds event {event}, the message has {sent} events"
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
            checked.find(format!(
                "missing: event {event} ({}) is nowhere in the store",
                named()
            ));
            continue;
        };
        if more > 0 {
            checked.find(format!(
                "surplus: event {event} ({}) is kept in {} places",
                named(),
                more + 1
            ));
        }
        let hash = event::hash(bytes);
        let may_be = (note.competes(), note.verdict());
        if !count(place, &hash, event, may_be, checked) {
            let (kept, says) = (kept_as(place, &hash), note.verdict().as_str());
            checked.find(format!(
                "different: event {event} ({}) is kept as {kept}, the message says {says}",
                named()
            ));
        }
    }
}

/// Counts an event where it may be; gives whether it may.
fn count(
    place: &StoredPlacement,
    hash: &[u8; 32],
    event: EventRef,
    (competes, verdict): (bool, Verdict),
    checked: &mut Checked,
) -> bool {
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
mod tests;
