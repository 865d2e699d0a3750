//! Does the store's account of a batch agree with its message? Pure.

use common::batch::{BadMessage, Batch};
use common::event::{self, Head};
use common::id::{BatchRef, EventRef};
use common::verdict::Verdict;
use store::{Account, Kept};

use super::findings::Checked;

/// The store holds something of a batch that no message holds.
pub fn surplus(account: &Account, checked: &mut Checked) {
    let (at, kept) = (account.at, account.kept.len());
    checked.suspect(format!("surplus: the store holds batch {at} ({kept} events), which no message holds"));
}

/// Checks one message; `in_dead` is its sequence in DEAD, where it is there.
pub fn check(
    at: BatchRef,
    message: &Result<Batch, BadMessage>,
    account: Option<&Account>,
    in_dead: Option<u64>,
    checked: &mut Checked,
) {
    let row = account.filter(|account| account.row.is_some());
    match (row, message, in_dead) {
        (None, _, Some(_)) => checked.counts.dead += 1,
        (None, Ok(batch), None) => {
            let (developer, id) = (&batch.header.developer, &batch.header.batch_id);
            let sent = batch.events().len();
            checked.counts.events += sent as u64;
            checked.suspect(format!(
                "missing: batch {at} ({id} of {developer}, {sent} events) is neither stored nor in DEAD"
            ));
        }
        (None, Err(error), None) => {
            checked.suspect(format!("missing: message {at} is no batch ({error}), and is not in DEAD"));
        }
        (Some(_), Err(error), _) => {
            checked.find(format!("different: message {at} is no batch ({error}), but is stored"));
        }
        (Some(account), Ok(batch), in_dead) => {
            let was_redriven = account.steps.iter().any(|taken| taken.step == "redriven");
            if let Some(dead) = in_dead.filter(|_| !was_redriven) {
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
    for (ordinal, _) in account.kept.iter().filter(|(ordinal, _)| *ordinal as usize >= sent) {
        let event = at.event(*ordinal);
        checked.find(format!("surplus: the store holds event {event}, the message has {sent} events"));
    }
    for (ordinal, (note, bytes)) in batch.events().enumerate() {
        let event = at.event(ordinal as u32);
        let mut places = account.kept.iter().filter(|(kept, _)| *kept == event.ordinal).map(|(_, kept)| kept);
        let named = || Head::of(bytes).and_then(|head| head.id()).unwrap_or_else(|| "without id".to_owned());
        let (Some(place), more) = (places.next(), places.count()) else {
            checked.find(format!("missing: event {event} ({}) is nowhere in the store", named()));
            continue;
        };
        if more > 0 {
            checked.find(format!("surplus: event {event} ({}) is kept in {} places", named(), more + 1));
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
    place: &Kept,
    hash: &[u8; 32],
    event: EventRef,
    (competes, verdict): (bool, Verdict),
    checked: &mut Checked,
) -> bool {
    let counts = &mut checked.counts;
    let counter = match place {
        Kept::Event(kept) if kept == hash && competes => &mut counts.stored,
        Kept::Duplicate { original: Some(original) } if *original < event && competes => {
            &mut counts.duplicates
        }
        Kept::Refused(Verdict::Quarantined, kept)
            if kept == hash && (competes || verdict == Verdict::Quarantined) =>
        {
            &mut counts.quarantined
        }
        Kept::Refused(Verdict::Rejected, kept) if kept == hash && verdict == Verdict::Rejected => {
            &mut counts.rejected
        }
        _ => return false,
    };
    *counter += 1;
    true
}

fn kept_as(place: &Kept, hash: &[u8; 32]) -> String {
    match place {
        Kept::Event(kept) if kept == hash => "accepted".to_owned(),
        Kept::Event(_) => "accepted with other bytes".to_owned(),
        Kept::Duplicate { original: Some(original) } => format!("duplicate of the later event {original}"),
        Kept::Duplicate { original: None } => "duplicate without an original".to_owned(),
        Kept::Refused(verdict, kept) if kept == hash => verdict.as_str().to_owned(),
        Kept::Refused(verdict, _) => format!("{} with other bytes", verdict.as_str()),
        Kept::Altered => "bytes that are not those of its own hash".to_owned(),
    }
}

#[cfg(test)]
mod tests;
