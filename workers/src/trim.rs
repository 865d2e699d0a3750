//! The trimmer: purges from EVENTS what is done with and not wanted any more (docs/protocol.md, Retention).
//!
//! What is done with is read from batch rows, never from a consumer's ack floor. A message without a
//! row is not stored, or not yet, and stays with all that came after it: only such a backlog can fill
//! the stream.

mod bounds;

use std::time::Duration;

use anyhow::{Context as _, ensure};
use async_nats::jetstream::{self, stream::Stream};
use bus::EVENTS;
use bus::lease::Lease;
use bus::stored::{self, StoredMessage};
use runtime::clock;
use runtime::process::Process;
use runtime::retry::RetryPolicy;
use store::{BatchProgress, Retention, VerifyReads};
use tokio::time::MissedTickBehavior;
use types::id::Src;

use bounds::{Blocks, Fill, Wish, gaps, keep_from};

/// How long raw messages are kept.
#[derive(Debug, Clone, Copy, Default, clap::Args)]
pub struct TrimSettings {
    /// Keep messages of EVENTS for this long after they were published, as far as there is room; what is not
    /// completed stays longer
    /// [default: until the stream is 80 % full]
    #[arg(
        long, env = "DEVTRAIL_RAW_RETENTION", value_name = "TIME",
        value_parser = runtime::settings::parse_duration
    )]
    pub raw_retention: Option<Duration>,
}

/// The time between two turns: the fifth of the stream that is free when trimming begins must not
/// fill up in it.
const TURN: Duration = Duration::from_millis(500);
/// Rows read at once.
const PAGE: u32 = 5_000;
/// Pages read in one turn.
const PAGES: usize = 10;
/// Gaps that the stream is asked about in one turn; the others are the next turn's.
const GAPS: usize = 100;

/// Trims until the process stops, one process at a time for all.
pub async fn run<S: Retention + VerifyReads>(
    js: jetstream::Context,
    store: S,
    settings: TrimSettings,
    retry: RetryPolicy,
    process: Process,
) {
    let lease = Lease::hold(js.clone(), "trim", &process.actor.to_string());
    let mut trimmer = Trimmer {
        js,
        store,
        settings,
        stuck_on: None,
    };
    let mut trouble = Trouble::default();
    let mut turns = tokio::time::interval(TURN);
    turns.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! { _ = turns.tick() => {}, () = process.shutdown.draining() => break }
        if !lease.is_held() {
            continue;
        }
        let turn = process
            .shutdown
            .drain_token()
            .run_until_cancelled_owned(trimmer.turn())
            .await;
        match turn {
            Some(Err(error)) => {
                let attempt = trouble.meets(format!("{error:#}"));
                tokio::select! { () = retry.pause(attempt) => {}, () = process.shutdown.draining() => {} }
            }
            Some(Ok(())) => trouble.ends(),
            None => {}
        }
    }
    lease.release().await;
}

/// Errors in a row: said when they begin, when they are others, and when they are over.
#[derive(Debug, Default)]
struct Trouble {
    attempts: u32,
    said: Option<String>,
}

impl Trouble {
    /// Gives how many there were before.
    fn meets(&mut self, error: String) -> u32 {
        if self.said.as_ref() != Some(&error) {
            tracing::warn!(error, "EVENTS could not be trimmed; trying again");
            self.said = Some(error);
        }
        self.attempts = self.attempts.saturating_add(1);
        self.attempts - 1
    }

    fn ends(&mut self) {
        if self.said.take().is_some() {
            tracing::info!(attempts = self.attempts, "EVENTS can be trimmed again");
        }
        self.attempts = 0;
    }
}

struct Trimmer<S> {
    js: jetstream::Context,
    store: S,
    settings: TrimSettings,
    /// What a full stream hung on: said once.
    stuck_on: Option<Blocks>,
}

impl<S: Retention + VerifyReads> Trimmer<S> {
    /// Looks once, and purges what may go.
    async fn turn(&mut self) -> anyhow::Result<()> {
        let stream = self
            .js
            .get_stream(EVENTS)
            .await
            .context("the stream EVENTS cannot be read")?;
        let fill = fill(&stream);
        let Some(wish) = Wish::of(&fill, self.settings.raw_retention, clock::now()) else {
            return Ok(());
        };
        let incarnation = bus::bind_stream(&self.js, EVENTS).await?;
        // A life the store never saw has nothing that is done with.
        let src = self.store.known_source(&incarnation).await?;
        let reached = match src {
            Some(src) => self.reach(src, fill.first, &wish).await?,
            None => fill.first,
        };
        if reached <= fill.first {
            if fill.is_pressed() {
                self.say_stuck(src, &fill).await?;
            }
            return Ok(());
        }
        let purged = stream
            .purge()
            .sequence(reached)
            .await
            .context("the stream EVENTS cannot be trimmed")?;
        self.stuck_on = None;
        tracing::info!(
            from = fill.first,
            below = reached,
            messages = purged.purged,
            bytes_before = fill.bytes,
            max_bytes = fill.max_bytes,
            because = if fill.is_pressed() {
                "80 % full"
            } else {
                "older than --raw-retention"
            },
            "trimmed EVENTS: these batches are completed"
        );
        Ok(())
    }

    /// The first sequence that must stay.
    async fn reach(&self, src: Src, first: u64, wish: &Wish) -> anyhow::Result<u64> {
        let (mut reached, mut asked) = (first, 0);
        let mut seen: Vec<BatchProgress> = Vec::new();
        // One row first: where nothing may go, that says so.
        for page in std::iter::once(1).chain(std::iter::repeat_n(PAGE, PAGES)) {
            let stages = self.store.stages(src, reached, page).await?;
            let may_go = keep_from(reached, &stages, wish);
            let is_whole = stages.len() == page as usize
                && stages.last().is_some_and(|last| may_go > last.seq);
            let mut to = may_go;
            for gap in gaps(reached, may_go, &stages) {
                asked += 1;
                if asked > GAPS
                    || first_message(&self.js, gap.start)
                        .await?
                        .is_some_and(|message| message.seq < gap.end)
                {
                    to = gap.start;
                    break;
                }
            }
            if to > reached {
                seen = stages;
                reached = to;
            }
            if to < may_go || !is_whole {
                break;
            }
        }
        seen.retain(|stage| stage.seq < reached);
        Ok(if is_of_this_stream(&self.js, &seen).await? {
            reached
        } else {
            first
        })
    }

    /// A full stream that cannot be trimmed is said aloud, once for each that it hangs on.
    async fn say_stuck(&mut self, src: Option<Src>, fill: &Fill) -> anyhow::Result<()> {
        let rows = match src {
            Some(src) => self.store.stages(src, fill.first, 1).await?,
            None => Vec::new(),
        };
        let before_row = |seq: &u64| rows.first().is_none_or(|row| *seq < row.seq);
        let message = first_message(&self.js, fill.first)
            .await?
            .map(|message| message.seq)
            .filter(before_row);
        let blocks = Blocks::by(fill.first, &rows, message);
        // What is done with was not when it was looked before: the next turn sees to it.
        let is_done = message.is_none() && rows.first().is_some_and(|row| row.is_done);
        if !is_done && self.stuck_on.replace(blocks) != Some(blocks) {
            tracing::warn!(
                first = fill.first,
                percent = fill.percent(),
                max_bytes = fill.max_bytes,
                "EVENTS is nearly full and nothing can be trimmed: {blocks}. A larger max_bytes of the stream gives time"
            );
        }
        Ok(())
    }
}

fn fill(stream: &Stream) -> Fill {
    let info = stream.cached_info();
    Fill {
        first: info.state.first_sequence,
        messages: info.state.messages,
        bytes: info.state.bytes,
        max_bytes: u64::try_from(info.config.max_bytes)
            .ok()
            .filter(|max| *max > 0),
    }
}

/// The first message at `seq` or above it.
async fn first_message(js: &jetstream::Context, seq: u64) -> anyhow::Result<Option<StoredMessage>> {
    let found = stored::first_from(js, EVENTS, seq, bus::ALL_BATCHES).await;
    found.context("the stream EVENTS cannot be read")
}

/// Whether the rows are of the messages that are there now: a stream that was put back to an older
/// state gives sequences out again, and has other messages at the higher ones (docs/decisions/0005-a-stream-put-back.md).
/// So the highest one tells for all.
async fn is_of_this_stream(
    js: &jetstream::Context,
    rows: &[BatchProgress],
) -> anyhow::Result<bool> {
    for row in rows.iter().rev().take(GAPS) {
        // An administrator may have deleted this one.
        let Some(message) = first_message(js, row.seq).await? else {
            continue;
        };
        if message.seq == row.seq {
            ensure!(
                message.at == row.published_at,
                "the store has another message at sequence {} than the stream: see \"Restoring a backup\"",
                row.seq
            );
            return Ok(true);
        }
    }
    Ok(false)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_in_a_row_wait_longer_and_longer_and_are_said_when_they_change() {
        let mut trouble = Trouble::default();
        assert_eq!(
            [0, 1].map(|_| trouble.meets("no answer".to_owned())),
            [0, 1]
        );
        assert_eq!(trouble.said.as_deref(), Some("no answer"));
        assert_eq!(trouble.meets("another".to_owned()), 2);
        assert_eq!(trouble.said.as_deref(), Some("another"));
        trouble.ends();
        assert_eq!(
            (
                trouble.meets("no answer".to_owned()),
                trouble.said.is_some()
            ),
            (0, true)
        );
    }
}
