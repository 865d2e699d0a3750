//! The administrator's commands, as a person or a script runs them.

use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::process::{Command, Output, Stdio};

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
    assert_eq!(
        json_of(&up.devtrail(&["streams", "diff", "--json"])),
        json!([])
    );
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
    (push["type"], push["data"]) = (json!("git.push"), json!({"branch": "main", "force": true}));
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
    assert_eq!(applied, json!([]));
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

/// Contract: commands.rules, commands.schemas-list
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
}
