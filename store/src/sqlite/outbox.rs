//! [`Outbox`] in SQLite.

use rusqlite::{Connection, params};
use types::time::{Micros, SECOND};

use super::audit::{self, Keep};
use super::batches;
use super::database::Sqlite;
use super::statements::{execute, list, one};
use crate::audit_rows;
use crate::error::StoreError;
use crate::outbox::{Outbox, Pending, Triggered};
use crate::row::state;
use crate::transaction_timing;

/// A claimed batch is its claimer's for this long.
const CLAIM_LEASE: Micros = 30 * SECOND;

const CLAIM: &str = "SELECT src, seq, need, job_body FROM batches
    WHERE state = 'persisted' AND lease_until < CAST(unixepoch('subsec') * 1000000 AS INTEGER)
    ORDER BY src, seq LIMIT ?1";
const LEASE: &str =
    "UPDATE batches SET lease_until = CAST(unixepoch('subsec') * 1000000 AS INTEGER) + ?3
    WHERE src = ?1 AND seq = ?2";
const MARK_TRIGGERED: &str = "UPDATE batches SET state = CASE
      WHEN (done & need) = need THEN 'completed' WHEN failed <> 0 THEN 'failed' ELSE 'triggered' END
    WHERE src = ?1 AND seq = ?2 AND state = 'persisted' RETURNING state";

impl Outbox for Sqlite {
    async fn claim_outbox(&self, limit: u32) -> Result<Vec<Pending>, StoreError> {
        let claimed = self.write(move |connection| claim_outbox(connection, limit));
        transaction_timing::timed("claim_outbox", claimed).await
    }

    async fn mark_triggered(&self, mut batches: Vec<Triggered>) -> Result<(), StoreError> {
        batches.sort_by_key(|batch| batch.body.batch);
        let mark = async |batches: Vec<Triggered>| {
            self.write(move |connection| {
                let mut batches = batches.iter();
                batches.try_for_each(|batch| mark_triggered(connection, batch))
            })
            .await
        };
        transaction_timing::mark_triggered(batches, mark).await
    }
}

/// T2a.
fn claim_outbox(connection: &Connection, limit: u32) -> Result<Vec<Pending>, StoreError> {
    let claimed = list(connection, CLAIM, [limit], |row| Pending::decode(row))?;
    for pending in &claimed {
        let at = pending.body.batch;
        let lease = params![at.src, at.seq as i64, CLAIM_LEASE];
        execute(connection, LEASE, lease)?;
    }
    Ok(claimed)
}

/// T2b of one batch.
fn mark_triggered(connection: &Connection, batch: &Triggered) -> Result<(), StoreError> {
    let at = batch.body.batch;
    let known = batches::is_known(connection, at)?;
    let key = params![at.src, at.seq as i64];
    let Some(state) = one(connection, MARK_TRIGGERED, key, |row| state(row, 0))? else {
        return Ok(());
    };
    audit::append(
        connection,
        &audit_rows::triggered(batch, state),
        Keep::of(known),
    )
}
