//! The messages in flight: delivered, and neither acked nor returned yet.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_nats::jetstream::{self, AckKind};
use tokio::sync::OwnedSemaphorePermit;

use crate::pull::delivery::Delivery;

/// A message in flight, with the memory that it holds.
pub struct InFlight {
    pub message: Arc<jetstream::Message>,
    pub delivery: Delivery,
    /// It is recorded that this worker has begun to handle it alone.
    pub has_begun: bool,
    /// Its prior attempts were loaded.
    pub is_loaded: bool,
    /// Attempts of it failed before.
    pub failed_before: bool,
    _memory: OwnedSemaphorePermit,
}

impl InFlight {
    pub fn new(
        message: Arc<jetstream::Message>,
        delivery: Delivery,
        memory: OwnedSemaphorePermit,
    ) -> Self {
        Self {
            message,
            delivery,
            has_begun: false,
            is_loaded: false,
            failed_before: false,
            _memory: memory,
        }
    }

    /// Its stream sequence.
    pub fn seq(&self) -> u64 {
        self.delivery.seq
    }

    /// How often it was delivered before: the number of its backoff.
    pub fn redeliveries(&self) -> u32 {
        u32::try_from(self.delivery.delivered.saturating_sub(1)).unwrap_or(u32::MAX)
    }
}

/// The messages whose `ack_wait` must not run out, by stream sequence.
#[derive(Default)]
pub struct InFlightRegister(Mutex<HashMap<u64, Arc<jetstream::Message>>>);

impl InFlightRegister {
    fn messages(&self) -> MutexGuard<'_, HashMap<u64, Arc<jetstream::Message>>> {
        // Plain inserts and removes cannot leave the map half-changed.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Its `ack_wait` is renewed from now on.
    pub fn insert(&self, seq: u64, message: Arc<jetstream::Message>) {
        self.messages().insert(seq, message);
    }

    /// Whether the message with this stream sequence is in flight.
    pub fn contains(&self, seq: u64) -> bool {
        self.messages().contains_key(&seq)
    }

    /// Whether nothing is in flight.
    pub fn is_empty(&self) -> bool {
        self.messages().is_empty()
    }

    /// The message leaves the register: an ack of some kind was sent, or could not be.
    pub fn settle(&self, one: &InFlight, sent: Result<(), async_nats::Error>) {
        if let Err(error) = sent {
            // At-least-once: it is delivered again when its ack_wait has run out.
            tracing::warn!(seq = one.seq(), %error, "a message could not be acked or returned");
        }
        self.messages().remove(&one.seq());
    }

    /// Reports progress of every message, so that its `ack_wait` begins anew. Never ends.
    pub async fn report_progress(&self, every: Duration) {
        let mut ticks = tokio::time::interval(every);
        ticks.tick().await;
        loop {
            ticks.tick().await;
            let messages: Vec<_> = self.messages().values().cloned().collect();
            for message in messages {
                if let Err(error) = message.ack_with(AckKind::Progress).await {
                    tracing::debug!(%error, "progress could not be reported");
                }
            }
        }
    }
}
