//! The persist role: a pulled group becomes one transaction, T1, and is acked after its commit.

use std::sync::Arc;

use async_nats::jetstream;
use common::batch;
use common::bus::pull::{self, Delivery, Outcome, PullSettings, Role};
use common::bus::{BindError, EVENTS, PERSIST, StreamLife};
use common::clock::{Clock, SystemClock};
use common::id::{BatchRef, Src};
use common::process::Process;
use common::retry::RetryPolicy;
use store::{Incoming, Persist, StoreError};

/// Pulls EVENTS into the store until the process stops.
///
/// # Errors
/// Where the stream or its consumer is missing or unsafe at the start.
pub async fn run<S: Persist>(js: jetstream::Context, store: S, process: Process) -> Result<(), BindError> {
    let role = Arc::new(Storing { store, actor: process.actor.to_string() });
    pull::run(js, (EVENTS, PERSIST), role, PullSettings::default(), process.stop).await
}

/// Stores what the pull loop hands over.
pub struct Storing<S> {
    store: S,
    actor: String,
}

impl<S: Persist> Role for Storing<S> {
    async fn handle(&self, life: &StreamLife, group: &[Delivery]) -> Vec<Outcome> {
        let src = match self.store.source(life).await {
            Ok(src) => src,
            Err(error) => return group.iter().map(|one| self.failed(one, &error)).collect(),
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
        let Err(error) = self.store.persist(sound).await else { return outcomes };
        // The surroundings failed: the group waits. Or one message is at fault: alone, it cannot
        // harm its neighbours.
        let alone = !error.is_transient() && group.len() > 1;
        for (one, outcome) in group.iter().zip(&mut outcomes).filter(|(_, outcome)| **outcome == Outcome::Ack)
        {
            *outcome = if alone { self.store_alone(src, one).await } else { self.failed(one, &error) };
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
                Ok(_) => Outcome::Ack,
                Err(error) => self.failed(delivery, &error),
            },
        }
    }

    /// Nothing that the store refuses is given up here: it is tried again, and said aloud.
    fn failed(&self, delivery: &Delivery, error: &StoreError) -> Outcome {
        let attempt = u32::try_from(delivery.delivered.saturating_sub(1)).unwrap_or(u32::MAX);
        tracing::error!(seq = delivery.seq, delivered = delivery.delivered, %error, "a batch could not be stored; trying again");
        Outcome::Retry { after: RetryPolicy::DEFAULT.delay(attempt) }
    }
}
