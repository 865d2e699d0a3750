//! What is recorded of messages that did not succeed at once, and of those that are dead-lettered.

use types::dead_letter::DeadLetter;
use types::id::{BatchRef, Src};
use types::job::{BatchState, JobMessage};
use types::time::Micros;

use crate::effects::JobFailed;
use crate::error::StoreError;
use crate::row::{Row, small_count};
use crate::sql::shared_sql;

/// A message as one consumer sees it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct MessageKey {
    /// The number of its stream's incarnation, of whatever stream.
    pub src: Src,
    pub consumer: String,
    pub seq: u64,
}

/// The attempts of a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attempt {
    /// Attempts that failed for an unknown reason.
    pub used: u32,
    /// Attempt guards that began and were not cleared: workers that handle it alone now, or died while they did.
    pub guards: u32,
    /// Why the last attempt failed.
    pub reason: Option<String>,
    /// When DEAD had it, if it has.
    pub dead_at: Option<Micros>,
}

/// The attempts of one message of a stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredAttempt {
    /// The message's sequence.
    pub seq: u64,
    pub attempt: Attempt,
}

/// A message that is done after attempts that failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recovery {
    pub key: MessageKey,
    /// When it was done.
    pub at: Micros,
    /// The worker that did it.
    pub actor: String,
    /// The batch it is or is about, if that is known.
    pub batch: Option<BatchRef>,
    /// Empty if it is not known.
    pub developer: String,
    /// The client's batch id; empty if it cannot be read.
    pub batch_id: String,
    /// Empty if it cannot be read.
    pub correlation_id: String,
    /// The job, if it is one.
    pub job: Option<JobMessage>,
}

/// Recording what did not succeed at once. A message without a row has never failed.
pub trait Attempts: Send + Sync + 'static {
    /// The state of a batch; `None` if it is not stored.
    fn state(
        &self,
        at: BatchRef,
    ) -> impl Future<Output = Result<Option<BatchState>, StoreError>> + Send;

    /// The attempts of these messages, by sequence; those without a row are left out.
    fn load_attempts(
        &self,
        src: Src,
        consumer: String,
        seqs: Vec<u64>,
    ) -> impl Future<Output = Result<Vec<StoredAttempt>, StoreError>> + Send;

    /// Begins an attempt guard: the message is about to be handled alone, and this is committed before it is.
    /// Gives its attempts, this guard included.
    fn begin_attempt(
        &self,
        key: MessageKey,
        at: Micros,
    ) -> impl Future<Output = Result<Attempt, StoreError>> + Send;

    /// Clears one attempt guard: handling it alone has ended, and the worker is alive.
    fn clear_attempt(&self, key: MessageKey)
    -> impl Future<Output = Result<(), StoreError>> + Send;

    /// Counts a failed attempt; gives the attempts, this one included.
    fn record_failure(
        &self,
        key: MessageKey,
        reason: String,
        at: Micros,
    ) -> impl Future<Output = Result<Attempt, StoreError>> + Send;

    /// DEAD has the message, and it is not yet terminated: its audit row, and `fail_job` (T3f) if it is a job,
    /// in one transaction. The second time nothing is written.
    fn record_dead_letter(
        &self,
        key: MessageKey,
        letter: DeadLetter,
    ) -> impl Future<Output = Result<(), StoreError>> + Send;

    /// The message is done: removes its row and, if attempts of it had failed, records that in the audit, in one
    /// transaction. The second time nothing is written.
    fn record_recovery(
        &self,
        recovery: Recovery,
    ) -> impl Future<Output = Result<(), StoreError>> + Send;

    /// These messages are done with, or terminated: nothing need be recorded.
    fn remove_attempts(
        &self,
        src: Src,
        consumer: String,
        seqs: Vec<u64>,
    ) -> impl Future<Output = Result<(), StoreError>> + Send;
}

shared_sql! {
    BEGIN_ATTEMPT = "INSERT INTO attempts AS a (src, consumer, seq, used, guards, first_at, last_at)
        VALUES ($1, $2, $3, 0, 1, $4, $4)
        ON CONFLICT (src, consumer, seq) DO UPDATE SET guards = a.guards + 1, last_at = $4
        RETURNING used, guards, reason, dead_at";
    CLEAR_ATTEMPT = "UPDATE attempts SET guards = guards - 1
        WHERE src = $1 AND consumer = $2 AND seq = $3 AND guards > 0";
    RECORD_FAILURE = "INSERT INTO attempts AS a (src, consumer, seq, used, guards, reason, first_at, last_at)
        VALUES ($1, $2, $3, 1, 0, $5, $4, $4)
        ON CONFLICT (src, consumer, seq) DO UPDATE SET used = a.used + 1, reason = $5, last_at = $4
        RETURNING used, guards, reason, dead_at";
    RECORD_DEAD_LETTER = "INSERT INTO attempts AS a
          (src, consumer, seq, used, guards, reason, first_at, last_at, dead_at)
        VALUES ($1, $2, $3, 0, 0, $5, $4, $4, $4)
        ON CONFLICT (src, consumer, seq) DO UPDATE SET dead_at = $4, reason = $5, last_at = $4
          WHERE a.dead_at IS NULL";
    DELETE_ATTEMPT = "DELETE FROM attempts WHERE src = $1 AND consumer = $2 AND seq = $3
        RETURNING used, guards, reason, dead_at";
    /// Whether the developer was forgotten after this batch.
    IS_FORGOTTEN = "SELECT 1 FROM developers WHERE developer = $1
          AND (tombstone_src, tombstone_seq) >= (CAST($2 AS bigint), CAST($3 AS bigint))";
}

impl Attempt {
    /// From the columns used, guards, reason, dead_at.
    pub(crate) fn decode(row: &impl Row) -> Result<Self, StoreError> {
        Ok(Self {
            used: small_count(row, 0)?,
            guards: small_count(row, 1)?,
            reason: row.value(2)?,
            dead_at: row.value(3)?,
        })
    }
}

impl MessageKey {
    /// The message's own place, for the audit row of one that is no batch.
    fn place(&self) -> BatchRef {
        BatchRef {
            src: self.src,
            seq: self.seq,
        }
    }
}

impl Recovery {
    /// The place of its audit row: the batch, else the message's own place.
    pub(crate) fn place(&self) -> BatchRef {
        self.batch.unwrap_or(self.key.place())
    }
}

/// What is recorded of a message that is in DEAD.
pub(crate) struct DeadMessage {
    pub key: MessageKey,
    pub dead_letter: DeadLetter,
}

impl DeadMessage {
    /// The place of its audit row: the batch, else the message's own place.
    pub fn place(&self) -> BatchRef {
        self.dead_letter.context.batch.unwrap_or(self.key.place())
    }

    /// Whether it is the message that brings its batch, or points to it, not a job of a stored batch.
    pub fn is_the_batch(&self) -> bool {
        self.dead_letter.context.job.is_none()
    }

    /// The developer whose events it is about; empty if that is not known.
    pub fn developer(&self) -> &str {
        self.dead_letter
            .context
            .developer
            .as_deref()
            .unwrap_or_default()
    }

    /// The failure of its job, if it is one.
    pub fn job_failed(&self) -> Option<JobFailed> {
        Some(JobFailed {
            job: self.dead_letter.context.job.clone()?,
            at: self.dead_letter.at,
            actor: self.dead_letter.actor.clone().unwrap_or_default(),
            reason: self.dead_letter.reason.clone().unwrap_or_default(),
        })
    }
}
