//! Quarantined events beside a running `devtrail up`: listed, shown whole, readmitted.

use harness::{DevtrailUp, envelope, event};
use serde_json::{Value, json};

use crate::readmission::{coffee, with_coffee};

fn run(up: &DevtrailUp, arguments: &[&str]) -> (Option<i32>, String, String) {
    let output = up.devtrail(&[&["quarantine"], arguments].concat());
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (
        output.status.code(),
        text(&output.stdout),
        text(&output.stderr),
    )
}

/// Contract: commands.quarantine-list, commands.quarantine-show, commands.quarantine-readmit
#[tokio::test(flavor = "multi_thread")]
async fn a_quarantined_event_is_listed_shown_whole_and_readmitted() {
    let mut up = DevtrailUp::start().await;
    let sent = coffee("e1", &json!({"cups": 1, "note": "ä\u{7}"}));
    up.client()
        .send(&envelope("b1", &[event("good"), sent.clone()]))
        .await;
    up.until("it is stored", || {
        (run(&up, &["list"]).1.contains("1:1:1")).then_some(())
    })
    .await;
    let (_, listed, _) = run(&up, &["list"]);
    for part in ["me", "e1", "coffee.brewed", "type_unknown"] {
        assert!(listed.contains(part), "{part}: {listed}");
    }
    assert!(up.devtrail(&["keys", "create", "bob"]).status.success());
    let none = run(&up, &["list", "--developer", "bob"]).1;
    assert!(none.contains("No quarantined event fits"), "{none}");
    let empty = run(&up, &["list", "--code", "id_conflict", "--json"]).1;
    assert_eq!(empty.trim(), "[]");
    for name in ["1:1:1", "e1"] {
        let shown = run(&up, &["show", name, "--json"]).1;
        let shown: Value = serde_json::from_str(&shown).unwrap();
        assert_eq!(
            (shown.as_array().unwrap().len(), &shown[0]["event"]),
            (1, &sent),
            "{shown}"
        );
        assert_eq!(
            (&shown[0]["raw"], &shown[0]["batch_id"]),
            (&json!(sent.to_string()), &json!("b1"))
        );
        assert_eq!(
            (&shown[0]["now"]["becomes"], &shown[0]["now"]["code"]),
            (&json!("stays"), &json!("type_unknown"))
        );
    }
    let folder = with_coffee();
    let schemas = folder.path().to_str().unwrap();
    let (_, text, _) = run(&up, &["show", "e1", "--schemas", schemas]);
    assert!(
        text.contains("now: fits, at 2026-03-01T02:30:00") && text.contains("\"cups\": 1"),
        "{text}"
    );
    assert!(!text.contains('\u{7}'), "nothing steers a terminal");
    let (code, text, error) = run(&up, &["readmit", "1:1:1", "--schemas", schemas]);
    assert!(
        code == Some(0)
            && text.contains("1:1 batch b1 of me: 1 event went out as readmit-1-1 (EVENTS 2)"),
        "{text}{error}"
    );
    assert_eq!(up.verify()["stored"], 2);
    assert!(run(&up, &["list", "--all"]).1.contains("stored as 1:2:0"));
    assert!(run(&up, &["list"]).1.contains("No quarantined event fits"));
    assert_eq!(up.stop().await, Some(0));
    up.restart_with(&["--schemas", schemas]).await;
    let reply = up
        .client()
        .send(&envelope("b2", &[coffee("e2", &json!({"cups": 2}))]))
        .await;
    assert_eq!(reply["counts"]["accepted"], 1, "{reply}");
}

/// Contract: commands.quarantine-show
#[tokio::test(flavor = "multi_thread")]
async fn a_name_that_quarantine_does_not_have_is_reported() {
    let up = DevtrailUp::start().await;
    up.client().send(&envelope("b1", &[event("good")])).await;
    up.until("it is stored", || {
        (up.count("SELECT count(*) FROM events") == 1).then_some(())
    })
    .await;
    for name in ["good", "1:1:0", "9:9:9"] {
        let (code, _, error) = run(&up, &["show", name]);
        assert!(
            code == Some(1) && error.contains("quarantine list --all"),
            "{name}: {error}"
        );
    }
    let (code, _, error) = run(&up, &["list", "--code", "schema_invalid"]);
    assert!(
        code == Some(2) && error.contains("no code that quarantines"),
        "{error}"
    );
}
