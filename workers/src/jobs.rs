//! What all job roles share: decode, skip completed jobs, compute without a lock, finish (T3), ack.
//!
//! A job whose batch is not stored waits for it (`awaited_batch`).
//!
//! A role only says what a group of its jobs computes ([`Work`]). A group is finished by one transaction, and jobs in
//! it that touch the same window are one computation. The pull loop says which jobs are a group: developers take turns.

use std::sync::Arc;

use async_nats::jetstream;
use bus::pull::{
    Delivery, DeliveryOutcome, ErrorClass, Failure, GroupBounds, MessageHandler, PullLoop,
    PullSettings,
};
use bus::{BindError, ConsumerRef, JOBS};
use runtime::clock;
use runtime::crash;
use runtime::process::Process;
use store::{
    AlertRevision, Attempts, DeadLetters, Effects, JobBatch, JobDone, Jobs, Persist, StoreError,
};
use types::dead_letter::MessageContext;
use types::event_streams::EventStreams;
use types::job::{self, JobKind, JobMessage};
use types::stream::StreamIncarnation;

use crate::awaited_batch::AwaitedBatches;
use crate::delivery_state::StoreDeliveryState;
use crate::error_class;

/// What one kind of job does.
pub trait Work: Send + Sync + 'static {
    const KIND: JobKind;

    /// Computes what these jobs write, from a snapshot, with no lock held. The result depends only on what is stored: a
    /// job that runs twice gives the same.
    fn compute(
        &self,
        jobs: &[JobMessage],
    ) -> impl Future<Output = Result<Effects, StoreError>> + Send;

    /// Called after the effects are committed, before the jobs are acked.
    fn committed(&self, revisions: Vec<AlertRevision>) -> impl Future<Output = ()> + Send;
}

/// The jobs of one transaction. Their work is the new events of their batches.
///
/// Of a backlog of many developers a transaction does much, a developer's whole day in one computation
/// (`docs/decisions/0012-an-hour-knows-what-changed.md`). Of the flood of one it does little: others wait for its end.
const GROUP: GroupBounds = GroupBounds {
    messages: 1024,
    work: 4096,
    share: 512,
};

/// Pulls the kind's live and replay jobs until the process stops.
///
/// # Errors
/// Returns a `BindError` if the stream or a consumer is missing or unsafe at the start.
pub async fn run<S: Jobs + Persist + Attempts + DeadLetters + Clone, W: Work>(
    js: jetstream::Context,
    streams: EventStreams,
    store: S,
    work: W,
    pulling: PullSettings,
    process: Process,
) -> Result<(), BindError> {
    let actor = process.actor.to_string();
    let delivery_state = Arc::new(StoreDeliveryState::new(store.clone(), actor.clone()));
    let awaited = AwaitedBatches {
        js: js.clone(),
        streams,
        store: store.clone(),
    };
    let handler = Arc::new(JobRole {
        store,
        awaited,
        work,
        actor,
    });
    let settings = PullSettings {
        group: GROUP,
        ..pulling
    };
    let kind = W::KIND.as_str();
    let live = PullLoop {
        js: js.clone(),
        consumer: ConsumerRef::new(JOBS, kind),
        handler: handler.clone(),
        delivery_state: delivery_state.clone(),
        settings: settings.clone(),
        shutdown: process.shutdown.clone(),
    };
    // Lanes of their own: a replay's jobs never queue before live ones.
    let replay = PullLoop {
        js,
        consumer: ConsumerRef::new(JOBS, &format!("{kind}-replay")),
        handler,
        delivery_state,
        settings,
        shutdown: process.shutdown,
    };
    let (live, replay) = tokio::join!(live.run(), replay.run());
    live.and(replay)
}

/// Does jobs of one kind.
pub struct JobRole<S, W> {
    store: S,
    awaited: AwaitedBatches<S>,
    work: W,
    actor: String,
}

impl<S: Jobs + Persist + Attempts + DeadLetters, W: Work> MessageHandler for JobRole<S, W> {
    async fn handle(
        &self,
        _incarnation: &StreamIncarnation,
        group: &[Delivery],
    ) -> Vec<DeliveryOutcome> {
        let jobs: Vec<Result<JobMessage, String>> =
            group.iter().map(|one| read(one, W::KIND)).collect();
        let decoded: Vec<JobMessage> = jobs.iter().flatten().cloned().collect();
        let bodies = decoded.iter().map(|job| job.body.clone()).collect();
        let batches = match self.store.job_batches(bodies).await {
            Ok(batches) => batches,
            Err(error) => return vec![error_class::outcome(&error); group.len()],
        };
        let with_batch = decoded.into_iter().zip(&batches);
        let ready = with_batch.filter(|(_, batch)| is_workable(**batch));
        let finished = self.finish_jobs(ready.map(|(job, _)| job).collect()).await;
        let outcome = finished.map_or_else(
            |error| error_class::outcome(&error),
            |()| DeliveryOutcome::Ack,
        );
        let mut batches = batches.into_iter();
        let mut outcomes = Vec::with_capacity(group.len());
        for (delivery, job) in group.iter().zip(jobs) {
            outcomes.push(match job {
                Err(reason) => DeliveryOutcome::failed(ErrorClass::Permanent, reason),
                Ok(job) => match batches.next() {
                    Some(batch) if !is_workable(batch) => {
                        let delivered = delivery.delivered;
                        DeliveryOutcome::Failed(self.awaited.why_not(&job, batch, delivered).await)
                    }
                    _ => outcome.clone(),
                },
            });
        }
        outcomes
    }

    /// The new events of its batch. Garbage is none.
    fn work(&self, delivery: &Delivery) -> u64 {
        job::new_events(&delivery.payload).unwrap_or_default()
    }

    async fn context(
        &self,
        _incarnation: &StreamIncarnation,
        delivery: &Delivery,
    ) -> Result<MessageContext, Failure> {
        let Ok(job) = JobMessage::read(&delivery.payload) else {
            let developer = delivery.developer().map(str::to_owned);
            return Ok(MessageContext {
                developer,
                ..MessageContext::default()
            });
        };
        let body = &job.body;
        let state = self
            .store
            .state(body.batch)
            .await
            .map_err(|error| error_class::failure(&error))?;
        let event_ids = match self.store.events_of(vec![body.batch]).await {
            Ok(events) => events.into_iter().map(|event| event.id).collect(),
            Err(error) if error.is_transient() => return Err(error_class::failure(&error)),
            // They may be what is wrong.
            Err(_) => Vec::new(),
        };
        Ok(MessageContext {
            batch: Some(body.batch),
            state,
            developer: Some(body.developer.clone()),
            batch_id: Some(body.batch_id.clone()),
            correlation_id: Some(body.correlation_id.clone()),
            event_ids,
            job: Some(job),
        })
    }
}

/// Whether a job can be worked on, or only be entered as done.
fn is_workable(batch: JobBatch) -> bool {
    matches!(batch, JobBatch::Stored | JobBatch::Forgotten)
}

/// The job of a message in the lane of `kind`: a job of another kind can never be done there.
fn read(delivery: &Delivery, kind: JobKind) -> Result<JobMessage, String> {
    let job = JobMessage::read(&delivery.payload)?;
    if job.kind == kind {
        return Ok(job);
    }
    Err(format!(
        "a job of kind {} came to the consumer of kind {}",
        job.kind.as_str(),
        kind.as_str()
    ))
}

impl<S: Jobs, W: Work> JobRole<S, W> {
    /// Does the jobs that are not completed yet, and writes all their effects in one transaction.
    async fn finish_jobs(&self, mut jobs: Vec<JobMessage>) -> Result<(), StoreError> {
        let started_at = clock::now();
        let done = self
            .store
            .done(jobs.iter().map(|job| job.job_id.clone()).collect())
            .await?;
        jobs.retain(|job| !done.contains(&job.job_id));
        if jobs.is_empty() {
            return Ok(());
        }
        for job in &jobs {
            crash::point_of(W::KIND.as_str(), &job.body.batch_id);
        }
        let effects = self.work.compute(&jobs).await?;
        let finished_at = clock::now();
        let entry = |job| JobDone {
            job,
            started_at,
            finished_at,
            actor: self.actor.clone(),
        };
        let revisions = self
            .store
            .finish_jobs(effects, jobs.into_iter().map(entry).collect())
            .await?;
        crash::point("job.after_commit");
        self.work.committed(revisions).await;
        Ok(())
    }
}
