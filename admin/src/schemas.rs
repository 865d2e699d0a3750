//! `devtrail schemas`: the event types this program knows, and schema files and events under test.

mod check;

use anyhow::bail;
use runtime::schema_folder::SchemaSettings;
use serde_json::json;
use types::schema::{Schema, Version};

use crate::output::{self, OUTPUT};

/// What to do with schemas.
#[derive(Debug, clap::Subcommand)]
pub enum SchemasCommand {
    /// List the event types with their versions and titles
    #[command(after_long_help = "Examples:
  devtrail schemas list
  devtrail schemas list --json")]
    List {
        #[command(flatten)]
        schemas: SchemaSettings,
        /// Print JSON
        #[arg(long, help_heading = OUTPUT)]
        json: bool,
    },
    /// Print the schema of an event type, in its newest version or the one that is named
    Show(SchemasShowSettings),
    /// Check schema files, and events against them
    Check(check::SchemasCheckSettings),
}

/// Which schema.
#[derive(Debug, clap::Args)]
#[command(
    allow_missing_positional = true,
    after_long_help = "Examples:
  devtrail schemas show file.saved
  devtrail schemas show 1.0 test.finished"
)]
pub struct SchemasShowSettings {
    /// The version, such as 1.0 [default: the newest]
    #[arg(value_name = "VERSION", value_parser = parse_version)]
    version: Option<Version>,
    /// The event type, as `schemas list` shows it
    #[arg(value_name = "TYPE")]
    kind: String,
    #[command(flatten)]
    schemas: SchemaSettings,
}

/// Runs the command.
///
/// # Errors
/// Returns an error if a schema file is not usable, something does not fit, or stdout cannot be written.
pub fn run(command: &SchemasCommand) -> anyhow::Result<()> {
    match command {
        SchemasCommand::List { schemas, json } => list(schemas, *json),
        SchemasCommand::Show(settings) => show(settings),
        SchemasCommand::Check(settings) => check::run(settings),
    }
}

fn show(settings: &SchemasShowSettings) -> anyhow::Result<()> {
    let schemas = settings.schemas.load()?;
    let kind = settings.kind.as_str();
    let Some((_, files)) = schemas.types().find(|(known, _)| *known == kind) else {
        bail!("There is no event type {kind:?}. `devtrail schemas list` shows those that are.");
    };
    let wanted = |file: &&Schema| {
        settings
            .version
            .is_none_or(|version| file.version == version)
    };
    let Some(file) = files.iter().rev().find(wanted) else {
        let versions: Vec<String> = files.iter().map(|file| file.version.to_string()).collect();
        bail!(
            "{kind} has no such version; it has {}.",
            versions.join(", ")
        );
    };
    Ok(output::line(file.text.trim_end())?)
}

fn parse_version(text: &str) -> Result<Version, String> {
    text.parse()
        .map_err(|()| format!("{text:?} is no schema version; write 1.0"))
}

fn list(settings: &SchemaSettings, as_json: bool) -> anyhow::Result<()> {
    let schemas = settings.load()?;
    let rows: Vec<[String; 3]> = schemas
        .types()
        .map(|(kind, files)| {
            let versions: Vec<String> = files
                .iter()
                .map(|schema| schema.version.to_string())
                .collect();
            let text = files.last().map_or("{}", |schema| &schema.text);
            let document: serde_json::Value = serde_json::from_str(text).unwrap_or_default();
            [
                kind.to_owned(),
                versions.join(", "),
                document["title"].as_str().unwrap_or_default().to_owned(),
            ]
        })
        .collect();
    if as_json {
        let list = rows.iter().map(|[kind, versions, title]| {
            json!({"type": kind, "versions": versions.split(", ").collect::<Vec<_>>(), "title": title})
        });
        return Ok(output::json(&list.collect::<Vec<_>>())?);
    }
    Ok(output::table(["TYPE", "VERSIONS", "WHAT"], rows)?)
}
