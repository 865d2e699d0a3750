//! `devtrail schemas`: the event types this program knows, and schema files and events under test.

mod check;

use runtime::schema_folder::SchemaSettings;
use serde_json::json;

use crate::output;

/// What to do with schemas.
#[derive(Debug, clap::Subcommand)]
pub enum SchemasCommand {
    /// List the event types with their versions and titles
    #[command(after_help = "Examples:
  devtrail schemas list
  devtrail schemas list --json")]
    List {
        #[command(flatten)]
        schemas: SchemaSettings,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Check schema files, and events against them
    Check(check::SchemasCheckSettings),
}

/// Runs the command.
///
/// # Errors
/// Returns an error if a schema file is not usable, something does not fit, or stdout cannot be written.
pub fn run(command: &SchemasCommand) -> anyhow::Result<()> {
    match command {
        SchemasCommand::List { schemas, json } => list(schemas, *json),
        SchemasCommand::Check(settings) => check::run(settings),
    }
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
