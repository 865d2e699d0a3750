//! How far the batches of a stream's life are, in the order of the primary key.

use common::id::Src;
use rusqlite::{Connection, Row, params};

use super::Sqlite;
use crate::{Retention, Stage, StoreError};

const STAGES: &str = "SELECT b.seq, b.published_at, b.state = 'completed' OR (b.state = 'failed' AND EXISTS (
        SELECT 1 FROM audit a WHERE a.src = b.src AND a.seq = b.seq AND a.step = 'dropped'))
    FROM batches b WHERE b.src = ?1 AND b.seq >= ?2 ORDER BY b.seq LIMIT ?3";

impl Retention for Sqlite {
    async fn stages(&self, src: Src, from: u64, limit: u32) -> Result<Vec<Stage>, StoreError> {
        let Ok(from) = i64::try_from(from) else { return Ok(Vec::new()) };
        let read = move |connection: &Connection| {
            let mut statement = connection.prepare_cached(STAGES)?;
            let rows = statement.query_map(params![src, from, limit], stage)?;
            Ok(rows.collect::<Result<_, _>>()?)
        };
        self.readers.read(read).await
    }
}

fn stage(row: &Row<'_>) -> rusqlite::Result<Stage> {
    let seq = row.get::<_, i64>(0)?.unsigned_abs();
    Ok(Stage { seq, published_at: row.get(1)?, is_done: row.get(2)? })
}
