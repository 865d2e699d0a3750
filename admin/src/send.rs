//! `devtrail send`: events from a file or stdin as they come, in batches, retried as the contract says.

pub mod client;
pub mod collector_args;
mod collector_url;
pub mod delivery;
pub mod input;
pub mod intake;
mod json_shape;
pub mod source;
mod utf16;
pub mod values;

use std::sync::Arc;

use anyhow::{bail, ensure};
use futures_util::{StreamExt as _, stream};
use runtime::process::Process;
use serde::Serialize;
use serde_json::value::RawValue;
use types::verdict::Verdict;

use crate::output::{self, OUTPUT};
use delivery::{DeliveryArgs, Extent, Progress, Summary};
use input::{BatchContent, OutgoingBatch};
use intake::Intake;
use source::ReadState;

/// What to send, and as whom.
#[derive(Debug, clap::Args)]
#[command(after_long_help = "Examples:
  devtrail send events.ndjson
  devtrail send events.ndjson.gz                         also zstd, UTF-16, or one JSON array
  my-editor-log | devtrail send -                        each event within a second, until Ctrl-C
  devtrail send - --key-file keys.txt < people.ndjson    {\"developer\": …, \"event\": …} lines
  wakatime-cli --print-offline-heartbeats 1000 | devtrail send -")]
pub struct SendSettings {
    /// A file of events, envelopes, or {"developer", "event"} objects, one a line; - for stdin.
    /// A line that is none is named and passed over, and the exit code is 1 then
    file: String,
    #[command(flatten)]
    delivery: DeliveryArgs,
    /// Send every Nth batch a second time, as a client does that lost the reply; 0: none
    #[arg(long, default_value_t = 0, value_name = "N")]
    resend: usize,
    /// Send every Nth batch as two that overlap by a third, as a client does that forgot what it had sent; 0: none
    #[arg(long, default_value_t = 0, value_name = "N")]
    overlap: usize,
    /// Print JSON
    #[arg(long, help_heading = OUTPUT)]
    json: bool,
}

/// Runs the command.
///
/// # Errors
/// Returns an error if the input cannot be read to its end, holds no event or a bad line, a key is missing, or a batch
/// was not acknowledged.
pub async fn run(settings: SendSettings, process: Process) -> anyhow::Result<()> {
    let client = settings.delivery.client("devtrail-send")?;
    let keys = settings.delivery.keys()?;
    let file = &settings.file;
    let state = Arc::new(ReadState::default());
    let extent = match source::length(file) {
        Some(total) => Extent::Bytes {
            total,
            state: state.clone(),
        },
        None => Extent::Open,
    };
    let progress = Progress::new(extent, source::name(file), settings.json);
    let size = usize::from(settings.delivery.batch_size);
    let mut intake = Intake::start(file, keys, size, state);
    let mut index = 0;
    let batches = intake
        .batches(&progress, &process.shutdown)
        .flat_map(|batch| {
            let copies = copies(index, batch, &settings);
            index += 1;
            stream::iter(copies.into_iter().map(Ok))
        });
    let mut summary = Summary::default();
    let sent = settings
        .delivery
        .send(&client, batches, &progress, &process.shutdown, &mut summary)
        .await;
    let passed_over = progress.passed_over();
    drop(progress);
    if summary.batches > 0 {
        let done = Sent {
            summary,
            passed_over,
        };
        if settings.json {
            output::json(&done)?;
        } else {
            print(&done.summary)?;
        }
        sent?;
        intake.ended().await?;
    } else {
        sent?;
        intake.ended().await?;
        let bad = match passed_over {
            0 => String::new(),
            lines => format!(" but {lines} bad ones, the first of which are named above"),
        };
        bail!(
            "{} holds no events{bad}. It must hold at least one, such as a line of NDJSON.",
            source::name(file)
        );
    }
    ensure!(passed_over == 0, "{}", bad_lines(file, passed_over));
    Ok(())
}

/// What came of it, for programs.
#[derive(Debug, Serialize)]
struct Sent {
    #[serde(flatten)]
    summary: Summary,
    /// Lines that hold no event, or an envelope that was refused.
    passed_over: u64,
}

fn bad_lines(file: &str, passed_over: u64) -> String {
    let lines = if passed_over == 1 {
        "1 bad line was".to_owned()
    } else {
        format!("{passed_over} bad lines were")
    };
    format!(
        "{lines} passed over in {}; every event beside was sent. Correct what is named above and send it again: \
         nothing is stored twice.",
        source::name(file)
    )
}

/// The `index`th batch as it goes out: once; or as two of which each has two thirds of the events; or each twice.
fn copies(index: usize, batch: OutgoingBatch, settings: &SendSettings) -> Vec<OutgoingBatch> {
    let is_nth = |nth: usize| nth > 0 && index % nth == nth - 1;
    let parts = match &batch.content {
        BatchContent::Events(events) if is_nth(settings.overlap) && events.len() >= 3 => {
            let third = events.len() / 3;
            let parts = [&events[..events.len() - third], &events[third..]];
            let part = |events: &[Box<RawValue>]| input::batch(batch.key.clone(), events.to_vec());
            parts.map(part).to_vec()
        }
        _ => vec![batch],
    };
    let times = if is_nth(settings.resend) { 2 } else { 1 };
    let copies = parts
        .into_iter()
        .flat_map(|part| std::iter::repeat_n(part, times));
    copies.collect()
}

fn print(summary: &Summary) -> std::io::Result<()> {
    let counts = &summary.counts;
    let seconds = summary.seconds;
    output::line(format!(
        "sent {} with {} in {seconds:.1} s ({:.0} events/s)",
        output::count(summary.batches, "batch"),
        output::count(counts.received, "event"),
        f64::from(counts.received) / seconds.max(0.001)
    ))?;
    output::line(format!(
        "  accepted {}, duplicate {}, rejected {}, quarantined {} · known already: {}, {}",
        counts.accepted,
        counts.duplicate,
        counts.rejected,
        counts.quarantined,
        output::count(summary.duplicate_batches, "batch"),
        output::count(summary.retries, "retry")
    ))?;
    [Verdict::Duplicate, Verdict::Rejected, Verdict::Quarantined]
        .into_iter()
        .try_for_each(|verdict| summary.print_codes(verdict))
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        settings: SendSettings,
    }

    fn settings(arguments: &[&str]) -> SendSettings {
        Line::parse_from([&["send", "-"], arguments].concat()).settings
    }

    fn ids(batch: &OutgoingBatch) -> Vec<&str> {
        let BatchContent::Events(events) = &batch.content else {
            panic!("no envelope was given")
        };
        events.iter().map(|event| event.get()).collect()
    }

    #[test]
    fn an_overlap_sends_each_event_and_a_third_of_them_twice() {
        let events = (0..6).map(|id| RawValue::from_string(id.to_string()).unwrap());
        let batch = input::batch("k".to_owned(), events.collect());
        let nth = settings(&["--overlap", "2"]);
        assert_eq!(copies(0, batch.clone(), &nth).len(), 1);
        let [one, two] = &copies(1, batch.clone(), &nth)[..] else {
            panic!("two are expected")
        };
        assert_eq!((ids(one).len(), ids(two).len()), (4, 4));
        assert_eq!([&ids(one)[..2], &ids(two)[..]].concat(), ids(&batch));
        assert_ne!(one.batch_id, two.batch_id);
        let both = settings(&["--overlap", "2", "--resend", "2"]);
        let batches: Vec<String> = copies(1, batch, &both)
            .into_iter()
            .map(|batch| batch.batch_id)
            .collect();
        assert!(batches.len() == 4 && batches[0] == batches[1] && batches[2] == batches[3]);
    }
}
