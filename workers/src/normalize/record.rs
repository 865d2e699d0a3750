//! One stored event as a normalized record: pure, versioned, the same wherever it is called.

use std::borrow::Cow;

use serde::Serialize;
use serde_json::{Map, Value};
use store::StoredEvent;
use types::json;
use types::schema::{Version, upcast};
use types::time::{Micros, SECOND};

use super::client::ClientProgram;
use super::local::Clock;
use super::project::Project;
use super::{fields, language, local, path, text, tool};

/// Rises with every change of what [`normalize`] gives: a replay then rebuilds the records.
pub const VERSION: i32 = 3;

const DAY: i64 = 24 * 3600;
/// Counts end here, so that every reader of JSON holds them (RFC 8259, section 6).
const MAX_COUNT: u64 = (1 << 53) - 1;

/// A normalized event. No string in it holds a control character.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Record {
    /// The event.
    pub event_id: String,
    /// Its type.
    #[serde(rename = "type")]
    pub kind: String,
    /// Effective time (skew-corrected), in microseconds since 1970, UTC.
    pub at: Micros,
    /// Effective time in local time, RFC 3339 with its offset.
    pub local_time: String,
    /// The offset of local time from UTC, in seconds.
    pub offset: i32,
    /// Whether the local time is known; if not, it is UTC, and rules that go by the time of day pass the event over.
    #[serde(skip)]
    pub knows_local_time: bool,
    /// Local day, `YYYY-MM-DD`, as it was stored.
    pub local_day: String,
    /// Canonical language, such as `rust`.
    pub language: Option<String>,
    /// The project's key, such as `my-app`.
    pub project: Option<String>,
    /// The project as its owner wrote it, such as `My App`.
    pub project_name: Option<String>,
    /// Path, relative to its project if that is known, without the home folder.
    pub path: Option<String>,
    /// Canonical name of the editor, such as `vscode`: of `data.editor`, else of the batch's client.
    pub editor: Option<String>,
    /// Version of that editor, such as `1.96.2`, as the batch's client tells it.
    pub editor_version: Option<String>,
    /// `linux`, `macos`, `windows`, or as the batch's client tells it.
    pub operating_system: Option<String>,
    /// Name of the machine, as the batch's client tells it.
    pub machine: Option<String>,
    /// Kind of activity, such as `coding`, in lower case: of `data.category`, else by the type.
    pub category: Option<String>,
    /// What a heartbeat's entity is, such as `file`: of `data.entity_type`.
    pub entity_type: Option<String>,
    /// Id of the tool that built, tested, debugged or was run, such as `cargo`: of `data.tool`, else of `data.command`.
    pub tool: Option<String>,
    /// How long it took, in milliseconds: of `data.duration_ms`.
    pub duration_ms: Option<u64>,
    /// How many secrets were masked in the event's texts: here, and by the client (`data.secrets`).
    pub secrets: u64,
    /// The type's other data, cleaned: no secrets and home paths in commands, no control characters.
    pub data: Map<String, Value>,
}

/// Members of the data that are fields of the record.
pub const IN_RECORD: [&str; 9] = [
    "language",
    "project",
    "path",
    "category",
    "editor",
    "entity_type",
    "tool",
    "duration_ms",
    "secrets",
];

/// Normalizes one event. Never fails: what cannot be understood is left out.
#[must_use]
pub fn normalize(event: &StoredEvent) -> Record {
    record(event, body(event).as_ref())
}

/// The event as it was sent; `None` if it cannot be read.
pub fn body(event: &StoredEvent) -> Option<Value> {
    let text = std::str::from_utf8(&event.body).ok()?;
    json::value(text).ok()
}

/// The data in an event's body.
pub fn data(body: Option<&Value>) -> Option<&Map<String, Value>> {
    body?.get("data")?.as_object()
}

/// The record of an event whose [`body`] is read.
pub fn record(event: &StoredEvent, body: Option<&Value>) -> Record {
    let occurred_at = body.and_then(|body| body.get("occurred_at")?.as_str());
    let clock = local::clock(event, occurred_at);
    let none = Map::new();
    let data = newest_form(event, data(body).unwrap_or(&none));
    let place = EventPlace::of(&event.kind, &data);
    let kind = text::clean(&event.kind);
    let program = ClientProgram::of(event, &data);
    let (project, project_name) = (place.project)
        .map(|project| (project.key, project.name))
        .unzip();
    let cleaned = fields::clean(&event.kind, &data, place.workspace, project.as_deref());
    let (secrets, mut cleaned) = (cleaned.secrets, cleaned.members);
    let category = category(&kind, &data);
    let tool = tool::of(&cleaned);
    cleaned.remove("tool");
    let entity_type = cleaned.remove("entity_type");
    let duration_ms = cleaned.remove("duration_ms");
    let masked_before = cleaned.remove("secrets");
    Record {
        path: place.path,
        editor: program.editor,
        editor_version: program.editor_version,
        operating_system: program.operating_system,
        machine: program.machine,
        category,
        entity_type: entity_type.and_then(|kind| kind.as_str().map(str::to_owned)),
        tool,
        duration_ms: duration_ms.and_then(|duration| duration.as_u64()),
        secrets: masked_before
            .and_then(|count| count.as_u64())
            .unwrap_or(0)
            .saturating_add(secrets)
            .min(MAX_COUNT),
        data: cleaned,
        language: place.language,
        project,
        project_name,
        event_id: text::clean(&event.id),
        kind,
        at: event.effective_at,
        local_time: local::text(event.effective_at, clock.offset),
        offset: clock.offset,
        knows_local_time: clock.is_known,
        local_day: text::clean(&event.local_day),
    }
}

/// The data that an event was sent with, as the newest schema has it.
pub fn newest_form<'a>(
    event: &StoredEvent,
    sent: &'a Map<String, Value>,
) -> Cow<'a, Map<String, Value>> {
    match event.schema_version.parse::<Version>() {
        Ok(version) => upcast(&event.kind, version, sent),
        Err(_) => Cow::Borrowed(sent),
    }
}

/// Where an event happened.
pub struct EventPlace<'a> {
    /// Canonical language.
    pub language: Option<String>,
    /// Of `data.project`, else of the last segment of `data.workspace`.
    pub project: Option<Project>,
    /// Cleaned.
    pub path: Option<String>,
    /// As it was sent.
    pub workspace: Option<&'a str>,
}

impl<'a> EventPlace<'a> {
    /// The place that the data tells of an event of this type.
    pub fn of(kind: &str, data: &'a Map<String, Value>) -> Self {
        let string = |name: &str| data.get(name).and_then(Value::as_str);
        let workspace = string("workspace");
        let project =
            (string("project").and_then(Project::of)).or_else(|| workspace.and_then(Project::of));
        let key = project.as_ref().map(|project| project.key.as_str());
        let path = string("path").or_else(|| fields::file_entity(kind, data));
        let path = path.and_then(|path| path::clean(path, workspace, key));
        let language = string("language").and_then(language::canonical);
        Self {
            language: language.or_else(|| path.as_deref().and_then(language::of_path)),
            project,
            path,
            workspace,
        }
    }
}

/// The category that the data names (WakaTime's clients do), in lower case, else the one of the type and of what a
/// heartbeat's entity is.
pub fn category(kind: &str, data: &Map<String, Value>) -> Option<String> {
    let string = |name: &str| data.get(name).and_then(Value::as_str);
    let named = string("category").map(|named| fields::name(&named.to_lowercase()));
    if let Some(named) = named
        .as_deref()
        .map(str::trim)
        .filter(|named| !named.is_empty())
    {
        return Some(named.to_owned());
    }
    let of_kind = match kind {
        "heartbeat" => match string("entity_type") {
            Some("domain" | "url") => "browsing",
            Some("event") => "meeting",
            _ => "coding",
        },
        "ai.suggestion" => "ai coding",
        "build.finished" => "building",
        "debug.started" | "debug.ended" => "debugging",
        "test.finished" => "running tests",
        _ if kind.starts_with("file.") => "coding",
        _ => return None,
    };
    Some(of_kind.to_owned())
}

impl Record {
    /// What the local clock showed.
    #[must_use]
    pub fn clock(&self) -> Clock {
        Clock {
            offset: self.offset,
            is_known: self.knows_local_time,
        }
    }

    /// The hour of the local day it happened in, 0 to 23.
    #[must_use]
    pub fn local_hour(&self) -> u8 {
        (self.local_seconds().rem_euclid(DAY) / 3600) as u8
    }

    /// The local day of the week it happened on, 1 (Monday) to 7 (Sunday), as ISO 8601 counts.
    #[must_use]
    pub fn weekday(&self) -> u8 {
        // 1970-01-01 was a Thursday, the fourth day.
        ((self.local_seconds().div_euclid(DAY) + 3).rem_euclid(7) + 1) as u8
    }

    /// A count or duration in the data; 0 if there is none.
    #[must_use]
    pub fn count(&self, name: &str) -> u64 {
        fields::count(&self.data, name)
    }

    /// A text in the data, such as `outcome`.
    #[must_use]
    pub fn text(&self, name: &str) -> Option<&str> {
        self.data.get(name).and_then(Value::as_str)
    }

    /// A flag in the data; false if there is none.
    #[must_use]
    pub fn flag(&self, name: &str) -> bool {
        fields::flag(&self.data, name)
    }

    /// Seconds since 1970-01-01T00:00:00 on the local clock.
    fn local_seconds(&self) -> i64 {
        self.at.div_euclid(SECOND) + i64::from(self.offset)
    }
}
