//! What the loop passes to a message handler, and what the handler returns.

use async_nats::{HeaderMap, jetstream};
use bytes::Bytes;

use crate::stored_messages::StoredMessage;
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
    pub subject: String,
    pub headers: HeaderMap,
    pub payload: Bytes,
}

impl Delivery {
    /// The developer that its subject names in the last token.
    #[must_use]
    pub fn developer(&self) -> Option<&str> {
        self.subject
            .rsplit_once('.')
            .map(|(_, developer)| developer)
    }
}

/// A message that was read from its stream without being delivered.
impl From<StoredMessage> for Delivery {
    fn from(message: StoredMessage) -> Self {
        Self {
            seq: message.seq,
            delivered: 0,
            published_at: message.at,
            subject: message.subject,
            headers: message.headers,
            payload: message.payload,
        }
    }
}

impl TryFrom<jetstream::Message> for Delivery {
    type Error = async_nats::Error;

    fn try_from(message: jetstream::Message) -> Result<Self, Self::Error> {
        let delivered = message.info()?.delivered.max(0) as u64;
        Ok(Self {
            delivered,
            ..StoredMessage::try_from(message)?.into()
        })
    }
}

/// How handling a message ended. What is done about it is the loop's decision, not the handler's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DeliveryOutcome {
    /// The message is done.
    Ack,
    /// The message is not done.
    Failed(Failure),
}

/// Why a message is not done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    pub error_class: ErrorClass,
    /// The error chain.
    pub reason: String,
}

/// The cause of a failure (`docs/protocol.md`, Persist).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ErrorClass {
    /// A dependency failed, for every message alike: the store is away or busy. Retried indefinitely; no
    /// attempt is used, so an outage sends nothing to DEAD.
    Transient,
    /// NATS failed a handler that reads a stream itself: it is away or slow. The message is returned with pauses,
    /// uses no attempt, and holds up no other. It says nothing about the store.
    Stream,
    /// What it needs is still to come, from another message. It is returned with pauses, uses no attempt, and holds up
    /// no other. It says nothing about the store.
    Early,
    /// Only an administrator can fix it, and it fails this message alone. The message is returned until then, uses
    /// no attempt, and holds up no other.
    Administrator,
    /// The message itself: it fails at each attempt. Dead-lettered as soon as it is handled alone.
    Permanent,
    /// The cause is not known. Uses an attempt if the message was handled alone.
    Unknown,
}

impl DeliveryOutcome {
    /// A failure of this class.
    pub fn failed(error_class: ErrorClass, reason: impl Into<String>) -> Self {
        Self::Failed(Failure {
            error_class,
            reason: reason.into(),
        })
    }
}

/// Handles the messages that the loop pulls.
pub trait MessageHandler: Send + Sync + 'static {
    /// Handles messages of one incarnation of the stream, in the order of their sequences. Returns one outcome per
    /// message, in the same order. It may panic: the messages are isolated then.
    fn handle(
        &self,
        incarnation: &StreamIncarnation,
        group: &[Delivery],
    ) -> impl Future<Output = Vec<DeliveryOutcome>> + Send;

    /// How much work a message is, in a unit of the handler's own: developers take turns by it. It is asked of each
    /// message that arrives, so it must be quick.
    fn work(&self, delivery: &Delivery) -> u64 {
        delivery.payload.len() as u64
    }

    /// What is known of a message that is to be dead-lettered. Of garbage little is.
    ///
    /// # Errors
    /// Returns the failure if that cannot be found out now; the message is dead-lettered later.
    fn context(
        &self,
        incarnation: &StreamIncarnation,
        delivery: &Delivery,
    ) -> impl Future<Output = Result<MessageContext, Failure>> + Send;
}
