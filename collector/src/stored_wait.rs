//! Waiting until a batch is stored (`Prefer: wait`): the notification is quick, the query is the truth.
//!
//! The steps are those of docs/protocol.md, "Wait for stored".

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_nats::{Client, SubscribeError, Subscriber};
use futures_util::StreamExt;
use runtime::shutdown::Shutdown;
use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until, timeout_at};
use tokio_util::sync::CancellationToken;
use types::query::{BATCH, BatchQuery, StoredReply, notification_subject};

use crate::incarnation_cache::IncarnationCache;
use crate::publisher::PublishedMessage;
use crate::query_client::{QueryClient, QueryError};

/// How long a notification is waited for before the first query. Each further interval is twice as long.
const FIRST_INTERVAL: Duration = Duration::from_millis(50);
/// The longest interval between two queries: a batch that was stored without a notification is reported within it.
const LONGEST_INTERVAL: Duration = Duration::from_secs(1);
/// The last query is sent this long before the deadline, so that its answer is in time.
const LAST_QUERY: Duration = Duration::from_millis(100);

/// The notifications that requests of this collector wait for.
pub struct Notifications {
    collector: String,
    next: AtomicU64,
    waiting: Mutex<HashMap<String, Arc<Notify>>>,
}

/// One waiting request. Dropped, as when its client hangs up, it waits no more.
pub struct Waiter {
    notifications: Arc<Notifications>,
    token: String,
    notified: Arc<Notify>,
}

impl Notifications {
    /// The notifications of the collector with this instance token.
    #[must_use]
    pub fn new(collector: &str) -> Self {
        Self {
            collector: collector.to_owned(),
            next: AtomicU64::new(0),
            waiting: Mutex::default(),
        }
    }

    /// Subscribes to the notifications of every waiter, those to come as well.
    ///
    /// # Errors
    /// Returns [`SubscribeError`] if the client is closed.
    pub async fn subscribe(&self, client: &Client) -> Result<Subscriber, SubscribeError> {
        client
            .subscribe(notification_subject(&self.collector, "*"))
            .await
    }

    /// Wakes the waiters by their notifications until `finished`.
    pub async fn follow(&self, mut subscriber: Subscriber, finished: CancellationToken) {
        while let Some(Some(notification)) = finished.run_until_cancelled(subscriber.next()).await {
            self.notify(&notification.subject);
        }
    }

    /// A new waiter; to be registered before the batch is published.
    #[must_use]
    pub fn register(self: &Arc<Self>) -> Waiter {
        let token = format!("{:x}", self.next.fetch_add(1, Ordering::Relaxed));
        let notified = Arc::new(Notify::new());
        self.waiting().insert(token.clone(), notified.clone());
        Waiter {
            notifications: self.clone(),
            token,
            notified,
        }
    }

    fn notify(&self, subject: &str) {
        let token = subject.rsplit('.').next().unwrap_or_default();
        // The waiter may be gone.
        if let Some(notified) = self.waiting().get(token) {
            notified.notify_one();
        }
    }

    fn waiting(&self) -> MutexGuard<'_, HashMap<String, Arc<Notify>>> {
        // Plain inserts and removes cannot leave the map half-changed.
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Waiter {
    /// The subject that the notification must be sent to.
    #[must_use]
    pub fn subject(&self) -> String {
        notification_subject(&self.notifications.collector, &self.token)
    }
}

impl Drop for Waiter {
    fn drop(&mut self) {
        self.notifications.waiting().remove(&self.token);
    }
}

/// How waiting ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum WaitOutcome {
    Stored(StoredReply),
    TimedOut,
    /// The collector shuts down, or the stream was recreated meanwhile.
    Interrupted,
}

/// A wait for one batch.
pub struct StoredWait<'a> {
    /// The batch's PubAck. After a duplicate's no notification may come: its message was published before.
    pub published: &'a PublishedMessage,
    /// Waiting ends here.
    pub deadline: Instant,
    pub queries: &'a QueryClient,
    pub incarnation: &'a IncarnationCache,
    pub shutdown: &'a Shutdown,
}

impl StoredWait<'_> {
    /// Waits until the store has the batch or the deadline has passed.
    pub async fn run(&self, waiter: &Waiter) -> WaitOutcome {
        let acked = Instant::now();
        let mut queries_sent = 0;
        let mut notified = false;
        let mut query_first = self.published.duplicate;
        loop {
            if query_first {
                match timeout_at(self.deadline, self.query(acked)).await {
                    Ok(Ok(Some(stored))) => return WaitOutcome::Stored(stored),
                    Ok(Ok(None)) => {}
                    Ok(Err(WaitError::Recreated)) => return WaitOutcome::Interrupted,
                    Ok(Err(error)) => {
                        tracing::debug!(seq = self.published.sequence, %error, "querying again whether it is stored");
                    }
                    Err(_) => return WaitOutcome::TimedOut,
                }
                queries_sent += 1;
            }
            let Some(next) = next_query(Instant::now(), queries_sent, self.deadline) else {
                return WaitOutcome::TimedOut;
            };
            tokio::select! {
                () = waiter.notified.notified(), if !notified => {
                    notified = true;
                    queries_sent = 0;
                }
                () = sleep_until(next) => {}
                () = self.shutdown.draining() => return WaitOutcome::Interrupted,
            }
            query_first = true;
        }
    }

    async fn query(&self, acked: Instant) -> Result<Option<StoredReply>, WaitError> {
        let before = &self.published.incarnation;
        match self.incarnation.is_unchanged(before, acked).await {
            Ok(true) => {}
            Ok(false) => return Err(WaitError::Recreated),
            Err(error) => return Err(WaitError::IncarnationUnknown(error.to_string())),
        }
        let query = BatchQuery::Stored {
            incarnation: before.clone(),
            seq: self.published.sequence,
            message: self.published.identity.clone(),
        };
        Ok(self.queries.query(BATCH, &query, LONGEST_INTERVAL).await?)
    }
}

/// Why it is not known whether the batch is stored.
#[derive(Debug, thiserror::Error)]
enum WaitError {
    #[error("the stream was recreated")]
    Recreated,
    #[error("the stream's incarnation is not known: {0}")]
    IncarnationUnknown(String),
    #[error(transparent)]
    Query(#[from] QueryError),
}

/// When to send the next query after `sent` queries; `None` once the last one was sent.
fn next_query(now: Instant, sent: u32, deadline: Instant) -> Option<Instant> {
    let last = deadline.checked_sub(LAST_QUERY)?;
    let interval = FIRST_INTERVAL
        .saturating_mul(1 << sent.saturating_sub(1).min(16))
        .min(LONGEST_INTERVAL);
    (now < last).then(|| (now + interval).min(last))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_and_the_last_query_precedes_the_deadline() {
        let start = Instant::now();
        let deadline = start + Duration::from_secs(4);
        let mut now = start;
        let mut sent = 0;
        let mut intervals = Vec::new();
        while let Some(next) = next_query(now, sent, deadline) {
            intervals.push((next - now).as_millis());
            now = next;
            sent += 1;
        }
        assert_eq!(intervals, [50, 50, 100, 200, 400, 800, 1000, 1000, 300]);
        assert_eq!(deadline - now, LAST_QUERY);
        assert_eq!(next_query(deadline + LAST_QUERY, 0, deadline), None);
        assert!(next_query(start, u32::MAX, deadline).is_some());
    }

    #[tokio::test]
    async fn a_notification_reaches_only_its_waiter() {
        let notifications = Arc::new(Notifications::new("c1"));
        let one = notifications.register();
        let other = notifications.register();
        assert!(one.subject().starts_with("devtrail.hint.c1.") && one.subject() != other.subject());
        // Before anyone waits: the notification must not be missed.
        notifications.notify(&one.subject());
        one.notified.notified().await;
        let none = tokio::time::timeout(Duration::from_millis(20), other.notified.notified()).await;
        assert!(
            none.is_err(),
            "a notification for one waiter woke the other"
        );
        let gone = one.subject();
        drop(one);
        notifications.notify(&gone);
        assert_eq!(notifications.waiting().len(), 1);
        drop(other);
        assert!(notifications.waiting().is_empty());
    }
}
