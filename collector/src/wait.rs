//! Waiting until a batch is stored (`Prefer: wait`): the hint is quick, the query is the truth.
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
use types::query::{BATCH, BatchQuery, StoredReply, hint_subject};

use crate::ask::{Asker, Unanswered};
use crate::incarnation::SeenIncarnation;
use crate::publish::Published;

/// A hint is waited for this long before the first question; the pause after it doubles from here.
const FIRST: Duration = Duration::from_millis(50);
/// The longest pause between two questions: what was stored without a hint is told within it.
const LONGEST: Duration = Duration::from_secs(1);
/// The last question is asked this long before the deadline, so that its answer is in time.
const LAST: Duration = Duration::from_millis(100);

/// The hints that requests of this collector wait for.
pub struct Hints {
    collector: String,
    next: AtomicU64,
    waiting: Mutex<HashMap<String, Arc<Notify>>>,
}

/// One request's place among the waiting. Dropped, as when its client hangs up, it waits no more.
pub struct Waiter {
    hints: Arc<Hints>,
    token: String,
    hinted: Arc<Notify>,
}

impl Hints {
    /// Of the collector with this instance token.
    #[must_use]
    pub fn new(collector: &str) -> Self {
        Self {
            collector: collector.to_owned(),
            next: AtomicU64::new(0),
            waiting: Mutex::default(),
        }
    }

    /// Subscribes the hints of every waiter, those to come as well.
    ///
    /// # Errors
    /// Where the client is closed.
    pub async fn subscribe(&self, client: &Client) -> Result<Subscriber, SubscribeError> {
        client.subscribe(hint_subject(&self.collector, "*")).await
    }

    /// Tells the waiters of their hints until `finished`.
    pub async fn follow(&self, mut subscriber: Subscriber, finished: CancellationToken) {
        while let Some(Some(hint)) = finished.run_until_cancelled(subscriber.next()).await {
            self.hint(&hint.subject);
        }
    }

    /// A place among the waiting; to be taken before the batch is published.
    #[must_use]
    pub fn register(self: &Arc<Self>) -> Waiter {
        let token = format!("{:x}", self.next.fetch_add(1, Ordering::Relaxed));
        let hinted = Arc::new(Notify::new());
        self.waiting().insert(token.clone(), hinted.clone());
        Waiter {
            hints: self.clone(),
            token,
            hinted,
        }
    }

    fn hint(&self, subject: &str) {
        let token = subject.rsplit('.').next().unwrap_or_default();
        // Of a waiter that is gone nobody needs to know.
        if let Some(hinted) = self.waiting().get(token) {
            hinted.notify_one();
        }
    }

    fn waiting(&self) -> MutexGuard<'_, HashMap<String, Arc<Notify>>> {
        // Plain inserts and removes cannot leave the map half-changed.
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Waiter {
    /// The subject that the hint must be sent to.
    #[must_use]
    pub fn subject(&self) -> String {
        hint_subject(&self.hints.collector, &self.token)
    }
}

impl Drop for Waiter {
    fn drop(&mut self) {
        self.hints.waiting().remove(&self.token);
    }
}

/// How waiting ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Waited {
    /// The batch is stored.
    Stored(StoredReply),
    /// The time is over.
    RanOut,
    /// Waiting was broken off: the collector stops, or the stream was made anew meanwhile.
    BrokenOff,
}

/// The batch that is waited for.
pub struct Awaited {
    /// Its PubAck. After a duplicate's no hint may come: its message was published before.
    pub published: Published,
    /// Waiting ends here.
    pub deadline: Instant,
}

impl Awaited {
    /// Waits until the store has the batch or the time is over.
    pub async fn stored(
        self,
        waiter: &Waiter,
        asker: &Asker,
        incarnation: &SeenIncarnation,
        shutdown: &Shutdown,
    ) -> Waited {
        let acked = Instant::now();
        let (mut asked, mut hinted, mut ask) = (0, false, self.published.duplicate);
        loop {
            if ask {
                match timeout_at(self.deadline, self.ask(asker, incarnation, acked)).await {
                    Ok(Ok(Some(stored))) => return Waited::Stored(stored),
                    Ok(Ok(None)) => {}
                    Ok(Err(NoAnswer::MadeAnew)) => return Waited::BrokenOff,
                    Ok(Err(error)) => {
                        tracing::debug!(seq = self.published.sequence, %error, "asking again whether it is stored");
                    }
                    Err(_) => return Waited::RanOut,
                }
                asked += 1;
            }
            let Some(next) = next_question(Instant::now(), asked, self.deadline) else {
                return Waited::RanOut;
            };
            tokio::select! {
                () = waiter.hinted.notified(), if !hinted => (hinted, asked) = (true, 0),
                () = sleep_until(next) => {}
                () = shutdown.draining() => return Waited::BrokenOff,
            }
            ask = true;
        }
    }

    async fn ask(
        &self,
        asker: &Asker,
        incarnation: &SeenIncarnation,
        acked: Instant,
    ) -> Result<Option<StoredReply>, NoAnswer> {
        let Published {
            incarnation: before,
            sequence: seq,
            ..
        } = &self.published;
        match incarnation.still(before, acked).await {
            Ok(true) => {}
            Ok(false) => return Err(NoAnswer::MadeAnew),
            Err(error) => return Err(NoAnswer::LifeUnknown(error.to_string())),
        }
        let question = BatchQuery::Stored {
            incarnation: before.clone(),
            seq: *seq,
        };
        Ok(asker.ask(BATCH, &question, LONGEST).await?)
    }
}

/// Why it is not known whether the batch is stored.
#[derive(Debug, thiserror::Error)]
enum NoAnswer {
    #[error("the stream was made anew")]
    MadeAnew,
    #[error("the stream's life is not known: {0}")]
    LifeUnknown(String),
    #[error(transparent)]
    Workers(#[from] Unanswered),
}

/// When to ask next after `asked` questions; `None` once the last one was asked.
fn next_question(now: Instant, asked: u32, deadline: Instant) -> Option<Instant> {
    let last = deadline.checked_sub(LAST)?;
    let pause = FIRST
        .saturating_mul(1 << asked.saturating_sub(1).min(16))
        .min(LONGEST);
    (now < last).then(|| (now + pause).min(last))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn questions_come_after_50_100_200_ms_and_the_last_one_just_before_the_deadline() {
        let start = Instant::now();
        let deadline = start + Duration::from_secs(4);
        let (mut now, mut asked, mut pauses) = (start, 0, Vec::new());
        while let Some(next) = next_question(now, asked, deadline) {
            pauses.push((next - now).as_millis());
            (now, asked) = (next, asked + 1);
        }
        assert_eq!(pauses, [50, 50, 100, 200, 400, 800, 1000, 1000, 300]);
        assert_eq!(deadline - now, LAST);
        assert_eq!(next_question(deadline + LAST, 0, deadline), None);
        assert!(next_question(start, u32::MAX, deadline).is_some());
    }

    #[tokio::test]
    async fn a_hint_reaches_its_waiter_only_and_a_dropped_waiter_is_gone() {
        let hints = Arc::new(Hints::new("c1"));
        let (one, other) = (hints.register(), hints.register());
        assert!(one.subject().starts_with("devtrail.hint.c1.") && one.subject() != other.subject());
        // Before anyone waits: the hint must not be missed.
        hints.hint(&one.subject());
        one.hinted.notified().await;
        let none = tokio::time::timeout(Duration::from_millis(20), other.hinted.notified()).await;
        assert!(none.is_err(), "a hint for one waiter woke the other");
        let gone = one.subject();
        drop(one);
        hints.hint(&gone);
        assert_eq!(hints.waiting().len(), 1);
        drop(other);
        assert!(hints.waiting().is_empty());
    }
}
