//! What an export reads: everything about a developer, a page at a time, each page by an index from where the last one
//! ended. What a page costs does not depend on what lies before or behind it.

use types::export::{AlertPosition, EventPosition, ExportRange};
use types::id::EventRef;
use types::time::Micros;
use types::verdict::Code;

use crate::error::StoreError;
use crate::query_reads::{StoredAlert, StoredDay};
use crate::row::{Row, code, count, event_ref};
use crate::snapshot::StoredEvent;
use crate::sql::shared_sql;

/// How much a page may hold. It holds one row at least, if there is one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PageLimits {
    /// Most rows.
    pub rows: u32,
    /// Most bytes of what is large in them.
    pub bytes: u64,
}

/// A stored event, and the batch that brought it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExportedEvent {
    pub event: StoredEvent,
    /// The client's batch id.
    pub batch_id: String,
    /// When the collector had the batch.
    pub received_at: Micros,
}

/// A refused event, whole, and the batch that brought it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExportedRefusal {
    pub at: EventRef,
    /// Its id, if usable.
    pub event_id: Option<String>,
    pub code: Code,
    /// JSON pointer into the event.
    pub pointer: Option<String>,
    /// For people.
    pub detail: Option<String>,
    /// Its exact bytes.
    pub body: Vec<u8>,
    /// The client's batch id.
    pub batch_id: String,
    /// When the collector had the batch.
    pub received_at: Micros,
}

/// What an export reads, a page at a time. All of a page is of one moment.
pub trait ExportReads: Send + Sync + 'static {
    /// The developer's events of these local days, by (effective time, id), from behind `after`.
    fn export_events(
        &self,
        developer: String,
        range: ExportRange,
        after: Option<EventPosition>,
        limits: PageLimits,
    ) -> impl Future<Output = Result<Vec<ExportedEvent>, StoreError>> + Send;

    /// The developer's refused events of all time, in the order they were received, from behind `after`.
    fn export_refused(
        &self,
        developer: String,
        after: Option<EventRef>,
        limits: PageLimits,
    ) -> impl Future<Output = Result<Vec<ExportedRefusal>, StoreError>> + Send;

    /// The developer's days in the range, rising, from behind `after`.
    fn export_days(
        &self,
        developer: String,
        range: ExportRange,
        after: Option<String>,
        limits: PageLimits,
    ) -> impl Future<Output = Result<Vec<StoredDay>, StoreError>> + Send;

    /// The developer's alerts whose window begins in the range, by (window, id), from behind `after`.
    fn export_alerts(
        &self,
        developer: String,
        range: ExportRange,
        after: Option<AlertPosition>,
        limits: PageLimits,
    ) -> impl Future<Output = Result<Vec<StoredAlert>, StoreError>> + Send;
}

/// What the statements of events read: these instants, from behind this id at the first of them.
pub struct EventBounds {
    pub first: Micros,
    pub last: Micros,
    pub first_day: String,
    pub last_day: String,
    /// Every id lies behind the empty text.
    pub behind: String,
}

impl EventBounds {
    pub fn new(range: &ExportRange, after: Option<EventPosition>) -> Self {
        let (first, last) = range.instants();
        let (first, behind) = match after {
            Some(after) if after.at >= first => (after.at, after.id),
            _ => (first, String::new()),
        };
        Self {
            first,
            last,
            first_day: range.first_day().to_owned(),
            last_day: range.last_day().to_owned(),
            behind,
        }
    }
}

/// What the statements of alerts read, in the same way.
pub struct AlertBounds {
    pub first: String,
    pub last: String,
    pub behind: String,
}

impl AlertBounds {
    pub fn new(range: &ExportRange, after: Option<AlertPosition>) -> Self {
        let (first, behind) = match after {
            Some(after) if *after.window_start >= *range.first_day() => {
                (after.window_start, after.id)
            }
            _ => (range.first_day().to_owned(), String::new()),
        };
        Self {
            first,
            last: range.last_day().to_owned(),
            behind,
        }
    }
}

/// The number of the first rows that a page may hold, by their lengths in bytes: one at least.
pub fn fitting(lengths: &[u64], limits: PageLimits) -> i64 {
    let mut bytes = 0_u64;
    let fit = lengths.iter().take_while(|length| {
        bytes = bytes.saturating_add(**length);
        bytes <= limits.bytes
    });
    fit.count().max(1) as i64
}

/// A length in a column of 64 bits.
pub fn length(row: &impl Row) -> Result<u64, StoreError> {
    count(row, 0)
}

// SQLite searches by all of (src, seq, ordinal) only if none of the parameters is cast.
// Each page is read twice: its lengths, which are known without the bodies, and then as many rows as fit.
shared_sql! {
    EVENT_LENGTHS = "SELECT CAST(octet_length(e.body) + coalesce(octet_length(b.client), 0) AS bigint)
        FROM events e JOIN batches b ON b.src = e.src AND b.seq = e.seq
        WHERE e.developer = $1 AND e.effective_at >= $2 AND e.effective_at <= $3
          AND e.local_day BETWEEN $4 AND $5 AND (e.effective_at > $2 OR e.event_id > $6)
        ORDER BY e.effective_at, e.event_id LIMIT $7";
    EVENTS = "SELECT e.src, e.seq, e.ordinal, e.event_id, e.type, e.schema_version, e.effective_at,
          e.local_day, e.body, b.client, b.zone, b.batch_id, b.received_at
        FROM events e JOIN batches b ON b.src = e.src AND b.seq = e.seq
        WHERE e.developer = $1 AND e.effective_at >= $2 AND e.effective_at <= $3
          AND e.local_day BETWEEN $4 AND $5 AND (e.effective_at > $2 OR e.event_id > $6)
        ORDER BY e.effective_at, e.event_id LIMIT $7";
    REFUSED_LENGTHS = "SELECT CAST(octet_length(r.body) AS bigint)
        FROM refused r
        WHERE r.developer = $1
          AND (r.src, r.seq, r.ordinal) > ($2, $3, $4)
        ORDER BY r.src, r.seq, r.ordinal LIMIT $5";
    REFUSED = "SELECT r.src, r.seq, r.ordinal, r.event_id, r.code, r.pointer, r.detail, r.body, b.batch_id,
          b.received_at
        FROM refused r JOIN batches b ON b.src = r.src AND b.seq = r.seq
        WHERE r.developer = $1
          AND (r.src, r.seq, r.ordinal) > ($2, $3, $4)
        ORDER BY r.src, r.seq, r.ordinal LIMIT $5";
    DAY_LENGTHS = "SELECT CAST(octet_length(body) AS bigint) FROM days
        WHERE developer = $1 AND day BETWEEN $2 AND $3 AND day > $4 ORDER BY day LIMIT $5";
    DAYS = "SELECT day, computed_gen, version, body FROM days
        WHERE developer = $1 AND day BETWEEN $2 AND $3 AND day > $4 ORDER BY day LIMIT $5";
    ALERT_LENGTHS = "SELECT CAST(octet_length(body) AS bigint) FROM alerts
        WHERE developer = $1 AND window_start >= $2 AND window_start <= $3
          AND (window_start > $2 OR alert_id > $4)
        ORDER BY window_start, alert_id LIMIT $5";
    ALERTS = "SELECT alert_id, developer, rule, severity, window_start, title, state, revision, push, body
        FROM alerts
        WHERE developer = $1 AND window_start >= $2 AND window_start <= $3
          AND (window_start > $2 OR alert_id > $4)
        ORDER BY window_start, alert_id LIMIT $5";
}

/// Lies before every refused event.
pub const BEFORE_ALL: (i64, i64, i32) = (i64::MIN, 0, -1);

/// Where the refused events of a page begin, as the statements have it.
pub fn behind(after: Option<EventRef>) -> (i64, i64, i32) {
    after.map_or(BEFORE_ALL, |at| (at.src, at.seq as i64, at.ordinal as i32))
}

impl ExportedEvent {
    /// From the columns of [`EVENTS`].
    pub(crate) fn decode(row: &impl Row) -> Result<Self, StoreError> {
        Ok(Self {
            event: StoredEvent::decode(row)?,
            batch_id: row.value(11)?,
            received_at: row.value(12)?,
        })
    }
}

impl ExportedRefusal {
    /// From the columns of [`REFUSED`].
    pub(crate) fn decode(row: &impl Row) -> Result<Self, StoreError> {
        Ok(Self {
            at: event_ref(row, 0)?,
            event_id: row.value(3)?,
            code: code(row, 4)?,
            pointer: row.value(5)?,
            detail: row.value(6)?,
            body: row.value(7)?,
            batch_id: row.value(8)?,
            received_at: row.value(9)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_holds_what_fits_and_one_row_at_least() {
        let limits = PageLimits { rows: 9, bytes: 10 };
        for (lengths, rows) in [
            (&[][..], 1),
            (&[4, 6, 1][..], 2),
            (&[11, 1][..], 1),
            (&[u64::MAX, u64::MAX][..], 1),
            (&[1, 2, 3][..], 3),
        ] {
            assert_eq!(fitting(lengths, limits), rows, "{lengths:?}");
        }
    }

    #[test]
    fn a_cursor_before_the_range_begins_at_the_range() {
        let range = ExportRange {
            from: Some("2026-03-01".to_owned()),
            to: None,
        };
        let key = |at| EventPosition {
            at,
            id: "e".to_owned(),
        };
        let (first, _) = range.instants();
        let bounds = EventBounds::new(&range, Some(key(first - 1)));
        assert_eq!((bounds.first, &*bounds.behind), (first, ""));
        let bounds = EventBounds::new(&range, Some(key(first + 1)));
        assert_eq!((bounds.first, &*bounds.behind), (first + 1, "e"));
    }
}
