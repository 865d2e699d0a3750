//! What is overdue, read beside the writer.

use rusqlite::OptionalExtension;

use types::time::Micros;

use super::{Sqlite, batches};
use crate::{Monitoring, Overdue, StoreError};

/// By the index on the state: of completed batches none is looked at.
const OVERDUE: &str = "SELECT src, seq, state, persisted_at, count(*) OVER () FROM batches
    WHERE state IN ('persisted', 'triggered', 'failed') AND persisted_at < ?1
    ORDER BY persisted_at, src, seq LIMIT 1";

impl Monitoring for Sqlite {
    async fn overdue(&self, before: Micros) -> Result<Option<Overdue>, StoreError> {
        self.readers
            .read(move |connection| {
                let mut statement = connection.prepare_cached(OVERDUE)?;
                let found = statement.query_row([before], |row| {
                    Ok(Overdue {
                        oldest: batches::batch_ref(row)?,
                        state: batches::state(row, 2)?,
                        persisted_at: row.get(3)?,
                        count: row.get::<_, i64>(4)?.unsigned_abs(),
                    })
                });
                Ok(found.optional()?)
            })
            .await
    }
}
