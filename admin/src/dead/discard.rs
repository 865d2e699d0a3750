//! `devtrail dead drop`: an administrator's last word.

use std::io::{IsTerminal, Write as _};

use runtime::{process::Process, settings::UsageError};
use store::{Answers, VerifyReads};
use types::query::DEAD_DROP;

use super::desk::Desk;
use super::letter::Letter;
use super::plan::{self, Now};
use super::report::{Became, Line, Report, SHOWN, progress};
use super::walk::{self, Filter, Found, Origin, Walk, Wanted};
use crate::output;
use crate::target::{Target, with_store};

/// What to drop.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  devtrail dead drop 7 --reason 'garbage from a broken client' --dry-run
  devtrail dead drop 7 8 --reason 'garbage from a broken client' --yes
  devtrail dead drop --all --developer ada --reason 'broken client' --dry-run")]
pub struct DropSettings {
    #[command(flatten)]
    target: Target,
    /// Numbers of letters, as `dead list` shows them
    #[arg(value_name = "LETTER", required_unless_present = "all", conflicts_with_all = ["all", "stream", "consumer", "developer", "dead_reason", "since"])]
    letters: Vec<u64>,
    /// All letters that fit the filters
    #[arg(long)]
    all: bool,
    #[command(flatten)]
    origin: Origin,
    /// Only letters whose own reason contains this, in upper or lower case
    #[arg(long, value_name = "TEXT")]
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
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Longest reason, in bytes: that of a letter's own.
const MAX_REASON: usize = 1024;

fn parse_reason(text: &str) -> Result<String, String> {
    let text = text.trim();
    match text.len() {
        0 => Err("the reason is empty; say why the letters are dropped".to_owned()),
        1..=MAX_REASON => Ok(text.to_owned()),
        length => Err(format!(
            "the reason has {length} bytes, the limit is {MAX_REASON}"
        )),
    }
}

/// Runs the command.
///
/// # Errors
/// Where a letter is gone, or streams, database or workers do not answer.
pub async fn run(settings: &DropSettings, process: &Process) -> anyhow::Result<()> {
    if !settings.dry_run && !settings.yes && !confirmed(settings)? {
        return Ok(output::line("Nothing was dropped.")?);
    }
    let mut report = Report {
        dry_run: settings.dry_run,
        ..Report::default()
    };
    let done = with_store!(settings.target, |store| each(
        &store,
        settings,
        process,
        &mut report
    )
    .await);
    if settings.json {
        output::json(&report)?;
    } else if report.letters.is_empty() && done.is_ok() {
        output::line("No dead letter fits.")?;
    } else {
        report
            .lines(SHOWN.max(settings.letters.len()))
            .iter()
            .try_for_each(output::line)?;
    }
    done?;
    report.conclude()
}

fn confirmed(settings: &DropSettings) -> anyhow::Result<bool> {
    if !std::io::stdin().is_terminal() {
        return Err(UsageError(
            "What is dropped is gone for good. Where nobody can be asked, say --yes.".to_owned(),
        )
        .into());
    }
    let mut stderr = std::io::stderr();
    let which = match &settings.letters[..] {
        [] => "all letters that fit (--dry-run shows them) for good, and their messages with them"
            .to_owned(),
        [letter] => format!("letter {letter} for good, and its message with it"),
        letters => format!(
            "{} letters for good, and their messages with them",
            letters.len()
        ),
    };
    write!(stderr, "Drop {which}? [y/N] ")?;
    stderr.flush()?;
    let mut answer = String::new();
    std::io::stdin().read_line(&mut answer)?;
    Ok(matches!(answer.trim(), "y" | "Y" | "yes"))
}

async fn each(
    store: &(impl VerifyReads + Answers),
    settings: &DropSettings,
    process: &Process,
    report: &mut Report,
) -> anyhow::Result<()> {
    let desk = Desk::open(settings.target.connect().await?, store, process).await?;
    let wanted = if settings.all {
        let (origin, reason) = (settings.origin.clone(), settings.dead_reason.clone());
        Wanted::Fitting(Filter { origin, reason })
    } else {
        Wanted::Named(settings.letters.clone())
    };
    let mut walk = Walk::new(&desk.js, wanted).await?;
    let progress = progress(walk.bound(), settings.json);
    while let Some(found) = walk.next().await? {
        report.letters.push(match found {
            Found::Gone(sequence) => Line::gone(sequence),
            Found::Letter(letter) => {
                let became = match settings.dry_run {
                    true => would_discard(&desk, store, &letter).await?,
                    false => discard(&desk, &letter, &settings.reason).await?,
                };
                Line::of(&letter, became)
            }
        });
        progress.inc(1);
    }
    progress.finish_and_clear();
    Ok(())
}

/// What [`discard`] would do.
async fn would_discard(
    desk: &Desk,
    store: &impl Answers,
    letter: &Letter,
) -> anyhow::Result<Became> {
    let deletes_from_events = match message_to_delete(letter, &desk.now(letter).await?) {
        Some(seq) => store.stored(desk.incarnation.clone(), seq).await?.is_none(),
        None => false,
    };
    Ok(Became::WouldBeDropped {
        deletes_from_events,
    })
}

/// Written down first; then the message goes, so that stream and store agree; the letter goes last.
///
/// Another administrator may redrive it meanwhile. That the letter is still there is looked at after the
/// decision is written; where its message is stored between that look and the deletion, the decision in the
/// audit tells `verify` why the store has it and EVENTS has not.
async fn discard(desk: &Desk, letter: &Letter, reason: &str) -> anyhow::Result<Became> {
    let now = desk.now(letter).await?;
    let noted = desk
        .note(DEAD_DROP, letter, letter.job_id(), Some(reason))
        .await?;
    if walk::at(&desk.js, letter.sequence).await?.is_none() {
        return Ok(Became::Gone);
    }
    let in_events = message_to_delete(letter, &now).filter(|_| !noted.stored);
    if let Some(seq) = in_events {
        desk.remove(&desk.events, seq).await?;
    }
    desk.remove(&desk.dead, letter.sequence).await?;
    Ok(Became::Dropped {
        deleted_from_events: in_events.is_some(),
    })
}

/// The letter's message in EVENTS, where that still holds it: never another one.
fn message_to_delete(letter: &Letter, now: &Now) -> Option<u64> {
    plan::in_events(letter)?;
    plan::message(letter, now).ok().map(|at| at.seq)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reason_says_something_and_not_too_much() {
        assert_eq!(
            parse_reason(" broken client "),
            Ok("broken client".to_owned())
        );
        assert!(parse_reason("  ").unwrap_err().contains("say why"));
        assert!(
            parse_reason(&"x".repeat(2000))
                .unwrap_err()
                .contains("2000 bytes, the limit is 1024")
        );
    }
}
