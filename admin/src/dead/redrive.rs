//! `devtrail dead redrive`: each letter is noted, published anew, confirmed, and only then deleted.

mod returns;

use std::time::Duration;

use bus::sync::SyncSettings;
use runtime::crash;
use runtime::process::Process;
use store::{Answers, Jobs, VerifyReads};
use tokio::time::Instant;
use types::query::DEAD_REDRIVE;

use super::desk::{Desk, Sent};
use super::letter::Letter;
use super::plan::{Plan, plan};
use super::report::{Became, Line, Report, SHOWN, progress};
use super::walk::{Filter, Found, Walk, Wanted};
use crate::output;
use crate::target::{Target, with_store};
use returns::Returns;

/// What to redrive.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  devtrail dead redrive 7 8
  devtrail dead redrive --all --stream JOBS --consumer alert --dry-run
  devtrail dead redrive --all --reason 'disk full' --wait 5m")]
pub struct RedriveSettings {
    #[command(flatten)]
    target: Target,
    /// Numbers of letters, as `dead list` shows them
    #[arg(value_name = "LETTER", required_unless_present = "all", conflicts_with_all = ["all", "stream", "consumer", "developer", "reason", "since"])]
    letters: Vec<u64>,
    /// All letters that fit the filters
    #[arg(long)]
    all: bool,
    #[command(flatten)]
    filter: Filter,
    #[command(flatten)]
    sync: SyncSettings,
    /// Only say what would be done; nothing is sent
    #[arg(long)]
    dry_run: bool,
    /// How long to wait until what was redriven is stored or done
    #[arg(long, default_value = "60s", value_name = "TIME", value_parser = runtime::settings::parse_duration)]
    wait: Duration,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// How often it is asked what became of a letter.
const ASK: Duration = Duration::from_millis(50);

/// A letter that was published anew: its line in the report, what was published, and what of it is awaited.
struct OnTheWay {
    line: usize,
    plan: Plan,
    sent: Sent,
}

/// Runs the command.
///
/// # Errors
/// Where a letter is gone or cannot be redriven, gave up again, or is not taken in time; where streams, database or
/// workers do not answer.
pub async fn run(settings: &RedriveSettings, process: &Process) -> anyhow::Result<()> {
    let mut report = Report {
        dry_run: settings.dry_run,
        ..Report::default()
    };
    let done = with_store!(settings.target, |store| redrive(
        &store,
        settings,
        process,
        &mut report
    )
    .await);
    // What was published before something failed is told as well.
    if settings.json {
        output::json(&report)?;
    } else if report.letters.is_empty() && done.is_ok() {
        output::line("No dead letter fits.")?;
    } else {
        report.lines(SHOWN).iter().try_for_each(output::line)?;
    }
    done?;
    report.conclude()
}

async fn redrive(
    store: &(impl VerifyReads + Answers + Jobs),
    settings: &RedriveSettings,
    process: &Process,
    report: &mut Report,
) -> anyhow::Result<()> {
    let connected = settings.target.connect_synced(&settings.sync).await?;
    let desk = Desk::open(connected, store, process).await?;
    let returns = Returns::from_now(&desk.js).await?;
    let wanted = if settings.all {
        Wanted::Fitting(settings.filter.clone())
    } else {
        Wanted::Named(settings.letters.clone())
    };
    let mut walk = Walk::new(&desk.js, wanted).await?;
    let progress = progress(walk.bound(), settings.json);
    let mut on_the_way = Vec::new();
    while let Some(found) = walk.next().await? {
        match found {
            Found::Gone(sequence) => report.letters.push(Line::gone(sequence)),
            Found::Letter(letter) => match plan(&letter, &desk.now(&letter).await?) {
                Err(why) => report
                    .letters
                    .push(Line::of(&letter, Became::Stays { why })),
                _ if settings.dry_run => report
                    .letters
                    .push(Line::of(&letter, Became::WouldBeRedriven)),
                Ok(plan) => {
                    let sent = send(&desk, &letter, &plan).await?;
                    on_the_way.push(OnTheWay {
                        line: report.letters.len(),
                        plan,
                        sent,
                    });
                    report.letters.push(Line::of(&letter, Became::Waits));
                }
            },
        }
        progress.inc(1);
    }
    progress.set_message("waiting for the workers");
    settle(&desk, store, returns, settings.wait, &on_the_way, report).await?;
    progress.finish_and_clear();
    Ok(())
}

/// Noted first: what is published is handled at once. Deleted last: until then the letter is there.
async fn send(desk: &Desk, letter: &Letter, plan: &Plan) -> anyhow::Result<Sent> {
    let job_id = match plan {
        Plan::Job(job) => Some(job.job_id.clone()),
        Plan::Pointer(_) | Plan::Raw(_) => None,
    };
    desk.note(DEAD_REDRIVE, letter, job_id, None).await?;
    crash::point("redrive.after_note");
    let sent = desk.publish(letter, plan).await?;
    crash::point("redrive.after_publish");
    desk.remove(&desk.dead, letter.sequence).await?;
    crash::point("redrive.after_delete");
    Ok(sent)
}

/// Waits until each is stored or done, or gave up again; what is not by then stays as it is in the report.
async fn settle(
    desk: &Desk,
    store: &(impl Answers + Jobs),
    mut returns: Returns,
    wait: Duration,
    on_the_way: &[OnTheWay],
    report: &mut Report,
) -> anyhow::Result<()> {
    let deadline = Instant::now() + wait;
    let mut asks = tokio::time::interval(ASK);
    for one in on_the_way {
        loop {
            let became = match settled(desk, store, one).await? {
                // A message is in DEAD before it leaves its stream.
                Some(Became::Taken) => returns.of(&one.sent.msg_id).await?.or(Some(Became::Taken)),
                Some(became) => Some(became),
                None => returns.of(&one.sent.msg_id).await?,
            };
            if let Some(became) = became {
                report.letters[one.line].became = became;
                break;
            }
            if Instant::now() >= deadline {
                break;
            }
            asks.tick().await;
        }
    }
    Ok(())
}

/// What the store, or the stream of what is no job, says of it.
async fn settled(
    desk: &Desk,
    store: &(impl Answers + Jobs),
    one: &OnTheWay,
) -> anyhow::Result<Option<Became>> {
    Ok(match &one.plan {
        Plan::Pointer(pointer) => store
            .stored(desk.incarnation.clone(), pointer.at.seq)
            .await?
            .map(|_| Became::Stored),
        Plan::Job(job) => {
            let done = store.done(vec![job.job_id.clone()]).await?;
            done.contains(&job.job_id).then_some(Became::Done)
        }
        Plan::Raw(_) => (!desk.holds(&one.sent.place).await?).then_some(Became::Taken),
    })
}
