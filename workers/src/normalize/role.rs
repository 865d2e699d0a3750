//! The normalize role: the events that a batch holds become records, in the order they were sent.

use std::collections::BTreeMap;

use store::{AlertRevision, Effects, Jobs, NormalizedRow, StoreError, StoredEvent};
use types::id::BatchRef;
use types::job::{JobKind, JobMessage};

use super::{VERSION, normalize};
use crate::jobs::Work;

/// Normalizes what batches hold.
pub struct NormalizeWork<S> {
    /// Where events are read.
    pub store: S,
}

impl<S: Jobs> Work for NormalizeWork<S> {
    const KIND: JobKind = JobKind::Normalize;

    async fn compute(&self, jobs: &[JobMessage]) -> Result<Effects, StoreError> {
        let developers: BTreeMap<BatchRef, &str> = jobs
            .iter()
            .map(|job| (job.body.batch, job.body.developer.as_str()))
            .collect();
        let events = self
            .store
            .events_of(developers.keys().copied().collect())
            .await?;
        let rows = events.iter().filter_map(|event| {
            let developer = developers.get(&event.at.batch())?;
            Some(row(developer, event))
        });
        rows.collect::<Result<_, _>>().map(Effects::Normalized)
    }

    async fn committed(&self, _revisions: Vec<AlertRevision>) {}
}

fn row(developer: &str, event: &StoredEvent) -> Result<NormalizedRow, StoreError> {
    let record = normalize(event);
    let text =
        serde_json::to_string(&record).map_err(|error| StoreError::Failed(error.to_string()))?;
    Ok(NormalizedRow {
        developer: developer.to_owned(),
        event_id: record.event_id,
        version: VERSION,
        at: event.at,
        kind: record.kind,
        effective_at: record.at,
        local_time: record.local_time,
        local_day: record.local_day,
        language: record.language,
        project: record.project,
        record: text,
    })
}
