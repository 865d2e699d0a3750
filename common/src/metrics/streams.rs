//! Sizes of the streams and lag of their consumers, as the server tells them.
//!
//! Every process that is asked reads them itself, no lease decides who: the lag must be told above all when
//! the workers are gone, and the same number from several processes does no harm (`max by (stream)`).

use std::time::Duration;

use async_nats::jetstream;
use serde_json::Value;

use super::record::set;
use super::table::{
    CONSUMER_AGE, CONSUMER_PENDING, CONSUMER_UNSETTLED, STREAM_BYTES, STREAM_LIMIT, STREAM_MESSAGES,
};
use crate::bus::topology::{self, ApiError, Name};
use crate::clock::{Clock as _, SECOND, SystemClock, parse_rfc3339};
use crate::process::Vitals;

/// Read at most this often, however many ask.
const EVERY: Duration = Duration::from_secs(5);
/// A server that takes longer for all of it is taken for away.
const TIMEOUT: Duration = Duration::from_secs(2);

/// Reads them by one connection.
#[derive(Clone)]
pub struct Streams(pub jetstream::Context);

impl Streams {
    /// Has them read whenever the process's metrics are asked for.
    pub fn follow(self, vitals: &Vitals) {
        vitals.source("streams", EVERY, move || {
            let streams = self.clone();
            async move { streams.read().await }
        });
    }

    /// Reads all that is declared into gauges. What cannot be read is `NaN`: a number from before would lie.
    async fn read(&self) {
        let mut stream_is_known = true;
        for name in topology::declared().into_keys() {
            let read = async {
                match &name.consumer {
                    None => self.stream(&name).await,
                    Some(consumer) => self.consumer(&name, consumer).await,
                }
            };
            // One that does not answer is enough to know.
            let told = stream_is_known && matches!(tokio::time::timeout(TIMEOUT, read).await, Ok(Ok(())));
            if !told {
                unknown(&name);
                stream_is_known = false;
            }
        }
    }

    async fn stream(&self, name: &Name) -> Result<(), ApiError> {
        let Some(info) = topology::info(&self.0, name).await? else {
            unknown(name);
            return Ok(());
        };
        let labels = [("stream", name.stream.as_str())];
        set(&STREAM_MESSAGES, &labels, number(&info, "/state/messages"));
        set(&STREAM_BYTES, &labels, number(&info, "/state/bytes"));
        set(&STREAM_LIMIT, &labels, number(&info, "/config/max_bytes"));
        Ok(())
    }

    async fn consumer(&self, name: &Name, consumer: &str) -> Result<(), ApiError> {
        let Some(info) = topology::info(&self.0, name).await? else {
            unknown(name);
            return Ok(());
        };
        let labels = [("stream", name.stream.as_str()), ("consumer", consumer)];
        let (pending, unsettled) = (number(&info, "/num_pending"), number(&info, "/num_ack_pending"));
        set(&CONSUMER_PENDING, &labels, pending);
        set(&CONSUMER_UNSETTLED, &labels, unsettled);
        let age = if pending + unsettled > 0.0 { self.age(name, &info).await? } else { 0.0 };
        set(&CONSUMER_AGE, &labels, age);
        Ok(())
    }

    /// Of the first message above the ack floor, in seconds: below it all are acknowledged.
    async fn age(&self, name: &Name, info: &Value) -> Result<f64, ApiError> {
        let floor = number(info, "/ack_floor/stream_seq") as u64;
        let subject = info.pointer("/config/filter_subject").and_then(Value::as_str).unwrap_or(">");
        let first = topology::first_from(&self.0, &name.stream, floor + 1, subject).await?;
        let time = first.as_ref().and_then(|message| message["time"].as_str()).and_then(parse_rfc3339);
        let Some(time) = time.and_then(|written| written.at) else { return Ok(0.0) };
        Ok((SystemClock.now() - time).max(0) as f64 / SECOND as f64)
    }
}

fn number(info: &Value, pointer: &str) -> f64 {
    info.pointer(pointer).and_then(Value::as_f64).unwrap_or(f64::NAN)
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
