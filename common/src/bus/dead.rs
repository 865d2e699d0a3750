//! Dead letters: what gave up goes to the DEAD stream, whole, before it is terminated.

use std::time::Duration;

use async_nats::HeaderValue;
use async_nats::jetstream::{self, AckKind, message::PublishMessage};

use crate::json::shorten;

/// Longest reason kept in a header, in bytes: the context is bounded, the payload is not.
const MAX_REASON: usize = 1024;
const ACK_TIMEOUT: Duration = Duration::from_secs(5);

/// The subject of what `consumer` of `stream` gave up on.
#[must_use]
pub fn dead_subject(stream: &str, consumer: &str) -> String {
    format!("dead.{stream}.{consumer}")
}

/// Publishes `message` to DEAD, awaits the PubAck, and only then terminates it: in a work queue a
/// TERM deletes, so the other order could lose it.
///
/// # Errors
/// Where DEAD did not take it; the message is then not terminated and comes again.
pub async fn dead_letter(
    js: &jetstream::Context,
    message: &jetstream::Message,
    reason: &str,
) -> Result<(), async_nats::Error> {
    let info = message.info()?;
    let mut headers = message.headers.clone().unwrap_or_default();
    // The original id stays readable under another name: DEAD has its own deduplication.
    if let Some(id) = headers.get(async_nats::header::NATS_MESSAGE_ID).map(|id| id.as_str().to_owned()) {
        headers.insert("Devtrail-Msg-Id", id.as_str());
    }
    let line: String =
        shorten(reason, MAX_REASON).chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    headers.insert("Devtrail-Reason", HeaderValue::from(line));
    headers.insert("Devtrail-Stream-Sequence", info.stream_sequence.to_string().as_str());
    headers.insert("Devtrail-Subject", message.subject.as_str());
    let id = format!(
        "{}:{}:{}:{}",
        info.stream,
        info.consumer,
        info.stream_sequence,
        info.published.unix_timestamp_nanos()
    );
    headers.insert(async_nats::header::NATS_MESSAGE_ID, id.as_str());
    let publish = PublishMessage::build().payload(message.payload.clone()).headers(headers);
    let ack = js.send_publish(dead_subject(info.stream, info.consumer), publish).await?;
    tokio::time::timeout(ACK_TIMEOUT, ack).await??;
    message.ack_with(AckKind::Term).await
}
