//! Reading quarantined events.

use rusqlite::{Connection, OptionalExtension, Row, params};
use types::id::{BatchRef, EventRef, Src};
use types::stream::StreamIncarnation;
use types::verdict::Code;

use super::answers::code;
use super::persist::event_ref;
use super::{Sqlite, batches};
use crate::{
    IdOwner, Quarantine, QuarantineFilter, QuarantinedBatch, QuarantinedEvent, StoreError,
};

/// A page of keys. A tombstone lies above all that is forgotten with it.
const PAGE: &str = "SELECT DISTINCT r.src, r.seq FROM refused r
    JOIN batches b ON b.src = r.src AND b.seq = r.seq
    JOIN developers d ON d.developer = r.developer
    WHERE (r.src, r.seq) > (?1, ?2) AND r.verdict = 'quarantined'
      AND (?3 IS NULL OR r.developer = ?3) AND (?4 IS NULL OR r.code = ?4) AND (?5 IS NULL OR b.received_at >= ?5)
      AND (d.tombstone_src IS NULL OR (r.src, r.seq) > (d.tombstone_src, d.tombstone_seq))
    ORDER BY r.src, r.seq LIMIT ?6";
const BATCH: &str =
    "SELECT b.src, b.seq, s.stream, s.created_at, b.developer, b.batch_id, b.correlation_id, b.traceparent,
      b.schema_version, b.sent_at, b.skew, b.received_at, b.collector, b.client
    FROM batches b JOIN sources s ON s.src = b.src JOIN developers d ON d.developer = b.developer
    WHERE b.src = ?1 AND b.seq = ?2
      AND (d.tombstone_src IS NULL OR (b.src, b.seq) > (d.tombstone_src, d.tombstone_seq))";
const EVENTS: &str =
    "SELECT r.src, r.seq, r.ordinal, r.event_id, r.code, r.pointer, r.detail, r.body, r.hash,
      e.src, e.seq, e.ordinal, e.hash, e.body
    FROM refused r LEFT JOIN events e ON e.developer = r.developer AND e.event_id = r.event_id
    WHERE r.src = ?1 AND r.seq = ?2 AND r.verdict = 'quarantined' ORDER BY r.ordinal";
/// By way of `developers`, so that the index, which begins with the developer, serves.
const NAMED: &str = "SELECT r.src, r.seq, r.ordinal FROM refused r
    JOIN developers d ON d.developer = r.developer
    WHERE r.developer IN (SELECT developer FROM developers WHERE ?2 IS NULL OR developer = ?2)
      AND r.event_id = ?1 AND r.verdict = 'quarantined'
      AND (d.tombstone_src IS NULL OR (r.src, r.seq) > (d.tombstone_src, d.tombstone_seq))
    ORDER BY r.src, r.seq, r.ordinal LIMIT ?3";
const NEWEST: &str = "SELECT coalesce(max(seq), 0) FROM batches WHERE src = ?1";

impl Quarantine for Sqlite {
    async fn quarantined(
        &self,
        filter: QuarantineFilter,
        after: Option<BatchRef>,
        limit: u32,
    ) -> Result<Vec<BatchRef>, StoreError> {
        let read = move |connection: &Connection| {
            let mut statement = connection.prepare_cached(PAGE)?;
            // Numbers of lives begin at 1.
            let (src, seq) = after.map_or((0, 0), |after| (after.src, after.seq as i64));
            let code = filter.code.map(Code::as_str);
            let key = params![src, seq, filter.developer, code, filter.since, limit];
            let rows = statement.query_map(key, batches::batch_ref)?;
            Ok(rows.collect::<Result<_, _>>()?)
        };
        self.readers.read(read).await
    }

    async fn quarantined_batch(
        &self,
        at: BatchRef,
    ) -> Result<Option<QuarantinedBatch>, StoreError> {
        self.readers
            .read(move |connection| batch(connection, at))
            .await
    }

    async fn quarantined_as(
        &self,
        event_id: String,
        developer: Option<String>,
        limit: u32,
    ) -> Result<Vec<EventRef>, StoreError> {
        let read = move |connection: &Connection| {
            let mut statement = connection.prepare_cached(NAMED)?;
            let rows = statement.query_map(params![event_id, developer, limit], event_ref)?;
            Ok(rows.collect::<Result<_, _>>()?)
        };
        self.readers.read(read).await
    }

    async fn newest(&self, src: Src) -> Result<u64, StoreError> {
        let read = move |connection: &Connection| {
            let mut statement = connection.prepare_cached(NEWEST)?;
            Ok(statement
                .query_row([src], |row| row.get::<_, i64>(0))?
                .unsigned_abs())
        };
        self.readers.read(read).await
    }
}

fn batch(connection: &Connection, at: BatchRef) -> Result<Option<QuarantinedBatch>, StoreError> {
    let key = params![at.src, at.seq as i64];
    let mut statement = connection.prepare_cached(BATCH)?;
    let found = statement.query_row(key, |row| {
        Ok(QuarantinedBatch {
            at: batches::batch_ref(row)?,
            incarnation: StreamIncarnation {
                name: row.get(2)?,
                created: row.get(3)?,
            },
            developer: row.get(4)?,
            batch_id: row.get(5)?,
            correlation_id: row.get(6)?,
            traceparent: row.get(7)?,
            schema_version: row.get(8)?,
            sent_at: row.get(9)?,
            skew: row.get(10)?,
            received_at: row.get(11)?,
            collector: row.get(12)?,
            client: row.get(13)?,
            events: Vec::new(),
        })
    });
    let Some(mut found) = found.optional()? else {
        return Ok(None);
    };
    let mut statement = connection.prepare_cached(EVENTS)?;
    found.events = statement.query_map(key, event)?.collect::<Result<_, _>>()?;
    Ok((!found.events.is_empty()).then_some(found))
}

fn event(row: &Row<'_>) -> rusqlite::Result<QuarantinedEvent> {
    let (body, hash): (Vec<u8>, [u8; 32]) = (row.get(7)?, row.get(8)?);
    let owner = match row.get::<_, Option<Src>>(9)? {
        None => None,
        Some(src) => {
            let by = EventRef {
                src,
                seq: row.get::<_, i64>(10)?.unsigned_abs(),
                ordinal: row.get(11)?,
            };
            let holder: [u8; 32] = row.get(12)?;
            Some(IdOwner::new(
                by,
                (&holder, row.get_ref(13)?.as_blob()?),
                (event_ref(row)?, &hash, &body),
            ))
        }
    };
    Ok(QuarantinedEvent {
        ordinal: row.get(2)?,
        id: row.get(3)?,
        code: code(row, 4)?,
        pointer: row.get(5)?,
        detail: row.get(6)?,
        body,
        hash,
        owner,
    })
}
