//! The status of streams and consumers as the server reports it: for metrics and for the watcher.

use std::time::Duration;

use async_nats::jetstream;
use serde_json::Value;

use crate::api::{self, ApiError};
use crate::names::ResourceName;
use crate::stored_messages;
use types::time::Micros;

/// A stream as it is now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StreamState {
    pub messages: u64,
    pub bytes: u64,
    /// The most bytes that it may have; `None` if there is no bound.
    pub max_bytes: Option<u64>,
    /// Whether it rejects new messages when it is full; else it drops old ones.
    pub discards_new: bool,
}

/// A consumer as it is now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConsumerState {
    /// Messages that were not delivered yet.
    pub pending: u64,
    /// Messages that were delivered, but not acked yet.
    pub ack_pending: u64,
    /// When the stream took the oldest message that is not acked.
    pub oldest: Option<Micros>,
}

impl ConsumerState {
    /// How long the oldest message that is not acked has waited; zero if there is none.
    #[must_use]
    pub fn age(&self, now: Micros) -> Duration {
        let waited = self.oldest.map_or(0, |oldest| now.saturating_sub(oldest));
        Duration::from_micros(u64::try_from(waited).unwrap_or(0))
    }
}

/// The status of a stream; `None` if there is no such stream.
///
/// # Errors
/// Returns [`ApiError`] if the server does not answer or refuses.
pub async fn stream(
    js: &jetstream::Context,
    name: &ResourceName,
) -> Result<Option<StreamState>, ApiError> {
    let status = |info: Value| StreamState {
        messages: number(&info, "/state/messages"),
        bytes: number(&info, "/state/bytes"),
        max_bytes: info.pointer("/config/max_bytes").and_then(Value::as_u64),
        discards_new: info.pointer("/config/discard").and_then(Value::as_str) == Some("new"),
    };
    Ok(api::info(js, name).await?.map(status))
}

/// The status of a consumer; `None` if there is no such consumer.
///
/// # Errors
/// Returns [`ApiError`] if the server does not answer or refuses.
pub async fn consumer(
    js: &jetstream::Context,
    name: &ResourceName,
) -> Result<Option<ConsumerState>, ApiError> {
    let Some(info) = api::info(js, name).await? else {
        return Ok(None);
    };
    let pending = number(&info, "/num_pending");
    let progress = ConsumerProgress::of(&info);
    let oldest = match pending + progress.ack_pending {
        0 => None,
        // Up to the ack floor all are acked.
        _ => {
            stored_messages::first_from(js, &name.stream, progress.ack_floor + 1, &progress.subject)
                .await?
        }
    };
    Ok(Some(ConsumerState {
        pending,
        ack_pending: progress.ack_pending,
        oldest: oldest.map(|message| message.at),
    }))
}

/// How far a consumer is in its stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConsumerProgress {
    /// Up to this stream sequence all of its messages are acked or terminated.
    pub ack_floor: u64,
    /// Up to this sequence all of its messages were delivered.
    pub delivered: u64,
    /// The subjects of its messages.
    pub subject: String,
    /// Messages that were delivered, but not acked yet.
    pub ack_pending: u64,
    /// Of these, messages that were delivered more than once.
    pub redelivered: u64,
}

impl ConsumerProgress {
    fn of(info: &Value) -> Self {
        let subject = info
            .pointer("/config/filter_subject")
            .and_then(Value::as_str)
            .unwrap_or(">");
        Self {
            ack_floor: number(info, "/ack_floor/stream_seq"),
            delivered: number(info, "/delivered/stream_seq"),
            subject: subject.to_owned(),
            ack_pending: number(info, "/num_ack_pending"),
            redelivered: number(info, "/num_redelivered"),
        }
    }
}

/// The progress of a consumer; `None` if nothing that it delivered is ack-pending.
///
/// # Errors
/// Returns [`ApiError`] if the server does not answer or refuses.
pub async fn ack_pending(
    js: &jetstream::Context,
    name: &ResourceName,
) -> Result<Option<ConsumerProgress>, ApiError> {
    let info = api::info(js, name).await?;
    Ok(info
        .as_ref()
        .map(ConsumerProgress::of)
        .filter(|progress| progress.ack_pending > 0))
}

fn number(info: &Value, pointer: &str) -> u64 {
    info.pointer(pointer)
        .and_then(Value::as_u64)
        .unwrap_or_default()
}
