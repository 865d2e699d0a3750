//! One way to send: batches to a collector, several at once, and what came of them.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::bail;
use futures_util::{Stream, StreamExt as _};
use indicatif::{ProgressBar, ProgressStyle};
use runtime::settings::Address;
use runtime::shutdown::Shutdown;
use serde::Serialize;
use types::verdict::Counts;

use super::client::{Acknowledged, Client};
use super::input::{Keys, OutgoingBatch};
use crate::output;
use crate::target::Target;

/// To which collector batches are sent, with which keys, and how.
#[derive(Debug, clap::Args)]
pub struct DeliveryArgs {
    #[command(flatten)]
    pub target: Target,
    /// The collector [default: that of the folder]
    #[arg(
        long, env = "DEVTRAIL_URL", value_name = "URL", help_heading = "Connection",
        value_parser = runtime::settings::HTTP_ADDRESS
    )]
    url: Option<Address>,
    /// Keys: one key, or `developer key` lines as `keys create --from-file` prints them
    /// [default: api-key in the folder]
    #[arg(
        long,
        env = "DEVTRAIL_KEY_FILE",
        value_name = "FILE",
        help_heading = "Connection"
    )]
    key_file: Option<PathBuf>,
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
        Client::new(
            name,
            &self.target.collector_url(self.url.as_ref())?,
            self.give_up_after,
        )
    }

    /// The keys to send with.
    ///
    /// # Errors
    /// Returns an error if they cannot be read.
    pub fn keys(&self) -> anyhow::Result<Keys> {
        Keys::read(
            &self
                .key_file
                .clone()
                .unwrap_or_else(|| self.target.data.join("api-key")),
        )
    }

    /// Whether the events will be those of the developer of the folder's first key.
    #[must_use]
    pub fn is_as_me(&self) -> bool {
        self.key_file.is_none()
    }

    /// Sends every batch until it is acknowledged, and returns a summary of all replies. No more are taken from
    /// `batches` than are in flight.
    ///
    /// # Errors
    /// Returns an error at the first batch that cannot be made, is refused, or is not acknowledged in time.
    pub async fn send(
        &self,
        client: &Client,
        batches: impl Stream<Item = anyhow::Result<OutgoingBatch>>,
        progress: &Progress,
        shutdown: &Shutdown,
    ) -> anyhow::Result<Summary> {
        let started = Instant::now();
        let mut summary = Summary::default();
        let replies = batches.map(|batch| async { client.send(&batch?).await });
        let mut replies = std::pin::pin!(replies.buffer_unordered(usize::from(self.clients)));
        loop {
            let reply = tokio::select! {
                reply = replies.next() => reply,
                () = shutdown.draining() => {
                    bail!(
                        "Stopped after {}; sending the same input again is safe.",
                        output::count(summary.batches, "batch")
                    )
                }
            };
            let Some(reply) = reply else { break };
            let reply = reply?;
            progress.went(&reply);
            summary.add(&reply);
        }
        Ok(Summary {
            seconds: started.elapsed().as_secs_f64(),
            ..summary
        })
    }
}

/// A bar on a terminal, nothing elsewhere. Cleared when dropped.
pub struct Progress {
    bar: ProgressBar,
    counts_events: bool,
}

impl Progress {
    /// Of so many `batches`; hidden if `quiet`.
    #[must_use]
    pub fn of_batches(total: usize, quiet: bool) -> Self {
        Self {
            bar: bar(total as u64, "batches", quiet),
            counts_events: false,
        }
    }

    /// Of so many events, which are called `what`; hidden if `quiet`.
    #[must_use]
    pub fn of_events(total: u64, what: &'static str, quiet: bool) -> Self {
        Self {
            bar: bar(total, what, quiet),
            counts_events: true,
        }
    }

    fn went(&self, reply: &Acknowledged) {
        self.bar.inc(if self.counts_events {
            u64::from(reply.counts.received)
        } else {
            1
        });
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}

fn bar(total: u64, what: &'static str, quiet: bool) -> ProgressBar {
    if quiet {
        return ProgressBar::hidden();
    }
    let style = ProgressStyle::with_template("{bar:40} {pos}/{len} {msg} · {per_sec} · {eta} left");
    let style = style.unwrap_or_else(|_| ProgressStyle::default_bar());
    ProgressBar::new(total).with_style(style).with_message(what)
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
    /// Of each code, an event and what is wrong with it.
    #[serde(skip)]
    examples: BTreeMap<String, String>,
    /// How long it took.
    pub seconds: f64,
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
                .or_insert_with(|| output::plain(&format!("{id}{detail}")));
        }
    }

    /// Prints each code with how many events have it, and one of them.
    ///
    /// # Errors
    /// Returns an error if stdout cannot be written.
    pub fn print_codes(&self) -> std::io::Result<()> {
        self.codes.iter().try_for_each(|(code, count)| {
            output::line(format!(
                "  {code}: {count}, such as {}",
                self.examples[code]
            ))
        })
    }
}
