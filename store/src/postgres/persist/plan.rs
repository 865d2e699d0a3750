//! Dedup resolution of a group of batches: its events beside each other and the stored ones. Pure.

use types::id::EventRef;

use crate::audit::AuditTrail;
use crate::batch_summary::BatchSummary;
use crate::decoded_batch::{AdmittedEvent, DecodedBatch};
use crate::dedup::{Candidate, CurrentOwner, Displacement, Resolution, resolve};

/// One submission of an event id in the group.
#[derive(Debug, Clone, Copy)]
pub struct GroupCandidate<'a> {
    pub at: EventRef,
    pub developer: &'a str,
    pub event: &'a AdmittedEvent,
}

/// All submissions of one (developer, event id) in the group.
#[derive(Debug)]
pub struct CandidateGroup<'a> {
    /// The lowest reference first; never empty.
    pub candidates: Vec<GroupCandidate<'a>>,
}

/// The outcome of one submission.
#[derive(Debug, Clone, Copy)]
pub enum CandidateOutcome<'a> {
    /// Its id had no owner.
    New,
    /// It is the owner itself.
    Own,
    /// It supersedes this stored event.
    Supersedes(&'a CurrentOwner),
    /// Another one owns its id.
    Displaced {
        displaced: Displacement,
        /// The owner of the id.
        original: EventRef,
    },
}

/// A new batch whose events are stored.
pub struct ResolvedBatch<'a> {
    pub batch: &'a DecodedBatch,
    pub summary: BatchSummary,
    pub audit_trail: AuditTrail<'a>,
}

impl<'a> CandidateGroup<'a> {
    /// The candidates of a group of batches, by (developer, event id).
    pub fn all(batches: &[&'a DecodedBatch]) -> Vec<Self> {
        let mut candidates: Vec<GroupCandidate<'a>> = Vec::new();
        for batch in batches {
            candidates.extend(batch.admitted.iter().map(|event| GroupCandidate {
                at: batch.at.event(event.ordinal),
                developer: batch.header.developer.as_str(),
                event,
            }));
        }
        candidates.sort_unstable_by(|one, other| (one.key(), one.at).cmp(&(other.key(), other.at)));
        let groups = candidates.chunk_by(|one, other| one.key() == other.key());
        let group = |candidates: &[GroupCandidate<'a>]| Self {
            candidates: candidates.to_vec(),
        };
        groups.map(group).collect()
    }

    /// The candidate that owns the id unless a stored event does.
    pub fn first(&self) -> GroupCandidate<'a> {
        self.candidates[0]
    }

    /// Developer and event id.
    pub fn key(&self) -> (&'a str, &'a str) {
        self.first().key()
    }

    /// The outcome of each submission, if `owner` is the stored event with the id.
    pub fn outcomes<'h>(
        &self,
        owner: Option<&'h CurrentOwner>,
    ) -> Vec<(GroupCandidate<'a>, CandidateOutcome<'h>)> {
        let first = self.first();
        let superseded = owner.filter(|owner| first.at < owner.at);
        let original = match owner {
            Some(owner) if superseded.is_none() => owner.candidate(),
            _ => first.candidate(),
        };
        let outcome = |candidate: &GroupCandidate<'a>| match (owner, superseded) {
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
    /// Developer and event id.
    fn key(&self) -> (&'a str, &'a str) {
        (self.developer, &self.event.id)
    }

    /// As dedup resolution compares it.
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
