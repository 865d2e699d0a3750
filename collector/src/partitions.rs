//! The event streams as a collector publishes to them: each has a publisher, an incarnation and a breaker of its own.
//!
//! A group of messages is stored by one stream, and a stream that fails refuses only its own developers.

use std::sync::Arc;
use std::time::Duration;

use async_nats::jetstream;
use bus::{BindError, bind_stream};
use runtime::breaker::{BreakerSettings, BreakerState, Breakers, Guard};
use types::event_streams::{EventStream, EventStreams};
use types::id::DeveloperId;

use crate::incarnation_cache::IncarnationCache;
use crate::publisher::{PublishSettings, Publisher};

/// One event stream, bound.
pub struct Partition {
    pub stream: EventStream,
    pub publisher: Publisher,
    pub incarnation: Arc<IncarnationCache>,
    /// The circuit breaker before the stream.
    pub breaker: Guard,
}

/// All event streams, bound.
pub struct Partitions {
    streams: EventStreams,
    /// By partition.
    all: Vec<Partition>,
}

/// How to publish, and when to stop trying.
#[derive(Debug, Clone, Copy)]
pub struct PartitionSettings {
    pub publish: PublishSettings,
    pub breaker: BreakerSettings,
}

impl Partitions {
    /// Finds out how many event streams the server has, and binds each.
    ///
    /// # Errors
    /// Returns [`BindError`] if one is missing or unsafe, or the server does not answer.
    pub async fn bind(
        js: &jetstream::Context,
        breakers: &Breakers,
        settings: PartitionSettings,
    ) -> Result<Self, BindError> {
        let streams = bus::event_streams(js).await?;
        let mut all = Vec::new();
        for stream in streams.all() {
            let bound = bind_stream(js, &stream.to_string()).await?;
            let incarnation = Arc::new(IncarnationCache::new(js.clone(), bound));
            let breaker = breakers.guard(&breaker_name(stream), settings.breaker);
            all.push(Partition {
                stream,
                publisher: Publisher::new(
                    js.clone(),
                    stream,
                    incarnation.clone(),
                    breaker.clone(),
                    settings.publish,
                ),
                incarnation,
                breaker,
            });
        }
        Ok(Self { streams, all })
    }

    /// How many there are.
    #[must_use]
    pub fn streams(&self) -> EventStreams {
        self.streams
    }

    /// Each of them, by partition.
    #[must_use]
    pub fn all(&self) -> &[Partition] {
        &self.all
    }

    /// The one that holds the developer's batches.
    ///
    /// # Panics
    /// Never: there is one for each stream that a developer can be in.
    #[must_use]
    pub fn of(&self, developer: &DeveloperId) -> &Partition {
        &self.all[usize::from(self.streams.of(developer).partition())]
    }

    /// The one whose stream has this name.
    #[must_use]
    pub fn named(&self, stream: &str) -> Option<&Partition> {
        self.all
            .iter()
            .find(|partition| partition.stream.to_string() == stream)
    }

    /// How long no stream is tried; `None` if one of them may be.
    #[must_use]
    pub fn all_open_for(&self) -> Option<Duration> {
        let mut breakers = self.all.iter().map(|partition| &partition.breaker);
        let are_open = breakers.all(|breaker| breaker.state() == BreakerState::Open);
        let open_for = self
            .all
            .iter()
            .map(|partition| partition.breaker.open_for());
        open_for.min().filter(|_| are_open)
    }
}

/// The name of a stream's breaker in status, log and metrics.
fn breaker_name(stream: EventStream) -> String {
    if stream.streams() == EventStreams::ONE {
        "stream".to_owned()
    } else {
        format!("stream:{stream}")
    }
}
