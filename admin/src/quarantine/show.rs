//! `devtrail quarantine show`.

use runtime::schema_folder::SchemaSettings;
use serde::Serialize;
use serde_json::{Value, json};
use store::{Quarantine, QuarantinedBatch};
use types::json;
use types::schema::Schemas;
use types::time::SECOND;

use super::fate::{self, OnTheWay, fates};
use super::report::{Becomes, Entry};
use super::wanted::{Walk, Wanted};
use crate::output;
use crate::target::{Target, with_store};

/// What to show.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  devtrail quarantine show 1:4711:0
  devtrail quarantine show git-4f2a9c --schemas my-schemas")]
pub struct ShowSettings {
    #[command(flatten)]
    target: Target,
    /// A place as `quarantine list` shows it, or an event id
    #[arg(value_name = "SRC:SEQ:ORDINAL|ID")]
    event: String,
    #[command(flatten)]
    schemas: SchemaSettings,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// A quarantined event, with all that decides about it.
#[derive(Debug, Serialize)]
struct Shown {
    #[serde(flatten)]
    entry: Entry,
    correlation_id: String,
    schema_version: String,
    sent_at: String,
    /// How far the client's clock was ahead.
    clock_ahead_seconds: f64,
    client: Value,
    /// Whoever holds the id with other content.
    id_held_by: Option<String>,
    now: Becomes,
    /// The event, for programs.
    event: Value,
    /// Its exact text.
    raw: String,
}

/// Runs the command.
///
/// # Errors
/// Where there is no such event, or the database cannot be read.
pub async fn run(settings: &ShowSettings) -> anyhow::Result<()> {
    let schemas = settings.schemas.load()?;
    let shown = with_store!(settings.target, |store| read(&store, settings, &schemas)
        .await?);
    if settings.json {
        return Ok(output::json(&shown)?);
    }
    for (index, one) in shown.iter().enumerate() {
        if index > 0 {
            output::line("")?;
        }
        output::line(text(one))?;
    }
    Ok(())
}

async fn read(
    store: &impl Quarantine,
    settings: &ShowSettings,
    schemas: &Schemas,
) -> anyhow::Result<Vec<Shown>> {
    let wanted = Wanted::named(store, std::slice::from_ref(&settings.event), None).await?;
    let mut walk = Walk::new(store, wanted);
    let mut shown = Vec::new();
    while let Some(batch) = walk.next().await? {
        shown.extend(of(&batch, schemas));
    }
    Ok(shown)
}

fn of(batch: &QuarantinedBatch, schemas: &Schemas) -> Vec<Shown> {
    let client = batch.client.as_deref().map(String::from_utf8_lossy);
    let client = client
        .and_then(|client| json::value(&client).ok())
        .unwrap_or_default();
    let fates = fates(batch, schemas, &OnTheWay::default());
    let one = |(event, fate): (&store::QuarantinedEvent, &fate::Fate)| {
        let raw = String::from_utf8_lossy(&event.body).into_owned();
        Shown {
            entry: Entry::of(batch, event),
            correlation_id: batch.correlation_id.clone(),
            schema_version: batch.schema_version.clone(),
            sent_at: batch.sent_at.clone(),
            clock_ahead_seconds: batch.skew as f64 / SECOND as f64,
            client: client.clone(),
            id_held_by: event
                .owner
                .filter(|held| !held.same)
                .map(|held| held.by.to_string()),
            now: fate.into(),
            event: json::value(&raw).unwrap_or_else(|_| json!(raw)),
            raw,
        }
    };
    batch.events.iter().zip(&fates).map(one).collect()
}

fn text(shown: &Shown) -> String {
    let entry = &shown.entry;
    let id = entry.id.as_deref().unwrap_or("without id");
    let why = [entry.pointer.as_deref(), entry.detail.as_deref()]
        .into_iter()
        .flatten()
        .collect::<Vec<_>>();
    let pretty = serde_json::to_string_pretty(&shown.event).unwrap_or_else(|_| shown.raw.clone());
    let text = format!(
        "event {} ({id}) of {}\nquarantined: {}{}{}\nreceived {} in batch {} (schema version {}), sent {} · correlation {}\n\
         now: {}\n{pretty}",
        entry.r#ref,
        entry.developer,
        entry.code,
        if why.is_empty() { "" } else { ": " },
        why.join(": "),
        entry.received_at,
        entry.batch_id,
        shown.schema_version,
        shown.sent_at,
        shown.correlation_id,
        shown.now.words(),
    );
    output::plain(&text)
}
