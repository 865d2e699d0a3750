//! `devtrail verify`: compares stream and store, and reports what is missing or surplus.
//!
//! Each event of each EVENTS message must be in exactly one place: in `events` with its own bytes,
//! dropped as a duplicate of an event that came before it, or kept among the refused; or its whole
//! message is in DEAD. And the audit of each batch must have the steps of its state, and the jobs that it
//! waits for must be in JOBS.

mod audit_trail;
mod completion;
mod cursor;
mod findings;
mod holes;
mod placement;
mod queues;
mod ranges;
mod reader;

use std::time::Duration;

use runtime::settings::UsageError;
use serde::Serialize;
use store::{Identity, Retention, VerifyReads};

use crate::output::{self, OUTPUT};
use crate::target::{Target, with_store};
use cursor::{VerifiedStream, VerifyCursor, VerifyOptions};
use findings::{Findings, SHOWN};

/// What to check.
#[derive(Debug, clap::Args)]
#[command(after_long_help = "Examples:
  devtrail verify
  devtrail verify --from-seq 1000 --to-seq 2000
  devtrail verify --json | jq .stored")]
pub struct VerifySettings {
    /// First stream sequence to check [default: the stream's first]
    #[arg(long, value_name = "SEQ")]
    from_seq: Option<u64>,
    /// Last stream sequence to check [default: the stream's last]
    #[arg(long, value_name = "SEQ")]
    to_seq: Option<u64>,
    /// How long batches that are still on their way may take to be stored (a redelivery takes 30 s)
    #[arg(long, default_value = "60s", value_name = "TIME", value_parser = runtime::settings::parse_duration)]
    wait: Duration,
    #[command(flatten)]
    target: Target,
    /// Print JSON; of the findings it holds the first 100, and how many there are
    #[arg(long, help_heading = OUTPUT)]
    json: bool,
}

/// Progress through the messages.
const PROGRESS: &str = "{bar:40} {pos}/{len} messages · {per_sec} · {eta} left";

/// What was checked, and what was found.
#[derive(Debug, Serialize)]
struct VerifyReport {
    first_sequence: u64,
    last_sequence: u64,
    messages: u64,
    /// Batches whose messages were purged: they are below the stream's first one, and are not checked.
    stored_below: u64,
    #[serde(flatten)]
    findings: Findings,
}

/// Runs the command.
///
/// # Errors
/// Returns an error if something is missing or surplus, or stream or store cannot be read.
pub async fn run(settings: VerifySettings) -> anyhow::Result<()> {
    let report = with_store!(settings.target, |store| verify(&store, &settings).await?);
    conclude(&report, settings.json)
}

async fn verify(
    store: &(impl VerifyReads + Retention + Identity),
    settings: &VerifySettings,
) -> anyhow::Result<VerifyReport> {
    let events = VerifiedStream::open(settings.target.connect().await?).await?;
    let state = events.stream.cached_info().state.clone();
    let stored_below = match store.known_source(&events.incarnation).await? {
        Some(src) => store.stored_below(src, state.first_sequence).await?,
        None => 0,
    };
    let given = SeqBounds {
        from: settings.from_seq,
        to: settings.to_seq,
    };
    let SeqBounds {
        from: first,
        to: last,
    } = given.within(state.first_sequence, state.last_sequence)?;
    let length = last.saturating_sub(first - 1);
    let progress = output::progress_bar(length, PROGRESS, settings.json);
    let options = VerifyOptions {
        wait: settings.wait,
        progress: &progress,
        as_json: settings.json,
    };
    let mut cursor = VerifyCursor::open(events, store, options).await?;
    if settings.from_seq.is_none() {
        cursor.check_below_first(first).await?;
    }
    cursor.check_range(first, last).await?;
    if settings.to_seq.is_none() {
        cursor.check_beyond_end().await?;
    }
    progress.finish_and_clear();
    Ok(VerifyReport {
        first_sequence: first,
        last_sequence: last,
        messages: cursor.messages,
        stored_below,
        findings: cursor.findings,
    })
}

/// The sequences to check: as given, or as they are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct SeqBounds<T> {
    from: T,
    to: T,
}

impl SeqBounds<Option<u64>> {
    /// What of it the stream has, which holds `first..=last`. Without bounds that may be nothing at all.
    ///
    /// # Errors
    /// Returns a [`UsageError`] if bounds are given and there is nothing between them: nothing would be checked.
    fn within(self, first: u64, last: u64) -> Result<SeqBounds<u64>, UsageError> {
        let first = first.max(1);
        let nothing = |why: String| Err(UsageError(format!("Nothing would be checked: {why}.")));
        match self {
            Self {
                from: Some(from),
                to: Some(to),
            } if from > to => nothing(format!(
                "--from-seq {from} is above --to-seq {to}; give the lower one first"
            )),
            Self {
                from: Some(from), ..
            } if from > last => nothing(format!(
                "--from-seq {from} is above the last message of EVENTS, which is {last}"
            )),
            Self { to: Some(to), .. } if to < first => nothing(format!(
                "--to-seq {to} is below the first message of EVENTS, which is {first}; what is below was purged"
            )),
            Self { from, to } => Ok(SeqBounds {
                from: first.max(from.unwrap_or(first)),
                to: last.min(to.unwrap_or(last)),
            }),
        }
    }
}

fn conclude(report: &VerifyReport, as_json: bool) -> anyhow::Result<()> {
    let finding_count = &report.findings.finding_count;
    if as_json {
        output::json(report)?;
    } else {
        if *finding_count > SHOWN as u64 {
            output::line(format!("  … and {} more", finding_count - SHOWN as u64))?;
        }
        output::line(summary(report))?;
        if *finding_count == 0 && report.messages == 0 {
            output::line(
                "verify: EVENTS has no message in this range, so no message was checked.",
            )?;
        } else if *finding_count == 0 {
            output::line("verify: clean. Every acknowledged event is accounted for exactly once.")?;
        }
    }
    anyhow::ensure!(
        *finding_count == 0,
        "{}: stream and store do not agree.",
        output::count(*finding_count, "finding")
    );
    Ok(())
}

fn summary(report: &VerifyReport) -> String {
    let counts = &report.findings.counts;
    let mut line = format!(
        "verify: checked messages {}–{} ({}), batches {}, events {}: stored {}, duplicates {}, quarantined {}, \
         rejected {}",
        report.first_sequence,
        report.last_sequence,
        report.messages,
        counts.batches,
        counts.events,
        counts.stored,
        counts.duplicates,
        counts.quarantined,
        counts.rejected
    );
    if counts.dead > 0 {
        line += &format!("; messages in DEAD {}", counts.dead);
    }
    if counts.lost > 0 {
        line += &format!("; messages lost {}", counts.lost);
    }
    if counts.unfinished + counts.failed > 0 {
        line += &format!(
            "; batches not completed {}, failed {}",
            counts.unfinished, counts.failed
        );
    }
    if report.stored_below > 0 {
        line += &format!(
            "; stored batches whose messages were purged {}",
            report.stored_below
        );
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounds_with_nothing_between_them_are_refused() {
        let within = |from, to| SeqBounds { from, to }.within(5, 9);
        let bounds = |from, to| Some(SeqBounds { from, to });
        assert_eq!(within(None, None).ok(), bounds(5, 9));
        assert_eq!(within(Some(1), Some(100)).ok(), bounds(5, 9));
        assert_eq!(within(Some(7), Some(7)).ok(), bounds(7, 7));
        for (from, to, why) in [
            (Some(8), Some(7), "give the lower one first"),
            (Some(10), None, "above the last message"),
            (None, Some(4), "below the first message"),
        ] {
            let refusal = within(from, to).unwrap_err().to_string();
            assert!(refusal.contains(why), "{refusal}");
        }
        // An empty stream has nothing, and nothing was asked of it.
        let empty = SeqBounds {
            from: None,
            to: None,
        }
        .within(1, 0);
        assert_eq!(empty.ok(), bounds(1, 0));
    }
}
