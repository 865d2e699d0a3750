//! A job whose batch is not stored: it waits as long as the batch can still come, and is dead-lettered then.
//!
//! Jobs come before their batch when the database is of another time than the stream JOBS: it was lost, or restored
//! from a backup, and EVENTS is read into it again. Such a job must not be taken for done: the batch would wait for it
//! indefinitely. No time bounds the wait, facts do. A batch can come while its message is in EVENTS and not
//! dead-lettered; storing it publishes its jobs anew, so a dead letter of a job loses nothing.

use async_nats::jetstream;
use bus::pull::{ErrorClass, Failure};
use bus::stored_messages;
use store::{DeadLetters, JobBatch, Jobs, Persist, StoreError};
use types::batch;
use types::event_streams::EventStreams;
use types::job::JobMessage;

use crate::error_class;
use crate::present_streams::{NotRead, PresentStreams};

/// Incarnations whose dead letters of one sequence are looked through.
const INCARNATIONS: u32 = 100;

/// Finds out whether the batches of jobs can still come.
pub struct AwaitedBatches<S> {
    pub js: jetstream::Context,
    pub streams: EventStreams,
    pub store: S,
}

/// Why it is not known whether a batch can come.
enum Unknown {
    Store(StoreError),
    Stream(String),
}

impl From<StoreError> for Unknown {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

impl From<NotRead> for Unknown {
    fn from(error: NotRead) -> Self {
        match error {
            NotRead::Store(error) => Self::Store(error),
            NotRead::Stream(error) => Self::Stream(error.to_string()),
        }
    }
}

impl From<bus::api::ApiError> for Unknown {
    fn from(error: bus::api::ApiError) -> Self {
        Self::Stream(error.to_string())
    }
}

impl<S: Jobs + Persist + DeadLetters> AwaitedBatches<S> {
    /// Why the job, which was delivered so often, cannot be worked on: it is early, or its batch cannot come.
    pub async fn why_not(&self, job: &JobMessage, found: JobBatch, delivered: u64) -> Failure {
        let at = job.body.batch;
        let early = || Failure {
            error_class: ErrorClass::Early,
            reason: format!("batch {at} is not stored yet"),
        };
        if found == JobBatch::Another {
            return permanent(job, "the store has another batch in its place");
        }
        // What is in the stream mostly stays until it is stored: the stream is asked less and less often.
        if !delivered.is_power_of_two() {
            return early();
        }
        match self.obstacle(job).await {
            Ok(None) => early(),
            Ok(Some(obstacle)) => permanent(job, &obstacle),
            Err(Unknown::Store(error)) => error_class::failure(&error),
            Err(Unknown::Stream(reason)) => Failure {
                error_class: ErrorClass::Stream,
                reason: format!("EVENTS cannot be read: {reason}"),
            },
        }
    }

    /// Why the batch cannot come; `None` if it can, or has come meanwhile.
    async fn obstacle(&self, job: &JobMessage) -> Result<Option<String>, Unknown> {
        let at = job.body.batch;
        let present = PresentStreams::read(&self.js, self.streams, &self.store).await?;
        let Some(stream) = present.numbered(at.src) else {
            return Ok(Some(format!(
                "it is of an incarnation of EVENTS that has ended, or that this store never saw ({})",
                present.sentence()
            )));
        };
        let stream = &stream.incarnation.name;
        let obstacle = match stored_messages::get(&self.js, stream, at.seq).await? {
            None => Some("EVENTS does not hold its message"),
            Some(message) => match batch::decode(message.payload) {
                Ok(batch)
                    if batch.header.developer.as_str() == job.body.developer
                        && batch.header.batch_id == job.body.batch_id =>
                {
                    let dead = self.store.unstored(at.seq, INCARNATIONS).await?;
                    dead.contains(&at)
                        .then_some("its message was dead-lettered")
                }
                _ => Some("EVENTS holds another message in its place"),
            },
        };
        // A message may be stored and purged between the two looks.
        let now = self.store.job_batches(vec![job.body.clone()]).await?;
        let is_missing = now.first() == Some(&JobBatch::Missing);
        Ok(obstacle.filter(|_| is_missing).map(str::to_owned))
    }
}

fn permanent(job: &JobMessage, obstacle: &str) -> Failure {
    let at = job.body.batch;
    Failure {
        error_class: ErrorClass::Permanent,
        reason: format!("batch {at} is not stored and cannot come: {obstacle}"),
    }
}
