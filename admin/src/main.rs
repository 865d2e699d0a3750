//! `devtrail`: everything in one process (`up`), and the administrator's commands, one file each.

mod administrator;
mod alerts;
mod bucket;
mod completions;
mod dead;
mod developer;
mod developers;
mod events;
mod export;
mod hints;
mod import;
mod interrupt;
mod keys;
mod metrics;
mod output;
mod quarantine;
mod rules;
mod schemas;
mod send;
mod status;
mod streams;
mod target;
mod time_args;
mod trace;
mod up;
mod verify;

use std::process::ExitCode;

use clap::{CommandFactory as _, Parser, Subcommand};
use interrupt::until_shutdown;
use runtime::settings::{CommonArgs, Settings, UsageError};

/// Devtrail keeps every event your editor sends, exactly once.
#[derive(Parser)]
#[command(
    name = "devtrail",
    version,
    after_long_help = "Examples:
  devtrail up                          start everything on ./devtrail-data
  devtrail import git .                your own commits as events
  devtrail send events.ndjson          send events, one a line
  devtrail status                      streams, lag, workers, batches by state
  devtrail today                       what you did today
  devtrail metrics show ada            what ada did, day by day
  devtrail events ada                  ada's newest events
  devtrail alerts watch                your alerts as they come
  devtrail export ada -o ada.ndjson    everything stored about ada
  devtrail trace BATCH                 what happened to a batch or event
  devtrail verify                      check that every acknowledged event is stored once
  devtrail quarantine list             events that were kept, but not stored, and why
  devtrail dead list                   what was dead-lettered, and why
  devtrail keys create ada             make an API key for the developer ada"
)]
struct Program {
    #[command(subcommand)]
    command: Command,
    #[command(flatten)]
    common_args: CommonArgs,
}

#[derive(Subcommand)]
enum Command {
    /// Start nats-server, collector and workers on one folder, with SQLite
    Up(Box<up::UpSettings>),
    /// Send events from a file or stdin
    Send(send::SendSettings),
    /// Send what another tool or Devtrail has: a git repository's history, or an export
    #[command(
        subcommand,
        after_long_help = "Examples:
  devtrail import git .
  devtrail import git . --all-authors --dry-run
  devtrail import devtrail ada.ndjson
  devtrail import wakatime wakatime-dump.json
  devtrail import activitywatch aw-buckets-export.json"
    )]
    Import(import::ImportCommand),
    /// Show streams, lag, workers and batches by state
    Status(status::StatusSettings),
    /// Show what happened to a batch or event, step by step
    Trace(trace::TraceSettings),
    /// Show the metrics of today
    ///
    /// The day is this machine's: that of TZ, else of /etc/localtime, else of UTC.
    Today(metrics::TodaySettings),
    /// Show the metrics of the newest days
    ///
    /// This is `devtrail metrics show` for one developer: the newest 14 days that have events, or those of a range.
    Stats(metrics::StatsSettings),
    /// List the newest events of a developer
    Events(events::EventsSettings),
    /// Write everything stored about a developer as NDJSON
    ///
    /// Its last line has the kind "end": an export without it was cut off. docs/export.md says what each line holds.
    Export(export::ExportSettings),
    /// Show days of metrics, of a developer or of everyone, and write a week as a page
    #[command(
        subcommand,
        after_long_help = "Examples:
  devtrail metrics show ada
  devtrail metrics report ada -o report.html
  devtrail metrics show --all --json"
    )]
    Metrics(metrics::MetricsCommand),
    /// List alerts of developers, and those to administrators
    #[command(
        subcommand,
        after_long_help = "Examples:
  devtrail alerts list
  devtrail alerts list --developer ada
  devtrail alerts watch
  devtrail alerts admin"
    )]
    Alerts(alerts::AlertsCommand),
    /// Check that every acknowledged event is in the store exactly once
    Verify(verify::VerifySettings),
    /// List and show quarantined events, and admit them again
    #[command(
        subcommand,
        after_long_help = "Examples:
  devtrail quarantine list
  devtrail quarantine show 1:4711:0
  devtrail quarantine readmit --schemas my-schemas --dry-run"
    )]
    Quarantine(quarantine::QuarantineCommand),
    /// List and show dead letters, redrive them, or drop them
    #[command(
        subcommand,
        after_long_help = "Examples:
  devtrail dead list
  devtrail dead show 7
  devtrail dead redrive --all --stream JOBS --dry-run
  devtrail dead drop 7 --reason \"garbage from a broken client\""
    )]
    Dead(dead::DeadCommand),
    /// Make, list and revoke API keys
    #[command(
        subcommand,
        after_long_help = "Examples:
  devtrail keys create ada
  devtrail keys list
  devtrail keys revoke ada"
    )]
    Keys(keys::KeysCommand),
    /// List developers' settings, and set them
    #[command(
        subcommand,
        after_long_help = "Examples:
  devtrail developers list
  devtrail developers set ada --zone Europe/Berlin"
    )]
    Developers(developers::DevelopersCommand),
    /// Make the streams and consumers that Devtrail needs, or show what differs
    #[command(
        subcommand,
        after_long_help = "Examples:
  devtrail streams diff
  devtrail streams apply
  devtrail streams adopt --reason \"the disk of the database died\""
    )]
    Streams(streams::StreamsCommand),
    /// List and show the alert rules, and test rule files
    #[command(
        subcommand,
        after_long_help = "Examples:
  devtrail rules list
  devtrail rules test my-rule.toml"
    )]
    Rules(rules::RulesCommand),
    /// List the event types and their schema versions, and check schema files and events
    #[command(
        subcommand,
        after_long_help = "Examples:
  devtrail schemas list
  devtrail schemas check my-schemas/1.0/coffee.brewed.json"
    )]
    Schemas(schemas::SchemasCommand),
    /// Print what makes a shell complete commands and flags
    Completions(completions::CompletionsSettings),
    /// Print the version
    #[command(after_long_help = "Examples:
  devtrail version")]
    Version,
}

impl Settings for Program {
    fn common_args(&self) -> &CommonArgs {
        &self.common_args
    }
}

fn main() -> ExitCode {
    if let Some(hint) = std::env::args().nth(1).and_then(|word| hints::hint(&word)) {
        return runtime::process::fail(&UsageError(hint).into());
    }
    runtime::process::run(|program: Program, process| async move {
        match program.command {
            Command::Up(settings) => up::run(*settings, process).await,
            Command::Send(settings) => send::run(settings, process).await,
            Command::Import(command) => import::run(command, process).await,
            Command::Status(settings) => status::run(settings, process).await,
            Command::Trace(settings) => {
                until_shutdown(trace::run(settings), &process.shutdown).await
            }
            Command::Today(settings) => {
                until_shutdown(metrics::today(settings), &process.shutdown).await
            }
            Command::Stats(settings) => {
                until_shutdown(metrics::stats(settings), &process.shutdown).await
            }
            Command::Events(settings) => {
                until_shutdown(events::run(settings), &process.shutdown).await
            }
            Command::Export(settings) => {
                until_shutdown(export::run(settings), &process.shutdown).await
            }
            Command::Metrics(command) => {
                until_shutdown(metrics::run(command), &process.shutdown).await
            }
            Command::Alerts(command) => alerts::run(command, &process.shutdown).await,
            Command::Verify(settings) => {
                until_shutdown(verify::run(settings), &process.shutdown).await
            }
            Command::Quarantine(command) => {
                until_shutdown(quarantine::run(command, &process), &process.shutdown).await
            }
            Command::Dead(command) => {
                until_shutdown(dead::run(command, &process), &process.shutdown).await
            }
            Command::Keys(command) => keys::run(command, &process.shutdown).await,
            Command::Developers(command) => {
                until_shutdown(developers::run(command), &process.shutdown).await
            }
            Command::Streams(command) => {
                until_shutdown(streams::run(command, &process), &process.shutdown).await
            }
            Command::Rules(command) => rules::run(&command),
            Command::Schemas(command) => schemas::run(&command),
            Command::Completions(settings) => completions::run(&settings, Program::command()),
            Command::Version => Ok(output::line(
                Program::command().render_version().trim_end(),
            )?),
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_sound() {
        Program::command().debug_assert();
    }

    #[test]
    fn a_hint_is_for_no_command_and_names_ones_that_are() {
        let program = Program::command();
        for (word, meant) in hints::HINTS {
            assert!(
                program.find_subcommand(word).is_none(),
                "{word} is a command"
            );
            for named in meant.split("`devtrail ").skip(1) {
                let named = named.split([' ', '`']).next().unwrap();
                assert!(program.find_subcommand(named).is_some(), "{word}: {named}");
            }
        }
        assert!(hints::hint("start").unwrap().contains("devtrail up"));
        assert_eq!(hints::hint("up"), None);
    }
}
