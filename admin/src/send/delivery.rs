//! One way to send: batches to a collector, several at once, and what came of them.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::bail;
use futures_util::{Stream, StreamExt as _};
use indicatif::{ProgressBar, ProgressStyle};
use reqwest::StatusCode;
use runtime::shutdown::Shutdown;
use serde::Serialize;
use types::verdict::{Counts, Verdict};

use super::client::{Acknowledged, Client, SendError};
use super::collector_args::CollectorArgs;
use super::input::{BatchContent, Keys, OutgoingBatch};
use super::source::ReadState;
use crate::output;

/// To which collector batches are sent, with which keys, and how.
#[derive(Debug, clap::Args)]
pub struct DeliveryArgs {
    #[command(flatten)]
    pub collector: CollectorArgs,
    /// Batches in flight at once
    #[arg(
        long, default_value_t = 8, value_name = "N", help_heading = "Sending",
        value_parser = clap::value_parser!(u16).range(1..=1024)
    )]
    clients: u16,
    /// Events in a batch
    #[arg(
        long, default_value_t = 50, value_name = "N", help_heading = "Sending",
        value_parser = clap::value_parser!(u16).range(1..=1000)
    )]
    pub batch_size: u16,
    /// How long to go on trying when the collector does not answer
    #[arg(
        long, default_value = "5m", value_name = "TIME", help_heading = "Sending",
        value_parser = runtime::settings::parse_duration
    )]
    give_up_after: Duration,
}

impl DeliveryArgs {
    /// A client that calls itself `name`.
    ///
    /// # Errors
    /// Returns an error if no collector is named.
    pub fn client(&self, name: &'static str) -> anyhow::Result<Client> {
        Client::new(name, &self.collector.url()?, self.give_up_after)
    }

    /// The keys to send with.
    ///
    /// # Errors
    /// Returns an error if they cannot be read.
    pub fn keys(&self) -> anyhow::Result<Keys> {
        self.collector.keys()
    }

    /// Whether the events will be those of the developer of the folder's first key.
    #[must_use]
    pub fn is_as_me(&self) -> bool {
        self.collector.is_as_me()
    }

    /// Sends every batch until it is acknowledged, and adds each reply to `summary`. No more are taken from `batches`
    /// than are in flight. An envelope of its own that is refused is passed over, as a bad line is.
    ///
    /// After a signal `batches` must end; what is in flight then may take as long as the shutdown does.
    ///
    /// # Errors
    /// Returns an error at the first batch that cannot be made, is refused, or is not acknowledged in time; or if a
    /// signal has stopped it.
    pub async fn send(
        &self,
        client: &Client,
        batches: impl Stream<Item = anyhow::Result<OutgoingBatch>>,
        progress: &Progress,
        shutdown: &Shutdown,
        summary: &mut Summary,
    ) -> anyhow::Result<()> {
        let started = Instant::now();
        let replies = batches.map(|batch| async {
            let batch = batch?;
            match client.send(&batch).await {
                Err(SendError::Refused { status, reason, .. })
                    if is_its_own_fault(&batch, status) =>
                {
                    let reason = format!("was refused: {status}{reason}");
                    match batch.content {
                        // Made of several places of the input.
                        BatchContent::Envelope { line: 0, .. } => {
                            progress.pass_over_what(&format!("batch {}", batch.batch_id), &reason);
                        }
                        BatchContent::Envelope { line, .. } => progress.pass_over(line, &reason),
                        BatchContent::Events(_) => {}
                    }
                    Ok(None)
                }
                reply => Ok::<_, anyhow::Error>(Some(reply?)),
            }
        });
        let mut replies = std::pin::pin!(replies.buffer_unordered(usize::from(self.clients)));
        loop {
            let reply = tokio::select! {
                reply = replies.next() => reply,
                () = shutdown.aborted() => {
                    bail!("Stopped by a signal before everything that was read was acknowledged. {SEND_AGAIN}")
                }
            };
            summary.seconds = started.elapsed().as_secs_f64();
            let Some(reply) = reply else { break };
            if let Some(reply) = reply? {
                progress.went(&reply);
                summary.add(&reply);
            }
        }
        anyhow::ensure!(
            !shutdown.is_draining(),
            "Stopped by a signal; what had been read until then was sent. {SEND_AGAIN}"
        );
        Ok(())
    }
}

/// What whoever was stopped can do.
const SEND_AGAIN: &str = "Sending the same input again is safe: nothing is stored twice.";

/// Whether an envelope was refused for what it holds, and others may be taken.
fn is_its_own_fault(batch: &OutgoingBatch, status: StatusCode) -> bool {
    // 403 is of a key without the scope as well, but then a batch of events fails the same way, or nothing is sent.
    let of_content = [
        StatusCode::BAD_REQUEST,
        StatusCode::FORBIDDEN,
        StatusCode::PAYLOAD_TOO_LARGE,
    ];
    matches!(batch.content, BatchContent::Envelope { .. }) && of_content.contains(&status)
}

/// Bad lines that are named one by one; the rest is counted.
const NAMED: u64 = 20;

/// What is shown while batches are sent: a bar on a terminal, and bad lines. The bar is cleared when dropped.
pub struct Progress {
    bar: ProgressBar,
    extent: Extent,
    /// What messages call the input.
    input: String,
    passed_over: AtomicU64,
    batches: AtomicU64,
}

/// Of what a bar shows how much is done.
pub enum Extent {
    /// Of a file of so many bytes, which is read so far.
    Bytes { total: u64, state: Arc<ReadState> },
    /// Of an input without a known end.
    Open,
    /// Of so many events, which are called so.
    Events { total: u64, what: &'static str },
}

impl Progress {
    /// Of an input that messages call `input`; the bar is hidden if `quiet`.
    #[must_use]
    pub fn new(extent: Extent, input: &str, quiet: bool) -> Self {
        let bar = match extent {
            _ if quiet => ProgressBar::hidden(),
            Extent::Bytes { total, .. } => bar(
                ProgressBar::new(total),
                "{bar:40} {percent}% · {msg} · {eta} left",
            ),
            Extent::Open => bar(ProgressBar::new_spinner(), "{spinner} {msg} · {elapsed}"),
            Extent::Events { total, what } => bar(
                ProgressBar::new(total),
                "{bar:40} {pos}/{len} {msg} · {per_sec} · {eta} left",
            )
            .with_message(what),
        };
        Self {
            bar,
            extent,
            input: input.to_owned(),
            passed_over: AtomicU64::new(0),
            batches: AtomicU64::new(0),
        }
    }

    /// Names a line that is no event, and counts it.
    pub fn pass_over(&self, line: u64, reason: &str) {
        self.pass_over_what(&format!("line {line}"), reason);
    }

    /// Names a part of the input, such as `line 7`, that is no event, and counts it.
    pub fn pass_over_what(&self, what: &str, reason: &str) {
        if self.passed_over.fetch_add(1, Ordering::Relaxed) < NAMED {
            let text = format!("{}: {what} {reason}; it is passed over", self.input);
            self.bar.suspend(|| output::note(&output::plain(&text)));
        }
    }

    /// How many lines were passed over.
    #[must_use]
    pub fn passed_over(&self) -> u64 {
        self.passed_over.load(Ordering::Relaxed)
    }

    fn went(&self, reply: &Acknowledged) {
        let batches = self.batches.fetch_add(1, Ordering::Relaxed) + 1;
        match &self.extent {
            Extent::Events { .. } => self.bar.inc(u64::from(reply.counts.received)),
            Extent::Bytes { state, .. } => {
                self.bar.set_message(format!("{batches} batches"));
                self.bar.set_position(state.bytes());
            }
            Extent::Open => {
                self.bar.set_message(format!("{batches} batches"));
                self.bar.tick();
            }
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}

fn bar(bar: ProgressBar, template: &str) -> ProgressBar {
    let style = ProgressStyle::with_template(template);
    bar.with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
}

/// What came of it.
#[derive(Debug, Default, Serialize)]
pub struct Summary {
    /// Batches acknowledged.
    pub batches: u64,
    /// Of these, batches that were known already.
    pub duplicate_batches: u64,
    /// Attempts beyond the first of each batch.
    pub retries: u64,
    /// Events by verdict.
    #[serde(flatten)]
    pub counts: Counts,
    /// Accepted events of batches that were not known already.
    #[serde(skip)]
    pub new: u64,
    /// Batches that the store has not confirmed yet.
    #[serde(skip)]
    pub not_stored_yet: u64,
    /// Events that were not simply accepted, by their code.
    pub codes: BTreeMap<String, u64>,
    /// Of each code, its verdict, and an event with what is wrong with it.
    #[serde(skip)]
    examples: BTreeMap<String, CodeExample>,
    /// How long it took.
    pub seconds: f64,
}

/// An event that was not simply accepted.
#[derive(Debug)]
struct CodeExample {
    verdict: Verdict,
    /// Its id, and what is wrong with it.
    text: String,
}

impl Summary {
    fn add(&mut self, reply: &Acknowledged) {
        self.batches += 1;
        self.duplicate_batches += u64::from(reply.duplicate_batch);
        self.not_stored_yet += u64::from(reply.durability != "stored");
        self.retries += u64::from(reply.retries);
        let sum = &mut self.counts;
        let counts = &reply.counts;
        // A batch that was there has the counts of its first sending.
        self.new += if reply.duplicate_batch {
            0
        } else {
            u64::from(counts.accepted)
        };
        sum.received += counts.received;
        sum.accepted += counts.accepted;
        sum.duplicate += counts.duplicate;
        sum.rejected += counts.rejected;
        sum.quarantined += counts.quarantined;
        for exception in &reply.exceptions {
            let code = exception.code.as_str();
            *self.codes.entry(code.to_owned()).or_default() += 1;
            let id = exception
                .id
                .as_deref()
                .unwrap_or("an event without a usable id");
            let detail = exception
                .detail
                .as_deref()
                .map(|detail| format!(": {detail}"))
                .unwrap_or_default();
            self.examples
                .entry(code.to_owned())
                .or_insert_with(|| CodeExample {
                    verdict: exception.code.verdict(),
                    text: output::plain(&format!("{id}{detail}")),
                });
        }
    }

    /// Prints each code of this verdict with how many events have it, and one of them.
    ///
    /// # Errors
    /// Returns an error if stdout cannot be written.
    pub fn print_codes(&self, verdict: Verdict) -> std::io::Result<()> {
        let of_verdict = self
            .examples
            .iter()
            .filter(|(_, example)| example.verdict == verdict);
        of_verdict.into_iter().try_for_each(|(code, example)| {
            output::line(format!(
                "  {code}: {}, such as {}",
                self.codes[code], example.text
            ))
        })
    }
}
