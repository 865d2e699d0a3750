//! Reading quarantined events.

use deadpool_postgres::Transaction;
use tokio_postgres::Row;
use types::id::{BatchRef, EventRef, Src};
use types::stream::StreamIncarnation;
use types::verdict::Code;

use super::answers::code;
use super::trouble::Trouble;
use super::{Postgres, Work, batches, rows};
use crate::{
    IdOwner, Quarantine, QuarantineFilter, QuarantinedBatch, QuarantinedEvent, StoreError,
};

/// A page of keys. A tombstone lies above all that is forgotten with it.
const PAGE: &str = "SELECT DISTINCT r.src, r.seq FROM refused r
    JOIN batches b ON b.src = r.src AND b.seq = r.seq
    JOIN developers d ON d.developer = r.developer
    WHERE (r.src, r.seq) > ($1::bigint, $2::bigint) AND r.verdict = 'quarantined'
      AND ($3::text IS NULL OR r.developer = $3) AND ($4::text IS NULL OR r.code = $4)
      AND ($5::bigint IS NULL OR b.received_at >= $5)
      AND (d.tombstone_src IS NULL OR (r.src, r.seq) > (d.tombstone_src, d.tombstone_seq))
    ORDER BY r.src, r.seq LIMIT $6";
const BATCH: &str =
    "SELECT b.src, b.seq, s.stream, s.created_at, b.developer, b.batch_id, b.correlation_id, b.traceparent,
      b.schema_version, b.sent_at, b.skew, b.received_at, b.collector, b.client
    FROM batches b JOIN sources s ON s.src = b.src JOIN developers d ON d.developer = b.developer
    WHERE b.src = $1 AND b.seq = $2
      AND (d.tombstone_src IS NULL OR (b.src, b.seq) > (d.tombstone_src, d.tombstone_seq))";
const EVENTS: &str =
    "SELECT r.src, r.seq, r.ordinal, r.event_id, r.code, r.pointer, r.detail, r.body, r.hash,
      e.src, e.seq, e.ordinal, e.hash, e.body
    FROM refused r LEFT JOIN events e ON e.developer = r.developer AND e.event_id = r.event_id
    WHERE r.src = $1 AND r.seq = $2 AND r.verdict = 'quarantined' ORDER BY r.ordinal";
/// By way of `developers`, so that the index, which begins with the developer, serves.
const NAMED: &str = "SELECT r.src, r.seq, r.ordinal
    FROM developers d JOIN refused r ON r.developer = d.developer AND r.event_id = $1
    WHERE ($2::text IS NULL OR d.developer = $2) AND r.verdict = 'quarantined'
      AND (d.tombstone_src IS NULL OR (r.src, r.seq) > (d.tombstone_src, d.tombstone_seq))
    ORDER BY r.src, r.seq, r.ordinal LIMIT $3";
const NEWEST: &str = "SELECT coalesce(max(seq), 0) FROM batches WHERE src = $1";

impl Quarantine for Postgres {
    async fn quarantined(
        &self,
        filter: QuarantineFilter,
        after: Option<BatchRef>,
        limit: u32,
    ) -> Result<Vec<BatchRef>, StoreError> {
        // Numbers of lives begin at 1.
        let (src, seq) = after.map_or((0, 0), |after| (after.src, after.seq as i64));
        let (code, limit) = (filter.code.map(Code::as_str), i64::from(limit));
        let rows = self
            .rows(
                PAGE,
                &[&src, &seq, &filter.developer, &code, &filter.since, &limit],
            )
            .await?;
        Ok(rows
            .iter()
            .map(batches::batch_ref)
            .collect::<Result<_, _>>()?)
    }

    async fn quarantined_batch(
        &self,
        at: BatchRef,
    ) -> Result<Option<QuarantinedBatch>, StoreError> {
        self.read(Whole(at)).await
    }

    async fn quarantined_as(
        &self,
        event_id: String,
        developer: Option<String>,
        limit: u32,
    ) -> Result<Vec<EventRef>, StoreError> {
        let rows = self
            .rows(NAMED, &[&event_id, &developer, &i64::from(limit)])
            .await?;
        Ok(rows
            .iter()
            .map(|row| batches::event_ref(row, 0))
            .collect::<Result<_, _>>()?)
    }

    async fn newest(&self, src: Src) -> Result<u64, StoreError> {
        let rows = self.rows(NEWEST, &[&src]).await?;
        let newest = rows.first().map(|row| row.try_get::<_, i64>(0)).transpose();
        Ok(newest
            .map_err(Trouble::from)?
            .unwrap_or_default()
            .unsigned_abs())
    }
}

/// A batch and its quarantined events, of one moment.
struct Whole(BatchRef);

impl Work for Whole {
    type Done = Option<QuarantinedBatch>;

    async fn run(&self, tx: &Transaction<'_>) -> Result<Self::Done, Trouble> {
        let (src, seq) = (self.0.src, self.0.seq as i64);
        let found = rows(tx, BATCH, &[&src, &seq]).await?;
        let Some(row) = found.first() else {
            return Ok(None);
        };
        let events = rows(tx, EVENTS, &[&src, &seq]).await?;
        let events = events.iter().map(event).collect::<Result<Vec<_>, _>>()?;
        if events.is_empty() {
            return Ok(None);
        }
        Ok(Some(QuarantinedBatch {
            at: batches::batch_ref(row)?,
            incarnation: StreamIncarnation {
                name: row.try_get(2)?,
                created: row.try_get(3)?,
            },
            developer: row.try_get(4)?,
            batch_id: row.try_get(5)?,
            correlation_id: row.try_get(6)?,
            traceparent: row.try_get(7)?,
            schema_version: row.try_get(8)?,
            sent_at: row.try_get(9)?,
            skew: row.try_get(10)?,
            received_at: row.try_get(11)?,
            collector: row.try_get(12)?,
            client: row.try_get(13)?,
            events,
        }))
    }
}

fn event(row: &Row) -> Result<QuarantinedEvent, Trouble> {
    let at = batches::event_ref(row, 0)?;
    let (body, hash): (Vec<u8>, _) = (row.try_get(7)?, batches::hash(row, 8)?);
    let owner = match row.try_get::<_, Option<Src>>(9)? {
        None => None,
        Some(_) => {
            let holder = batches::hash(row, 12)?;
            Some(IdOwner::new(
                batches::event_ref(row, 9)?,
                (&holder, row.try_get(13)?),
                (at, &hash, &body),
            ))
        }
    };
    Ok(QuarantinedEvent {
        ordinal: at.ordinal,
        id: row.try_get(3)?,
        code: code(row.try_get(4)?)?,
        pointer: row.try_get(5)?,
        detail: row.try_get(6)?,
        body,
        hash,
        owner,
    })
}
