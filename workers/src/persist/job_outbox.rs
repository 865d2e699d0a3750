//! The outbox of jobs (T2 in `docs/protocol.md`): the batch rows in state `persisted`.

use async_nats::jetstream::{self, message::PublishMessage};
use bus::JOBS;
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

/// Publishes the jobs of stored batches to JOBS.
#[derive(Clone)]
pub struct JobOutbox<S> {
    pub js: jetstream::Context,
    pub store: S,
    pub actor: String,
}

impl<S: Outbox> RelayedOutbox for JobOutbox<S> {
    type Row = Pending;
    type Mark = Triggered;

    const ROWS: &'static str = "jobs";
    const GROUP: usize = 128;

    async fn claim(&self, limit: u32) -> Result<Vec<Pending>, StoreError> {
        self.store.claim_outbox(limit).await
    }

    async fn publish(&self, batches: Vec<Pending>) -> Vec<Result<Triggered, PublishFailure>> {
        crash::point("trigger.before_jobs");
        let published = batches.into_iter().map(|batch| self.publish_batch(batch));
        let published = join_all(published).await;
        crash::point("trigger.after_jobs");
        published
    }

    async fn mark(&self, triggered: Vec<Triggered>) -> Result<(), StoreError> {
        self.store.mark_triggered(triggered).await
    }
}

impl<S: Outbox> JobOutbox<S> {
    /// Publishes one job for each bit in `need`. The first failure leaves the batch in the outbox.
    async fn publish_batch(&self, pending: Pending) -> Result<Triggered, PublishFailure> {
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

    async fn publish_job(&self, job: JobMessage) -> Result<Receipt, PublishFailure> {
        let failed = |reason: String| PublishFailure {
            message_id: job.job_id.clone(),
            correlation_id: job.body.correlation_id.clone(),
            reason,
        };
        let subject = job.subject();
        let payload = serde_json::to_vec(&job).map_err(|error| failed(error.to_string()))?;
        let payload = Bytes::from(payload);
        let mut headers = async_nats::HeaderMap::new();
        headers.insert(batch::CORRELATION_ID, job.body.correlation_id.as_str());
        headers.insert(batch::TRACEPARENT, job.body.traceparent.as_str());
        let publish = async |message_id: String| {
            let message = PublishMessage::build()
                .payload(Bytes::clone(&payload))
                .headers(headers.clone())
                .message_id(message_id);
            let sent = self.js.send_publish(subject.clone(), message).await;
            let ack = sent.map_err(|error| failed(error.to_string()))?;
            ack.await.map_err(|error| failed(error.to_string()))
        };
        let mut ack = publish(job.job_id.clone()).await?;
        if ack.duplicate && !self.has(ack.sequence, &job.job_id).await.map_err(failed)? {
            // The stream remembers the id of a job that it no longer has: it was done for a database that is lost, or
            // was deleted. Under another message id it is the same job; the ledger knows whether it is done.
            let seconds = clock::now() / SECOND;
            ack = publish(format!("{}:r{seconds}", job.job_id)).await?;
        }
        crash::point("trigger.after_a_job");
        Ok(Receipt {
            job_id: job.job_id,
            subject,
            stream_sequence: ack.sequence,
        })
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
