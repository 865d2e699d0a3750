//! The publisher: every request gives it its message and awaits the PubAck.
//!
//! It sends messages singly while PubAcks are quick, else in groups (docs/protocol.md, Publish). A publish goes on when
//! its client has hung up: the outcome would be unknown otherwise.

mod detached;
mod group_commit;
mod group_publish;
mod line;
mod recent_ids;
mod single;

use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_nats::{HeaderMap, jetstream};
use bytes::Bytes;
use runtime::breaker::Guard;
use runtime::metrics;
use runtime::retry::RetryPolicy;
use tokio::sync::oneshot;
use tokio::time::{Instant, sleep_until};
use types::batch::{self, Header};
use types::id::MessageIdentity;
use types::stream::StreamIncarnation;

use crate::incarnation_cache::IncarnationCache;
use detached::Detached;
use line::{Departure, Line, Turn};
use single::{Attempts, InFlightSingle};

/// A message ready to be published.
#[derive(Debug, Clone)]
pub struct EventsMessage {
    /// What it says of itself; the publisher sets the header `Nats-Msg-Id`.
    pub identity: MessageIdentity,
    pub subject: String,
    /// The other headers.
    pub headers: HeaderMap,
    pub payload: Bytes,
}

/// Bytes that an EVENTS message leaves free below NATS's `max_payload`, for NATS headers (contract).
const PAYLOAD_MARGIN: usize = 64 * 1024;

/// The most bytes that an EVENTS message may have on the server that `client` is connected to.
#[must_use]
pub fn max_message(client: &async_nats::Client) -> usize {
    client
        .server_info()
        .max_payload
        .saturating_sub(PAYLOAD_MARGIN)
}

impl EventsMessage {
    /// The message of a batch.
    ///
    /// # Errors
    /// Returns the error of [`batch::encode`]; it has none for headers that this program makes.
    pub fn of(header: &Header, events: &[impl AsRef<[u8]>]) -> Result<Self, serde_json::Error> {
        let payload = batch::encode(header, events)?;
        let mut headers = HeaderMap::new();
        headers.insert(batch::BATCH_ID, header.batch_id.as_str());
        headers.insert(batch::CORRELATION_ID, header.correlation_id.as_str());
        headers.insert(batch::TRACEPARENT, header.traceparent.as_str());
        Ok(Self {
            identity: MessageIdentity::new(
                &header.developer,
                header.epoch,
                &header.batch_id,
                events.iter(),
            ),
            subject: bus::batch_subject(&header.developer),
            headers,
            payload,
        })
    }
}

/// The stream has the message on disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PublishedMessage {
    /// The stream's incarnation as it was read before the first attempt: see [`IncarnationCache`].
    pub incarnation: StreamIncarnation,
    /// What the message says of itself.
    pub identity: MessageIdentity,
    /// The sequence; the original's if it is a duplicate.
    pub sequence: u64,
    /// The server knew the message id already, or another request of this collector was sending it.
    pub duplicate: bool,
    /// Another request's publish brought this: the server was not asked about this one.
    pub joined: bool,
}

/// The stream did not confirm the message.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotPublished {
    /// The stream has reached its limit.
    #[error("the stream is full: {0}")]
    Full(String),
    /// The message is larger than the stream or the server takes.
    #[error("the message is too large: {0}")]
    TooLarge(String),
    /// No PubAck until the deadline. The message may be stored all the same; the same message
    /// sent again is dropped as a duplicate then.
    #[error("the stream did not confirm in time: {0}")]
    Unavailable(String),
    /// The stream's circuit breaker is open.
    #[error("the stream fails and is not tried for {left:?}")]
    CircuitOpen {
        /// How long it stays open; zero if the end of another's probe decides.
        left: Duration,
        /// The message was sent before it opened, and may be stored all the same.
        sent: bool,
    },
}

type Outcome = Result<PublishedMessage, NotPublished>;

/// One PubAck is awaited this long before the same message is published again.
const ATTEMPT: Duration = Duration::from_secs(2);
/// A message that has waited so long for the group in flight goes singly.
const PATIENCE: Duration = Duration::from_secs(1);

/// Publishes to the EVENTS stream. Cheap to clone; all clones are one publisher.
#[derive(Clone)]
pub struct Publisher(Arc<Inner>);

struct Inner {
    js: jetstream::Context,
    client: async_nats::Client,
    incarnation: Arc<IncarnationCache>,
    breaker: Guard,
    settings: PublishSettings,
    line: Mutex<Line>,
    /// It was logged that the stream takes no groups.
    told_unsupported: AtomicBool,
}

/// How long and how often a publish is tried.
#[derive(Debug, Clone, Copy)]
pub struct PublishSettings {
    /// The PubAck must come within this time.
    pub timeout: Duration,
    /// The delays between attempts.
    pub retry: RetryPolicy,
}

/// What a PubAck says of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Acked {
    sequence: u64,
    duplicate: bool,
}

impl Publisher {
    #[must_use]
    pub fn new(
        js: jetstream::Context,
        incarnation: Arc<IncarnationCache>,
        breaker: Guard,
        settings: PublishSettings,
    ) -> Self {
        Self(Arc::new(Inner {
            client: js.client(),
            js,
            incarnation,
            breaker,
            settings,
            line: Mutex::new(Line::new(Instant::now())),
            told_unsupported: AtomicBool::new(false),
        }))
    }

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
        let departure = self.line().enter(&message, started);
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
            First::Singly(single) => (single, Attempts::none(deadline)),
            First::Waits(turn) => match self.turn(id, turn, deadline).await? {
                Turn::Committed(sequence) => {
                    return Ok(Acked {
                        sequence,
                        duplicate: false,
                    });
                }
                Turn::Refused(reason) => return Err(reason),
                Turn::Singly(single) => {
                    (InFlightSingle::new(self, single), Attempts::none(deadline))
                }
                Turn::Again {
                    single,
                    reason,
                    sent,
                } => {
                    metrics::publish_retried();
                    tracing::debug!(id, reason, "publishing singly what went with a group");
                    (
                        InFlightSingle::new(self, single),
                        Attempts::after_group(deadline, reason, sent),
                    )
                }
            },
        };
        self.publish_singly(message, single, attempts).await
    }

    /// Waits until it is the message's turn, for at most [`PATIENCE`] while it is not sent.
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
                () = sleep_until(until) => { // sleep: the message's patience, then its deadline
                    let mut line = self.line();
                    if line.withdraw(message_id) {
                        return Ok(Turn::Singly(line.commit().goes_alone(Instant::now())));
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
            if let Ok(Turn::Singly(single) | Turn::Again { single, .. }) = turn.try_recv() {
                drop(InFlightSingle::new(self, single));
            }
            return Err(reason);
        }
    }

    /// The breaker opened while the message waited; `sent` if it was sent before.
    fn opened_meanwhile(&self, sent: bool) -> NotPublished {
        NotPublished::CircuitOpen {
            left: self.0.breaker.open_for(),
            sent,
        }
    }

    /// Has the next messages go, now that others have ended.
    fn advance(&self, mut line: MutexGuard<'_, Line>) {
        let group = line.advance(Instant::now());
        drop(line);
        if let Some(group) = group {
            tokio::spawn(self.clone().publish_groups(group));
        }
    }

    fn line(&self) -> MutexGuard<'_, Line> {
        // No step of it panics half-way.
        self.0.line.lock().unwrap_or_else(PoisonError::into_inner)
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
