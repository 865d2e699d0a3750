//! The messages in flight: delivered, and neither acked nor returned yet.

use std::collections::HashMap;
use std::fmt::Display;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_nats::jetstream::AckKind;
use async_nats::{Client, Subject};
use tokio::sync::OwnedSemaphorePermit;

use crate::pull::delivery::Delivery;

/// A message in flight, with the memory that it holds.
pub struct InFlight {
    /// What is published here tells the server what becomes of it.
    pub ack_subject: Subject,
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
    pub fn new(ack_subject: Subject, delivery: Delivery, memory: OwnedSemaphorePermit) -> Self {
        Self {
            ack_subject,
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

/// The ack subjects of the messages whose `ack_wait` must not run out, by stream sequence.
#[derive(Default)]
pub struct InFlightRegister(Mutex<HashMap<u64, Subject>>);

impl InFlightRegister {
    fn messages(&self) -> MutexGuard<'_, HashMap<u64, Subject>> {
        // Plain inserts and removes cannot leave the map half-changed.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Its `ack_wait` is renewed from now on.
    pub fn insert(&self, seq: u64, ack_subject: Subject) {
        self.messages().insert(seq, ack_subject);
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
    pub fn settle<E: Display>(&self, one: &InFlight, sent: Result<(), E>) {
        if let Err(error) = sent {
            // At-least-once: it is delivered again when its ack_wait has run out.
            tracing::warn!(seq = one.seq(), %error, "a message could not be acked or returned");
        }
        self.messages().remove(&one.seq());
    }

    /// Reports progress of every message, so that its `ack_wait` begins anew. Never ends.
    pub async fn report_progress(&self, client: &Client, every: Duration) {
        let mut ticks = tokio::time::interval(every);
        ticks.tick().await;
        loop {
            ticks.tick().await;
            let ack_subjects: Vec<Subject> = self.messages().values().cloned().collect();
            for ack_subject in ack_subjects {
                let progress = client.publish(ack_subject, AckKind::Progress.into());
                if let Err(error) = progress.await {
                    tracing::debug!(%error, "progress could not be reported");
                }
            }
        }
    }
}
