//! Devtrail's database behind narrow roles: what a caller needs, and nothing more.
//!
//! [`Persist`] is T1 of `docs/protocol.md`; [`Ledger`] reads what is stored, for `verify` and
//! `status`. [`Sqlite`] is the engine. No SQL is written outside this crate.

mod audit;
mod contest;
mod incoming;
mod sqlite;

use common::bus::StreamLife;
use common::id::{BatchRef, EventRef, Src};
use common::job::BatchState;
use common::verdict::{Counts, Verdict};

pub use incoming::{Competitor, Incoming, Refused, StoredFrom};
pub use sqlite::{Sqlite, SqliteReader};

/// Why the store could not do it.
#[derive(Debug, Clone, thiserror::Error)]
pub enum StoreError {
    /// Its surroundings: busy, disk full, connection lost. Tried again for ever.
    #[error("the store is unavailable: {0}")]
    Unavailable(String),
    /// Anything else: a defect, or input it cannot take.
    #[error("the store failed: {0}")]
    Failed(String),
    /// The database was written by a newer program.
    #[error("{0}")]
    Incompatible(String),
}

impl StoreError {
    /// Whether the error lies in the surroundings, not in what was to be stored.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Unavailable(_) => true,
            Self::Failed(_) | Self::Incompatible(_) => false,
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
}

/// Storing batches: T1.
pub trait Persist: Send + Sync + 'static {
    /// The number of a stream's life, given out on first sight.
    fn source(&self, life: &StreamLife) -> impl Future<Output = Result<Src, StoreError>> + Send;

    /// Stores a group in one transaction: all of it, or nothing.
    ///
    /// Idempotent by (src, seq), where the row is of the same message (else the group fails: see
    /// [`Incoming::expect_own`]); events by (developer, event id), of which the lowest
    /// (src, seq, ordinal) is the original in whatever order batches are stored.
    fn persist(&self, group: Vec<Incoming>) -> impl Future<Output = Result<Vec<Stored>, StoreError>> + Send;
}

/// Where an event of a message is in the store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Kept {
    /// In `events`, with the hash of its bytes.
    Event([u8; 32]),
    /// Dropped as a duplicate of this event.
    Duplicate {
        /// The original; `None` where there is none, which is a fault.
        original: Option<EventRef>,
    },
    /// Kept whole among the refused.
    Refused(Verdict, [u8; 32]),
}

/// A stored batch and all that came of its events, for checking it against its message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Account {
    /// The batch.
    pub at: BatchRef,
    /// Whether the batch has its row (an account without one is a fault).
    pub has_row: bool,
    /// Every place an ordinal is kept in; one each, where all is well.
    pub kept: Vec<(u32, Kept)>,
}

/// Batches and events in the store.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize)]
pub struct Totals {
    /// Batches by state.
    pub batches: std::collections::BTreeMap<String, u64>,
    /// Events, each once.
    pub events: u64,
    /// Dropped duplicates.
    pub duplicates: u64,
    /// Quarantined events.
    pub quarantined: u64,
    /// Rejected events.
    pub rejected: u64,
    /// People with events.
    pub developers: u64,
}

/// Reading what is stored, page by page, beside writers.
pub trait Ledger: Send + 'static {
    /// The number of a stream's life; `None` where nothing of it was ever stored.
    ///
    /// # Errors
    /// Where the store cannot be read.
    fn known_source(&self, life: &StreamLife) -> Result<Option<Src>, StoreError>;

    /// The accounts of `src` with sequences in `from..=to`, rising; sequences without any are left out.
    ///
    /// # Errors
    /// Where the store cannot be read.
    fn accounts(&self, src: Src, from: u64, to: u64) -> Result<Vec<Account>, StoreError>;

    /// Counts of everything.
    ///
    /// # Errors
    /// Where the store cannot be read.
    fn totals(&self) -> Result<Totals, StoreError>;
}
