//! Reading beside the writer: short, paged by key, on a connection of its own.

use std::collections::BTreeMap;

use rusqlite::{Connection, OptionalExtension, Row, params};
use types::id::{EventRef, Src};
use types::job::Mask;
use types::stream::StreamIncarnation;

use super::persist::event_ref;
use super::{Sqlite, batches};
use crate::accounts::Accounts;
use crate::{Account, BatchStatus, StoreError, StoredPlacement, Totals, VerifyReads};

/// Of a stream's life.
pub const SOURCE: &str = "SELECT src FROM sources WHERE stream = ?1 AND created_at = ?2";
const BATCHES: &str =
    "SELECT src, seq, state, need, done, failed, developer <> '', persisted_at FROM batches
    WHERE src = ?1 AND seq BETWEEN ?2 AND ?3";
const EVENTS: &str =
    "SELECT src, seq, ordinal, hash, body FROM events WHERE src = ?1 AND seq BETWEEN ?2 AND ?3";
const REFUSED: &str = "SELECT src, seq, ordinal, hash, body, verdict FROM refused WHERE src = ?1 AND seq BETWEEN ?2 AND ?3";
/// Of an account: not those of its events.
const STEPS: &str = "SELECT a.src, a.seq, a.step, a.replay_id,
      CASE WHEN a.step IN ('job_finished', 'failed', 'dead', 'redriven', 'dropped') THEN p.detail END
    FROM audit a LEFT JOIN audit_personal p ON p.id = a.id
    WHERE a.src = ?1 AND a.seq BETWEEN ?2 AND ?3 AND a.step IN ('received', 'validated', 'published',
      'persisted', 'triggered', 'job_finished', 'completed', 'failed', 'dead', 'redriven', 'dropped')";
const DUPLICATES: &str = "SELECT d.src, d.seq, d.ordinal, e.src, e.seq, e.ordinal
    FROM duplicates d LEFT JOIN events e ON e.developer = d.developer AND e.event_id = d.event_id
    WHERE d.src = ?1 AND d.seq BETWEEN ?2 AND ?3";
const STATES: &str = "SELECT state, count(*) FROM batches GROUP BY state";
const UNFINISHED: &str = "SELECT state, count(*) FROM batches
    WHERE state IN ('persisted', 'triggered', 'failed') GROUP BY state";
const TOTALS: &str = "SELECT (SELECT count(*) FROM events), (SELECT count(*) FROM duplicates),
    (SELECT count(*) FROM refused WHERE verdict = 'quarantined'),
    (SELECT count(*) FROM refused WHERE verdict = 'rejected'),
    (SELECT count(DISTINCT developer) FROM events),
    (SELECT count(*) FROM normalized), (SELECT count(*) FROM days),
    (SELECT count(*) FROM alerts WHERE state = 'raised')";

/// Runs a query over a range of sequences and hands each row on.
fn each(
    connection: &Connection,
    sql: &str,
    (src, from, to): (Src, u64, u64),
    mut take: impl FnMut(&Row<'_>) -> rusqlite::Result<()>,
) -> Result<(), StoreError> {
    let mut statement = connection.prepare_cached(sql)?;
    let mut rows = statement.query(params![
        src,
        from as i64,
        i64::try_from(to).unwrap_or(i64::MAX)
    ])?;
    while let Some(row) = rows.next()? {
        take(row)?;
    }
    Ok(())
}

impl VerifyReads for Sqlite {
    async fn known_source(
        &self,
        incarnation: &StreamIncarnation,
    ) -> Result<Option<Src>, StoreError> {
        let incarnation = incarnation.clone();
        let find = move |connection: &Connection| {
            let mut statement = connection.prepare_cached(SOURCE)?;
            Ok(statement
                .query_row(params![incarnation.name, incarnation.created], |row| {
                    row.get(0)
                })
                .optional()?)
        };
        self.readers.read(find).await
    }

    async fn accounts(&self, src: Src, from: u64, to: u64) -> Result<Vec<Account>, StoreError> {
        self.readers
            .read(move |connection| accounts(connection, (src, from, to)))
            .await
    }

    async fn unfinished(&self) -> Result<BTreeMap<String, u64>, StoreError> {
        self.readers
            .read(|connection| by_state(connection, UNFINISHED))
            .await
    }

    async fn totals(&self) -> Result<Totals, StoreError> {
        self.readers.read(totals).await
    }
}

fn accounts(connection: &Connection, range: (Src, u64, u64)) -> Result<Vec<Account>, StoreError> {
    let mut accounts = Accounts::default();
    each(connection, BATCHES, range, |row| {
        accounts.stands(batches::batch_ref(row)?, standing(row)?);
        Ok(())
    })?;
    each(connection, EVENTS, range, |row| {
        accounts.keep(
            event_ref(row)?,
            StoredPlacement::event(row.get(3)?, row.get_ref(4)?.as_blob()?),
        );
        Ok(())
    })?;
    each(connection, REFUSED, range, |row| {
        let (verdict, body) = (row.get_ref(5)?.as_str()?, row.get_ref(4)?.as_blob()?);
        accounts.keep(
            event_ref(row)?,
            StoredPlacement::refused(verdict, row.get(3)?, body),
        );
        Ok(())
    })?;
    each(connection, DUPLICATES, range, |row| {
        let original = match row.get::<_, Option<Src>>(3)? {
            None => None,
            Some(src) => {
                let seq = row.get::<_, i64>(4)?.unsigned_abs();
                Some(EventRef {
                    src,
                    seq,
                    ordinal: row.get(5)?,
                })
            }
        };
        accounts.keep(event_ref(row)?, StoredPlacement::Duplicate { original });
        Ok(())
    })?;
    each(connection, STEPS, range, |row| {
        let detail: Option<String> = row.get(4)?;
        accounts.step(
            batches::batch_ref(row)?,
            row.get(2)?,
            row.get(3)?,
            detail.as_deref(),
        );
        Ok(())
    })?;
    Ok(accounts.into_vec())
}

/// In the columns from the third on: state, need, done, failed, whether the developer is known, when
/// the store had it.
fn standing(row: &Row<'_>) -> rusqlite::Result<BatchStatus> {
    let [need, done, failed] = [Mask(row.get(3)?), Mask(row.get(4)?), Mask(row.get(5)?)];
    let (state, is_known, persisted_at) = (batches::state(row, 2)?, row.get(6)?, row.get(7)?);
    Ok(BatchStatus {
        state,
        need,
        done,
        failed,
        is_known,
        persisted_at,
    })
}

fn by_state(connection: &Connection, sql: &str) -> Result<BTreeMap<String, u64>, StoreError> {
    let mut states = connection.prepare_cached(sql)?;
    let states = states.query_map([], |row| {
        Ok((row.get(0)?, row.get::<_, i64>(1)?.unsigned_abs()))
    })?;
    Ok(states.collect::<Result<_, _>>()?)
}

fn totals(connection: &Connection) -> Result<Totals, StoreError> {
    let batches = by_state(connection, STATES)?;
    Ok(connection.query_row(TOTALS, [], |row| {
        let count = |column| row.get::<_, i64>(column).map(i64::unsigned_abs);
        Ok(Totals {
            batches,
            events: count(0)?,
            duplicates: count(1)?,
            quarantined: count(2)?,
            rejected: count(3)?,
            developers: count(4)?,
            normalized: count(5)?,
            days: count(6)?,
            alerts: count(7)?,
        })
    })?)
}
