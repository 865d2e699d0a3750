//! The ceiling on the stream's side: the same bytes, published one message at a time, as any JetStream client would.

use std::time::Duration;

use anyhow::Context as _;
use async_nats::jetstream::{self, message::PublishMessage};

use crate::input::body;
use crate::load::{Load, closed_loop};

/// Its name.
pub const STREAM: &str = "RAW";

/// Publishes batches, `in_flight` at a time, each awaited until its PubAck.
///
/// # Errors
/// The first refusal of a publish.
pub async fn publish(
    js: &jetstream::Context,
    name: &str,
    in_flight: usize,
    length: Duration,
) -> anyhow::Result<Load> {
    closed_loop(in_flight, length, |number| async move {
        let message = PublishMessage::build()
            .payload(body(name, number).into())
            .message_id(format!("{name}-{number}"));
        js.send_publish("raw.one", message).await?.await?;
        Ok(())
    })
    .await
}

/// A stream like EVENTS for the raw publishes.
///
/// # Errors
/// The reason, if it cannot be created.
pub async fn make_stream(js: &jetstream::Context) -> anyhow::Result<()> {
    let mut config = js.get_stream("EVENTS").await?.cached_info().config.clone();
    STREAM.clone_into(&mut config.name);
    config.subjects = vec!["raw.*".to_owned()];
    // Purged after each round; both streams must fit on a disk in memory.
    config.max_bytes = 2 << 30;
    js.create_stream(config)
        .await
        .context("the stream for raw publishes cannot be made")?;
    Ok(())
}

/// Empties a stream after a round.
///
/// # Errors
/// The server's refusal.
pub async fn purge(js: &jetstream::Context, stream: &str) -> anyhow::Result<()> {
    js.get_stream(stream)
        .await?
        .purge()
        .await
        .context("purge")?;
    Ok(())
}
