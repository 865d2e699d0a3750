//! `devtrail import`: what other tools have, or another Devtrail, as events, sent as `devtrail send` does.
//!
//! Here is `import git`, a repository's history, oldest first; what is read of files is in a module each.

mod activitywatch;
mod commit_event;
mod devtrail;
mod diagnosis;
mod exported;
mod files;
mod git_log;
mod git_process;
mod json_stream;
mod repository;
mod summary;
mod wakatime_dump;

use std::collections::VecDeque;
use std::path::PathBuf;

use anyhow::bail;
use futures_util::{Stream, StreamExt as _, TryStreamExt as _, stream};
use runtime::process::Process;
use serde_json::Value;
use serde_json::value::RawValue;

use crate::interrupt::until_shutdown;
use crate::output::{self, OUTPUT, SELECTION};
use crate::send::delivery::{DeliveryArgs, Extent, Progress, Summary};
use crate::send::input::{BatchContent, Cutter, OutgoingBatch};
use crate::time_args::parse_day;
use files::{CLIENT, COMPUTED};
use repository::{CommitHistory, Repository, Selection};
use summary::{Imported, Planned};

/// What to import.
#[derive(Debug, clap::Subcommand)]
pub enum ImportCommand {
    /// Send a git repository's history as events, one a commit; a second time nothing is stored twice
    #[command(after_long_help = "Examples:
  devtrail import git .                                your own commits, by git's user.email
  devtrail import git ~/src/app --from 2026-01-01 --to 2026-03-31
  devtrail import git . --author ada@example.org --author ada@old.example.org
  devtrail import git . --all-authors --dry-run        what would be sent")]
    Git(ImportGitSettings),
    /// Send the events of an export of Devtrail, with their ids and times; a second time nothing is stored twice
    ///
    /// Metrics, records and alerts are computed again. They are the same where the settings are: see --settings.
    #[command(after_long_help = "Examples:
  devtrail import devtrail ada.ndjson
  devtrail import devtrail ada.ndjson --settings me
  zcat ada.ndjson.gz | devtrail import devtrail - --dry-run")]
    Devtrail(devtrail::ImportDevtrailSettings),
    /// Send the heartbeats of a WakaTime dump; a second time nothing is stored twice
    ///
    /// The dump does not name editors and machines, only their ids: metrics by them say unknown.
    #[command(after_long_help = "Examples:
  devtrail import wakatime wakatime-dump.json --dry-run
  devtrail import wakatime wakatime-dump.json
  devtrail import wakatime wakatime-dump.json --to 2026-02-28    what came before Devtrail")]
    Wakatime(wakatime_dump::ImportWakatimeSettings),
    /// Send what editors did by an ActivityWatch export; a second time nothing is stored twice
    #[command(after_long_help = "Examples:
  devtrail import activitywatch aw-buckets-export.json --dry-run
  devtrail import activitywatch aw-buckets-export.json --zone Europe/Berlin")]
    Activitywatch(activitywatch::ImportActivitywatchSettings),
}

/// Which commits of which repository are sent, and to which collector.
#[derive(Debug, clap::Args)]
pub struct ImportGitSettings {
    /// A folder of the repository; its whole history up to what is checked out is read
    path: PathBuf,
    /// Only commits committed on this day or later, YYYY-MM-DD; the day on the clock of whoever committed
    #[arg(
        long = "from",
        visible_alias = "since",
        value_name = "DAY",
        value_parser = parse_day,
        help_heading = SELECTION
    )]
    since: Option<String>,
    /// Only commits committed on this day or earlier, YYYY-MM-DD; the day on the clock of whoever committed
    #[arg(
        long = "to",
        visible_alias = "until",
        value_name = "DAY",
        value_parser = parse_day,
        help_heading = SELECTION
    )]
    until: Option<String>,
    /// Only commits of this author's address; may be given several times [default: git's user.email]
    #[arg(long, value_name = "EMAIL", value_parser = email, conflicts_with = "all_authors")]
    author: Vec<String>,
    /// Everyone's commits: all count as the key's developer's
    #[arg(long)]
    all_authors: bool,
    /// The project's name [default: of where the repository was cloned from, else of its folder]
    #[arg(long, value_name = "NAME", value_parser = project)]
    project: Option<String>,
    /// Only say what would be sent
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    delivery: DeliveryArgs,
    /// Print JSON
    #[arg(long, help_heading = OUTPUT)]
    json: bool,
}

/// Runs the command.
///
/// # Errors
/// Returns an error if what is to be imported cannot be read, holds nothing, or a batch is not acknowledged.
pub async fn run(command: ImportCommand, process: Process) -> anyhow::Result<()> {
    match command {
        ImportCommand::Git(settings) => import_git(settings, process).await,
        ImportCommand::Devtrail(settings) => devtrail::run(settings, &process).await,
        ImportCommand::Wakatime(settings) => wakatime_dump::run(settings, &process).await,
        ImportCommand::Activitywatch(settings) => activitywatch::run(settings, &process).await,
    }
}

async fn import_git(settings: ImportGitSettings, process: Process) -> anyhow::Result<()> {
    let repository = Repository::open(&settings.path).await?;
    let selection = select(&repository, &settings).await?;
    let project = settings
        .project
        .clone()
        .unwrap_or_else(|| repository.name.clone());
    if settings.dry_run {
        return until_shutdown(
            plan(&repository, &selection, project, &settings),
            &process.shutdown,
        )
        .await;
    }
    // Missing settings are reported before a long history is counted.
    let client = settings.delivery.client(CLIENT)?.waiting();
    let keys = settings.delivery.keys()?;
    let key = keys.of(None)?.to_owned();
    let total = count(&repository, &selection, &settings);
    let total = until_shutdown(total, &process.shutdown).await?;
    let extent = Extent::Events {
        total,
        what: "commits",
    };
    let progress = Progress::new(extent, &repository.name, settings.json);
    let batches = batches(
        repository.history(&selection)?,
        &project,
        &key,
        settings.delivery.batch_size,
    );
    let mut newest = String::new();
    let batches = batches
        .inspect_ok(|batch| newest.clone_from(&batch.batch_id))
        .take_until(process.shutdown.draining());
    let mut summary = Summary::default();
    let sent = settings
        .delivery
        .send(&client, batches, &progress, &process.shutdown, &mut summary)
        .await;
    drop(progress);
    sent?;
    // A person looks at the metrics next.
    let computed = client.is_completed(&key, &newest, COMPUTED);
    let imported = Imported::new(project, selection.authors, summary);
    let computed = until_shutdown(computed, &process.shutdown).await?;
    if settings.json {
        Ok(output::json(&imported)?)
    } else {
        Ok(imported.print(computed, settings.delivery.is_as_me())?)
    }
}

async fn select(
    repository: &Repository,
    settings: &ImportGitSettings,
) -> anyhow::Result<Selection> {
    let mut given = settings.author.clone();
    if given.is_empty() && !settings.all_authors {
        given.push(repository.user_email().await?);
    }
    let mut authors = Vec::new();
    for email in given {
        authors.push(repository.known_as(&email).await?);
    }
    Ok(Selection {
        authors,
        since: settings.since.clone(),
        until: settings.until.clone(),
    })
}

/// How many commits there are to send.
async fn count(
    repository: &Repository,
    selection: &Selection,
    settings: &ImportGitSettings,
) -> anyhow::Result<u64> {
    let total = repository.count(selection).await?;
    if total > 0 {
        return Ok(total);
    }
    let since = settings.since.iter().map(|day| format!(" since {day}"));
    let until = settings.until.iter().map(|day| format!(" until {day}"));
    let days: String = since.chain(until).collect();
    let who = match &selection.authors[..] {
        [] => "anyone".to_owned(),
        authors => authors.join(" or "),
    };
    bail!(
        "{} has no commit of {who}{days}.{}",
        settings.path.display(),
        repository.who_is_there().await?
    );
}

async fn plan(
    repository: &Repository,
    selection: &Selection,
    project: String,
    settings: &ImportGitSettings,
) -> anyhow::Result<()> {
    count(repository, selection, settings).await?;
    let history = repository.history(selection)?;
    let batches = batches(history, &project, "", settings.delivery.batch_size);
    let planned = Planned {
        project: project.clone(),
        authors: selection.authors.clone(),
        ..Planned::default()
    };
    let add = |planned: Planned, batch: OutgoingBatch| async move { Ok(planned.with(&batch)) };
    let planned = batches.try_fold(planned, add).await?;
    if settings.json {
        return Ok(output::json(&planned)?);
    }
    Ok(planned.print()?)
}

/// The history as batches: of the same commits always the same ones.
fn batches(
    history: CommitHistory,
    project: &str,
    key: &str,
    size: u16,
) -> impl Stream<Item = anyhow::Result<OutgoingBatch>> {
    struct Open {
        history: CommitHistory,
        cutter: Option<Cutter>,
        full: VecDeque<Vec<Box<RawValue>>>,
    }
    let project = project.to_owned();
    let key = key.to_owned();
    let open = Open {
        history,
        cutter: Some(Cutter::new(usize::from(size))),
        full: VecDeque::new(),
    };
    stream::try_unfold(open, move |mut open| {
        let project = project.clone();
        let key = key.clone();
        async move {
            loop {
                if let Some(events) = open.full.pop_front() {
                    return Ok(Some((batch(key, events)?, open)));
                }
                let Some(cutter) = &mut open.cutter else {
                    return Ok(None);
                };
                match open.history.next().await? {
                    Some(commits) => {
                        for commit in &commits {
                            open.full
                                .extend(cutter.push(commit_event::event(commit, &project)?));
                        }
                    }
                    None => open.full.extend(open.cutter.take().and_then(Cutter::rest)),
                }
            }
        }
    })
}

/// A batch named by its first and last commit and their number.
fn batch(key: String, events: Vec<Box<RawValue>>) -> anyhow::Result<OutgoingBatch> {
    let id = |event: Option<&Box<RawValue>>| -> anyhow::Result<String> {
        let event: Value = serde_json::from_str(event.map_or("null", |event| event.get()))?;
        // 32 of a hash's hex digits name a commit well enough, and two of them fit in an id.
        Ok(event["data"]["commit"]
            .as_str()
            .unwrap_or_default()
            .chars()
            .take(32)
            .collect())
    };
    let batch_id = format!(
        "git-{}-{}-{}",
        id(events.first())?,
        id(events.last())?,
        events.len()
    );
    Ok(OutgoingBatch {
        key,
        batch_id,
        content: BatchContent::Events(events),
    })
}

fn email(text: &str) -> Result<String, String> {
    let is_one = !text.trim().is_empty() && !text.contains(['<', '>', '\n']);
    is_one
        .then(|| text.to_owned())
        .ok_or_else(|| format!("{text:?} is no address; write ada@example.org"))
}

fn project(text: &str) -> Result<String, String> {
    let fits = !text.trim().is_empty() && text.chars().count() <= 4096;
    fits.then(|| text.to_owned())
        .ok_or_else(|| "it must have 1 to 4096 characters".to_owned())
}
