//! From an input to batches as it comes: a thread reads, a stream makes batches of what it has read.

use std::collections::{BTreeMap, VecDeque};
use std::io::Read as _;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use futures_util::{Stream, stream};
use runtime::shutdown::Shutdown;
use tokio::sync::mpsc::{self, Receiver};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep_until, timeout};

use super::delivery::Progress;
use super::input::{Cutter, Item, Keys, OutgoingBatch, batch, item};
use super::source::{self, ReadState};
use super::values::{Piece, Splitter};

/// Bytes that are read at once.
const CHUNK: usize = 64 * 1024;
/// Chunks that are read ahead.
const AHEAD: usize = 2;
/// How long an event waits for others of its batch: a log may pause for hours.
const MAX_AGE: Duration = Duration::from_secs(1);
/// How long to wait for what the thread passes on.
const GLANCE: Duration = Duration::from_millis(5);
/// Bytes of batches that are not full, of all developers: more go out as they are.
const MAX_OPEN: usize = 32 * 1024 * 1024;

/// What was read of an input.
enum Read {
    Item(Item),
    Bad { line: u64, reason: String },
}

/// An input that is being read by a thread of its own.
pub struct Intake {
    chunks: Receiver<Vec<Read>>,
    reader: JoinHandle<anyhow::Result<()>>,
    state: Arc<ReadState>,
    batcher: Batcher,
    /// Of a pipe; what a file holds is there at once.
    max_age: Option<Duration>,
}

impl Intake {
    /// Begins to read `file`, stdin if it is `-`.
    pub fn start(file: &str, keys: Keys, batch_size: usize, state: Arc<ReadState>) -> Self {
        let (into, chunks) = mpsc::channel(AHEAD);
        let max_age = (!source::is_file(file)).then_some(MAX_AGE);
        let file = file.to_owned();
        let shared = state.clone();
        let reader = tokio::task::spawn_blocking(move || {
            pieces(&file, &shared, |pieces| {
                let items = pieces.into_iter().map(|piece| match piece {
                    Piece::Value { line, text } => match item(line, text, &keys) {
                        Ok(item) => Read::Item(item),
                        Err(reason) => Read::Bad { line, reason },
                    },
                    Piece::Bad { line, reason } => Read::Bad { line, reason },
                });
                // Whoever sent them may have stopped.
                into.blocking_send(items.collect()).is_ok()
            })
        });
        Self {
            chunks,
            reader,
            state,
            batcher: Batcher::new(batch_size),
            max_age,
        }
    }

    /// The batches as they fill, or as their first event has waited long enough. After a signal the stream ends with
    /// what was read until then. Bad lines are given to `progress`.
    pub fn batches<'a>(
        &'a mut self,
        progress: &'a Progress,
        shutdown: &'a Shutdown,
    ) -> impl Stream<Item = OutgoingBatch> + 'a {
        stream::unfold(self, move |intake| async move {
            loop {
                if let Some(batch) = intake.batcher.ready.pop_front() {
                    return Some((batch, intake));
                }
                let due = intake.due();
                if due.is_some_and(|due| due <= Instant::now()) {
                    intake.batcher.close_before(Instant::now() - MAX_AGE);
                    continue;
                }
                let is_due = async {
                    match due {
                        Some(due) => sleep_until(due).await, // sleep: until a batch is due
                        None => std::future::pending().await,
                    }
                };
                let chunk = tokio::select! {
                    chunk = intake.chunks.recv() => chunk,
                    () = is_due => continue,
                    () = shutdown.draining() => intake.last_chunk().await,
                };
                let Some(chunk) = chunk else {
                    intake.batcher.close_all();
                    let last = intake.batcher.ready.pop_front()?;
                    return Some((last, intake));
                };
                for read in chunk {
                    match read {
                        Read::Item(item) => intake.batcher.add(item, Instant::now()),
                        Read::Bad { line, reason } => progress.pass_over(line, &reason),
                    }
                }
            }
        })
    }

    /// What was read already when a signal came; `None` once that is all.
    async fn last_chunk(&mut self) -> Option<Vec<Read>> {
        self.state.stop();
        loop {
            // Looked at first: what was passed on before it waits is in the channel then.
            let is_waiting = self.state.is_waiting();
            match timeout(GLANCE, self.chunks.recv()).await {
                Ok(chunk) => return chunk,
                Err(_) if is_waiting => return None,
                Err(_) => {}
            }
        }
    }

    /// When the oldest event has waited long enough.
    fn due(&self) -> Option<Instant> {
        Some(self.batcher.oldest()? + self.max_age?)
    }

    /// How the reading ended, once the batches have.
    ///
    /// # Errors
    /// Returns an error if the input could not be read, or not to its end.
    pub async fn ended(self) -> anyhow::Result<()> {
        self.reader.await?
    }
}

/// Reads an input to its end, and gives the pieces of each part of it to `take`, until that returns false or `state`
/// is stopped.
///
/// # Errors
/// Returns an error if it cannot be read, or is no text.
pub fn pieces(
    file: &str,
    state: &Arc<ReadState>,
    mut take: impl FnMut(Vec<Piece>) -> bool,
) -> anyhow::Result<()> {
    let mut input = source::text(source::open(file, state.clone())?, file)?;
    let mut splitter = Splitter::default();
    let mut chunk = vec![0; CHUNK];
    loop {
        let outcome = match input.read(&mut chunk) {
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => continue,
            outcome => outcome,
        };
        if state.is_stopped() && !matches!(outcome, Ok(length) if length > 0) {
            return Ok(());
        }
        match outcome {
            Ok(length) if length > 0 => splitter.feed(&chunk[..length]),
            Ok(_) | Err(_) => splitter.end(),
        }
        let pieces: Vec<Piece> = splitter.by_ref().collect();
        let goes_on = pieces.is_empty() || take(pieces);
        let length = outcome.with_context(|| source::cannot_be_read(file))?;
        if length == 0 || !goes_on {
            return Ok(());
        }
    }
}

/// Events on their way to be batches, each batch of one key.
struct Batcher {
    size: usize,
    open: BTreeMap<String, OpenBatch>,
    /// Bytes of their events.
    open_bytes: usize,
    /// Batches to send, in their order.
    ready: VecDeque<OutgoingBatch>,
}

/// A batch that is not full.
struct OpenBatch {
    cutter: Cutter,
    /// When its first event came.
    since: Instant,
}

impl Batcher {
    fn new(size: usize) -> Self {
        Self {
            size,
            open: BTreeMap::new(),
            open_bytes: 0,
            ready: VecDeque::new(),
        }
    }

    fn add(&mut self, item: Item, now: Instant) {
        let (key, event) = match item {
            Item::Envelope(batch) => return self.ready.push_back(batch),
            Item::Event { key, event } => (key, event),
        };
        let open = self.open.entry(key.clone()).or_insert_with(|| OpenBatch {
            cutter: Cutter::new(self.size),
            since: now,
        });
        self.open_bytes -= open.cutter.bytes();
        let full = open.cutter.push(event);
        let rest = open.cutter.bytes();
        self.open_bytes += rest;
        if let Some(events) = full {
            open.since = now;
            if rest == 0 {
                self.open.remove(&key);
            }
            self.ready.push_back(batch(key, events));
        }
        if self.open_bytes > MAX_OPEN {
            self.close_all();
        }
    }

    /// When the first event came that waits.
    fn oldest(&self) -> Option<Instant> {
        self.open.values().map(|open| open.since).min()
    }

    /// Makes batches of what has waited since `time` or longer.
    fn close_before(&mut self, time: Instant) {
        let due = self.open.extract_if(.., |_, open| open.since <= time);
        for (key, open) in due {
            self.open_bytes -= open.cutter.bytes();
            let events = open.cutter.rest();
            self.ready.extend(events.map(|events| batch(key, events)));
        }
    }

    fn close_all(&mut self) {
        self.open_bytes = 0;
        for (key, open) in std::mem::take(&mut self.open) {
            let events = open.cutter.rest();
            self.ready.extend(events.map(|events| batch(key, events)));
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::value::RawValue;

    use super::super::input::BatchContent;
    use super::*;

    fn event(key: &str, text: &str) -> Item {
        Item::Event {
            key: key.to_owned(),
            event: RawValue::from_string(format!("{text:?}")).unwrap(),
        }
    }

    /// The batches that are ready: key and number of events.
    fn ready(batcher: &mut Batcher) -> Vec<String> {
        let batches = batcher.ready.drain(..);
        let shape = batches.map(|batch| match &batch.content {
            BatchContent::Events(events) => format!("{}{}", batch.key, events.len()),
            BatchContent::Envelope { .. } => batch.batch_id,
        });
        shape.collect()
    }

    #[test]
    fn a_batch_goes_out_when_it_is_full_or_old() {
        let mut batcher = Batcher::new(2);
        let begin = Instant::now();
        let at = |millis| begin + Duration::from_millis(millis);
        batcher.add(event("a", "1"), at(0));
        batcher.add(event("b", "2"), at(10));
        assert_eq!(ready(&mut batcher), [""; 0]);
        batcher.add(event("a", "3"), at(20));
        assert_eq!(ready(&mut batcher), ["a2"], "full");
        batcher.add(event("a", "4"), at(30));
        assert_eq!(batcher.oldest(), Some(at(10)));
        batcher.close_before(at(9));
        assert_eq!(ready(&mut batcher), [""; 0]);
        batcher.close_before(at(10));
        assert_eq!(ready(&mut batcher), ["b1"], "old");
        assert_eq!(
            batcher.oldest(),
            Some(at(30)),
            "of the event that came last"
        );
        batcher.close_all();
        assert_eq!(ready(&mut batcher), ["a1"], "the end");
        assert_eq!(batcher.oldest(), None);
    }

    #[test]
    fn what_waits_is_bounded_whatever_the_number_of_developers() {
        let mut batcher = Batcher::new(1000);
        let large = "x".repeat(1024 * 1024);
        for developer in 0..40 {
            batcher.add(event(&format!("k{developer:02}-"), &large), Instant::now());
        }
        assert!(ready(&mut batcher).len() >= 32);
    }
}
