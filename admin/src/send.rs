//! `devtrail send`: events from a file or stdin, in batches, retried as the contract says.

pub mod client;
pub mod delivery;
pub mod input;

use anyhow::bail;
use futures_util::stream;
use runtime::process::Process;

use crate::interrupt::until_shutdown;
use crate::output::{self, OUTPUT};
use delivery::{DeliveryArgs, Progress, Summary};
use input::{BatchContent, OutgoingBatch};

/// What to send, and as whom.
#[derive(Debug, clap::Args)]
#[command(after_long_help = "Examples:
  devtrail send events.ndjson
  my-editor-log | devtrail send -
  devtrail send - --key-file keys.txt < people.ndjson    {\"developer\": …, \"event\": …} lines")]
pub struct SendSettings {
    /// A file of events, envelopes, or {"developer", "event"} objects, one a line; - for stdin
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
/// Returns an error if the input cannot be read, a key is missing, or a batch was not acknowledged.
pub async fn run(settings: SendSettings, process: Process) -> anyhow::Result<()> {
    let client = settings.delivery.client("devtrail-send")?;
    let keys = settings.delivery.keys()?;
    // Stdin may never end.
    let text = until_shutdown(read(&settings.file), &process.shutdown).await?;
    let batches = input::batches(&text, &keys, usize::from(settings.delivery.batch_size))?;
    if batches.is_empty() {
        bail!(
            "{} holds no events. It must hold at least one, such as a line of NDJSON.",
            settings.file
        );
    }
    let batches = with_resends(with_overlaps(batches, settings.overlap), settings.resend);
    let progress = Progress::of_batches(batches.len(), settings.json);
    let batches = stream::iter(batches.into_iter().map(Ok));
    let summary = settings
        .delivery
        .send(&client, batches, &progress, &process.shutdown)
        .await;
    drop(progress);
    let summary = summary?;
    if settings.json {
        Ok(output::json(&summary)?)
    } else {
        Ok(print(&summary)?)
    }
}

async fn read(file: &str) -> anyhow::Result<String> {
    let file = file.to_owned();
    tokio::task::spawn_blocking(move || input::read(&file)).await?
}

/// Every `nth` batch as two, of which each has two thirds of the events.
fn with_overlaps(batches: Vec<OutgoingBatch>, nth: usize) -> Vec<OutgoingBatch> {
    let cut = |(index, batch): (usize, OutgoingBatch)| match &batch.content {
        BatchContent::Events(events) if nth > 0 && index % nth == nth - 1 && events.len() >= 3 => {
            let third = events.len() / 3;
            let parts = [&events[..events.len() - third], &events[third..]];
            parts
                .map(|events| input::batch(batch.key.clone(), events.to_vec()))
                .to_vec()
        }
        _ => vec![batch],
    };
    batches.into_iter().enumerate().flat_map(cut).collect()
}

/// Every `nth` batch once more, right behind its first sending.
fn with_resends(batches: Vec<OutgoingBatch>, nth: usize) -> Vec<OutgoingBatch> {
    let again = |index: usize| nth > 0 && index % nth == nth - 1;
    let twice = |(index, batch): (usize, OutgoingBatch)| {
        let copies = if again(index) { 2 } else { 1 };
        std::iter::repeat_n(batch, copies)
    };
    batches.into_iter().enumerate().flat_map(twice).collect()
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
    summary.print_codes()
}

#[cfg(test)]
mod tests {
    use super::*;
    use input::Keys;

    fn ids(batch: &OutgoingBatch) -> Vec<&str> {
        let BatchContent::Events(events) = &batch.content else {
            panic!("no envelope was given")
        };
        events.iter().map(|event| event.get()).collect()
    }

    #[test]
    fn an_overlap_sends_each_event_and_a_third_of_them_twice() {
        let text: String = (0..13).map(|id| format!("{{\"id\":\"{id}\"}}\n")).collect();
        let batches = input::batches(&text, &Keys::One("k".into()), 6).unwrap();
        let overlapping = with_overlaps(batches.clone(), 2);
        let sizes: Vec<usize> = overlapping.iter().map(|batch| ids(batch).len()).collect();
        assert_eq!(sizes, [6, 4, 4, 1]);
        assert_eq!(
            [&ids(&overlapping[1])[..2], &ids(&overlapping[2])[..]].concat(),
            ids(&batches[1])
        );
        assert_ne!(overlapping[1].batch_id, overlapping[2].batch_id);
        assert_eq!(with_overlaps(batches, 0).len(), 3);
    }
}
