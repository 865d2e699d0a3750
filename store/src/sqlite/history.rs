//! Following what happened: from a clue to its batches, and a batch's audit.

use rusqlite::{Connection, OptionalExtension, Row, params};
use types::id::BatchRef;
use types::stream::StreamIncarnation;
use types::time::Micros;

use super::audit::{self, Keep};
use super::{Sqlite, batches};
use crate::audit::Whose;
use crate::{AuditEntry, Clue, History, StoreError, Submission, steps};

/// By way of `developers`, so that the indexes, which all begin with the developer, serve.
const BY_ID: &str = "WITH who AS (SELECT developer FROM developers WHERE ?2 IS NULL OR developer = ?2)
    SELECT src, seq FROM batches WHERE developer IN (SELECT developer FROM who) AND batch_id = ?1
    UNION SELECT src, seq FROM events WHERE developer IN (SELECT developer FROM who) AND event_id = ?1
    UNION SELECT src, seq FROM duplicates WHERE developer IN (SELECT developer FROM who) AND event_id = ?1
    UNION SELECT src, seq FROM refused WHERE developer IN (SELECT developer FROM who) AND event_id = ?1
    UNION SELECT src, seq FROM batches WHERE correlation_id = ?1 AND (?2 IS NULL OR developer = ?2)
    ORDER BY 1, 2 LIMIT ?3";
const BY_SEQUENCE: &str =
    "SELECT src, seq FROM batches WHERE src IN (SELECT src FROM sources) AND seq = ?1
    ORDER BY src LIMIT ?2";
const BY_ALERT: &str = "SELECT src, seq FROM alerts WHERE alert_id = ?1 LIMIT ?2";
const AUDIT: &str = "SELECT a.src, a.seq, a.time, a.step, a.outcome, a.actor, a.replay_id,
      p.developer, p.batch_id, p.event_id, p.correlation_id, p.detail
    FROM audit a LEFT JOIN audit_personal p ON p.id = a.id
    WHERE a.src = ?1 AND a.seq = ?2 ORDER BY a.time, a.id";
const ORIGINAL: &str = "SELECT b.src, b.seq, b.developer, b.batch_id
    FROM sources s JOIN batches b ON b.src = s.src
    WHERE s.stream = ?1 AND s.created_at = ?2 AND b.seq = ?3";

impl History for Sqlite {
    async fn find(&self, clue: Clue, limit: u32) -> Result<Vec<Submission>, StoreError> {
        self.readers
            .read(move |connection| find(connection, &clue, limit))
            .await
    }

    async fn audit(&self, at: BatchRef) -> Result<Vec<AuditEntry>, StoreError> {
        let read = move |connection: &Connection| {
            let mut statement = connection.prepare_cached(AUDIT)?;
            let rows = statement.query_map(params![at.src, at.seq as i64], entry)?;
            Ok(rows.collect::<Result<_, _>>()?)
        };
        self.readers.read(read).await
    }

    async fn record_resend(
        &self,
        incarnation: StreamIncarnation,
        seq: u64,
        correlation_id: String,
        time: Micros,
        actor: String,
    ) -> Result<bool, StoreError> {
        self.write(move |connection| {
            let key = params![incarnation.name, incarnation.created, seq as i64];
            let mut original = connection.prepare_cached(ORIGINAL)?;
            let original = original.query_row(key, |row| {
                Ok((
                    batches::batch_ref(row)?,
                    row.get::<_, String>(2)?,
                    row.get::<_, String>(3)?,
                ))
            });
            let Some((at, developer, batch_id)) = original.optional()? else {
                return Ok(false);
            };
            let whose = Whose {
                developer: &developer,
                batch_id: &batch_id,
                correlation_id: &correlation_id,
            };
            let row = steps::resent(at, &whose, time, &actor);
            audit::append(connection, &[row], Keep::of(!developer.is_empty()))?;
            Ok(true)
        })
        .await
    }
}

fn find(connection: &Connection, clue: &Clue, limit: u32) -> Result<Vec<Submission>, StoreError> {
    let keys = match clue {
        Clue::Id { id, developer } => keys(connection, BY_ID, params![id, developer, limit]),
        Clue::Sequence(seq) => match i64::try_from(*seq) {
            Ok(seq) => keys(connection, BY_SEQUENCE, params![seq, limit]),
            Err(_) => Ok(Vec::new()),
        },
        Clue::Alert(id) => keys(connection, BY_ALERT, params![id, limit]),
    };
    batches::submissions(connection, keys?)
}

fn keys(
    connection: &Connection,
    sql: &str,
    params: &[&dyn rusqlite::ToSql],
) -> Result<Vec<BatchRef>, StoreError> {
    let mut statement = connection.prepare_cached(sql)?;
    let rows = statement.query_map(params, batches::batch_ref)?;
    Ok(rows.collect::<Result<_, _>>()?)
}

fn entry(row: &Row<'_>) -> rusqlite::Result<AuditEntry> {
    Ok(AuditEntry {
        at: batches::batch_ref(row)?,
        time: row.get(2)?,
        step: row.get(3)?,
        outcome: row.get(4)?,
        actor: row.get(5)?,
        replay_id: row.get(6)?,
        developer: row.get(7)?,
        batch_id: row.get(8)?,
        event_id: row.get(9)?,
        correlation_id: row.get(10)?,
        detail: row.get(11)?,
    })
}
