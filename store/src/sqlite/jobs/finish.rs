//! T3 and T3f: how a job ends.

use rusqlite::{Connection, OptionalExtension, params};
use types::job::{BatchState, JobMessage};

use super::{effects, rules};
use crate::effects::JobFailed;
use crate::sqlite::audit::{self, Keep};
use crate::sqlite::batches;
use crate::{AlertRevision, Effects, JobDone, StoreError, steps};

const ENTER: &str = "INSERT INTO ledger (job_id, kind, src, seq, replay_id, finished_at)
    VALUES (?1, ?2, ?3, ?4, ?5, ?6) ON CONFLICT (job_id) DO NOTHING";
const STATE: &str = "SELECT state FROM batches WHERE src = ?1 AND seq = ?2";
const JOB_DONE: &str = "UPDATE batches SET done = done | ?3, failed = failed & ~?3,
      state = CASE WHEN state NOT IN ('triggered', 'failed') THEN state
        WHEN ((done | ?3) & need) = need THEN 'completed'
        WHEN (failed & ~?3) = 0 THEN 'triggered' ELSE 'failed' END
    WHERE src = ?1 AND seq = ?2 RETURNING state";
const JOB_FAILED: &str = "UPDATE batches SET failed = failed | ?3,
      state = CASE WHEN state = 'triggered' THEN 'failed' ELSE state END
    WHERE src = ?1 AND seq = ?2 AND (done & ?3) = 0";

/// T3.
pub fn finish(
    connection: &Connection,
    effects: Effects,
    mut jobs: Vec<JobDone>,
) -> Result<Vec<AlertRevision>, StoreError> {
    let revisions = match effects {
        Effects::Normalized(rows) => effects::normalized(connection, &rows).map(|()| Vec::new())?,
        Effects::Windows { partials, days } => {
            effects::windows(connection, &partials, &days).map(|()| Vec::new())?
        }
        Effects::Rules(windows) => rules::write(connection, &windows, &jobs)?,
    };
    jobs.sort_by(|a, b| (a.job.body.batch, &a.job.job_id).cmp(&(b.job.body.batch, &b.job.job_id)));
    for done in &jobs {
        job_done(connection, done)?;
    }
    Ok(revisions)
}

/// Ledger, mask and audit of one job. Where its batch is gone, the ledger knows the job all the same.
fn job_done(connection: &Connection, done: &JobDone) -> Result<(), StoreError> {
    let (job, at) = (&done.job, done.job.body.batch);
    let key = params![
        job.job_id,
        job.kind.as_str(),
        at.src,
        at.seq as i64,
        job.replay_id,
        done.finished_at
    ];
    let entered = connection.prepare_cached(ENTER)?.execute(key)? == 1;
    let completed = job.replay_id.is_none() && set_done(connection, job)?;
    let mut rows = Vec::new();
    if entered {
        rows.extend(steps::job_done(done));
    }
    if completed {
        rows.push(steps::completed(done));
    }
    audit::append(
        connection,
        &rows,
        Keep::of(batches::is_known(connection, at)?),
    )
}

/// Sets the job's bit; whether that completed the batch.
fn set_done(connection: &Connection, job: &JobMessage) -> Result<bool, StoreError> {
    let (at, bit) = (job.body.batch, job.kind.bit().0);
    let before = connection
        .prepare_cached(STATE)?
        .query_row(params![at.src, at.seq as i64], |row| batches::state(row, 0))
        .optional()?;
    let after = connection
        .prepare_cached(JOB_DONE)?
        .query_row(params![at.src, at.seq as i64, bit], |row| {
            batches::state(row, 0)
        })
        .optional()?;
    Ok(before != after && after == Some(BatchState::Completed))
}

/// T3f.
pub fn fail(connection: &Connection, failed: &JobFailed) -> Result<(), StoreError> {
    let (job, at) = (&failed.job, failed.job.body.batch);
    if job.replay_id.is_none() {
        let bit = job.kind.bit().0;
        connection
            .prepare_cached(JOB_FAILED)?
            .execute(params![at.src, at.seq as i64, bit])?;
    }
    audit::append(
        connection,
        &[steps::job_failed(failed)],
        Keep::of(batches::is_known(connection, at)?),
    )
}
