//! Which store this is, and what of a stream it does not have.

use types::id::Src;
use types::stream::StreamIncarnation;
use types::time::Micros;
use uuid::Uuid;

use crate::error::StoreError;
use crate::row::{Row, count};
use crate::sql::shared_sql;

/// Sequences of a stream without a batch, both ends included.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SeqGap {
    pub from: u64,
    pub to: u64,
}

/// That a store began to read a stream from its first message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reread {
    pub incarnation: StreamIncarnation,
    /// Whether it took the streams over from another store; else it lacked what it had acked.
    pub is_adoption: bool,
    /// Who decided: `user@host`, or the worker.
    pub by: String,
    pub reason: String,
    pub time: Micros,
    /// Executable and instance.
    pub actor: String,
}

/// Which store this is, and what of a stream it does not have.
pub trait Identity: Send + Sync + 'static {
    /// The id of this store; `None` if no worker has written it yet.
    fn store_id(&self) -> impl Future<Output = Result<Option<String>, StoreError>> + Send;

    /// The id of this store, made if it has none.
    fn make_store_id(&self) -> impl Future<Output = Result<String, StoreError>> + Send;

    /// Whether no batch is stored.
    fn is_empty(&self) -> impl Future<Output = Result<bool, StoreError>> + Send;

    /// The sequences in `from..=to` of `src` without a batch, rising; at most `limit` gaps.
    fn gaps(
        &self,
        src: Src,
        from: u64,
        to: u64,
        limit: u32,
    ) -> impl Future<Output = Result<Vec<SeqGap>, StoreError>> + Send;

    /// Writes to the audit that the stream is read from its first message, under the stream's sequence 0.
    fn record_reread(&self, reread: Reread) -> impl Future<Output = Result<(), StoreError>> + Send;
}

shared_sql! {
    STORE_ID = "SELECT store_id FROM store_identity";
    MAKE_STORE_ID = "INSERT INTO store_identity (one, store_id) VALUES (1, $1) ON CONFLICT (one) DO NOTHING";
    HAS_BATCHES = "SELECT 1 FROM batches LIMIT 1";
    /// The bounds stand for batches just outside.
    GAPS = "SELECT gap_from, gap_to FROM (
          SELECT lag(seq) OVER (ORDER BY seq) + 1 AS gap_from, seq - 1 AS gap_to FROM (
            SELECT seq FROM batches WHERE src = $1 AND seq BETWEEN $2 AND $3
            UNION ALL SELECT CAST($2 AS bigint) - 1 UNION ALL SELECT CAST($3 AS bigint) + 1) found) gap
        WHERE gap_from <= gap_to ORDER BY gap_from LIMIT $4";
}

impl SeqGap {
    /// From the columns of [`GAPS`].
    pub(crate) fn decode(row: &impl Row) -> Result<Self, StoreError> {
        Ok(Self {
            from: count(row, 0)?,
            to: count(row, 1)?,
        })
    }
}

/// A new id.
pub(crate) fn new_store_id() -> String {
    Uuid::new_v4().to_string()
}

/// The id that was written is there.
pub(crate) fn written(id: Option<String>) -> Result<String, StoreError> {
    id.ok_or_else(|| StoreError::Failed("the store's own id was not written".to_owned()))
}

/// A sequence as both engines take it.
pub(crate) fn bound(seq: u64) -> i64 {
    i64::try_from(seq).unwrap_or(i64::MAX - 1)
}
