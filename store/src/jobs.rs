//! The roles around jobs: publishing them (T2), what they read, writing what they computed (T3).

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use types::id::{BatchRef, EventRef};
use types::job::{JobBody, Mask};
use types::time::Micros;

use crate::effects::{AlertRevision, Effects, JobDone};
use crate::{HourRange, StoreError};

/// A batch whose jobs are to be published (T2a).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pending {
    /// The jobs it needs.
    pub need: Mask,
    /// What its job messages say.
    pub body: JobBody,
}

impl Pending {
    /// The batch as its row has it: `body` is the JSON that T1 wrote.
    pub(crate) fn read(at: BatchRef, need: Mask, body: &str) -> Result<Self, StoreError> {
        let body = serde_json::from_str(body).map_err(|error| {
            StoreError::Failed(format!(
                "the job body of batch {at} cannot be read: {error}"
            ))
        })?;
        Ok(Self { need, body })
    }
}

/// Where one job of a batch was published (R7.3).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Receipt {
    /// The job.
    pub job_id: String,
    /// The subject it was published on.
    pub subject: String,
    /// Its sequence in the stream JOBS.
    pub stream_sequence: u64,
}

/// A batch whose needed jobs all have their PubAcks (T2b).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Triggered {
    /// What its job messages said.
    pub body: JobBody,
    /// One a job.
    pub receipts: Vec<Receipt>,
    /// When the last PubAck came.
    pub at: Micros,
    /// Who published them.
    pub actor: String,
}

/// A stored event as jobs read it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredEvent {
    /// Where it came from.
    pub at: EventRef,
    /// Its id.
    pub id: String,
    /// Its type.
    pub kind: String,
    /// Its schema version.
    pub schema_version: String,
    /// Its effective time.
    pub effective_at: Micros,
    /// Its local day, `YYYY-MM-DD`.
    pub local_day: String,
    /// Its exact bytes.
    pub body: Vec<u8>,
    /// The envelope's `client` as its exact JSON, where there was one.
    pub client: Option<Vec<u8>>,
}

/// Which events a snapshot brings.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EventSelection {
    /// Those of hours whose partial is missing, older than the hour's generation, or of an older
    /// code version than this.
    Stale(i32),
    /// All.
    All,
}

/// One UTC hour of one developer as a snapshot found it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hour {
    /// The generation of its events.
    pub generation: i64,
    /// Its partial, where one was computed.
    pub partial: Option<Computed>,
}

/// Something derived, and what it was derived from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Computed {
    /// The generation it was computed at.
    pub generation: i64,
    /// The version of the code that computed it.
    pub version: i32,
    /// What was computed, as JSON.
    pub body: String,
}

impl Hour {
    /// Whether its partial must be computed by code of this version.
    #[must_use]
    pub fn is_stale(&self, version: i32) -> bool {
        self.partial
            .as_ref()
            .is_none_or(|partial| partial.generation < self.generation || partial.version < version)
    }
}

/// Generations, partials and events of one developer, all of one moment.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Snapshot {
    /// The hours in the ranges asked for that ever had events.
    pub hours: BTreeMap<i64, Hour>,
    /// The events asked for, by (effective time, event id).
    pub events: Vec<StoredEvent>,
}

impl Snapshot {
    /// The hours whose events it is to bring, in rising ranges of which no two touch.
    pub(crate) fn wanted(&self, want: EventSelection) -> Vec<HourRange> {
        let is_wanted = |hour: &Hour| match want {
            EventSelection::All => true,
            EventSelection::Stale(version) => hour.is_stale(version),
        };
        let wanted = self.hours.iter().filter(|(_, hour)| is_wanted(hour));
        HourRange::merge(
            wanted
                .map(|(&hour, _)| HourRange {
                    first: hour,
                    last: hour,
                })
                .collect(),
        )
    }
}

/// Publishing jobs: T2. The batch row in state `persisted` is the outbox.
pub trait Outbox: Send + Sync + 'static {
    /// T2a: up to `limit` batches in state `persisted` whose lease ran out, by (src, seq); they are
    /// leased for 30 s of the database's clock. Rows that another process claims are passed over.
    fn claim_outbox(
        &self,
        limit: u32,
    ) -> impl Future<Output = Result<Vec<Pending>, StoreError>> + Send;

    /// T2b: these batches' jobs are all published. Idempotent: only rows in state `persisted` change.
    fn mark_triggered(
        &self,
        batches: Vec<Triggered>,
    ) -> impl Future<Output = Result<(), StoreError>> + Send;
}

/// Doing jobs: what they read, and T3.
pub trait Jobs: Send + Sync + 'static {
    /// Of these jobs, those that the ledger says are done.
    fn done(
        &self,
        job_ids: Vec<String>,
    ) -> impl Future<Output = Result<BTreeSet<String>, StoreError>> + Send;

    /// The events that these batches hold, by (src, seq, ordinal): each batch in the order it was
    /// sent. An event that another batch submitted first is that one's.
    fn events_of(
        &self,
        batches: Vec<BatchRef>,
    ) -> impl Future<Output = Result<Vec<StoredEvent>, StoreError>> + Send;

    /// Generations, partials and events of a developer's hours, all in one snapshot, without a lock.
    /// Ranges may touch or overlap; each hour and event comes once.
    fn snapshot(
        &self,
        developer: String,
        ranges: Vec<HourRange>,
        want: EventSelection,
    ) -> impl Future<Output = Result<Snapshot, StoreError>> + Send;

    /// T3: effects, ledger, masks and audit of these jobs in one transaction.
    ///
    /// Each effect is written only where it is newer than what is there. Jobs already in the ledger
    /// are not entered again. A replay's jobs leave the batches' masks alone. Where a batch is gone,
    /// its jobs are entered and the audit names nobody. Gives the alert revisions that are to be
    /// published; what a replay found is never among them, nor what becomes of it later.
    fn finish_jobs(
        &self,
        effects: Effects,
        jobs: Vec<JobDone>,
    ) -> impl Future<Output = Result<Vec<AlertRevision>, StoreError>> + Send;
}

/// Publishing alerts: the alert row is the outbox.
pub trait AlertOutbox: Send + Sync + 'static {
    /// Up to `limit` revisions that are not marked as published, oldest first.
    fn unpublished(
        &self,
        limit: u32,
    ) -> impl Future<Output = Result<Vec<AlertRevision>, StoreError>> + Send;

    /// These (alert id, revision) have their PubAcks.
    fn mark_published(
        &self,
        revisions: Vec<(String, i64)>,
    ) -> impl Future<Output = Result<(), StoreError>> + Send;
}
