//! How many requests and bytes a collector has in flight at once; beyond that it refuses at once.
//!
//! A refusal costs nothing and names a time to come back. A queue would make every client wait, and hold in memory
//! what nobody gets to.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use http_server::{ErrorCode, Problem};
use runtime::settings::UsageError;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, SemaphorePermit};

/// The bounds of what is in flight.
#[derive(Debug, Clone, clap::Args)]
#[command(next_help_heading = "Overload")]
pub struct OverloadSettings {
    /// Most connections at once; more are answered 503 and closed
    #[arg(
        long, env = "DEVTRAIL_MAX_CONNECTIONS", default_value_t = Self::DEFAULT.max_connections, value_name = "N",
        value_parser = at_least_one
    )]
    pub max_connections: usize,
    /// Most batches in flight at once, from their header to their reply; more are answered 503
    #[arg(
        long, env = "DEVTRAIL_MAX_IN_FLIGHT", default_value_t = Self::DEFAULT.max_in_flight, value_name = "N",
        value_parser = at_least_one
    )]
    pub max_in_flight: usize,
    /// Most bytes of batches in flight at once, counted as they arrive and as they are inflated
    #[arg(
        long, env = "DEVTRAIL_MAX_IN_FLIGHT_BYTES", default_value_t = Self::DEFAULT.max_in_flight_bytes,
        value_name = "BYTES", value_parser = at_least_one
    )]
    pub max_in_flight_bytes: usize,
}

fn at_least_one(text: &str) -> Result<usize, String> {
    let number = text.parse().ok().filter(|number| *number > 0);
    number.ok_or_else(|| format!("{text:?} is no bound; write a whole number of at least 1"))
}

impl OverloadSettings {
    /// 4,096 connections, 1,024 batches, 256 MiB: 64 bodies of the largest size, and some 20,000 usual ones.
    pub const DEFAULT: Self = Self {
        max_connections: 4096,
        max_in_flight: 1024,
        max_in_flight_bytes: 256 * 1024 * 1024,
    };

    /// Checks that one batch fits that is as large as `max_body` allows.
    ///
    /// # Errors
    /// Returns [`UsageError`] if such a batch would always be refused: it must fit both as sent and inflated.
    pub fn expect_fits(&self, max_body: usize) -> Result<(), UsageError> {
        let given = self.max_in_flight_bytes;
        let needed = max_body.saturating_mul(2);
        if given >= needed {
            return Ok(());
        }
        Err(UsageError(format!(
            "--max-in-flight-bytes is {given}, and one body of --max-body ({max_body}) bytes takes up to {needed}: \
                raise the \
             one or lower the other."
        )))
    }
}

/// The share of the batches in flight that may wait for the store: the others must get through.
const WAITING_SHARE: usize = 2;
/// Queries to the workers at once, as a share of the batches.
const QUERY_SHARE: usize = 4;

/// What is in flight.
pub struct AdmissionControl {
    batches: Bound,
    bytes: Arc<ByteBound>,
    waiting: Bound,
    queries: Bound,
    /// Large bodies that are inflated or validated at once: one for each processor.
    large_bodies: Semaphore,
}

/// A batch in flight: its request, and its bytes so far. Given back when it is dropped.
pub struct BatchPermit {
    bytes: Arc<ByteBound>,
    held: AtomicUsize,
    _batch: OwnedSemaphorePermit,
}

impl AdmissionControl {
    #[must_use]
    pub fn new(settings: &OverloadSettings) -> Arc<Self> {
        let batches = settings.max_in_flight;
        let waiting = (batches / WAITING_SHARE).max(1);
        let queries = (batches / QUERY_SHARE).max(1);
        let processors = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        let bytes = Bound::new(
            "bytes of batches",
            "--max-in-flight-bytes",
            settings.max_in_flight_bytes,
        );
        Arc::new(Self {
            batches: Bound::new("batches", "--max-in-flight", batches),
            bytes: Arc::new(ByteBound {
                bound: bytes,
                overdraft: AtomicUsize::new(0),
            }),
            waiting: Bound::new(
                "batches that wait for the store",
                "half of --max-in-flight",
                waiting,
            ),
            queries: Bound::new(
                "questions to the workers",
                "a quarter of --max-in-flight",
                queries,
            ),
            large_bodies: Semaphore::new(processors),
        })
    }

    /// Admits a batch whose body announces this many bytes. The bytes are counted as they arrive.
    ///
    /// # Errors
    /// Returns `overloaded` if there are too many batches, or too many bytes for such a body.
    pub fn admit(&self, announced: usize) -> Result<BatchPermit, Problem> {
        let batch = self.batches.try_acquire()?;
        // Nothing is reserved for what may never come.
        self.bytes.bound.expect_available(announced)?;
        Ok(BatchPermit {
            bytes: self.bytes.clone(),
            held: AtomicUsize::new(0),
            _batch: batch,
        })
    }

    /// A permit to wait for the store, if not too many batches wait already.
    #[must_use]
    pub fn wait(&self) -> Option<OwnedSemaphorePermit> {
        self.waiting.try_acquire().ok()
    }

    /// A permit to query the workers.
    ///
    /// # Errors
    /// Returns `overloaded` if too many queries are running.
    pub fn query(&self) -> Result<OwnedSemaphorePermit, Problem> {
        self.queries.try_acquire()
    }

    /// Waits until a large body may be inflated or validated, which takes milliseconds, and memory.
    pub async fn large_body(&self) -> SemaphorePermit<'_> {
        self.large_bodies
            .acquire()
            .await
            .expect("nothing closes it")
    }
}

impl BatchPermit {
    /// Counts bytes that have arrived, or are about to be inflated.
    ///
    /// # Errors
    /// Returns `overloaded` if they are too many; they are not counted then.
    pub fn hold(&self, bytes: usize) -> Result<(), Problem> {
        self.bytes.take(bytes)?;
        self.held.fetch_add(bytes, Ordering::Relaxed);
        Ok(())
    }

    /// Counts bytes made of those that have arrived, even beyond the bound: all work on them is done but the publish.
    /// So the bound can be exceeded, by as much again: a message has its body's events as they came, and a note on
    /// each of them.
    pub fn hold_beyond_bound(&self, bytes: usize) {
        self.bytes.take_beyond(bytes);
        self.held.fetch_add(bytes, Ordering::Relaxed);
    }

    /// Gives bytes back.
    pub fn release(&self, bytes: usize) {
        let bytes = bytes.min(self.held.load(Ordering::Relaxed));
        self.held.fetch_sub(bytes, Ordering::Relaxed);
        self.bytes.give_back(bytes);
    }
}

impl Drop for BatchPermit {
    fn drop(&mut self) {
        self.bytes.give_back(*self.held.get_mut());
    }
}

/// A bound, its permits, and how its refusal names it.
struct Bound {
    what: &'static str,
    setting: &'static str,
    max: usize,
    permits: Arc<Semaphore>,
    /// A refusal was logged since at least half of the permits were free.
    reported: AtomicBool,
}

impl Bound {
    fn new(what: &'static str, setting: &'static str, max: usize) -> Self {
        let max = max.min(Semaphore::MAX_PERMITS);
        Self {
            what,
            setting,
            max,
            permits: Arc::new(Semaphore::new(max)),
            reported: AtomicBool::new(false),
        }
    }

    fn try_acquire(&self) -> Result<OwnedSemaphorePermit, Problem> {
        let permit = self
            .permits
            .clone()
            .try_acquire_owned()
            .map_err(|_| self.overloaded())?;
        self.note_free();
        Ok(permit)
    }

    fn expect_available(&self, number: usize) -> Result<(), Problem> {
        if self.permits.available_permits() >= number {
            self.note_free();
            return Ok(());
        }
        Err(self.overloaded())
    }

    fn note_free(&self) {
        if self.permits.available_permits() >= self.max / 2 {
            self.reported.store(false, Ordering::Relaxed);
        }
    }

    fn overloaded(&self) -> Problem {
        let Self {
            what, setting, max, ..
        } = self;
        if !self.reported.swap(true, Ordering::Relaxed) {
            tracing::warn!(
                what,
                max,
                "too many are in flight: requests are answered 503 overloaded"
            );
        }
        let detail = format!(
            "This collector has no more room: {max} {what} is its limit ({setting}). Send again later."
        );
        Problem::new(ErrorCode::Overloaded, detail).limit(*max as u64)
    }
}

/// The bound of bytes, which messages may exceed.
struct ByteBound {
    bound: Bound,
    /// Bytes taken beyond the bound: paid back before permits are free again.
    overdraft: AtomicUsize,
}

impl ByteBound {
    fn take(&self, bytes: usize) -> Result<(), Problem> {
        // No batch has this many bytes: one such is refused.
        let number = u32::try_from(bytes).map_err(|_| self.bound.overloaded())?;
        let permits = self.bound.permits.try_acquire_many(number);
        permits.map_err(|_| self.bound.overloaded())?.forget();
        self.bound.note_free();
        Ok(())
    }

    fn take_beyond(&self, bytes: usize) {
        let free = self.bound.permits.forget_permits(bytes);
        self.overdraft.fetch_add(bytes - free, Ordering::Relaxed);
    }

    fn give_back(&self, bytes: usize) {
        let pay = |overdraft: usize| Some(overdraft.saturating_sub(bytes));
        let before = self
            .overdraft
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, pay);
        let paid = before.unwrap_or_default().min(bytes);
        self.bound.permits.add_permits(bytes - paid);
    }
}

#[cfg(test)]
mod tests;
