//! Is a batch's audit trail whole for the state that the batch is in? Pure.

use std::collections::BTreeMap;

use store::{Account, AuditStep, BatchStatus};
use types::audit::Step;
use types::job::{BatchState, JobKind, Mask};

use super::findings::Checked;

/// What T1 writes of every batch.
const STORED: [Step; 4] = [
    Step::Received,
    Step::Validated,
    Step::Published,
    Step::Persisted,
];

/// Checks the trail of a stored batch; `dead_jobs` are the kinds of its jobs that are in DEAD.
pub fn check(account: &Account, dead_jobs: Mask, checked: &mut Checked) {
    let Some(row) = account.row else { return };
    let at = account.at;
    let has = |step: &str| account.steps.iter().any(|taken| taken.step == step);
    let mut wanted = STORED.to_vec();
    if row.need != Mask::NONE && row.state != BatchState::Persisted {
        wanted.push(Step::Triggered);
    }
    if row.state == BatchState::Completed {
        wanted.push(Step::Completed);
    }
    for step in wanted
        .into_iter()
        .map(Step::as_str)
        .filter(|step| !has(step))
    {
        let state = row.state.as_str();
        checked.find(format!(
            "missing: batch {at} is {state}, and its audit has no step {step}"
        ));
    }
    for (step, job, times) in doubled(&account.steps) {
        let job = job.map(|job| format!(" of job {job}")).unwrap_or_default();
        checked.find(format!(
            "doubled: the audit of batch {at} has {times} steps {step}{job}"
        ));
    }
    finished(account, &row, checked);
    failed(account, &row, dead_jobs, checked);
}

/// Steps that are there more than once. Another job, or a replay, takes a step of its own.
fn doubled(steps: &[AuditStep]) -> Vec<(&str, Option<&str>, usize)> {
    let once = [Step::Triggered, Step::Completed]
        .into_iter()
        .chain(STORED)
        .map(Step::as_str);
    let once: Vec<&str> = once.collect();
    let mut times: BTreeMap<&AuditStep, usize> = BTreeMap::new();
    let is_one = |taken: &&AuditStep| {
        once.contains(&&*taken.step)
            || (taken.step == Step::JobFinished.as_str() && taken.job_id.is_some())
    };
    steps
        .iter()
        .filter(is_one)
        .for_each(|taken| *times.entry(taken).or_default() += 1);
    let more = times.into_iter().filter(|(_, times)| *times > 1);
    more.map(|(taken, times)| (&*taken.step, taken.job_id.as_deref(), times))
        .collect()
}

/// One `job_finished` for each bit of `done`.
fn finished(account: &Account, row: &BatchStatus, checked: &mut Checked) {
    let at = account.at;
    let step = Step::JobFinished.as_str();
    if !row.is_known {
        // Whose it was is forgotten, and with it which job each row is about.
        let (rows, jobs) = (
            account
                .steps
                .iter()
                .filter(|taken| taken.step == step)
                .count(),
            row.done.kinds().count(),
        );
        if rows < jobs {
            checked.find(format!(
                "missing: batch {at} has {jobs} jobs done, and its audit {rows} steps {step}"
            ));
        }
        return;
    }
    for kind in row
        .done
        .kinds()
        .filter(|kind| !is_told(account, step, *kind))
    {
        let kind = kind.as_str();
        checked.find(format!(
            "missing: the {kind} job of batch {at} is done, and its audit has no step {step} of it"
        ));
    }
}

/// A failed job is in DEAD, or an administrator dealt with it; the audit says that it failed.
fn failed(account: &Account, row: &BatchStatus, dead_jobs: Mask, checked: &mut Checked) {
    let at = account.at;
    let told = |step: &str, kind| {
        is_told(account, step, kind)
            || (!row.is_known && account.steps.iter().any(|taken| taken.step == step))
    };
    for kind in row.failed.kinds() {
        let name = kind.as_str();
        if !told("failed", kind) && !told("dead", kind) {
            checked.find(format!(
                "missing: the {name} job of batch {at} failed, and its audit has no step of that"
            ));
        }
        let is_dead = dead_jobs.0 & kind.bit().0 != 0;
        if !is_dead && !told("dropped", kind) && !told("redriven", kind) {
            checked.suspect(format!(
                "missing: the {name} job of batch {at} failed, and is neither in DEAD nor dropped"
            ));
        }
    }
}

/// Whether the audit has such a step of the batch's job of this kind.
pub fn is_told(account: &Account, step: &str, kind: JobKind) -> bool {
    account
        .steps
        .iter()
        .any(|taken| taken.step == step && taken.job_id.as_deref().and_then(kind_of) == Some(kind))
}

/// The kind in a job id: `<src>:<seq>:<kind>…`.
pub fn kind_of(job_id: &str) -> Option<JobKind> {
    let name = job_id.split(':').nth(2)?;
    JobKind::ALL.into_iter().find(|kind| kind.as_str() == name)
}

#[cfg(test)]
mod tests;
