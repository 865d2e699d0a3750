//! T3 and T3f: how a job ends.

use std::collections::{BTreeMap, BTreeSet};

use deadpool_postgres::Transaction;
use types::id::BatchRef;
use types::job::BatchState;

use super::newest::newest;
use super::{effects, rules};
use crate::effects::JobFailed;
use crate::postgres::batches::{self, Locked};
use crate::postgres::trouble::Trouble;
use crate::postgres::{Work, audit, column, execute, rows};
use crate::{AlertRevision, Effects, JobDone, steps};

const ENTER: &str = "INSERT INTO ledger (job_id, kind, src, seq, replay_id, finished_at)
    SELECT * FROM unnest($1::text[], $2::text[], $3::bigint[], $4::bigint[], $5::text[], $6::bigint[])
    ON CONFLICT (job_id) DO NOTHING RETURNING job_id";
const JOBS_DONE: &str = "UPDATE batches b SET done = b.done | u.bits, failed = b.failed & ~u.bits,
      state = CASE WHEN b.state NOT IN ('triggered', 'failed') THEN b.state
        WHEN ((b.done | u.bits) & b.need) = b.need THEN 'completed'
        WHEN (b.failed & ~u.bits) = 0 THEN 'triggered' ELSE 'failed' END
    FROM unnest($1::bigint[], $2::bigint[], $3::integer[]) u (src, seq, bits)
    WHERE b.src = u.src AND b.seq = u.seq RETURNING b.src, b.seq, b.state";
const JOB_FAILED: &str = "UPDATE batches SET failed = failed | $3,
      state = CASE WHEN state = 'triggered' THEN 'failed' ELSE state END
    WHERE src = $1 AND seq = $2 AND (done & $3) = 0";

/// The transaction that ends a group of jobs.
pub struct T3 {
    effects: Effects,
    /// By job id, each once.
    jobs: Vec<JobDone>,
}

impl T3 {
    pub fn new(effects: Effects, jobs: &[JobDone]) -> Self {
        let each_once = newest(jobs, |done| &done.job.job_id, |_, _| false);
        Self {
            effects,
            jobs: each_once.into_iter().cloned().collect(),
        }
    }

    /// Enters the jobs in the ledger; gives those that were not in it.
    async fn enter(&self, tx: &Transaction<'_>) -> Result<BTreeSet<String>, Trouble> {
        let entered = rows(
            tx,
            ENTER,
            &[
                &column(&self.jobs, |done| done.job.job_id.as_str()),
                &column(&self.jobs, |done| done.job.kind.as_str()),
                &column(&self.jobs, |done| done.job.body.batch.src),
                &column(&self.jobs, |done| done.job.body.batch.seq as i64),
                &column(&self.jobs, |done| done.job.replay_id.as_deref()),
                &column(&self.jobs, |done| done.finished_at),
            ],
        )
        .await?;
        entered.iter().map(|row| Ok(row.try_get(0)?)).collect()
    }

    /// Sets the live jobs' bits; gives the batches that this completed, each with its last job.
    async fn set_done(
        &self,
        tx: &Transaction<'_>,
        before: &BTreeMap<BatchRef, Locked>,
    ) -> Result<Vec<&JobDone>, Trouble> {
        let mut bits: BTreeMap<BatchRef, (i32, &JobDone)> = BTreeMap::new();
        for done in self.jobs.iter().filter(|done| done.job.replay_id.is_none()) {
            let of_batch = bits.entry(done.job.body.batch).or_insert((0, done));
            *of_batch = (of_batch.0 | i32::from(done.job.kind.bit().0), done);
        }
        if bits.is_empty() {
            return Ok(Vec::new());
        }
        let keys: Vec<_> = bits.iter().collect();
        let (srcs, seqs) = (
            column(&keys, |(at, _)| at.src),
            column(&keys, |(at, _)| at.seq as i64),
        );
        let mut completed = Vec::new();
        for row in rows(
            tx,
            JOBS_DONE,
            &[&srcs, &seqs, &column(&keys, |(_, (bits, _))| *bits)],
        )
        .await?
        {
            let at = batches::batch_ref(&row)?;
            let was = before.get(&at).map(|batch| batch.state);
            let is = batches::state(&row, 2)?;
            if is == BatchState::Completed && was != Some(is) {
                completed.extend(bits.get(&at).map(|(_, done)| *done));
            }
        }
        Ok(completed)
    }
}

impl Work for T3 {
    type Done = Vec<AlertRevision>;

    async fn run(&self, tx: &Transaction<'_>) -> Result<Vec<AlertRevision>, Trouble> {
        let (mut revisions, mut trail) = (Vec::new(), Vec::new());
        match &self.effects {
            Effects::Normalized(given) => effects::normalized(tx, given).await?,
            Effects::Windows { partials, days } => {
                effects::partials(tx, partials).await?;
                effects::days(tx, days).await?;
            }
            Effects::Rules(windows) => {
                (revisions, trail) = rules::write(tx, windows, &self.jobs).await?
            }
        }
        let entered = self.enter(tx).await?;
        let locked = batches::lock(tx, self.jobs.iter().map(|done| done.job.body.batch)).await?;
        for done in self
            .jobs
            .iter()
            .filter(|done| entered.contains(&done.job.job_id))
        {
            trail.extend(steps::job_done(done));
        }
        trail.extend(
            self.set_done(tx, &locked)
                .await?
                .into_iter()
                .map(steps::completed),
        );
        // A job message names a person; where the batch is gone, that person is forgotten.
        audit::append(tx, &trail, |at| {
            locked.get(&at).is_some_and(|batch| batch.is_known)
        })
        .await?;
        Ok(revisions)
    }
}

/// T3f: before a job's message, which is in DEAD, is terminated.
pub async fn fail(tx: &Transaction<'_>, failed: &JobFailed) -> Result<(), Trouble> {
    let (job, at) = (&failed.job, failed.job.body.batch);
    let locked = batches::lock(tx, std::iter::once(at)).await?;
    if job.replay_id.is_none() {
        execute(
            tx,
            JOB_FAILED,
            &[&at.src, &(at.seq as i64), &i32::from(job.kind.bit().0)],
        )
        .await?;
    }
    audit::append(tx, &[steps::job_failed(failed)], |at| {
        locked.get(&at).is_some_and(|batch| batch.is_known)
    })
    .await
}
