//! `devtrail quarantine readmit`: what fits now is published as a batch that names its origin.

mod send;

use std::time::Duration;

use bus::sync::SyncSettings;
use indicatif::{ProgressBar, ProgressStyle};
use runtime::process::Process;
use runtime::schema_folder::SchemaSettings;
use store::{Answers, Quarantine, QuarantinedBatch, QuarantinedEvent, VerifyReads};
use types::batch::readmit_id;
use types::schema::Schemas;

use super::fate::{Fate, fates, text};
use super::message::Fitting;
use super::report::{Readmitted, Report};
use super::wanted::{Filter, Walk, Wanted};
use crate::output;
use crate::target::{Target, with_store};
use send::Sender;

/// What to readmit.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  devtrail quarantine readmit --schemas my-schemas --dry-run
  devtrail quarantine readmit --schemas my-schemas --type coffee.brewed
  devtrail quarantine readmit 1:4711:0 1:4711:3")]
pub struct ReadmitSettings {
    #[command(flatten)]
    target: Target,
    /// Places as `quarantine list` shows them, or event ids [default: everything that fits the filters]
    #[arg(value_name = "SRC:SEQ:ORDINAL|ID", conflicts_with_all = ["code", "kind", "since"])]
    events: Vec<String>,
    #[command(flatten)]
    filter: Filter,
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
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Lines about batches and events that are printed; the rest is counted.
const SHOWN: usize = 50;

/// Runs the command.
///
/// # Errors
/// Where nothing of a given name is quarantined, database or stream do not answer, or the store does
/// not have what was published in time.
pub async fn run(settings: &ReadmitSettings, process: &Process) -> anyhow::Result<()> {
    let schemas = settings.schemas.load()?;
    let mut report = Report {
        dry_run: settings.dry_run,
        ..Report::default()
    };
    let done = with_store!(settings.target, |store| {
        readmit(&store, settings, &schemas, process, &mut report).await
    });
    // What was published before something failed is told as well.
    if done.is_ok() || !report.batches.is_empty() {
        if settings.json {
            output::json(&report)?
        } else {
            print(&report)?
        }
    }
    done
}

async fn readmit(
    store: &(impl Quarantine + Answers + VerifyReads),
    settings: &ReadmitSettings,
    schemas: &Schemas,
    process: &Process,
    report: &mut Report,
) -> anyhow::Result<()> {
    let developer = settings.filter.developer.as_ref();
    let wanted = match &settings.events[..] {
        [] => Wanted::Fitting(settings.filter.clone()),
        names => Wanted::named(store, names, developer).await?,
    };
    // A dry run connects as well: what is on the way would not be sent.
    let mut sender = Sender::open(&settings.target, &settings.sync, process).await?;
    let mut on_the_way = sender.on_the_way(store).await?;
    let progress = progress(settings.json);
    let mut walk = Walk::new(store, wanted);
    while let Some(batch) = walk.next().await? {
        let fates = fates(&batch, schemas, &on_the_way);
        let mut done = Readmitted::of(&batch, &fates);
        let fitting = fitting(&batch, fates);
        if !fitting.is_empty() {
            if !settings.dry_run {
                done.stream_sequence = Some(sender.send(&batch, &fitting).await?);
            }
            done.readmit_id = Some(readmit_id(batch.at));
            let ids = batch
                .events
                .iter()
                .filter(|event| fitting.iter().any(|one| one.ordinal == event.ordinal));
            ids.filter_map(|event| event.id.as_deref())
                .for_each(|id| on_the_way.add(&batch.developer, id));
        }
        report.add(done);
        progress.set_message(format!(
            "{} events of {} batches readmitted",
            report.counts.readmitted, report.counts.messages
        ));
        progress.inc(1);
    }
    progress.set_message("waiting until the store has them");
    sender
        .until_stored(store, settings.wait, &mut report.counts)
        .await?;
    progress.finish_and_clear();
    Ok(())
}

/// The events that go out.
fn fitting<'a>(batch: &'a QuarantinedBatch, fates: Vec<Fate>) -> Vec<Fitting<'a>> {
    let one = |(event, fate): (&'a QuarantinedEvent, Fate)| match fate {
        Fate::Fits(note) => Some(Fitting {
            ordinal: event.ordinal,
            note,
            text: text(event)?,
        }),
        Fate::Stored(_) | Fate::OnTheWay | Fate::Stays { .. } => None,
    };
    batch.events.iter().zip(fates).filter_map(one).collect()
}

fn progress(quiet: bool) -> ProgressBar {
    if quiet {
        return ProgressBar::hidden();
    }
    let style = ProgressStyle::with_template("{spinner} {pos} batches looked at · {msg}");
    ProgressBar::new_spinner()
        .with_style(style.unwrap_or_else(|_| ProgressStyle::default_spinner()))
}

fn print(report: &Report) -> std::io::Result<()> {
    let lines = report.lines();
    lines.iter().take(SHOWN).try_for_each(output::line)?;
    if lines.len() > SHOWN {
        output::line(format!(
            "… and {} more lines; --json shows all",
            lines.len() - SHOWN
        ))?;
    }
    let counts = &report.counts;
    let done = if report.dry_run {
        "would be readmitted"
    } else {
        "readmitted"
    };
    output::line(format!(
        "{} events {done} in {} batches · {} stay, {} stored before, {} on the way",
        counts.readmitted, counts.messages, counts.stays, counts.stored, counts.on_the_way
    ))?;
    if counts.duplicate + counts.id_conflict > 0 {
        output::line(format!(
            "Others were first: {} of them are duplicates, {} in conflict.",
            counts.duplicate, counts.id_conflict
        ))?;
    }
    Ok(())
}
