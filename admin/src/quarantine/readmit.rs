//! `devtrail quarantine readmit`: what fits now is published as a batch that names its origin.

use std::time::Duration;

use bus::sync::SyncSettings;
use indicatif::{ProgressBar, ProgressStyle};
use runtime::process::Process;
use runtime::schema_folder::SchemaSettings;
use serde::Serialize;
use store::{Quarantine, QuarantinedBatch, QuarantinedEvent, QueryReads, VerifyReads};
use types::batch::readmit_id;
use types::event_streams::StreamSequence;
use types::id::BatchRef;
use types::schema::Schemas;
use types::time::rfc3339;

use super::cursor::{QuarantineCursor, QuarantineFilterArgs, QuarantineSelection};
use super::disposition::{Disposition, DispositionView, dispositions, event_text, event_type};
use super::publish::{ReadmitPublisher, ReadmittedEvent};
use crate::developer::ensure_known;
use crate::output::{self, OUTPUT, count, plain};
use crate::target::{Target, with_store};

/// What to readmit.
#[derive(Debug, clap::Args)]
#[command(after_long_help = "Examples:
  devtrail quarantine readmit --schemas my-schemas --dry-run
  devtrail quarantine readmit --schemas my-schemas --type coffee.brewed
  devtrail quarantine readmit 1:4711:0 1:4711:3")]
pub struct QuarantineReadmitSettings {
    /// Places as `quarantine list` shows them, or event ids [default: everything that fits the filters]
    #[arg(value_name = "SRC:SEQ:ORDINAL|ID", conflicts_with_all = ["code", "kind", "from", "to"])]
    events: Vec<String>,
    #[command(flatten)]
    filter: QuarantineFilterArgs,
    #[command(flatten)]
    schemas: SchemaSettings,
    #[command(flatten)]
    sync: SyncSettings,
    /// Only say what would be done; nothing is sent
    #[arg(long)]
    dry_run: bool,
    /// How long to wait until the store has what was readmitted
    #[arg(long, default_value = "60s", value_name = "TIME", value_parser = runtime::settings::parse_duration)]
    wait: Duration,
    #[command(flatten)]
    target: Target,
    /// Print JSON
    #[arg(long, help_heading = OUTPUT)]
    json: bool,
}

/// Lines about batches and events that are printed; the rest is counted.
const SHOWN: usize = 50;

/// Runs the command.
///
/// # Errors
/// Returns an error if nothing of a given name is quarantined, database or stream do not answer, or the store does
/// not have what was published in time.
pub async fn run(settings: &QuarantineReadmitSettings, process: &Process) -> anyhow::Result<()> {
    settings.filter.range.check()?;
    let schemas = settings.schemas.load()?;
    let mut report = ReadmitReport {
        dry_run: settings.dry_run,
        ..ReadmitReport::default()
    };
    let done = with_store!(settings.target, |store| {
        readmit(&store, settings, &schemas, process, &mut report).await
    });
    if done.is_ok() && report.counts == ReadmitCounts::default() {
        ensure_known(&settings.target, settings.filter.developer.as_ref()).await?;
    }
    // What was published before a failure is reported as well.
    if done.is_ok() || !report.batches.is_empty() {
        if settings.json {
            output::json(&report)?;
        } else {
            print_report(&report)?;
        }
    }
    done
}

async fn readmit(
    store: &(impl Quarantine + QueryReads + VerifyReads),
    settings: &QuarantineReadmitSettings,
    schemas: &Schemas,
    process: &Process,
    report: &mut ReadmitReport,
) -> anyhow::Result<()> {
    let developer = settings.filter.developer.as_ref();
    let selection = match &settings.events[..] {
        [] => QuarantineSelection::Matching(settings.filter.clone()),
        names => QuarantineSelection::named(store, names, developer).await?,
    };
    // A dry run connects as well: what is on the way would not be sent.
    let mut publisher = ReadmitPublisher::open(&settings.target, &settings.sync, process).await?;
    let mut pending = publisher.pending(store).await?;
    let progress = progress(settings.json);
    let mut cursor = QuarantineCursor::new(store, selection);
    while let Some(batch) = cursor.next().await? {
        let dispositions = dispositions(&batch, schemas, &pending);
        let mut done = ReadmittedBatch::of(&batch, &dispositions);
        let fitting = fitting(&batch, dispositions);
        if !fitting.is_empty() {
            if !settings.dry_run {
                done.stream_sequence = Some(publisher.send(&batch, &fitting).await?);
            }
            done.readmit_id = Some(readmit_id(batch.at));
            let ids = batch
                .events
                .iter()
                .filter(|event| fitting.iter().any(|one| one.ordinal == event.ordinal));
            ids.filter_map(|event| event.id.as_deref())
                .for_each(|id| pending.add(&batch.developer, id));
        }
        report.add(done);
        progress.set_message(format!(
            "{} of {} readmitted",
            count(report.counts.readmitted, "event"),
            count(report.counts.messages, "batch")
        ));
        progress.inc(1);
    }
    progress.set_message("waiting until the store has them");
    let displaced = publisher.until_stored(store, settings.wait).await?;
    report.counts.duplicate += displaced.duplicates;
    report.counts.id_conflict += displaced.id_conflicts;
    progress.finish_and_clear();
    Ok(())
}

/// The events that go out.
fn fitting<'a>(
    batch: &'a QuarantinedBatch,
    dispositions: Vec<Disposition>,
) -> Vec<ReadmittedEvent<'a>> {
    let one = |(event, disposition): (&'a QuarantinedEvent, Disposition)| match disposition {
        Disposition::Fits(note) => Some(ReadmittedEvent {
            ordinal: event.ordinal,
            note,
            text: event_text(event)?,
        }),
        Disposition::Stored(_) | Disposition::Pending | Disposition::Stays { .. } => None,
    };
    batch
        .events
        .iter()
        .zip(dispositions)
        .filter_map(one)
        .collect()
}

fn progress(quiet: bool) -> ProgressBar {
    if quiet {
        return ProgressBar::hidden();
    }
    let style = ProgressStyle::with_template("{spinner} batches: {pos} · {msg}");
    ProgressBar::new_spinner()
        .with_style(style.unwrap_or_else(|_| ProgressStyle::default_spinner()))
}

fn print_report(report: &ReadmitReport) -> std::io::Result<()> {
    let lines = report.lines();
    lines.iter().take(SHOWN).try_for_each(output::line)?;
    if lines.len() > SHOWN {
        output::line(format!(
            "… {} more; --json shows all",
            count(lines.len() - SHOWN, "line")
        ))?;
    }
    let counts = &report.counts;
    let done = if report.dry_run {
        "would be readmitted"
    } else {
        "readmitted"
    };
    output::line(format!(
        "{} {done} in {} · staying {}, stored before {}, on the way {}",
        count(counts.readmitted, "event"),
        count(counts.messages, "batch"),
        counts.stays,
        counts.stored,
        counts.pending
    ))?;
    if counts.duplicate + counts.id_conflict > 0 {
        output::line(format!(
            "Others were first: {}, {}.",
            count(counts.duplicate, "duplicate"),
            count(counts.id_conflict, "conflict")
        ))?;
    }
    Ok(())
}

/// An event of a batch that was readmitted, or not.
#[derive(Debug, Clone, Serialize)]
pub struct EventOutcome {
    pub r#ref: String,
    pub id: Option<String>,
    pub r#type: Option<String>,
    #[serde(flatten)]
    pub becomes: DispositionView,
}

/// What came of one batch.
#[derive(Debug, Clone, Serialize)]
pub struct ReadmittedBatch {
    #[serde(flatten)]
    pub at: BatchRef,
    pub developer: String,
    pub batch_id: String,
    /// The new batch's id; `None` if nothing of it fits.
    pub readmit_id: Option<String>,
    /// The new message's sequence.
    pub stream_sequence: Option<StreamSequence>,
    pub received_at: String,
    pub events: Vec<EventOutcome>,
}

/// What came of all.
#[derive(Debug, Default, Serialize)]
pub struct ReadmitReport {
    pub dry_run: bool,
    pub counts: ReadmitCounts,
    pub batches: Vec<ReadmittedBatch>,
}

/// Events by what became of them.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct ReadmitCounts {
    /// Batches that were published; of a dry run: that would be.
    pub messages: u64,
    pub readmitted: u64,
    /// Of these, that another submission was before.
    pub duplicate: u64,
    /// Of these, whose id another submission took before.
    pub id_conflict: u64,
    pub stored: u64,
    #[serde(rename = "on_the_way")]
    pub pending: u64,
    pub stays: u64,
}

impl ReadmittedBatch {
    /// Of a batch whose events have these dispositions.
    pub fn of(batch: &QuarantinedBatch, dispositions: &[Disposition]) -> Self {
        let event = |(event, disposition): (&QuarantinedEvent, &Disposition)| EventOutcome {
            r#ref: batch.at.event(event.ordinal).to_string(),
            id: event.id.clone(),
            r#type: event_type(event),
            becomes: disposition.into(),
        };
        Self {
            at: batch.at,
            developer: batch.developer.clone(),
            batch_id: batch.batch_id.clone(),
            readmit_id: None,
            stream_sequence: None,
            received_at: rfc3339(batch.received_at),
            events: batch.events.iter().zip(dispositions).map(event).collect(),
        }
    }

    fn lines(&self, dry_run: bool) -> Vec<String> {
        let is_readmitted =
            |event: &&EventOutcome| matches!(event.becomes, DispositionView::Readmitted { .. });
        let is_stored =
            |event: &&EventOutcome| matches!(event.becomes, DispositionView::Stored { .. });
        let batch = self.readmit_id.iter().map(|id| {
            let Self {
                at,
                batch_id,
                developer,
                ..
            } = self;
            let how = if dry_run { "would go out" } else { "went out" };
            let parse_event_ref = self
                .stream_sequence
                .as_ref()
                .map(|at| format!(" ({} {})", at.stream, at.seq))
                .unwrap_or_default();
            let events = count(self.events.iter().filter(is_readmitted).count(), "event");
            plain(&format!(
                "{at} batch {batch_id} of {developer}: {events} {how} as {id}{parse_event_ref}"
            ))
        });
        let others = self
            .events
            .iter()
            .filter(|event| !is_readmitted(event) && !is_stored(event));
        let others = others.map(|event| {
            let id = event.id.as_deref().unwrap_or("without id");
            format!("{} {}: {}", event.r#ref, plain(id), event.becomes.words())
        });
        batch.chain(others).collect()
    }
}

impl ReadmitReport {
    /// Counts one more batch. Batches of which everything is stored are left out.
    pub fn add(&mut self, batch: ReadmittedBatch) {
        for event in &batch.events {
            match event.becomes {
                DispositionView::Readmitted { .. } => self.counts.readmitted += 1,
                DispositionView::Stored { .. } => self.counts.stored += 1,
                DispositionView::Pending => self.counts.pending += 1,
                DispositionView::Stays { .. } => self.counts.stays += 1,
            }
        }
        self.counts.messages += u64::from(batch.readmit_id.is_some());
        if !batch
            .events
            .iter()
            .all(|event| matches!(event.becomes, DispositionView::Stored { .. }))
        {
            self.batches.push(batch);
        }
    }

    /// A line a batch that went out, and a line an event that did not.
    pub fn lines(&self) -> Vec<String> {
        self.batches
            .iter()
            .flat_map(|batch| batch.lines(self.dry_run))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::super::disposition::tests::{batch, coffee, with_coffee};
    use super::super::disposition::{PendingReadmissions, dispositions};
    use types::id::EventRef;

    use super::*;

    #[test]
    fn what_goes_out_and_what_stays_is_told_a_line_each_and_counted() {
        let texts = [
            coffee("e1", r#"{"cups": 1}"#),
            coffee("e2", "{}"),
            coffee("e3", "{}"),
        ];
        let mut origin = batch(&[&texts[0], &texts[1], &texts[2]]);
        let by = EventRef {
            src: 2,
            seq: 9,
            ordinal: 0,
        };
        origin.events[2].owner = Some(store::IdOwner { by, same: true });
        let dispositions = dispositions(&origin, &with_coffee(), &PendingReadmissions::default());
        let mut report = ReadmitReport::default();
        report.add(ReadmittedBatch {
            readmit_id: Some("readmit-2-7".to_owned()),
            stream_sequence: Some(StreamSequence::new("EVENTS", 11)),
            ..ReadmittedBatch::of(&origin, &dispositions)
        });
        assert_eq!(
            report.lines(),
            [
                "2:7 batch b1 of ada: 1 event went out as readmit-2-7 (EVENTS 11)",
                "2:7:1 e2: stays: schema_invalid at /data: \"cups\" is a required property",
            ]
        );
        let counts = ReadmitCounts {
            messages: 1,
            readmitted: 1,
            stored: 1,
            stays: 1,
            ..ReadmitCounts::default()
        };
        assert_eq!(report.counts, counts);
        // A batch that is stored as a whole is left out.
        origin.events.drain(..2);
        report.add(ReadmittedBatch::of(&origin, &dispositions[2..]));
        assert_eq!((report.batches.len(), report.counts.stored), (1, 2));
    }
}
