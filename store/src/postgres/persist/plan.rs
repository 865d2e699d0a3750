//! What a group's events do to each other and to the events that are stored. Pure.

use std::collections::BTreeMap;

use types::id::EventRef;

use crate::contest::{Holder, Loser, Resolution, Submission, decide};
use crate::incoming::{AdmittedEvent, DecodedBatch};

/// One submission of an event id in the group.
#[derive(Debug, Clone, Copy)]
pub struct Entry<'a> {
    /// Where it came from.
    pub at: EventRef,
    /// What was submitted.
    pub event: &'a AdmittedEvent,
}

/// All submissions of one (developer, event id) in the group.
#[derive(Debug)]
pub struct Contest<'a> {
    /// Whose.
    pub developer: &'a str,
    /// The lowest reference first.
    pub entries: Vec<Entry<'a>>,
}

/// What becomes of one submission.
#[derive(Debug, Clone, Copy)]
pub enum Fate<'a> {
    /// Nothing held its id.
    New,
    /// It is the holder itself.
    Own,
    /// It takes the place of this event.
    Takes(&'a Holder),
    /// Another one holds its id.
    Loses {
        /// What it is beside the original.
        loser: Loser,
        /// The one that holds the id.
        original: EventRef,
    },
}

impl<'a> Contest<'a> {
    /// The contests of a group of batches, by (developer, event id).
    pub fn all(batches: &[&'a DecodedBatch]) -> Vec<Self> {
        let mut by_key: BTreeMap<(&str, &str), Vec<Entry<'_>>> = BTreeMap::new();
        for batch in batches {
            for event in &batch.competitors {
                let key = (batch.header.developer.as_str(), event.id.as_str());
                by_key.entry(key).or_default().push(Entry {
                    at: batch.at.event(event.ordinal),
                    event,
                });
            }
        }
        let contest = |((developer, _), mut entries): ((&'a str, _), Vec<Entry<'a>>)| {
            entries.sort_by_key(|entry| entry.at);
            Self { developer, entries }
        };
        by_key.into_iter().map(contest).collect()
    }

    /// The submission that holds the id unless a stored one does.
    pub fn first(&self) -> Entry<'a> {
        // `all` makes no contest without an entry.
        self.entries[0]
    }

    /// The contested id.
    pub fn id(&self) -> &'a str {
        &self.first().event.id
    }

    /// Whose, and the contested id.
    pub fn key(&self) -> (&'a str, &'a str) {
        (self.developer, self.id())
    }

    /// What becomes of each submission, where `holder` is the stored event with the id.
    pub fn fates<'h>(&self, holder: Option<&'h Holder>) -> Vec<(Entry<'a>, Fate<'h>)> {
        let first = self.first();
        let taken = holder.filter(|holder| first.at < holder.at);
        let original = match holder {
            Some(holder) if taken.is_none() => holder.submission(),
            _ => first.submission(),
        };
        let fate = |entry: &Entry<'a>| match (holder, taken) {
            (None, _) if entry.at == first.at => Fate::New,
            (_, Some(holder)) if entry.at == first.at => Fate::Takes(holder),
            _ => match decide(original, entry.submission()) {
                Resolution::Own | Resolution::Takes => Fate::Own,
                Resolution::Loses(loser) => Fate::Loses {
                    loser,
                    original: original.at,
                },
            },
        };
        self.entries
            .iter()
            .map(|entry| (*entry, fate(entry)))
            .collect()
    }
}

impl<'a> Entry<'a> {
    /// As it takes part in the contest.
    pub fn submission(&self) -> Submission<'a> {
        Submission {
            at: self.at,
            hash: &self.event.hash,
            body: &self.event.body,
        }
    }
}

#[cfg(test)]
#[path = "plan/tests.rs"]
mod tests;
