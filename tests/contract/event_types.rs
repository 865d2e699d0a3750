//! The members of each event type.

use harness::event;
use serde_json::{Map, Value, json};

use crate::support::{RawClient, fresh, shared};

/// What a member of data may be.
#[derive(Clone, Copy)]
enum Kind {
    Text,
    Texts,
    Count,
    Whole,
    Flag,
    OneOf(&'static [&'static str]),
}
use Kind::{Count, Flag, OneOf, Text, Texts, Whole};

impl Kind {
    fn fitting(self) -> Vec<Value> {
        match self {
            Text => vec![json!("x"), json!("\u{e9}\u{1f600}")],
            Texts => vec![json!([]), json!(["a", "b"])],
            Count => vec![json!(0), json!(7), json!(9_007_199_254_740_991_u64)],
            Whole => vec![json!(0), json!(-1), json!(3_221_225_477_u64)],
            Flag => vec![json!(true), json!(false)],
            OneOf(names) => names.iter().map(|name| json!(name)).collect(),
        }
    }

    fn unfitting(self) -> Vec<Value> {
        let mut values = vec![json!({}), json!(null)];
        values.extend(match self {
            Text => vec![json!(1), json!(["x"])],
            Texts => vec![json!("a"), json!([1])],
            Count => vec![
                json!(-1),
                json!(1.5),
                json!("1"),
                json!(9_007_199_254_740_992_u64),
            ],
            Whole => vec![json!(1.5), json!("1")],
            Flag => vec![json!(0), json!("true")],
            OneOf(_) => vec![json!("other"), json!(""), json!(1)],
        });
        values
    }
}

const BUILDS: Kind = OneOf(&["succeeded", "failed", "cancelled", "unknown"]);
const TESTS: Kind = OneOf(&["passed", "failed", "cancelled", "unknown"]);
const SUGGESTIONS: Kind = OneOf(&["shown", "accepted", "rejected", "edited"]);
const ENTITIES: Kind = OneOf(&["file", "app", "domain", "url", "event"]);

/// A member; required if its name ends in `!`.
type Members = &'static [(&'static str, Kind)];

/// Each type with the members of its data.
const TYPES: &[(&str, Members)] = &[
    ("session.started", &[("reason", Text)]),
    ("session.ended", &[("reason", Text)]),
    ("editor.focused", &[]),
    ("editor.blurred", &[]),
    (
        "heartbeat",
        &[
            ("entity!", Text),
            ("entity_type", ENTITIES),
            ("category", Text),
            ("is_write", Flag),
            ("lines", Count),
            ("line", Count),
            ("cursor", Count),
        ],
    ),
    ("file.opened", &[("path!", Text), ("lines", Count)]),
    ("file.saved", &[("path!", Text), ("lines", Count)]),
    ("file.closed", &[("path!", Text), ("lines", Count)]),
    (
        "file.edited",
        &[
            ("path!", Text),
            ("lines_added", Count),
            ("lines_removed", Count),
            ("chars_added", Count),
            ("chars_removed", Count),
            ("undo", Flag),
        ],
    ),
    (
        "terminal.command",
        &[
            ("command!", Text),
            ("exit_code", Whole),
            ("duration_ms", Count),
            ("cwd", Text),
            ("shell", Text),
        ],
    ),
    (
        "build.finished",
        &[
            ("outcome!", BUILDS),
            ("tool", Text),
            ("target", Text),
            ("duration_ms", Count),
            ("errors", Count),
            ("warnings", Count),
            ("first_error", Text),
        ],
    ),
    (
        "test.finished",
        &[
            ("outcome!", TESTS),
            ("tool", Text),
            ("passed", Count),
            ("failed", Count),
            ("skipped", Count),
            ("duration_ms", Count),
            ("failures", Texts),
            ("flaky", Count),
        ],
    ),
    ("debug.started", &[("target", Text), ("duration_ms", Count)]),
    ("debug.ended", &[("target", Text), ("duration_ms", Count)]),
    (
        "diagnostics.changed",
        &[("errors!", Count), ("warnings!", Count)],
    ),
    (
        "git.commit",
        &[
            ("commit!", Text),
            ("committed_at", Text),
            ("parents", Count),
            ("files_changed", Count),
            ("lines_added", Count),
            ("lines_removed", Count),
            ("paths", Texts),
        ],
    ),
    (
        "git.push",
        &[
            ("branch!", Text),
            ("remote", Text),
            ("commits", Count),
            ("force", Flag),
        ],
    ),
    ("git.branch_switched", &[("to!", Text), ("from", Text)]),
    ("task.switched", &[("to!", Text), ("from", Text)]),
    (
        "ai.suggestion",
        &[
            ("outcome!", SUGGESTIONS),
            ("chars", Count),
            ("lines", Count),
            ("model", Text),
        ],
    ),
];

/// What the data of every type may have.
const COMMON: &[&str] = &[
    "project",
    "language",
    "path",
    "branch",
    "editor",
    "workspace",
];

fn of_type(kind: &str, data: &Map<String, Value>) -> Value {
    let mut one = event(&fresh("e"));
    (one["type"], one["schema_version"], one["data"]) = (json!(kind), json!("1.1"), json!(data));
    one
}

/// Every event with the place where it must be refused, `None` if it is to be accepted.
fn cases() -> Vec<(Value, Option<String>)> {
    let mut cases = Vec::new();
    for (kind, members) in TYPES {
        let bare = |name: &str| name.trim_end_matches('!').to_owned();
        let required: Map<String, Value> = members
            .iter()
            .filter(|(name, _)| name.ends_with('!'))
            .map(|(name, kind)| (bare(name), kind.fitting()[0].clone()))
            .collect();
        cases.push((of_type(kind, &required), None));
        for name in required.keys() {
            let mut data = required.clone();
            data.remove(name);
            cases.push((of_type(kind, &data), Some("/data".to_owned())));
        }
        let commons = COMMON.iter().map(|name| ((*name).to_owned(), Text));
        let all: Vec<(String, Kind)> = members
            .iter()
            .map(|(name, kind)| (bare(name), *kind))
            .chain(commons)
            .collect();
        for (name, member) in all {
            let with = |value: Value| {
                let mut data = required.clone();
                data.insert(name.clone(), value);
                of_type(kind, &data)
            };
            cases.extend(
                member
                    .fitting()
                    .into_iter()
                    .map(|value| (with(value), None)),
            );
            cases.extend(
                member
                    .unfitting()
                    .into_iter()
                    .map(|value| (with(value), Some(format!("/data/{name}")))),
            );
        }
    }
    cases
}

/// Contract: types.common-members, types.integers, types.members
#[tokio::test(flavor = "multi_thread")]
async fn each_type_accepts_the_members_of_its_row_only() {
    let up = shared().await;
    let client = RawClient::to(&up);
    for batch in cases().chunks(500) {
        let events: Vec<String> = batch.iter().map(|(event, _)| event.to_string()).collect();
        let reply = client.validated(&events).await;
        let mut message: Vec<Option<&Value>> = vec![None; batch.len()];
        for exception in reply["exceptions"].as_array().unwrap() {
            message[exception["index"].as_u64().unwrap() as usize] = Some(exception);
        }
        for ((event, refused_at), message) in batch.iter().zip(message) {
            let Some(pointer) = refused_at else {
                assert_eq!(message, None, "{event}");
                continue;
            };
            let message = message.unwrap_or_else(|| panic!("accepted: {event}"));
            assert_eq!(
                (&message["code"], &message["verdict"]),
                (&json!("schema_invalid"), &json!("rejected")),
                "{event}"
            );
            // Within an array it is the element that does not fit.
            assert!(
                message["pointer"]
                    .as_str()
                    .unwrap()
                    .starts_with(pointer.as_str()),
                "{message} for {event}"
            );
        }
    }
}
