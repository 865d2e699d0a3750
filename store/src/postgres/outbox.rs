//! [`Outbox`] in Postgres.

use std::collections::BTreeMap;

use deadpool_postgres::Transaction;
use types::id::BatchRef;
use types::job::Mask;
use types::time::Micros;

use super::audit;
use super::batches;
use super::database::Postgres;
use super::error::TransactionError;
use super::statements::{Param, list, rows};
use crate::audit_rows;
use crate::error::StoreError;
use crate::outbox::{Outbox, Pending, Triggered};
use crate::row::{batch_ref, state};
use crate::transaction_timing;

/// The database's clock decides about the leases of all processes: now, and 30 s from now.
const CLAIM: &str =
    "WITH now AS (SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::bigint AS micros),
    free AS MATERIALIZED (SELECT src, seq FROM batches
        WHERE state = 'persisted' AND lease_until < (SELECT micros FROM now)
        ORDER BY src, seq LIMIT $1 FOR NO KEY UPDATE SKIP LOCKED)
    UPDATE batches b SET lease_until = (SELECT micros FROM now) + 30000000 FROM free
    WHERE b.src = free.src AND b.seq = free.seq RETURNING b.src, b.seq, b.need, b.job_body";
const MARK_TRIGGERED: &str = "UPDATE batches b SET triggered_at = k.at, state = CASE
        WHEN (b.done & b.need) = b.need THEN 'completed' WHEN b.failed <> 0 THEN 'failed' ELSE 'triggered' END
    FROM unnest($1::bigint[], $2::bigint[], $3::bigint[]) k (src, seq, at)
    WHERE b.src = k.src AND b.seq = k.seq AND b.state = 'persisted' RETURNING b.src, b.seq, b.state";

/// The lease is twice that of a claim: these jobs were published before. The order is of no index, or the planner walks
/// through all batches there are in it.
const CLAIM_UNFINISHED: &str =
    "WITH now AS (SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::bigint AS micros),
    free AS MATERIALIZED (SELECT src, seq FROM batches
        WHERE state IN ('triggered', 'failed') AND triggered_at < $1 AND (need & ~done & ~failed & $2) <> 0
          AND lease_until < (SELECT micros FROM now)
        ORDER BY triggered_at, src, seq LIMIT $3 FOR NO KEY UPDATE SKIP LOCKED)
    UPDATE batches b SET lease_until = (SELECT micros FROM now) + 60000000 FROM free
    WHERE b.src = free.src AND b.seq = free.seq
    RETURNING b.src, b.seq, b.need & ~b.done & ~b.failed & $2, b.job_body";
const MARK_RETRIGGERED: &str = "UPDATE batches b SET triggered_at = k.at
    FROM unnest($1::bigint[], $2::bigint[], $3::bigint[]) k (src, seq, at)
    WHERE b.src = k.src AND b.seq = k.seq AND b.state IN ('triggered', 'failed') RETURNING b.src, b.seq";

/// Batches whose jobs are published, each once.
type ByBatch = BTreeMap<BatchRef, Triggered>;

impl Outbox for Postgres {
    async fn claim_outbox(&self, limit: u32) -> Result<Vec<Pending>, StoreError> {
        let claimed = self.write(i64::from(limit), |tx, limit| {
            Box::pin(async move {
                let mut claimed = list(tx, CLAIM, &[limit], Pending::decode).await?;
                claimed.sort_by_key(|pending| pending.body.batch);
                Ok(claimed)
            })
        });
        transaction_timing::timed("claim_outbox", claimed).await
    }

    async fn mark_triggered(&self, batches: Vec<Triggered>) -> Result<(), StoreError> {
        let mark = async |batches: Vec<Triggered>| {
            let by_batch = batches.into_iter().map(|batch| (batch.body.batch, batch));
            let batches: ByBatch = by_batch.collect();
            self.write(batches, |tx, batches| Box::pin(mark_triggered(tx, batches)))
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
        let claim = (before, i32::from(kinds.0), i64::from(limit));
        let claimed = self.write(claim, |tx, (before, kinds, limit)| {
            Box::pin(async move {
                let key: [Param<'_>; 3] = [before, kinds, limit];
                let mut claimed = list(tx, CLAIM_UNFINISHED, &key, Pending::decode).await?;
                claimed.sort_by_key(|pending| pending.body.batch);
                Ok(claimed)
            })
        });
        transaction_timing::timed("claim_outbox", claimed).await
    }

    async fn mark_retriggered(&self, batches: Vec<Triggered>) -> Result<(), StoreError> {
        let by_batch = batches.into_iter().map(|batch| (batch.body.batch, batch));
        let batches: ByBatch = by_batch.collect();
        self.write(batches, |tx, batches| {
            Box::pin(mark_retriggered(tx, batches))
        })
        .await
    }
}

/// When the batches' jobs were published, in the order of their keys.
fn times(batches: &ByBatch, keys: &batches::KeyColumns) -> Vec<Micros> {
    let keys = keys.srcs.iter().zip(&keys.seqs);
    keys.filter_map(|(src, seq)| {
        let at = BatchRef {
            src: *src,
            seq: seq.unsigned_abs(),
        };
        batches.get(&at).map(|batch| batch.at)
    })
    .collect()
}

async fn mark_retriggered(tx: &Transaction<'_>, batches: &ByBatch) -> Result<(), TransactionError> {
    let locked = batches::lock(tx, batches.keys().copied()).await?;
    let keys = batches::KeyColumns::new(locked.keys().copied());
    let times = times(batches, &keys);
    let mut audit_rows = Vec::new();
    for row in rows(tx, MARK_RETRIGGERED, &[&keys.srcs, &keys.seqs, &times]).await? {
        let batch = batches.get(&batch_ref(&row, 0)?);
        audit_rows.extend(batch.map(audit_rows::retriggered));
    }
    audit::append(tx, &audit_rows, |at| batches::is_known(&locked, at)).await
}

/// T2b.
async fn mark_triggered(tx: &Transaction<'_>, batches: &ByBatch) -> Result<(), TransactionError> {
    let locked = batches::lock(tx, batches.keys().copied()).await?;
    let keys = batches::KeyColumns::new(locked.keys().copied());
    let mut audit_rows = Vec::new();
    let times = times(batches, &keys);
    for row in rows(tx, MARK_TRIGGERED, &[&keys.srcs, &keys.seqs, &times]).await? {
        if let Some(batch) = batches.get(&batch_ref(&row, 0)?) {
            audit_rows.push(audit_rows::triggered(batch, state(&row, 2)?));
        }
    }
    audit::append(tx, &audit_rows, |at| batches::is_known(&locked, at)).await
}
