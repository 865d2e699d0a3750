//! Does the store's account of a batch agree with its message? Pure.

use common::batch::Batch;
use common::event::{self, Head};
use common::id::BatchRef;
use common::verdict::Verdict;
use serde::Serialize;
use store::{Account, Kept};

/// Events by where they were found, and what does not add up.
#[derive(Debug, Default, PartialEq, Eq, Serialize)]
pub struct Checked {
    /// Events of all messages.
    pub events: u64,
    /// Of these, stored.
    pub stored: u64,
    /// Of these, duplicates with their original.
    pub duplicates: u64,
    /// Of these, quarantined.
    pub quarantined: u64,
    /// Of these, rejected.
    pub rejected: u64,
    /// Sentences, each naming what is missing, surplus or different.
    pub findings: Vec<String>,
}

impl Checked {
    /// Notes that something does not add up.
    pub fn find(&mut self, finding: String) {
        self.findings.push(finding);
    }

    /// The store holds something of a batch that no message holds.
    pub fn surplus(&mut self, account: &Account) {
        let (at, kept) = (account.at, account.kept.len());
        self.find(format!("surplus: the store holds batch {at} ({kept} events), which no message holds"));
    }
}

/// Checks one batch.
pub fn check(at: BatchRef, batch: &Batch, account: Option<&Account>, checked: &mut Checked) {
    let header = &batch.header;
    let sent = batch.events().len();
    checked.events += sent as u64;
    let Some(account) = account.filter(|account| account.has_row) else {
        let (developer, id) = (&header.developer, &header.batch_id);
        return checked
            .find(format!("missing: batch {at} ({id} of {developer}, {sent} events) is not stored"));
    };
    for (ordinal, _) in account.kept.iter().filter(|(ordinal, _)| *ordinal as usize >= sent) {
        checked.find(format!(
            "surplus: the store holds event {}, the message has {sent} events",
            at.event(*ordinal)
        ));
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
        match place {
            Kept::Event(kept) if *kept == hash && note.competes() => checked.stored += 1,
            Kept::Duplicate { original: Some(original) } if *original < event && note.competes() => {
                checked.duplicates += 1;
            }
            Kept::Refused(Verdict::Quarantined, kept)
                if *kept == hash && (note.competes() || note.verdict() == Verdict::Quarantined) =>
            {
                checked.quarantined += 1;
            }
            Kept::Refused(Verdict::Rejected, kept)
                if *kept == hash && note.verdict() == Verdict::Rejected =>
            {
                checked.rejected += 1;
            }
            Kept::Duplicate { original: None } => {
                checked
                    .find(format!("missing: event {event} ({}) is a duplicate without an original", named()));
            }
            _ => checked.find(format!(
                "different: event {event} ({}) is kept as {}, the message says {}",
                named(),
                kept_as(place, &hash),
                note.verdict().as_str()
            )),
        }
    }
}

fn kept_as(place: &Kept, hash: &[u8; 32]) -> String {
    match place {
        Kept::Event(kept) if kept == hash => "accepted".to_owned(),
        Kept::Event(_) => "accepted with other bytes".to_owned(),
        Kept::Duplicate { original } => match original {
            Some(original) => format!("duplicate of the later event {original}"),
            None => "duplicate".to_owned(),
        },
        Kept::Refused(verdict, kept) if kept == hash => verdict.as_str().to_owned(),
        Kept::Refused(verdict, _) => format!("{} with other bytes", verdict.as_str()),
    }
}
