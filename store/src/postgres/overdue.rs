//! What is overdue, read beside the writers.

use tokio_postgres::Row;
use types::time::Micros;

use super::trouble::Trouble;
use super::{Postgres, batches};
use crate::{Monitoring, Overdue, StoreError};

/// By the index on the state: of completed batches none is looked at.
const OVERDUE: &str = "SELECT src, seq, state, persisted_at, count(*) OVER () FROM batches
    WHERE state IN ('persisted', 'triggered', 'failed') AND persisted_at < $1
    ORDER BY persisted_at, src, seq LIMIT 1";

impl Monitoring for Postgres {
    async fn overdue(&self, before: Micros) -> Result<Option<Overdue>, StoreError> {
        let rows = self.rows(OVERDUE, &[&before]).await?;
        Ok(rows.first().map(overdue).transpose()?)
    }
}

fn overdue(row: &Row) -> Result<Overdue, Trouble> {
    Ok(Overdue {
        oldest: batches::batch_ref(row)?,
        state: batches::state(row, 2)?,
        persisted_at: row.try_get(3)?,
        count: row.try_get::<_, i64>(4)?.unsigned_abs(),
    })
}
