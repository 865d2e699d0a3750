//! Storing batches (T1).

use types::id::{BatchRef, Src};
use types::job::BatchState;
use types::stream::StreamIncarnation;
use types::verdict::Counts;

use crate::decoded_batch::DecodedBatch;
use crate::error::StoreError;
use crate::outbox::Pending;

/// What `store_batches` did with one batch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stored {
    pub at: BatchRef,
    /// It was stored before; nothing was done.
    pub already: bool,
    /// Its events as the store classified them; zero if `already`.
    pub counts: Counts,
    /// The state it was stored in.
    pub state: BatchState,
    /// Its jobs, if it was stored now and needs any: they may be published at once.
    pub pending: Option<Pending>,
}

/// Storing batches.
pub trait Persist: Send + Sync + 'static {
    /// The number of a stream's incarnation, given out on first sight.
    fn source(
        &self,
        incarnation: &StreamIncarnation,
    ) -> impl Future<Output = Result<Src, StoreError>> + Send;

    /// T1: stores a group in one transaction: all of it, or nothing.
    ///
    /// Idempotent by (src, seq), if the row is of the same message (else the group fails: see
    /// [`DecodedBatch::expect_own`]); events by (developer, event id), of which the lowest
    /// (src, seq, ordinal) is the original in whatever order batches are stored.
    fn store_batches(
        &self,
        group: Vec<DecodedBatch>,
    ) -> impl Future<Output = Result<Vec<Stored>, StoreError>> + Send;
}
