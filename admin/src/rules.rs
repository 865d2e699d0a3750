//! `devtrail rules`: the alert rules this program knows, and rule files under test.

mod back_test;

use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use runtime::schema_folder::SchemaSettings;
use runtime::settings::UsageError;
use serde_json::json;
use workers::alert::{Rule, builtin, check_examples, files};

use back_test::Recorded;

use crate::output::{self, OUTPUT};
use crate::time_args::DayRangeArgs;

/// The file of `rules new`.
const SKELETON: &str = include_str!("rules/skeleton.toml");

/// What to do with rules.
#[derive(Debug, clap::Subcommand)]
pub enum RulesCommand {
    /// List the rules with severity, window and reason
    #[command(after_long_help = "Examples:
  devtrail rules list
  devtrail rules list --json")]
    List {
        /// Print JSON
        #[arg(long, help_heading = OUTPUT)]
        json: bool,
    },
    /// Print a rule's file
    #[command(after_long_help = "Examples:
  devtrail rules show force-push")]
    Show {
        /// The rule's id, as `rules list` prints it
        rule: String,
    },
    /// Run the examples of rule files [default: those built in], or show what they would have said
    #[command(after_long_help = "Examples:
  devtrail rules test
  devtrail rules test my-rule.toml
  devtrail rules test my-rule.toml --on me.ndjson
  devtrail rules test force-push late-night-work --on ada.ndjson --from 2026-03-01")]
    Test {
        /// Rule files (TOML), or names of built-in rules
        #[arg(value_name = "FILE")]
        files: Vec<PathBuf>,
        #[command(flatten)]
        schemas: SchemaSettings,
        #[command(flatten)]
        back_test: BackTestSettings,
    },
    /// Write a rule file to begin with
    #[command(after_long_help = "Examples:
  devtrail rules new many-edits > many-edits.toml")]
    New {
        /// The rule's id: a-z, 0-9 and -
        rule: String,
    },
}

/// On which recorded events rules are tried, if on any.
#[derive(Debug, clap::Args)]
pub struct BackTestSettings {
    /// Show the alerts that the rules give on this file instead: an export, or events, one a line; - is stdin
    #[arg(long, value_name = "FILE")]
    on: Option<String>,
    #[command(flatten)]
    range: DayRangeArgs,
    /// Print JSON: the alerts as a developer gets them
    #[arg(long, requires = "on", help_heading = OUTPUT)]
    json: bool,
}

/// Runs the command.
///
/// # Errors
/// Returns an error if there is no such rule or file, an example comes out differently, or stdout cannot be written.
pub fn run(command: &RulesCommand) -> anyhow::Result<()> {
    match command {
        RulesCommand::List { json } => list(*json),
        RulesCommand::Show { rule } => show(rule),
        RulesCommand::Test {
            files,
            schemas,
            back_test,
        } => test(files, schemas, back_test),
        RulesCommand::New { rule } => new(rule),
    }
}

fn list(as_json: bool) -> anyhow::Result<()> {
    let rules = builtin();
    if as_json {
        let entry = |rule: &Rule| {
            json!({"id": rule.id, "version": rule.version, "severity": rule.severity, "category": rule.category,
                   "title": rule.title, "window_days": rule.window_days, "window_minutes": rule.window_minutes,
                   "why": rule.why, "source": rule.source, "actions": rule.actions, "silent": rule.silent})
        };
        return Ok(output::json(&rules.iter().map(entry).collect::<Vec<_>>())?);
    }
    let row = |rule: &Rule| {
        [
            rule.id.clone(),
            rule.severity.as_str().to_owned(),
            rule.category.as_str().to_owned(),
            match rule.window_minutes {
                Some(minutes) => output::count(minutes, "minute"),
                None => output::count(rule.window_days, "day"),
            },
            rule.title.clone(),
        ]
    };
    Ok(output::table(
        ["RULE", "SEVERITY", "CATEGORY", "WINDOW", "ALERT"],
        rules.iter().map(row).collect(),
    )?)
}

fn show(id: &str) -> anyhow::Result<()> {
    let Some((_, text)) = files().iter().find(|(name, _)| *name == id) else {
        let known: Vec<&str> = files().iter().map(|(name, _)| *name).collect();
        bail!(
            "There is no rule {id:?}. The rules are: {}.",
            known.join(", ")
        );
    };
    Ok(output::line(text.trim_end())?)
}

fn new(id: &str) -> anyhow::Result<()> {
    let text = SKELETON.replace("\"ID\"", &format!("{id:?}"));
    if let Err(error) = Rule::parse(&text) {
        return Err(UsageError(error.to_string()).into());
    }
    Ok(output::line(
        text.replace("ID.toml", &format!("{id}.toml")).trim_end(),
    )?)
}

fn test(
    paths: &[PathBuf],
    schemas: &SchemaSettings,
    back_test: &BackTestSettings,
) -> anyhow::Result<()> {
    let rules = if paths.is_empty() {
        builtin()
    } else {
        paths
            .iter()
            .map(|path| read(path))
            .collect::<Result<_, _>>()?
    };
    if let Some(file) = &back_test.on {
        back_test.range.check()?;
        let recorded = Recorded::read(file)?;
        let alerts = recorded.alerts(&rules, &back_test.range)?;
        return back_test::print(&alerts, &recorded, back_test.json);
    }
    let schemas = schemas.load()?;
    let mut failed = 0;
    for rule in &rules {
        let problems = check_examples(rule, &schemas);
        let verdict = if problems.is_empty() { "ok" } else { "FAILED" };
        output::line(format!(
            "{}: {}, {verdict}",
            rule.id,
            output::count(rule.examples.len(), "example")
        ))?;
        for problem in &problems {
            output::line(format!("  {problem}"))?;
        }
        failed += usize::from(!problems.is_empty());
    }
    match failed {
        0 => Ok(()),
        _ => bail!(
            "Other than its examples say: {failed} of {}.",
            output::count(rules.len(), "rule")
        ),
    }
}

/// Reads a rule file; a name that is no file may be that of a built-in rule.
fn read(path: &Path) -> anyhow::Result<Rule> {
    let name = path.to_str().unwrap_or_default();
    if !path.exists()
        && let Some(rule) = builtin().into_iter().find(|rule| rule.id == name)
    {
        return Ok(rule);
    }
    let text = runtime::text_file::read(path)
        .with_context(|| format!("{} cannot be read", path.display()))?;
    Rule::parse(&text).with_context(|| format!("{} is no usable rule file", path.display()))
}
