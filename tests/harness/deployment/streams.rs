//! A site's streams, as an administrator or a slow worker handles them.

use futures_util::StreamExt;

use super::Deployment;

impl Deployment {
    /// A JetStream context on the site's server.
    ///
    /// # Panics
    /// Where it does not answer.
    pub async fn js(&self) -> async_nats::jetstream::Context {
        let addresses = bus::addresses(&self.nats).expect("addresses");
        async_nats::jetstream::new(
            async_nats::connect(addresses)
                .await
                .expect("nats-server answers"),
        )
    }

    /// Has every consumer deliver again after 2 s instead of 30: `ack_wait` is the administrator's.
    ///
    /// # Panics
    /// Where the server refuses.
    pub async fn shorten_ack_wait(&self) {
        self.set_ack_wait("", std::time::Duration::from_secs(2))
            .await;
    }

    /// Sets the `ack_wait` of all consumers of streams whose names begin so.
    ///
    /// # Panics
    /// Where a consumer cannot be changed.
    pub async fn set_ack_wait(&self, streams: &str, ack_wait: std::time::Duration) {
        let js = self.js().await;
        for name in bus::topology::declared().keys().cloned() {
            let Some(consumer) = name.consumer.filter(|_| name.stream.starts_with(streams)) else {
                continue;
            };
            let stream = js.get_stream(&name.stream).await.expect("the stream");
            let info: async_nats::jetstream::consumer::PullConsumer =
                stream.get_consumer(&consumer).await.expect("the consumer");
            let mut config =
                serde_json::to_value(&info.cached_info().config).expect("a configuration");
            config["ack_wait"] = u64::try_from(ack_wait.as_nanos()).expect("a number").into();
            let config: async_nats::jetstream::consumer::pull::Config =
                serde_json::from_value(config).expect("a configuration");
            stream
                .update_consumer(config)
                .await
                .expect("the consumer is changed");
        }
    }

    /// Takes the message with this sequence in hand, as a worker would that is slow; others go back.
    ///
    /// # Panics
    /// Where it is not delivered first.
    pub async fn hold_back(
        &self,
        stream: &str,
        consumer: &str,
        seq: u64,
    ) -> async_nats::jetstream::Message {
        let stream = self
            .js()
            .await
            .get_stream(stream)
            .await
            .expect("the stream");
        let consumer: async_nats::jetstream::consumer::PullConsumer =
            stream.get_consumer(consumer).await.expect("the consumer");
        let mut messages = consumer
            .fetch()
            .max_messages(1)
            .messages()
            .await
            .expect("a pull");
        let message = messages
            .next()
            .await
            .expect("a message")
            .expect("a message");
        assert_eq!(message.info().expect("its place").stream_sequence, seq);
        message
    }
}
