//! Who waits for alerts, and how far the stream ALERTS is known.
//!
//! One consumer for the whole collector tells whose alert came at which sequence, and nothing of its content. A stream
//! of alerts that waits then reads its developer's from where it is (`alert_log`). So catching up and going on are the
//! same read, there is no seam between them, and a stream that waits costs nothing
//! (`docs/decisions/0018-one-consumer-of-alerts.md`).

use std::collections::HashMap;
use std::convert::Infallible;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_nats::jetstream::consumer::{DeliverPolicy, ReplayPolicy, push::OrderedConfig};
use async_nats::jetstream::{self, stream};
use bus::ALERTS;
use futures_util::StreamExt as _;
use runtime::retry::RetryPolicy;
use runtime::shutdown::Shutdown;
use tokio::sync::watch;
use tokio::time::timeout;
use types::id::DeveloperId;

/// How long a request waits for the stream to be read first: a collector that has just started takes milliseconds.
const FIRST_READ: Duration = Duration::from_secs(2);

/// What is known of ALERTS. All clones are the same.
#[derive(Debug, Clone, Default)]
pub struct AlertFeed {
    known: Arc<Mutex<Known>>,
    /// Whether the stream was read first.
    is_followed: watch::Sender<bool>,
}

#[derive(Debug, Default)]
struct Known {
    /// `None` until the stream is first read.
    position: Option<Position>,
    /// The newest sequence of each developer somebody listens for.
    listeners: HashMap<String, watch::Sender<u64>>,
}

/// How far the stream was followed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Position {
    /// When the stream was created: the incarnation, in nanoseconds since 1970.
    created: i128,
    /// The last sequence.
    seen: u64,
}

/// A developer's alerts are listened for until this is dropped.
#[derive(Debug)]
pub struct AlertSubscription {
    feed: AlertFeed,
    developer: DeveloperId,
    newest: watch::Receiver<u64>,
    /// The stream's last sequence when the subscription began: what comes later is announced.
    pub begun_at: u64,
}

impl AlertSubscription {
    /// Waits for a newer alert of the developer and gives its sequence; `None` if the stream is another one now, so
    /// that sequences mean nothing any more.
    pub async fn newer(&mut self) -> Option<u64> {
        self.newest.changed().await.ok()?;
        Some(*self.newest.borrow_and_update())
    }
}

impl Drop for AlertSubscription {
    fn drop(&mut self) {
        let mut known = self.feed.known();
        // This subscription's own receiver is the last one.
        let is_last = known
            .listeners
            .get(self.developer.as_str())
            .is_some_and(|newest| newest.receiver_count() <= 1);
        if is_last {
            known.listeners.remove(self.developer.as_str());
        }
    }
}

impl AlertFeed {
    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The stream's last sequence, as far as it is known; `None` if it is not read within two seconds.
    pub async fn seen(&self) -> Option<u64> {
        let mut followed = self.is_followed.subscribe();
        let first_read = followed.wait_for(|is_followed| *is_followed);
        timeout(FIRST_READ, first_read).await.ok()?.ok()?;
        self.seen_now()
    }

    fn seen_now(&self) -> Option<u64> {
        self.known().position.map(|position| position.seen)
    }

    /// Listens for a developer's alerts; `None` until the stream is first read.
    #[must_use]
    pub fn subscribe(&self, developer: &DeveloperId) -> Option<AlertSubscription> {
        let mut known = self.known();
        let begun_at = known.position?.seen;
        let newest = known
            .listeners
            .entry(developer.to_string())
            .or_insert_with(|| watch::Sender::new(0))
            .subscribe();
        Some(AlertSubscription {
            feed: self.clone(),
            developer: developer.clone(),
            newest,
            begun_at,
        })
    }

    /// The stream is there, with this last sequence; gives the one to follow it after.
    ///
    /// If it is another stream than before, or an older state of it, those who listen are told to begin again.
    fn found(&self, stream: Position) -> u64 {
        let mut known = self.known();
        let before = *known.position.get_or_insert(stream);
        self.is_followed.send_replace(true);
        if before.created == stream.created && before.seen <= stream.seen {
            return before.seen;
        }
        tracing::warn!(
            ?before,
            now = ?stream,
            "the stream ALERTS was recreated or restored: streams of alerts begin again"
        );
        known.position = Some(stream);
        known.listeners.clear();
        stream.seen
    }

    /// An alert came; its subject is `alerts.<severity>.<developer>`.
    fn announce(&self, subject: &str, seq: u64) {
        let mut known = self.known();
        if let Some(position) = &mut known.position {
            position.seen = position.seen.max(seq);
        }
        let developer = subject.rsplit('.').next().unwrap_or_default();
        if let Some(newest) = known.listeners.get(developer) {
            newest.send_replace(seq);
        }
    }

    /// Follows ALERTS until the process shuts down. `connected` changes with each connection to NATS: what the consumer
    /// of the one before would still bring is not waited for.
    pub async fn follow(
        self,
        js: jetstream::Context,
        mut connected: watch::Receiver<()>,
        retry: RetryPolicy,
        shutdown: Shutdown,
    ) {
        let mut backoff = retry.backoff(&shutdown);
        loop {
            let before = self.seen_now();
            tokio::select! {
                Err(reason) = self.watch(&js) => {
                    tracing::warn!(%reason, "the stream ALERTS is not followed; trying again");
                }
                Ok(()) = connected.changed() => {
                    backoff.reset();
                    continue;
                }
                () = shutdown.draining() => return,
            }
            if self.seen_now() != before {
                backoff.reset();
            }
            if !backoff.wait().await {
                return;
            }
        }
    }

    /// Announces each alert after the last one that was seen, until the consumer fails.
    async fn watch(&self, js: &jetstream::Context) -> Result<Infallible, async_nats::Error> {
        let stream = js.get_stream(ALERTS).await?;
        let after = self.found(position(stream.cached_info()));
        let consumer = stream
            .create_consumer(OrderedConfig {
                description: Some("Whose alerts came, for the streams of a collector".to_owned()),
                deliver_subject: js.client().new_inbox(),
                headers_only: true,
                deliver_policy: DeliverPolicy::ByStartSequence {
                    start_sequence: after + 1,
                },
                replay_policy: ReplayPolicy::Instant,
                ..OrderedConfig::default()
            })
            .await?;
        let mut messages = consumer.messages().await?;
        while let Some(message) = messages.next().await {
            let message = message?;
            let seq = message.info()?.stream_sequence;
            self.announce(&message.subject, seq);
        }
        Err("its consumer has ended".into())
    }
}

fn position(info: &stream::Info) -> Position {
    Position {
        created: info.created.unix_timestamp_nanos(),
        seen: info.state.last_sequence,
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;

    use super::*;

    fn developer(name: &str) -> DeveloperId {
        name.parse().unwrap()
    }

    fn at(seen: u64) -> Position {
        Position { created: 1, seen }
    }

    /// What a subscription is told without waiting.
    fn told(subscription: &mut AlertSubscription) -> Option<Option<u64>> {
        subscription.newer().now_or_never()
    }

    #[test]
    fn who_listens_is_told_of_the_own_alerts_alone() {
        let feed = AlertFeed::default();
        assert!(feed.subscribe(&developer("ada")).is_none(), "not known yet");
        assert_eq!(feed.found(at(7)), 7);
        let mut ada = feed.subscribe(&developer("ada")).unwrap();
        let mut again = feed.subscribe(&developer("ada")).unwrap();
        feed.announce("alerts.high.bob", 8);
        assert_eq!(told(&mut ada), None);
        feed.announce("alerts.high.ada", 9);
        feed.announce("alerts.info.ada", 10);
        assert_eq!(
            (told(&mut ada), told(&mut again)),
            (Some(Some(10)), Some(Some(10)))
        );
        // Who comes later has a later beginning, and is told of nothing before it.
        let mut late = feed.subscribe(&developer("ada")).unwrap();
        assert_eq!((late.begun_at, told(&mut late)), (10, None));
    }

    #[test]
    fn nothing_is_kept_of_who_has_gone() {
        let feed = AlertFeed::default();
        feed.found(at(0));
        let one = feed.subscribe(&developer("ada")).unwrap();
        let two = feed.subscribe(&developer("ada")).unwrap();
        drop(one);
        assert_eq!(feed.known().listeners.len(), 1);
        drop(two);
        assert_eq!(feed.known().listeners.len(), 0);
    }

    #[test]
    fn a_stream_that_is_another_one_ends_the_subscriptions() {
        let feed = AlertFeed::default();
        assert_eq!(feed.found(at(7)), 7);
        let mut ada = feed.subscribe(&developer("ada")).unwrap();
        // Found again with more in it: followed after what was seen.
        assert_eq!(feed.found(at(9)), 7);
        assert_eq!(told(&mut ada), None);
        for other in [
            at(6),
            Position {
                created: 2,
                seen: 9,
            },
        ] {
            assert_eq!(feed.found(other), other.seen);
            assert_eq!(told(&mut ada), Some(None));
            ada = feed.subscribe(&developer("ada")).unwrap();
            assert_eq!(ada.begun_at, other.seen);
        }
    }
}
