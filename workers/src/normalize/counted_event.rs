//! What metrics count of an event: as much of its record as that, and none of the rest, which costs most. Pure.

use serde_json::{Map, Value};
use store::StoredEvent;
use types::time::Micros;

use super::record::{EventPlace, body, data, newest_form};
use super::{fields, text};

/// Members of the data that metrics look at.
const MEMBERS: [&str; 9] = [
    "failed",
    "flaky",
    "is_write",
    "lines_added",
    "lines_removed",
    "outcome",
    "passed",
    "skipped",
    "paths",
];

/// An event as metrics count it. What it has is as the [`Record`](super::Record) of the event has it, unless that
/// leaves out paths because its other texts are too long.
#[derive(Debug, Clone, PartialEq)]
pub struct CountedEvent {
    /// Its type.
    pub kind: String,
    /// Effective time, in microseconds since 1970, UTC.
    pub at: Micros,
    /// Canonical language.
    pub language: Option<String>,
    /// The project's key.
    pub project: Option<String>,
    /// The project as its owner wrote it.
    pub project_name: Option<String>,
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
        let place = EventPlace::of(&event.kind, &data);
        let (project, project_name) = (place.project)
            .map(|project| (project.key, project.name))
            .unzip();
        Self {
            kind: text::clean(&event.kind),
            at: event.effective_at,
            data: fields::clean_only(&MEMBERS, &data, place.workspace, project.as_deref()),
            language: place.language,
            project,
            project_name,
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
            json!(["/Users/janeroe/My App/a.rs", 1, "b.py"]),
            json!({"a": 1}),
            Value::Null,
        ])
    }

    proptest! {
        #[test]
        fn it_is_as_the_record_has_it(
            kind in prop::sample::select(vec!["file.edited", "heartbeat", "git.commit", "test.finished"]),
            data in prop::collection::btree_map(name(), value(), 0..8),
        ) {
            let data = data.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
            let event = event(kind, &data);
            let (record, counted) = (normalize(&event), CountedEvent::of(&event));
            for name in MEMBERS {
                prop_assert_eq!(counted.data.get(name), record.data.get(name), "{}", name);
            }
            let expected = CountedEvent {
                data: counted.data.clone(),
                kind: record.kind,
                at: record.at,
                language: record.language,
                project: record.project,
                project_name: record.project_name,
            };
            prop_assert_eq!(counted, expected);
        }
    }
}
