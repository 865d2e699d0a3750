//! [`Outbox`] in SQLite.

use rusqlite::{Connection, params};
use types::job::Mask;
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
const MARK_TRIGGERED: &str = "UPDATE batches SET triggered_at = ?3, state = CASE
      WHEN (done & need) = need THEN 'completed' WHEN failed <> 0 THEN 'failed' ELSE 'triggered' END
    WHERE src = ?1 AND seq = ?2 AND state = 'persisted' RETURNING state";
const UNFINISHED: &str = "SELECT src, seq, need & ~done & ~failed & ?2, job_body FROM batches
    WHERE state IN ('triggered', 'failed') AND triggered_at < ?1 AND (need & ~done & ~failed & ?2) <> 0
      AND lease_until < CAST(unixepoch('subsec') * 1000000 AS INTEGER)
    ORDER BY src, seq LIMIT ?3";
const MARK_RETRIGGERED: &str = "UPDATE batches SET triggered_at = ?3
    WHERE src = ?1 AND seq = ?2 AND state IN ('triggered', 'failed')";

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

    async fn claim_unfinished(
        &self,
        before: Micros,
        kinds: Mask,
        limit: u32,
    ) -> Result<Vec<Pending>, StoreError> {
        let claimed = self.write(move |connection| {
            let key = params![before, kinds.0, limit];
            let claimed = list(connection, UNFINISHED, key, |row| Pending::decode(row))?;
            lease(connection, &claimed, 2 * CLAIM_LEASE)?;
            Ok(claimed)
        });
        transaction_timing::timed("claim_outbox", claimed).await
    }

    async fn mark_retriggered(&self, batches: Vec<Triggered>) -> Result<(), StoreError> {
        self.write(move |connection| {
            for batch in &batches {
                let at = batch.body.batch;
                let key = params![at.src, at.seq as i64, batch.at];
                if execute(connection, MARK_RETRIGGERED, key)? == 1 {
                    let known = batches::is_known(connection, at)?;
                    let row = audit_rows::retriggered(batch);
                    audit::append(connection, &[row], Keep::of(known))?;
                }
            }
            Ok(())
        })
        .await
    }
}

/// T2a.
fn claim_outbox(connection: &Connection, limit: u32) -> Result<Vec<Pending>, StoreError> {
    let claimed = list(connection, CLAIM, [limit], |row| Pending::decode(row))?;
    lease(connection, &claimed, CLAIM_LEASE)?;
    Ok(claimed)
}

fn lease(connection: &Connection, claimed: &[Pending], time: Micros) -> Result<(), StoreError> {
    for pending in claimed {
        let at = pending.body.batch;
        execute(connection, LEASE, params![at.src, at.seq as i64, time])?;
    }
    Ok(())
}

/// T2b of one batch.
fn mark_triggered(connection: &Connection, batch: &Triggered) -> Result<(), StoreError> {
    let at = batch.body.batch;
    let known = batches::is_known(connection, at)?;
    let key = params![at.src, at.seq as i64, batch.at];
    let Some(state) = one(connection, MARK_TRIGGERED, key, |row| state(row, 0))? else {
        return Ok(());
    };
    audit::append(
        connection,
        &[audit_rows::triggered(batch, state)],
        Keep::of(known),
    )
}
