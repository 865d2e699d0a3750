//! Devtrail's database behind narrow roles: what a caller needs, and nothing more.
//!
//! [`Persist`] is T1 of `docs/protocol.md`, [`Outbox`] T2, [`Jobs`] T3 and what jobs read,
//! [`AlertOutbox`] the way of alerts into their stream, [`Attempts`] what failed, [`DeadLetters`] what
//! administrators decide about it. [`VerifyReads`], [`Answers`], [`History`], [`Quarantine`] and [`Retention`] read
//! what is stored, [`Monitoring`] tells what is overdue. [`Sqlite`] and [`Postgres`] are the engines. No SQL is written outside this crate.

mod accounts;
mod alerting;
mod attempts;
mod audit;
mod contest;
mod dead;
mod effects;
mod hours;
mod incoming;
mod jobs;
mod measured;
mod migrations;
mod postgres;
mod quarantine;
mod reading;
mod refused;
mod retention;
mod sqlite;
mod steps;
mod tally;

use types::id::{BatchRef, Src};
use types::job::BatchState;
use types::stream::StreamIncarnation;
use types::verdict::Counts;

pub use accounts::{Account, AuditStep, BatchStatus, StoredPlacement};
pub use attempts::{Attempt, Attempts, MessageKey, Recovery};
pub use dead::{DeadLetterDecision, DeadLetters};
pub use effects::{
    AlertRevision, DayRow, Effects, Finding, JobDone, NormalizedRow, PartialRow, RuleWindow,
};
pub use hours::{HourRange, TimeSpan};
pub use incoming::{AdmittedEvent, DecodedBatch, Refused, StoredFrom};
pub use jobs::{
    AlertOutbox, Computed, EventSelection, Hour, Jobs, Outbox, Pending, Receipt, Snapshot,
    StoredEvent, Triggered,
};
pub use postgres::{BadPostgresUrl, Postgres, PostgresUrl};
pub use quarantine::{IdOwner, Quarantine, QuarantineFilter, QuarantinedBatch, QuarantinedEvent};
pub use reading::{
    Answers, AuditEntry, Clue, History, Monitoring, NotAccepted, Overdue, StoredAlert, Submission,
    Totals, VerifyReads,
};
pub use retention::{BatchProgress, Retention};
pub use sqlite::Sqlite;

/// Why the store could not do it.
#[derive(Debug, Clone, thiserror::Error)]
pub enum StoreError {
    /// Its surroundings: busy, disk full, connection lost. Tried again for ever.
    #[error("the store is unavailable: {0}")]
    Unavailable(String),
    /// What was to be stored: it breaks a constraint, or is nothing that a column can hold. The same at each attempt.
    #[error("the store refused it: {0}")]
    Refused(String),
    /// The stream was put back to an older state than the database: an administrator mends it.
    #[error("{0}")]
    PutBack(String),
    /// Anything else: a defect, or input it cannot take.
    #[error("the store failed: {0}")]
    Failed(String),
    /// The database is not what this program needs: of another version, damaged, half restored, or closed to it. An
    /// administrator mends it.
    #[error("{0}")]
    Incompatible(String),
}

impl StoreError {
    /// Whether the error lies in the surroundings, not in what was to be stored.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Unavailable(_) => true,
            Self::Refused(_) | Self::PutBack(_) | Self::Failed(_) | Self::Incompatible(_) => false,
        }
    }
}

/// What T1 did with one batch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stored {
    /// The batch.
    pub at: BatchRef,
    /// It was stored before; nothing was done.
    pub already: bool,
    /// Its events as the store classified them; zero where `already`.
    pub counts: Counts,
    /// The state it was stored in.
    pub state: BatchState,
    /// Its jobs, where it was stored now and needs any: they may be published at once.
    pub pending: Option<Pending>,
}

/// Storing batches: T1.
pub trait Persist: Send + Sync + 'static {
    /// The number of a stream's life, given out on first sight.
    fn source(
        &self,
        incarnation: &StreamIncarnation,
    ) -> impl Future<Output = Result<Src, StoreError>> + Send;

    /// Stores a group in one transaction: all of it, or nothing.
    ///
    /// Idempotent by (src, seq), where the row is of the same message (else the group fails: see
    /// [`DecodedBatch::expect_own`]); events by (developer, event id), of which the lowest
    /// (src, seq, ordinal) is the original in whatever order batches are stored.
    fn store_batches(
        &self,
        group: Vec<DecodedBatch>,
    ) -> impl Future<Output = Result<Vec<Stored>, StoreError>> + Send;
}

/// All that the workers ask of a store. Cheap to clone; all clones share connections and writer.
pub trait Store:
    Persist
    + Outbox
    + Jobs
    + AlertOutbox
    + Attempts
    + DeadLetters
    + VerifyReads
    + Answers
    + History
    + Retention
    + Monitoring
    + Clone
{
}

impl<S> Store for S where
    S: Persist
        + Outbox
        + Jobs
        + AlertOutbox
        + Attempts
        + DeadLetters
        + VerifyReads
        + Answers
        + History
        + Retention
        + Monitoring
        + Clone
{
}
