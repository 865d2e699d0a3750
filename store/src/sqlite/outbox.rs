//! T2: batches whose jobs are to be published, and those whose jobs are (docs/protocol.md).

use rusqlite::{Connection, OptionalExtension, params};
use types::job::Mask;
use types::time::{Micros, SECOND};

use super::audit::{self, Keep};
use super::{Sqlite, batches};
use crate::{Outbox, Pending, StoreError, Triggered, steps};

/// A claimed batch is its claimer's for this long.
const CLAIM_LEASE: Micros = 30 * SECOND;

const CLAIM: &str = "SELECT src, seq, need, job_body FROM batches
    WHERE state = 'persisted' AND lease_until < CAST(unixepoch('subsec') * 1000000 AS INTEGER)
    ORDER BY src, seq LIMIT ?1";
const LEASE: &str =
    "UPDATE batches SET lease_until = CAST(unixepoch('subsec') * 1000000 AS INTEGER) + ?3
    WHERE src = ?1 AND seq = ?2";
const TRIGGERED: &str = "UPDATE batches SET state = CASE
      WHEN (done & need) = need THEN 'completed' WHEN failed <> 0 THEN 'failed' ELSE 'triggered' END
    WHERE src = ?1 AND seq = ?2 AND state = 'persisted' RETURNING state";

impl Outbox for Sqlite {
    async fn claim_outbox(&self, limit: u32) -> Result<Vec<Pending>, StoreError> {
        crate::measured::transaction(
            "claim_outbox",
            self.write(move |connection| claim(connection, limit)),
        )
        .await
    }

    async fn mark_triggered(&self, mut batches: Vec<Triggered>) -> Result<(), StoreError> {
        batches.sort_by_key(|batch| batch.body.batch);
        let t2b = async |batches: Vec<Triggered>| {
            self.write(move |connection| {
                batches
                    .iter()
                    .try_for_each(|batch| triggered(connection, batch))
            })
            .await
        };
        crate::measured::mark_triggered(batches, t2b).await
    }
}

/// T2a.
fn claim(connection: &Connection, limit: u32) -> Result<Vec<Pending>, StoreError> {
    let mut statement = connection.prepare_cached(CLAIM)?;
    let rows = statement.query_map([limit], |row| {
        Ok((
            batches::batch_ref(row)?,
            Mask(row.get(2)?),
            row.get::<_, String>(3)?,
        ))
    })?;
    let mut claimed = Vec::new();
    for row in rows.collect::<Result<Vec<_>, _>>()? {
        let (at, need, body) = row;
        let pending = Pending::read(at, need, &body)?;
        connection
            .prepare_cached(LEASE)?
            .execute(params![at.src, at.seq as i64, CLAIM_LEASE])?;
        claimed.push(pending);
    }
    Ok(claimed)
}

/// T2b of one batch.
fn triggered(connection: &Connection, batch: &Triggered) -> Result<(), StoreError> {
    let at = batch.body.batch;
    let known = batches::is_known(connection, at)?;
    let state = connection
        .prepare_cached(TRIGGERED)?
        .query_row(params![at.src, at.seq as i64], |row| batches::state(row, 0))
        .optional()?;
    let Some(state) = state else { return Ok(()) };
    audit::append(connection, &steps::triggered(batch, state), Keep::of(known))
}
