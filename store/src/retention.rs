//! What of a stream is stored and done with, for retention (docs/protocol.md, Retention) and `verify`.

use types::id::Src;
use types::time::Micros;

use crate::error::StoreError;
use crate::row::{Row, count};
use crate::sql::shared_sql;

/// How far a stored batch is, as far as retention needs to know.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BatchProgress {
    /// Its sequence in the stream's incarnation that was asked for.
    pub seq: u64,
    /// When the stream had it.
    pub published_at: Micros,
    /// Whether nothing waits for it any more: it is completed, or failed and an administrator dropped
    /// each of its dead-lettered jobs.
    pub is_done: bool,
    /// Whether a job of it was dead-lettered, dropped or not.
    pub is_failed: bool,
}

/// Reading how far the batches of a stream's incarnation are.
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

/// The statement behind [`Retention::stages`]; the job id in an audit row's detail is read as each engine reads JSON.
///
/// A failed batch is done with once each of its dead-lettered jobs has its own `dropped` row. Of a forgotten developer
/// it is no longer known which job a row is about.
macro_rules! stages_sql {
    ($job_id:literal) => {
        concat!(
            "SELECT b.seq, b.published_at, b.state = 'completed' OR (b.state = 'failed' AND NOT EXISTS (
                SELECT 1 FROM (SELECT 1 AS bit, 'aggregate' AS kind UNION ALL SELECT 2, 'normalize'
                  UNION ALL SELECT 4, 'alert') k
                WHERE b.failed & k.bit <> 0 AND NOT EXISTS (
                  SELECT 1 FROM audit a LEFT JOIN audit_personal p ON p.id = a.id
                  WHERE a.src = b.src AND a.seq = b.seq AND a.step = 'dropped' AND (p.id IS NULL OR ",
            $job_id,
            " LIKE b.src || ':' || b.seq || ':' || k.kind || '%')))),
              b.state = 'failed'
            FROM batches b WHERE b.src = $1 AND b.seq >= $2 ORDER BY b.seq LIMIT $3"
        )
    };
}
shared_sql! {
    STAGES_IN_POSTGRES = stages_sql!("p.detail::json ->> 'job_id'");
    STAGES_IN_SQLITE = stages_sql!("json_extract(p.detail, '$.job_id')");
    NEXT_STORED = "SELECT min(seq) FROM (
          SELECT min(seq) AS seq FROM batches WHERE src = $1 AND seq >= $2
          UNION ALL SELECT min(seq) FROM events WHERE src = $1 AND seq >= $2
          UNION ALL SELECT min(seq) FROM refused WHERE src = $1 AND seq >= $2
          UNION ALL SELECT min(seq) FROM duplicates WHERE src = $1 AND seq >= $2) found";
    STORED_BELOW = "SELECT count(*) FROM batches WHERE src = $1 AND seq < $2";
}

impl BatchProgress {
    /// From the columns of `stages_sql!`.
    pub(crate) fn decode(row: &impl Row) -> Result<Self, StoreError> {
        Ok(Self {
            seq: count(row, 0)?,
            published_at: row.value(1)?,
            is_done: row.value(2)?,
            is_failed: row.value(3)?,
        })
    }
}

/// The one number of an aggregate without a group: `None` if it had no row to read.
pub(crate) fn decode_number(row: &impl Row) -> Result<Option<u64>, StoreError> {
    Ok(row.value::<Option<i64>>(0)?.map(i64::unsigned_abs))
}
