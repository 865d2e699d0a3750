//! `devtrail dead drop`: deletes dead letters and their messages for good.

use runtime::process::Process;
use store::{QueryReads, VerifyReads};
use types::query::DEAD_DROP;

use super::cursor::{
    self, DeadLetterCursor, DeadLetterFilterArgs, DeadLetterOriginArgs, DeadLetterSelection,
    Selected,
};
use super::message::DeadMessage;
use super::plan::{self, EventsView};
use super::report::{DeadLetterOutcome, DeadLetterReport, PROGRESS, ReportLine, SHOWN};
use super::session::DeadLetterSession;
use crate::administrator::{confirmed, parse_reason};
use crate::developer::ensure_known;
use crate::output::{self, OUTPUT, SELECTION};
use crate::target::{Target, with_store};

/// What to drop.
#[derive(Debug, clap::Args)]
#[command(after_long_help = "Examples:
  devtrail dead drop 7 --reason 'garbage from a broken client' --dry-run
  devtrail dead drop 7 8 --reason 'garbage from a broken client' --yes
  devtrail dead drop --all --developer ada --reason 'broken client' --dry-run")]
pub struct DeadDropSettings {
    /// Numbers of dead letters, as `dead list` shows them
    #[arg(
        value_name = "LETTER",
        required_unless_present = "all",
        conflicts_with_all = ["all", "stream", "consumer", "developer", "dead_reason", "from", "to"]
    )]
    dead_letters: Vec<u64>,
    /// All dead letters that fit the filters
    #[arg(long, help_heading = SELECTION)]
    all: bool,
    #[command(flatten)]
    origin: DeadLetterOriginArgs,
    /// Only dead letters whose own reason contains this, in upper or lower case
    #[arg(long, value_name = "TEXT", help_heading = SELECTION)]
    dead_reason: Option<String>,
    /// Why; it is kept in the audit
    #[arg(long, value_name = "TEXT", value_parser = parse_reason)]
    reason: String,
    /// Only say what would be done; nothing is dropped
    #[arg(long)]
    dry_run: bool,
    /// Do not ask
    #[arg(long)]
    yes: bool,
    #[command(flatten)]
    target: Target,
    /// Print JSON
    #[arg(long, help_heading = OUTPUT)]
    json: bool,
}

/// Runs the command.
///
/// # Errors
/// Returns an error if a dead letter is gone, or streams, database or workers do not answer.
pub async fn run(settings: &DeadDropSettings, process: &Process) -> anyhow::Result<()> {
    settings.origin.range.check()?;
    if !settings.dry_run && !settings.yes && !may_drop(settings)? {
        return Ok(output::line("Nothing was dropped.")?);
    }
    let mut report = DeadLetterReport {
        dry_run: settings.dry_run,
        ..DeadLetterReport::default()
    };
    let done = with_store!(settings.target, |store| drop_selected(
        &store,
        settings,
        process,
        &mut report
    )
    .await);
    if done.is_ok() && report.dead_letters.is_empty() {
        ensure_known(&settings.target, settings.origin.developer.as_ref()).await?;
    }
    let shown = SHOWN.max(settings.dead_letters.len());
    report.conclude(done, shown, settings.json)
}

fn may_drop(settings: &DeadDropSettings) -> anyhow::Result<bool> {
    let which = match &settings.dead_letters[..] {
        [] => "all dead letters that fit (--dry-run shows them) for good, and their messages with them"
            .to_owned(),
        [sequence] => format!("dead letter {sequence} for good, and its message with it"),
        several => format!(
            "{} for good, and their messages with them",
            output::count(several.len(), "dead letter")
        ),
    };
    confirmed(
        "What is dropped is gone for good.",
        &format!("Drop {which}?"),
    )
}

async fn drop_selected(
    store: &(impl VerifyReads + QueryReads),
    settings: &DeadDropSettings,
    process: &Process,
    report: &mut DeadLetterReport,
) -> anyhow::Result<()> {
    let session = DeadLetterSession::open(settings.target.connect().await?, store, process).await?;
    let filter = DeadLetterFilterArgs {
        origin: settings.origin.clone(),
        reason: settings.dead_reason.clone(),
    };
    let selection = DeadLetterSelection::of(&settings.dead_letters, filter);
    let mut cursor = DeadLetterCursor::new(&session.js, selection).await?;
    let progress = output::progress_bar(cursor.bound(), PROGRESS, settings.json);
    while let Some(selected) = cursor.next().await? {
        report.dead_letters.push(match selected {
            Selected::Gone(sequence) => ReportLine::gone(sequence),
            Selected::Message(dead) => {
                let outcome = match settings.dry_run {
                    true => would_drop(&session, store, &dead).await?,
                    false => drop_dead_letter(&session, &dead, &settings.reason).await?,
                };
                ReportLine::of(&dead, outcome)
            }
        });
        progress.inc(1);
    }
    progress.finish_and_clear();
    Ok(())
}

/// What [`drop_dead_letter`] would do.
async fn would_drop(
    session: &DeadLetterSession,
    store: &impl QueryReads,
    dead: &DeadMessage,
) -> anyhow::Result<DeadLetterOutcome> {
    let view = session.events_view(dead).await?;
    let deletes_from_events = match (message_to_delete(dead, &view), view.identity()) {
        (Some(seq), Some(message)) => store
            .stored(session.events_of(dead).incarnation.clone(), seq, message)
            .await?
            .is_none(),
        // What is no batch is never stored.
        (to_delete, _) => to_delete.is_some(),
    };
    Ok(DeadLetterOutcome::WouldBeDropped {
        deletes_from_events,
    })
}

/// Recorded first; then the message is deleted, so that stream and store agree; the dead letter is deleted last.
///
/// Another administrator may redrive it meanwhile: whether DEAD still holds it is checked after the decision is
/// recorded. If its message is stored between that check and the deletion, the recorded decision explains to `verify`
/// why the store has it and EVENTS has not.
async fn drop_dead_letter(
    session: &DeadLetterSession,
    dead: &DeadMessage,
    reason: &str,
) -> anyhow::Result<DeadLetterOutcome> {
    let view = session.events_view(dead).await?;
    let noted = session
        .note(DEAD_DROP, dead, dead.job_id(), Some(reason))
        .await?;
    if cursor::at(&session.js, dead.sequence).await?.is_none() {
        return Ok(DeadLetterOutcome::Gone);
    }
    let to_delete = message_to_delete(dead, &view).filter(|_| !noted.stored);
    if let Some(seq) = to_delete {
        let events = session.events_of(dead);
        session.delete_event_message(events, seq).await?;
    }
    session.delete_dead(dead).await?;
    Ok(DeadLetterOutcome::Dropped {
        deleted_from_events: to_delete.is_some(),
    })
}

/// The sequence of the message in its event stream, if that still holds it: never another one.
fn message_to_delete(dead: &DeadMessage, view: &EventsView) -> Option<u64> {
    plan::events_sequence(dead)?;
    plan::message_in_events(dead, view).ok().map(|at| at.seq)
}
