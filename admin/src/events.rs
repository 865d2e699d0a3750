//! `devtrail events`: the newest events of a developer.

use serde::Serialize;
use serde_json::Value;
use store::{Listings, StoredEvent};
use types::time::rfc3339;
use workers::normalize::normalize;

use crate::developer::{OwnDeveloper, ensure_known};
use crate::output::{self, OUTPUT, Page, SELECTION};
use crate::target::{Target, with_store};

/// Whose events.
#[derive(Debug, clap::Args)]
#[command(after_long_help = "Examples:
  devtrail events
  devtrail events ada --limit 200
  devtrail events ada --json")]
pub struct EventsSettings {
    #[command(flatten)]
    developer: OwnDeveloper,
    /// Show at most so many events, those of the latest time
    #[arg(
        long,
        default_value_t = 20,
        value_name = "N",
        value_parser = clap::value_parser!(u32).range(1..),
        help_heading = SELECTION
    )]
    limit: u32,
    #[command(flatten)]
    target: Target,
    /// Print JSON
    #[arg(long, help_heading = OUTPUT)]
    json: bool,
}

/// Runs the command.
///
/// # Errors
/// Returns an error if the database cannot be read, or nobody knows the developer.
pub async fn run(settings: EventsSettings) -> anyhow::Result<()> {
    with_store!(settings.target, |store| list(&store, &settings).await)
}

async fn list(store: &impl Listings, settings: &EventsSettings) -> anyhow::Result<()> {
    let developer = settings.developer.name();
    let limit = settings.limit.saturating_add(1);
    let events = store.newest_events(developer.to_string(), limit).await?;
    if events.is_empty() {
        ensure_known(&settings.target, Some(&developer)).await?;
    }
    let entries = events.iter().map(EventEntry::of).collect();
    let page = Page::new(entries, settings.limit);
    if settings.json {
        return Ok(output::json(&page.entries)?);
    }
    let head = ["TIME", "TYPE", "PROJECT", "LANGUAGE", "WHAT", "ID"];
    Ok(page.print_table("event", head, EventEntry::row)?)
}

/// A stored event as it is listed: normalized, so without secrets and home folders.
#[derive(Debug, Serialize)]
struct EventEntry {
    id: String,
    r#type: String,
    /// Effective time, RFC 3339 in UTC.
    at: String,
    local_day: String,
    /// `SRC:SEQ:ORDINAL`.
    r#ref: String,
    project: Option<String>,
    language: Option<String>,
    path: Option<String>,
    editor: Option<String>,
    editor_version: Option<String>,
    operating_system: Option<String>,
    machine: Option<String>,
    category: Option<String>,
    entity_type: Option<String>,
    tool: Option<String>,
    /// In milliseconds.
    duration_ms: Option<u64>,
    /// How many were masked in its texts.
    secrets: u64,
    data: serde_json::Map<String, Value>,
}

/// The members of an event's data that say most about it; the first one that is there is shown.
const TELLING: [&str; 9] = [
    "command", "commit", "outcome", "to", "branch", "target", "entity", "reason", "errors",
];

impl EventEntry {
    fn of(event: &StoredEvent) -> Self {
        let record = normalize(event);
        Self {
            id: record.event_id,
            r#type: record.kind,
            at: rfc3339(event.effective_at),
            local_day: event.local_day.clone(),
            r#ref: event.at.to_string(),
            project: record.project,
            language: record.language,
            path: record.path,
            editor: record.editor,
            editor_version: record.editor_version,
            operating_system: record.operating_system,
            machine: record.machine,
            category: record.category,
            entity_type: record.entity_type,
            tool: record.tool,
            duration_ms: record.duration_ms,
            secrets: record.secrets,
            data: record.data,
        }
    }

    fn row(&self) -> [String; 6] {
        let text = |text: &Option<String>| text.clone().unwrap_or_default();
        [
            output::written_time(&self.at),
            self.r#type.clone(),
            text(&self.project),
            text(&self.language),
            self.what(),
            self.id.clone(),
        ]
    }

    fn what(&self) -> String {
        let told = TELLING.iter().find_map(|name| self.data.get(*name));
        match (&self.path, told) {
            (Some(path), _) => path.clone(),
            (None, Some(Value::String(text))) => text.clone(),
            (None, Some(other)) => other.to_string(),
            (None, None) => String::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use types::id::EventRef;

    use super::*;

    fn entry(kind: &str, data: &Value) -> EventEntry {
        let body =
            json!({"id": "e1", "type": kind, "occurred_at": "2026-03-01T09:00:00Z", "data": data});
        EventEntry::of(&StoredEvent {
            at: EventRef {
                src: 1,
                seq: 2,
                ordinal: 0,
            },
            id: "e1".to_owned(),
            kind: kind.to_owned(),
            schema_version: "1.0".to_owned(),
            effective_at: 1_772_323_200_500_000,
            local_day: "2026-03-01".to_owned(),
            body: body.to_string().into_bytes(),
            zone: None,
            client: None,
        })
    }

    fn row(kind: &str, data: &Value) -> [String; 6] {
        entry(kind, data).row()
    }

    #[test]
    fn an_entry_in_json_has_every_field_of_the_record() {
        let data =
            json!({"command": "API_KEY=hunter2 Cargo test", "duration_ms": 1500, "editor": "Code"});
        let entry = serde_json::to_value(entry("terminal.command", &data)).unwrap();
        let told =
            ["tool", "duration_ms", "secrets", "editor", "category"].map(|name| &entry[name]);
        assert_eq!(json!(told), json!(["cargo", 1500, 1, "vscode", null]));
    }

    #[test]
    fn an_event_is_a_row_without_its_secrets() {
        let saved = json!({"path": format!("/{}/ada/src/main.rs", "home"), "project": "demo"});
        let [at, kind, project, language, what, id] = row("file.saved", &saved);
        assert_eq!(
            (&*at, &*kind, &*project, &*language, &*id),
            ("2026-03-01T00:00:00Z", "file.saved", "demo", "rust", "e1")
        );
        assert!(
            what.ends_with("src/main.rs") && !what.contains("ada"),
            "{what}"
        );
        let ran = row(
            "terminal.command",
            &json!({"command": "curl --token hunter2hunter2 x"}),
        );
        assert!(
            ran[4].starts_with("curl") && !ran[4].contains("hunter2"),
            "{ran:?}"
        );
        assert_eq!(
            row("test.finished", &json!({"outcome": "failed"}))[4],
            "failed"
        );
        assert_eq!(row("editor.focused", &json!({}))[4], "");
    }
}
