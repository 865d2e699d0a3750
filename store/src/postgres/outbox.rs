//! T2: batches whose jobs are to be published, and those whose jobs are (docs/protocol.md).

use std::collections::BTreeMap;

use deadpool_postgres::Transaction;
use types::id::BatchRef;
use types::job::Mask;

use super::trouble::Trouble;
use super::{Postgres, Work, audit, batches, rows};
use crate::{Outbox, Pending, StoreError, Triggered, steps};

/// One clock, the database's, tells the leases of all processes: now, and 30 s from now.
const CLAIM: &str =
    "WITH now AS (SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::bigint AS micros),
    free AS MATERIALIZED (SELECT src, seq FROM batches
        WHERE state = 'persisted' AND lease_until < (SELECT micros FROM now)
        ORDER BY src, seq LIMIT $1 FOR NO KEY UPDATE SKIP LOCKED)
    UPDATE batches b SET lease_until = (SELECT micros FROM now) + 30000000 FROM free
    WHERE b.src = free.src AND b.seq = free.seq RETURNING b.src, b.seq, b.need, b.job_body";
const TRIGGERED: &str = "UPDATE batches b SET state = CASE
        WHEN (b.done & b.need) = b.need THEN 'completed' WHEN b.failed <> 0 THEN 'failed' ELSE 'triggered' END
    FROM unnest($1::bigint[], $2::bigint[]) k (src, seq)
    WHERE b.src = k.src AND b.seq = k.seq AND b.state = 'persisted' RETURNING b.src, b.seq, b.state";

impl Outbox for Postgres {
    async fn claim_outbox(&self, limit: u32) -> Result<Vec<Pending>, StoreError> {
        crate::measured::transaction("claim_outbox", self.write(T2a { limit })).await
    }

    async fn mark_triggered(&self, batches: Vec<Triggered>) -> Result<(), StoreError> {
        let t2b = async |batches: Vec<Triggered>| {
            let batches = batches
                .into_iter()
                .map(|batch| (batch.body.batch, batch))
                .collect();
            self.write(T2b { batches }).await
        };
        crate::measured::mark_triggered(batches, t2b).await
    }
}

struct T2a {
    limit: u32,
}

impl Work for T2a {
    type Done = Vec<Pending>;

    async fn run(&self, tx: &Transaction<'_>) -> Result<Vec<Pending>, Trouble> {
        let mut claimed: BTreeMap<BatchRef, Pending> = BTreeMap::new();
        for row in rows(tx, CLAIM, &[&i64::from(self.limit)]).await? {
            let at = batches::batch_ref(&row)?;
            let need = Mask(row.try_get::<_, i32>(2)? as u8);
            claimed.insert(at, Pending::read(at, need, row.try_get(3)?)?);
        }
        Ok(claimed.into_values().collect())
    }
}

struct T2b {
    batches: BTreeMap<BatchRef, Triggered>,
}

impl Work for T2b {
    type Done = ();

    async fn run(&self, tx: &Transaction<'_>) -> Result<(), Trouble> {
        let locked = batches::lock(tx, self.batches.keys().copied()).await?;
        let (srcs, seqs) = batches::columns(locked.keys().copied());
        let mut trail = Vec::new();
        for row in rows(tx, TRIGGERED, &[&srcs, &seqs]).await? {
            let at = batches::batch_ref(&row)?;
            let Some(batch) = self.batches.get(&at) else {
                continue;
            };
            trail.extend(steps::triggered(batch, batches::state(&row, 2)?));
        }
        audit::append(tx, &trail, |at| {
            locked.get(&at).is_some_and(|batch| batch.is_known)
        })
        .await
    }
}
