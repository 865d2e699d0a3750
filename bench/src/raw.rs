//! The ceiling on the stream's side: the same messages, published one at a time, as any JetStream client would.

use std::time::Duration;

use anyhow::Context as _;
use async_nats::jetstream;
use collector::publisher::EventsMessage;
use types::schema::Schemas;

use crate::encode::{Body, encode, publish};
use crate::load::{Load, closed_loop};

/// Its name.
pub const STREAM: &str = "RAW";
/// Messages that are made beforehand: of 50 events each, 10 MB.
const MADE: usize = 512;

/// Messages that the collector would publish, made before anything is timed. They go round and round, each time with
/// another message id of the same length.
pub struct RawMessages(Vec<EventsMessage>);

impl RawMessages {
    /// Of the first batches of a load, at least one.
    ///
    /// # Errors
    /// The reason, if a body is refused, or there is none.
    pub fn of(bodies: impl Iterator<Item = Body>) -> anyhow::Result<Self> {
        let schemas = Schemas::builtin();
        let message = |body: Body| {
            let mut message = encode(&schemas, &body)?;
            message.subject = format!("raw.{}", body.developer);
            Ok(message)
        };
        let messages: anyhow::Result<Vec<EventsMessage>> = bodies.take(MADE).map(message).collect();
        let messages = messages?;
        anyhow::ensure!(!messages.is_empty(), "a load without a batch");
        Ok(Self(messages))
    }

    /// The message to publish under this number.
    fn get(&self, number: usize) -> EventsMessage {
        const HASH: usize = 16;
        let mut message = self.0[number % self.0.len()].clone();
        let id = &mut message.identity.message_id;
        // Ends in a hash of that length.
        id.truncate(id.len() - HASH);
        *id += &format!("{number:0HASH$x}");
        message
    }
}

/// Publishes messages, `in_flight` at a time, each awaited until its PubAck.
///
/// # Errors
/// The first refusal of a publish.
pub async fn publish_raw(
    js: &jetstream::Context,
    messages: &RawMessages,
    in_flight: usize,
    length: Duration,
) -> anyhow::Result<Load> {
    let send = |number| publish(js, messages.get(number));
    closed_loop(in_flight, length, send).await
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

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;
    use crate::workday::Workdays;

    #[test]
    fn the_ceiling_sends_what_the_collector_would() {
        let load = Workdays::one_day("raw", 3, 600);
        let messages = RawMessages::of(load.batches()).expect("messages");
        let schemas = Schemas::builtin();
        let mut ids = HashSet::new();
        for number in 0..2 * load.len() {
            let raw = messages.get(number);
            let body = load.batch(number % load.len());
            let ours = encode(&schemas, &body).expect("a message");
            assert_eq!(raw.payload.len(), ours.payload.len());
            let id = &raw.identity.message_id;
            assert_eq!(id.len(), ours.identity.message_id.len());
            assert_eq!(raw.headers.len(), ours.headers.len());
            assert!(ids.insert(id.clone()), "{id} twice");
        }
        assert!(RawMessages::of(std::iter::empty()).is_err());
    }
}
