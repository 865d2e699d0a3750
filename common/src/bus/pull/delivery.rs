//! What the loop hands to a role, and what the role says of it.

use async_nats::{HeaderMap, jetstream};
use bytes::Bytes;
use std::time::Duration;

use crate::bus::StreamLife;
use crate::clock::Micros;

/// One delivered message.
#[derive(Debug, Clone)]
pub struct Delivery {
    /// Its stream sequence.
    pub seq: u64,
    /// How often it was delivered, this time included.
    pub delivered: u64,
    /// When the stream took it.
    pub published_at: Micros,
    /// Its NATS headers.
    pub headers: HeaderMap,
    /// Its payload.
    pub payload: Bytes,
}

/// What becomes of a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// Done with.
    Ack,
    /// Deliver again, after this long.
    Retry {
        /// The negative ack's own delay.
        after: Duration,
    },
    /// Give up: to DEAD, then terminate.
    DeadLetter {
        /// The error chain.
        reason: String,
    },
}

/// What the loop feeds.
pub trait Role: Send + Sync + 'static {
    /// Handles messages of one life of the stream, in the order of their sequences; gives one
    /// outcome a message, in the same order.
    fn handle(&self, life: &StreamLife, group: &[Delivery]) -> impl Future<Output = Vec<Outcome>> + Send;
}

/// What a role sees of a message.
///
/// # Errors
/// Where it is no message of a stream.
pub(super) fn delivery(message: &jetstream::Message) -> Result<Delivery, async_nats::Error> {
    let info = message.info()?;
    Ok(Delivery {
        seq: info.stream_sequence,
        delivered: info.delivered.max(0) as u64,
        published_at: (info.published.unix_timestamp_nanos() / 1000) as Micros,
        headers: message.headers.clone().unwrap_or_default(),
        payload: message.payload.clone(),
    })
}
