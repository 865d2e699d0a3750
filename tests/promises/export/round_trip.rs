//! An export imported elsewhere gives the same metrics, and imported again adds nothing.

use std::path::Path;

use harness::{Client, Deployment, Engine, envelope, stderr_of, until};
use serde_json::{Value, json};

use super::{exported, of_kind};

const DAYS: &str = "/v1/metrics/daily?from=2026-02-20&to=2026-03-10";

async fn daily(client: &Client) -> String {
    client.get_with_key(DAYS).await.text().await.unwrap()
}

/// A heartbeat on a file, so many minutes after ten o'clock.
fn heartbeat(id: &str, minute: u32, offset: &str) -> Value {
    json!({"id": id, "type": "heartbeat", "occurred_at": format!("2026-03-01T{:02}:{:02}:00{offset}", 10 + minute / 60,
            minute % 60),
        "data": {"entity": format!("src/{id}.rs"), "language": "rust", "project": "demo"}})
}

/// Sends what differs in what an import must keep: zones, offsets, clients, versions, clocks.
async fn send_everything(deployment: &Deployment, client: &Client) {
    let steps = |prefix: &str, offset: &str| -> Vec<Value> {
        let minutes = [0, 3, 7, 16, 20, 39];
        minutes
            .map(|minute| heartbeat(&format!("{prefix}{minute}"), minute, offset))
            .to_vec()
    };
    let mut berlin = envelope("berlin", &steps("b", "+00:00"));
    berlin["client"] =
        json!({"name": "vim", "version": "9", "host_id": "laptop", "time_zone": "Europe/Berlin"});
    client.send(&berlin).await;
    client
        .send(&envelope("offset", &steps("o", "-09:30")))
        .await;
    client.send(&envelope("utc", &steps("z", "Z"))).await;
    let mut newer = envelope("newer", &steps("n", "+14:00"));
    newer["schema_version"] = json!("1.1");
    client.send(&newer).await;
    // A clock that is an hour and a second fast.
    let now = jiff::Timestamp::now().as_second() + 3601;
    let now = jiff::Timestamp::from_second(now).unwrap().to_string();
    let mut fast = envelope("fast", &steps("f", "+05:30"));
    fast["sent_at"] = json!(now);
    client.send(&fast).await;
    // From now on the developer's zone counts, where the client has none.
    let zone = [
        "developers",
        "set",
        "ada",
        "--zone",
        "Asia/Kolkata",
        "--idle",
        "5m",
    ];
    let set = deployment.run("devtrail", &zone);
    assert!(set.status.success(), "{}", stderr_of(&set));
    let mut number = 0;
    until("the collector knows the zone", async || {
        number += 1;
        let mut late = heartbeat(&format!("late{number}"), number, "Z");
        late["occurred_at"] = json!(format!("2026-03-04T20:{number:02}:00Z"));
        client
            .send_waiting(&envelope(&format!("late{number}"), &[late]), 30)
            .await;
        let zones = "SELECT count(*) FROM batches WHERE zone = 'Asia/Kolkata'";
        (deployment.database.count(zones).await > 0).then_some(())
    })
    .await;
    deployment.completed(5 + i64::from(number)).await;
}

fn import(deployment: &Deployment, url: &str, key: &str, file: &Path, more: &[&str]) -> Value {
    let keys = deployment.path("key-of-ada");
    std::fs::write(&keys, key).unwrap();
    let arguments = [
        &[
            "import",
            "devtrail",
            file.to_str().unwrap(),
            "--json",
            "--url",
            url,
            "--key-file",
        ],
        &[keys.to_str().unwrap()][..],
        more,
    ];
    let output = deployment.run("devtrail", &arguments.concat());
    assert!(output.status.success(), "{}", stderr_of(&output));
    serde_json::from_slice(&output.stdout).unwrap()
}

/// Contract: commands.import-devtrail, import.devtrail.same, import.devtrail.again, import.devtrail.settings
/// Contract: import.devtrail.times
async fn an_export_imported_elsewhere_gives_the_same_metrics(engine: Engine) {
    let (from, client) = Deployment::running(engine).await;
    send_everything(&from, &client).await;
    let there = exported(&from, &[]);
    let file = from.path("ada.ndjson");
    let output = from.run("devtrail", &["export", "ada", "-o", file.to_str().unwrap()]);
    assert!(output.status.success(), "{}", stderr_of(&output));
    let events = of_kind(&there, "event").len() as u64;
    assert!(events > 30);

    let (into, other) = Deployment::running(engine).await;
    let imported = import(
        &into,
        other.url(),
        other.key(),
        &file,
        &["--settings", "ada"],
    );
    assert_eq!(
        (
            &imported["events"],
            &imported["new"],
            &imported["rejected"],
            &imported["quarantined"]
        ),
        (&json!(events), &json!(events), &json!(0), &json!(0)),
        "{imported}"
    );
    let expected = daily(&client).await;
    assert!(expected.contains("\"active_ms\""), "{expected}");
    let mut last = String::new();
    let same = async || {
        last = daily(&other).await;
        (last == expected).then_some(())
    };
    until("the metrics are the same to the byte", same).await;

    // Times, days and records are the same; where a clock was corrected, the time that was sent is kept beside.
    let here = exported(&into, &[]);
    assert_eq!(of_kind(&there, "record"), of_kind(&here, "record"));
    assert_eq!(of_kind(&there, "settings"), of_kind(&here, "settings"));
    for (one, other) in of_kind(&there, "event").iter().zip(of_kind(&here, "event")) {
        for name in ["id", "effective_at", "local_day", "schema_version"] {
            assert_eq!(one[name], other[name], "{name}: {one} {other}");
        }
        if one["id"].as_str().unwrap().starts_with('f') {
            assert_eq!(
                one["event"]["occurred_at"], other["event"]["original_occurred_at"],
                "{other}"
            );
        } else {
            assert_eq!(one["event"], other["event"]);
        }
    }

    // In the same batches, and in others.
    for more in [&[][..], &["--batch-size", "7"]] {
        let again = import(&into, other.url(), other.key(), &file, more);
        assert_eq!(
            (&again["new"], &again["known"]),
            (&json!(0), &json!(events)),
            "{again}"
        );
    }
    assert_eq!(
        into.database.count("SELECT count(*) FROM events").await as u64,
        events
    );
    assert_eq!(daily(&other).await, expected);
}

/// Contract: import.devtrail.cut-off
async fn a_cut_off_export_is_named_and_what_it_holds_is_sent(engine: Engine) {
    let (deployment, client) = Deployment::running(engine).await;
    let steps: Vec<Value> = (0..9)
        .map(|minute| heartbeat(&format!("h{minute}"), minute, "Z"))
        .collect();
    client.send(&envelope("b1", &steps)).await;
    deployment.completed(1).await;
    let output = deployment.run("devtrail", &["export", "ada"]);
    let text = String::from_utf8(output.stdout).unwrap();
    let bob = deployment.client(client.url(), "bob").await;
    let cut = |name: &str, text: &[u8]| {
        let file = deployment.path(name);
        std::fs::write(&file, text).unwrap();
        let keys = deployment.path("key-of-bob");
        std::fs::write(&keys, bob.key()).unwrap();
        let file = file.to_str().unwrap().to_owned();
        let arguments = [
            "import",
            "devtrail",
            &file,
            "--url",
            bob.url(),
            "--key-file",
            keys.to_str().unwrap(),
        ];
        let output = deployment.run("devtrail", &arguments);
        (output.status.code(), stderr_of(&output))
    };
    let (code, error) = cut("cut", &text.as_bytes()[..text.len() * 2 / 3]);
    assert!(code == Some(1) && error.contains("was cut off"), "{error}");
    let stored = "SELECT count(*) FROM events WHERE developer = 'bob'";
    assert!(deployment.database.count(stored).await > 0);
    // In the middle of a character.
    let lines: usize = text.lines().take(4).map(|line| line.len() + 1).sum();
    let in_a_character = [&text.as_bytes()[..lines], b"{\"kind\":\"\xF0\x9F"].concat();
    let (code, error) = cut("character", &in_a_character);
    assert!(code == Some(1) && error.contains("was cut off"), "{error}");
    // As Windows writes texts.
    let marked = [b"\xEF\xBB\xBF", text.as_bytes()].concat();
    let (code, error) = cut("marked", &marked);
    assert_eq!(code, Some(0), "{error}");
    // Of a developer without events.
    let settings = r#"{"kind":"settings","settings":{"zone":"Europe/Berlin"}}"#;
    let end = r#"{"kind":"end","counts":{"events":0,"records":0,"refused":0,"days":0,"alerts":0}}"#;
    let header = text.lines().next().unwrap();
    let (code, error) = cut("empty", format!("{header}\n{settings}\n{end}\n").as_bytes());
    assert!(
        code == Some(0) && error.contains("--zone Europe/Berlin"),
        "{error}"
    );
    let without_one: String = text
        .lines()
        .filter(|line| !line.contains("\"h4\""))
        .map(|line| format!("{line}\n"))
        .collect();
    let (code, error) = cut("gap", without_one.as_bytes());
    assert!(
        code == Some(1) && error.contains("8 events") && error.contains("tells of 9"),
        "{error}"
    );
    let (code, error) = cut("other", b"{\"id\": \"e1\", \"type\": \"heartbeat\"}\n");
    assert!(
        code == Some(2) && error.contains("line 1") && error.contains("devtrail send"),
        "{error}"
    );
}

harness::on_both_stores!(
    an_export_imported_elsewhere_gives_the_same_metrics,
    a_cut_off_export_is_named_and_what_it_holds_is_sent,
);
