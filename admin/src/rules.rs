//! `devtrail rules`: the alert rules this program knows, and rule files under test.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use runtime::schema_folder::SchemaSettings;
use serde_json::json;
use workers::alert::{Rule, builtin, check_examples, files};

use crate::output::{self, OUTPUT};

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
    /// Run the examples of rule files [default: those built in]
    #[command(after_long_help = "Examples:
  devtrail rules test
  devtrail rules test my-rule.toml")]
    Test {
        /// Rule files (TOML)
        #[arg(value_name = "FILE")]
        files: Vec<PathBuf>,
        #[command(flatten)]
        schemas: SchemaSettings,
    },
}

/// Runs the command.
///
/// # Errors
/// Returns an error if there is no such rule or file, an example comes out differently, or stdout cannot be written.
pub fn run(command: &RulesCommand) -> anyhow::Result<()> {
    match command {
        RulesCommand::List { json } => list(*json),
        RulesCommand::Show { rule } => show(rule),
        RulesCommand::Test { files, schemas } => test(files, schemas),
    }
}

fn list(as_json: bool) -> anyhow::Result<()> {
    let rules = builtin();
    if as_json {
        let entry = |rule: &Rule| {
            json!({"id": rule.id, "version": rule.version, "severity": rule.severity, "title": rule.title,
                   "window_days": rule.window_days, "why": rule.why, "actions": rule.actions})
        };
        return Ok(output::json(&rules.iter().map(entry).collect::<Vec<_>>())?);
    }
    let row = |rule: &Rule| {
        [
            rule.id.clone(),
            rule.severity.as_str().to_owned(),
            output::count(rule.window_days, "day"),
            rule.title.clone(),
        ]
    };
    Ok(output::table(
        ["RULE", "SEVERITY", "WINDOW", "ALERT"],
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

fn test(paths: &[PathBuf], schemas: &SchemaSettings) -> anyhow::Result<()> {
    let rules = if paths.is_empty() {
        builtin()
    } else {
        paths
            .iter()
            .map(|path| read(path))
            .collect::<Result<_, _>>()?
    };
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

fn read(path: &Path) -> anyhow::Result<Rule> {
    let text = runtime::text_file::read(path)
        .with_context(|| format!("{} cannot be read", path.display()))?;
    Rule::parse(&text).with_context(|| format!("{} is no usable rule file", path.display()))
}
