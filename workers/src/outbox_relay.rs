//! The outbox relay: publishes rows that wait in the database, and marks those that their stream has.
//!
//! A row is published right after the transaction that wrote it. If a crash or a refusal leaves it behind, the sweep
//! finds it. Publishing a row twice is harmless: its message id stays the same.

use std::time::Duration;

use runtime::retry::RetryPolicy;
use runtime::shutdown::Shutdown;
use store::StoreError;
use tokio::sync::mpsc;
use tokio::time::{Interval, MissedTickBehavior, interval};

/// The time between two sweeps (`docs/protocol.md`, Trigger).
const SWEEP_EVERY: Duration = Duration::from_secs(5);
/// Most rows that one claim takes.
const CLAIM: u32 = 500;
/// Rows that may wait in memory; what finds no place is left to the sweep.
const QUEUE: usize = 4096;

/// A table of rows that wait to be published, and how one becomes a message.
pub trait RelayedOutbox: Send + Sync + 'static {
    type Row: Clone + Send;
    /// What marks a row as published.
    type Mark: Send;

    /// What the rows are called in the log.
    const ROWS: &'static str;
    /// Rows that are published together and marked in one transaction.
    const GROUP: usize;

    /// The oldest rows that are not marked.
    fn claim(&self, limit: u32) -> impl Future<Output = Result<Vec<Self::Row>, StoreError>> + Send;

    /// Publishes the rows, and gives one result for each.
    fn publish(
        &self,
        rows: Vec<Self::Row>,
    ) -> impl Future<Output = Vec<Result<Self::Mark, PublishFailure>>> + Send;

    fn mark(&self, marks: Vec<Self::Mark>) -> impl Future<Output = Result<(), StoreError>> + Send;
}

/// Why a row stays in the outbox.
#[derive(Debug, thiserror::Error)]
#[error("{message_id} was not published: {reason}")]
pub struct PublishFailure {
    pub message_id: String,
    pub correlation_id: String,
    pub reason: String,
}

/// What became of rows that were to be published.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Relayed {
    /// Rows that the stream has, and that are marked.
    pub published: usize,
    /// Rows that are left to the sweep.
    pub left: usize,
}

/// Takes new rows to the relay.
#[derive(Clone)]
pub struct OutboxQueue<R>(mpsc::Sender<R>);

impl<R> OutboxQueue<R> {
    /// Queues rows without waiting: what finds no place is in the outbox all the same.
    pub fn push(&self, rows: impl IntoIterator<Item = R>) {
        for row in rows {
            if self.0.try_send(row).is_err() {
                return;
            }
        }
    }
}

/// The relay of one outbox.
pub struct OutboxRelay<O> {
    outbox: O,
    retry: RetryPolicy,
    shutdown: Shutdown,
}

impl<O: RelayedOutbox> OutboxRelay<O> {
    /// Sweeps that fail back off by `retry`.
    pub fn new(outbox: O, retry: RetryPolicy, shutdown: Shutdown) -> Self {
        Self {
            outbox,
            retry,
            shutdown,
        }
    }

    /// A queue, and the end of it that [`OutboxRelay::run`] reads.
    #[must_use]
    pub fn queue() -> (OutboxQueue<O::Row>, mpsc::Receiver<O::Row>) {
        let (sender, receiver) = mpsc::channel(QUEUE);
        (OutboxQueue(sender), receiver)
    }

    /// Publishes what is queued and sweeps what was left, until the queue is closed or the process is aborted: a store
    /// that gives no answer must not hold the exit. What is left is in the outbox.
    pub async fn run(self, queue: mpsc::Receiver<O::Row>) {
        let abort = self.shutdown.abort_token();
        let until_closed = self.until_closed(queue);
        if abort.run_until_cancelled(until_closed).await.is_none() {
            tracing::warn!("{} wait in the outbox, for the next process", O::ROWS);
        }
    }

    async fn until_closed(&self, mut queue: mpsc::Receiver<O::Row>) {
        let mut sweeps = Sweeps::new(self.retry);
        let mut group = Vec::with_capacity(O::GROUP);
        loop {
            // Without a preference, and on a clock of its own: neither constant load nor rows that fail again and again
            // keep the sweep from its turn.
            tokio::select! {
                count = queue.recv_many(&mut group, O::GROUP) => {
                    if count == 0 {
                        return;
                    }
                    if let Err(error) = self.relay(std::mem::take(&mut group)).await {
                        tracing::warn!(%error, "{} wait in the outbox, for the sweep", O::ROWS);
                    }
                }
                () = sweeps.due(), if !self.shutdown.is_draining() => sweeps.done(self.sweep().await, O::ROWS),
            }
        }
    }

    /// Sweeps until the process stops, each time if `may_sweep`, which is asked before each sweep.
    pub async fn sweep_until_shutdown(&self, may_sweep: impl Fn() -> bool) {
        let mut sweeps = Sweeps::new(self.retry);
        loop {
            tokio::select! { () = sweeps.due() => {}, () = self.shutdown.draining() => return }
            if may_sweep() {
                sweeps.done(self.sweep().await, O::ROWS);
            }
        }
    }

    /// Publishes rows and marks those that have their PubAck.
    ///
    /// # Errors
    /// Returns the store's error if the rows cannot be marked: the stream has them, and the sweep publishes them again.
    pub async fn relay(&self, rows: Vec<O::Row>) -> Result<Relayed, StoreError> {
        if rows.is_empty() {
            return Ok(Relayed::default());
        }
        let mut marks = Vec::with_capacity(rows.len());
        let mut failures = Vec::new();
        for result in self.outbox.publish(rows).await {
            match result {
                Ok(mark) => marks.push(mark),
                Err(failure) => failures.push(failure),
            }
        }
        let relayed = Relayed {
            published: marks.len(),
            left: failures.len(),
        };
        if let Some(first) = failures.first() {
            tracing::warn!(
                error = %first,
                correlation_id = first.correlation_id,
                left = relayed.left,
                "{} were not published; the sweep will try again",
                O::ROWS
            );
        }
        if !marks.is_empty() {
            self.outbox.mark(marks).await?;
        }
        Ok(relayed)
    }

    /// One sweep: claim after claim, until nothing is left or rows of a claim could not be published.
    async fn sweep(&self) -> Result<Relayed, StoreError> {
        let mut swept = Relayed::default();
        while swept.left == 0 {
            let claimed = self.outbox.claim(CLAIM).await?;
            if claimed.is_empty() || self.shutdown.is_draining() {
                break;
            }
            tracing::info!(
                count = claimed.len(),
                "publishing {} that were left behind",
                O::ROWS
            );
            // All groups are tried before the sweep fails.
            let mut error = None;
            for group in claimed.chunks(O::GROUP) {
                match self.relay(group.to_vec()).await {
                    Ok(relayed) => {
                        swept.published += relayed.published;
                        swept.left += relayed.left;
                    }
                    Err(failed) => error = error.or(Some(failed)),
                }
            }
            error.map_or(Ok(()), Err)?;
        }
        Ok(swept)
    }
}

/// When sweeps are due: every [`SWEEP_EVERY`], and later after failures.
struct Sweeps {
    ticks: Interval,
    retry: RetryPolicy,
    failures: u32,
}

impl Sweeps {
    fn new(retry: RetryPolicy) -> Self {
        let mut ticks = interval(SWEEP_EVERY);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Self {
            ticks,
            retry,
            failures: 0,
        }
    }

    async fn due(&mut self) {
        self.ticks.tick().await;
    }

    fn done(&mut self, swept: Result<Relayed, StoreError>, rows: &str) {
        match swept {
            Ok(Relayed { left: 0, .. }) => {
                self.failures = 0;
                return;
            }
            Ok(_) => {}
            Err(error) => {
                let failures = self.failures;
                tracing::warn!(%error, failures, "{rows} wait in the outbox; trying again");
            }
        }
        let delay = SWEEP_EVERY + self.retry.delay(self.failures);
        self.ticks.reset_after(delay);
        self.failures = self.failures.saturating_add(1);
    }
}
