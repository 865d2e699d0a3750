//! The publisher: every request gives it its message and awaits the PubAck.
//!
//! How it publishes is its secret (single publishes now, groups later; docs/protocol.md, Publish).
//! A publish goes on when its client has hung up: the outcome would be unknown otherwise.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_nats::HeaderMap;
use async_nats::jetstream::context::{PublishError, PublishErrorKind};
use async_nats::jetstream::publish::PublishAck;
use async_nats::jetstream::{self, ErrorCode, message::PublishMessage};
use bytes::Bytes;
use runtime::breaker::{self, Guard};
use runtime::metrics;
use runtime::retry::RetryPolicy;
use tokio::sync::watch;
use tokio::time::{Instant, timeout_at};
use types::batch::{self, Header};
use types::id::MessageIdentity;
use types::stream::StreamIncarnation;

use crate::incarnation_cache::IncarnationCache;

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
type InFlight = Arc<Mutex<HashMap<String, watch::Receiver<Option<Outcome>>>>>;

/// One PubAck is awaited this long before the same message is published again.
const ATTEMPT: Duration = Duration::from_secs(2);
/// The server is storing a message with this id at this moment (error code 10158).
const IN_PROCESS: u64 = 10158;
const IN_PROCESS_DELAY: Duration = Duration::from_millis(50);
/// The stream has reached its maximum of messages or bytes (error code 10077).
const STREAM_FULL: u64 = 10077;
/// The message is larger than the stream or the server takes (error code 10054).
const TOO_LARGE: u64 = ErrorCode::STREAM_MESSAGE_EXCEEDS_MAXIMUM.0;

/// A publish to come.
struct InFlightPublish {
    outcome: watch::Receiver<Option<Outcome>>,
    /// Another request's publish brings it.
    joined: bool,
}

/// Publishes to the EVENTS stream.
#[derive(Clone)]
pub struct Publisher {
    js: jetstream::Context,
    incarnation: Arc<IncarnationCache>,
    breaker: Guard,
    in_flight: InFlight,
    settings: PublishSettings,
}

/// How long and how often a publish is tried.
#[derive(Debug, Clone, Copy)]
pub struct PublishSettings {
    /// The PubAck must come within this time.
    pub timeout: Duration,
    /// The delays between attempts.
    pub retry: RetryPolicy,
}

impl Publisher {
    #[must_use]
    pub fn new(
        js: jetstream::Context,
        incarnation: Arc<IncarnationCache>,
        breaker: Guard,
        settings: PublishSettings,
    ) -> Self {
        Self {
            js,
            incarnation,
            breaker,
            in_flight: InFlight::default(),
            settings,
        }
    }

    /// Publishes and awaits the PubAck. Equal message ids in flight share one publish. `permit` is kept
    /// until the publish has ended, whether or not anyone still waits for it.
    ///
    /// # Errors
    /// Returns [`NotPublished`] if the stream is full, never takes such a message or did not confirm in time, or if
    /// its circuit breaker is open.
    pub async fn publish(&self, message: EventsMessage, permit: impl Send + 'static) -> Outcome {
        let lost = || NotPublished::Unavailable("the publisher ended".to_owned());
        let mut joined_or_started = self.join_or_start(message, permit);
        let joined = joined_or_started.joined;
        let outcome = joined_or_started
            .outcome
            .wait_for(Option::is_some)
            .await
            .map_err(|_| lost())?
            .clone();
        let published = outcome.unwrap_or_else(|| Err(lost()))?;
        // A request that joined sent what another had sent before.
        Ok(PublishedMessage {
            duplicate: published.duplicate || joined,
            joined,
            ..published
        })
    }

    fn join_or_start(
        &self,
        message: EventsMessage,
        permit: impl Send + 'static,
    ) -> InFlightPublish {
        let mut in_flight = self
            .in_flight
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if let Some(outcome) = in_flight.get(&message.identity.message_id) {
            return InFlightPublish {
                outcome: outcome.clone(),
                joined: true,
            };
        }
        let (sender, receiver) = watch::channel(None);
        in_flight.insert(message.identity.message_id.clone(), receiver.clone());
        let publisher = self.clone();
        tokio::spawn(async move {
            let started = Instant::now();
            let outcome = publisher.until_deadline(&message).await;
            metrics::published(outcome_of(&outcome), started.elapsed());
            publisher
                .in_flight
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .remove(&message.identity.message_id);
            // The requests that waited may have gone.
            let _ = sender.send(Some(outcome));
            drop(permit);
        });
        InFlightPublish {
            outcome: receiver,
            joined: false,
        }
    }

    /// Publishes the same message until the stream has decided, the deadline has passed or the breaker opens.
    async fn until_deadline(&self, message: &EventsMessage) -> Outcome {
        let deadline = Instant::now() + self.settings.timeout;
        let incarnation = self.incarnation.last_read();
        let mut last = "no nats-server is connected".to_owned();
        for attempt in 0.. {
            let sent = attempt > 0;
            let permit = self
                .breaker
                .acquire()
                .map_err(|left| NotPublished::CircuitOpen { left, sent })?;
            let attempt_ends = (Instant::now() + ATTEMPT).min(deadline);
            let tried = tokio::select! {
                biased;
                tried = timeout_at(attempt_ends, self.once(message)) => tried,
                () = self.breaker.opened() => return Err(self.opened_meanwhile()),
            };
            let delay = match tried {
                Ok(Ok(ack)) => {
                    permit.done(breaker::CallOutcome::Ok);
                    return Ok(PublishedMessage {
                        incarnation,
                        identity: message.identity.clone(),
                        sequence: ack.sequence,
                        duplicate: ack.duplicate,
                        joined: false,
                    });
                }
                Ok(Err(error)) => {
                    last = error.to_string();
                    match code(&error) {
                        // The server answers, so it works: this message or the limit is at fault.
                        Some(STREAM_FULL) => {
                            permit.done(breaker::CallOutcome::Ok);
                            return Err(NotPublished::Full(last));
                        }
                        Some(TOO_LARGE) => {
                            permit.done(too_large_outcome(&error));
                            return Err(NotPublished::TooLarge(last));
                        }
                        Some(IN_PROCESS) => {
                            permit.done(breaker::CallOutcome::Ok);
                            IN_PROCESS_DELAY
                        }
                        _ => {
                            permit.failed(&last);
                            self.settings.retry.delay(attempt)
                        }
                    }
                }
                Err(_) => {
                    last = format!("no PubAck within {ATTEMPT:?}");
                    permit.failed(&last);
                    Duration::ZERO
                }
            };
            if Instant::now() + delay >= deadline {
                break;
            }
            metrics::publish_retried();
            tracing::debug!(
                id = message.identity.message_id,
                attempt,
                last,
                "publishing again with the same id"
            );
            tokio::select! {
                () = tokio::time::sleep(delay) => {} // sleep: the retry policy's delay
                () = self.breaker.opened() => return Err(self.opened_meanwhile()),
            }
        }
        Err(NotPublished::Unavailable(last))
    }

    /// The breaker opened after the message was sent.
    fn opened_meanwhile(&self) -> NotPublished {
        NotPublished::CircuitOpen {
            left: self.breaker.open_for(),
            sent: true,
        }
    }

    async fn once(&self, message: &EventsMessage) -> Result<PublishAck, PublishError> {
        let publish = PublishMessage::build()
            .payload(message.payload.clone())
            .headers(message.headers.clone())
            .message_id(&message.identity.message_id);
        self.js
            .send_publish(message.subject.clone(), publish)
            .await?
            .await
    }
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

/// What a message that is too large tells the breaker: nothing if the client itself refused it.
fn too_large_outcome(error: &PublishError) -> breaker::CallOutcome {
    match error.kind() {
        PublishErrorKind::MaxPayloadExceeded => breaker::CallOutcome::Ignored,
        _ => breaker::CallOutcome::Ok,
    }
}

/// The JetStream error code behind a failed publish.
fn code(error: &PublishError) -> Option<u64> {
    let source = std::error::Error::source(error)?;
    if let Some(error) = source.downcast_ref::<jetstream::Error>() {
        return Some(error.error_code().0);
    }
    (error.kind() == PublishErrorKind::MaxPayloadExceeded).then_some(TOO_LARGE)
}
