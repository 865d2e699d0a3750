//! How far the batches of a stream's life are, in the order of the primary key.

use rusqlite::{Connection, Row, params};
use types::id::Src;

use super::Sqlite;
use crate::{BatchProgress, Retention, StoreError};

/// A failed batch is done with once each of its dead jobs has its own `dropped` row; which job a row is about
/// is not told any more of a forgotten developer.
const STAGES: &str = "SELECT b.seq, b.published_at, b.state = 'completed' OR (b.state = 'failed' AND NOT EXISTS (
        SELECT 1 FROM (SELECT 1 AS bit, 'aggregate' AS kind UNION ALL SELECT 2, 'normalize' UNION ALL SELECT 4, 'alert') k
        WHERE b.failed & k.bit <> 0 AND NOT EXISTS (
          SELECT 1 FROM audit a LEFT JOIN audit_personal p ON p.id = a.id
          WHERE a.src = b.src AND a.seq = b.seq AND a.step = 'dropped' AND (p.id IS NULL OR
            json_extract(p.detail, '$.job_id') LIKE b.src || ':' || b.seq || ':' || k.kind || '%')))),
      b.state = 'failed'
    FROM batches b WHERE b.src = ?1 AND b.seq >= ?2 ORDER BY b.seq LIMIT ?3";
const NEXT_STORED: &str = "SELECT min(seq) FROM (
      SELECT min(seq) AS seq FROM batches WHERE src = ?1 AND seq >= ?2
      UNION ALL SELECT min(seq) FROM events WHERE src = ?1 AND seq >= ?2
      UNION ALL SELECT min(seq) FROM refused WHERE src = ?1 AND seq >= ?2
      UNION ALL SELECT min(seq) FROM duplicates WHERE src = ?1 AND seq >= ?2) found";
const BELOW: &str = "SELECT count(*) FROM batches WHERE src = ?1 AND seq < ?2";

impl Retention for Sqlite {
    async fn stages(
        &self,
        src: Src,
        from: u64,
        limit: u32,
    ) -> Result<Vec<BatchProgress>, StoreError> {
        let Ok(from) = i64::try_from(from) else {
            return Ok(Vec::new());
        };
        let read = move |connection: &Connection| {
            let mut statement = connection.prepare_cached(STAGES)?;
            let rows = statement.query_map(params![src, from, limit], stage)?;
            Ok(rows.collect::<Result<_, _>>()?)
        };
        self.readers.read(read).await
    }

    async fn next_stored(&self, src: Src, from: u64) -> Result<Option<u64>, StoreError> {
        let Ok(from) = i64::try_from(from) else {
            return Ok(None);
        };
        self.number(NEXT_STORED, src, from).await
    }

    async fn stored_below(&self, src: Src, seq: u64) -> Result<u64, StoreError> {
        let seq = i64::try_from(seq).unwrap_or(i64::MAX);
        Ok(self.number(BELOW, src, seq).await?.unwrap_or_default())
    }
}

impl Sqlite {
    /// The one number that a question about a life and a sequence gives.
    async fn number(
        &self,
        sql: &'static str,
        src: Src,
        seq: i64,
    ) -> Result<Option<u64>, StoreError> {
        let read = move |connection: &Connection| {
            let mut statement = connection.prepare_cached(sql)?;
            let found =
                statement.query_row(params![src, seq], |row| row.get::<_, Option<i64>>(0))?;
            Ok(found.map(i64::unsigned_abs))
        };
        self.readers.read(read).await
    }
}

fn stage(row: &Row<'_>) -> rusqlite::Result<BatchProgress> {
    let seq = row.get::<_, i64>(0)?.unsigned_abs();
    let (published_at, is_done, is_failed) = (row.get(1)?, row.get(2)?, row.get(3)?);
    Ok(BatchProgress {
        seq,
        published_at,
        is_done,
        is_failed,
    })
}
