//! [`Quarantine`] from SQLite.

use rusqlite::params;
use types::id::{BatchRef, EventRef, Src};
use types::time::Micros;
use types::verdict::Code;

use super::database::Sqlite;
use super::statements::{list, one};
use crate::error::StoreError;
use crate::quarantine::{
    NEWEST, QUARANTINED, QUARANTINED_AS, QUARANTINED_BATCH, QUARANTINED_EVENTS, Quarantine,
    QuarantineFilter, QuarantinedBatch, QuarantinedEvent,
};
use crate::row::{batch_ref, count, event_ref};

impl Quarantine for Sqlite {
    async fn quarantined(
        &self,
        filter: QuarantineFilter,
        after: Option<BatchRef>,
        limit: u32,
    ) -> Result<Vec<BatchRef>, StoreError> {
        // Numbers of incarnations begin at 1.
        let after = after.unwrap_or(BatchRef { src: 0, seq: 0 });
        self.read(move |connection| {
            let code = filter.code.map(Code::as_str);
            let key = params![
                after.src,
                after.seq as i64,
                filter.developer,
                code,
                filter.from,
                filter.to,
                limit
            ];
            list(connection, QUARANTINED.sqlite, key, |row| batch_ref(row, 0))
        })
        .await
    }

    async fn quarantined_batch(
        &self,
        at: BatchRef,
        since: Option<Micros>,
    ) -> Result<Option<QuarantinedBatch>, StoreError> {
        self.read(move |connection| {
            let key = params![at.src, at.seq as i64];
            let sql = QUARANTINED_BATCH.sqlite;
            let Some(mut batch) = one(connection, sql, key, |row| QuarantinedBatch::decode(row))?
            else {
                return Ok(None);
            };
            let sql = QUARANTINED_EVENTS.sqlite;
            let key = params![at.src, at.seq as i64, since];
            batch.events = list(connection, sql, key, |row| QuarantinedEvent::decode(row))?;
            Ok((!batch.events.is_empty()).then_some(batch))
        })
        .await
    }

    async fn quarantined_as(
        &self,
        event_id: String,
        developer: Option<String>,
        limit: u32,
    ) -> Result<Vec<EventRef>, StoreError> {
        self.read(move |connection| {
            let key = params![event_id, developer, limit];
            list(connection, QUARANTINED_AS.sqlite, key, |row| {
                event_ref(row, 0)
            })
        })
        .await
    }

    async fn newest(&self, src: Src) -> Result<u64, StoreError> {
        self.read(move |connection| {
            let newest = one(connection, NEWEST.sqlite, [src], |row| count(row, 0))?;
            Ok(newest.unwrap_or_default())
        })
        .await
    }
}
