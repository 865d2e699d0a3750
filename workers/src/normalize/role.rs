//! The normalize role: the events that a batch holds become records, in the order they were sent.

use std::collections::BTreeSet;

use store::{AlertRevision, Effects, Jobs, NormalizedClient, StoreError, StoredEvent};
use types::id::BatchRef;
use types::job::{JobKind, JobMessage};

use super::difference::{client, row};
use crate::jobs::Work;

/// Normalizes what batches hold.
pub struct NormalizeWork<S> {
    /// Where events are read.
    pub store: S,
}

impl<S: Jobs> Work for NormalizeWork<S> {
    const KIND: JobKind = JobKind::Normalize;

    async fn compute(&self, jobs: &[JobMessage]) -> Result<Effects, StoreError> {
        let batches: BTreeSet<BatchRef> = jobs.iter().map(|job| job.body.batch).collect();
        let events = self.store.events_of(batches.into_iter().collect()).await?;
        Ok(Effects::Normalized {
            records: events.iter().map(row).collect(),
            clients: clients(&events),
        })
    }

    async fn committed(&self, _revisions: Vec<AlertRevision>) {}
}

/// The clients of the batches that these events, in order, belong to.
fn clients(events: &[StoredEvent]) -> Vec<NormalizedClient> {
    let batches = events.chunk_by(|one, next| one.at.batch() == next.at.batch());
    batches.filter_map(|events| client(&events[0])).collect()
}
