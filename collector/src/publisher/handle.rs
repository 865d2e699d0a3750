//! The handle that requests publish by, and what its clones share.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_nats::jetstream;
use bus::atomic_group::GroupSupport;
use runtime::breaker::Guard;
use runtime::retry::RetryPolicy;
use tokio::time::Instant;
use types::event_streams::EventStream;

use super::line::{Departure, Line};
use super::message::{EventsMessage, NotPublished};
use crate::incarnation_cache::IncarnationCache;

/// One PubAck is awaited this long before the same message is published again.
pub const ATTEMPT: Duration = Duration::from_secs(2);
/// Publishes to one of the event streams. Cheap to clone; all clones are one publisher.
#[derive(Clone)]
pub struct Publisher(pub(super) Arc<Inner>);

/// What all clones share.
pub(super) struct Inner {
    pub(super) js: jetstream::Context,
    pub(super) client: async_nats::Client,
    pub(super) incarnation: Arc<IncarnationCache>,
    pub(super) breaker: Guard,
    pub(super) settings: PublishSettings,
    pub(super) line: Mutex<Line>,
    /// Whether the stream takes groups.
    pub(super) group_support: GroupSupport,
}

/// How long and how often a publish is tried.
#[derive(Debug, Clone, Copy)]
pub struct PublishSettings {
    /// The PubAck must come within this time.
    pub timeout: Duration,
    /// The delays between attempts.
    pub retry: RetryPolicy,
}

impl Publisher {
    #[must_use]
    pub fn new(
        js: jetstream::Context,
        stream: EventStream,
        incarnation: Arc<IncarnationCache>,
        breaker: Guard,
        settings: PublishSettings,
    ) -> Self {
        Self(Arc::new(Inner {
            client: js.client(),
            js,
            incarnation,
            breaker,
            settings,
            line: Mutex::new(Line::new(Instant::now())),
            group_support: GroupSupport::of(stream.to_string()),
        }))
    }

    /// The breaker opened while the message waited; `sent` if it was sent before.
    pub(super) fn opened_meanwhile(&self, sent: bool) -> NotPublished {
        NotPublished::CircuitOpen {
            left: self.0.breaker.open_for(),
            sent,
        }
    }

    /// A message arrives. It may be the last one that the next round lingered for.
    pub(super) fn enter(&self, message: &Arc<EventsMessage>, now: Instant) -> Departure {
        let mut line = self.line();
        let departure = line.enter(message, now);
        if line.is_complete() {
            self.advance(line);
        }
        departure
    }

    /// Has the next messages go, now that others have ended.
    pub(super) fn advance(&self, mut line: MutexGuard<'_, Line>) {
        let group = line.advance(Instant::now());
        drop(line);
        if let Some(group) = group {
            tokio::spawn(self.clone().publish_groups(group));
        }
    }

    /// The publisher's state.
    pub(super) fn line(&self) -> MutexGuard<'_, Line> {
        // No step of it panics half-way.
        self.0.line.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
