//! Streams and consumers, looked at and changed past the product, as an administrator or a fault does.

use std::time::Duration;

use async_nats::jetstream::consumer::{PullConsumer, pull};
use async_nats::jetstream::{self, Message, stream};
use futures_util::StreamExt as _;

/// The streams of a nats-server.
pub struct Streams(jetstream::Context);

impl Streams {
    /// Those that the context's server has.
    #[must_use]
    pub fn of(js: jetstream::Context) -> Self {
        Self(js)
    }

    async fn stream(&self, name: &str) -> stream::Stream {
        self.0.get_stream(name).await.expect("the stream")
    }

    async fn consumer(&self, stream: &str, consumer: &str) -> PullConsumer {
        let stream = self.stream(stream).await;
        stream.get_consumer(consumer).await.expect("the consumer")
    }

    /// How many messages a stream holds.
    ///
    /// # Panics
    /// If there is no such stream.
    pub async fn messages(&self, stream: &str) -> u64 {
        self.stream(stream).await.cached_info().state.messages
    }

    /// Changes a stream's configuration; gives it as it was.
    ///
    /// # Panics
    /// If the server refuses.
    pub async fn edit(
        &self,
        stream: &str,
        edit: impl FnOnce(&mut stream::Config),
    ) -> stream::Config {
        let before = self.stream(stream).await.cached_info().config.clone();
        let mut config = before.clone();
        edit(&mut config);
        let changed = self.0.update_stream(config).await;
        changed.expect("the stream is changed");
        before
    }

    /// Has a stream forget message ids after some 100 ms, its least, those it has by now as well.
    ///
    /// # Panics
    /// If the server refuses.
    pub async fn forget_message_ids(&self, stream: &str) {
        // On a change of the window, nats-server looks for ids that are past it before it has taken over the new
        // configuration (server/stream.go of 2.12 to 2.15: `update` resets `ddtmr`, then sets `cfg`). If that look
        // comes first, it goes by the old window, and the next look is two minutes away. The second change repairs
        // that: its look goes by the first one's window at the latest.
        for window in [101, 100] {
            let window = Duration::from_millis(window);
            self.edit(stream, |config| config.duplicate_window = window)
                .await;
        }
    }

    /// Has every consumer deliver again after 2 s instead of 30: `ack_wait` is the administrator's.
    ///
    /// # Panics
    /// If the server refuses.
    pub async fn shorten_ack_wait(&self) {
        self.set_ack_wait("", Duration::from_secs(2)).await;
    }

    /// Sets the `ack_wait` of all consumers of streams whose names begin so.
    ///
    /// # Panics
    /// If a consumer cannot be changed.
    pub async fn set_ack_wait(&self, streams: &str, ack_wait: Duration) {
        let events = bus::event_streams(&self.0).await;
        let declared = bus::topology::declared(events.expect("the event streams"));
        for name in declared.into_keys() {
            let Some(consumer) = name.consumer.filter(|_| name.stream.starts_with(streams)) else {
                continue;
            };
            let consumer = self.consumer(&name.stream, &consumer).await;
            let mut config =
                serde_json::to_value(&consumer.cached_info().config).expect("a configuration");
            config["ack_wait"] = u64::try_from(ack_wait.as_nanos()).expect("a number").into();
            let config: pull::Config = serde_json::from_value(config).expect("a configuration");
            let stream = self.stream(&name.stream).await;
            let changed = stream.update_consumer(config).await;
            changed.expect("the consumer is changed");
        }
    }

    /// Takes the message with this sequence in flight, as a worker would that is slow; others go back.
    ///
    /// # Panics
    /// If it is not delivered first.
    pub async fn hold_back(&self, stream: &str, consumer: &str, seq: u64) -> Message {
        let consumer = self.consumer(stream, consumer).await;
        let fetched = consumer.fetch().max_messages(1).messages().await;
        let message = fetched.expect("a pull").next().await.expect("a message");
        let message = message.expect("a message");
        assert_eq!(message.info().expect("its place").stream_sequence, seq);
        message
    }
}
