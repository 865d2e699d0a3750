//! Quarantined events: stored whole until they are admitted after all, or indefinitely.

use types::id::{BatchRef, EventRef};
use types::stream::StreamIncarnation;
use types::time::Micros;
use types::verdict::Code;

use crate::dedup::{Candidate, Displacement, compare};
use crate::error::StoreError;
use crate::row::{Row, batch_ref, code, event_ref, flag, hash, optional_event_ref, small_count};
use crate::sql::shared_sql;

/// A message with quarantined events: what admission went by, and these events whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QuarantinedBatch {
    pub at: BatchRef,
    pub incarnation: StreamIncarnation,
    pub developer: String,
    /// The client's batch id.
    pub batch_id: String,
    pub correlation_id: String,
    /// W3C trace context.
    pub traceparent: String,
    /// The envelope's schema version.
    pub schema_version: String,
    /// The envelope's `sent_at`, as written.
    pub sent_at: String,
    /// How far the client's clock was ahead.
    pub skew: Micros,
    /// When the collector had it.
    pub received_at: Micros,
    /// That collector.
    pub collector: String,
    /// The envelope's `client`, as its exact text.
    pub client: Option<Vec<u8>>,
    /// The zone that the developer had set, if the client named none.
    pub zone: Option<String>,
    /// Its quarantined events, by ordinal.
    pub events: Vec<QuarantinedEvent>,
}

/// A quarantined event, whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QuarantinedEvent {
    /// Its index in the batch.
    pub ordinal: u32,
    pub id: Option<String>,
    pub code: Code,
    /// JSON pointer into the event.
    pub pointer: Option<String>,
    /// For people.
    pub detail: Option<String>,
    /// Its exact bytes.
    pub body: Vec<u8>,
    /// Their BLAKE3.
    pub hash: [u8; 32],
    /// The current owner of its id.
    pub owner: Option<IdOwner>,
    /// The same event, quarantined for the same reason, came before: in another batch or in this one.
    pub again: bool,
    /// How often the same event was quarantined for the same reason; counted for the first of them only.
    pub times: u32,
    /// When the last of them was received; for the first of them only.
    pub last_received_at: Option<Micros>,
}

/// The stored event that owns the id of a quarantined one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct IdOwner {
    pub by: EventRef,
    /// Whether it says the same: then the quarantined event is stored after all.
    pub same: bool,
}

/// Which batches to list. Everything that is given must fit.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct QuarantineFilter {
    /// Only this developer's.
    pub developer: Option<String>,
    /// Only those with an event that is quarantined for this.
    pub code: Option<Code>,
    /// Only those received at or after this.
    pub from: Option<Micros>,
    /// Only those received at or before this.
    pub to: Option<Micros>,
}

/// Reading quarantined events. Those from before their developer was forgotten are not among them.
pub trait Quarantine: Send + Sync + 'static {
    /// Batches with quarantined events that fit, rising from after `after`; at most `limit`.
    fn quarantined(
        &self,
        filter: QuarantineFilter,
        after: Option<BatchRef>,
        limit: u32,
    ) -> impl Future<Output = Result<Vec<BatchRef>, StoreError>> + Send;

    /// The batch with its quarantined events; `None` if it has none. Whether the same event came before, and how
    /// often, is said of what was received at or after `since`.
    fn quarantined_batch(
        &self,
        at: BatchRef,
        since: Option<Micros>,
    ) -> impl Future<Output = Result<Option<QuarantinedBatch>, StoreError>> + Send;

    /// Quarantined events of this id, of one developer or all, rising; at most `limit`.
    fn quarantined_as(
        &self,
        event_id: String,
        developer: Option<String>,
        limit: u32,
    ) -> impl Future<Output = Result<Vec<EventRef>, StoreError>> + Send;

    /// The highest sequence of `src` that is stored, 0 if none is. What lies beyond it in the stream
    /// is still to be stored; below it there may be gaps.
    fn newest(&self, src: types::id::Src) -> impl Future<Output = Result<u64, StoreError>> + Send;
}

shared_sql! {
    /// A page of keys. A tombstone lies above all that is forgotten with it.
    QUARANTINED = "SELECT DISTINCT r.src, r.seq FROM refused r
        JOIN batches b ON b.src = r.src AND b.seq = r.seq
        JOIN developers d ON d.developer = r.developer
        WHERE (r.src, r.seq) > (CAST($1 AS bigint), CAST($2 AS bigint)) AND r.verdict = 'quarantined'
          AND (CAST($3 AS text) IS NULL OR r.developer = $3) AND (CAST($4 AS text) IS NULL OR r.code = $4)
          AND (CAST($5 AS bigint) IS NULL OR b.received_at >= $5)
          AND (CAST($6 AS bigint) IS NULL OR b.received_at <= $6)
          AND (d.tombstone_src IS NULL OR (r.src, r.seq) > (d.tombstone_src, d.tombstone_seq))
        ORDER BY r.src, r.seq LIMIT $7";
    QUARANTINED_BATCH = "SELECT b.src, b.seq, s.stream, s.created_at, b.developer, b.batch_id, b.correlation_id,
          b.traceparent, b.schema_version, b.sent_at, b.skew, b.received_at, b.collector, b.client, b.zone
        FROM batches b JOIN sources s ON s.src = b.src JOIN developers d ON d.developer = b.developer
        WHERE b.src = $1 AND b.seq = $2
          AND (d.tombstone_src IS NULL OR (b.src, b.seq) > (d.tombstone_src, d.tombstone_seq))";
    /// The same event is one of the same developer, id, content and code; what was forgotten does not count. An event
    /// without an id, or of which no other is the same, is the only one.
    QUARANTINED_EVENTS = "WITH mine AS (
          SELECT r.*, EXISTS (SELECT 1 FROM refused s
              JOIN batches b ON b.src = s.src AND b.seq = s.seq
              JOIN developers d ON d.developer = s.developer
              WHERE s.developer = r.developer AND s.event_id = r.event_id AND s.hash = r.hash AND s.code = r.code
                AND s.verdict = r.verdict AND (s.src, s.seq, s.ordinal) < (r.src, r.seq, r.ordinal)
                AND (CAST($3 AS bigint) IS NULL OR b.received_at >= $3)
                AND (d.tombstone_src IS NULL OR (s.src, s.seq) > (d.tombstone_src, d.tombstone_seq))) AS again
          FROM refused r WHERE r.src = $1 AND r.seq = $2 AND r.verdict = 'quarantined')
        SELECT r.src, r.seq, r.ordinal, r.event_id, r.code, r.pointer, r.detail, r.body, r.hash,
          e.src, e.seq, e.ordinal, e.hash, e.body, CASE WHEN r.again THEN 1 ELSE 0 END,
          CASE WHEN r.again THEN 0 ELSE (SELECT CAST(count(*) AS integer) FROM refused s
              JOIN batches b ON b.src = s.src AND b.seq = s.seq
              WHERE s.developer = r.developer AND s.event_id = r.event_id AND s.hash = r.hash AND s.code = r.code
                AND s.verdict = r.verdict AND (s.src, s.seq, s.ordinal) >= (r.src, r.seq, r.ordinal)
                AND (CAST($3 AS bigint) IS NULL OR b.received_at >= $3)) END,
          CASE WHEN r.again THEN NULL ELSE (SELECT max(b.received_at) FROM refused s
              JOIN batches b ON b.src = s.src AND b.seq = s.seq
              WHERE s.developer = r.developer AND s.event_id = r.event_id AND s.hash = r.hash AND s.code = r.code
                AND s.verdict = r.verdict AND (s.src, s.seq, s.ordinal) >= (r.src, r.seq, r.ordinal)
                AND (CAST($3 AS bigint) IS NULL OR b.received_at >= $3)) END
        FROM mine r LEFT JOIN events e ON e.developer = r.developer AND e.event_id = r.event_id
        ORDER BY r.ordinal";
    /// By way of `developers`, so that the index, which begins with the developer, serves. SQLite keeps the order of
    /// a CROSS JOIN; of a JOIN it would scan `refused` first.
    QUARANTINED_AS = "SELECT r.src, r.seq, r.ordinal
        FROM developers d CROSS JOIN refused r
        WHERE r.developer = d.developer AND r.event_id = $1 AND r.verdict = 'quarantined'
          AND (CAST($2 AS text) IS NULL OR d.developer = $2)
          AND (d.tombstone_src IS NULL OR (r.src, r.seq) > (d.tombstone_src, d.tombstone_seq))
        ORDER BY r.src, r.seq, r.ordinal LIMIT $3";
    NEWEST = "SELECT coalesce(max(seq), 0) FROM batches WHERE src = $1";
}

impl QuarantinedBatch {
    /// From the columns of [`QUARANTINED_BATCH`], without its events.
    pub(crate) fn decode(row: &impl Row) -> Result<Self, StoreError> {
        Ok(Self {
            at: batch_ref(row, 0)?,
            incarnation: StreamIncarnation {
                name: row.value(2)?,
                created: row.value(3)?,
            },
            developer: row.value(4)?,
            batch_id: row.value(5)?,
            correlation_id: row.value(6)?,
            traceparent: row.value(7)?,
            schema_version: row.value(8)?,
            sent_at: row.value(9)?,
            skew: row.value(10)?,
            received_at: row.value(11)?,
            collector: row.value(12)?,
            client: row.value(13)?,
            zone: row.value(14)?,
            events: Vec::new(),
        })
    }
}

impl QuarantinedEvent {
    /// From the columns of [`QUARANTINED_EVENTS`].
    pub(crate) fn decode(row: &impl Row) -> Result<Self, StoreError> {
        let event_hash = hash(row, 8)?;
        let body: Vec<u8> = row.value(7)?;
        let owner = match optional_event_ref(row, 9)? {
            None => None,
            Some(by) => {
                let owner = Candidate {
                    at: by,
                    hash: &hash(row, 12)?,
                    body: row.bytes(13)?,
                };
                let quarantined = Candidate {
                    at: event_ref(row, 0)?,
                    hash: &event_hash,
                    body: &body,
                };
                let same = compare(owner, quarantined) != Displacement::Conflict;
                Some(IdOwner { by, same })
            }
        };
        Ok(Self {
            ordinal: small_count(row, 2)?,
            id: row.value(3)?,
            code: code(row, 4)?,
            pointer: row.value(5)?,
            detail: row.value(6)?,
            body,
            hash: event_hash,
            owner,
            again: flag(row, 14)?,
            times: small_count(row, 15)?.max(1),
            last_received_at: row.value(16)?,
        })
    }
}
