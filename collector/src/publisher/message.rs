//! What is published, and what becomes of it.

use std::time::Duration;

use async_nats::HeaderMap;
use async_nats::header::NATS_EXPECTED_STREAM;
use bytes::Bytes;
use types::batch::{self, Header};
use types::event_streams::EventStreams;
use types::id::MessageIdentity;
use types::stream::StreamIncarnation;

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
    /// The message of a batch, for the one of the event streams that holds the developer's batches.
    ///
    /// # Errors
    /// Returns the error of [`batch::encode`]; it has none for headers that this program makes.
    pub fn of(
        streams: EventStreams,
        header: &Header,
        events: &[impl AsRef<[u8]>],
    ) -> Result<Self, serde_json::Error> {
        let payload = batch::encode(header, events)?;
        let mut headers = HeaderMap::new();
        headers.insert(batch::BATCH_ID, header.batch_id.as_str());
        headers.insert(batch::CORRELATION_ID, header.correlation_id.as_str());
        headers.insert(batch::TRACEPARENT, header.traceparent.as_str());
        let stream = streams.of(&header.developer);
        if streams != EventStreams::ONE {
            // Another number of streams has the same subjects: its streams refuse the message by their names.
            headers.insert(NATS_EXPECTED_STREAM, stream.to_string());
        }
        Ok(Self {
            identity: MessageIdentity::new(
                &header.developer,
                header.epoch,
                &header.batch_id,
                events.iter(),
            ),
            subject: stream.subject(&header.developer),
            headers,
            payload,
        })
    }
}

/// The stream has the message on disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PublishedMessage {
    /// The stream's incarnation as it was read before the first attempt: see
    /// [`crate::incarnation_cache::IncarnationCache`].
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

/// What becomes of a message.
pub type Outcome = Result<PublishedMessage, NotPublished>;

/// What a PubAck says of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Acked {
    pub sequence: u64,
    pub duplicate: bool,
}
