//! How much a collector takes in hand at once, in requests and in bytes; beyond that it refuses at once.
//!
//! A refusal costs nothing and says when to come back; a queue would only make every client wait, and hold
//! in memory what nobody gets to.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use tokio::sync::{Semaphore, SemaphorePermit};

use http_server::{ErrorCode, Problem};

/// What is taken in hand at once.
#[derive(Debug, Clone, clap::Args)]
#[command(next_help_heading = "Overload")]
pub struct RoomSettings {
    /// Most connections at once; more are answered 503 and closed
    #[arg(
        long, env = "DEVTRAIL_MAX_CONNECTIONS", default_value_t = Self::DEFAULT.max_connections, value_name = "N",
        value_parser = at_least_one
    )]
    pub max_connections: usize,
    /// Most batches in hand at once, from their header to their reply; more are answered 503
    #[arg(
        long, env = "DEVTRAIL_MAX_IN_FLIGHT", default_value_t = Self::DEFAULT.max_in_flight, value_name = "N",
        value_parser = at_least_one
    )]
    pub max_in_flight: usize,
    /// Most bytes of batches in hand at once, counted as they arrive and as they are inflated
    #[arg(
        long, env = "DEVTRAIL_MAX_IN_FLIGHT_BYTES", default_value_t = Self::DEFAULT.max_in_flight_bytes, value_name = "BYTES",
        value_parser = at_least_one
    )]
    pub max_in_flight_bytes: usize,
}

fn at_least_one(text: &str) -> Result<usize, String> {
    let number = text.parse().ok().filter(|number| *number > 0);
    number.ok_or_else(|| format!("{text:?} is no bound; write a whole number of at least 1"))
}

impl RoomSettings {
    /// 4,096 connections, 1,024 batches, 256 MiB: 64 bodies of the largest size, and some 20,000 usual ones.
    pub const DEFAULT: Self = Self {
        max_connections: 4096,
        max_in_flight: 1024,
        max_in_flight_bytes: 256 * 1024 * 1024,
    };

    /// Checks that one batch fits that is as large as `max_body` allows.
    ///
    /// # Errors
    /// Where such a batch would be refused for ever: as sent and inflated it must find room.
    pub fn expect_room_for(&self, max_body: usize) -> Result<(), runtime::settings::UsageError> {
        let (given, needed) = (self.max_in_flight_bytes, max_body.saturating_mul(2));
        if given >= needed {
            return Ok(());
        }
        Err(runtime::settings::UsageError(format!(
            "--max-in-flight-bytes is {given}, and one body of --max-body ({max_body}) bytes takes up to {needed}: raise the \
             one or lower the other."
        )))
    }
}

/// Of the batches in hand this share, at most, waits for the store: the others must get through.
const WAITING_SHARE: usize = 2;
/// Questions to the workers at once, as a share of the batches.
const QUESTIONS_SHARE: usize = 4;

/// What is in hand.
pub struct Room {
    requests: Arc<Count>,
    bytes: Arc<Count>,
    waiting: Arc<Count>,
    questions: Arc<Count>,
    /// Bodies that take milliseconds, and memory, to inflate and to judge: one for each processor.
    heavy: Semaphore,
}

/// A batch's place: its request, and its bytes so far. Given back when it is dropped.
pub struct Place {
    bytes: Held,
    _request: Held,
}

/// So much of a bound; given back when it is dropped.
pub struct Held {
    count: Arc<Count>,
    held: AtomicUsize,
}

/// A bound, and how much of it is taken.
struct Count {
    what: &'static str,
    setting: &'static str,
    max: usize,
    taken: AtomicUsize,
    /// Something was refused since there was much room.
    told: AtomicBool,
}

impl Room {
    /// An empty one.
    #[must_use]
    pub fn new(settings: &RoomSettings) -> Arc<Self> {
        let requests = settings.max_in_flight;
        let (waiting, questions) = (
            (requests / WAITING_SHARE).max(1),
            (requests / QUESTIONS_SHARE).max(1),
        );
        let processors = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        Arc::new(Self {
            requests: Count::new("batches", "--max-in-flight", requests),
            bytes: Count::new(
                "bytes of batches",
                "--max-in-flight-bytes",
                settings.max_in_flight_bytes,
            ),
            waiting: Count::new(
                "batches that wait for the store",
                "half of --max-in-flight",
                waiting,
            ),
            questions: Count::new(
                "questions to the workers",
                "a quarter of --max-in-flight",
                questions,
            ),
            heavy: Semaphore::new(processors),
        })
    }

    /// A place for a batch whose body announces so many bytes; they are counted as they arrive.
    ///
    /// # Errors
    /// `overloaded` where there is none, or no room for such a body.
    pub fn enter(&self, announced: usize) -> Result<Place, Problem> {
        let _request = Held::of(&self.requests, 1)?;
        // Nothing is reserved for what may never come.
        drop(Held::of(&self.bytes, announced)?);
        Ok(Place {
            bytes: Held::of(&self.bytes, 0)?,
            _request,
        })
    }

    /// A place among those that wait for the store, where there is one.
    #[must_use]
    pub fn wait(&self) -> Option<Held> {
        Held::of(&self.waiting, 1).ok()
    }

    /// A place for a question to the workers.
    ///
    /// # Errors
    /// `overloaded` where there is none.
    pub fn ask(&self) -> Result<Held, Problem> {
        Held::of(&self.questions, 1)
    }

    /// The turn of a large body to be inflated or judged.
    pub async fn turn(&self) -> SemaphorePermit<'_> {
        self.heavy.acquire().await.expect("nothing closes it")
    }
}

impl Place {
    /// Counts bytes that have come, or are about to be inflated.
    ///
    /// # Errors
    /// `overloaded` where they are too many; they are not counted then.
    pub fn hold(&self, bytes: usize) -> Result<(), Problem> {
        self.bytes.more(bytes)
    }

    /// Counts bytes that are made of those that have come, whether or not there is room: all work on them is done but the
    /// publish. So the bound can be passed, by as much again: a message has its body's events as they came, and
    /// a note on each of them.
    pub fn hold_as_well(&self, bytes: usize) {
        self.bytes.count.taken.fetch_add(bytes, Ordering::Relaxed);
        self.bytes.held.fetch_add(bytes, Ordering::Relaxed);
    }

    /// Gives bytes back.
    pub fn release(&self, bytes: usize) {
        let bytes = bytes.min(self.bytes.held.load(Ordering::Relaxed));
        self.bytes.held.fetch_sub(bytes, Ordering::Relaxed);
        self.bytes.count.give(bytes);
    }
}

impl Held {
    fn of(count: &Arc<Count>, number: usize) -> Result<Self, Problem> {
        let held = Self {
            count: count.clone(),
            held: AtomicUsize::new(0),
        };
        held.more(number).map(|()| held)
    }

    fn more(&self, number: usize) -> Result<(), Problem> {
        self.count.take(number)?;
        self.held.fetch_add(number, Ordering::Relaxed);
        Ok(())
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.count.give(*self.held.get_mut());
    }
}

impl Count {
    fn new(what: &'static str, setting: &'static str, max: usize) -> Arc<Self> {
        Arc::new(Self {
            what,
            setting,
            max,
            taken: AtomicUsize::new(0),
            told: AtomicBool::new(false),
        })
    }

    fn take(&self, number: usize) -> Result<(), Problem> {
        let sum = |taken: usize| {
            taken
                .checked_add(number)
                .filter(|sum| number == 0 || *sum <= self.max)
        };
        if self
            .taken
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, sum)
            .is_ok()
        {
            return Ok(());
        }
        let Self {
            what, setting, max, ..
        } = self;
        if !self.told.swap(true, Ordering::Relaxed) {
            tracing::warn!(
                what,
                max,
                "there is no more room: requests are answered 503 overloaded"
            );
        }
        let detail = format!(
            "This collector has no more room: {max} {what} is its limit ({setting}). Send again later."
        );
        Err(Problem::new(ErrorCode::Overloaded, detail).limit(*max as u64))
    }

    fn give(&self, number: usize) {
        let before = self.taken.fetch_sub(number, Ordering::Relaxed);
        if before - number <= self.max / 2 {
            self.told.store(false, Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests;
