//! The names of streams, consumers and subjects.

use std::fmt;

/// The stream of jobs.
pub const JOBS: &str = "JOBS";
/// The stream of pointers to batches' messages that are handled again.
pub const REPLAY: &str = "REPLAY";
/// The stream of alerts.
pub const ALERTS: &str = "ALERTS";
/// The stream of dead letters.
pub const DEAD: &str = "DEAD";
/// The stream of alerts to administrators.
pub const ADMIN: &str = "ADMIN";
/// The durable consumer that brings alerts to the administrators' webhook.
pub const WEBHOOK_ADMIN: &str = "webhook-admin";
/// The durable consumer of the persist workers.
pub const PERSIST: &str = "persist";
/// The durable consumer of the persist workers on REPLAY.
pub const PERSIST_REPLAY: &str = "persist-replay";

/// A durable consumer and its stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConsumerRef {
    pub stream: String,
    pub consumer: String,
}

impl ConsumerRef {
    /// The consumer of this name of this stream.
    #[must_use]
    pub fn new(stream: &str, consumer: &str) -> Self {
        Self {
            stream: stream.to_owned(),
            consumer: consumer.to_owned(),
        }
    }

    /// Its name among the streams and consumers.
    #[must_use]
    pub fn resource(&self) -> ResourceName {
        ResourceName {
            stream: self.stream.clone(),
            consumer: Some(self.consumer.clone()),
        }
    }
}

/// Names a stream, or a consumer of one.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct ResourceName {
    pub stream: String,
    /// The consumer, or `None` for the stream itself. Streams sort before their consumers.
    pub consumer: Option<String>,
}

impl ResourceName {
    /// The name of a stream.
    #[must_use]
    pub fn stream(name: &str) -> Self {
        Self {
            stream: name.to_owned(),
            consumer: None,
        }
    }
}

impl fmt::Display for ResourceName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.consumer {
            None => write!(f, "stream {}", self.stream),
            Some(consumer) => write!(f, "consumer {}/{consumer}", self.stream),
        }
    }
}
