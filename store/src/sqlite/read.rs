//! Reading beside the writer: short, paged by key, on a connection of its own.

use std::collections::BTreeMap;

use common::bus::StreamLife;
use common::id::{EventRef, Src};
use rusqlite::{Connection, OptionalExtension, Row, params};

use super::persist::event_ref;
use super::{Sqlite, batches};
use crate::accounts::Accounts;
use crate::{Account, Kept, Ledger, StoreError, Totals};

/// Of a stream's life.
pub const SOURCE: &str = "SELECT src FROM sources WHERE stream = ?1 AND created_at = ?2";
const BATCHES: &str = "SELECT src, seq FROM batches WHERE src = ?1 AND seq BETWEEN ?2 AND ?3";
const EVENTS: &str = "SELECT src, seq, ordinal, hash FROM events WHERE src = ?1 AND seq BETWEEN ?2 AND ?3";
const REFUSED: &str =
    "SELECT src, seq, ordinal, hash, verdict FROM refused WHERE src = ?1 AND seq BETWEEN ?2 AND ?3";
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
    let mut rows = statement.query(params![src, from as i64, i64::try_from(to).unwrap_or(i64::MAX)])?;
    while let Some(row) = rows.next()? {
        take(row)?;
    }
    Ok(())
}

impl Ledger for Sqlite {
    async fn known_source(&self, life: &StreamLife) -> Result<Option<Src>, StoreError> {
        let life = life.clone();
        let find = move |connection: &Connection| {
            let mut statement = connection.prepare_cached(SOURCE)?;
            Ok(statement.query_row(params![life.name, life.created], |row| row.get(0)).optional()?)
        };
        self.readers.read(find).await
    }

    async fn accounts(&self, src: Src, from: u64, to: u64) -> Result<Vec<Account>, StoreError> {
        self.readers.read(move |connection| accounts(connection, (src, from, to))).await
    }

    async fn unfinished(&self) -> Result<BTreeMap<String, u64>, StoreError> {
        self.readers.read(|connection| by_state(connection, UNFINISHED)).await
    }

    async fn totals(&self) -> Result<Totals, StoreError> {
        self.readers.read(totals).await
    }
}

fn accounts(connection: &Connection, range: (Src, u64, u64)) -> Result<Vec<Account>, StoreError> {
    let mut accounts = Accounts::default();
    each(connection, BATCHES, range, |row| {
        accounts.has_row(batches::batch_ref(row)?);
        Ok(())
    })?;
    each(connection, EVENTS, range, |row| {
        accounts.keep(event_ref(row)?, Kept::Event(row.get(3)?));
        Ok(())
    })?;
    each(connection, REFUSED, range, |row| {
        accounts.keep(event_ref(row)?, Kept::refused(row.get_ref(4)?.as_str()?, row.get(3)?));
        Ok(())
    })?;
    each(connection, DUPLICATES, range, |row| {
        let original = match row.get::<_, Option<Src>>(3)? {
            None => None,
            Some(src) => {
                let seq = row.get::<_, i64>(4)?.unsigned_abs();
                Some(EventRef { src, seq, ordinal: row.get(5)? })
            }
        };
        accounts.keep(event_ref(row)?, Kept::Duplicate { original });
        Ok(())
    })?;
    Ok(accounts.into_vec())
}

fn by_state(connection: &Connection, sql: &str) -> Result<BTreeMap<String, u64>, StoreError> {
    let mut states = connection.prepare_cached(sql)?;
    let states = states.query_map([], |row| Ok((row.get(0)?, row.get::<_, i64>(1)?.unsigned_abs())))?;
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
