//! The persist role: a pulled group becomes one transaction, T1, and is acked after its commit.

mod trigger;

use std::sync::Arc;

use async_nats::jetstream;
use bytes::Bytes;
use common::batch;
use common::bus::pull::{self, Delivery, Outcome, PullSettings, Role};
use common::bus::{BindError, EVENTS, PERSIST, StreamLife};
use common::clock::{Clock, SystemClock};
use common::crash;
use common::id::{BatchRef, Src};
use common::process::Process;
use common::query::NOTIFY;
use store::{Incoming, Outbox, Persist, StoreError, Stored};

use crate::setback;
use trigger::{Handover, Trigger};

/// Pulls EVENTS into the store, and publishes the jobs of what it stored, until the process stops.
///
/// # Errors
/// Where the stream or its consumer is missing or unsafe at the start.
pub async fn run<S: Persist + Outbox + Clone>(
    client: async_nats::Client,
    store: S,
    process: Process,
) -> Result<(), BindError> {
    let js = jetstream::new(client.clone());
    let (handover, trigger) = Trigger::new(js.clone(), store.clone(), &process);
    let role = Arc::new(Storing { store, client, handover, actor: process.actor.to_string() });
    // The trigger ends when the role, and with it the handover, is gone.
    let pull = pull::run(js, (EVENTS, PERSIST), role, PullSettings::default(), process.stop);
    let (pulled, ()) = tokio::join!(pull, trigger.run());
    pulled
}

/// Stores what the pull loop hands over.
pub struct Storing<S> {
    store: S,
    client: async_nats::Client,
    handover: Handover,
    actor: String,
}

impl<S: Persist> Role for Storing<S> {
    async fn handle(&self, life: &StreamLife, group: &[Delivery]) -> Vec<Outcome> {
        let src = match self.store.source(life).await {
            Ok(src) => src,
            Err(error) => return group.iter().map(|one| not_stored(one, &error)).collect(),
        };
        let (mut sound, mut outcomes) = (Vec::with_capacity(group.len()), Vec::with_capacity(group.len()));
        for one in group {
            match self.decode(src, one) {
                Ok(incoming) => {
                    sound.push(incoming);
                    outcomes.push(Outcome::Ack);
                }
                Err(dead) => outcomes.push(dead),
            }
        }
        crash::point("persist.before_commit");
        let error = match self.store.persist(sound).await {
            Ok(stored) => {
                crash::point("persist.after_commit");
                self.committed(group, stored).await;
                return outcomes;
            }
            Err(error) => error,
        };
        let alone = setback::is_one_at_fault(&error, group.len());
        for (one, outcome) in group.iter().zip(&mut outcomes).filter(|(_, outcome)| **outcome == Outcome::Ack)
        {
            *outcome = if alone { self.store_alone(src, one).await } else { not_stored(one, &error) };
        }
        outcomes
    }
}

impl<S: Persist> Storing<S> {
    fn decode(&self, src: Src, delivery: &Delivery) -> Result<Incoming, Outcome> {
        let dead = |reason: String| Outcome::DeadLetter { reason };
        let batch = batch::decode(delivery.payload.clone()).map_err(|error| dead(error.to_string()))?;
        let at = BatchRef { src, seq: delivery.seq };
        let times = (delivery.published_at, SystemClock.now());
        Incoming::new(at, &batch, times, self.actor.clone()).map_err(|error| dead(error.to_string()))
    }

    async fn store_alone(&self, src: Src, delivery: &Delivery) -> Outcome {
        match self.decode(src, delivery) {
            Err(dead) => dead,
            Ok(incoming) => match self.store.persist(vec![incoming]).await {
                Ok(stored) => {
                    self.committed(std::slice::from_ref(delivery), stored).await;
                    Outcome::Ack
                }
                Err(error) => not_stored(delivery, &error),
            },
        }
    }

    /// After the commit: hints for those who wait, and the jobs to be published.
    async fn committed(&self, group: &[Delivery], stored: Vec<Stored>) {
        for at in stored.iter().map(|stored| stored.at) {
            let delivery = group.iter().find(|one| one.seq == at.seq);
            let Some(subject) = delivery.and_then(|one| one.headers.get(NOTIFY)) else { continue };
            let hint = Bytes::from(serde_json::json!(at).to_string());
            // The hint is quick, the query is the truth: a lost one costs the waiter 50 ms.
            if let Err(error) = self.client.publish(subject.as_str().to_owned(), hint).await {
                tracing::debug!(%error, "a hint could not be sent");
            }
        }
        self.handover.give(stored.into_iter().filter_map(|stored| stored.pending));
    }
}

fn not_stored(delivery: &Delivery, error: &StoreError) -> Outcome {
    setback::again(delivery, "a batch could not be stored", error)
}
