//! The persist role: a pulled group becomes one transaction, T1, and is acked after its commit.
//! Redriven messages take the same way.

mod redrive;
mod trigger;

use std::sync::Arc;

use async_nats::jetstream;
use bus::pull::{self, Delivery, ErrorClass, Failure, Outcome, PullSettings, Role};
use bus::{BindError, EVENTS, PERSIST, PERSIST_REPLAY, REPLAY};
use bytes::Bytes;
use runtime::clock;
use runtime::crash;
use runtime::process::Process;
use store::{Attempts, DecodedBatch, Outbox, Persist, Stored};
use types::batch::{self, Batch};
use types::dead_letter::MessageContext;
use types::event::Head;
use types::id::{BatchRef, Src};
use types::query::NOTIFY;
use types::stream::StreamIncarnation;

use crate::delivery_state::StoreDeliveryState;
use crate::error_class;
use redrive::Redriving;
use trigger::{Handover, Trigger};

/// Pulls EVENTS into the store, and publishes the jobs of what it stored, until the process stops.
///
/// # Errors
/// Where the stream or its consumer is missing or unsafe at the start.
pub async fn run<S: Persist + Outbox + Attempts + Clone>(
    client: async_nats::Client,
    store: S,
    pulling: PullSettings,
    process: Process,
) -> Result<(), BindError> {
    let js = jetstream::new(client.clone());
    let (handover, trigger) =
        Trigger::new(js.clone(), store.clone(), pulling.retry.policy(), &process);
    let actor = process.actor.to_string();
    let delivery_state = Arc::new(StoreDeliveryState::new(store.clone(), actor.clone()));
    let role = Arc::new(Storing {
        store: store.clone(),
        client,
        handover,
        actor,
    });
    let redriving = Arc::new(Redriving::new(js.clone(), store, role.clone()));
    let redriven = pull::run(
        js.clone(),
        (REPLAY, PERSIST_REPLAY),
        (redriving, delivery_state.clone()),
        redrive::few(pulling.clone()),
        process.shutdown.clone(),
    );
    let pull = pull::run(
        js,
        (EVENTS, PERSIST),
        (role, delivery_state),
        pulling,
        process.shutdown,
    );
    // On the heap: inside each other they would be copied through every poll, and overflow a thread's stack.
    let (pull, redriven, trigger) = (Box::pin(pull), Box::pin(redriven), Box::pin(trigger.run()));
    // Only a start fails; the trigger ends when the role, and with it the handover, is gone.
    let pulls = async { tokio::try_join!(pull, redriven).map(drop) };
    let (pulled, ()) = tokio::join!(pulls, trigger);
    pulled
}

/// Stores what the pull loop hands over.
pub struct Storing<S> {
    store: S,
    client: async_nats::Client,
    handover: Handover,
    actor: String,
}

impl<S: Persist + Attempts> Role for Storing<S> {
    async fn handle(&self, incarnation: &StreamIncarnation, group: &[Delivery]) -> Vec<Outcome> {
        let src = match self.store.source(incarnation).await {
            Ok(src) => src,
            Err(error) => return vec![error_class::outcome(&error); group.len()],
        };
        let (mut sound, mut outcomes) = (
            Vec::with_capacity(group.len()),
            Vec::with_capacity(group.len()),
        );
        for one in group {
            outcomes.push(match self.incoming(src, one) {
                Ok(incoming) => {
                    sound.push(incoming);
                    Outcome::Ack
                }
                Err(reason) => Outcome::failed(ErrorClass::Permanent, reason),
            });
        }
        crash::point("persist.before_commit");
        for incoming in &sound {
            crash::point_of("persist", &incoming.header.batch_id);
        }
        match self.store.store_batches(sound).await {
            Ok(stored) => {
                crash::point("persist.after_commit");
                self.committed(group, stored).await;
            }
            Err(error) => {
                let sound = outcomes
                    .iter_mut()
                    .filter(|outcome| **outcome == Outcome::Ack);
                sound.for_each(|outcome| *outcome = error_class::outcome(&error));
            }
        }
        outcomes
    }

    async fn about(
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

/// The usable ids of its events, in their order.
fn event_ids(batch: &Batch) -> Vec<String> {
    batch
        .events()
        .filter_map(|(_, bytes)| Head::of(bytes)?.id())
        .collect()
}

impl<S: Persist> Storing<S> {
    fn incoming(&self, src: Src, delivery: &Delivery) -> Result<DecodedBatch, String> {
        let batch = batch::decode(delivery.payload.clone()).map_err(|error| error.to_string())?;
        let at = BatchRef {
            src,
            seq: delivery.seq,
        };
        let times = (delivery.published_at, clock::now());
        DecodedBatch::new(at, &batch, times, self.actor.clone()).map_err(|error| error.to_string())
    }

    /// After the commit: hints for those who wait, and the jobs to be published.
    async fn committed(&self, group: &[Delivery], stored: Vec<Stored>) {
        for at in stored.iter().map(|stored| stored.at) {
            let delivery = group.iter().find(|one| one.seq == at.seq);
            let Some(subject) = delivery.and_then(|one| one.headers.get(NOTIFY)) else {
                continue;
            };
            let hint = Bytes::from(serde_json::json!(at).to_string());
            // The hint is quick, the query is the truth: a lost one costs the waiter 50 ms.
            if let Err(error) = self.client.publish(subject.as_str().to_owned(), hint).await {
                tracing::debug!(%error, "a hint could not be sent");
            }
        }
        self.handover
            .give(stored.into_iter().filter_map(|stored| stored.pending));
    }
}
