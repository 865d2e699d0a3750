//! Custom schemas: checked, then used by the collector beside the built-in ones (R2.1, R2.2).

use std::path::Path;
use std::process::{Command, Output};

use harness::{Deployment, Engine, envelope, program, stderr_of, until};
use serde_json::{Value, json};

use crate::readmission::{coffee, schema, with_coffee};

fn check(arguments: &[&str]) -> (Option<i32>, Value, String) {
    let output = devtrail(&[&["schemas", "check", "--json"], arguments].concat());
    (
        output.status.code(),
        serde_json::from_slice(&output.stdout).unwrap_or_default(),
        stderr_of(&output),
    )
}

fn devtrail(arguments: &[&str]) -> Output {
    Command::new(program("devtrail"))
        .args(arguments)
        .output()
        .unwrap()
}

fn path(folder: &Path, name: &str) -> String {
    folder.join(name).display().to_string()
}

/// Contract: commands.schemas-check
#[test]
fn a_schema_file_is_checked_and_every_fault_is_named() {
    let folder = with_coffee();
    let good = path(folder.path(), "1.0/coffee.brewed.json");
    let (code, message, _) = check(&[&good]);
    assert_eq!(
        (code, &message["files"][0]["usable"]),
        (Some(0), &json!(true)),
        "{message}"
    );
    schema(folder.path(), "1.0", "heartbeat", &json!({}));
    schema(
        folder.path(),
        "1.0",
        "tea.brewed",
        &json!({"$ref": "https://example.org/tea.json"}),
    );
    let bad = ["1.0/heartbeat.json", "1.0/tea.brewed.json", "1.0/gone.json"]
        .map(|name| path(folder.path(), name));
    let (code, message, error) = check(&[&good, &bad[0], &bad[1], &bad[2]]);
    assert!(code == Some(1) && error.contains("3 of 4 files"), "{error}");
    for (index, part) in [(1, "known already"), (2, "$defs"), (3, "cannot be read")] {
        let problems = message["files"][index]["problems"].to_string();
        assert!(problems.contains(part), "{part}: {problems}");
    }
    assert_eq!(
        devtrail(&["schemas", "check"]).status.code(),
        Some(2),
        "a file or --event is needed"
    );
}

/// Contract: commands.schemas-event
#[test]
fn events_are_checked_as_admission_would() {
    let folder = with_coffee();
    let events = path(folder.path(), "events.ndjson");
    let lines = [coffee("e1", &json!({"cups": 1})), coffee("e2", &json!({}))];
    std::fs::write(&events, format!("{}\n{}\n", lines[0], lines[1])).unwrap();
    let verdicts = |arguments: &[&str]| {
        let (code, message, _) = check(&[&["--event", &events], arguments].concat());
        (
            code,
            [
                &message["events"][0]["verdict"],
                &message["events"][1]["verdict"],
            ]
            .map(Clone::clone),
        )
    };
    assert_eq!(
        verdicts(&[]),
        (Some(1), [json!("quarantined"), json!("quarantined")])
    );
    let file = path(folder.path(), "1.0/coffee.brewed.json");
    let folder = folder.path().to_str().unwrap();
    for known in [
        &[file.as_str()][..],
        &["--schemas", folder],
        &[&file, "--schemas", folder],
    ] {
        assert_eq!(
            verdicts(known),
            (Some(1), [json!("accepted"), json!("rejected")]),
            "{known:?}"
        );
    }
    std::fs::write(&events, lines[0].to_string()).unwrap();
    let (code, message, error) = check(&["--event", &events, "--schemas", folder]);
    assert_eq!(
        (code, message["events"].as_array().unwrap().len()),
        (Some(0), 1),
        "{error}"
    );
}

/// Contract: schemas.folder, schemas.accepted, commands.schemas-list
#[tokio::test(flavor = "multi_thread")]
async fn a_collector_with_schemas_takes_and_lists_their_types() {
    let mut deployment = Deployment::start(Engine::Sqlite).await;
    let folder = with_coffee();
    schema(
        folder.path(),
        "2.0",
        "file.saved",
        &json!({"required": ["path"]}),
    );
    let schemas = folder.path().to_str().unwrap().to_owned();
    let url = deployment
        .collector_with("collector", &["--schemas", &schemas])
        .await;
    deployment.worker("all", "all", None);
    let client = deployment.client(&url, "ada").await;
    let mut major = coffee("e2", &json!({}));
    major["schema_version"] = json!("3.0");
    let batch = envelope("b1", &[coffee("e1", &json!({"cups": 1})), major]);
    let reply = client.send_waiting(&batch, 30).await.body;
    assert_eq!(
        (&reply["counts"]["accepted"], &reply["durability"]),
        (&json!(1), &json!("stored")),
        "{reply}"
    );
    assert_eq!(
        reply["exceptions"][0]["supported"],
        json!(["1.0", "1.1", "2.0"]),
        "also where the store replies"
    );
    let list: Value = client.get("/v1/schemas").await.json().await.unwrap();
    assert_eq!(list["supported"], json!(["1.0", "1.1", "2.0"]));
    assert!(
        list["types"]
            .as_array()
            .unwrap()
            .contains(&json!({"type": "coffee.brewed", "versions": ["1.0"]}))
    );
    let served: Value = client
        .get("/v1/schemas/1.0/coffee.brewed")
        .await
        .json()
        .await
        .unwrap();
    assert_eq!(served["properties"]["type"]["const"], "coffee.brewed");
    let listed = deployment.run(
        "devtrail",
        &["schemas", "list", "--schemas", &schemas, "--json"],
    );
    assert!(String::from_utf8_lossy(&listed.stdout).contains("coffee.brewed"));
    until("the record is made", async || {
        let records = "SELECT count(*) FROM normalized WHERE type = 'coffee.brewed'";
        (deployment.database.count(records).await == 1).then_some(())
    })
    .await;
}

/// Contract: schemas.unusable, schemas.existing
#[tokio::test(flavor = "multi_thread")]
async fn unusable_schemas_are_wrong_usage_and_stop_every_program() {
    let deployment = Deployment::start(Engine::Sqlite).await;
    let folder = tempfile::tempdir().unwrap();
    schema(folder.path(), "1.1", "test.finished", &json!({}));
    schema(
        folder.path(),
        "1.0",
        "tea.brewed",
        &json!({"type": "objekt"}),
    );
    let schemas = folder.path().to_str().unwrap();
    let data = deployment.path("data");
    for (name, arguments) in [
        ("devtrail-collector", &["--listen", "127.0.0.1:0"][..]),
        ("devtrail", &["up", "--data", data.to_str().unwrap()]),
        ("devtrail", &["schemas", "list"]),
        ("devtrail", &["rules", "test"]),
        ("devtrail", &["quarantine", "readmit"]),
    ] {
        let refused = deployment.run(name, &[arguments, &["--schemas", schemas]].concat());
        let message = stderr_of(&refused);
        assert_eq!(
            refused.status.code(),
            Some(2),
            "{name} {arguments:?}: {message}"
        );
        for part in [
            "2 faults",
            "1.1/test.finished.json",
            "newer version",
            "1.0/tea.brewed.json",
            "not valid",
        ] {
            assert!(message.contains(part), "{part}: {message}");
        }
    }
    assert!(
        !data.exists(),
        "nothing is made before what is wrong is reported"
    );
}
