//! Reading beside the writer: short, paged by key, on a connection of its own.

use std::collections::BTreeMap;
use std::path::Path;

use common::bus::StreamLife;
use common::id::{BatchRef, EventRef, Src};
use common::verdict::Verdict;
use rusqlite::{Connection, OptionalExtension, Row, params};

use super::open_read_only;
use super::persist::event_ref;
use crate::{Account, Kept, Ledger, StoreError, Totals};

const SOURCE: &str = "SELECT src FROM sources WHERE stream = ?1 AND created_at = ?2";
const BATCHES: &str = "SELECT seq FROM batches WHERE src = ?1 AND seq BETWEEN ?2 AND ?3";
const EVENTS: &str = "SELECT src, seq, ordinal, hash FROM events WHERE src = ?1 AND seq BETWEEN ?2 AND ?3";
const REFUSED: &str =
    "SELECT src, seq, ordinal, hash, verdict FROM refused WHERE src = ?1 AND seq BETWEEN ?2 AND ?3";
const DUPLICATES: &str = "SELECT d.src, d.seq, d.ordinal, e.src, e.seq, e.ordinal
    FROM duplicates d LEFT JOIN events e ON e.developer = d.developer AND e.event_id = d.event_id
    WHERE d.src = ?1 AND d.seq BETWEEN ?2 AND ?3";
const STATES: &str = "SELECT state, count(*) FROM batches GROUP BY state";
const TOTALS: &str = "SELECT (SELECT count(*) FROM events), (SELECT count(*) FROM duplicates),
    (SELECT count(*) FROM refused WHERE verdict = 'quarantined'),
    (SELECT count(*) FROM refused WHERE verdict = 'rejected'),
    (SELECT count(DISTINCT developer) FROM events)";

/// Reads one SQLite file, beside whoever writes it.
pub struct SqliteReader {
    connection: Connection,
}

impl SqliteReader {
    /// Opens the database at `path` for reading only.
    ///
    /// # Errors
    /// Where there is none, or it cannot be read.
    pub fn open(path: &Path) -> Result<Self, StoreError> {
        Ok(Self { connection: open_read_only(path)? })
    }

    /// Runs a query over a range of sequences and hands each row on.
    fn each(
        &self,
        sql: &str,
        (src, from, to): (Src, u64, u64),
        mut take: impl FnMut(&Row<'_>) -> rusqlite::Result<()>,
    ) -> Result<(), StoreError> {
        let mut statement = self.connection.prepare_cached(sql)?;
        let mut rows = statement.query(params![src, from as i64, i64::try_from(to).unwrap_or(i64::MAX)])?;
        while let Some(row) = rows.next()? {
            take(row)?;
        }
        Ok(())
    }
}

impl Ledger for SqliteReader {
    fn known_source(&self, life: &StreamLife) -> Result<Option<Src>, StoreError> {
        let mut statement = self.connection.prepare_cached(SOURCE)?;
        Ok(statement.query_row(params![life.name, life.created], |row| row.get(0)).optional()?)
    }

    fn accounts(&self, src: Src, from: u64, to: u64) -> Result<Vec<Account>, StoreError> {
        // One snapshot: a batch that is stored meanwhile is seen whole or not at all.
        let snapshot = self.connection.unchecked_transaction()?;
        let range = (src, from, to);
        let mut accounts: BTreeMap<BatchRef, Account> = BTreeMap::new();
        fn of(accounts: &mut BTreeMap<BatchRef, Account>, at: BatchRef) -> &mut Account {
            accounts.entry(at).or_insert_with(|| Account { at, has_row: false, kept: Vec::new() })
        }
        self.each(BATCHES, range, |row| {
            let at = BatchRef { src, seq: row.get::<_, i64>(0)?.unsigned_abs() };
            of(&mut accounts, at).has_row = true;
            Ok(())
        })?;
        let mut keep = |at: EventRef, kept: Kept| of(&mut accounts, at.batch()).kept.push((at.ordinal, kept));
        self.each(EVENTS, range, |row| {
            keep(event_ref(row)?, Kept::Event(row.get(3)?));
            Ok(())
        })?;
        self.each(REFUSED, range, |row| {
            let quarantined = row.get_ref(4)?.as_str()? == Verdict::Quarantined.as_str();
            let verdict = if quarantined { Verdict::Quarantined } else { Verdict::Rejected };
            keep(event_ref(row)?, Kept::Refused(verdict, row.get(3)?));
            Ok(())
        })?;
        self.each(DUPLICATES, range, |row| {
            let original = match row.get::<_, Option<Src>>(3)? {
                None => None,
                Some(src) => {
                    let seq = row.get::<_, i64>(4)?.unsigned_abs();
                    Some(EventRef { src, seq, ordinal: row.get(5)? })
                }
            };
            keep(event_ref(row)?, Kept::Duplicate { original });
            Ok(())
        })?;
        snapshot.finish()?;
        Ok(accounts.into_values().collect())
    }

    fn totals(&self) -> Result<Totals, StoreError> {
        let snapshot = self.connection.unchecked_transaction()?;
        let mut states = self.connection.prepare_cached(STATES)?;
        let states = states.query_map([], |row| Ok((row.get(0)?, row.get::<_, i64>(1)?.unsigned_abs())))?;
        let batches = states.collect::<Result<_, _>>()?;
        let totals = self.connection.query_row(TOTALS, [], |row| {
            let count = |column| row.get::<_, i64>(column).map(i64::unsigned_abs);
            Ok(Totals {
                batches,
                events: count(0)?,
                duplicates: count(1)?,
                quarantined: count(2)?,
                rejected: count(3)?,
                developers: count(4)?,
            })
        })?;
        snapshot.finish()?;
        Ok(totals)
    }
}
