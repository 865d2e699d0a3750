//! `devtrail verify`: walks stream and store side by side and names what is missing or surplus.
//!
//! Each event of each EVENTS message must be in exactly one place: in `events` with its own
//! bytes, dropped as a duplicate of an event that came before it, or kept among the refused.

mod account;

use std::time::Duration;

use anyhow::Context as _;
use async_nats::jetstream::stream::Stream;
use common::batch;
use common::bus::{self, EVENTS};
use common::id::BatchRef;
use indicatif::{ProgressBar, ProgressStyle};
use serde::Serialize;
use store::{Account, Ledger};

use crate::out;
use crate::target::{Target, with_store};
use account::{Checked, check};

/// What to check.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  devtrail verify
  devtrail verify --from-seq 1000 --to-seq 2000
  devtrail verify --json | jq .stored")]
pub struct VerifySettings {
    #[command(flatten)]
    target: Target,
    /// First stream sequence to check
    #[arg(long, default_value_t = 1, value_name = "SEQ")]
    from_seq: u64,
    /// Last stream sequence to check [default: the stream's last]
    #[arg(long, value_name = "SEQ")]
    to_seq: Option<u64>,
    /// How long batches that are still on their way may take to be stored (a redelivery takes 30 s)
    #[arg(long, default_value = "60s", value_name = "TIME", value_parser = common::process::parse_duration)]
    wait: Duration,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// What came of it.
#[derive(Debug, Default, Serialize)]
struct Report {
    first_sequence: u64,
    last_sequence: u64,
    messages: u64,
    #[serde(flatten)]
    checked: Checked,
}

/// Sequences read from the store at once.
const PAGE: u64 = 500;
/// Findings printed; the rest is counted.
const SHOWN: usize = 50;

/// Runs the command.
///
/// # Errors
/// Where something is missing or surplus, or stream or store cannot be read.
pub async fn run(settings: VerifySettings) -> anyhow::Result<()> {
    let report = with_store!(settings.target, |store| walk(&store, &settings).await?);
    conclude(&report, settings.json)
}

async fn walk(ledger: &impl Ledger, settings: &VerifySettings) -> anyhow::Result<Report> {
    let (_, js) = settings.target.connect().await?;
    let life = bus::bind_stream(&js, EVENTS).await?;
    let stream = js.get_stream(EVENTS).await.context("The stream EVENTS cannot be read")?;
    let state = &stream.cached_info().state;
    let first = state.first_sequence.max(settings.from_seq);
    let last = settings.to_seq.unwrap_or(state.last_sequence).min(state.last_sequence);
    let mut report = Report { first_sequence: first, last_sequence: last, ..Report::default() };
    let progress = progress(last.saturating_sub(first - 1), settings.json);
    let deadline = tokio::time::Instant::now() + settings.wait;
    let mut from = first;
    while from <= last {
        let to = (from + PAGE - 1).min(last);
        let mut messages = Vec::new();
        for seq in from..=to {
            match stream.direct_get(seq).await {
                Ok(message) => messages.push((seq, message.payload)),
                Err(error) if error.kind() == async_nats::jetstream::stream::DirectGetErrorKind::NotFound => {
                }
                Err(error) => return Err(error).with_context(|| format!("message {seq} cannot be read")),
            }
            progress.inc(1);
        }
        report.messages += messages.len() as u64;
        let sequences: Vec<u64> = messages.iter().map(|(seq, _)| *seq).collect();
        let (src, accounts) = stored(ledger, &life, (from, to), &sequences, deadline).await?;
        let mut accounts = accounts.into_iter().peekable();
        for (seq, payload) in messages {
            while let Some(surplus) = accounts.next_if(|account| account.at.seq < seq) {
                report.checked.surplus(&surplus);
            }
            let account = accounts.next_if(|account| account.at.seq == seq);
            match batch::decode(payload) {
                Ok(batch) => check(BatchRef { src, seq }, &batch, account.as_ref(), &mut report.checked),
                Err(error) => report.checked.find(format!("message {seq} is no batch: {error}")),
            }
        }
        accounts.for_each(|surplus| report.checked.surplus(&surplus));
        from = to + 1;
    }
    if settings.to_seq.is_none() {
        beyond(&stream, ledger, &life, &mut report.checked).await?;
    }
    progress.finish_and_clear();
    Ok(report)
}

/// What the store holds of this life beyond the stream's last message: the stream was put back to an older state.
async fn beyond(
    stream: &Stream,
    ledger: &impl Ledger,
    life: &bus::StreamLife,
    checked: &mut Checked,
) -> anyhow::Result<()> {
    let last = async || {
        let info = stream.get_info().await.context("The stream EVENTS cannot be read")?;
        anyhow::Ok(info.state.last_sequence)
    };
    let Some(src) = ledger.known_source(life).await? else { return Ok(()) };
    let more = ledger.accounts(src, last().await? + 1, u64::MAX).await?;
    if more.is_empty() {
        return Ok(());
    }
    // Live traffic goes on meanwhile: what is stored was in the stream before.
    let last = last().await?;
    more.iter().filter(|account| account.at.seq > last).for_each(|surplus| checked.surplus(surplus));
    Ok(())
}

/// The store's accounts of a page, waiting for batches that are still on their way.
async fn stored(
    ledger: &impl Ledger,
    life: &bus::StreamLife,
    (from, to): (u64, u64),
    sequences: &[u64],
    deadline: tokio::time::Instant,
) -> anyhow::Result<(i64, Vec<Account>)> {
    let mut polls = tokio::time::interval(Duration::from_millis(100));
    loop {
        polls.tick().await;
        // A life the store never saw has no number: nothing of it is stored.
        let src = ledger.known_source(life).await?;
        let accounts = match src {
            Some(src) => ledger.accounts(src, from, to).await?,
            None => Vec::new(),
        };
        let has_row = |seq: &u64| accounts.iter().any(|account| account.at.seq == *seq && account.has_row);
        if tokio::time::Instant::now() >= deadline || sequences.iter().all(has_row) {
            return Ok((src.unwrap_or_default(), accounts));
        }
    }
}

fn progress(length: u64, quiet: bool) -> ProgressBar {
    if quiet {
        return ProgressBar::hidden();
    }
    let style = ProgressStyle::with_template("{bar:40} {pos}/{len} messages · {per_sec} · {eta} left");
    ProgressBar::new(length).with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
}

fn conclude(report: &Report, as_json: bool) -> anyhow::Result<()> {
    let checked = &report.checked;
    if as_json {
        out::json(report)?;
    } else {
        out::line(format!(
            "verify: messages {}–{} ({}), events {}: stored {}, duplicates {}, quarantined {}, rejected {}",
            report.first_sequence,
            report.last_sequence,
            report.messages,
            checked.events,
            checked.stored,
            checked.duplicates,
            checked.quarantined,
            checked.rejected
        ))?;
        for finding in checked.findings.iter().take(SHOWN) {
            out::line(format!("  {finding}"))?;
        }
        if checked.findings.is_empty() {
            out::line("verify: clean. Every acknowledged event is accounted for exactly once.")?;
        }
    }
    let count = checked.findings.len();
    anyhow::ensure!(count == 0, "{count} findings: stream and store do not agree.");
    Ok(())
}
