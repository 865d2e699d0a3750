//! Undecodable messages: a client cannot read their headers or subject, so that each delivery breaks its connection
//! (or, from a server that lets a status through, they pass for the server's own). No worker ever receives them. They
//! are read from the stream by its API, and dead-lettered.

use std::collections::BTreeSet;
use std::time::Duration;

use async_nats::Subject;
use tokio::time::timeout;

use crate::connection::{connects, reconnected};
use crate::consumer_status::{self, ConsumerProgress};
use crate::names::ConsumerRef;
use crate::pull::binding::Binding;
use crate::pull::delivery::{Delivery, MessageHandler};
use crate::pull::delivery_state::{DeliveryState, PriorAttempts};
use crate::pull::in_flight::InFlightRegister;
use crate::pull::policy::DeadLetterCause;
use crate::stored_messages::{self, StoredMessage};
use runtime::metrics;
use types::dead_letter::DeadLetterClass;
use types::stream::StreamIncarnation;

/// So few are read after any break of the connection; more only if one of them is likely to be the cause.
const FEW: u64 = 64;
/// Most messages that are requested again after one broke the connection: those that were delivered last. More
/// than a consumer may have ack-pending (`max_ack_pending`, 4000 of EVENTS and JOBS).
const MAX_REQUESTED: u64 = 4096;

/// The longest time between two scans.
const MAX_INTERVAL: Duration = Duration::from_secs(10);
/// The time between two scans until the ack floor has passed what was dead-lettered.
const SHORT_INTERVAL: Duration = Duration::from_secs(1);

/// What is known from scan to scan of one incarnation of the stream.
#[derive(Default)]
pub struct ScanState {
    incarnation: Option<StreamIncarnation>,
    connection: Connection,
    ack_floor: Option<u64>,
    /// Up to this sequence all that was delivered can be decoded, or is dead-lettered.
    scanned: u64,
    /// What was terminated above the ack floor. It stays recorded that DEAD has it until the floor has passed it:
    /// whoever finds it in the stream meanwhile must not dead-letter it again.
    terminated: BTreeSet<u64>,
}

/// The connection of a client, as far as a break of it can be seen.
#[derive(Default)]
struct Connection {
    /// How often the client had connected.
    connects: u64,
    server_id: String,
}

/// Whether the messages were scanned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scan {
    Done,
    /// The breaker before the store is open.
    Postponed,
}

/// Which messages may have broken a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Suspects {
    /// Whatever was delivered and is ack-pending.
    All,
    /// What holds the ack floor.
    First,
    None,
}

/// What is seen of a consumer since the last scan.
#[derive(Debug, Clone, Copy)]
struct Signs {
    /// The connection broke.
    broke: bool,
    /// It is a connection to the same server.
    same_server: bool,
    /// The ack floor has not moved.
    floor_held: bool,
}

/// A connection that broke while its server ran on was broken by a message, most likely; so it was if a message was
/// delivered before.
fn suspects(progress: &ConsumerProgress, signs: Signs) -> Suspects {
    let is_likely = signs.same_server || progress.redelivered > 0 || progress.ack_pending <= FEW;
    match (signs.broke, signs.floor_held) {
        (true, _) if is_likely => Suspects::All,
        (false, true) if progress.redelivered > 0 => Suspects::First,
        _ => Suspects::None,
    }
}

/// Finds undecodable messages and dead-letters them.
pub struct UndecodableScanner<'a, H, S> {
    pub binding: &'a Binding<H, S>,
    pub register: &'a InFlightRegister,
    pub state: &'a mut ScanState,
}

impl<H: MessageHandler, S: DeliveryState> UndecodableScanner<'_, H, S> {
    /// Scans what is ack-pending when the connection broke, and else what holds the ack floor. Never ends.
    pub async fn run(&mut self, every: Duration) {
        let client = self.binding.js.client();
        let policy = self.binding.settings.retry.policy();
        let mut attempt = 0;
        loop {
            let scan = self.scan().await;
            if let Err(error) = &scan {
                let ConsumerRef { stream, consumer } = &self.binding.consumer;
                tracing::warn!(
                    stream, consumer, %error, attempt,
                    "what is ack-pending cannot be scanned for undecodable messages; trying again"
                );
            }
            if matches!(scan, Ok(Scan::Done)) {
                attempt = 0;
                let pause = if self.state.terminated.is_empty() {
                    every.min(MAX_INTERVAL)
                } else {
                    SHORT_INTERVAL
                };
                // Either way it is scanned again.
                let _ = timeout(pause, reconnected(&client, self.state.connection.connects)).await;
            } else {
                policy.pause(attempt).await;
                attempt = attempt.saturating_add(1);
            }
        }
    }

    /// Scans once, if the store is well: what is dead-lettered is recorded in it.
    pub async fn scan(&mut self) -> Result<Scan, async_nats::Error> {
        if self.state.incarnation.as_ref() != Some(&self.binding.incarnation) {
            *self.state = ScanState {
                incarnation: Some(self.binding.incarnation.clone()),
                ..ScanState::default()
            };
        }
        if self.binding.settings.guard.refuses().is_some() {
            return Ok(Scan::Postponed);
        }
        let client = self.binding.js.client();
        let connection = Connection {
            connects: connects(&client),
            server_id: client.server_info().server_id,
        };
        let progress = self.progress().await?;
        let ack_floor = progress.as_ref().map(|progress| progress.ack_floor);
        let above = self
            .state
            .terminated
            .split_off(&ack_floor.map_or(u64::MAX, |floor| floor + 1));
        let passed = std::mem::replace(&mut self.state.terminated, above);
        let passed: Vec<u64> = passed.into_iter().collect();
        self.binding.forget(&passed).await;
        let previous_floor = std::mem::replace(&mut self.state.ack_floor, ack_floor);
        if let Some(progress) = &progress {
            let signs = Signs {
                broke: self.state.connection.connects != connection.connects,
                same_server: self.state.connection.server_id == connection.server_id,
                floor_held: previous_floor == ack_floor,
            };
            match suspects(progress, signs) {
                Suspects::All => self.scan_all(progress).await?,
                Suspects::First => {
                    let first = self.next(progress.ack_floor, progress).await?;
                    if let Some(message) = first.filter(|message| message.undecodable.is_some()) {
                        self.dead_letter(message).await?;
                    }
                }
                Suspects::None => {}
            }
        }
        self.state.connection = connection;
        Ok(Scan::Done)
    }

    /// The consumer's progress; `None` if nothing that it delivered is ack-pending.
    async fn progress(&self) -> Result<Option<ConsumerProgress>, async_nats::Error> {
        let Binding { js, consumer, .. } = self.binding;
        Ok(consumer_status::ack_pending(js, &consumer.resource()).await?)
    }

    /// The next delivered message of the consumer above `seq`.
    async fn next(
        &self,
        seq: u64,
        progress: &ConsumerProgress,
    ) -> Result<Option<StoredMessage>, async_nats::Error> {
        let Binding {
            js, incarnation, ..
        } = self.binding;
        let found =
            stored_messages::first_from(js, &incarnation.name, seq + 1, &progress.subject).await?;
        Ok(found.filter(|message| message.seq <= progress.delivered))
    }

    /// Dead-letters each undecodable message that was delivered; each message is read once. One that cannot be
    /// dead-lettered now does not stop the others. What was delivered with them got lost with the connection, and is
    /// requested again.
    async fn scan_all(&mut self, progress: &ConsumerProgress) -> Result<(), async_nats::Error> {
        let mut at = progress.ack_floor.max(self.state.scanned);
        let mut found = false;
        let mut result = Ok(());
        loop {
            while self.register.contains(at + 1) {
                at += 1;
            }
            let Some(message) = self.next(at, progress).await? else {
                break;
            };
            at = message.seq;
            let is_known = self.state.terminated.contains(&at) || self.register.contains(at);
            if message.undecodable.is_some() && !is_known {
                found = true;
                result = self.dead_letter(message).await.and(result);
            }
            if result.is_ok() {
                self.state.scanned = at;
            }
        }
        if found {
            self.request_again(progress).await?;
        }
        result
    }

    async fn dead_letter(&mut self, message: StoredMessage) -> Result<(), async_nats::Error> {
        let binding = self.binding;
        binding.check_incarnation().await?;
        let seq = message.seq;
        // Another process may have come first; what it recorded is dropped once the floor has passed.
        let progress = self.progress().await?;
        if progress.is_none_or(|progress| seq <= progress.ack_floor) {
            return Ok(());
        }
        let cause = DeadLetterCause {
            class: DeadLetterClass::Message,
            reason: message.undecodable.clone().unwrap_or_default(),
            attempts: 0,
        };
        let message = Delivery::from(message);
        let ConsumerRef { stream, consumer } = &binding.consumer;
        let prior = binding
            .delivery_state
            .load(&binding.incarnation, consumer, &[seq])
            .await
            .map_err(|failure| failure.reason)?;
        let is_in_dead = |prior: &PriorAttempts| prior.is_in_dead(message.published_at);
        if !prior.get(&seq).is_some_and(is_in_dead) {
            if let Err(error) = binding.dead_letter(&message, &cause).await {
                tracing::error!(
                    stream, consumer, seq, %error,
                    "an undecodable message cannot be moved to DEAD; trying again"
                );
                return Err(error);
            }
            metrics::settled(stream, consumer, "dead_letter", 1);
        }
        binding
            .terminate(&ack_subject(&binding.consumer, seq))
            .await?;
        self.state.terminated.insert(seq);
        Ok(())
    }

    /// Returns what was delivered and is not in flight here: it need not wait for its `ack_wait`. What another
    /// worker has in flight is delivered twice, and is done once.
    async fn request_again(&self, progress: &ConsumerProgress) -> Result<(), async_nats::Error> {
        let recent = progress.delivered.saturating_sub(MAX_REQUESTED);
        let from = progress.ack_floor.max(recent) + 1;
        for seq in from..=progress.delivered {
            if !self.state.terminated.contains(&seq) && !self.register.contains(seq) {
                let subject = ack_subject(&self.binding.consumer, seq);
                let client = self.binding.js.client();
                client.publish(subject, "-NAK".into()).await?;
            }
        }
        Ok(())
    }
}

/// The subject that a delivery is acked on (NATS ADR-15, `$JS.ACK`). Of explicit acks nats-server 2.15 reads the
/// stream's sequence alone, and ignores one of what is not ack-pending; the counts and the time, which only a
/// delivery has, are made up.
fn ack_subject(consumer: &ConsumerRef, seq: u64) -> Subject {
    let ConsumerRef { stream, consumer } = consumer;
    format!("$JS.ACK.{stream}.{consumer}.1.{seq}.{seq}.0.0").into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_that_restarts_causes_no_scan_of_many_messages() {
        let progress = |ack_pending, redelivered| ConsumerProgress {
            ack_floor: 1,
            delivered: 9000,
            subject: ">".to_owned(),
            ack_pending,
            redelivered,
        };
        let suspects = |progress: &ConsumerProgress, broke, same_server, floor_held| {
            let signs = Signs {
                broke,
                same_server,
                floor_held,
            };
            suspects(progress, signs)
        };
        let many = progress(4000, 0);
        let again = progress(4000, 1);
        assert_eq!(suspects(&many, true, false, true), Suspects::None);
        assert_eq!(
            suspects(&many, true, true, false),
            Suspects::All,
            "it ran on"
        );
        assert_eq!(
            suspects(&again, true, false, false),
            Suspects::All,
            "it broke twice"
        );
        assert_eq!(suspects(&progress(1, 0), true, false, false), Suspects::All);
        assert_eq!(suspects(&again, false, false, true), Suspects::First);
        assert_eq!(
            suspects(&again, false, false, false),
            Suspects::None,
            "the floor moves"
        );
        assert_eq!(
            suspects(&many, false, false, true),
            Suspects::None,
            "all were delivered once"
        );
    }
}
