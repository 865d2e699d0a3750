//! `devtrail verify`: compares stream and store, and reports what is missing or surplus.
//!
//! Each event of each batch's message must be in exactly one place: in `events` with its own bytes,
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
use types::event_streams::{EVENTS, EventStream, EventStreams, StreamSequence};
use types::id::Src;

use crate::output::{self, OUTPUT};
use crate::target::{Target, with_store};
use cursor::{VerifiedStream, VerifyCursor, VerifyOptions};
use findings::{Findings, SHOWN};
use queues::StreamSource;

/// What to check.
#[derive(Debug, clap::Args)]
#[command(after_long_help = "Examples:
  devtrail verify
  devtrail verify --from-seq 1000 --to-seq 2000
  devtrail verify --from-seq EVENTS-0-of-3:1000         of three event streams only this one
  devtrail verify --json | jq .stored")]
pub struct VerifySettings {
    /// First stream sequence to check [default: the stream's first]
    #[arg(long, value_name = "SEQ")]
    from_seq: Option<StreamSequence>,
    /// Last stream sequence to check [default: the stream's last]
    #[arg(long, value_name = "SEQ")]
    to_seq: Option<StreamSequence>,
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
    /// Only of the one event stream.
    #[serde(skip_serializing_if = "Option::is_none")]
    first_sequence: Option<u64>,
    /// Only of the one event stream.
    #[serde(skip_serializing_if = "Option::is_none")]
    last_sequence: Option<u64>,
    messages: u64,
    /// Batches whose messages were purged: they are below the stream's first one, and are not checked.
    stored_below: u64,
    /// What was checked of each stream; left out if there is one.
    #[serde(skip_serializing_if = "is_of_one")]
    streams: Vec<VerifiedRange>,
    #[serde(flatten)]
    findings: Findings,
}

/// What was checked of one stream.
#[derive(Debug, Serialize)]
struct VerifiedRange {
    stream: String,
    first_sequence: u64,
    last_sequence: u64,
    messages: u64,
    stored_below: u64,
}

/// Whether they are of the one event stream.
fn is_of_one(ranges: &[VerifiedRange]) -> bool {
    ranges.iter().all(|range| range.stream == EVENTS)
}

impl VerifyReport {
    fn new(streams: EventStreams, ranges: Vec<VerifiedRange>, findings: Findings) -> Self {
        let is_one = streams == EventStreams::ONE;
        let one = ranges.first().filter(|_| is_one);
        Self {
            first_sequence: one.map(|range| range.first_sequence),
            last_sequence: one.map(|range| range.last_sequence),
            messages: ranges.iter().map(|range| range.messages).sum(),
            stored_below: ranges.iter().map(|range| range.stored_below).sum(),
            streams: ranges,
            findings,
        }
    }
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
    let js = settings.target.connect().await?;
    let streams = bus::event_streams(&js).await?;
    let given = GivenRange::of(settings, streams)?;
    let mut sources = Vec::new();
    let mut parts = Vec::new();
    for stream in streams.all() {
        let events = VerifiedStream::open(js.clone(), stream).await?;
        let src = store.known_source(&events.incarnation).await?;
        sources.push(src);
        if given.only.is_none_or(|only| only == stream) {
            let state = &events.stream.cached_info().state;
            let stored_below = match src {
                Some(src) => store.stored_below(src, state.first_sequence).await?,
                None => 0,
            };
            let held = SeqBounds {
                from: state.first_sequence,
                to: state.last_sequence,
            };
            parts.push(VerifyPart {
                stream,
                bounds: given.bounds.within(&stream.to_string(), held)?,
                events,
                src,
                stored_below,
            });
        }
    }
    let length = parts.iter().map(|part| part.bounds.len()).sum();
    let progress = output::progress_bar(length, PROGRESS, settings.json);
    let mut findings = Findings::default();
    let mut ranges = Vec::new();
    for part in parts {
        let others = sources.iter().flatten().copied();
        let source = StreamSource {
            stream: part.stream.to_string(),
            src: part.src,
            others: others.filter(|src| Some(*src) != part.src).collect(),
        };
        let options = VerifyOptions {
            wait: settings.wait,
            progress: &progress,
            as_json: settings.json,
        };
        let SeqBounds { from, to } = part.bounds;
        let mut cursor =
            VerifyCursor::open(part.events, source, store, options, &mut findings).await?;
        if given.bounds.from.is_none() {
            cursor.check_below_first(from).await?;
        }
        cursor.check_range(from, to).await?;
        if given.bounds.to.is_none() {
            cursor.check_beyond_end().await?;
        }
        ranges.push(VerifiedRange {
            stream: part.stream.to_string(),
            first_sequence: from,
            last_sequence: to,
            messages: cursor.messages,
            stored_below: part.stored_below,
        });
    }
    progress.finish_and_clear();
    Ok(VerifyReport::new(streams, ranges, findings))
}

/// A stream that is verified.
struct VerifyPart {
    stream: EventStream,
    events: VerifiedStream,
    src: Option<Src>,
    stored_below: u64,
    bounds: SeqBounds<u64>,
}

/// What the flags say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct GivenRange {
    /// The stream that they name; `None` if all are checked.
    only: Option<EventStream>,
    bounds: SeqBounds<Option<u64>>,
}

impl GivenRange {
    /// # Errors
    /// Returns a [`UsageError`] if a flag names a stream that is not there, or the flags name two.
    fn of(settings: &VerifySettings, streams: EventStreams) -> Result<Self, UsageError> {
        let flags = [
            ("--from-seq", &settings.from_seq),
            ("--to-seq", &settings.to_seq),
        ];
        let mut only: Option<EventStream> = None;
        for (flag, given) in flags {
            let Some(given) = given else { continue };
            let stream = streams.all().find(|one| one.to_string() == given.stream);
            let Some(stream) = stream else {
                let names: Vec<String> = streams.all().map(|one| one.to_string()).collect();
                return Err(UsageError(format!(
                    "{flag} {given} is of the stream {}, which is not there; the event streams are {}. With several \
                     a sequence is written STREAM:N, such as {}:{}.",
                    given.stream,
                    names.join(", "),
                    names[0],
                    given.seq
                )));
            };
            if let Some(other) = only.filter(|other| *other != stream) {
                return Err(UsageError(format!(
                    "--from-seq is of the stream {other} and --to-seq of {stream}: give both of one stream."
                )));
            }
            only = Some(stream);
        }
        let seq = |given: &Option<StreamSequence>| given.as_ref().map(|given| given.seq);
        Ok(Self {
            only,
            bounds: SeqBounds {
                from: seq(&settings.from_seq),
                to: seq(&settings.to_seq),
            },
        })
    }
}

/// The sequences to check: as given, or as they are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct SeqBounds<T> {
    from: T,
    to: T,
}

impl SeqBounds<u64> {
    /// How many sequences it has.
    fn len(self) -> u64 {
        self.to.saturating_sub(self.from - 1)
    }
}

impl SeqBounds<Option<u64>> {
    /// What of it the stream has, which holds `held`. Without bounds that may be nothing at all.
    ///
    /// # Errors
    /// Returns a [`UsageError`] if bounds are given and there is nothing between them: nothing would be checked.
    fn within(self, stream: &str, held: SeqBounds<u64>) -> Result<SeqBounds<u64>, UsageError> {
        let first = held.from.max(1);
        let last = held.to;
        let written = |seq| StreamSequence::new(stream, seq);
        let nothing = |why: String| Err(UsageError(format!("Nothing would be checked: {why}.")));
        match self {
            Self {
                from: Some(from),
                to: Some(to),
            } if from > to => nothing(format!(
                "--from-seq {} is above --to-seq {}; give the lower one first",
                written(from),
                written(to)
            )),
            Self {
                from: Some(from), ..
            } if from > last => nothing(format!(
                "--from-seq {} is above the last message of {stream}, which is {last}",
                written(from)
            )),
            Self { to: Some(to), .. } if to < first => nothing(format!(
                "--to-seq {} is below the first message of {stream}, which is {first}; what is below was purged",
                written(to)
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
    let checked = report.streams.iter().map(|range| {
        let first = StreamSequence::new(&range.stream, range.first_sequence);
        format!("{first}–{} ({})", range.last_sequence, range.messages)
    });
    let mut line = format!(
        "verify: checked messages {}, batches {}, events {}: stored {}, duplicates {}, quarantined {}, rejected {}",
        checked.collect::<Vec<_>>().join(", "),
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
        let held = SeqBounds { from: 5, to: 9 };
        let within = |from, to| SeqBounds { from, to }.within("EVENTS", held);
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
        .within("EVENTS", SeqBounds { from: 1, to: 0 });
        assert_eq!(empty.ok(), bounds(1, 0));
    }
}
