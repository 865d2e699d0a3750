//! What a job computes from: one developer's hours and events, all of one moment.

use std::collections::BTreeMap;

use rusqlite::{Connection, Row, params};

use crate::sqlite::persist::event_ref;
use crate::{Computed, EventSelection, Hour, HourRange, Snapshot, StoreError, StoredEvent};

const HOURS: &str = "SELECT h.hour, h.gen, p.computed_gen, p.version, p.body
    FROM hours h LEFT JOIN partials p ON p.developer = h.developer AND p.hour = h.hour
    WHERE h.developer = ?1 AND h.hour BETWEEN ?2 AND ?3";
const EVENTS: &str = "SELECT e.src, e.seq, e.ordinal, e.event_id, e.type, e.schema_version,
      e.effective_at, e.local_day, e.body, b.client
    FROM events e JOIN batches b ON b.src = e.src AND b.seq = e.seq
    WHERE e.developer = ?1 AND e.effective_at >= ?2 AND e.effective_at < ?3
    ORDER BY e.effective_at, e.event_id";

/// Reads it; `connection` is in a read transaction, so all statements see the same moment.
pub fn read(
    connection: &Connection,
    developer: &str,
    ranges: Vec<HourRange>,
    want: EventSelection,
) -> Result<Snapshot, StoreError> {
    let mut snapshot = Snapshot::default();
    let mut statement = connection.prepare_cached(HOURS)?;
    for range in HourRange::merge(ranges) {
        let rows = statement.query_map(params![developer, range.first, range.last], hour)?;
        snapshot
            .hours
            .append(&mut rows.collect::<Result<BTreeMap<_, _>, _>>()?);
    }
    let mut statement = connection.prepare_cached(EVENTS)?;
    for range in snapshot.wanted(want) {
        let span = range.span();
        for event in statement.query_map(params![developer, span.start, span.end], stored_event)? {
            snapshot.events.push(event?);
        }
    }
    Ok(snapshot)
}

fn hour(row: &Row<'_>) -> rusqlite::Result<(i64, Hour)> {
    let partial = match row.get::<_, Option<i64>>(2)? {
        None => None,
        Some(generation) => Some(Computed {
            generation,
            version: row.get(3)?,
            body: row.get(4)?,
        }),
    };
    Ok((
        row.get(0)?,
        Hour {
            generation: row.get(1)?,
            partial,
        },
    ))
}

/// An event in the columns of this file's statement.
pub fn stored_event(row: &Row<'_>) -> rusqlite::Result<StoredEvent> {
    Ok(StoredEvent {
        at: event_ref(row)?,
        id: row.get(3)?,
        kind: row.get(4)?,
        schema_version: row.get(5)?,
        effective_at: row.get(6)?,
        local_day: row.get(7)?,
        body: row.get(8)?,
        client: row.get(9)?,
    })
}
