//! [`Quarantine`] from Postgres.

use types::id::{BatchRef, EventRef, Src};
use types::time::Micros;
use types::verdict::Code;

use super::database::Postgres;
use super::statements::{Param, list, one};
use crate::error::StoreError;
use crate::quarantine::{
    NEWEST, QUARANTINED, QUARANTINED_AS, QUARANTINED_BATCH, QUARANTINED_EVENTS, Quarantine,
    QuarantineFilter, QuarantinedBatch, QuarantinedEvent,
};
use crate::row::{batch_ref, count, event_ref};

/// A batch whose quarantined events are wanted, and since when submissions count.
struct Asked {
    at: BatchRef,
    since: Option<Micros>,
}

impl Quarantine for Postgres {
    async fn quarantined(
        &self,
        filter: QuarantineFilter,
        after: Option<BatchRef>,
        limit: u32,
    ) -> Result<Vec<BatchRef>, StoreError> {
        // Numbers of incarnations begin at 1.
        let after = after.unwrap_or(BatchRef { src: 0, seq: 0 });
        let code = filter.code.map(Code::as_str);
        let key: [Param<'_>; 7] = [
            &after.src,
            &(after.seq as i64),
            &filter.developer,
            &code,
            &filter.from,
            &filter.to,
            &i64::from(limit),
        ];
        self.list(QUARANTINED.postgres, &key, |row| batch_ref(row, 0))
            .await
    }

    async fn quarantined_batch(
        &self,
        at: BatchRef,
        since: Option<Micros>,
    ) -> Result<Option<QuarantinedBatch>, StoreError> {
        let asked = Asked { at, since };
        self.read(asked, |tx, Asked { at, since }| {
            Box::pin(async move {
                let seq = at.seq as i64;
                let key: [Param<'_>; 2] = [&at.src, &seq];
                let sql = QUARANTINED_BATCH.postgres;
                let Some(mut batch) = one(tx, sql, &key, QuarantinedBatch::decode).await? else {
                    return Ok(None);
                };
                let sql = QUARANTINED_EVENTS.postgres;
                let key: [Param<'_>; 3] = [&at.src, &seq, since];
                batch.events = list(tx, sql, &key, QuarantinedEvent::decode).await?;
                Ok((!batch.events.is_empty()).then_some(batch))
            })
        })
        .await
    }

    async fn quarantined_as(
        &self,
        event_id: String,
        developer: Option<String>,
        limit: u32,
    ) -> Result<Vec<EventRef>, StoreError> {
        let key: [Param<'_>; 3] = [&event_id, &developer, &i64::from(limit)];
        self.list(QUARANTINED_AS.postgres, &key, |row| event_ref(row, 0))
            .await
    }

    async fn newest(&self, src: Src) -> Result<u64, StoreError> {
        let newest = self
            .one(NEWEST.postgres, &[&src], |row| count(row, 0))
            .await?;
        Ok(newest.unwrap_or_default())
    }
}
