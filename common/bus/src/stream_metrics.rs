//! Sizes of the streams and lag of their consumers, as the server reports them.
//!
//! Every process whose metrics are read reads them itself, and no lease decides who: the lag matters most when
//! the workers are gone, and the same number from several processes does no harm (`max by (stream)`).

use std::sync::Arc;
use std::time::Duration;

use async_nats::jetstream;
use futures_util::future::join_all;

use crate::api::ApiError;
use crate::consumer_status;
use crate::names::ResourceName;
use crate::topology;
use runtime::clock;
use runtime::health::HealthRegistry;
use runtime::metrics::{
    self, CONSUMER_ACK_PENDING, CONSUMER_AGE, CONSUMER_PENDING, STREAM_BYTES, STREAM_LIMIT,
    STREAM_MESSAGES, set,
};
use types::event_streams::EventStreams;

/// Starts the counters of every declared consumer at 0, so that their first step can be seen.
pub fn begin_consumers(streams: EventStreams) {
    for name in topology::declared(streams).keys() {
        if let Some(consumer) = &name.consumer {
            metrics::begin_consumer(&name.stream, consumer);
        }
    }
}

/// Read at most this often, however often the metrics are read.
const MIN_INTERVAL: Duration = Duration::from_secs(5);

/// Reads the metrics of all streams over one connection.
#[derive(Clone)]
pub struct StreamMetrics {
    js: jetstream::Context,
    /// All that is declared.
    names: Arc<[ResourceName]>,
}

impl StreamMetrics {
    /// Of what is declared for so many event streams.
    #[must_use]
    pub fn new(js: jetstream::Context, streams: EventStreams) -> Self {
        Self {
            js,
            names: topology::declared(streams).into_keys().collect(),
        }
    }

    /// Registers them: they are read whenever the process's metrics are.
    pub fn follow(self, health: &HealthRegistry) {
        let names = self.names.clone();
        let read = move || {
            let streams = self.clone();
            async move { streams.read().await }
        };
        health.source("streams", MIN_INTERVAL, read, move || {
            names.iter().for_each(unknown);
        });
    }

    /// Reads all that is declared into gauges, at once. What cannot be read is `NaN`: an old
    /// number would mislead.
    async fn read(&self) {
        join_all(self.names.iter().map(|name| self.one(name))).await;
    }

    async fn one(&self, name: &ResourceName) {
        let read = match &name.consumer {
            None => self.stream(name).await,
            Some(consumer) => self.consumer(name, consumer).await,
        };
        if !matches!(read, Ok(true)) {
            unknown(name);
        }
    }

    /// Reads a stream; `false` if it is missing.
    async fn stream(&self, name: &ResourceName) -> Result<bool, ApiError> {
        let Some(status) = consumer_status::stream(&self.js, name).await? else {
            return Ok(false);
        };
        let labels = [("stream", name.stream.as_str())];
        set(&STREAM_MESSAGES, &labels, status.messages as f64);
        set(&STREAM_BYTES, &labels, status.bytes as f64);
        set(
            &STREAM_LIMIT,
            &labels,
            status.max_bytes.map_or(-1.0, |bytes| bytes as f64),
        );
        Ok(true)
    }

    /// Reads a consumer; `false` if it is missing.
    async fn consumer(&self, name: &ResourceName, consumer: &str) -> Result<bool, ApiError> {
        let Some(status) = consumer_status::consumer(&self.js, name).await? else {
            return Ok(false);
        };
        let labels = [("stream", name.stream.as_str()), ("consumer", consumer)];
        set(&CONSUMER_PENDING, &labels, status.pending as f64);
        set(&CONSUMER_ACK_PENDING, &labels, status.ack_pending as f64);
        set(
            &CONSUMER_AGE,
            &labels,
            status.age(clock::now()).as_secs_f64(),
        );
        Ok(true)
    }
}

fn unknown(name: &ResourceName) {
    let stream = ("stream", name.stream.as_str());
    match &name.consumer {
        None => [&STREAM_MESSAGES, &STREAM_BYTES, &STREAM_LIMIT]
            .into_iter()
            .for_each(|metric| set(metric, &[stream], f64::NAN)),
        Some(consumer) => [&CONSUMER_PENDING, &CONSUMER_ACK_PENDING, &CONSUMER_AGE]
            .into_iter()
            .for_each(|metric| set(metric, &[stream, ("consumer", consumer)], f64::NAN)),
    }
}
