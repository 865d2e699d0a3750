//! Normalized records and metrics hold no secret and no person's home folder, and names are their owner's.
//!
//! `workers/tests/masking/` has the tables of what is hidden; here the way from the request to the row is shown.

use std::collections::BTreeMap;

use harness::{Client, Deployment, Engine, envelope, stderr_of};
use serde_json::{Value, json};
use store::StoredEvent;
use types::id::EventRef;
use workers::normalize::normalize;

const SECRET: &str = "Zq8vT3nR5kLw";

/// Events of one type, a minute apart, named by their place.
fn events(kind: &str, data: &[Value]) -> Vec<Value> {
    let event = |(at, data): (usize, &Value)| {
        let time = format!("2026-03-01T09:{at:02}:00Z");
        json!({"id": format!("e{at}"), "type": kind, "occurred_at": time, "data": data})
    };
    data.iter().enumerate().map(event).collect()
}

/// The records of a batch of these events, in their order.
async fn records(deployment: &Deployment, client: &Client, events: &[Value]) -> Vec<Value> {
    client.send(&envelope("b1", events)).await;
    deployment.completed(1).await;
    let by_id = records_by_id(deployment).await;
    let of = |event: &Value| by_id[event["id"].as_str().unwrap()].clone();
    events.iter().map(of).collect()
}

async fn records_by_id(deployment: &Deployment) -> BTreeMap<String, Value> {
    let rows = deployment
        .database
        .rows("SELECT event_id, record FROM normalized")
        .await;
    rows.into_iter()
        .map(|row| (row[0].clone(), serde_json::from_str(&row[1]).unwrap()))
        .collect()
}

/// Contract: records.made, records.homes
async fn no_home_folder_is_in_a_record(engine: Engine) {
    let (deployment, client) = Deployment::running(engine).await;
    let paths = [
        (
            "vscode-remote://wsl%2Bubuntu/home/janeroe/src/main.rs",
            "src/main.rs",
        ),
        (
            "vscode-remote://ssh-remote%2Bbox/home/janeroe/src/main.rs",
            "src/main.rs",
        ),
        (
            "vscode-notebook-cell:/Users/janeroe/lab/x.ipynb#W0sZmlsZQ%3D%3D",
            "lab/x.ipynb",
        ),
        (
            r#"git:/Users/janeroe/app/x.ts?{"path":"/Users/janeroe/app/x.ts","ref":"~"}"#,
            "app/x.ts",
        ),
        ("file:///c%3A/Users/janeroe/src/main.rs", "src/main.rs"),
        ("wsl+ubuntu-22.04/home/janeroe/src/main.rs", "src/main.rs"),
        ("ssh://janeroe@box/home/janeroe/src/main.rs", "src/main.rs"),
    ];
    let data = paths
        .map(|(path, _)| json!({"path": path, "workspace": path, "other": path, "branch": path}));
    for (record, (path, expected)) in records(&deployment, &client, &events("file.saved", &data))
        .await
        .iter()
        .zip(paths)
    {
        assert_eq!(record["path"], expected, "{path}");
        assert!(!record.to_string().contains("janeroe"), "{record}");
    }
}

/// Contract: records.secrets, records.readable
async fn no_secret_is_in_a_record(engine: Engine) {
    let (deployment, client) = Deployment::running(engine).await;
    let commands = [
        "curl --user jane:S https://api.example.com",
        "npm config set //registry.example/:_authToken S",
        "aws configure set aws_secret_access_key S",
        "setx API_KEY S",
        "rclone config create r s3 secret_access_key S",
        "plink -pw S h",
        "vault login S",
        "cargo login S",
        "PW=S ./run",
        "keytool -storepass S -list",
        "echo S | docker login --password-stdin",
    ];
    let mut data = commands
        .map(|command| json!({"command": command.replace('S', SECRET)}))
        .to_vec();
    data.push(json!({"command": "git commit -m \"fix token parser\""}));
    let records = records(&deployment, &client, &events("terminal.command", &data)).await;
    for (record, command) in records.iter().zip(commands) {
        let expected = command.replace("jane:S", "S").replace('S', "***");
        assert_eq!(record["data"]["command"], expected);
    }
    assert_eq!(
        records[commands.len()]["data"]["command"],
        data[commands.len()]["command"]
    );
}

/// The store keeps what a record says otherwise than its event; read beside the event it is whole again.
async fn a_record_is_read_whole(engine: Engine) {
    let (deployment, client) = Deployment::running(engine).await;
    let data = [
        json!({"path": "file:///Users/janeroe/demo/src/a.rs", "workspace": "file:///Users/janeroe/demo",
            "language": "Rust", "project": "My App", "lines_added": 4.0, "undo": true, "branch": "main", "n": 1.5,
            "no": null, "list": [1, {"a": "b"}, []], "deep": {"TOKEN": "abc", "kept": {"x": false}},
            "a\u{0}b": "c\u{0}d", "q\"k.$": "\"", "empty": {}}),
        json!({"path": "src/a.rs", "language": "rust", "project": "demo", "lines_added": 4}),
        json!({"path": "src/a.unknown"}),
        json!({"path": "vscode-remote://x", "language": "no such language", "project": " "}),
    ];
    let sent = events("file.edited", &data);
    let read = records(&deployment, &client, &sent).await;
    for (event, record) in sent.iter().zip(read) {
        is_that_of(&record, &event.to_string());
    }
}

/// It is the record that the normalizer makes from an event with this text.
fn is_that_of(record: &Value, event: &str) {
    let event = StoredEvent {
        at: EventRef {
            src: 1,
            seq: 1,
            ordinal: 0,
        },
        id: record["event_id"].as_str().unwrap().to_owned(),
        kind: "file.edited".to_owned(),
        schema_version: "1.0".to_owned(),
        effective_at: record["at"].as_i64().unwrap(),
        local_day: record["local_day"].as_str().unwrap().to_owned(),
        body: event.into(),
        client: None,
        zone: None,
    };
    assert_eq!(*record, serde_json::to_value(normalize(&event)).unwrap());
}

/// Contract: records.fields, records.data, records.tool, records.secrets-counted
async fn a_record_tells_with_what_one_worked(engine: Engine) {
    let (deployment, client) = Deployment::running(engine).await;
    let agent = "wakatime/13.1.0 (Linux-6.1) Python3.11 vscode/1.96.2 vscode-wakatime/24.6";
    let data = [
        json!({"command": format!("cd app && API_KEY={SECRET} ./gradlew test"), "duration_ms": 1500.0}),
        json!({"command": "ls", "editor": "Neovim", "tool": "PyTest", "category": "Debugging", "secrets": 1}),
        json!({"command": "echo $TOKEN", "editor": "Code", "tool": null, "entity_type": "app"}),
        // What no schema knows may hold anything.
        json!({"command": "x", "tool": ["cargo"], "entity_type": {"a": 1}, "secrets": "hunter2"}),
    ];
    let mut batch = envelope("b1", &events("terminal.command", &data));
    batch["client"] = json!({"name": agent, "host_id": "my+laptop"});
    let reply = client.send(&batch).await;
    assert_eq!(reply["counts"]["accepted"], 4, "{reply}");
    deployment.completed(1).await;
    let read = records_by_id(&deployment).await;
    let told = |id: &str| {
        let fields = [
            "editor",
            "editor_version",
            "operating_system",
            "machine",
            "category",
            "entity_type",
            "tool",
            "duration_ms",
            "secrets",
        ];
        Value::from_iter(fields.map(|name| read[id][name].clone()))
    };
    let expected = [
        json!([
            "vscode",
            "1.96.2",
            "linux",
            "my laptop",
            null,
            null,
            "gradle",
            1500,
            1
        ]),
        json!([
            "neovim",
            null,
            "linux",
            "my laptop",
            "debugging",
            null,
            "pytest",
            null,
            1
        ]),
        json!([
            "vscode",
            "1.96.2",
            "linux",
            "my laptop",
            null,
            "app",
            null,
            null,
            0
        ]),
        json!([
            "vscode",
            "1.96.2",
            "linux",
            "my laptop",
            null,
            null,
            null,
            null,
            0
        ]),
    ];
    for (at, expected) in expected.iter().enumerate() {
        assert_eq!(
            told(&format!("e{at}")),
            *expected,
            "{}",
            read[&format!("e{at}")]
        );
    }
    assert!(!json!(read).to_string().contains(SECRET));
    for record in read.values() {
        let members = record["data"].as_object().unwrap().keys();
        assert!(
            members.into_iter().all(|name| name == "command"),
            "{record}"
        );
    }
}

/// JSON that a database reads otherwise than the normalizer, or not at all, harms no query of any record.
async fn a_record_of_ambiguous_json_is_read_whole(engine: Engine) {
    let (deployment, client) = Deployment::running(engine).await;
    let data = [
        r#""branch":"plain""#,
        r#""branch":"a \\u0000 b","\\u0000":"\\""#,
        r#""branch":"a \u0000 b","\u0000":1,"text":"src/\u0000a.rs""#,
        r#""tiny":1e-20000,"language":"Rust""#,
        r#""list":[18446744073709551615,9007199254740993,-0.30000000000000004]"#,
        r#""branch":"one","branch":"two","project":"One","project":"Two","no":null"#,
        r#""deep":{"a":1,"a":{"b":2}}"#,
    ];
    let event = |(at, data): (usize, &&str)| {
        let time = format!("2026-03-01T09:{at:02}:00Z");
        format!(
            r#"{{"id":"e{at}","type":"file.edited","occurred_at":"{time}","data":{{"path":"src/a.rs",{data}}}}}"#
        )
    };
    let sent: Vec<String> = data.iter().enumerate().map(event).collect();
    let head =
        r#"{"batch_id":"b1","sent_at":"2026-03-01T10:00:00Z","schema_version":"1.0","events""#;
    let body = format!("{head}:[{}]}}", sent.join(","));
    let (status, reply) = client
        .send_as(&[("content-type", "application/json")], body)
        .await;
    assert_eq!(
        (status, &reply["counts"]["accepted"]),
        (202, &sent.len().into()),
        "{reply}"
    );
    deployment.completed(1).await;
    let read = records_by_id(&deployment).await;
    for (at, event) in sent.iter().enumerate() {
        is_that_of(&read[&format!("e{at}")], event);
    }
}

/// Contract: metrics.project-keys
async fn different_names_are_different_projects(engine: Engine) {
    let (deployment, client) = Deployment::running(engine).await;
    let names = [
        "C",
        "C++",
        "C#",
        "F",
        "F#",
        "Cafe",
        "Caf\u{e9}",
        "Cafe\u{301}",
    ];
    let data = names.map(|name| json!({"project": name}));
    let records = records(&deployment, &client, &events("editor.focused", &data)).await;
    let keys: Vec<&str> = records
        .iter()
        .map(|record| record["project"].as_str().unwrap())
        .collect();
    assert_eq!(keys[..6], ["c", "cpp", "csharp", "f", "fsharp", "cafe"]);
    assert!(keys[6] != keys[5] && keys[6] == keys[7], "{keys:?}");
}

/// Contract: metrics.language
async fn a_language_has_one_name(engine: Engine) {
    let (deployment, client) = Deployment::running(engine).await;
    let names = [
        ("JavaScript", "javascript"),
        ("ECMAScript 6", "javascript"),
        ("JSX Harmony", "javascript"),
        ("TypeScript", "typescript"),
        ("TypeScript JSX", "typescript"),
        ("typescript.tsx", "typescript"),
        ("Python 3", "python"),
        ("Batchfile", "batch"),
        ("Batch Script", "batch"),
    ];
    let paths = [
        ("/w/x.ipynb", "jupyter"),
        ("vscode-notebook-cell:/w/x.ipynb#W0sZmlsZQ%3D%3D", "jupyter"),
        ("/w/x.ipynb#cell3", "jupyter"),
        (
            r#"git:/w/app.ts?{"path":"/w/app.ts","ref":"~"}"#,
            "typescript",
        ),
        ("/w/a.php?x=1", "php"),
        ("/w/a.ts:12:3", "typescript"),
    ];
    let named = names.map(|(name, _)| json!({"path": "x", "language": name}));
    let by_path = paths.map(|(path, _)| json!({"path": path}));
    let data = [named.to_vec(), by_path.to_vec()].concat();
    let expected = names.iter().chain(&paths);
    let records = records(&deployment, &client, &events("file.saved", &data)).await;
    for (record, (name, language)) in records.iter().zip(expected) {
        assert_eq!(record["language"], *language, "{name}");
    }
}

/// Contract: metrics.project-names
async fn a_project_is_shown_as_its_owner_wrote_it(engine: Engine) {
    let (deployment, client) = Deployment::running(engine).await;
    let names = [
        "項目甲",
        "Проект",
        "Straße",
        "🚀",
        "my app",
        "MY-APP",
        "My App",
    ];
    let data: Vec<Value> = names.iter().map(|name| json!({"project": name})).collect();
    let mut sent = events("editor.focused", &data);
    // The time of the last one counts for none.
    sent.push(events("editor.focused", &vec![json!({}); 8]).remove(7));
    // The latest events come first: what is shown does not depend on it.
    for (at, event) in sent.iter().rev().enumerate() {
        client
            .send(&envelope(&format!("b{at}"), std::slice::from_ref(event)))
            .await;
    }
    deployment.completed(8).await;
    let path = "/v1/metrics/daily?from=2026-03-01&to=2026-03-01";
    let answer: Value = client.get_with_key(path).await.json().await.unwrap();
    let shown = ["My App", "Straße", "Проект", "項目甲", "🚀"];
    let names = |day: &Value| -> Vec<String> {
        let projects = day["projects"]
            .as_array()
            .unwrap_or_else(|| panic!("{day}"));
        projects
            .iter()
            .map(|project| project["name"].as_str().unwrap().to_owned())
            .collect()
    };
    let mut found = names(&answer["days"][0]);
    assert_eq!(found[0], "My App", "it has most time: {answer}");
    found.sort();
    assert_eq!(found, shown, "{answer}");
    let keys = &answer["days"][0]["projects"][0]["key"];
    assert_eq!(keys, "my-app");

    let show = |more: &[&str]| {
        let output = deployment.run("devtrail", &[&["metrics", "show", "ada"], more].concat());
        assert!(output.status.success(), "{}", stderr_of(&output));
        String::from_utf8(output.stdout).unwrap()
    };
    let list: Value = serde_json::from_str(&show(&["--json"])).unwrap();
    let mut found = names(&list[0]);
    found.sort();
    assert_eq!(found, shown);
    assert!(show(&[]).contains("My App 0:03"), "{}", show(&[]));
}

harness::on_both_stores!(
    no_home_folder_is_in_a_record,
    no_secret_is_in_a_record,
    a_record_tells_with_what_one_worked,
    a_record_is_read_whole,
    a_record_of_ambiguous_json_is_read_whole,
    different_names_are_different_projects,
    a_language_has_one_name,
    a_project_is_shown_as_its_owner_wrote_it,
);
