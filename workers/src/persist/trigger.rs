//! T2: publishes the jobs of stored batches. The batch row in state `persisted` is the outbox.
//!
//! Batches come from this process's own T1 through memory, or, where a crash or a refusal left them
//! behind, from the sweep. Storing never waits for any of it.

use std::time::Duration;

use async_nats::jetstream::{self, message::PublishMessage};
use futures_util::future::try_join_all;
use runtime::clock;
use runtime::crash;
use runtime::retry::RetryPolicy;
use runtime::{process::Process, shutdown::Shutdown};
use store::{Outbox, Pending, Receipt, StoreError, Triggered};
use tokio::sync::mpsc;
use types::batch;
use types::job::JobMessage;

/// Batches triggered together: their publishes are pipelined, their T2b is one transaction.
const GROUP: usize = 128;
/// Batches that may wait in memory; what finds no place is the sweep's.
const QUEUE: usize = 4096;
/// How often the sweep looks for batches that were left behind (`docs/protocol.md`, Trigger).
const SWEEP: Duration = Duration::from_secs(5);
/// Most batches that one claim takes.
const CLAIM: u32 = 500;

/// The way from T1 to the trigger task.
#[derive(Clone)]
pub struct Handover(mpsc::Sender<Pending>);

impl Handover {
    /// Hands batches over, without waiting: what finds no place is in the outbox all the same.
    pub fn give(&self, batches: impl IntoIterator<Item = Pending>) {
        for pending in batches {
            if self.0.try_send(pending).is_err() {
                return;
            }
        }
    }
}

/// The trigger task.
pub struct Trigger<S> {
    js: jetstream::Context,
    store: S,
    actor: String,
    shutdown: Shutdown,
    retry: RetryPolicy,
    queue: mpsc::Receiver<Pending>,
}

/// A batch stays in the outbox.
#[derive(Debug, thiserror::Error)]
enum NotTriggered {
    /// A job has no PubAck.
    #[error("job {job_id} was not published: {reason}")]
    Publish {
        /// The job.
        job_id: String,
        /// Why.
        reason: String,
    },
    /// T2a or T2b failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl<S: Outbox> Trigger<S> {
    /// A trigger task, and the way to it.
    pub fn new(
        js: jetstream::Context,
        store: S,
        retry: RetryPolicy,
        process: &Process,
    ) -> (Handover, Self) {
        let (sender, queue) = mpsc::channel(QUEUE);
        let (actor, shutdown) = (process.actor.to_string(), process.shutdown.clone());
        (
            Handover(sender),
            Self {
                js,
                store,
                actor,
                shutdown,
                retry,
                queue,
            },
        )
    }

    /// Publishes until nobody hands anything over any more, or the process is aborted: a store that says
    /// nothing must not hold the exit. What is left is in the outbox.
    pub async fn run(self) {
        let abort = self.shutdown.abort_token();
        if abort
            .run_until_cancelled_owned(self.until_done())
            .await
            .is_none()
        {
            tracing::warn!("jobs wait in the outbox, for the next process");
        }
    }

    async fn until_done(mut self) {
        let mut sweeps = tokio::time::interval(SWEEP);
        sweeps.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut failures = 0;
        let mut group = Vec::with_capacity(GROUP);
        loop {
            // Without a preference, and on a clock of its own: neither constant load nor batches that
            // fail again and again keep the sweep from its turn.
            tokio::select! {
                count = self.queue.recv_many(&mut group, GROUP) => {
                    if count == 0 {
                        return;
                    }
                    if let Err(error) = self.trigger(std::mem::take(&mut group)).await {
                        tracing::warn!(%error, "jobs wait in the outbox, for the sweep");
                    }
                }
                _ = sweeps.tick(), if !self.shutdown.is_draining() => match self.sweep().await {
                    Ok(()) => failures = 0,
                    Err(error) => {
                        tracing::warn!(%error, failures, "jobs wait in the outbox; trying again");
                        sweeps.reset_after(SWEEP + self.retry.delay(failures));
                        failures += 1;
                    }
                },
            }
        }
    }

    /// Takes what was left behind, until there is no more. Gives the first failure of a claim, when
    /// all of the claim has been tried.
    async fn sweep(&self) -> Result<(), NotTriggered> {
        loop {
            let claimed = self.store.claim_outbox(CLAIM).await?;
            if claimed.is_empty() || self.shutdown.is_draining() {
                return Ok(());
            }
            tracing::info!(
                batches = claimed.len(),
                "publishing jobs of batches that were left behind"
            );
            let mut swept = Ok(());
            for group in claimed.chunks(GROUP) {
                swept = swept.and(self.trigger(group.to_vec()).await);
            }
            swept?;
        }
    }

    /// Publishes each batch's jobs and marks the batches that have all their PubAcks. Gives the
    /// first failure; its batch stays in the outbox.
    async fn trigger(&self, group: Vec<Pending>) -> Result<(), NotTriggered> {
        crash::point("trigger.before_jobs");
        let published = group.into_iter().map(|pending| self.publish(pending));
        let mut triggered = Vec::new();
        let mut failure = None;
        for result in futures_util::future::join_all(published).await {
            match result {
                Ok(batch) => triggered.push(batch),
                Err(error) => failure = failure.or(Some(error)),
            }
        }
        crash::point("trigger.after_jobs");
        if !triggered.is_empty() {
            self.store.mark_triggered(triggered).await?;
        }
        failure.map_or(Ok(()), Err)
    }

    /// One job for each bit in `need`.
    async fn publish(&self, pending: Pending) -> Result<Triggered, NotTriggered> {
        let jobs = pending
            .need
            .kinds()
            .map(|kind| self.publish_job(JobMessage::live(kind, pending.body.clone())));
        let receipts = try_join_all(jobs).await?;
        Ok(Triggered {
            body: pending.body,
            receipts,
            at: clock::now(),
            actor: self.actor.clone(),
        })
    }

    async fn publish_job(&self, job: JobMessage) -> Result<Receipt, NotTriggered> {
        let failed = |reason: String| NotTriggered::Publish {
            job_id: job.job_id.clone(),
            reason,
        };
        let subject = job.subject();
        let payload = serde_json::to_vec(&job).map_err(|error| failed(error.to_string()))?;
        let mut headers = async_nats::HeaderMap::new();
        headers.insert(batch::CORRELATION_ID, job.body.correlation_id.as_str());
        headers.insert(batch::TRACEPARENT, job.body.traceparent.as_str());
        let message = PublishMessage::build()
            .payload(payload.into())
            .headers(headers)
            .message_id(&job.job_id);
        let sent = self.js.send_publish(subject.clone(), message).await;
        let ack = sent.map_err(|error| failed(error.to_string()))?;
        let ack = ack.await.map_err(|error| failed(error.to_string()))?;
        crash::point("trigger.after_a_job");
        Ok(Receipt {
            job_id: job.job_id,
            subject,
            stream_sequence: ack.sequence,
        })
    }
}
