//! Publishing jobs (T2): the batch row in state `persisted` is the outbox.

use serde::{Deserialize, Serialize};
use types::id::BatchRef;
use types::job::{JobBody, Mask};
use types::time::Micros;

use crate::error::StoreError;
use crate::row::{Row, batch_ref, mask};

/// A batch whose jobs are to be published.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pending {
    /// The jobs it needs.
    pub need: Mask,
    /// What its job messages say.
    pub body: JobBody,
}

impl Pending {
    /// The batch as its row has it: `body` is the JSON that `store_batches` wrote.
    fn read(at: BatchRef, need: Mask, body: &str) -> Result<Self, StoreError> {
        let body = serde_json::from_str(body).map_err(|error| {
            StoreError::Failed(format!(
                "the job body of batch {at} cannot be read: {error}"
            ))
        })?;
        Ok(Self { need, body })
    }

    /// From the columns src, seq, need, job_body.
    pub(crate) fn decode(row: &impl Row) -> Result<Self, StoreError> {
        Self::read(batch_ref(row, 0)?, mask(row, 2)?, row.text(3)?)
    }
}

/// The PubAck of one job of a batch (R7.3).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Receipt {
    pub job_id: String,
    /// The subject it was published on.
    pub subject: String,
    /// Its sequence in the stream JOBS.
    pub stream_sequence: u64,
}

/// A batch whose needed jobs all have their PubAcks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Triggered {
    /// The content of its job messages.
    pub body: JobBody,
    /// One a job.
    pub receipts: Vec<Receipt>,
    /// When the last PubAck came.
    pub at: Micros,
    /// Who published them.
    pub actor: String,
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

    /// Up to `limit` batches whose jobs were published before `before` (the clock of who published them), and of which
    /// a job of one of these `kinds` is neither done nor failed, by (src, seq); `need` has those jobs alone. They are
    /// leased as in [`Outbox::claim_outbox`], for twice as long.
    fn claim_unfinished(
        &self,
        before: Micros,
        kinds: Mask,
        limit: u32,
    ) -> impl Future<Output = Result<Vec<Pending>, StoreError>> + Send;

    /// These jobs were published again: recorded in the audit, and when. The state of the batches stays.
    fn mark_retriggered(
        &self,
        batches: Vec<Triggered>,
    ) -> impl Future<Output = Result<(), StoreError>> + Send;
}
