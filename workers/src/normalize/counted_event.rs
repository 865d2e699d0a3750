//! What metrics count of an event: as much of its record as that, and none of the rest, which costs most. Pure.

use serde_json::{Map, Value};
use store::StoredEvent;
use types::time::{Micros, parse_rfc3339};

use super::client::ClientProgram;
use super::local::LocalClock;
use super::project::Project;
use super::record::{EventPlace, body, category, data, newest_form};
use super::{fields, text};

/// Members of the data that metrics look at.
const MEMBERS: [&str; 15] = [
    "branch",
    "chars",
    "chars_added",
    "chars_removed",
    "duration_ms",
    "failed",
    "flaky",
    "is_write",
    "lines",
    "lines_added",
    "lines_removed",
    "outcome",
    "passed",
    "skipped",
    "paths",
];

/// What WakaTime's clients write where they cannot tell.
const LAST_PROJECT: &str = "<<LAST_PROJECT>>";
const LAST_LANGUAGE: &str = "<<LAST_LANGUAGE>>";
const LAST_BRANCH: &str = "<<LAST_BRANCH>>";
/// The key of a project whose name says that it has none.
const UNKNOWN: &str = "unknown";

/// What an event tells of where it happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Told<T> {
    Known(T),
    /// The same as before: whatever the developer's last event that told it said.
    AsBefore,
    Nothing,
}

impl<T> Told<T> {
    fn of(value: Option<T>, is_as_before: bool) -> Self {
        match value {
            _ if is_as_before => Self::AsBefore,
            Some(value) => Self::Known(value),
            None => Self::Nothing,
        }
    }

    /// The same of what is found in what is known.
    pub fn map<'a, U>(&'a self, part: impl FnOnce(&'a T) -> U) -> Told<U> {
        match self {
            Self::Known(value) => Told::Known(part(value)),
            Self::AsBefore => Told::AsBefore,
            Self::Nothing => Told::Nothing,
        }
    }

    /// What is known.
    pub fn as_known(&self) -> Option<&T> {
        match self {
            Self::Known(value) => Some(value),
            Self::AsBefore | Self::Nothing => None,
        }
    }
}

/// An event as metrics count it. What it has is as the [`Record`](super::Record) of the event has it, unless that
/// leaves out paths because its other texts are too long.
#[derive(Debug, Clone, PartialEq)]
pub struct CountedEvent {
    /// Its type.
    pub kind: String,
    /// Effective time, in microseconds since 1970, UTC.
    pub at: Micros,
    /// Local day, `YYYY-MM-DD`, as it was stored.
    pub local_day: String,
    /// What its local times are told by.
    pub clock: LocalClock,
    /// Canonical language.
    pub language: Told<String>,
    pub project: Told<Project>,
    pub branch: Told<String>,
    /// What kind of work it is, such as `coding`.
    pub category: Option<String>,
    /// The program that sent it.
    pub program: ClientProgram,
    /// The file it is about, without the machine it was on.
    pub path: Option<String>,
    /// Lines that an AI wrote, by WakaTime's count.
    pub ai_lines: u64,
    /// Lines that a person wrote, by WakaTime's count.
    pub human_lines: u64,
    /// Cleaned.
    data: Map<String, Value>,
}

impl CountedEvent {
    /// Of a stored event. Never fails: what cannot be understood is left out.
    #[must_use]
    pub fn of(event: &StoredEvent) -> Self {
        let body = body(event);
        let none = Map::new();
        let data = newest_form(event, data(body.as_ref()).unwrap_or(&none));
        let EventPlace {
            language,
            project,
            path,
            workspace,
        } = EventPlace::of(&event.kind, &data);
        let key = project.as_ref().map(|project| project.key.as_str());
        let kind = text::clean(&event.kind);
        let clean = fields::clean_only(&MEMBERS, &data, workspace, key);
        let says = |name: &str, placeholder: &str| {
            data.get(name).and_then(Value::as_str).map(str::trim) == Some(placeholder)
        };
        // Nothing tells what a heartbeat without an entity is about: its developer was where they were before.
        let is_lost = kind == "heartbeat" && !has_entity(&data);
        let branch = clean.get("branch").and_then(Value::as_str);
        let branch = branch
            .map(str::to_owned)
            .filter(|name| !name.trim().is_empty());
        let told_project = {
            // So called, it tells nothing.
            let project = project.filter(|project| project.key != UNKNOWN);
            let is_as_before = says("project", LAST_PROJECT) || (is_lost && project.is_none());
            Told::of(project, is_as_before)
        };
        let told = |value: Option<String>, is_placeholder: bool| {
            let is_as_before = is_placeholder || (is_lost && value.is_none());
            Told::of(value, is_as_before)
        };
        let lines = |name: &str| {
            let sent = body
                .as_ref()
                .and_then(|body| body.get("wakatime")?.get(name)?.as_i64());
            sent.map_or(0, i64::unsigned_abs)
        };
        Self {
            at: event.effective_at,
            local_day: text::clean(&event.local_day),
            clock: LocalClock::of(event, || {
                let written = body.as_ref()?.get("occurred_at")?.as_str()?;
                Some(parse_rfc3339(written)?.offset)
            }),
            language: told(language, says("language", LAST_LANGUAGE)),
            project: told_project,
            branch: told(branch, says("branch", LAST_BRANCH)),
            category: category(&kind, &data),
            program: ClientProgram::of(event, &data),
            path,
            ai_lines: lines("ai_line_changes"),
            human_lines: lines("human_line_changes"),
            data: clean,
            kind,
        }
    }

    /// A count in the data; 0 if there is none.
    #[must_use]
    pub fn count(&self, name: &str) -> u64 {
        fields::count(&self.data, name)
    }

    /// A flag in the data; false if there is none.
    #[must_use]
    pub fn flag(&self, name: &str) -> bool {
        fields::flag(&self.data, name)
    }

    /// A text in the data.
    #[must_use]
    pub fn text(&self, name: &str) -> Option<&str> {
        self.data.get(name)?.as_str()
    }

    /// The texts of a list in the data; none if there is no list.
    pub fn texts(&self, name: &str) -> impl Iterator<Item = &str> {
        let list = self.data.get(name).and_then(Value::as_array);
        list.into_iter().flatten().filter_map(Value::as_str)
    }
}

/// Whether a heartbeat says what it is about: not blank, and no placeholder.
fn has_entity(data: &Map<String, Value>) -> bool {
    let entity = data
        .get("entity")
        .and_then(Value::as_str)
        .unwrap_or_default()
        .trim();
    let is_placeholder = entity.starts_with("<<LAST_") && entity.ends_with(">>");
    !entity.is_empty() && !is_placeholder
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;
    use types::id::EventRef;

    use super::*;
    use crate::normalize::normalize;

    fn event(kind: &str, data: &Map<String, Value>) -> StoredEvent {
        StoredEvent {
            at: EventRef {
                src: 1,
                seq: 1,
                ordinal: 0,
            },
            id: "e".to_owned(),
            kind: kind.to_owned(),
            schema_version: "1.0".to_owned(),
            effective_at: 1_772_355_600_000_000,
            local_day: "2026-03-01".to_owned(),
            body: json!({"id": "e", "type": kind, "occurred_at": "2026-03-01T09:00:00Z", "data": data})
                .to_string()
                .into_bytes(),
            client: None,
            zone: None,
        }
    }

    fn name() -> impl Strategy<Value = &'static str> {
        let others = [
            "project",
            "language",
            "path",
            "workspace",
            "entity",
            "entity_type",
            "category",
            "editor",
            "command",
        ];
        prop::sample::select([&MEMBERS[..], &others].concat())
    }

    fn value() -> impl Strategy<Value = Value> {
        prop::sample::select(vec![
            json!(3),
            json!(4.0),
            json!(-1),
            json!(1.5),
            json!(true),
            json!("failed"),
            json!("/Users/janeroe/src/a.rs"),
            json!("file:///c%3A/Users/janeroe/My App"),
            json!("Rust"),
            json!("url"),
            json!(" Code Reviewing "),
            json!("Visual Studio Code"),
            json!(["/Users/janeroe/My App/a.rs", 1, "b.py"]),
            json!({"a": 1}),
            Value::Null,
        ])
    }

    fn client() -> impl Strategy<Value = Option<Value>> {
        prop::sample::select(vec![
            None,
            Some(json!({"name": "vscode-devtrail", "host_id": "my%20laptop", "os": "Darwin"})),
            Some(
                json!({"name": "wakatime/1 (Linux-6.1) vscode/1.96 vscode-wakatime/24.6", "host_id": "a+b"}),
            ),
            Some(json!({"editor": "Neovim", "editor_version": "0.10", "platform": "win32"})),
        ])
    }

    proptest! {
        #[test]
        fn it_is_as_the_record_has_it(
            kind in prop::sample::select(vec!["file.edited", "heartbeat", "git.commit", "test.finished"]),
            data in prop::collection::btree_map(name(), value(), 0..8),
            client in client(),
        ) {
            let data = data.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
            let mut event = event(kind, &data);
            event.client = client.map(|client| client.to_string().into_bytes());
            let (record, counted) = (normalize(&event), CountedEvent::of(&event));
            for name in counted.data.keys().filter(|name| *name != "duration_ms") {
                prop_assert_eq!(counted.data.get(name), record.data.get(name), "{}", name);
            }
            prop_assert_eq!(counted.count("duration_ms"), record.duration_ms.unwrap_or(0));
            let program = &counted.program;
            prop_assert_eq!(&program.editor, &record.editor);
            prop_assert_eq!(&program.editor_version, &record.editor_version);
            prop_assert_eq!(&program.operating_system, &record.operating_system);
            prop_assert_eq!(&program.machine, &record.machine);
            prop_assert_eq!(&counted.category, &record.category);
            let project = record.project.zip(record.project_name);
            let project = project.map(|(key, name)| Project { key, name });
            prop_assert_eq!((&counted.kind, counted.at), (&record.kind, record.at));
            prop_assert_eq!(counted.language.as_known(), record.language.as_ref());
            prop_assert_eq!(counted.project.as_known(), project.as_ref());
            prop_assert_eq!(&counted.path, &record.path);
            prop_assert_eq!(counted.clock.offset(counted.at), record.offset);
        }
    }
}
