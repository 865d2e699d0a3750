//! The outbox of jobs (T2 in `docs/protocol.md`): the batch rows in state `persisted`.

use std::sync::Arc;
use std::time::Duration;

use async_nats::HeaderMap;
use async_nats::jetstream::{self, message::PublishMessage};
use bus::JOBS;
use bus::atomic_group::{self, GroupMessage, GroupSupport};
use bus::stored_messages::{self, StoredMessage};
use bytes::Bytes;
use futures_util::future::{join_all, try_join_all};
use runtime::clock;
use runtime::crash;
use store::{Outbox, Pending, Receipt, StoreError, Triggered};
use types::batch;
use types::job::JobMessage;
use types::time::SECOND;

use crate::outbox_relay::{PublishFailure, RelayedOutbox};

/// The PubAck of a group is awaited so long; then its jobs are published singly.
const GROUP_TIMEOUT: Duration = Duration::from_secs(5);

/// Publishes the jobs of stored batches to JOBS.
#[derive(Clone)]
pub struct JobOutbox<S> {
    pub js: jetstream::Context,
    pub store: S,
    pub actor: String,
    /// Whether the stream takes groups.
    group_support: Arc<GroupSupport>,
}

impl<S> JobOutbox<S> {
    pub fn new(js: jetstream::Context, store: S, actor: String) -> Self {
        Self {
            js,
            store,
            actor,
            group_support: Arc::new(GroupSupport::of(JOBS)),
        }
    }
}

impl<S: Outbox> RelayedOutbox for JobOutbox<S> {
    type Row = Pending;
    type Mark = Triggered;

    const ROWS: &'static str = "jobs";
    /// Its three jobs a batch are one group on the stream, far below the limit of 1,000 messages.
    const GROUP: usize = 128;

    async fn claim(&self, limit: u32) -> Result<Vec<Pending>, StoreError> {
        self.store.claim_outbox(limit).await
    }

    async fn publish(&self, batches: Vec<Pending>) -> Vec<Result<Triggered, PublishFailure>> {
        crash::point("trigger.before_jobs");
        let batches = batches
            .into_iter()
            .map(|batch| self.with_jobs(batch))
            .collect();
        let published = self.publish_batches(batches).await;
        crash::point("trigger.after_jobs");
        published
    }

    async fn mark(&self, triggered: Vec<Triggered>) -> Result<(), StoreError> {
        self.store.mark_triggered(triggered).await
    }
}

/// A batch and its jobs, one for each bit in `need`.
struct BatchJobs {
    batch: Pending,
    jobs: Result<Vec<EncodedJob>, PublishFailure>,
}

/// A job, ready to be published.
struct EncodedJob {
    job_id: String,
    correlation_id: String,
    subject: String,
    headers: HeaderMap,
    payload: Bytes,
}

impl EncodedJob {
    fn of(job: &JobMessage) -> Result<Self, PublishFailure> {
        let failed = |error: serde_json::Error| PublishFailure {
            message_id: job.job_id.clone(),
            correlation_id: job.body.correlation_id.clone(),
            reason: error.to_string(),
        };
        let mut headers = HeaderMap::new();
        headers.insert(batch::CORRELATION_ID, job.body.correlation_id.as_str());
        headers.insert(batch::TRACEPARENT, job.body.traceparent.as_str());
        Ok(Self {
            job_id: job.job_id.clone(),
            correlation_id: job.body.correlation_id.clone(),
            subject: job.subject(),
            headers,
            payload: serde_json::to_vec(job).map_err(failed)?.into(),
        })
    }

    fn failed(&self, reason: String) -> PublishFailure {
        PublishFailure {
            message_id: self.job_id.clone(),
            correlation_id: self.correlation_id.clone(),
            reason,
        }
    }

    fn receipt(self, stream_sequence: u64) -> Receipt {
        Receipt {
            job_id: self.job_id,
            subject: self.subject,
            stream_sequence,
        }
    }

    fn group_message(&self) -> GroupMessage {
        GroupMessage {
            subject: self.subject.clone(),
            message_id: self.job_id.clone(),
            headers: self.headers.clone(),
            payload: self.payload.clone(),
        }
    }
}

impl<S: Outbox> JobOutbox<S> {
    fn with_jobs(&self, batch: Pending) -> BatchJobs {
        let jobs = batch
            .need
            .kinds()
            .map(|kind| EncodedJob::of(&JobMessage::live(kind, batch.body.clone())))
            .collect();
        BatchJobs { batch, jobs }
    }

    /// Publishes all jobs as one group. If the stream does not confirm it, each batch goes for itself, with the same
    /// message ids; the first failure leaves a batch in the outbox then.
    async fn publish_batches(
        &self,
        batches: Vec<BatchJobs>,
    ) -> Vec<Result<Triggered, PublishFailure>> {
        let sequences = self.publish_group(&batches).await;
        let Some(mut sequences) = sequences else {
            return join_all(batches.into_iter().map(|batch| self.publish_singly(batch))).await;
        };
        let triggered = |BatchJobs { batch, jobs }| {
            let receipts = jobs?.into_iter().zip(&mut sequences);
            let receipts = receipts.map(|(job, sequence)| job.receipt(sequence));
            Ok(self.triggered(batch, receipts.collect()))
        };
        batches.into_iter().map(triggered).collect()
    }

    /// Publishes the jobs of all batches as one group, and gives their sequences in this order; `None` if they must go
    /// singly.
    async fn publish_group(
        &self,
        batches: &[BatchJobs],
    ) -> Option<impl Iterator<Item = u64> + use<S>> {
        let jobs = batches.iter().filter_map(|batch| batch.jobs.as_ref().ok());
        let messages: Vec<_> = jobs.flatten().map(EncodedJob::group_message).collect();
        let sizes = atomic_group::MIN_MESSAGES..=atomic_group::MAX_MESSAGES;
        if !sizes.contains(&messages.len()) || !self.group_support.may_try() {
            return None;
        }
        let members = messages.len();
        match atomic_group::publish(&self.js.client(), messages, GROUP_TIMEOUT).await {
            Ok(committed) => {
                self.group_support.takes();
                Some(committed.sequences())
            }
            Err(error) => {
                self.group_support.refused(&error, members);
                None
            }
        }
    }

    async fn publish_singly(
        &self,
        BatchJobs { batch, jobs }: BatchJobs,
    ) -> Result<Triggered, PublishFailure> {
        let jobs = jobs?.into_iter().map(|job| self.publish_job(job));
        let receipts = try_join_all(jobs).await?;
        Ok(self.triggered(batch, receipts))
    }

    fn triggered(&self, batch: Pending, receipts: Vec<Receipt>) -> Triggered {
        Triggered {
            body: batch.body,
            receipts,
            at: clock::now(),
            actor: self.actor.clone(),
        }
    }

    async fn publish_job(&self, job: EncodedJob) -> Result<Receipt, PublishFailure> {
        let publish = async |message_id: String| {
            let message = PublishMessage::build()
                .payload(job.payload.clone())
                .headers(job.headers.clone())
                .message_id(message_id);
            let sent = self.js.send_publish(job.subject.clone(), message).await;
            let ack = sent.map_err(|error| job.failed(error.to_string()))?;
            ack.await.map_err(|error| job.failed(error.to_string()))
        };
        let mut ack = publish(job.job_id.clone()).await?;
        if ack.duplicate {
            let has_it = self.has(ack.sequence, &job.job_id).await;
            if !has_it.map_err(|reason| job.failed(reason))? {
                // The stream remembers the id of a job that it no longer has: it was done for a database that is lost,
                // or was deleted. Under another message id it is the same job; the ledger knows whether it is done.
                let seconds = clock::now() / SECOND;
                ack = publish(format!("{}:r{seconds}", job.job_id)).await?;
            }
        }
        crash::point("trigger.after_a_job");
        Ok(job.receipt(ack.sequence))
    }

    /// Whether JOBS has the job at this sequence.
    async fn has(&self, seq: u64, job_id: &str) -> Result<bool, String> {
        let found = stored_messages::get(&self.js, JOBS, seq).await;
        let found = found.map_err(|error| error.to_string())?;
        let id = |message: StoredMessage| {
            let job = JobMessage::read(&message.payload).ok()?;
            Some(job.job_id)
        };
        Ok(found.and_then(id).as_deref() == Some(job_id))
    }
}
