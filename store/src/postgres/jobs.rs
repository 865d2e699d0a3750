//! Jobs: the ledger, what they read, and T3 (docs/protocol.md).

mod effects;
mod finish;
mod newest;
mod rules;
mod snapshot;

use std::collections::BTreeSet;

pub use finish::fail;
use types::id::BatchRef;

use super::trouble::Trouble;
use super::{Postgres, batches};
use crate::{
    AlertRevision, Effects, EventSelection, HourRange, JobDone, Jobs, Snapshot, StoreError,
    StoredEvent,
};

const DONE: &str = "SELECT job_id FROM ledger WHERE job_id = ANY($1)";
/// By way of the batch's developer, who decides about the partition.
const EVENTS_OF: &str = "SELECT e.src, e.seq, e.ordinal, e.event_id, e.type, e.schema_version,
      e.effective_at, e.local_day, e.body, b.client
    FROM unnest($1::bigint[], $2::bigint[]) k (src, seq)
    JOIN batches b ON b.src = k.src AND b.seq = k.seq
    JOIN events e ON e.developer = b.developer AND e.src = b.src AND e.seq = b.seq
    ORDER BY e.src, e.seq, e.ordinal";

impl Jobs for Postgres {
    async fn done(&self, job_ids: Vec<String>) -> Result<BTreeSet<String>, StoreError> {
        let rows = self.rows(DONE, &[&job_ids]).await?;
        let ids = rows.iter().map(|row| row.try_get(0));
        Ok(ids.collect::<Result<_, _>>().map_err(Trouble::from)?)
    }

    async fn events_of(&self, batches: Vec<BatchRef>) -> Result<Vec<StoredEvent>, StoreError> {
        let (srcs, seqs) = batches::columns(batches.into_iter());
        let rows = self.rows(EVENTS_OF, &[&srcs, &seqs]).await?;
        Ok(rows
            .iter()
            .map(batches::stored_event)
            .collect::<Result<_, _>>()?)
    }

    async fn snapshot(
        &self,
        developer: String,
        ranges: Vec<HourRange>,
        want: EventSelection,
    ) -> Result<Snapshot, StoreError> {
        self.read(snapshot::Reading::new(developer, ranges, want))
            .await
    }

    async fn finish_jobs(
        &self,
        effects: Effects,
        jobs: Vec<JobDone>,
    ) -> Result<Vec<AlertRevision>, StoreError> {
        let t3 = async |jobs: Vec<JobDone>| self.write(finish::T3::new(effects, &jobs)).await;
        crate::measured::finish_jobs(jobs, t3).await
    }
}
