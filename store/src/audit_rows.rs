//! What publishing and doing jobs leaves in the audit, and what dead-lettering does: the rows of `mark_triggered` (T2b),
//! `finish_jobs` (T3) and `fail_job` (T3f). Pure.

use serde_json::json;
use types::audit::Step;
use types::dead_letter::DeadLetterClass;
use types::id::BatchRef;
use types::job::{BatchState, JobBody, JobMessage};
use types::json::replace_nul;
use types::time::Micros;

use crate::alert_change::Alert;
use crate::attempts::DeadMessage;
use crate::attempts::{Attempt, Recovery};
use crate::audit::{AuditRow, Happened, Whose};
use crate::dead_letters::DeadLetterDecision;
use crate::effects::JobDone;
use crate::effects::JobFailed;
use crate::outbox::Triggered;

/// `mark_triggered` left the batch in this state.
pub fn triggered(batch: &Triggered, state: BatchState) -> Vec<AuditRow> {
    let happened = |step| Happened::ok(batch.body.batch, step, batch.at, &batch.actor);
    let jobs = Some(json!({"jobs": batch.receipts}));
    let mut rows = vec![row(
        &batch.body,
        Happened {
            detail: jobs,
            ..happened(Step::Triggered)
        },
    )];
    if state == BatchState::Completed {
        rows.push(row(&batch.body, happened(Step::Completed)));
    }
    rows
}

/// A job was begun and done.
pub fn job_done(done: &JobDone) -> [AuditRow; 2] {
    let row = |step, time| {
        let detail = Some(json!({"job_id": done.job.job_id}));
        of_job(
            &done.job,
            Happened {
                detail,
                ..Happened::ok(done.job.body.batch, step, time, &done.actor)
            },
        )
    };
    [
        row(Step::JobStarted, done.started_at),
        row(Step::JobFinished, done.finished_at),
    ]
}

/// The job was the last one that its batch needed.
pub fn completed(done: &JobDone) -> AuditRow {
    let body = &done.job.body;
    row(
        body,
        Happened::ok(body.batch, Step::Completed, done.finished_at, &done.actor),
    )
}

/// The job goes to DEAD.
pub fn job_failed(failed: &JobFailed) -> AuditRow {
    let JobFailed {
        job,
        at,
        actor,
        reason,
    } = failed;
    let detail = json!({"job_id": job.job_id, "reason": reason, "attempt": job.attempt});
    let happened = Happened::ok(job.body.batch, Step::Failed, *at, actor);
    of_job(
        job,
        Happened {
            outcome: "dead_letter",
            detail: Some(detail),
            ..happened
        },
    )
}

/// DEAD has the message: everything that is needed to understand why, and to fix it (R7.4).
pub fn dead(message: &DeadMessage) -> AuditRow {
    let letter = &message.letter;
    let context = &letter.context;
    let detail = json!({
        "subject": letter.dead_subject(), "stream_sequence": message.key.seq, "attempts": letter.attempts,
        "delivered": letter.delivered, "error_class": letter.error_class.map(DeadLetterClass::as_str),
        "reason": letter.reason, "state": context.state.map(BatchState::as_str), "event_ids": context.event_ids,
        "job_id": context.job.as_ref().map(|job| &job.job_id),
    });
    let text = |text: &Option<String>| replace_nul(text.as_deref().unwrap_or_default());
    let batch_id = text(&context.batch_id);
    let correlation_id = text(&context.correlation_id);
    let whose = Whose {
        developer: message.developer(),
        batch_id: &batch_id,
        correlation_id: &correlation_id,
    };
    let actor = letter.actor.as_deref().unwrap_or_default();
    let happened = Happened::ok(message.place(), Step::Dead, letter.at, actor);
    let replay_id = context
        .job
        .as_ref()
        .and_then(|job| job.replay_id.as_deref());
    AuditRow::new(
        &whose,
        Happened {
            outcome: "failed",
            detail: Some(detail),
            replay_id,
            ..happened
        },
    )
}

/// Attempts of the message had failed, and then it was done.
pub fn recovered(recovery: &Recovery, failed: &Attempt) -> AuditRow {
    let job = recovery.job.as_ref();
    let detail = json!({
        "attempts": failed.used, "reason": failed.reason, "consumer": recovery.key.consumer,
        "stream_sequence": recovery.key.seq, "job_id": job.map(|job| &job.job_id),
    });
    let (batch_id, correlation_id) = (
        replace_nul(&recovery.batch_id),
        replace_nul(&recovery.correlation_id),
    );
    let whose = Whose {
        developer: &recovery.developer,
        batch_id: &batch_id,
        correlation_id: &correlation_id,
    };
    let happened = Happened::ok(recovery.place(), Step::Failed, recovery.at, &recovery.actor);
    let replay_id = job.and_then(|job| job.replay_id.as_deref());
    AuditRow::new(
        &whose,
        Happened {
            outcome: "recovered",
            detail: Some(detail),
            replay_id,
            ..happened
        },
    )
}

/// The job raised or retracted the alert.
pub fn alerted(alert: &Alert, done: &JobDone) -> AuditRow {
    let detail = json!({
        "alert_id": alert.alert_id, "rule": alert.rule, "state": alert.state(), "revision": alert.revision,
    });
    let happened = Happened::ok(
        done.job.body.batch,
        Step::Alerted,
        done.finished_at,
        &done.actor,
    );
    of_job(
        &done.job,
        Happened {
            detail: Some(detail),
            ..happened
        },
    )
}

/// The stream dropped a resend of the batch: `whose` has the correlation id of the resend.
pub fn resent(at: BatchRef, whose: &Whose<'_>, time: Micros, actor: &str) -> AuditRow {
    let happened = Happened::ok(at, Step::Deduplicated, time, actor);
    AuditRow::new(
        whose,
        Happened {
            outcome: "duplicate_batch",
            ..happened
        },
    )
}

/// An administrator's decision about a dead letter.
pub fn decided(decision: &DeadLetterDecision, whose: &Whose<'_>) -> AuditRow {
    let DeadLetterDecision {
        at,
        step,
        time,
        actor,
        dead_sequence,
        by,
        reason,
        job_id,
        dead_reason,
        ..
    } = decision;
    let detail = json!({
        "by": by, "reason": reason, "job_id": job_id, "dead_sequence": dead_sequence, "dead_reason": dead_reason,
    });
    let happened = Happened::ok(*at, *step, *time, actor);
    AuditRow::with_id(
        decision.id(),
        whose,
        Happened {
            detail: Some(detail),
            ..happened
        },
    )
}

fn row(body: &JobBody, happened: Happened<'_>) -> AuditRow {
    AuditRow::new(&Whose::from(body), happened)
}

fn of_job(job: &JobMessage, happened: Happened<'_>) -> AuditRow {
    row(
        &job.body,
        Happened {
            replay_id: job.replay_id.as_deref(),
            ..happened
        },
    )
}
