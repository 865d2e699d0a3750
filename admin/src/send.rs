//! `devtrail send`: events from a file or stdin, in batches, retried as the contract says.

mod client;
mod input;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use common::process::{Process, Stop};
use common::verdict::Counts;
use futures_util::{StreamExt, stream};
use indicatif::{ProgressBar, ProgressStyle};
use serde::Serialize;

use crate::out;
use crate::target::Target;
use client::Client;
use input::{Batch, Content, Keys};

/// What to send, and as whom.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  devtrail send events.ndjson
  my-editor-log | devtrail send -
  devtrail send - --key-file keys.txt < people.ndjson    {\"developer\": …, \"event\": …} lines")]
pub struct SendSettings {
    /// A file of events, envelopes, or {"developer", "event"} objects, one a line; - for stdin
    file: String,
    #[command(flatten)]
    target: Target,
    /// The collector [default: that of the folder]
    #[arg(long, env = "DEVTRAIL_URL", value_name = "URL", value_parser = common::process::parse_http_url)]
    url: Option<String>,
    /// Keys: one key, or `developer key` lines as `keys create --from-file` prints them [default: api-key in the folder]
    #[arg(long, env = "DEVTRAIL_KEY_FILE", value_name = "FILE")]
    key_file: Option<PathBuf>,
    /// Batches in flight at once
    #[arg(long, default_value_t = 8, value_name = "N")]
    clients: usize,
    /// Events in a batch
    #[arg(long, default_value_t = 50, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1000))]
    batch_size: u16,
    /// Send every Nth batch a second time, as a client does that lost the reply; 0: none
    #[arg(long, default_value_t = 0, value_name = "N")]
    resend: usize,
    /// Send every Nth batch as two that overlap by a third, as a client does that forgot what it had sent; 0: none
    #[arg(long, default_value_t = 0, value_name = "N")]
    overlap: usize,
    /// How long to go on trying when the collector does not answer
    #[arg(long, default_value = "5m", value_name = "TIME", value_parser = common::process::parse_duration)]
    give_up_after: Duration,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// What came of it.
#[derive(Debug, Default, Serialize)]
struct Summary {
    batches: u64,
    duplicate_batches: u64,
    retries: u64,
    #[serde(flatten)]
    counts: Counts,
    codes: BTreeMap<String, u64>,
    seconds: f64,
}

/// Runs the command.
///
/// # Errors
/// Where the input cannot be read, a key is missing, or a batch was not acknowledged.
pub async fn run(settings: SendSettings, process: Process) -> anyhow::Result<()> {
    let url = settings.target.collector_url(settings.url.as_deref())?;
    let key_file = settings.key_file.clone().unwrap_or_else(|| settings.target.data.join("api-key"));
    let keys = Keys::read(&key_file)?;
    // Whoever writes to stdin may never end.
    let text = crate::interruptible(read(&settings.file), &process.stop).await?;
    let batches = input::batches(&text, &keys, usize::from(settings.batch_size))?;
    if batches.is_empty() {
        bail!("{} holds no events.", settings.file);
    }
    let batches = with_resends(with_overlaps(batches, settings.overlap), settings.resend);
    let progress = progress(batches.len(), settings.json);
    let client = Arc::new(Client::new(&url, settings.give_up_after)?);
    let started = Instant::now();
    let summary = send_all(&client, batches, settings.clients, &progress, &process.stop).await;
    progress.finish_and_clear();
    let summary = Summary { seconds: started.elapsed().as_secs_f64(), ..summary? };
    if settings.json { Ok(out::json(&summary)?) } else { Ok(print(&summary)?) }
}

async fn read(file: &str) -> anyhow::Result<String> {
    let file = file.to_owned();
    let read = move || match file.as_str() {
        "-" => std::io::read_to_string(std::io::stdin()).context("stdin cannot be read"),
        path => std::fs::read_to_string(path).with_context(|| format!("{path} cannot be read")),
    };
    tokio::task::spawn_blocking(read).await?
}

/// Every `nth` batch as two, of which each has two thirds of the events.
fn with_overlaps(batches: Vec<Batch>, nth: usize) -> Vec<Batch> {
    let cut = |(index, batch): (usize, Batch)| match &batch.content {
        Content::Events(events) if nth > 0 && index % nth == nth - 1 && events.len() >= 3 => {
            let third = events.len() / 3;
            let parts = [&events[..events.len() - third], &events[third..]];
            parts.map(|events| input::batch(batch.key.clone(), events.to_vec())).to_vec()
        }
        _ => vec![batch],
    };
    batches.into_iter().enumerate().flat_map(cut).collect()
}

/// Every `nth` batch once more, right behind its first sending.
fn with_resends(batches: Vec<Batch>, nth: usize) -> Vec<Batch> {
    let again = |index: usize| nth > 0 && index % nth == nth - 1;
    let twice = |(index, batch): (usize, Batch)| {
        let copies = if again(index) { 2 } else { 1 };
        std::iter::repeat_n(batch, copies)
    };
    batches.into_iter().enumerate().flat_map(twice).collect()
}

fn progress(length: usize, quiet: bool) -> ProgressBar {
    if quiet {
        return ProgressBar::hidden();
    }
    let style = ProgressStyle::with_template("{bar:40} {pos}/{len} batches · {per_sec} · {eta} left");
    ProgressBar::new(length as u64).with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
}

async fn send_all(
    client: &Arc<Client>,
    batches: Vec<Batch>,
    clients: usize,
    progress: &ProgressBar,
    stop: &Stop,
) -> anyhow::Result<Summary> {
    let mut summary = Summary::default();
    let mut replies = stream::iter(batches.into_iter().map(|batch| {
        let client = client.clone();
        async move { client.send(&batch).await }
    }))
    .buffer_unordered(clients.max(1));
    loop {
        let reply = tokio::select! {
            reply = replies.next() => reply,
            () = stop.draining() => bail!("Stopped after {} batches; sending the same input again is safe.", summary.batches),
        };
        let Some(reply) = reply else { return Ok(summary) };
        summary.add(&reply?);
        progress.inc(1);
    }
}

impl Summary {
    fn add(&mut self, reply: &client::Acknowledged) {
        self.batches += 1;
        self.duplicate_batches += u64::from(reply.duplicate_batch);
        self.retries += u64::from(reply.retries);
        let (sum, counts) = (&mut self.counts, &reply.counts);
        sum.received += counts.received;
        sum.accepted += counts.accepted;
        sum.duplicate += counts.duplicate;
        sum.rejected += counts.rejected;
        sum.quarantined += counts.quarantined;
        for exception in &reply.exceptions {
            *self.codes.entry(exception.code.as_str().to_owned()).or_default() += 1;
        }
    }
}

fn print(summary: &Summary) -> std::io::Result<()> {
    let (counts, seconds) = (&summary.counts, summary.seconds);
    out::line(format!(
        "sent {} batches with {} events in {seconds:.1} s ({:.0} events/s)",
        summary.batches,
        counts.received,
        f64::from(counts.received) / seconds.max(0.001)
    ))?;
    out::line(format!(
        "  accepted {}, duplicate {}, rejected {}, quarantined {} · {} batches were known already, {} retries",
        counts.accepted,
        counts.duplicate,
        counts.rejected,
        counts.quarantined,
        summary.duplicate_batches,
        summary.retries
    ))?;
    summary.codes.iter().try_for_each(|(code, count)| out::line(format!("  {code}: {count}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ids(batch: &Batch) -> Vec<&str> {
        let Content::Events(events) = &batch.content else { panic!("no envelope was given") };
        events.iter().map(|event| event.get()).collect()
    }

    #[test]
    fn an_overlap_sends_each_event_and_a_third_of_them_twice() {
        let text: String = (0..13).map(|id| format!("{{\"id\":\"{id}\"}}\n")).collect();
        let batches = input::batches(&text, &Keys::One("k".into()), 6).unwrap();
        let overlapping = with_overlaps(batches.clone(), 2);
        let sizes: Vec<usize> = overlapping.iter().map(|batch| ids(batch).len()).collect();
        assert_eq!(sizes, [6, 4, 4, 1]);
        assert_eq!([&ids(&overlapping[1])[..2], &ids(&overlapping[2])[..]].concat(), ids(&batches[1]));
        assert_ne!(overlapping[1].batch_id, overlapping[2].batch_id);
        assert_eq!(with_overlaps(batches, 0).len(), 3);
    }
}
