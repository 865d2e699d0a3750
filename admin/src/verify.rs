//! `devtrail verify`: walks stream and store side by side and names what is missing or surplus.
//!
//! Each event of each EVENTS message must be in exactly one place: in `events` with its own bytes,
//! dropped as a duplicate of an event that came before it, or kept among the refused; or its whole
//! message is in DEAD. And each batch's audit must have the steps of the state it is in, and what it
//! waits for must be somewhere.

mod account;
mod dead;
mod findings;
mod queues;
mod reader;
mod stretches;
mod stuck;
mod trail;
mod walk;

use std::time::Duration;

use anyhow::Context as _;
use bus::EVENTS;
use indicatif::{ProgressBar, ProgressStyle};
use serde::Serialize;
use store::{Retention, VerifyReads};

use crate::output;
use crate::target::{Target, with_store};
use findings::{Found, SHOWN};
use walk::Walk;

/// What to check.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  devtrail verify
  devtrail verify --from-seq 1000 --to-seq 2000
  devtrail verify --json | jq .stored")]
pub struct VerifySettings {
    #[command(flatten)]
    target: Target,
    /// First stream sequence to check [default: the stream's first]
    #[arg(long, value_name = "SEQ")]
    from_seq: Option<u64>,
    /// Last stream sequence to check [default: the stream's last]
    #[arg(long, value_name = "SEQ")]
    to_seq: Option<u64>,
    /// How long batches that are still on their way may take to be stored (a redelivery takes 30 s)
    #[arg(long, default_value = "60s", value_name = "TIME", value_parser = runtime::settings::parse_duration)]
    wait: Duration,
    /// Print JSON; of the findings it holds the first 100, and how many there are
    #[arg(long)]
    json: bool,
}

/// What came of it.
#[derive(Debug, Serialize)]
struct Report {
    first_sequence: u64,
    last_sequence: u64,
    messages: u64,
    /// Batches whose messages were trimmed: they lie below the stream's first one, and are not checked.
    stored_below: u64,
    #[serde(flatten)]
    found: Found,
}

/// Runs the command.
///
/// # Errors
/// Where something is missing or surplus, or stream or store cannot be read.
pub async fn run(settings: VerifySettings) -> anyhow::Result<()> {
    let report = with_store!(settings.target, |store| walk(&store, &settings).await?);
    conclude(&report, settings.json)
}

async fn walk(
    ledger: &(impl VerifyReads + Retention),
    settings: &VerifySettings,
) -> anyhow::Result<Report> {
    let (_, js) = settings.target.connect().await?;
    let incarnation = bus::bind_stream(&js, EVENTS).await?;
    let stream = js
        .get_stream(EVENTS)
        .await
        .context("The stream EVENTS cannot be read")?;
    let state = stream.cached_info().state.clone();
    let stored_below = match ledger.known_source(&incarnation).await? {
        Some(src) => ledger.stored_below(src, state.first_sequence).await?,
        None => 0,
    };
    let first = state
        .first_sequence
        .max(settings.from_seq.unwrap_or(1))
        .max(1);
    let last = settings
        .to_seq
        .unwrap_or(state.last_sequence)
        .min(state.last_sequence);
    let progress = progress(last.saturating_sub(first - 1), settings.json);
    let output = (&progress, settings.json);
    let mut walk = Walk::new((&js, stream, incarnation), ledger, settings.wait, output).await?;
    walk.along(first, last).await?;
    if settings.to_seq.is_none() {
        walk.beyond().await?;
    }
    progress.finish_and_clear();
    let Walk {
        messages, found, ..
    } = walk;
    Ok(Report {
        first_sequence: first,
        last_sequence: last,
        messages,
        stored_below,
        found,
    })
}

fn progress(length: u64, quiet: bool) -> ProgressBar {
    if quiet {
        return ProgressBar::hidden();
    }
    let style =
        ProgressStyle::with_template("{bar:40} {pos}/{len} messages · {per_sec} · {eta} left");
    ProgressBar::new(length).with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
}

fn conclude(report: &Report, as_json: bool) -> anyhow::Result<()> {
    let finding_count = &report.found.finding_count;
    if as_json {
        output::json(report)?;
    } else {
        if *finding_count > SHOWN as u64 {
            output::line(format!("  … and {} more", finding_count - SHOWN as u64))?;
        }
        output::line(summary(report))?;
        if *finding_count == 0 {
            output::line("verify: clean. Every acknowledged event is accounted for exactly once.")?;
        }
    }
    anyhow::ensure!(
        *finding_count == 0,
        "{finding_count} findings: stream and store do not agree."
    );
    Ok(())
}

fn summary(report: &Report) -> String {
    let counts = &report.found.counts;
    let mut line = format!(
        "verify: messages {}–{} ({}), events {}: stored {}, duplicates {}, quarantined {}, rejected {}",
        report.first_sequence,
        report.last_sequence,
        report.messages,
        counts.events,
        counts.stored,
        counts.duplicates,
        counts.quarantined,
        counts.rejected
    );
    if counts.dead > 0 {
        line += &format!("; messages in DEAD {}", counts.dead);
    }
    if counts.unfinished + counts.failed > 0 {
        line += &format!(
            "; batches not completed {}, failed {}",
            counts.unfinished, counts.failed
        );
    }
    if report.stored_below > 0 {
        line += &format!(
            "; stored batches whose messages were trimmed {}",
            report.stored_below
        );
    }
    line
}
