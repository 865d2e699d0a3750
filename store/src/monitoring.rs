//! Watching over what is stored.

use types::id::BatchRef;
use types::job::BatchState;
use types::time::Micros;

use crate::error::StoreError;
use crate::row::{Row, batch_ref, count, state};
use crate::sql::shared_sql;

/// Batches that should have been completed by now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Overdue {
    pub count: u64,
    /// The one that was stored first.
    pub oldest: BatchRef,
    /// The state of that one.
    pub state: BatchState,
    /// When the store had that one.
    pub persisted_at: Micros,
}

/// Watching over what is stored.
pub trait Monitoring: Send + Sync + 'static {
    /// The batches that were stored before `before` and are not completed; `None` if there are none.
    fn overdue(
        &self,
        before: Micros,
    ) -> impl Future<Output = Result<Option<Overdue>, StoreError>> + Send;
}

shared_sql! {
    /// By the index on the state: no completed batch is read.
    OVERDUE = "SELECT src, seq, state, persisted_at, count(*) OVER () FROM batches
        WHERE state IN ('persisted', 'triggered', 'failed') AND persisted_at < $1
        ORDER BY persisted_at, src, seq LIMIT 1";
}

impl Overdue {
    /// From the columns of [`OVERDUE`].
    pub(crate) fn decode(row: &impl Row) -> Result<Self, StoreError> {
        Ok(Self {
            oldest: batch_ref(row, 0)?,
            state: state(row, 2)?,
            persisted_at: row.value(3)?,
            count: count(row, 4)?,
        })
    }
}
