//! What of a stream is stored, and done with: asked by the trimmer (docs/protocol.md, Retention) and by
//! `verify`.

use types::id::Src;
use types::time::Micros;

use crate::StoreError;

/// How far a stored batch is, as far as the trimmer needs to know.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BatchProgress {
    /// Its sequence in the stream's life that was asked for.
    pub seq: u64,
    /// When the stream had it.
    pub published_at: Micros,
    /// Whether nothing waits for it any more: it is completed, or failed and an administrator dropped
    /// what was dead of it: each job.
    pub is_done: bool,
    /// Whether a job of it gave up, dropped or not.
    pub is_failed: bool,
}

/// Reading how far the batches of a stream's life are.
pub trait Retention: Send + Sync + 'static {
    /// The batches of `src` with the sequence `from` and above, rising, at most `limit`.
    fn stages(
        &self,
        src: Src,
        from: u64,
        limit: u32,
    ) -> impl Future<Output = Result<Vec<BatchProgress>, StoreError>> + Send;

    /// The first sequence of `src` from `from` on that has a batch or an event of one.
    fn next_stored(
        &self,
        src: Src,
        from: u64,
    ) -> impl Future<Output = Result<Option<u64>, StoreError>> + Send;

    /// How many batches of `src` have a sequence below `seq`.
    fn stored_below(
        &self,
        src: Src,
        seq: u64,
    ) -> impl Future<Output = Result<u64, StoreError>> + Send;
}
