//! `devtrail quarantine list` and `devtrail quarantine show`: events that were kept, and why.

use runtime::schema_folder::SchemaSettings;
use serde::Serialize;
use serde_json::{Value, json};
use store::{Quarantine, QuarantinedBatch, QuarantinedEvent};
use types::id::EventRef;
use types::json;
use types::schema::Schemas;
use types::time::{SECOND, rfc3339};

use super::cursor::{QuarantineCursor, QuarantineFilterArgs, QuarantineSelection};
use super::disposition::{
    Disposition, DispositionView, PendingReadmissions, dispositions, event_type,
};
use crate::developer::ensure_known;
use crate::output::{self, OUTPUT, Page, SELECTION};
use crate::target::{Target, with_store};

/// What to list.
#[derive(Debug, clap::Args)]
#[command(after_long_help = "Examples:
  devtrail quarantine list
  devtrail quarantine list --developer ada --code type_unknown --from 2026-03-01
  devtrail quarantine list --all --json")]
pub struct QuarantineListSettings {
    #[command(flatten)]
    filter: QuarantineFilterArgs,
    /// Show at most so many events
    #[arg(
        long,
        default_value_t = 100,
        value_name = "N",
        value_parser = clap::value_parser!(u32).range(1..),
        help_heading = SELECTION
    )]
    limit: u32,
    /// Also those of which the same event is stored
    #[arg(long, help_heading = SELECTION)]
    all: bool,
    #[command(flatten)]
    target: Target,
    /// Print JSON
    #[arg(long, help_heading = OUTPUT)]
    json: bool,
}

/// Runs the command.
///
/// # Errors
/// Returns an error if the database cannot be read.
pub async fn list(settings: &QuarantineListSettings) -> anyhow::Result<()> {
    settings.filter.range.check()?;
    let QuarantineEntries { open, stored } =
        with_store!(settings.target, |store| read_entries(&store, settings)
            .await?);
    let page = Page::new(open, settings.limit);
    if page.entries.is_empty() && stored == 0 {
        ensure_known(&settings.target, settings.filter.developer.as_ref()).await?;
    }
    if settings.json {
        return Ok(output::json(&page.entries)?);
    }
    let row = |entry: &QuarantineEntry| {
        let state = entry
            .stored_as
            .as_ref()
            .map(|at| format!("stored as {at}"))
            .unwrap_or_default();
        [
            entry.r#ref.clone(),
            entry.developer.clone(),
            entry.id.clone().unwrap_or_default(),
            entry.r#type.clone().unwrap_or_default(),
            entry.code.to_owned(),
            output::written_time(&entry.received_at),
            entry.times.to_string(),
            state,
        ]
    };
    let head = [
        "EVENT",
        "DEVELOPER",
        "ID",
        "TYPE",
        "CODE",
        "RECEIVED",
        "TIMES",
        "",
    ];
    page.print_table("quarantined event", head, row)?;
    if stored > 0 && !page.has_more {
        let stored = output::count(stored, "quarantined event");
        output::line(format!("{stored} more, stored by now; --all shows all."))?;
    }
    Ok(())
}

/// What a listing found.
#[derive(Default)]
struct QuarantineEntries {
    /// At least one more than the limit, if there are more.
    open: Vec<QuarantineEntry>,
    /// How many were left out, as the same event is stored.
    stored: usize,
}

async fn read_entries(
    store: &impl Quarantine,
    settings: &QuarantineListSettings,
) -> anyhow::Result<QuarantineEntries> {
    let mut cursor = QuarantineCursor::new(
        store,
        QuarantineSelection::Matching(settings.filter.clone()),
    );
    let mut entries = QuarantineEntries::default();
    while let Some(batch) = cursor.next().await? {
        for event in &batch.events {
            if settings.all || !event.owner.is_some_and(|held| held.same) {
                entries.open.push(QuarantineEntry::of(&batch, event));
            } else {
                entries.stored += 1;
            }
        }
        if entries.open.len() > settings.limit as usize {
            break;
        }
    }
    Ok(entries)
}

/// A quarantined event: its place, its developer, and why it is quarantined.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct QuarantineEntry {
    /// `SRC:SEQ:ORDINAL`, as commands take it.
    pub r#ref: String,
    #[serde(flatten)]
    pub at: EventRef,
    pub developer: String,
    pub batch_id: String,
    pub id: Option<String>,
    pub r#type: Option<String>,
    pub code: &'static str,
    pub pointer: Option<String>,
    pub detail: Option<String>,
    pub received_at: String,
    /// How often it was sent and quarantined for this.
    pub times: u32,
    /// When the last of these was received.
    pub last_received_at: String,
    /// The same event among the stored ones: it was sent or readmitted after all.
    pub stored_as: Option<String>,
}

impl QuarantineEntry {
    /// Of an event of the batch.
    pub fn of(batch: &QuarantinedBatch, event: &QuarantinedEvent) -> Self {
        let at = batch.at.event(event.ordinal);
        Self {
            r#ref: at.to_string(),
            at,
            developer: batch.developer.clone(),
            batch_id: batch.batch_id.clone(),
            id: event.id.clone(),
            r#type: event_type(event),
            code: event.code.as_str(),
            pointer: event.pointer.clone(),
            detail: event.detail.clone(),
            received_at: rfc3339(batch.received_at),
            times: event.times,
            last_received_at: rfc3339(event.last_received_at.unwrap_or(batch.received_at)),
            stored_as: event
                .owner
                .filter(|held| held.same)
                .map(|held| held.by.to_string()),
        }
    }
}

/// What to show.
#[derive(Debug, clap::Args)]
#[command(after_long_help = "Examples:
  devtrail quarantine show 1:4711:0
  devtrail quarantine show git-4f2a9c --schemas my-schemas")]
pub struct QuarantineShowSettings {
    /// A place as `quarantine list` shows it, or an event id
    #[arg(value_name = "SRC:SEQ:ORDINAL|ID")]
    event: String,
    #[command(flatten)]
    schemas: SchemaSettings,
    #[command(flatten)]
    target: Target,
    /// Print JSON
    #[arg(long, help_heading = OUTPUT)]
    json: bool,
}

/// A quarantined event, with all that decides about it.
#[derive(Debug, Serialize)]
struct EventDetails {
    #[serde(flatten)]
    entry: QuarantineEntry,
    correlation_id: String,
    schema_version: String,
    sent_at: String,
    /// How far the client's clock was ahead.
    clock_ahead_seconds: f64,
    client: Value,
    /// The event that owns the id with other content.
    id_held_by: Option<String>,
    now: DispositionView,
    /// The event, for programs.
    event: Value,
    /// Its exact text.
    raw: String,
}

/// Runs the command.
///
/// # Errors
/// Returns an error if there is no such event, or the database cannot be read.
pub async fn show(settings: &QuarantineShowSettings) -> anyhow::Result<()> {
    let schemas = settings.schemas.load()?;
    let shown = with_store!(settings.target, |store| read_details(
        &store, settings, &schemas
    )
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

async fn read_details(
    store: &impl Quarantine,
    settings: &QuarantineShowSettings,
    schemas: &Schemas,
) -> anyhow::Result<Vec<EventDetails>> {
    let selection =
        QuarantineSelection::named(store, std::slice::from_ref(&settings.event), None).await?;
    let mut cursor = QuarantineCursor::new(store, selection);
    let mut shown = Vec::new();
    while let Some(batch) = cursor.next().await? {
        shown.extend(details(&batch, schemas));
    }
    Ok(shown)
}

fn details(batch: &QuarantinedBatch, schemas: &Schemas) -> Vec<EventDetails> {
    let client = batch.client.as_deref().map(String::from_utf8_lossy);
    let client = client
        .and_then(|client| json::value(&client).ok())
        .unwrap_or_default();
    let dispositions = dispositions(batch, schemas, &PendingReadmissions::default());
    let one = |(event, disposition): (&QuarantinedEvent, &Disposition)| {
        let raw = String::from_utf8_lossy(&event.body).into_owned();
        EventDetails {
            entry: QuarantineEntry::of(batch, event),
            correlation_id: batch.correlation_id.clone(),
            schema_version: batch.schema_version.clone(),
            sent_at: batch.sent_at.clone(),
            clock_ahead_seconds: batch.skew as f64 / SECOND as f64,
            client: client.clone(),
            id_held_by: event
                .owner
                .filter(|held| !held.same)
                .map(|held| held.by.to_string()),
            now: disposition.into(),
            event: json::value(&raw).unwrap_or_else(|_| json!(raw)),
            raw,
        }
    };
    batch.events.iter().zip(&dispositions).map(one).collect()
}

fn text(shown: &EventDetails) -> String {
    let entry = &shown.entry;
    let id = entry.id.as_deref().unwrap_or("without id");
    let why = [entry.pointer.as_deref(), entry.detail.as_deref()]
        .into_iter()
        .flatten()
        .collect::<Vec<_>>();
    let pretty = serde_json::to_string_pretty(&shown.event).unwrap_or_else(|_| shown.raw.clone());
    let times = match entry.times {
        0 | 1 => String::new(),
        times => format!(
            "\nquarantined {times} times, last {}",
            entry.last_received_at
        ),
    };
    let text = format!(
        "event {} ({id}) of {}\nquarantined: {}{}{}\nreceived {} in batch {} (schema version {}), sent {} · \
         correlation {}{times}\n\
         now: {}\n{pretty}",
        entry.r#ref,
        entry.developer,
        entry.code,
        if why.is_empty() { "" } else { ": " },
        why.join(": "),
        output::written_time(&entry.received_at),
        entry.batch_id,
        shown.schema_version,
        shown.sent_at,
        shown.correlation_id,
        shown.now.words(),
    );
    output::plain(&text)
}
