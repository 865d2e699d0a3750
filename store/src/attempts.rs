//! What is remembered of messages that did not succeed at once, and of those that are given up.

use types::dead_letter::DeadLetter;
use types::id::{BatchRef, Src};
use types::job::{BatchState, JobMessage};
use types::time::Micros;

use crate::StoreError;
use crate::effects::JobFailed;

/// A message as one consumer sees it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct MessageKey {
    /// The number of its stream's life, of whatever stream.
    pub src: Src,
    /// The consumer's name.
    pub consumer: String,
    /// Its stream sequence.
    pub seq: u64,
}

/// What is remembered of a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attempt {
    /// Attempts that failed for a reason nobody knows.
    pub used: u32,
    /// Marks that were set and not taken back: workers that handle it alone now, or died while they did.
    pub marks: u32,
    /// Why the last attempt failed.
    pub reason: Option<String>,
    /// When DEAD had it, where it has.
    pub dead_at: Option<Micros>,
}

/// A message that is done after attempts that failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recovery {
    /// The message.
    pub key: MessageKey,
    /// When it was done.
    pub at: Micros,
    /// Which worker did it.
    pub actor: String,
    /// The batch it is or is about, where that is known.
    pub batch: Option<BatchRef>,
    /// Whose it is; empty where nobody knows.
    pub developer: String,
    /// The client's batch id; empty where it cannot be read.
    pub batch_id: String,
    /// Follows the batch everywhere; empty where it cannot be read.
    pub correlation_id: String,
    /// The job, where it is one.
    pub job: Option<JobMessage>,
}

/// Remembering what did not succeed at once. A message without a row has never failed.
pub trait Attempts: Send + Sync + 'static {
    /// The state of a batch; `None` where it is not stored.
    fn state(
        &self,
        at: BatchRef,
    ) -> impl Future<Output = Result<Option<BatchState>, StoreError>> + Send;

    /// What is remembered of these messages, by sequence; those without a row are left out.
    fn load_attempts(
        &self,
        src: Src,
        consumer: String,
        seqs: Vec<u64>,
    ) -> impl Future<Output = Result<Vec<(u64, Attempt)>, StoreError>> + Send;

    /// The message is about to be handled alone: committed before it is. Gives what is remembered,
    /// this mark included.
    fn begin_attempt(
        &self,
        key: MessageKey,
        at: Micros,
    ) -> impl Future<Output = Result<Attempt, StoreError>> + Send;

    /// Handling it alone has ended, the worker is alive: takes one mark back.
    fn clear_attempt(&self, key: MessageKey)
    -> impl Future<Output = Result<(), StoreError>> + Send;

    /// Counts a failed attempt; gives what is remembered, this one included.
    fn record_failure(
        &self,
        key: MessageKey,
        reason: String,
        at: Micros,
    ) -> impl Future<Output = Result<Attempt, StoreError>> + Send;

    /// DEAD has the message, and it is not yet terminated: its audit row, and T3f where it is a job,
    /// in one transaction. The second time nothing is written.
    fn record_dead_letter(
        &self,
        key: MessageKey,
        letter: DeadLetter,
    ) -> impl Future<Output = Result<(), StoreError>> + Send;

    /// The message is done: forgets it and, where attempts of it had failed, says so in the audit, in one
    /// transaction. The second time nothing is written.
    fn record_recovery(
        &self,
        recovery: Recovery,
    ) -> impl Future<Output = Result<(), StoreError>> + Send;

    /// These messages are done with, or terminated: nothing need be remembered.
    fn remove_attempts(
        &self,
        src: Src,
        consumer: String,
        seqs: Vec<u64>,
    ) -> impl Future<Output = Result<(), StoreError>> + Send;
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
    /// Where its audit row belongs: to the batch, else to the message's own place.
    pub(crate) fn place(&self) -> BatchRef {
        self.batch.unwrap_or(self.key.place())
    }
}

/// What is recorded of a message that is in DEAD.
pub(crate) struct DeadMessage {
    pub key: MessageKey,
    pub letter: DeadLetter,
}

impl DeadMessage {
    /// Where its audit row belongs: to the batch, else to the message's own place.
    pub fn place(&self) -> BatchRef {
        self.letter.context.batch.unwrap_or(self.key.place())
    }

    /// Whether it is the message that brings its batch, or points to it, not a job of a stored batch.
    pub fn is_the_batch(&self) -> bool {
        self.letter.context.job.is_none()
    }

    /// The developer whose events it is about; empty if that is not known.
    pub fn developer(&self) -> &str {
        self.letter.context.developer.as_deref().unwrap_or_default()
    }

    /// The failure of its job, if it is one.
    pub fn job_failed(&self) -> Option<JobFailed> {
        Some(JobFailed {
            job: self.letter.context.job.clone()?,
            at: self.letter.at,
            actor: self.letter.actor.clone().unwrap_or_default(),
            reason: self.letter.reason.clone().unwrap_or_default(),
        })
    }
}
