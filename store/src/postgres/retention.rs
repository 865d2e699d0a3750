//! How far the batches of a stream's life are, in the order of the primary key.

use common::id::Src;
use tokio_postgres::Row;

use super::Postgres;
use super::trouble::Trouble;
use crate::{Retention, Stage, StoreError};

const STAGES: &str = "SELECT b.seq, b.published_at, b.state = 'completed' OR (b.state = 'failed' AND EXISTS (
        SELECT FROM audit a WHERE a.src = b.src AND a.seq = b.seq AND a.step = 'dropped'))
    FROM batches b WHERE b.src = $1 AND b.seq >= $2 ORDER BY b.seq LIMIT $3";

impl Retention for Postgres {
    async fn stages(&self, src: Src, from: u64, limit: u32) -> Result<Vec<Stage>, StoreError> {
        let Ok(from) = i64::try_from(from) else { return Ok(Vec::new()) };
        let rows = self.rows(STAGES, &[&src, &from, &i64::from(limit)]).await?;
        Ok(rows.iter().map(stage).collect::<Result<_, _>>()?)
    }
}

fn stage(row: &Row) -> Result<Stage, Trouble> {
    let seq = row.try_get::<_, i64>(0)?.unsigned_abs();
    Ok(Stage { seq, published_at: row.try_get(1)?, is_done: row.try_get(2)? })
}
