//! What the loop hands to a role, and what the role says of it.

use async_nats::{HeaderMap, jetstream};
use bytes::Bytes;

use crate::stored::StoredMessage;
use types::dead_letter::MessageContext;
use types::stream::StreamIncarnation;
use types::time::Micros;

/// One delivered message.
#[derive(Debug, Clone)]
pub struct Delivery {
    /// Its stream sequence.
    pub seq: u64,
    /// How often it was delivered, this time included.
    pub delivered: u64,
    /// When the stream took it.
    pub published_at: Micros,
    /// Its subject.
    pub subject: String,
    /// Its NATS headers.
    pub headers: HeaderMap,
    /// Its payload.
    pub payload: Bytes,
}

impl Delivery {
    /// Whose it is by its subject, whose last token names the developer.
    #[must_use]
    pub fn developer(&self) -> Option<&str> {
        self.subject
            .rsplit_once('.')
            .map(|(_, developer)| developer)
    }
}

/// A message that was read where it lies: no delivery of it is counted.
impl From<StoredMessage> for Delivery {
    fn from(message: StoredMessage) -> Self {
        let StoredMessage {
            seq,
            at,
            subject,
            headers,
            unreadable: _,
            payload,
        } = message;
        Self {
            seq,
            delivered: 0,
            published_at: at,
            subject,
            headers,
            payload,
        }
    }
}

/// How handling a message ended. What becomes of it is the loop's to decide, not the role's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// Done with.
    Ack,
    /// Not done.
    Failed(Failure),
}

/// Why a message is not done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// What is at fault.
    pub error_class: ErrorClass,
    /// The error chain.
    pub reason: String,
}

/// What is at fault where a message is not done (`docs/protocol.md`, Persist).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ErrorClass {
    /// A dependency failed, for every message alike: the store is away or busy. Retried indefinitely; no
    /// attempt is used, so an outage sends nothing to DEAD.
    Transient,
    /// NATS, where the role itself reads a stream: it is away or slow. The message comes again with pauses, uses
    /// no attempt, and holds up nobody; of the store this says nothing.
    Stream,
    /// What only an administrator can mend, and this message alone: it comes again until then, uses no
    /// attempt, and holds up nobody.
    Administrator,
    /// The message itself: it fails at each attempt. Dead-lettered as soon as it stands alone.
    Permanent,
    /// Nobody knows. Uses an attempt where the message stands alone.
    Unknown,
}

impl Outcome {
    /// Not done, and why.
    pub fn failed(error_class: ErrorClass, reason: impl Into<String>) -> Self {
        Self::Failed(Failure {
            error_class,
            reason: reason.into(),
        })
    }
}

/// What the loop feeds.
pub trait Role: Send + Sync + 'static {
    /// Handles messages of one life of the stream, in the order of their sequences; gives one
    /// outcome a message, in the same order. It may panic: the messages are isolated then.
    fn handle(
        &self,
        incarnation: &StreamIncarnation,
        group: &[Delivery],
    ) -> impl Future<Output = Vec<Outcome>> + Send;

    /// What is known of a message that is to be given up. Garbage is possible; then little is.
    ///
    /// # Errors
    /// Where that cannot be found out now; the message is given up later.
    fn about(
        &self,
        incarnation: &StreamIncarnation,
        delivery: &Delivery,
    ) -> impl Future<Output = Result<MessageContext, Failure>> + Send;
}

/// What a role sees of a message.
///
/// # Errors
/// Where it is no message of a stream.
pub(super) fn delivery(message: &jetstream::Message) -> Result<Delivery, async_nats::Error> {
    let delivered = message.info()?.delivered.max(0) as u64;
    Ok(Delivery {
        delivered,
        ..StoredMessage::try_from(message)?.into()
    })
}
