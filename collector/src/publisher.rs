//! The publisher: every request gives it its message and awaits the PubAck.
//!
//! It sends messages singly while PubAcks are quick, else in groups (docs/protocol.md, Publish). A publish goes on when
//! its client has hung up: the outcome would be unknown otherwise.

mod detached;
mod group_commit;
mod group_publish;
mod handle;
mod line;
mod message;
mod recent_ids;
mod single;

use std::sync::Arc;
use std::time::Duration;

use runtime::metrics;
use tokio::sync::oneshot;
use tokio::time::{Instant, sleep_until};

use detached::Detached;
use line::{Departure, Turn};
use message::{Acked, Outcome};
use single::{InFlightSingle, SingleAttempts};

pub use handle::{PublishSettings, Publisher};
pub use message::{EventsMessage, NotPublished, PublishedMessage, max_message};

/// A round that has been on its way for so long is not waited for: what waits goes singly.
const PATIENCE: Duration = Duration::from_secs(1);

impl Publisher {
    /// Publishes and awaits the PubAck. Equal message ids in flight share one publish. `permit` is kept
    /// until the publish has ended, whether or not anyone still waits for it.
    ///
    /// # Errors
    /// Returns [`NotPublished`] if the stream is full, never takes such a message or did not confirm in time, or if
    /// its circuit breaker is open.
    pub async fn publish(&self, message: EventsMessage, permit: impl Send + 'static) -> Outcome {
        let message = Arc::new(message);
        let started = Instant::now();
        // Read before anything is sent: see `IncarnationCache`.
        let incarnation = self.0.incarnation.last_read();
        let departure = self.enter(&message, started);
        let departure = match departure {
            Departure::Joined(outcome) => {
                let published = outcome.await.unwrap_or_else(|_| Err(ended()))?;
                // A request that joined sent what another had sent before.
                return Ok(PublishedMessage {
                    duplicate: true,
                    joined: true,
                    ..published
                });
            }
            Departure::Now(single) => First::Singly(InFlightSingle::new(self, single)),
            Departure::Waits(turn) => First::Waits(turn),
        };
        let publisher = self.clone();
        Detached::new(async move {
            let in_flight = InFlight {
                publisher: &publisher,
                message_id: &message.identity.message_id,
            };
            let acked = publisher.until_acked(&message, departure, started).await;
            let joined = in_flight.end();
            // Usually the only one left.
            let identity = match Arc::try_unwrap(message) {
                Ok(message) => message.identity,
                Err(message) => message.identity.clone(),
            };
            let outcome = acked.map(|acked| PublishedMessage {
                incarnation,
                identity,
                sequence: acked.sequence,
                duplicate: acked.duplicate,
                joined: false,
            });
            metrics::published(outcome_of(&outcome), started.elapsed());
            for request in joined {
                // The request that joined may have gone.
                let _ = request.send(outcome.clone());
            }
            drop(permit);
            outcome
        })
        .await
    }

    /// Publishes until the stream has decided, the deadline has passed or the breaker opens.
    async fn until_acked(
        &self,
        message: &EventsMessage,
        first: First,
        started: Instant,
    ) -> Result<Acked, NotPublished> {
        let deadline = started + self.0.settings.timeout;
        let id = &message.identity.message_id;
        let (single, attempts) = match first {
            First::Singly(single) => (single, SingleAttempts::none(deadline)),
            First::Waits(turn) => match self.turn(id, turn, deadline).await? {
                Turn::Committed(sequence) => {
                    return Ok(Acked {
                        sequence,
                        duplicate: false,
                    });
                }
                Turn::Refused(reason) => return Err(reason),
                Turn::Singly(single) => (
                    InFlightSingle::new(self, single),
                    SingleAttempts::none(deadline),
                ),
                Turn::Again {
                    single,
                    reason,
                    sent,
                } => {
                    metrics::publish_retried();
                    tracing::debug!(id, reason, "publishing singly what went with a group");
                    (
                        InFlightSingle::new(self, single),
                        SingleAttempts::after_group(deadline, reason, sent),
                    )
                }
            },
        };
        self.publish_singly(message, single, attempts).await
    }

    /// Waits until it is the message's turn, for as long as rounds end: a queue that moves is not left.
    async fn turn(
        &self,
        message_id: &str,
        mut turn: oneshot::Receiver<Turn>,
        deadline: Instant,
    ) -> Result<Turn, NotPublished> {
        let mut until = deadline.min(Instant::now() + PATIENCE);
        loop {
            let reason = tokio::select! {
                biased;
                turn = &mut turn => return turn.map_err(|_| ended()),
                () = self.0.breaker.opened() => {
                    let sent = !self.line().withdraw(message_id);
                    self.opened_meanwhile(sent)
                }
                () = sleep_until(until) => { // sleep: the patience with a round, then the message's deadline
                    let now = Instant::now();
                    let mut line = self.line();
                    let left = PATIENCE.saturating_sub(line.commit().round_age(now));
                    if now < deadline && !left.is_zero() {
                        until = deadline.min(now + left);
                        continue;
                    }
                    if line.withdraw(message_id) {
                        return Ok(Turn::Singly(line.commit().goes_alone(now)));
                    }
                    if until < deadline {
                        until = deadline;
                        continue;
                    }
                    NotPublished::Unavailable("no PubAck of its group until the deadline".to_owned())
                }
            };
            turn.close();
            // It may have come at this moment.
            return match turn.try_recv() {
                Ok(Turn::Committed(sequence)) => Ok(Turn::Committed(sequence)),
                Ok(Turn::Singly(single) | Turn::Again { single, .. }) => {
                    drop(InFlightSingle::new(self, single));
                    Err(reason)
                }
                Ok(Turn::Refused(_)) | Err(_) => Err(reason),
            };
        }
    }
}

/// How a message goes at first.
enum First {
    Singly(InFlightSingle),
    Waits(oneshot::Receiver<Turn>),
}

/// A message in flight, which others may join. Dropped without an end, they learn that there is none.
struct InFlight<'a> {
    publisher: &'a Publisher,
    message_id: &'a str,
}

impl InFlight<'_> {
    /// Gives the requests that joined.
    fn end(self) -> Vec<oneshot::Sender<Outcome>> {
        let joined = self.publisher.line().leave(self.message_id);
        std::mem::forget(self);
        joined
    }
}

impl Drop for InFlight<'_> {
    fn drop(&mut self) {
        drop(self.publisher.line().leave(self.message_id));
    }
}

/// Whoever published is gone.
fn ended() -> NotPublished {
    NotPublished::Unavailable("the publisher ended".to_owned())
}

/// The outcome as metrics name it.
fn outcome_of(outcome: &Outcome) -> &'static str {
    match outcome {
        Ok(published) if published.duplicate => "duplicate",
        Ok(_) => "stored",
        Err(NotPublished::Full(_)) => "full",
        Err(NotPublished::TooLarge(_)) => "too_large",
        Err(NotPublished::CircuitOpen { .. }) => "circuit_open",
        Err(NotPublished::Unavailable(_)) => "unavailable",
    }
}
