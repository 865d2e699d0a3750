//! Retention: purges from the event streams what is completed and no longer to be kept (docs/protocol.md, Retention).
//!
//! Batch rows say what is completed, never a consumer's ack floor. A message without a row is not stored, or not
//! yet. It stays, with all that came after it: only such a backlog can fill the stream.

mod plan;

use std::time::Duration;

use anyhow::{Context as _, ensure};
use async_nats::jetstream::{self, stream::Stream};
use bus::lease::Lease;
use bus::stored_messages::{self, StoredMessage};
use futures_util::future::join_all;
use runtime::clock;
use runtime::process::Process;
use runtime::retry::RetryPolicy;
use runtime::shutdown::Shutdown;
use store::{BatchProgress, Retention, VerifyReads};
use tokio::time::{MissedTickBehavior, interval};
use types::event_streams::{EventStream, EventStreams};
use types::id::Src;

use plan::{Blocker, Fill, PurgeLimit, gaps, keep_from};

/// How long raw messages are kept.
#[derive(Debug, Clone, Copy, Default, clap::Args)]
pub struct RetentionSettings {
    /// Keep messages of EVENTS for this long after they were published, as far as there is room; what is not
    /// completed stays longer
    /// [default: until the stream is 80 % full]
    #[arg(
        long, env = "DEVTRAIL_RAW_RETENTION", value_name = "TIME",
        value_parser = runtime::settings::parse_duration, help_heading = "Retention"
    )]
    pub raw_retention: Option<Duration>,
}

/// The time between two purges. The fifth of the stream that is free when purging begins must not fill up in it.
const PURGE_EVERY: Duration = Duration::from_millis(500);
/// Rows read at once.
const PAGE: u32 = 5_000;
/// Pages read for one purge.
const PAGES: usize = 10;
/// Gaps that are looked up in the stream for one purge; the next purge looks up the others.
const MAX_GAPS: usize = 100;

/// Purges until the process stops. A lease keeps it to one process at a time.
pub async fn run<S: Retention + VerifyReads + Clone>(
    js: jetstream::Context,
    streams: EventStreams,
    store: S,
    settings: RetentionSettings,
    retry: RetryPolicy,
    process: Process,
) {
    let lease = Lease::hold(js.clone(), "retention", &process.actor.to_string());
    // Beside each other: one that cannot be purged holds up no other.
    let purging = streams.all().map(|stream| {
        let purger = Purger {
            js: js.clone(),
            stream,
            store: store.clone(),
            settings,
            blocked_by: None,
        };
        purger.until_shutdown(&lease, retry, &process.shutdown)
    });
    join_all(purging).await;
    lease.release().await;
}

/// Errors in a row are logged when they begin, when they change, and when they are over.
#[derive(Debug)]
struct RepeatedError {
    stream: EventStream,
    logged: Option<String>,
}

impl RepeatedError {
    /// Of a stream that had none.
    fn none(stream: EventStream) -> Self {
        Self {
            stream,
            logged: None,
        }
    }

    fn occurred(&mut self, error: String) {
        if self.logged.as_ref() != Some(&error) {
            tracing::warn!(error, "{} could not be purged; trying again", self.stream);
            self.logged = Some(error);
        }
    }

    fn ended(&mut self, attempts: u32) {
        if self.logged.take().is_some() {
            tracing::info!(attempts, "{} can be purged again", self.stream);
        }
    }
}

struct Purger<S> {
    js: jetstream::Context,
    stream: EventStream,
    store: S,
    settings: RetentionSettings,
    /// What kept a full stream from being purged: logged once.
    blocked_by: Option<Blocker>,
}

impl<S: Retention + VerifyReads> Purger<S> {
    /// Purges again and again while the lease is held.
    async fn until_shutdown(mut self, lease: &Lease, retry: RetryPolicy, shutdown: &Shutdown) {
        let mut backoff = retry.backoff(shutdown);
        let mut errors = RepeatedError::none(self.stream);
        let mut ticks = interval(PURGE_EVERY);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! { _ = ticks.tick() => {}, () = shutdown.draining() => break }
            if !lease.is_held() {
                continue;
            }
            let purged = shutdown
                .drain_token()
                .run_until_cancelled_owned(self.purge())
                .await;
            match purged {
                Some(Err(error)) => {
                    errors.occurred(format!("{error:#}"));
                    backoff.wait().await;
                }
                Some(Ok(())) => {
                    errors.ended(backoff.attempt());
                    backoff.reset();
                }
                None => {}
            }
        }
    }

    async fn purge(&mut self) -> anyhow::Result<()> {
        let name = self.stream.to_string();
        let stream = self
            .js
            .get_stream(&name)
            .await
            .with_context(|| format!("the stream {name} cannot be read"))?;
        let fill = fill(&stream);
        let Some(limit) = PurgeLimit::of(&fill, self.settings.raw_retention, clock::now()) else {
            return Ok(());
        };
        let incarnation = bus::bind_stream(&self.js, &name).await?;
        // Of an incarnation that the store never saw, nothing is completed.
        let src = self.store.known_source(&incarnation).await?;
        let end = match src {
            Some(src) => self.purge_end(src, fill.first, &limit).await?,
            None => fill.first,
        };
        if end <= fill.first {
            if fill.is_nearly_full() {
                self.log_blocker(src, &fill).await?;
            }
            return Ok(());
        }
        let purged = stream
            .purge()
            .sequence(end)
            .await
            .with_context(|| format!("the stream {name} cannot be purged"))?;
        self.blocked_by = None;
        tracing::info!(
            from = fill.first,
            below = end,
            messages = purged.purged,
            bytes_before = fill.bytes,
            max_bytes = fill.max_bytes,
            because = if fill.is_nearly_full() {
                "80 % full"
            } else {
                "older than --raw-retention"
            },
            "purged {name}: these batches are completed"
        );
        Ok(())
    }

    /// The first sequence that must stay.
    async fn purge_end(&self, src: Src, first: u64, limit: &PurgeLimit) -> anyhow::Result<u64> {
        let mut end = first;
        let mut gaps_checked = 0;
        let mut last_page: Vec<BatchProgress> = Vec::new();
        // One row first: if nothing may go, that row says so.
        for page in std::iter::once(1).chain(std::iter::repeat_n(PAGE, PAGES)) {
            let stages = self.store.stages(src, end, page).await?;
            let may_go = keep_from(end, &stages, limit);
            let is_whole = stages.len() == page as usize
                && stages.last().is_some_and(|last| may_go > last.seq);
            let mut page_end = may_go;
            for gap in gaps(end, may_go, &stages) {
                gaps_checked += 1;
                if gaps_checked > MAX_GAPS
                    || self
                        .first_message(gap.start)
                        .await?
                        .is_some_and(|message| message.seq < gap.end)
                {
                    page_end = gap.start;
                    break;
                }
            }
            if page_end > end {
                last_page = stages;
                end = page_end;
            }
            if page_end < may_go || !is_whole {
                break;
            }
        }
        last_page.retain(|stage| stage.seq < end);
        let is_same = self.has_messages_of(&last_page).await?;
        Ok(if is_same { end } else { first })
    }

    /// Logs what keeps a full stream from being purged, once for each blocker.
    async fn log_blocker(&mut self, src: Option<Src>, fill: &Fill) -> anyhow::Result<()> {
        let rows = match src {
            Some(src) => self.store.stages(src, fill.first, 1).await?,
            None => Vec::new(),
        };
        let before_row = |seq: &u64| rows.first().is_none_or(|row| *seq < row.seq);
        let message = self
            .first_message(fill.first)
            .await?
            .map(|message| message.seq)
            .filter(before_row);
        let blocker = Blocker::at(fill.first, &rows, message);
        // It was completed since the rows were read: the next purge takes it.
        let is_done = message.is_none() && rows.first().is_some_and(|row| row.is_done);
        if !is_done && self.blocked_by.replace(blocker) != Some(blocker) {
            tracing::warn!(
                first = fill.first,
                percent = fill.percent(),
                max_bytes = fill.max_bytes,
                "{} is nearly full and nothing can be purged: {}. A larger max_bytes of the stream gives time",
                self.stream,
                blocker.sentence(self.stream)
            );
        }
        Ok(())
    }

    /// The first message at `seq` or above it.
    async fn first_message(&self, seq: u64) -> anyhow::Result<Option<StoredMessage>> {
        let name = self.stream.to_string();
        let subjects = self.stream.all_subjects();
        let found = stored_messages::first_from(&self.js, &name, seq, &subjects).await;
        found.with_context(|| format!("the stream {name} cannot be read"))
    }

    /// Whether the rows are of the messages that are in the stream now. A stream that was restored to an older state
    /// gives sequences out again, and has other messages at the higher ones
    /// (docs/decisions/0005-a-stream-put-back.md). So the highest sequence decides for all.
    async fn has_messages_of(&self, rows: &[BatchProgress]) -> anyhow::Result<bool> {
        for row in rows.iter().rev().take(MAX_GAPS) {
            // An administrator may have deleted this one.
            let Some(message) = self.first_message(row.seq).await? else {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_repeated_error_is_logged_when_it_changes_and_ends() {
        let mut errors = RepeatedError::none(EventStream::named("EVENTS").unwrap());
        errors.occurred("no answer".to_owned());
        errors.occurred("no answer".to_owned());
        assert_eq!(errors.logged.as_deref(), Some("no answer"));
        errors.occurred("another".to_owned());
        assert_eq!(errors.logged.as_deref(), Some("another"));
        errors.ended(3);
        assert_eq!(errors.logged, None);
        errors.occurred("no answer".to_owned());
        assert_eq!(errors.logged.as_deref(), Some("no answer"));
    }
}
