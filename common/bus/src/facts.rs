//! What the server says of a stream and of a consumer: for metrics and for the watcher.

use std::time::Duration;

use async_nats::jetstream;
use serde_json::Value;

use crate::api::{self, ApiError};
use crate::stored;
use crate::topology::Name;
use types::time::Micros;

/// A stream as it is now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StreamFacts {
    /// Its messages.
    pub messages: u64,
    /// Their bytes.
    pub bytes: u64,
    /// The most bytes that it may have; `None` where there is no bound.
    pub max_bytes: Option<u64>,
    /// Whether it refuses new messages when it is full; else it lets old ones go.
    pub refuses: bool,
}

/// A consumer as it is now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConsumerFacts {
    /// Messages that were not delivered yet.
    pub pending: u64,
    /// Messages that were delivered, but not acknowledged yet.
    pub unsettled: u64,
    /// When the oldest message that was not acknowledged came into the stream.
    pub oldest: Option<Micros>,
}

impl ConsumerFacts {
    /// How long the oldest message that was not acknowledged has waited; zero where there is none.
    #[must_use]
    pub fn age(&self, now: Micros) -> Duration {
        let waited = self.oldest.map_or(0, |oldest| now.saturating_sub(oldest));
        Duration::from_micros(u64::try_from(waited).unwrap_or(0))
    }
}

/// What the server says of a stream; `None` where there is no such stream.
///
/// # Errors
/// Where the server does not answer or refuses.
pub async fn stream(js: &jetstream::Context, name: &Name) -> Result<Option<StreamFacts>, ApiError> {
    let facts = |info: Value| StreamFacts {
        messages: number(&info, "/state/messages"),
        bytes: number(&info, "/state/bytes"),
        max_bytes: info.pointer("/config/max_bytes").and_then(Value::as_u64),
        refuses: info.pointer("/config/discard").and_then(Value::as_str) == Some("new"),
    };
    Ok(api::info(js, name).await?.map(facts))
}

/// What the server says of a consumer; `None` where there is no such consumer.
///
/// # Errors
/// Where the server does not answer or refuses.
pub async fn consumer(
    js: &jetstream::Context,
    name: &Name,
) -> Result<Option<ConsumerFacts>, ApiError> {
    let Some(info) = api::info(js, name).await? else {
        return Ok(None);
    };
    let (pending, floor) = (number(&info, "/num_pending"), Floor::of(&info));
    let oldest = match pending + floor.unsettled {
        0 => None,
        // Below the ack floor all are acknowledged.
        _ => stored::first_from(js, &name.stream, floor.settled + 1, &floor.subject).await?,
    };
    Ok(Some(ConsumerFacts {
        pending,
        unsettled: floor.unsettled,
        oldest: oldest.map(|message| message.at),
    }))
}

/// Where a consumer stands in its stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Floor {
    /// Up to this sequence all of its messages are settled: the ack floor.
    pub settled: u64,
    /// Up to this sequence all of its messages were delivered.
    pub delivered: u64,
    /// The subjects of its messages.
    pub subject: String,
    /// Messages that were delivered, but not acknowledged yet.
    pub unsettled: u64,
    /// Of these, messages that were delivered more than once.
    pub redelivered: u64,
}

impl Floor {
    fn of(info: &Value) -> Self {
        let subject = info
            .pointer("/config/filter_subject")
            .and_then(Value::as_str)
            .unwrap_or(">");
        Self {
            settled: number(info, "/ack_floor/stream_seq"),
            delivered: number(info, "/delivered/stream_seq"),
            subject: subject.to_owned(),
            unsettled: number(info, "/num_ack_pending"),
            redelivered: number(info, "/num_redelivered"),
        }
    }
}

/// Where a consumer stands; `None` where nothing that it delivered is unsettled.
///
/// # Errors
/// Where the server does not answer or refuses.
pub async fn floor(js: &jetstream::Context, name: &Name) -> Result<Option<Floor>, ApiError> {
    let info = api::info(js, name).await?;
    Ok(info
        .as_ref()
        .map(Floor::of)
        .filter(|floor| floor.unsettled > 0))
}

fn number(info: &Value, pointer: &str) -> u64 {
    info.pointer(pointer)
        .and_then(Value::as_u64)
        .unwrap_or_default()
}
