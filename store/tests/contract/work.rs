//! Jobs of stored batches, as workers hand them to the store.

use std::collections::BTreeMap;

use serde_json::json;
use store::{
    Attempts, Computed, DayRow, Effects, Finding, Hour, HourRange, JobDone, Jobs, MessageKey,
    NormalizedRow, PartialRow, ReadPlan, Receipt, RuleWindow, Snapshot, SnapshotRequest,
    StoreError, StoredEvent, Triggered,
};
use types::dead_letter::{DeadLetter, DeadLetterClass, MessageContext};
use types::id::BatchRef;
use types::job::{BatchState, JobBody, JobKind, JobMessage, Mask};
use types::time::{Micros, SECOND};

use crate::build::{ACTOR, Engine, Event, batch, received_at, store_one};

/// Stores ada's batch, which brings something new; what its jobs say.
pub async fn stored(engine: &impl Engine, at: BatchRef, events: &[Event]) -> JobBody {
    let pending = store_one(engine, batch(at, events)).await.pending;
    let pending = pending.unwrap_or_else(|| panic!("batch {at} brings something new"));
    assert_eq!((pending.need, pending.body.batch), (Mask::ALL, at));
    pending.body
}

/// When the jobs of the batch `seq` are published.
pub fn triggered_at(seq: u64) -> Micros {
    received_at(seq) + 4 * SECOND
}

/// All jobs of the batch are published.
pub fn triggered(body: &JobBody) -> Triggered {
    let receipt = |(kind, stream_sequence): (JobKind, u64)| {
        let job = JobMessage::live(kind, body.clone());
        Receipt {
            subject: job.subject(),
            job_id: job.job_id,
            stream_sequence,
        }
    };
    let receipts = JobKind::ALL.into_iter().zip(100..).map(receipt).collect();
    Triggered {
        body: body.clone(),
        receipts,
        at: triggered_at(body.batch.seq),
        actor: ACTOR.to_owned(),
    }
}

/// The batch's live job of this kind, done.
pub fn done(kind: JobKind, body: &JobBody) -> JobDone {
    let started_at = triggered_at(body.batch.seq) + SECOND;
    let job = JobMessage::live(kind, body.clone());
    JobDone {
        job,
        started_at,
        finished_at: started_at + SECOND,
        actor: "worker/job".to_owned(),
    }
}

/// The job of a replay.
pub fn replayed(kind: JobKind, body: &JobBody) -> JobDone {
    let mut done = done(kind, body);
    done.job.job_id = kind.id(body.batch, Some("r1"));
    done.job.replay_id = Some("r1".to_owned());
    done
}

/// The number of an incarnation of the stream JOBS that no other stream has here.
pub const JOBS_SRC: i64 = 77;

/// The batch's live job of this kind is in DEAD. It was the message of the batch's sequence in JOBS.
pub fn dead(kind: JobKind, body: &JobBody) -> DeadLetter {
    let job = JobMessage::live(kind, body.clone());
    DeadLetter {
        at: triggered_at(body.batch.seq) + 9 * SECOND,
        stream: "JOBS".to_owned(),
        consumer: kind.as_str().to_owned(),
        src: Some(JOBS_SRC),
        stream_sequence: Some(body.batch.seq),
        subject: Some(job.subject()),
        message_id: Some(job.job_id.clone()),
        delivered: Some(9),
        attempts: Some(8),
        error_class: Some(DeadLetterClass::Unknown),
        reason: Some("no: \"never\"".to_owned()),
        actor: Some("worker/job".to_owned()),
        context: MessageContext {
            batch: Some(body.batch),
            state: Some(BatchState::Triggered),
            developer: Some(body.developer.clone()),
            batch_id: Some(body.batch_id.clone()),
            correlation_id: Some(body.correlation_id.clone()),
            event_ids: vec!["a".to_owned()],
            job: Some(job),
        },
    }
}

/// Records that DEAD has the message.
pub async fn record_dead(store: &impl Attempts, letter: DeadLetter) -> Result<(), StoreError> {
    store.record_dead_letter(message_key(&letter), letter).await
}

/// The message that the dead letter was.
pub fn message_key(letter: &DeadLetter) -> MessageKey {
    MessageKey {
        src: letter.src.unwrap(),
        consumer: letter.consumer.clone(),
        seq: letter.stream_sequence.unwrap(),
    }
}

/// No effects of a job of this kind.
pub fn nothing(kind: JobKind) -> Effects {
    match kind {
        JobKind::Aggregate => Effects::Windows {
            partials: Vec::new(),
            days: Vec::new(),
        },
        JobKind::Normalize => records(Vec::new()),
        JobKind::Alert => rules(Vec::new()),
    }
}

/// The effects of normalize jobs whose batches' clients tell nothing.
pub fn records(records: Vec<NormalizedRow>) -> Effects {
    Effects::Normalized {
        records,
        clients: Vec::new(),
    }
}

/// The effects of alert jobs that found this.
pub fn rules(windows: Vec<RuleWindow>) -> Effects {
    Effects::Rules {
        partials: Vec::new(),
        windows,
    }
}

/// What was computed at a generation by a version.
pub fn computed(generation: i64, version: i32, body: &str) -> Computed {
    Computed {
        generation,
        version,
        body: json!({"is": body}).to_string(),
    }
}

/// A partial of ada's, for the aggregate role.
pub fn partial(hour: i64, computed: Computed) -> PartialRow {
    PartialRow {
        developer: "ada".to_owned(),
        kind: JobKind::Aggregate,
        hour,
        made_with: String::new(),
        computed,
    }
}

/// Ada's hours and their events, all of them.
pub async fn all_of(engine: &impl Engine, ranges: Vec<HourRange>) -> Snapshot<BTreeMap<i64, Hour>> {
    read_hours(engine, JobKind::Aggregate, ranges, |hours| {
        hours.keys().copied().collect()
    })
    .await
}

/// Ada's hours, with partials of this kind, and the events of those that `wanted` names.
pub async fn read_hours(
    engine: &impl Engine,
    kind: JobKind,
    ranges: Vec<HourRange>,
    wanted: impl Fn(&BTreeMap<i64, Hour>) -> Vec<i64> + Send + Sync + 'static,
) -> Snapshot<BTreeMap<i64, Hour>> {
    let request = SnapshotRequest {
        developer: "ada".to_owned(),
        kind,
        ranges,
    };
    let plan = move |hours: BTreeMap<i64, Hour>| {
        let one = |hour| HourRange {
            first: hour,
            last: hour,
        };
        let ranges = HourRange::merge(wanted(&hours).into_iter().map(one).collect());
        ReadPlan {
            spans: ranges.into_iter().map(HourRange::span).collect(),
            plan: hours,
        }
    };
    engine.store().snapshot(request, plan).await.unwrap()
}

/// A day of ada's.
pub fn day(day: &str, computed: Computed) -> DayRow {
    DayRow {
        developer: "ada".to_owned(),
        day: day.to_owned(),
        computed,
        idle_ms: 900_000,
        counts: format!(r#"{{"of":"{day}"}}"#),
    }
}

/// The aggregate job of the batch writes these.
pub async fn write_windows(
    engine: &impl Engine,
    body: &JobBody,
    partials: Vec<PartialRow>,
    days: Vec<DayRow>,
) {
    let jobs = vec![done(JobKind::Aggregate, body)];
    let revisions = engine
        .store()
        .finish_jobs(Effects::Windows { partials, days }, jobs)
        .await
        .unwrap();
    assert_eq!(revisions, []);
}

/// What the alert job of the batch found in the window that starts on this day.
pub fn looked(
    body: &JobBody,
    start: &str,
    generation: i64,
    finding: Option<Finding>,
) -> RuleWindow {
    RuleWindow {
        developer: "ada".to_owned(),
        rule: "no-tests".to_owned(),
        window_start: start.to_owned(),
        generation,
        version: 1,
        findings: Vec::from_iter(finding),
        batch: body.batch,
        correlation_id: body.correlation_id.clone(),
        replay_id: None,
    }
}

/// The alert of the window that starts on this day.
pub fn found(start: &str, title: &str) -> Finding {
    Finding {
        alert_id: format!("alert-{start}"),
        severity: "warning".to_owned(),
        title: title.to_owned(),
        body: json!({"title": title}).to_string(),
        push: true,
    }
}

/// Ids in the order of the events.
pub fn ids(events: &[StoredEvent]) -> Vec<&str> {
    events.iter().map(|event| event.id.as_str()).collect()
}
