//! Whether the audit of a batch has the steps of the state that the batch is in. Pure.

use std::collections::BTreeMap;

use store::{Account, AuditStep, BatchStatus};
use types::audit::Step;
use types::job::{BatchState, JobId, JobKind, Mask};

use super::findings::CheckResult;
use crate::output::count;

/// The steps that are written when a batch is stored (`store_batches`).
const STORED: [Step; 4] = [
    Step::Received,
    Step::Validated,
    Step::Published,
    Step::Persisted,
];

/// Checks the audit trail of a stored batch; `dead_jobs` are the kinds of its jobs that are in DEAD.
pub fn check(account: &Account, dead_jobs: Mask, checked: &mut CheckResult) {
    let Some(row) = account.row else { return };
    let at = account.at;
    let has = |step: &str| account.steps.iter().any(|taken| taken.step == step);
    let mut expected = STORED.to_vec();
    if row.need != Mask::NONE && row.state != BatchState::Persisted {
        expected.push(Step::Triggered);
    }
    if row.state == BatchState::Completed {
        expected.push(Step::Completed);
    }
    for step in expected
        .into_iter()
        .map(Step::as_str)
        .filter(|step| !has(step))
    {
        let state = row.state.as_str();
        checked.report(format!(
            "missing: batch {at} is {state}, and its audit has no step {step}"
        ));
    }
    for Repeated { taken, times } in repeated(&account.steps) {
        let step = &taken.step;
        let job = taken.job_id.iter().map(|job| format!(" of job {job}"));
        let job: String = job.collect();
        checked.report(format!(
            "doubled: the audit of batch {at} has {times} steps {step}{job}"
        ));
    }
    check_finished_jobs(account, &row, checked);
    check_failed_jobs(account, &row, dead_jobs, checked);
}

/// A step that the audit has more than once.
struct Repeated<'a> {
    taken: &'a AuditStep,
    times: usize,
}

/// Steps that are there more than once. Another job, or a replay, takes a step of its own.
fn repeated(steps: &[AuditStep]) -> Vec<Repeated<'_>> {
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
    more.map(|(taken, times)| Repeated { taken, times })
        .collect()
}

/// One `job_finished` for each bit of `done`.
fn check_finished_jobs(account: &Account, row: &BatchStatus, checked: &mut CheckResult) {
    let at = account.at;
    let step = Step::JobFinished.as_str();
    if !row.is_known {
        // Its developer is forgotten, and with it which job each row is about.
        let rows = account
            .steps
            .iter()
            .filter(|taken| taken.step == step)
            .count();
        let jobs = row.done.kinds().count();
        if rows < jobs {
            checked.report(format!(
                "missing: batch {at} has {} done, and its audit {} {step}",
                count(jobs, "job"),
                count(rows, "step")
            ));
        }
        return;
    }
    for kind in row
        .done
        .kinds()
        .filter(|kind| !has_job_step(account, step, *kind))
    {
        let kind = kind.as_str();
        checked.report(format!(
            "missing: the {kind} job of batch {at} is done, and its audit has no step {step} of it"
        ));
    }
}

/// A failed job is in DEAD, or an administrator dealt with it; the audit says that it failed.
fn check_failed_jobs(
    account: &Account,
    row: &BatchStatus,
    dead_jobs: Mask,
    checked: &mut CheckResult,
) {
    let at = account.at;
    let has_step = |step: &str, kind| {
        has_job_step(account, step, kind)
            || (!row.is_known && account.steps.iter().any(|taken| taken.step == step))
    };
    for kind in row.failed.kinds() {
        let name = kind.as_str();
        if !has_step("failed", kind) && !has_step("dead", kind) {
            checked.report(format!(
                "missing: the {name} job of batch {at} failed, and its audit has no step of that"
            ));
        }
        let is_dead = dead_jobs.0 & kind.bit().0 != 0;
        if !is_dead && !has_step("dropped", kind) && !has_step("redriven", kind) {
            checked.suspect(format!(
                "missing: the {name} job of batch {at} failed, and is neither in DEAD nor dropped"
            ));
        }
    }
}

/// Whether the audit has this step of the batch's job of this kind.
pub fn has_job_step(account: &Account, step: &str, kind: JobKind) -> bool {
    let is_of_kind = |id: &str| JobId::parse(id).is_some_and(|job| job.kind == kind);
    account
        .steps
        .iter()
        .any(|taken| taken.step == step && taken.job_id.as_deref().is_some_and(is_of_kind))
}

#[cfg(test)]
mod tests {
    //! For every state and mask: the whole audit trail is clean, and each row that is removed or doubled is reported.

    use proptest::prelude::*;
    use types::id::BatchRef;

    use super::*;

    const AT: BatchRef = BatchRef { src: 1, seq: 7 };

    fn taken(step: &str, job_id: Option<String>) -> AuditStep {
        AuditStep {
            step: step.to_owned(),
            replay_id: None,
            job_id,
        }
    }

    #[derive(Debug, Clone, Copy)]
    struct Masks {
        state: BatchState,
        need: Mask,
        done: Mask,
        failed: Mask,
    }

    fn masks() -> impl Strategy<Value = Masks> {
        let state = prop::sample::select(BatchState::ALL.to_vec());
        (state, any::<bool>(), 0..8_u8, 0..8_u8).prop_map(|(state, needs, done, failed)| {
            let within = |mask| if needs { Mask(mask) } else { Mask::NONE };
            let need = within(Mask::ALL.0);
            let done = within(done);
            let failed = within(failed & !done.0);
            Masks {
                state,
                need,
                done,
                failed,
            }
        })
    }

    /// The audit trail that the workers write for such a batch.
    fn whole(batch: Masks) -> Account {
        let Masks {
            state,
            need,
            done,
            failed,
        } = batch;
        let mut steps: Vec<AuditStep> = STORED
            .iter()
            .map(|step| taken(step.as_str(), None))
            .collect();
        if need != Mask::NONE && state != BatchState::Persisted {
            steps.push(taken("triggered", None));
        }
        let job = |kind: JobKind| Some(kind.id(AT, None));
        steps.extend(done.kinds().map(|kind| taken("job_finished", job(kind))));
        steps.extend(failed.kinds().map(|kind| taken("failed", job(kind))));
        if state == BatchState::Completed {
            steps.push(taken("completed", None));
        }
        let row = BatchStatus {
            state,
            need,
            done,
            failed,
            is_known: true,
            persisted_at: 0,
        };
        Account {
            at: AT,
            row: Some(row),
            stored_from: None,
            events: Vec::new(),
            kept: Vec::new(),
            steps,
        }
    }

    fn findings(account: &Account, dead: Mask) -> Vec<String> {
        let mut checked = CheckResult::default();
        check(account, dead, &mut checked);
        checked
            .findings
            .into_iter()
            .map(|finding| finding.text)
            .collect()
    }

    proptest! {
        #[test]
        fn each_missing_or_doubled_row_of_an_audit_trail_is_reported(
            masks in masks(), which in any::<prop::sample::Index>()
        ) {
            let failed = masks.failed;
            let clean = whole(masks);
            prop_assert_eq!(findings(&clean, failed), Vec::<String>::new());
            let index = which.index(clean.steps.len());
            let mut less = clean.clone();
            let gone = less.steps.remove(index);
            let named = findings(&less, failed);
            prop_assert_eq!(named.len(), 1, "{:?}: {:?}", gone, named);
            let what = if gone.step == "failed" { "no step of that".to_owned() } else { format!("step {}", gone.step) };
            prop_assert!(named[0].starts_with("missing") && named[0].contains(&what), "{:?}", named);
            let mut more = clean.clone();
            more.steps.push(clean.steps[index].clone());
            let named = findings(&more, failed);
            // A job may fail again and again.
            prop_assert_eq!(named.len(), usize::from(clean.steps[index].step != "failed"), "{:?}", named);
            prop_assert!(named.iter().all(|text| text.starts_with("doubled")), "{:?}", named);
        }

        #[test]
        fn a_failed_job_is_in_dead_or_was_dealt_with(masks in masks()) {
            let failed = masks.failed;
            let account = whole(masks);
            let named = findings(&account, Mask::NONE);
            prop_assert_eq!(named.len(), failed.kinds().count());
            prop_assert!(named.iter().all(|text| text.contains("neither in DEAD nor dropped")));
            for dealt_with in ["dropped", "redriven"] {
                let mut account = account.clone();
                account.steps.extend(failed.kinds().map(|kind| taken(dealt_with, Some(kind.id(AT, None)))));
                prop_assert_eq!(findings(&account, Mask::NONE), Vec::<String>::new());
            }
        }
    }

    #[test]
    fn a_forgotten_batch_and_a_replay_are_no_findings() {
        let mut forgotten = whole(Masks {
            state: BatchState::Failed,
            need: Mask::ALL,
            done: Mask(3),
            failed: Mask(4),
        });
        forgotten.row = forgotten.row.map(|row| BatchStatus {
            is_known: false,
            ..row
        });
        forgotten
            .steps
            .iter_mut()
            .for_each(|taken| taken.job_id = None);
        forgotten.steps.push(taken("dropped", None));
        assert_eq!(findings(&forgotten, Mask::NONE), Vec::<String>::new());
        let mut replayed = whole(Masks {
            state: BatchState::Completed,
            need: Mask::ALL,
            done: Mask::ALL,
            failed: Mask::NONE,
        });
        let again = |step: &AuditStep| AuditStep {
            replay_id: Some("r".to_owned()),
            ..step.clone()
        };
        let more: Vec<AuditStep> = replayed.steps.iter().map(again).collect();
        replayed.steps.extend(more);
        assert_eq!(findings(&replayed, Mask::NONE), Vec::<String>::new());
    }
}
