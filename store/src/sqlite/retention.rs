//! [`Retention`] from SQLite, in the order of the primary key.

use rusqlite::params;
use types::id::Src;

use super::database::Sqlite;
use super::statements::{list, one};
use crate::error::StoreError;
use crate::retention::{
    BatchProgress, NEXT_STORED, Retention, STAGES_IN_SQLITE, STORED_BELOW, decode_number,
};

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
        self.read(move |connection| {
            let key = params![src, from, limit];
            list(connection, STAGES_IN_SQLITE.sqlite, key, |row| {
                BatchProgress::decode(row)
            })
        })
        .await
    }

    async fn next_stored(&self, src: Src, from: u64) -> Result<Option<u64>, StoreError> {
        let Ok(from) = i64::try_from(from) else {
            return Ok(None);
        };
        self.read(move |connection| {
            let next = one(connection, NEXT_STORED.sqlite, params![src, from], |row| {
                decode_number(row)
            })?;
            Ok(next.flatten())
        })
        .await
    }

    async fn stored_below(&self, src: Src, seq: u64) -> Result<u64, StoreError> {
        let seq = i64::try_from(seq).unwrap_or(i64::MAX);
        self.read(move |connection| {
            let below = one(connection, STORED_BELOW.sqlite, params![src, seq], |row| {
                decode_number(row)
            })?;
            Ok(below.flatten().unwrap_or_default())
        })
        .await
    }
}
