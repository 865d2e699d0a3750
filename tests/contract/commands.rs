//! The administrator's commands, as a person or a script runs them.

use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::process::{Command, Output, Stdio};

use futures_util::StreamExt as _;
use harness::{DevtrailUp, event, program, stderr_of, until};
use serde_json::{Value, json};

use crate::support::{RawClient, body_of, fresh, good, shared, started};

fn json_of(output: &Output) -> Value {
    assert!(output.status.success(), "{}", stderr_of(output));
    serde_json::from_slice(&output.stdout).unwrap()
}

fn text_of(output: &Output) -> String {
    assert!(output.status.success(), "{}", stderr_of(output));
    String::from_utf8(output.stdout.clone()).unwrap()
}

/// The changes of a plan, but for the bound of EVENTS: where less than 20 GiB are free, `up` takes half of that.
fn but_for_the_disk(plan: &Value) -> Vec<&Value> {
    let is_bound = |change: &&Value| {
        let kept = &change["change"]["keep"];
        change["name"] == "stream EVENTS"
            && kept.as_array().is_some_and(|kept| kept.len() == 1)
            && kept[0]["field"] == "max_bytes"
    };
    let changes = plan.as_array().into_iter().flatten();
    changes.filter(|change| !is_bound(change)).collect()
}

/// Runs a command that needs no Devtrail.
fn alone(arguments: &[&str]) -> Output {
    Command::new(program("devtrail"))
        .args(arguments)
        .env("DEVTRAIL_LOG", "warn")
        .output()
        .unwrap()
}

/// Contract: commands.up, commands.data
#[tokio::test(flavor = "multi_thread")]
async fn up_creates_streams_a_key_and_an_address_file() {
    let up = started().await;
    let mode = std::fs::metadata(up.path("api-key"))
        .unwrap()
        .permissions()
        .mode();
    assert_eq!(mode & 0o777, 0o600);
    let client = RawClient::to(&up);
    client.still_fine().await;
    let keys = json_of(&up.devtrail(&["keys", "list", "--json"]));
    assert_eq!(
        (keys.as_array().unwrap().len(), &keys[0]["key"]["developer"]),
        (1, &json!("me"))
    );
    let nats = up.address("nats");
    let url = up.address("collector");
    assert!(
        nats.starts_with("nats://127.0.0.1:") && url.starts_with("http://127.0.0.1:"),
        "{nats} {url}"
    );
    let differing = json_of(&up.devtrail(&["streams", "diff", "--json"]));
    assert_eq!(but_for_the_disk(&differing), [&Value::Null; 0]);
    // What flags and environment say goes before the folder.
    let other = up.devtrail(&["keys", "list", "--nats-url", "nats://127.0.0.1:1"]);
    assert!(!other.status.success(), "{}", text_of(&other));
    assert_eq!(up.verify()["stored"], 1);
}

/// Runs `devtrail send -` with this input.
fn sent(up: &DevtrailUp, input: &str, arguments: &[&str]) -> Value {
    let mut command = Command::new(program("devtrail"));
    command
        .args(["send", "-", "--json", "--data"])
        .arg(up.path(""))
        .args(arguments)
        .env("DEVTRAIL_LOG", "warn");
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child
        .stdin
        .take()
        .unwrap()
        .write_all(input.as_bytes())
        .unwrap();
    json_of(&child.wait_with_output().unwrap())
}

/// Contract: commands.send, commands.send-again, commands.keys-create, commands.keys-revoke
#[tokio::test(flavor = "multi_thread")]
async fn send_takes_every_input_and_keys_are_created_and_revoked() {
    let up = started().await;
    let pretty = format!("{:#}", event(&fresh("e")));
    let input = format!("{}\n{pretty}\n{}\n", event(&fresh("e")), good());
    std::fs::write(up.path("input"), &input).unwrap();
    let file = up.path("input");
    let reply = json_of(&up.devtrail(&["send", &file.to_string_lossy(), "--json"]));
    assert_eq!(
        (&reply["received"], &reply["accepted"]),
        (&json!(3), &json!(3))
    );
    // As clients that lost a reply, or forgot what they had sent.
    let events: String = (0..30)
        .map(|_| format!("{}\n", event(&fresh("e"))))
        .collect();
    let reply = sent(&up, &events, &["--batch-size", "10", "--resend", "1"]);
    assert_eq!(
        (&reply["batches"], &reply["duplicate_batches"]),
        (&json!(6), &json!(3))
    );
    let events: String = (0..30)
        .map(|_| format!("{}\n", event(&fresh("e"))))
        .collect();
    assert!(
        sent(&up, &events, &["--batch-size", "30", "--overlap", "1"])["received"].as_u64()
            > Some(30)
    );
    // People with keys of their own.
    std::fs::write(up.path("people"), "ada\nbob\n").unwrap();
    let people = up.path("people").to_string_lossy().into_owned();
    let made = text_of(&up.devtrail(&["keys", "create", "--from-file", &people]));
    std::fs::write(up.path("keys"), &made).unwrap();
    let ada = made
        .lines()
        .find_map(|line| line.strip_prefix("ada "))
        .unwrap()
        .to_owned();
    let input: String = ["ada", "bob"]
        .iter()
        .map(|who| {
            format!(
                "{}\n",
                json!({"developer": who, "event": event(&fresh("e"))})
            )
        })
        .collect();
    let keys = up.path("keys").to_string_lossy().into_owned();
    let client = RawClient {
        url: up.address("collector"),
        key: ada.clone(),
    };
    until("the key is known", async || {
        (client.get("/v1/batches/x").await.status != 401).then_some(())
    })
    .await;
    assert_eq!(sent(&up, &input, &["--key-file", &keys])["accepted"], 2);
    let listed = up.devtrail(&["keys", "list", "--json"]);
    assert!(!text_of(&listed).contains(&ada), "a key is shown once");
    let listed = json_of(&listed);
    let digest = |who: &str| {
        let found = listed
            .as_array()
            .unwrap()
            .iter()
            .find(|one| one["key"]["developer"] == who)
            .unwrap();
        found["sha256"].as_str().unwrap()[..12].to_owned()
    };
    for key in [&digest("me"), &ada, "bob"] {
        text_of(&up.devtrail(&["keys", "revoke", key]));
    }
    assert_eq!(
        json_of(&up.devtrail(&["keys", "list", "--json"])),
        json!([])
    );
    assert_eq!(up.verify()["stored"], 3 + 30 + 30 + 2);
}

/// Contract: commands.metrics, commands.alerts, commands.verify, commands.json, commands.exit-codes
#[tokio::test(flavor = "multi_thread")]
async fn what_is_stored_is_shown_and_verified() {
    let up = started().await;
    let client = RawClient::to(&up);
    let mut push = event(&fresh("e"));
    (push["type"], push["data"]) = (json!("git.push"), json!({"branch": "topic", "force": true}));
    let id = fresh("b");
    client
        .taken(body_of(&id, &format!("[{push},{}]", event(&fresh("e")))))
        .await;
    let done = "SELECT count(*) FROM batches WHERE state = 'completed'";
    up.until("it is completed", || (up.count(done) == 1).then_some(()))
        .await;
    let range = ["--from", "2026-03-01", "--to", "2026-03-01"];
    for who in ["me", "--all"] {
        let days =
            json_of(&up.devtrail(&[&["metrics", "show", who, "--json"][..], &range].concat()));
        assert_eq!(
            (&days[0]["day"], &days[0]["saves"]),
            (&json!("2026-03-01"), &json!(1))
        );
        let text = text_of(&up.devtrail(&[&["metrics", "show", who][..], &range].concat()));
        assert!(text.contains("2026-03-01"), "{text}");
    }
    let alerts = json_of(&up.devtrail(&["alerts", "list", "--json"]));
    assert_eq!(
        (alerts.as_array().unwrap().len(), &alerts[0]["rule"]),
        (1, &json!("force-push")),
        "{alerts}"
    );
    assert_eq!(
        json_of(&up.devtrail(&["trace", &id, "--json"]))[0]["batch_id"],
        json!(id)
    );
    assert_eq!(
        json_of(&up.devtrail(&["status", "--json"]))["store"]["batches"]["completed"],
        1
    );
    let applied = json_of(&up.devtrail(&["streams", "apply", "--json"]));
    assert_eq!(but_for_the_disk(&applied), [&Value::Null; 0]);
    assert_eq!(up.verify()["stored"], 2);
    // An event that the stream has and the store has not.
    let database = rusqlite::Connection::open(up.path("devtrail.db")).unwrap();
    assert_eq!(
        database
            .execute("DELETE FROM events WHERE ordinal = 1", [])
            .unwrap(),
        1
    );
    let found = up.devtrail(&["verify", "--json"]);
    assert_eq!(found.status.code(), Some(1));
    let report: Value = serde_json::from_slice(&found.stdout).unwrap();
    assert_eq!(report["findings"].as_array().unwrap().len(), 1, "{report}");
    for (arguments, code) in [
        (&["keys", "list"][..], 0),
        (&["trace", "nothing"], 1),
        (&["nonsense"], 2),
        (&["metrics", "show", "me", "--from", "never"], 2),
    ] {
        assert_eq!(
            up.devtrail(arguments).status.code(),
            Some(code),
            "{arguments:?}"
        );
    }
}

/// Contract: commands.today, commands.me, commands.events, commands.alerts-show, commands.developer
/// Contract: commands.times, commands.range, commands.version
#[tokio::test(flavor = "multi_thread")]
async fn natural_words_answer() {
    let up = started().await;
    let now = types::time::rfc3339(runtime::clock::now());
    let at = |id: &str, kind: &str, data: Value| {
        let mut event = event(&fresh(id));
        (event["type"], event["data"], event["occurred_at"]) = (json!(kind), data, json!(now));
        event
    };
    let paths = json!({"commit": "c0ffee", "paths": ["a.rs", "LICENSE"], "lines_added": 7});
    let events = json!([
        at("e", "git.commit", paths),
        at("e", "terminal.command", json!({"command": "make"})),
        at("e", "git.push", json!({"branch": "topic", "force": true})),
    ]);
    RawClient::to(&up)
        .taken(body_of(&fresh("b"), &events.to_string()))
        .await;
    let done = "SELECT count(*) FROM batches WHERE state = 'completed'";
    up.until("it is completed", || (up.count(done) == 1).then_some(()))
        .await;
    for words in [
        &["today", "--json"][..],
        &["today", "me", "--json"],
        &["today", "--developer", "me", "--json"],
        &["stats", "--json"],
        &["metrics", "show", "--developer", "me", "--json"],
        &[
            "stats",
            "--since",
            "2000-01-01",
            "--until",
            "2999-01-01",
            "--json",
        ],
    ] {
        let output = in_utc(&up, words);
        let day = &json_of(&output)[0];
        assert_eq!(
            (
                &day["commits"],
                &day["commands"],
                &day["languages"][0]["name"]
            ),
            (&json!(1), &json!(1), &json!("rust")),
            "{words:?}: {day}"
        );
    }
    let table = text_of(&in_utc(&up, &["today"]));
    assert!(
        table.contains("COMMANDS") && table.contains("+7 -0") && table.contains("rust"),
        "{table}"
    );
    let listed = json_of(&up.devtrail(&["events", "--json"]));
    assert_eq!(listed.as_array().unwrap().len(), 3);
    let one = text_of(&up.devtrail(&["events", "me", "--limit", "1"]));
    let second = &now[..19];
    assert!(
        one.contains(&format!("{second}Z")) && one.contains("more than 1 event;"),
        "{one}"
    );
    let alerts = json_of(&up.devtrail(&["alerts", "list", "me", "--json"]));
    let id = alerts[0]["alert_id"].as_str().unwrap();
    assert!(text_of(&up.devtrail(&["alerts", "list"])).contains(id));
    let shown = json_of(&up.devtrail(&["alerts", "show", id, "--json"]));
    assert_eq!(shown, alerts[0]);
    assert_eq!(
        up.devtrail(&["alerts", "show", "nothing"]).status.code(),
        Some(1)
    );
    let version = text_of(&alone(&["version"]));
    assert_eq!(version, text_of(&alone(&["--version"])));
}

/// Runs a command whose day is that of UTC, as that of the events is.
fn in_utc(up: &DevtrailUp, arguments: &[&str]) -> Output {
    Command::new(program("devtrail"))
        .args(arguments)
        .arg("--data")
        .arg(up.path(""))
        .env("TZ", "UTC")
        .env("DEVTRAIL_LOG", "warn")
        .output()
        .unwrap()
}

/// Contract: commands.unknown-developer
#[tokio::test(flavor = "multi_thread")]
async fn an_unknown_developer_is_an_error_for_every_command() {
    let up = started().await;
    text_of(&up.devtrail(&["keys", "create", "ada"]));
    for words in [
        &["metrics", "show", "eve"][..],
        &["today", "eve"],
        &["events", "eve"],
        &["keys", "list", "--developer", "eve"],
        &["keys", "revoke", "eve"],
        &["alerts", "list", "--developer", "eve"],
        &["quarantine", "list", "--developer", "eve"],
        &["quarantine", "readmit", "--developer", "eve"],
        &["dead", "list", "--developer", "eve"],
        &["dead", "redrive", "--all", "--developer", "eve"],
        &[
            "dead",
            "drop",
            "--all",
            "--developer",
            "eve",
            "--reason",
            "x",
            "--yes",
        ],
        &["trace", "b1", "--developer", "eve"],
    ] {
        let output = up.devtrail(words);
        assert_eq!(output.status.code(), Some(1), "{words:?}");
        let message = stderr_of(&output);
        let is_named =
            message.contains("no developer \"eve\"") && message.contains("Known are ada, me.");
        assert!(
            is_named || message.contains("No key fits \"eve\""),
            "{words:?}: {message}"
        );
    }
    // Whoever has a key is known, though nothing is listed yet.
    for words in [
        &["alerts", "list", "--developer", "ada"][..],
        &["dead", "list", "--developer", "ada"],
        &["quarantine", "list", "--developer", "ada"],
        &["events", "ada"],
    ] {
        text_of(&up.devtrail(words));
    }
}

/// Contract: commands.tables
#[tokio::test(flavor = "multi_thread")]
async fn tables_are_as_wide_as_columns_says() {
    let wide = text_of(&alone(&["rules", "list"]));
    let longest = |text: &str| text.lines().map(|line| line.chars().count()).max().unwrap();
    assert!(longest(&wide) > 80, "{wide}");
    let narrow = Command::new(program("devtrail"))
        .args(["rules", "list"])
        .env("COLUMNS", "80")
        .output()
        .unwrap();
    let narrow = text_of(&narrow);
    assert!(longest(&narrow) <= 80 && narrow.contains('…'), "{narrow}");
    assert_eq!(
        narrow.lines().count(),
        wide.lines().count(),
        "a row is a line"
    );
}

/// Contract: commands.keys-many
#[tokio::test(flavor = "multi_thread")]
async fn keys_are_listed_and_revoked_without_a_request_for_each() {
    let up = started().await;
    let people: String = (0..2000).map(|number| format!("dev-{number}\n")).collect();
    std::fs::write(up.path("people"), people).unwrap();
    let file = up.path("people").to_string_lossy().into_owned();
    let made = text_of(&up.devtrail(&["keys", "create", "--from-file", &file]));
    let last = made.lines().last().unwrap().split_once(' ').unwrap();
    let nats = async_nats::connect(up.address("nats")).await.unwrap();
    let mut requests = nats.subscribe("$JS.API.>").await.unwrap();
    nats.flush().await.unwrap();
    let mut counted = async |words: &[&str]| {
        let output = up.devtrail(words);
        // All that was sent before this is there once it is.
        nats.publish("$JS.API.end", "".into()).await.unwrap();
        let mut count = 0;
        loop {
            let request = requests.next().await.unwrap();
            match request.subject.as_str() {
                "$JS.API.end" => break,
                subject => count += usize::from(subject.contains("KV_api_keys")),
            }
        }
        (text_of(&output), count)
    };
    let (listed, requests) = counted(&["keys", "list", "--json"]).await;
    let listed: Value = serde_json::from_str(&listed).unwrap();
    assert_eq!(listed.as_array().unwrap().len(), 2001);
    assert!((1..10).contains(&requests), "{requests} requests");
    let digest = listed[7]["sha256"].as_str().unwrap();
    for (named, developer) in [
        (last.1, last.0),
        (digest, listed[7]["key"]["developer"].as_str().unwrap()),
        ("dev-1234", "dev-1234"),
    ] {
        let (revoked, requests) = counted(&["keys", "revoke", named]).await;
        assert!(
            revoked.lines().count() == 1 && revoked.trim_end().ends_with(developer),
            "{named}: {revoked}"
        );
        assert!((1..10).contains(&requests), "{named}: {requests} requests");
    }
    let left = json_of(&up.devtrail(&["keys", "list", "--json"]));
    assert_eq!(left.as_array().unwrap().len(), 1998);
}

/// Contract: commands.rules, commands.rules-on, commands.rules-new, commands.schemas-list, commands.schemas-show
#[tokio::test(flavor = "multi_thread")]
async fn rules_and_schemas_are_listed() {
    let rules = json_of(&alone(&["rules", "list", "--json"]));
    let ids: Vec<&str> = rules
        .as_array()
        .unwrap()
        .iter()
        .map(|rule| rule["id"].as_str().unwrap())
        .collect();
    assert!(ids.contains(&"force-push"), "{ids:?}");
    let listed = text_of(&alone(&["rules", "list"]));
    let tested = text_of(&alone(&["rules", "test"]));
    for id in ids {
        assert!(
            listed.contains(id) && tested.contains(&format!("{id}: ")),
            "{id}: {listed}{tested}"
        );
        assert!(text_of(&alone(&["rules", "show", id])).contains(&format!("id = \"{id}\"")));
    }
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let (rule, events) = (path("many.toml"), path("events.ndjson"));
    std::fs::write(&rule, text_of(&alone(&["rules", "new", "many"]))).unwrap();
    let tested = text_of(&alone(&["rules", "test", &rule]));
    assert!(tested.contains("many: 2 examples, ok"), "{tested}");
    let push = |id: &str, day: u32, force: bool| {
        json!({"id": id, "type": "git.push", "occurred_at": format!("2026-03-{day:02}T11:00:00+01:00"),
            "data": {"branch": "topic", "force": force}})
    };
    let lines = [
        push("late", 5, true),
        push("mild", 4, false),
        push("early", 3, true),
    ];
    std::fs::write(&events, lines.map(|line| line.to_string()).join("\n")).unwrap();
    let on = ["rules", "test", "force-push", "--on", &events];
    let alerts = json_of(&alone(&[&on[..], &["--json"]].concat()));
    let ids = |alerts: &Value| {
        let alerts = alerts.as_array().unwrap().iter();
        alerts
            .map(|alert| alert["evidence"]["event_ids"][0].clone())
            .collect::<Vec<_>>()
    };
    assert_eq!(ids(&alerts), ["early", "late"], "in the order of time");
    let one = json_of(&alone(
        &[&on[..], &["--json", "--from", "2026-03-04"]].concat(),
    ));
    assert_eq!(ids(&one), ["late"]);
    let shown = text_of(&alone(&on));
    assert!(
        shown.contains("A forced push at 11:00 on 2026-03-03")
            && shown.contains("2 alerts from 3 events on 3 days."),
        "{shown}"
    );
    std::fs::write(&events, "[]\n").unwrap();
    let refused = alone(&on);
    assert_eq!(refused.status.code(), Some(2));
    assert!(
        String::from_utf8_lossy(&refused.stderr).contains("line 1"),
        "{refused:?}"
    );
    let up = shared().await;
    let served = RawClient::to(&up).get("/v1/schemas").await.json();
    let listed = json_of(&alone(&["schemas", "list", "--json"]));
    let pairs = |list: &Value| -> Vec<Value> {
        list.as_array()
            .unwrap()
            .iter()
            .map(|one| json!([one["type"], one["versions"]]))
            .collect()
    };
    assert_eq!(pairs(&listed), pairs(&served["types"]));
    assert!(text_of(&alone(&["schemas", "list"])).contains("git.branch_switched"));
    let newest = text_of(&alone(&["schemas", "show", "test.finished"]));
    assert_eq!(
        newest,
        text_of(&alone(&["schemas", "show", "1.1", "test.finished"]))
    );
    let first: Value = serde_json::from_str(&text_of(&alone(&[
        "schemas",
        "show",
        "1.0",
        "test.finished",
    ])))
    .unwrap();
    assert!(
        first["properties"]["data"]["properties"]
            .get("flaky")
            .is_none(),
        "{first}"
    );
    for (words, code) in [
        (&["schemas", "show", "nothing"][..], 1),
        (&["schemas", "show", "9.9", "file.saved"], 1),
        (&["schemas", "show", "x", "file.saved"], 2),
    ] {
        assert_eq!(alone(words).status.code(), Some(code), "{words:?}");
    }
}
