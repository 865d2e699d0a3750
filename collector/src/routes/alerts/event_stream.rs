//! An open stream of alerts, as server-sent events
//! (<https://html.spec.whatwg.org/multipage/server-sent-events.html>).
//!
//! It is a position in ALERTS. Told of something newer, it reads its developer's alerts from there, a page at a time,
//! and only when the client has taken the page before: a client that reads slowly costs a page of memory and holds up
//! nobody.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use bus::direct_get::PageBounds;
use bus::stored_messages::StoredMessage;
use bytes::Bytes;
use futures_util::{Stream, stream};
use http_server::quota::Place;
use runtime::metrics::{self, AlertStream};
use runtime::retry::RetryPolicy;
use tokio::time::{Instant, Interval, MissedTickBehavior};
use types::api_key::Scope;
use types::id::DeveloperId;

use crate::admission_control::Tenant;
use crate::alert_feed::AlertSubscription;
use crate::alert_log::{AlertEntry, AlertLogError};
use crate::api_keys::Caller;
use crate::app_state::AppState;

/// How long a page may be: what a client that does not read costs.
const PAGE: PageBounds = PageBounds {
    messages: 64,
    bytes: 64 * 1024,
};
/// A line of comment.
const KEEP_ALIVE: Bytes = Bytes::from_static(b": keep-alive\n\n");
/// After how long a client connects again, at least and with this much at random: they shall not all come at once when
/// a collector has started again.
const RECONNECT: Duration = Duration::from_secs(1);
const RECONNECT_SPREAD: RetryPolicy = RetryPolicy {
    base: Duration::from_secs(4),
    cap: Duration::from_secs(4),
};
/// The pauses between attempts to read while NATS is away.
const READ_AGAIN: RetryPolicy = RetryPolicy {
    base: Duration::from_millis(100),
    cap: Duration::from_secs(2),
};

/// A stream of alerts that somebody reads.
pub struct OpenAlertStream {
    app: Arc<AppState>,
    developer: DeveloperId,
    /// The digest of the key that opened it.
    key: Arc<str>,
    subscription: AlertSubscription,
    /// The sequence that was read up to.
    after: u64,
    /// The sequence up to which there may be alerts of the developer.
    newest: u64,
    /// Attempts in a row to read that failed.
    failures: u32,
    keep_alive: Interval,
    /// What comes before the first alert.
    beginning: Option<Bytes>,
    _slot: Place<Tenant>,
    _open: AlertStream,
}

impl OpenAlertStream {
    /// A stream of the caller's alerts after this sequence. It holds `slot` until it is dropped.
    pub fn new(
        app: Arc<AppState>,
        caller: &Caller,
        subscription: AlertSubscription,
        slot: Place<Tenant>,
        after: u64,
    ) -> Self {
        let every = app.limits.alert_keep_alive;
        let mut keep_alive = tokio::time::interval_at(Instant::now() + every, every);
        keep_alive.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Self {
            app,
            developer: caller.developer.clone(),
            key: caller.key.clone(),
            newest: subscription.begun_at,
            subscription,
            after,
            failures: 0,
            keep_alive,
            beginning: Some(beginning(RECONNECT + RECONNECT_SPREAD.delay(0), after)),
            _slot: slot,
            _open: AlertStream::opened(),
        }
    }

    /// The bytes of the stream, until the collector shuts down, the key is revoked, or ALERTS is another stream.
    pub fn frames(self) -> impl Stream<Item = Result<Bytes, Infallible>> {
        stream::unfold(self, async |mut stream| {
            let frame = stream.next().await?;
            Some((Ok(frame), stream))
        })
    }

    async fn next(&mut self) -> Option<Bytes> {
        if let Some(beginning) = self.beginning.take() {
            return Some(beginning);
        }
        let shutdown = self.app.shutdown.clone();
        tokio::select! {
            frame = self.next_frame() => frame,
            () = shutdown.draining() => None,
        }
    }

    /// The next alerts, or a line of comment when none have come for a while.
    async fn next_frame(&mut self) -> Option<Bytes> {
        loop {
            let keys = &self.app.keys;
            if !keys.allows(&self.key, &self.developer, Scope::AlertsRead) {
                tracing::info!(developer = %self.developer, "a stream of alerts ends: its key was revoked");
                return None;
            }
            if self.after < self.newest {
                match self.read().await {
                    Ok(page) => {
                        self.failures = 0;
                        if let Some(frames) = self.take(&page) {
                            return Some(frames);
                        }
                        continue;
                    }
                    Err(error) => {
                        tracing::debug!(%error, failures = self.failures, "alerts are not read; trying again");
                        self.failures = self.failures.saturating_add(1);
                    }
                }
            }
            let failures = self.failures;
            let again = async move {
                match failures {
                    0 => std::future::pending().await,
                    failures => READ_AGAIN.pause(failures - 1).await,
                }
            };
            tokio::select! {
                newer = self.subscription.newer() => self.newest = self.newest.max(newer?),
                () = again => {}
                _ = self.keep_alive.tick() => return Some(KEEP_ALIVE),
            }
        }
    }

    /// The developer's next messages; empty if there are none up to `newest`.
    async fn read(&self) -> Result<Vec<StoredMessage>, AlertLogError> {
        let stream = self.app.stream.get().ok_or(AlertLogError::NotConnected)?;
        stream
            .alert_log
            .page_surely(&self.developer, self.after, PAGE)
            .await
    }

    /// What is sent of a page; `None` if that is nothing.
    fn take(&mut self, page: &[StoredMessage]) -> Option<Bytes> {
        self.after = page.last().map_or(self.newest, |last| last.seq);
        let entries = page.iter().filter_map(AlertEntry::read);
        let news: Vec<AlertEntry> = entries.filter(|entry| entry.push).collect();
        if news.is_empty() {
            return None;
        }
        metrics::alerts_streamed(news.len());
        self.keep_alive.reset();
        Some(news.iter().map(frame).collect::<String>().into())
    }
}

/// What the client does first: it notes after how long to connect again, and after which sequence. So it misses nothing
/// even if it is cut off before its first alert.
fn beginning(reconnect: Duration, after: u64) -> Bytes {
    format!("retry: {}\nid: {after}\n\n", reconnect.as_millis()).into()
}

/// An alert as an event. JSON has no line breaks of its own, so its data is one line.
fn frame(entry: &AlertEntry) -> String {
    let AlertEntry {
        sequence, state, ..
    } = entry;
    let alert = serde_json::to_string(&entry.alert).expect("a JSON object can be written");
    format!("id: {sequence}\nevent: {state}\ndata: {alert}\n\n")
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    #[test]
    fn an_alert_is_one_event_whatever_is_in_it() {
        let Value::Object(alert) = json!({"title": "two\nlines\r\u{2028}\n\nid: 9"}) else {
            panic!("an object")
        };
        let entry = AlertEntry {
            sequence: 7,
            state: "raised",
            push: true,
            alert,
        };
        let text = frame(&entry);
        let lines: Vec<&str> = text.split(['\n', '\r']).collect();
        assert_eq!(lines[..2], ["id: 7", "event: raised"]);
        let data: Value = serde_json::from_str(lines[2].strip_prefix("data: ").unwrap()).unwrap();
        assert_eq!(data, json!({"title": "two\nlines\r\u{2028}\n\nid: 9"}));
        assert_eq!(lines[3..], ["", ""]);
    }
}
