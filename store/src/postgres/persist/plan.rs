//! What a group's events do to each other and to the events that are stored. Pure.

use std::collections::BTreeMap;

use types::id::EventRef;

use crate::decoded_batch::{AdmittedEvent, DecodedBatch};
use crate::dedup::{Candidate, CurrentOwner, Displaced, Resolution, resolve};

/// One submission of an event id in the group.
#[derive(Debug, Clone, Copy)]
pub struct GroupCandidate<'a> {
    /// Where it came from.
    pub at: EventRef,
    /// What was submitted.
    pub event: &'a AdmittedEvent,
}

/// All submissions of one (developer, event id) in the group.
#[derive(Debug)]
pub struct CandidateGroup<'a> {
    pub developer: &'a str,
    /// The lowest reference first.
    pub candidates: Vec<GroupCandidate<'a>>,
}

/// What becomes of one submission.
#[derive(Debug, Clone, Copy)]
pub enum CandidateOutcome<'a> {
    /// Nothing held its id.
    New,
    /// It is the owner itself.
    Own,
    /// It takes the place of this event.
    Supersedes(&'a CurrentOwner),
    /// Another one holds its id.
    Displaced {
        /// What it is beside the original.
        displaced: Displaced,
        /// The one that holds the id.
        original: EventRef,
    },
}

impl<'a> CandidateGroup<'a> {
    /// The contests of a group of batches, by (developer, event id).
    pub fn all(batches: &[&'a DecodedBatch]) -> Vec<Self> {
        let mut by_key: BTreeMap<(&str, &str), Vec<GroupCandidate<'_>>> = BTreeMap::new();
        for batch in batches {
            for event in &batch.admitted {
                let key = (batch.header.developer.as_str(), event.id.as_str());
                by_key.entry(key).or_default().push(GroupCandidate {
                    at: batch.at.event(event.ordinal),
                    event,
                });
            }
        }
        let group = |((developer, _), mut candidates): ((&'a str, _), Vec<GroupCandidate<'a>>)| {
            candidates.sort_by_key(|candidate| candidate.at);
            Self {
                developer,
                candidates,
            }
        };
        by_key.into_iter().map(group).collect()
    }

    /// The submission that holds the id unless a stored one does.
    pub fn first(&self) -> GroupCandidate<'a> {
        // `all` makes no contest without an entry.
        self.candidates[0]
    }

    /// The contested id.
    pub fn id(&self) -> &'a str {
        &self.first().event.id
    }

    /// Whose, and the contested id.
    pub fn key(&self) -> (&'a str, &'a str) {
        (self.developer, self.id())
    }

    /// What becomes of each submission, if `owner` is the stored event with the id.
    pub fn outcomes<'h>(
        &self,
        owner: Option<&'h CurrentOwner>,
    ) -> Vec<(GroupCandidate<'a>, CandidateOutcome<'h>)> {
        let first = self.first();
        let taken = owner.filter(|owner| first.at < owner.at);
        let original = match owner {
            Some(owner) if taken.is_none() => owner.candidate(),
            _ => first.candidate(),
        };
        let outcome = |candidate: &GroupCandidate<'a>| match (owner, taken) {
            (None, _) if candidate.at == first.at => CandidateOutcome::New,
            (_, Some(owner)) if candidate.at == first.at => CandidateOutcome::Supersedes(owner),
            _ => match resolve(original, candidate.candidate()) {
                Resolution::Own | Resolution::Supersedes => CandidateOutcome::Own,
                Resolution::Displaced(displaced) => CandidateOutcome::Displaced {
                    displaced,
                    original: original.at,
                },
            },
        };
        self.candidates
            .iter()
            .map(|candidate| (*candidate, outcome(candidate)))
            .collect()
    }
}

impl<'a> GroupCandidate<'a> {
    /// As it takes part in the contest.
    pub fn candidate(&self) -> Candidate<'a> {
        Candidate {
            at: self.at,
            hash: &self.event.hash,
            body: &self.event.body,
        }
    }
}

#[cfg(test)]
#[path = "plan/tests.rs"]
mod tests;
