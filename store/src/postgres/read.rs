//! Reading beside the writers: each answer of one moment, without locks.

use std::collections::BTreeMap;

use deadpool_postgres::Transaction;
use tokio_postgres::Row;
use types::id::Src;
use types::job::Mask;
use types::stream::StreamIncarnation;

use super::trouble::Trouble;
use super::{Postgres, Work, batches, rows};
use crate::accounts::Accounts;
use crate::{Account, BatchStatus, StoreError, StoredPlacement, Totals, VerifyReads};

/// Of a stream's life.
pub const SOURCE: &str = "SELECT src FROM sources WHERE stream = $1 AND created_at = $2";
const BATCHES: &str =
    "SELECT src, seq, state, need, done, failed, developer <> '', persisted_at FROM batches
    WHERE src = $1 AND seq BETWEEN $2 AND $3";
const EVENTS: &str =
    "SELECT src, seq, ordinal, hash, body FROM events WHERE src = $1 AND seq BETWEEN $2 AND $3";
const REFUSED: &str = "SELECT src, seq, ordinal, hash, body, verdict FROM refused WHERE src = $1 AND seq BETWEEN $2 AND $3";
/// Of an account: not those of its events.
const STEPS: &str = "SELECT a.src, a.seq, a.step, a.replay_id,
      CASE WHEN a.step IN ('job_finished', 'failed', 'dead', 'redriven', 'dropped') THEN p.detail END
    FROM audit a LEFT JOIN audit_personal p ON p.id = a.id
    WHERE a.src = $1 AND a.seq BETWEEN $2 AND $3 AND a.step IN ('received', 'validated', 'published',
      'persisted', 'triggered', 'job_finished', 'completed', 'failed', 'dead', 'redriven', 'dropped')";
const DUPLICATES: &str = "SELECT d.src, d.seq, d.ordinal, e.src, e.seq, e.ordinal
    FROM duplicates d LEFT JOIN events e ON e.developer = d.developer AND e.event_id = d.event_id
    WHERE d.src = $1 AND d.seq BETWEEN $2 AND $3";
const STATES: &str = "SELECT state, count(*) FROM batches GROUP BY state";
const UNFINISHED: &str = "SELECT state, count(*) FROM batches
    WHERE state IN ('persisted', 'triggered', 'failed') GROUP BY state";
const TOTALS: &str = "SELECT (SELECT count(*) FROM events), (SELECT count(*) FROM duplicates),
    (SELECT count(*) FROM refused WHERE verdict = 'quarantined'),
    (SELECT count(*) FROM refused WHERE verdict = 'rejected'),
    (SELECT count(DISTINCT developer) FROM events),
    (SELECT count(*) FROM normalized), (SELECT count(*) FROM days),
    (SELECT count(*) FROM alerts WHERE state = 'raised')";

impl Postgres {
    /// The number of a stream's life, where it has one.
    pub(super) async fn source_of(
        &self,
        incarnation: &StreamIncarnation,
    ) -> Result<Option<Src>, StoreError> {
        let rows = self
            .rows(SOURCE, &[&incarnation.name, &incarnation.created])
            .await?;
        let src = rows.first().map(|row| row.try_get(0)).transpose();
        Ok(src.map_err(Trouble::from)?)
    }
}

impl VerifyReads for Postgres {
    async fn known_source(
        &self,
        incarnation: &StreamIncarnation,
    ) -> Result<Option<Src>, StoreError> {
        self.source_of(incarnation).await
    }

    async fn accounts(&self, src: Src, from: u64, to: u64) -> Result<Vec<Account>, StoreError> {
        let bound = |seq| i64::try_from(seq).unwrap_or(i64::MAX);
        self.read(OfRange {
            src,
            from: bound(from),
            to: bound(to),
        })
        .await
    }

    async fn unfinished(&self) -> Result<BTreeMap<String, u64>, StoreError> {
        Ok(by_state(&self.rows(UNFINISHED, &[]).await?)?)
    }

    async fn totals(&self) -> Result<Totals, StoreError> {
        self.read(Counting).await
    }
}

/// The accounts of a range of sequences.
struct OfRange {
    src: Src,
    from: i64,
    to: i64,
}

impl OfRange {
    async fn each(&self, tx: &Transaction<'_>, sql: &'static str) -> Result<Vec<Row>, Trouble> {
        rows(tx, sql, &[&self.src, &self.from, &self.to]).await
    }
}

impl Work for OfRange {
    type Done = Vec<Account>;

    async fn run(&self, tx: &Transaction<'_>) -> Result<Vec<Account>, Trouble> {
        let mut accounts = Accounts::default();
        for row in self.each(tx, BATCHES).await? {
            accounts.stands(batches::batch_ref(&row)?, standing(&row)?);
        }
        for row in self.each(tx, EVENTS).await? {
            let kept = StoredPlacement::event(batches::hash(&row, 3)?, row.try_get(4)?);
            accounts.keep(batches::event_ref(&row, 0)?, kept);
        }
        for row in self.each(tx, REFUSED).await? {
            let kept =
                StoredPlacement::refused(row.try_get(5)?, batches::hash(&row, 3)?, row.try_get(4)?);
            accounts.keep(batches::event_ref(&row, 0)?, kept);
        }
        for row in self.each(tx, DUPLICATES).await? {
            let is_there = row.try_get::<_, Option<Src>>(3)?.is_some();
            let original = is_there.then(|| batches::event_ref(&row, 3)).transpose()?;
            accounts.keep(
                batches::event_ref(&row, 0)?,
                StoredPlacement::Duplicate { original },
            );
        }
        for row in self.each(tx, STEPS).await? {
            let at = batches::batch_ref(&row)?;
            accounts.step(at, row.try_get(2)?, row.try_get(3)?, row.try_get(4)?);
        }
        Ok(accounts.into_vec())
    }
}

/// In the columns from the third on: state, need, done, failed, whether the developer is known, when
/// the store had it.
fn standing(row: &Row) -> Result<BatchStatus, Trouble> {
    let mask = |column| Ok::<_, Trouble>(Mask(row.try_get::<_, i32>(column)? as u8));
    let [need, done, failed] = [mask(3)?, mask(4)?, mask(5)?];
    let (state, is_known, persisted_at) =
        (batches::state(row, 2)?, row.try_get(6)?, row.try_get(7)?);
    Ok(BatchStatus {
        state,
        need,
        done,
        failed,
        is_known,
        persisted_at,
    })
}

/// Rows of a state and its count.
fn by_state(rows: &[Row]) -> Result<BTreeMap<String, u64>, Trouble> {
    rows.iter()
        .map(|row| Ok((row.try_get(0)?, row.try_get::<_, i64>(1)?.unsigned_abs())))
        .collect()
}

struct Counting;

impl Work for Counting {
    type Done = Totals;

    async fn run(&self, tx: &Transaction<'_>) -> Result<Totals, Trouble> {
        let batches = by_state(&rows(tx, STATES, &[]).await?)?;
        let mut totals = Totals {
            batches,
            ..Totals::default()
        };
        for row in rows(tx, TOTALS, &[]).await? {
            let count = |column| row.try_get::<_, i64>(column).map(i64::unsigned_abs);
            totals = Totals {
                batches: totals.batches,
                events: count(0)?,
                duplicates: count(1)?,
                quarantined: count(2)?,
                rejected: count(3)?,
                developers: count(4)?,
                normalized: count(5)?,
                days: count(6)?,
                alerts: count(7)?,
            };
        }
        Ok(totals)
    }
}
