//! Jobs: the ledger, what they read, and T3 (docs/protocol.md).

mod effects;
mod finish;
mod rules;
mod snapshot;

use std::collections::BTreeSet;

pub use finish::fail;
use rusqlite::{Connection, params};
use types::id::BatchRef;

use super::Sqlite;
use crate::{
    AlertRevision, Effects, EventSelection, HourRange, JobDone, Jobs, Snapshot, StoreError,
    StoredEvent,
};

const DONE: &str = "SELECT 1 FROM ledger WHERE job_id = ?1";
const EVENTS_OF: &str = "SELECT e.src, e.seq, e.ordinal, e.event_id, e.type, e.schema_version,
      e.effective_at, e.local_day, e.body, b.client
    FROM events e JOIN batches b ON b.src = e.src AND b.seq = e.seq
    WHERE e.src = ?1 AND e.seq = ?2 ORDER BY e.ordinal";

impl Jobs for Sqlite {
    async fn done(&self, job_ids: Vec<String>) -> Result<BTreeSet<String>, StoreError> {
        self.readers
            .read(move |connection| done(connection, job_ids))
            .await
    }

    async fn events_of(&self, batches: Vec<BatchRef>) -> Result<Vec<StoredEvent>, StoreError> {
        self.readers
            .read(move |connection| events_of(connection, &batches))
            .await
    }

    async fn snapshot(
        &self,
        developer: String,
        ranges: Vec<HourRange>,
        want: EventSelection,
    ) -> Result<Snapshot, StoreError> {
        self.readers
            .read(move |connection| snapshot::read(connection, &developer, ranges, want))
            .await
    }

    async fn finish_jobs(
        &self,
        effects: Effects,
        jobs: Vec<JobDone>,
    ) -> Result<Vec<AlertRevision>, StoreError> {
        let t3 = async |jobs| {
            self.write(move |connection| finish::finish(connection, effects, jobs))
                .await
        };
        crate::measured::finish_jobs(jobs, t3).await
    }
}

fn done(connection: &Connection, job_ids: Vec<String>) -> Result<BTreeSet<String>, StoreError> {
    let mut statement = connection.prepare_cached(DONE)?;
    let mut done = BTreeSet::new();
    for job_id in job_ids {
        if statement.exists([&job_id])? {
            done.insert(job_id);
        }
    }
    Ok(done)
}

fn events_of(
    connection: &Connection,
    batches: &[BatchRef],
) -> Result<Vec<StoredEvent>, StoreError> {
    let batches: BTreeSet<&BatchRef> = batches.iter().collect();
    let mut statement = connection.prepare_cached(EVENTS_OF)?;
    let mut events = Vec::new();
    for at in batches {
        let rows = statement.query_map(params![at.src, at.seq as i64], snapshot::stored_event)?;
        for event in rows {
            events.push(event?);
        }
    }
    Ok(events)
}
