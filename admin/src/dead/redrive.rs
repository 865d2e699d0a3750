//! `devtrail dead redrive`: each dead letter is recorded, republished, confirmed, and only then deleted.

use std::collections::HashMap;
use std::time::Duration;

use async_nats::jetstream;
use bus::DEAD;
use bus::sync::SyncSettings;
use runtime::crash;
use runtime::process::Process;
use store::{Jobs, QueryReads, VerifyReads};
use tokio::time::Instant;
use types::id::MessageIdentity;
use types::query::DEAD_REDRIVE;

use super::cursor::{
    DeadLetterCursor, DeadLetterFilterArgs, DeadLetterSelection, Selected, first_in,
};
use super::message::DeadMessage;
use super::plan::{RedrivePlan, plan};
use super::report::{DeadLetterOutcome, DeadLetterReport, PROGRESS, ReportLine, SHOWN};
use super::session::{DeadLetterSession, PublishedRedrive};
use crate::developer::ensure_known;
use crate::output::{self, OUTPUT, SELECTION};
use crate::target::{Target, open_stream, with_store};

/// What to redrive.
#[derive(Debug, clap::Args)]
#[command(after_long_help = "Examples:
  devtrail dead redrive 7 8
  devtrail dead redrive --all --stream JOBS --consumer alert --dry-run
  devtrail dead redrive --all --reason 'disk full' --wait 5m")]
pub struct DeadRedriveSettings {
    /// Numbers of dead letters, as `dead list` shows them
    #[arg(
        value_name = "LETTER",
        required_unless_present = "all",
        conflicts_with_all = ["all", "stream", "consumer", "developer", "reason", "from", "to"]
    )]
    dead_letters: Vec<u64>,
    /// All dead letters that fit the filters
    #[arg(long, help_heading = SELECTION)]
    all: bool,
    #[command(flatten)]
    filter: DeadLetterFilterArgs,
    #[command(flatten)]
    sync: SyncSettings,
    /// Only say what would be done; nothing is sent
    #[arg(long)]
    dry_run: bool,
    /// How long to wait until what was redriven is stored or done
    #[arg(long, default_value = "60s", value_name = "TIME", value_parser = runtime::settings::parse_duration)]
    wait: Duration,
    #[command(flatten)]
    target: Target,
    /// Print JSON
    #[arg(long, help_heading = OUTPUT)]
    json: bool,
}

/// How often it is asked what became of a dead letter.
const POLL: Duration = Duration::from_millis(50);

/// A dead letter that was republished, and is neither stored nor done yet.
struct PendingRedrive {
    /// Index of its line in the report.
    line: usize,
    plan: RedrivePlan,
    /// What the batch's message says of itself, if it is one.
    message: Option<MessageIdentity>,
    published: PublishedRedrive,
}

/// Runs the command.
///
/// # Errors
/// Returns an error if a dead letter is gone, cannot be redriven, is dead-lettered again, or is not taken in time, and
/// if streams, database or workers do not answer.
pub async fn run(settings: &DeadRedriveSettings, process: &Process) -> anyhow::Result<()> {
    settings.filter.origin.range.check()?;
    let mut report = DeadLetterReport {
        dry_run: settings.dry_run,
        ..DeadLetterReport::default()
    };
    let done = with_store!(settings.target, |store| redrive(
        &store,
        settings,
        process,
        &mut report
    )
    .await);
    if done.is_ok() && report.dead_letters.is_empty() {
        ensure_known(&settings.target, settings.filter.origin.developer.as_ref()).await?;
    }
    report.conclude(done, SHOWN, settings.json)
}

async fn redrive(
    store: &(impl VerifyReads + QueryReads + Jobs),
    settings: &DeadRedriveSettings,
    process: &Process,
    report: &mut DeadLetterReport,
) -> anyhow::Result<()> {
    let js = settings.target.connect_synced(&settings.sync).await?;
    let session = DeadLetterSession::open(js, store, process).await?;
    let returned = ReturnedDeadLetters::from_now(&session.js).await?;
    let selection = DeadLetterSelection::of(&settings.dead_letters, settings.filter.clone());
    let mut cursor = DeadLetterCursor::new(&session.js, selection).await?;
    let progress = output::progress_bar(cursor.bound(), PROGRESS, settings.json);
    let mut pending = Vec::new();
    while let Some(selected) = cursor.next().await? {
        match selected {
            Selected::Gone(sequence) => report.dead_letters.push(ReportLine::gone(sequence)),
            Selected::Message(dead) => {
                let view = session.events_view(&dead).await?;
                let outcome = match plan(&dead, &view) {
                    Err(why) => DeadLetterOutcome::Stays { why },
                    _ if settings.dry_run => DeadLetterOutcome::WouldBeRedriven,
                    Ok(plan) => {
                        let published = republish(&session, &dead, &plan).await?;
                        pending.push(PendingRedrive {
                            line: report.dead_letters.len(),
                            plan,
                            message: view.identity(),
                            published,
                        });
                        DeadLetterOutcome::Pending
                    }
                };
                report.dead_letters.push(ReportLine::of(&dead, outcome));
            }
        }
        progress.inc(1);
    }
    progress.set_message("waiting for the workers");
    await_outcomes(&session, store, returned, settings.wait, &pending, report).await?;
    progress.finish_and_clear();
    Ok(())
}

/// Recorded first: what is published is handled at once. Deleted last: until then DEAD holds it.
async fn republish(
    session: &DeadLetterSession,
    dead: &DeadMessage,
    plan: &RedrivePlan,
) -> anyhow::Result<PublishedRedrive> {
    let job_id = match plan {
        RedrivePlan::Job(job) => Some(job.job_id.clone()),
        RedrivePlan::Pointer(_) | RedrivePlan::Unchanged(_) => None,
    };
    session.note(DEAD_REDRIVE, dead, job_id, None).await?;
    crash::point("redrive.after_note");
    let published = session.publish(dead, plan).await?;
    crash::point("redrive.after_publish");
    session.delete_dead(dead).await?;
    crash::point("redrive.after_delete");
    Ok(published)
}

/// Waits until each is stored, done or dead-lettered again; what is not by then stays as it is in the report.
async fn await_outcomes(
    session: &DeadLetterSession,
    store: &(impl QueryReads + Jobs),
    mut returned: ReturnedDeadLetters,
    wait: Duration,
    pending: &[PendingRedrive],
    report: &mut DeadLetterReport,
) -> anyhow::Result<()> {
    let deadline = Instant::now() + wait;
    let mut polls = tokio::time::interval(POLL);
    for one in pending {
        loop {
            let outcome = match outcome_of(session, store, one).await? {
                // A message is in DEAD before it leaves its stream.
                Some(DeadLetterOutcome::Taken) => returned
                    .of(&one.published.message_id)
                    .await?
                    .or(Some(DeadLetterOutcome::Taken)),
                Some(outcome) => Some(outcome),
                None => returned.of(&one.published.message_id).await?,
            };
            if let Some(outcome) = outcome {
                report.dead_letters[one.line].outcome = outcome;
                break;
            }
            if Instant::now() >= deadline {
                break;
            }
            polls.tick().await;
        }
    }
    Ok(())
}

/// The outcome by the store, or by the stream of what is no job; `None` if it is pending.
async fn outcome_of(
    session: &DeadLetterSession,
    store: &(impl QueryReads + Jobs),
    one: &PendingRedrive,
) -> anyhow::Result<Option<DeadLetterOutcome>> {
    Ok(match &one.plan {
        // What is no batch is never stored.
        RedrivePlan::Pointer(pointer) => {
            let events = session.events_numbered(pointer.at.src);
            match (events, one.message.clone()) {
                (Some(events), Some(message)) => store
                    .stored(events.incarnation.clone(), pointer.at.seq, message)
                    .await?
                    .map(|_| DeadLetterOutcome::Stored),
                (None, _) | (_, None) => None,
            }
        }
        RedrivePlan::Job(job) => {
            let done = store.done(vec![job.job_id.clone()]).await?;
            done.contains(&job.job_id)
                .then_some(DeadLetterOutcome::Done)
        }
        RedrivePlan::Unchanged(_) => {
            (!session.holds(&one.published).await?).then_some(DeadLetterOutcome::Taken)
        }
    })
}

/// Follows DEAD: what was dead-lettered again after it was redriven.
pub struct ReturnedDeadLetters {
    js: jetstream::Context,
    next: u64,
    /// Sequence in DEAD and reason, by the message id that it was redriven under.
    by_message_id: HashMap<String, (u64, String)>,
}

impl ReturnedDeadLetters {
    /// What comes from now on.
    ///
    /// # Errors
    /// Returns an error if DEAD cannot be read.
    pub async fn from_now(js: &jetstream::Context) -> anyhow::Result<Self> {
        let last = open_stream(js, DEAD)
            .await?
            .cached_info()
            .state
            .last_sequence;
        Ok(Self {
            js: js.clone(),
            next: last + 1,
            by_message_id: HashMap::new(),
        })
    }

    /// The outcome of the message with this id, if it was dead-lettered again.
    ///
    /// # Errors
    /// Returns an error if DEAD cannot be read.
    pub async fn of(&mut self, message_id: &str) -> anyhow::Result<Option<DeadLetterOutcome>> {
        while let Some(dead) = first_in(&self.js, "dead.*.*", self.next, u64::MAX).await? {
            self.next = dead.sequence + 1;
            if let Some(id) = &dead.letter.message_id {
                self.by_message_id
                    .insert(id.clone(), (dead.sequence, dead.reason().to_owned()));
            }
        }
        let again = self.by_message_id.get(message_id).cloned();
        Ok(again
            .map(|(sequence, reason)| DeadLetterOutcome::DeadLetteredAgain { sequence, reason }))
    }
}
