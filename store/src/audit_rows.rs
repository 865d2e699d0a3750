//! Audit rows of published and finished jobs and of dead letters: those of `mark_triggered` (T2b), `finish_jobs` (T3)
//! and `fail_job` (T3f). Pure.

use serde_json::json;
use types::audit::{SharedStep, Step};
use types::dead_letter::DeadLetterClass;
use types::id::{BatchRef, Src};
use types::job::{BatchState, JobBody, JobMessage};
use types::json::replace_nul;
use types::time::Micros;

use crate::alert_change::Alert;
use crate::attempts::DeadMessage;
use crate::attempts::{Attempt, Recovery};
use crate::audit::{AuditRow, AuditSubject, RecordedStep};
use crate::dead_letters::DeadLetterDecision;
use crate::effects::JobDone;
use crate::effects::JobFailed;
use crate::identity::Reread;
use crate::outbox::Triggered;

/// `mark_triggered` left the batch in this state.
pub fn triggered(batch: &Triggered, state: BatchState) -> AuditRow {
    let actor = &batch.actor;
    let completed = [SharedStep {
        step: Step::Completed,
        time: batch.at,
        actor,
    }];
    let is_completed = state == BatchState::Completed;
    row(
        &batch.body,
        RecordedStep {
            detail: Some(json!({"jobs": batch.receipts})),
            shared: if is_completed { &completed } else { &[] },
            ..RecordedStep::ok(batch.body.batch, Step::Triggered, batch.at, actor)
        },
    )
}

/// Jobs of the batch that were lost are published again.
pub fn retriggered(batch: &Triggered) -> AuditRow {
    let detail = Some(json!({"jobs": batch.receipts}));
    let at = batch.body.batch;
    row(
        &batch.body,
        RecordedStep {
            detail,
            ..RecordedStep::ok(at, Step::Retriggered, batch.at, &batch.actor)
        },
    )
}

/// A job was begun and done; it may be the one that completed its batch.
pub fn job_done(done: &JobDone, is_completed: bool) -> AuditRow {
    let actor = &done.actor;
    let step = |step, time| SharedStep { step, time, actor };
    let shared = [
        step(Step::JobStarted, done.started_at),
        step(Step::Completed, done.finished_at),
    ];
    let at = done.job.body.batch;
    of_job(
        &done.job,
        RecordedStep {
            detail: Some(json!({"job_id": done.job.job_id})),
            shared: &shared[..if is_completed { 2 } else { 1 }],
            ..RecordedStep::ok(at, Step::JobFinished, done.finished_at, actor)
        },
    )
}

/// A job that was entered before was the last one that its batch needed.
pub fn completed(done: &JobDone) -> AuditRow {
    let body = &done.job.body;
    row(
        body,
        RecordedStep::ok(body.batch, Step::Completed, done.finished_at, &done.actor),
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
    let recorded = RecordedStep::ok(job.body.batch, Step::Failed, *at, actor);
    of_job(
        job,
        RecordedStep {
            outcome: "dead_letter",
            detail: Some(detail),
            ..recorded
        },
    )
}

/// DEAD has the message: everything that is needed to understand why, and to fix it (R7.4).
pub fn dead(message: &DeadMessage) -> AuditRow {
    let dead_letter = &message.dead_letter;
    let context = &dead_letter.context;
    let detail = json!({
        "subject": dead_letter.dead_subject(), "stream_sequence": message.key.seq, "attempts": dead_letter.attempts,
        "delivered": dead_letter.delivered, "error_class": dead_letter.error_class.map(DeadLetterClass::as_str),
        "reason": dead_letter.reason, "state": context.state.map(BatchState::as_str), "event_ids": context.event_ids,
        "job_id": context.job.as_ref().map(|job| &job.job_id),
    });
    let text = |text: &Option<String>| replace_nul(text.as_deref().unwrap_or_default());
    let batch_id = text(&context.batch_id);
    let correlation_id = text(&context.correlation_id);
    let subject = AuditSubject {
        developer: message.developer(),
        batch_id: &batch_id,
        correlation_id: &correlation_id,
    };
    let actor = dead_letter.actor.as_deref().unwrap_or_default();
    let recorded = RecordedStep::ok(message.place(), Step::Dead, dead_letter.at, actor);
    let replay_id = context
        .job
        .as_ref()
        .and_then(|job| job.replay_id.as_deref());
    AuditRow::new(
        &subject,
        RecordedStep {
            outcome: "failed",
            detail: Some(detail),
            replay_id,
            ..recorded
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
    let batch_id = replace_nul(&recovery.batch_id);
    let correlation_id = replace_nul(&recovery.correlation_id);
    let subject = AuditSubject {
        developer: &recovery.developer,
        batch_id: &batch_id,
        correlation_id: &correlation_id,
    };
    let recorded = RecordedStep::ok(recovery.place(), Step::Failed, recovery.at, &recovery.actor);
    let replay_id = job.and_then(|job| job.replay_id.as_deref());
    AuditRow::new(
        &subject,
        RecordedStep {
            outcome: "recovered",
            detail: Some(detail),
            replay_id,
            ..recorded
        },
    )
}

/// The job raised or retracted the alert.
pub fn alerted(alert: &Alert, done: &JobDone) -> AuditRow {
    let detail = json!({
        "alert_id": alert.alert_id, "rule": alert.rule, "state": alert.state(), "revision": alert.revision,
    });
    let recorded = RecordedStep::ok(
        done.job.body.batch,
        Step::Alerted,
        done.finished_at,
        &done.actor,
    );
    of_job(
        &done.job,
        RecordedStep {
            detail: Some(detail),
            ..recorded
        },
    )
}

/// The stream dropped a resend of the batch: `subject` has the correlation id of the resend.
pub fn resent(at: BatchRef, subject: &AuditSubject<'_>, time: Micros, actor: &str) -> AuditRow {
    let recorded = RecordedStep::ok(at, Step::Deduplicated, time, actor);
    AuditRow::new(
        subject,
        RecordedStep {
            outcome: "duplicate_batch",
            ..recorded
        },
    )
}

/// The stream is read from its first message; the row stands at its sequence 0, where no batch is.
pub fn reread(reread: &Reread, src: Src) -> AuditRow {
    let step = match reread.is_adoption {
        true => Step::Adopted,
        false => Step::Reread,
    };
    let detail = json!({"by": reread.by, "reason": reread.reason});
    let at = BatchRef { src, seq: 0 };
    AuditRow::new(
        &AuditSubject::developer(""),
        RecordedStep {
            detail: Some(detail),
            ..RecordedStep::ok(at, step, reread.time, &reread.actor)
        },
    )
}

/// An administrator's decision about a dead dead_letter.
pub fn decided(decision: &DeadLetterDecision, subject: &AuditSubject<'_>) -> AuditRow {
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
    let recorded = RecordedStep::ok(*at, *step, *time, actor);
    AuditRow::with_id(
        decision.id(),
        subject,
        RecordedStep {
            detail: Some(detail),
            ..recorded
        },
    )
}

fn row(body: &JobBody, recorded: RecordedStep<'_>) -> AuditRow {
    AuditRow::new(&AuditSubject::from(body), recorded)
}

fn of_job(job: &JobMessage, recorded: RecordedStep<'_>) -> AuditRow {
    row(
        &job.body,
        RecordedStep {
            replay_id: job.replay_id.as_deref(),
            ..recorded
        },
    )
}
