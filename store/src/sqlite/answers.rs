//! Answers about batches, days and alerts.

use rusqlite::{Connection, OptionalExtension, Row, params};
use types::id::{BatchRef, EventRef};
use types::stream::StreamIncarnation;
use types::time::Micros;
use types::verdict::Code;

use super::persist::event_ref;
use super::{Sqlite, batches};
use crate::{Answers, Computed, NotAccepted, StoreError, StoredAlert, Submission};

const SUBMISSIONS: &str = "SELECT src, seq FROM batches WHERE developer = ?1 AND batch_id = ?2
    ORDER BY src, seq";
/// A forgotten developer's batches are all alike, and each is its own.
const FIRST: &str = "SELECT f.src, f.seq
    FROM sources s JOIN batches b ON b.src = s.src
    JOIN batches f ON f.developer = b.developer AND f.batch_id = b.batch_id
      AND f.events_hash = b.events_hash
    WHERE s.stream = ?1 AND s.created_at = ?2 AND b.seq = ?3
      AND (b.developer <> '' OR (f.src = b.src AND f.seq = b.seq))
    ORDER BY f.src, f.seq LIMIT 1";
const NOT_ACCEPTED: &str = "SELECT r.src, r.seq, r.ordinal, r.event_id, r.code, r.pointer, r.detail,
      e.src, e.seq, e.ordinal, b.batch_id, b.received_at
    FROM refused r
    LEFT JOIN events e ON r.code = 'id_conflict' AND e.developer = r.developer AND e.event_id = r.event_id
    LEFT JOIN batches b ON b.src = e.src AND b.seq = e.seq
    WHERE r.src = ?1 AND r.seq = ?2
    UNION ALL
    SELECT d.src, d.seq, d.ordinal, d.event_id, 'duplicate_id', NULL, NULL,
      e.src, e.seq, e.ordinal, b.batch_id, b.received_at
    FROM duplicates d
    LEFT JOIN events e ON e.developer = d.developer AND e.event_id = d.event_id
    LEFT JOIN batches b ON b.src = e.src AND b.seq = e.seq
    WHERE d.src = ?1 AND d.seq = ?2
    ORDER BY 3";
const DAYS: &str = "SELECT day, computed_gen, version, body FROM days
    WHERE developer = ?1 AND day BETWEEN ?2 AND ?3 ORDER BY day";
const DEVELOPERS: &str = "SELECT DISTINCT developer FROM days ORDER BY developer";
const ALERTS: &str =
    "SELECT alert_id, developer, rule, severity, window_start, title, state, revision, push, body
    FROM alerts ORDER BY window_start DESC, alert_id LIMIT ?1";
const ALERTS_OF: &str =
    "SELECT alert_id, developer, rule, severity, window_start, title, state, revision, push, body
    FROM alerts WHERE developer = ?2 ORDER BY window_start DESC, alert_id LIMIT ?1";

impl Answers for Sqlite {
    async fn submissions(
        &self,
        developer: String,
        batch_id: String,
    ) -> Result<Vec<Submission>, StoreError> {
        let read = move |connection: &Connection| {
            let mut statement = connection.prepare_cached(SUBMISSIONS)?;
            let keys = statement.query_map([developer, batch_id], batches::batch_ref)?;
            batches::submissions(connection, keys.collect::<Result<_, _>>()?)
        };
        self.readers.read(read).await
    }

    async fn stored(
        &self,
        incarnation: StreamIncarnation,
        seq: u64,
    ) -> Result<Option<(Submission, Vec<NotAccepted>)>, StoreError> {
        self.readers
            .read(move |connection| stored(connection, &incarnation, seq))
            .await
    }

    async fn days(
        &self,
        developer: String,
        from: String,
        to: String,
    ) -> Result<Vec<(String, Computed)>, StoreError> {
        let read = move |connection: &Connection| {
            let mut statement = connection.prepare_cached(DAYS)?;
            let rows = statement.query_map([developer, from, to], |row| {
                let computed = Computed {
                    generation: row.get(1)?,
                    version: row.get(2)?,
                    body: row.get(3)?,
                };
                Ok((row.get(0)?, computed))
            })?;
            Ok(rows.collect::<Result<_, _>>()?)
        };
        self.readers.read(read).await
    }

    async fn developers(&self) -> Result<Vec<String>, StoreError> {
        let read = |connection: &Connection| {
            let mut statement = connection.prepare_cached(DEVELOPERS)?;
            let rows = statement.query_map([], |row| row.get(0))?;
            Ok(rows.collect::<Result<_, _>>()?)
        };
        self.readers.read(read).await
    }

    async fn alerts(
        &self,
        developer: Option<String>,
        limit: u32,
    ) -> Result<Vec<StoredAlert>, StoreError> {
        let read = move |connection: &Connection| {
            let alerts = match developer {
                Some(developer) => connection
                    .prepare_cached(ALERTS_OF)?
                    .query_map(params![limit, developer], stored_alert)?
                    .collect::<Result<_, _>>(),
                None => connection
                    .prepare_cached(ALERTS)?
                    .query_map([limit], stored_alert)?
                    .collect(),
            };
            Ok(alerts?)
        };
        self.readers.read(read).await
    }
}

fn stored(
    connection: &Connection,
    incarnation: &StreamIncarnation,
    seq: u64,
) -> Result<Option<(Submission, Vec<NotAccepted>)>, StoreError> {
    let mut first = connection.prepare_cached(FIRST)?;
    let key = params![incarnation.name, incarnation.created, seq as i64];
    let Some(first) = first.query_row(key, batches::batch_ref).optional()? else {
        return Ok(None);
    };
    let Some(submission) = batches::submission(connection, first)? else {
        return Ok(None);
    };
    let not_accepted = not_accepted(connection, first)?;
    Ok(Some((submission, not_accepted)))
}

fn not_accepted(connection: &Connection, at: BatchRef) -> Result<Vec<NotAccepted>, StoreError> {
    let mut statement = connection.prepare_cached(NOT_ACCEPTED)?;
    let rows = statement.query_map(params![at.src, at.seq as i64], |row| {
        Ok(NotAccepted {
            at: event_ref(row)?,
            event_id: row.get(3)?,
            code: code(row, 4)?,
            pointer: row.get(5)?,
            detail: row.get(6)?,
            original: original(row)?,
        })
    })?;
    Ok(rows.collect::<Result<_, _>>()?)
}

fn original(row: &Row<'_>) -> rusqlite::Result<Option<(EventRef, String, Micros)>> {
    let (Some(src), Some(batch_id)) = (row.get(7)?, row.get(10)?) else {
        return Ok(None);
    };
    let at = EventRef {
        src,
        seq: row.get::<_, i64>(8)?.unsigned_abs(),
        ordinal: row.get(9)?,
    };
    Ok(Some((at, batch_id, row.get(11)?)))
}

/// The code in a column.
pub fn code(row: &Row<'_>, column: usize) -> rusqlite::Result<Code> {
    let name: String = row.get(column)?;
    Code::named(&name).ok_or_else(|| batches::unknown_name(column, &name))
}

fn stored_alert(row: &Row<'_>) -> rusqlite::Result<StoredAlert> {
    Ok(StoredAlert {
        alert_id: row.get(0)?,
        developer: row.get(1)?,
        rule: row.get(2)?,
        severity: row.get(3)?,
        window_start: row.get(4)?,
        title: row.get(5)?,
        state: row.get(6)?,
        revision: row.get(7)?,
        push: row.get(8)?,
        body: row.get(9)?,
    })
}
