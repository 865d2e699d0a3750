//! `devtrail schemas`: the event types this program knows.

use common::schema::Schemas;
use serde_json::json;

use crate::out;

/// What to do with schemas.
#[derive(Debug, clap::Subcommand)]
pub enum SchemasCommand {
    /// List the event types with their versions and titles
    #[command(after_help = "Examples:
  devtrail schemas list
  devtrail schemas list --json")]
    List {
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
}

/// Runs the command.
///
/// # Errors
/// Where stdout cannot be written.
pub fn run(command: &SchemasCommand) -> anyhow::Result<()> {
    let SchemasCommand::List { json } = command;
    let schemas = Schemas::builtin();
    let rows: Vec<[String; 3]> = schemas
        .types()
        .map(|(kind, files)| {
            let versions: Vec<String> = files.iter().map(|schema| schema.version.to_string()).collect();
            let text = files.last().map_or("{}", |schema| schema.text);
            let document: serde_json::Value = serde_json::from_str(text).unwrap_or_default();
            [kind.to_owned(), versions.join(", "), document["title"].as_str().unwrap_or_default().to_owned()]
        })
        .collect();
    if *json {
        let list = rows.iter().map(|[kind, versions, title]| {
            json!({"type": kind, "versions": versions.split(", ").collect::<Vec<_>>(), "title": title})
        });
        return Ok(out::json(&list.collect::<Vec<_>>())?);
    }
    Ok(out::table(["TYPE", "VERSIONS", "WHAT"], rows)?)
}
