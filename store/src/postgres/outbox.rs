//! [`Outbox`] in Postgres.

use std::collections::BTreeMap;

use deadpool_postgres::Transaction;
use types::id::BatchRef;

use super::audit;
use super::batches;
use super::database::Postgres;
use super::error::TransactionError;
use super::statements::{list, rows};
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
const MARK_TRIGGERED: &str = "UPDATE batches b SET state = CASE
        WHEN (b.done & b.need) = b.need THEN 'completed' WHEN b.failed <> 0 THEN 'failed' ELSE 'triggered' END
    FROM unnest($1::bigint[], $2::bigint[]) k (src, seq)
    WHERE b.src = k.src AND b.seq = k.seq AND b.state = 'persisted' RETURNING b.src, b.seq, b.state";

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
}

/// T2b.
async fn mark_triggered(tx: &Transaction<'_>, batches: &ByBatch) -> Result<(), TransactionError> {
    let locked = batches::lock(tx, batches.keys().copied()).await?;
    let keys = batches::KeyColumns::new(locked.keys().copied());
    let mut audit_rows = Vec::new();
    for row in rows(tx, MARK_TRIGGERED, &[&keys.srcs, &keys.seqs]).await? {
        if let Some(batch) = batches.get(&batch_ref(&row, 0)?) {
            audit_rows.extend(audit_rows::triggered(batch, state(&row, 2)?));
        }
    }
    audit::append(tx, &audit_rows, |at| batches::is_known(&locked, at)).await
}
