//! Whether a stored batch is going to be completed, or waits for a job that is nowhere. Pure.

use std::time::Duration;

use store::{Account, BatchStatus};
use types::job::{BatchState, JobKind, Mask};
use types::time::Micros;

use super::audit_trail::has_job_step;
use super::findings::CheckResult;

/// The oldest live jobs in JOBS, read before the accounts that they are compared with: a job leaves JOBS only once the
/// store has it as done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OldestJobs {
    /// The last sequence of JOBS when a batch was first seen to wait.
    pub since: u64,
    /// The sequence of the oldest job of each kind, in the order of [`JobKind::ALL`]; `None` if
    /// nothing is pending or ack-pending.
    pub oldest: [Option<u64>; 3],
}

/// How long a batch may take.
#[derive(Debug, Clone, Copy)]
pub struct WaitLimit {
    pub now: Micros,
    /// What is younger is pending.
    pub wait: Duration,
}

/// Counts a batch that is not completed, and reports it if it is not going to be.
///
/// `jobs` is `None` if JOBS was not read yet: then the batch is checked again.
pub fn check(
    account: &Account,
    dead: Mask,
    limit: WaitLimit,
    jobs: Option<&OldestJobs>,
    checked: &mut CheckResult,
) {
    let Some(row) = account.row else { return };
    match row.state {
        BatchState::Completed => return,
        BatchState::Persisted | BatchState::Triggered => checked.counts.unfinished += 1,
        BatchState::Failed => checked.counts.failed += 1,
    }
    let age =
        Duration::from_micros(u64::try_from(limit.now - row.persisted_at).unwrap_or_default());
    let waits_for = waits_for(account, &row, dead);
    if age <= limit.wait || waits_for == Mask::NONE {
        return;
    }
    let Some(jobs) = jobs else {
        checked.is_pending = true;
        return;
    };
    for (kind, oldest) in JobKind::ALL.into_iter().zip(jobs.oldest) {
        if waits_for.0 & kind.bit().0 == 0 {
            continue;
        }
        // What a batch is `triggered` after was in JOBS before: a job that came later is another one's.
        let was_published = row.state != BatchState::Persisted && row.failed.0 & kind.bit().0 == 0;
        match oldest {
            Some(oldest) if !was_published || oldest <= jobs.since => checked.is_pending = true,
            _ => checked.suspect(format!(
                "stuck: batch {} was stored {} s ago and is {}; its {} job is not done, not failed, and not in JOBS",
                account.at,
                age.as_secs(),
                row.state.as_str(),
                kind.as_str()
            )),
        }
    }
}

/// The jobs that must be in JOBS, or come there. A failed one must not, unless it was redriven and is not in DEAD
/// again.
fn waits_for(account: &Account, row: &BatchStatus, dead: Mask) -> Mask {
    let is_again = |kind: &JobKind| {
        let has_step = |step| has_job_step(account, step, *kind);
        dead.0 & kind.bit().0 == 0 && has_step("redriven") && !has_step("dropped")
    };
    let again: u8 = row
        .failed
        .kinds()
        .filter(is_again)
        .map(|kind| kind.bit().0)
        .sum();
    Mask(row.need.0 & !row.done.0 & (!row.failed.0 | again))
}

#[cfg(test)]
mod tests {
    use store::AuditStep;
    use types::id::BatchRef;

    use super::*;

    const LIMIT: WaitLimit = WaitLimit {
        now: 100_000_000,
        wait: Duration::from_secs(60),
    };

    /// A batch that was stored 100 s before, with its alert job not done.
    fn waiting(state: BatchState, failed: u8) -> Account {
        let done = Mask(3);
        let failed = Mask(failed);
        let row = BatchStatus {
            state,
            need: Mask::ALL,
            done,
            failed,
            is_known: true,
            persisted_at: 0,
        };
        Account {
            at: BatchRef { src: 1, seq: 7 },
            row: Some(row),
            stored_from: None,
            events: Vec::new(),
            kept: Vec::new(),
            steps: Vec::new(),
        }
    }

    fn checked(account: &Account, dead: u8, jobs: Option<Option<u64>>) -> CheckResult {
        let mut checked = CheckResult::default();
        let oldest_jobs = jobs.map(|oldest| OldestJobs {
            since: 10,
            oldest: [Some(1), Some(1), oldest],
        });
        check(
            account,
            Mask(dead),
            LIMIT,
            oldest_jobs.as_ref(),
            &mut checked,
        );
        checked
    }

    #[test]
    fn a_lost_job_is_reported_and_one_in_jobs_is_awaited() {
        let triggered = waiting(BatchState::Triggered, 0);
        let first = checked(&triggered, 0, None);
        assert!(first.is_pending && first.findings.is_empty() && first.counts.unfinished == 1);
        let text = "stuck: batch 1:7 was stored 100 s ago and is triggered; its alert job is not done, not failed, \
                    and not in JOBS";
        for nowhere in [None, Some(11)] {
            assert_eq!(checked(&triggered, 0, Some(nowhere)).findings[0].text, text);
        }
        let behind = checked(&triggered, 0, Some(Some(10)));
        assert!(behind.is_pending && behind.findings.is_empty());
        // The sweep may just have published it.
        let persisted = waiting(BatchState::Persisted, 0);
        assert!(checked(&persisted, 0, Some(Some(11))).findings.is_empty());
        assert_eq!(checked(&persisted, 0, Some(None)).findings.len(), 1);
    }

    #[test]
    fn a_young_completed_or_dead_job_is_not_stuck() {
        let mut young = waiting(BatchState::Triggered, 0);
        young.row = young.row.map(|row| BatchStatus {
            persisted_at: 40_000_000,
            ..row
        });
        let mut failed = waiting(BatchState::Failed, 4);
        for one in [&young, &waiting(BatchState::Completed, 0), &failed] {
            let found = checked(one, 0, Some(None));
            assert!(
                found.findings.is_empty() && !found.is_pending,
                "{one:?}: {found:?}"
            );
        }
        assert_eq!(checked(&failed, 0, None).counts.failed, 1);
        let job_id = Some("1:7:alert:r1".to_owned());
        failed.steps.push(AuditStep {
            step: "redriven".to_owned(),
            replay_id: None,
            job_id,
        });
        assert_eq!(
            checked(&failed, 0, Some(None)).findings.len(),
            1,
            "its redrive is lost"
        );
        assert!(
            checked(&failed, 4, Some(None)).findings.is_empty(),
            "it is in DEAD again"
        );
        assert!(
            checked(&failed, 0, Some(Some(11))).is_pending,
            "its redrive may have come later"
        );
    }
}
