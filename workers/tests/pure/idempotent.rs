//! Normalizing twice is normalizing once: an event whose data are what the record says has the same record.

use proptest::prelude::*;
use serde_json::{Map, Value, json};
use store::StoredEvent;
use workers::normalize::{Project, Record, clean_path, normalize, redact};

use crate::build::event;

/// The event that says what the record says: its fields are members of the data, as they would have been sent, and
/// those of the client are the client's.
fn said_again(event: &StoredEvent, record: &Record) -> StoredEvent {
    let mut data = record.data.clone();
    let texts = [
        ("language", &record.language),
        ("project", &record.project_name),
        ("path", &record.path),
        ("category", &record.category),
        ("entity_type", &record.entity_type),
        ("tool", &record.tool),
        ("editor", &record.editor),
    ];
    for (name, text) in texts {
        data.extend(
            text.iter()
                .map(|text| (name.to_owned(), text.as_str().into())),
        );
    }
    let duration = record.duration_ms.map(Value::from);
    data.extend(duration.map(|duration| ("duration_ms".to_owned(), duration)));
    data.insert("secrets".to_owned(), record.secrets.into());
    let occurred_at = match (
        record.knows_local_time,
        record.local_time.strip_suffix("+00:00"),
    ) {
        (false, Some(time)) => format!("{time}Z"),
        _ => record.local_time.clone(),
    };
    let body = json!({"id": record.event_id, "type": record.kind, "occurred_at": occurred_at, "data": data});
    let mut client = Map::new();
    let texts = [
        ("editor", &record.editor),
        ("editor_version", &record.editor_version),
        ("os", &record.operating_system),
        ("machine", &record.machine),
    ];
    for (name, text) in texts {
        client.extend(
            text.iter()
                .map(|text| (name.to_owned(), text.as_str().into())),
        );
    }
    StoredEvent {
        id: record.event_id.clone(),
        kind: record.kind.clone(),
        local_day: record.local_day.clone(),
        // The data are in the newest form.
        schema_version: "1.1".to_owned(),
        body: body.to_string().into_bytes(),
        client: Some(Value::Object(client).to_string().into_bytes()),
        ..event.clone()
    }
}

const KINDS: [&str; 5] = [
    "file.edited",
    "heartbeat",
    "git.commit",
    "test.finished",
    "terminal.command",
];

/// Parts of paths, commands and names, of which joined ones are nasty.
const PARTS: [&str; 88] = [
    "/",
    "\\",
    ":",
    " ",
    ".",
    "-",
    "_",
    "#",
    "?",
    "%",
    "%2F",
    "%252F",
    "%20",
    "+",
    "~",
    "@",
    "=",
    "'",
    "\"",
    "$",
    "|",
    ";",
    "(",
    ")",
    "&",
    ",",
    "…",
    "***",
    "\0",
    "\n",
    "ä",
    "A\u{308}",
    "İ",
    "🚀",
    "..",
    "a",
    "B",
    "app",
    "App",
    "my app",
    "src",
    "main.rs",
    "x.ipynb",
    "#W0sZmlsZQ",
    ".code-workspace",
    ".git",
    "C:",
    "C++",
    "C#",
    "home",
    "Users",
    "root",
    "ada",
    "/homes/ada",
    "/Users/ada/",
    "C:\\Users\\ada\\",
    "\\\\srv\\ada$\\",
    "/mnt/c/Users/ada/",
    "/var/folders/x/y/",
    "file://",
    "vscode-remote://wsl%2Bubuntu",
    "untitled:",
    "vscode-notebook-cell:",
    "git:",
    "ssh://",
    "jane@box:",
    "https://",
    "u:p@",
    "cargo test",
    "npm",
    "python -m pytest",
    "./gradlew",
    "--token ",
    "--password=",
    "-p",
    "mysql ",
    "API_KEY=",
    "Authorization: Bearer ",
    "hunter2hunter",
    "Zq8vT3nR5kLw",
    "d41d8cd98f00b204e9800998ecf8427e",
    "-----BEGIN X KEY-----",
    "-----END X KEY-----",
    "echo ",
    "docker login --password-stdin",
    "<<< ",
    "rust",
    "TSX",
];

fn nasty() -> impl Strategy<Value = String> {
    let part = prop::sample::select(PARTS.to_vec());
    let joined = prop::collection::vec(part, 0..9).prop_map(|parts| parts.concat());
    prop_oneof![
        8 => joined.clone(),
        // So long that it is cut.
        1 => (joined, 20..80_usize).prop_map(|(text, times)| text.repeat(times)),
    ]
}

fn value() -> impl Strategy<Value = Value> {
    let text = || nasty().prop_map(Value::from);
    prop_oneof![
        8 => text(),
        1 => prop::sample::select(vec![json!(3), json!(4.0), json!(-1), json!(1.5), json!(true), Value::Null]),
        1 => prop::collection::vec(text(), 0..4).prop_map(Value::from),
        1 => (nasty(), text()).prop_map(|(name, value)| json!({"name": name, "value": value})),
    ]
}

fn data() -> impl Strategy<Value = Map<String, Value>> {
    let names = [
        "project",
        "language",
        "path",
        "workspace",
        "entity",
        "entity_type",
        "editor",
        "tool",
        "category",
        "command",
        "cwd",
        "first_error",
        "failures",
        "paths",
        "branch",
        "remote",
        "duration_ms",
        "secrets",
        "flaky",
        "other",
        "apiKey",
    ];
    let name = prop_oneof![
        20 => prop::sample::select(names.to_vec()).prop_map(str::to_owned),
        1 => nasty(),
    ];
    let file = Just(("entity_type".to_owned(), json!("file")));
    let member = prop_oneof![8 => (name, value()), 1 => file];
    prop::collection::vec(member, 0..7).prop_map(|members| members.into_iter().collect())
}

fn client() -> impl Strategy<Value = Option<Value>> {
    let names = [
        "name",
        "editor",
        "editor_version",
        "os",
        "platform",
        "machine",
        "host_id",
    ];
    let agent = "wakatime/13.1.0 (Linux-6.1) Python3.11 vscode/1.96 vscode-wakatime/24.6";
    let text = prop_oneof![4 => nasty(), 1 => Just(agent.to_owned())];
    let name = prop::sample::select(names.to_vec());
    let members = prop::collection::btree_map(name, text, 0..4);
    prop::option::of(members.prop_map(|members| json!(members)))
}

proptest! {
    #[test]
    fn a_record_said_again_is_the_same_record(
        kind in prop::sample::select(KINDS.to_vec()),
        time in prop::sample::select(vec!["2026-03-01T12:00:00.25+01:00", "2026-03-01T12:00:00Z"]),
        data in data(),
        client in client(),
    ) {
        let mut event = event("e", kind, time, None, &Value::Object(data));
        event.client = client.map(|client| client.to_string().into_bytes());
        let record = normalize(&event);
        prop_assert_eq!(normalize(&said_again(&event, &record)), record);
    }

    #[test]
    fn a_clean_path_and_a_projects_name_stay(raw in nasty(), workspace in nasty()) {
        let path = clean_path(&raw, Some(&workspace), None);
        if let Some(path) = path {
            let workspace = clean_path(&workspace, None, None);
            prop_assert_eq!(clean_path(&path, workspace.as_deref(), None), Some(path));
        }
        let project = Project::of(&raw);
        if let Some(project) = project {
            prop_assert_eq!(Project::of(&project.name), Some(project.clone()));
            prop_assert_eq!(Project::of(&project.key).map(|again| again.key), Some(project.key));
        }
    }

    #[test]
    fn a_redacted_text_holds_no_secret_that_is_counted(raw in nasty()) {
        let once = redact(&raw);
        prop_assume!(once.len() <= 4096);
        let data = json!({"command": once});
        let record = normalize(&event("e", "terminal.command", "2026-03-01T12:00:00Z", None, &data));
        prop_assert_eq!((record.text("command").unwrap_or_default(), record.secrets), (once.as_str(), 0));
    }
}
