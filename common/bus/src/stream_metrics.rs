//! Sizes of the streams and lag of their consumers, as the server tells them.
//!
//! Every process that is asked reads them itself, no lease decides who: the lag must be told above all when
//! the workers are gone, and the same number from several processes does no harm (`max by (stream)`).

use std::time::Duration;

use async_nats::jetstream;
use futures_util::future::join_all;

use crate::api::ApiError;
use crate::facts;
use crate::topology::{self, Name};
use runtime::clock;
use runtime::health::HealthRegistry;
use runtime::metrics::{
    self, CONSUMER_AGE, CONSUMER_PENDING, CONSUMER_UNSETTLED, STREAM_BYTES, STREAM_LIMIT,
    STREAM_MESSAGES, set,
};

/// Begins the counters of every declared consumer at 0, so that their first step can be seen.
pub fn begin_consumers() {
    for name in topology::declared().keys() {
        if let Some(consumer) = &name.consumer {
            metrics::begin_consumer(&name.stream, consumer);
        }
    }
}

/// Read at most this often, however many ask.
const EVERY: Duration = Duration::from_secs(5);
/// Reads them by one connection.
#[derive(Clone)]
pub struct Streams(pub jetstream::Context);

impl Streams {
    /// Has them read whenever the process's metrics are asked for.
    pub fn follow(self, health: &HealthRegistry) {
        let read = move || {
            let streams = self.clone();
            async move { streams.read().await }
        };
        health.source("streams", EVERY, read, || {
            topology::declared().keys().for_each(unknown)
        });
    }

    /// Reads all that is declared into gauges, at once. What cannot be read is `NaN`: a number from before
    /// would lie.
    async fn read(&self) {
        join_all(topology::declared().keys().map(|name| self.one(name))).await;
    }

    async fn one(&self, name: &Name) {
        let read = match &name.consumer {
            None => self.stream(name).await,
            Some(consumer) => self.consumer(name, consumer).await,
        };
        if !matches!(read, Ok(true)) {
            unknown(name);
        }
    }

    /// Whether it is there.
    async fn stream(&self, name: &Name) -> Result<bool, ApiError> {
        let Some(facts) = facts::stream(&self.0, name).await? else {
            return Ok(false);
        };
        let labels = [("stream", name.stream.as_str())];
        set(&STREAM_MESSAGES, &labels, facts.messages as f64);
        set(&STREAM_BYTES, &labels, facts.bytes as f64);
        set(
            &STREAM_LIMIT,
            &labels,
            facts.max_bytes.map_or(-1.0, |bytes| bytes as f64),
        );
        Ok(true)
    }

    /// Whether it is there.
    async fn consumer(&self, name: &Name, consumer: &str) -> Result<bool, ApiError> {
        let Some(facts) = facts::consumer(&self.0, name).await? else {
            return Ok(false);
        };
        let labels = [("stream", name.stream.as_str()), ("consumer", consumer)];
        set(&CONSUMER_PENDING, &labels, facts.pending as f64);
        set(&CONSUMER_UNSETTLED, &labels, facts.unsettled as f64);
        set(
            &CONSUMER_AGE,
            &labels,
            facts.age(clock::now()).as_secs_f64(),
        );
        Ok(true)
    }
}

fn unknown(name: &Name) {
    let stream = ("stream", name.stream.as_str());
    match &name.consumer {
        None => [&STREAM_MESSAGES, &STREAM_BYTES, &STREAM_LIMIT]
            .into_iter()
            .for_each(|metric| set(metric, &[stream], f64::NAN)),
        Some(consumer) => [&CONSUMER_PENDING, &CONSUMER_UNSETTLED, &CONSUMER_AGE]
            .into_iter()
            .for_each(|metric| set(metric, &[stream, ("consumer", consumer)], f64::NAN)),
    }
}
