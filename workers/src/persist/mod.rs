//! The persist role: stores a pulled group in one transaction and acks it after the commit (T1 in `docs/protocol.md`).
//! Redriven messages are handled by the same code.

mod job_outbox;
mod lost_jobs;
mod redrive;

use std::sync::Arc;

use async_nats::jetstream;
use bus::pull::{
    Delivery, DeliveryOutcome, ErrorClass, Failure, GroupBounds, MessageHandler, PullLoop,
    PullSettings,
};
use bus::{BindError, ConsumerRef, PERSIST, PERSIST_REPLAY, REPLAY};
use bytes::Bytes;
use futures_util::future::try_join_all;
use runtime::clock;
use runtime::crash;
use runtime::process::Process;
use store::{Attempts, DecodedBatch, Outbox, Pending, Persist, Stored};
use tokio::task::JoinHandle;
use types::batch::{self, Batch};
use types::dead_letter::MessageContext;
use types::event::EventHead;
use types::event_streams::EventStreams;
use types::id::{BatchRef, Src};
use types::query::NOTIFY;
use types::stream::StreamIncarnation;

use crate::delivery_state::StoreDeliveryState;
use crate::error_class;
use crate::outbox_relay::{OutboxQueue, OutboxRelay};
use job_outbox::JobOutbox;
use lost_jobs::LostJobs;
use redrive::RedriveRole;

/// Pulls the event streams into the store, and publishes the jobs of what it stored, until the process stops.
///
/// # Errors
/// Returns a `BindError` if a stream or its consumer is missing or unsafe at the start.
pub async fn run<S: Persist + Outbox + Attempts + Clone>(
    client: async_nats::Client,
    streams: EventStreams,
    store: S,
    pulling: PullSettings,
    process: Process,
) -> Result<(), BindError> {
    let js = jetstream::new(client.clone());
    let actor = process.actor.to_string();
    let outbox = JobOutbox::new(js.clone(), store.clone(), actor.clone());
    let lost_jobs = LostJobs::new(outbox.clone());
    let lost_jobs = lost_jobs.run(pulling.retry.policy(), process.shutdown.clone());
    let relay = OutboxRelay::new(outbox, pulling.retry.policy(), process.shutdown.clone());
    let (jobs, queued_jobs) = OutboxRelay::<JobOutbox<S>>::queue();
    let delivery_state = Arc::new(StoreDeliveryState::new(store.clone(), actor.clone()));
    let handler = Arc::new(PersistRole {
        store: store.clone(),
        client,
        jobs,
        actor,
    });
    let redriving = RedriveRole::new(js.clone(), streams, store, handler.clone());
    let redriven = PullLoop {
        js: js.clone(),
        consumer: ConsumerRef::new(REPLAY, PERSIST_REPLAY),
        handler: Arc::new(redriving),
        delivery_state: delivery_state.clone(),
        settings: redrive::bounds(pulling.clone()),
        shutdown: process.shutdown.clone(),
    };
    let settings = shared(pulling, streams);
    let pull = streams.all().map(|stream| {
        let pull = PullLoop {
            js: js.clone(),
            consumer: ConsumerRef::new(&stream.to_string(), PERSIST),
            handler: handler.clone(),
            delivery_state: delivery_state.clone(),
            settings: settings.clone(),
            shutdown: process.shutdown.clone(),
        };
        // On the heap: inside each other they would be copied through every poll, and overflow a thread's stack.
        Box::pin(pull.run())
    });
    let pull = try_join_all(pull);
    let redriven = Box::pin(redriven.run());
    let relaying = Box::pin(relay.run(queued_jobs));
    // Only a start fails. The relay ends when the roles are gone, and with them the queue.
    let pulls = async { tokio::try_join!(pull, redriven).map(drop) };
    // The relay ends when no handler is left that queues jobs.
    drop(handler);
    // Lost jobs are looked for as long as messages are pulled: a pull that fails ends the role.
    let pulls = async {
        let mut pulls = std::pin::pin!(pulls);
        tokio::select! {
            pulled = &mut pulls => return pulled,
            () = Box::pin(lost_jobs) => {}
        }
        pulls.await
    };
    let (pulled, ()) = tokio::join!(pulls, relaying);
    pulled
}

/// The least memory that a loop pulls into, in KiB: one message of the largest size.
const LEAST_MEMORY_KIB: usize = 8 * 1024;

/// The bounds of each of several loops, which share the memory of one.
fn shared(pulling: PullSettings, streams: EventStreams) -> PullSettings {
    let share = pulling.memory_kib / usize::from(streams.number());
    PullSettings {
        group: GROUP,
        memory_kib: share.max(LEAST_MEMORY_KIB),
        ..pulling
    }
}

/// What is handled together. Its work is bytes. Of one developer's flood it is little: others wait for its end.
const GROUP: GroupBounds = GroupBounds {
    messages: 256,
    work: u64::MAX,
    share: 256 * 1024,
};

/// Messages that are decoded and stored together: enough to share a commit, few enough for a group to be several, of
/// which the next is decoded while one is stored.
const DECODED_TOGETHER: usize = 64;

/// Messages that are being decoded: each, or why it cannot be.
struct Decoding(JoinHandle<Vec<Result<DecodedBatch, String>>>);

impl Decoding {
    /// What was decoded. A panic goes on here, where the pull loop catches it.
    async fn done(self) -> Vec<Result<DecodedBatch, String>> {
        match self.0.await {
            Ok(decoded) => decoded,
            Err(error) => std::panic::resume_unwind(error.into_panic()),
        }
    }
}

/// Stores the groups that the pull loop hands over.
pub struct PersistRole<S> {
    store: S,
    client: async_nats::Client,
    jobs: OutboxQueue<Pending>,
    actor: String,
}

impl<S: Persist + Attempts> MessageHandler for PersistRole<S> {
    async fn handle(
        &self,
        incarnation: &StreamIncarnation,
        group: &[Delivery],
    ) -> Vec<DeliveryOutcome> {
        let src = match self.store.source(incarnation).await {
            Ok(src) => src,
            Err(error) => return vec![error_class::outcome(&error); group.len()],
        };
        let mut outcomes = Vec::with_capacity(group.len());
        let parts = group.len().div_ceil(DECODED_TOGETHER).max(1);
        let mut parts = group.chunks(group.len().div_ceil(parts).max(1));
        let mut decoding = parts.next().map(|part| self.decode(src, part));
        while let Some(decoded) = decoding {
            let decoded = decoded.done().await;
            decoding = parts.next().map(|part| self.decode(src, part));
            outcomes.extend(self.store(group, decoded).await);
            // The store is away, and each part would wait for it: all that is left fails as this one did.
            if let Some(DeliveryOutcome::Failed(failure)) = outcomes.last()
                && failure.error_class == ErrorClass::Transient
            {
                let failed = DeliveryOutcome::Failed(failure.clone());
                outcomes.resize(group.len(), failed);
                break;
            }
        }
        outcomes
    }

    async fn context(
        &self,
        incarnation: &StreamIncarnation,
        delivery: &Delivery,
    ) -> Result<MessageContext, Failure> {
        let failed = |error| error_class::failure(&error);
        let at = BatchRef {
            src: self.store.source(incarnation).await.map_err(failed)?,
            seq: delivery.seq,
        };
        let about = MessageContext {
            batch: Some(at),
            state: self.store.state(at).await.map_err(failed)?,
            developer: delivery.developer().map(str::to_owned),
            ..MessageContext::default()
        };
        let Ok(batch) = batch::decode(delivery.payload.clone()) else {
            return Ok(about);
        };
        Ok(MessageContext {
            developer: Some(batch.header.developer.to_string()),
            batch_id: Some(batch.header.batch_id.clone()),
            correlation_id: Some(batch.header.correlation_id.clone()),
            event_ids: event_ids(&batch),
            ..about
        })
    }
}

fn decode(src: Src, delivery: &Delivery, actor: &str) -> Result<DecodedBatch, String> {
    let batch = batch::decode(delivery.payload.clone()).map_err(|error| error.to_string())?;
    let at = BatchRef {
        src,
        seq: delivery.seq,
    };
    let actor = actor.to_owned();
    DecodedBatch::new(at, &batch, delivery.published_at, clock::now(), actor)
        .map_err(|error| error.to_string())
}

/// The usable ids of its events, in their order.
fn event_ids(batch: &Batch) -> Vec<String> {
    batch
        .events()
        .filter_map(|(_, bytes)| EventHead::of(bytes)?.id())
        .collect()
}

impl<S: Persist> PersistRole<S> {
    /// Decodes messages on another thread: the store works on those before them meanwhile.
    fn decode(&self, src: Src, part: &[Delivery]) -> Decoding {
        let part = part.to_vec();
        let actor = self.actor.clone();
        let decoded = tokio::task::spawn_blocking(move || {
            let decoded = part.iter().map(|delivery| decode(src, delivery, &actor));
            decoded.collect()
        });
        Decoding(decoded)
    }

    /// Stores what was decoded, in one transaction; the outcome of each message.
    async fn store(
        &self,
        group: &[Delivery],
        decoded: Vec<Result<DecodedBatch, String>>,
    ) -> Vec<DeliveryOutcome> {
        let mut batches = Vec::with_capacity(decoded.len());
        let mut outcomes = Vec::with_capacity(decoded.len());
        for one in decoded {
            outcomes.push(match one {
                Ok(batch) => {
                    batches.push(batch);
                    DeliveryOutcome::Ack
                }
                Err(reason) => DeliveryOutcome::failed(ErrorClass::Permanent, reason),
            });
        }
        crash::point("persist.before_commit");
        for batch in &batches {
            crash::point_of("persist", &batch.header.batch_id);
        }
        match self.store.store_batches(batches).await {
            Ok(stored) => {
                crash::point("persist.after_commit");
                self.committed(group, stored).await;
            }
            Err(error) => {
                let undone = outcomes
                    .iter_mut()
                    .filter(|outcome| **outcome == DeliveryOutcome::Ack);
                undone.for_each(|outcome| *outcome = error_class::outcome(&error));
            }
        }
        outcomes
    }

    /// After the commit: notifies those who wait, and queues the jobs to be published.
    async fn committed(&self, group: &[Delivery], stored: Vec<Stored>) {
        for at in stored.iter().map(|stored| stored.at) {
            let delivery = group.iter().find(|one| one.seq == at.seq);
            let Some(subject) = delivery.and_then(|one| one.headers.get(NOTIFY)) else {
                continue;
            };
            let notification = Bytes::from(serde_json::json!(at).to_string());
            // The notification is quick, the query is the truth: a lost notification costs the waiter 50 ms.
            let subject = subject.as_str().to_owned();
            if let Err(error) = self.client.publish(subject, notification).await {
                tracing::debug!(%error, "a notification could not be sent");
            }
        }
        self.jobs
            .push(stored.into_iter().filter_map(|stored| stored.pending));
    }
}
