//! What a job computes from: one developer's hours and events, all of one moment.

use deadpool_postgres::Transaction;
use tokio_postgres::Row;

use crate::postgres::trouble::Trouble;
use crate::postgres::{Work, batches, column, rows};
use crate::{Computed, EventSelection, Hour, HourRange, Snapshot};

const HOURS: &str = "SELECT h.hour, h.gen, p.computed_gen, p.version, p.body
    FROM unnest($2::bigint[], $3::bigint[]) r (first, last)
    JOIN hours h ON h.developer = $1 AND h.hour BETWEEN r.first AND r.last
    LEFT JOIN partials p ON p.developer = h.developer AND p.hour = h.hour";
const EVENTS: &str = "SELECT e.src, e.seq, e.ordinal, e.event_id, e.type, e.schema_version,
      e.effective_at, e.local_day, e.body, b.client
    FROM unnest($2::bigint[], $3::bigint[]) r (start, stop)
    JOIN events e ON e.developer = $1 AND e.effective_at >= r.start AND e.effective_at < r.stop
    JOIN batches b ON b.src = e.src AND b.seq = e.seq
    ORDER BY e.effective_at, e.event_id";

/// Reading it.
pub struct Reading {
    developer: String,
    ranges: Vec<HourRange>,
    want: EventSelection,
}

impl Reading {
    pub fn new(developer: String, ranges: Vec<HourRange>, want: EventSelection) -> Self {
        Self {
            developer,
            ranges: HourRange::merge(ranges),
            want,
        }
    }
}

impl Work for Reading {
    type Done = Snapshot;

    async fn run(&self, tx: &Transaction<'_>) -> Result<Snapshot, Trouble> {
        let mut snapshot = Snapshot::default();
        let bounds = (
            column(&self.ranges, |range| range.first),
            column(&self.ranges, |range| range.last),
        );
        for row in rows(tx, HOURS, &[&self.developer, &bounds.0, &bounds.1]).await? {
            let (hour, found) = hour(&row)?;
            snapshot.hours.insert(hour, found);
        }
        let wanted = snapshot.wanted(self.want);
        if wanted.is_empty() {
            return Ok(snapshot);
        }
        let instants: Vec<_> = wanted.into_iter().map(HourRange::span).collect();
        let bounds = (
            column(&instants, |span| span.start),
            column(&instants, |span| span.end),
        );
        let events = rows(tx, EVENTS, &[&self.developer, &bounds.0, &bounds.1]).await?;
        snapshot.events = events
            .iter()
            .map(batches::stored_event)
            .collect::<Result<_, _>>()?;
        Ok(snapshot)
    }
}

fn hour(row: &Row) -> Result<(i64, Hour), Trouble> {
    let partial = match row.try_get::<_, Option<i64>>(2)? {
        None => None,
        Some(generation) => Some(Computed {
            generation,
            version: row.try_get(3)?,
            body: row.try_get(4)?,
        }),
    };
    Ok((
        row.try_get(0)?,
        Hour {
            generation: row.try_get(1)?,
            partial,
        },
    ))
}
