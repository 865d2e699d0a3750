//! Dumps of other tools become events once, with the time that they tell of.

use std::path::Path;

use harness::{DevtrailUp, stderr_of};
use serde_json::{Value, json};

/// A file of the package of the commands.
fn data(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../admin/tests/data")
        .join(name);
    path.to_str().unwrap().to_owned()
}

/// What an import prints, and its exit code.
fn import(up: &DevtrailUp, arguments: &[&str]) -> (Value, Option<i32>, String) {
    let output = up.devtrail(&[&["import"], arguments, &["--json"]].concat());
    let imported = serde_json::from_slice(&output.stdout).unwrap_or_default();
    (imported, output.status.code(), stderr_of(&output))
}

fn day(up: &DevtrailUp, day: &str) -> Value {
    let output = up.devtrail(&[
        "metrics", "show", "me", "--json", "--from", day, "--to", day,
    ]);
    let mut days: Vec<Value> = serde_json::from_slice(&output.stdout).unwrap();
    days.pop().unwrap_or_default()
}

/// Contract: commands.import-files, import.wakatime
#[tokio::test(flavor = "multi_thread")]
async fn a_wakatime_dump_is_stored_once_on_the_days_of_its_zone() {
    let up = DevtrailUp::start().await;
    let file = data("wakatime-dump.json");
    let (planned, code, _) = import(&up, &["wakatime", &file, "--dry-run"]);
    assert_eq!(
        (
            code,
            &planned["events"],
            &planned["passed_over"],
            &planned["first"],
            &planned["last"]
        ),
        (
            Some(0),
            &json!(4),
            &json!(1),
            &json!("2024-03-30"),
            &json!("2024-03-31")
        )
    );
    let (imported, code, error) = import(&up, &["wakatime", &file]);
    assert_eq!(
        (&imported["events"], &imported["new"]),
        (&json!(4), &json!(4)),
        "{error}"
    );
    assert!(
        code == Some(1) && error.contains("heartbeat 5 makes no event"),
        "{error}"
    );
    let (again, ..) = import(&up, &["wakatime", &file, "--batch-size", "3"]);
    assert_eq!(
        (&again["new"], &again["known"]),
        (&json!(0), &json!(4)),
        "{again}"
    );
    // 299.75 s between two heartbeats of one evening; after midnight in Berlin it is another day.
    assert_eq!(day(&up, "2024-03-30")["active_ms"], 299_750);
    assert_eq!(day(&up, "2024-03-31")["active_ms"], 60_500);
    assert_eq!(up.verify()["stored"], 4);
}

/// Contract: import.activitywatch
#[tokio::test(flavor = "multi_thread")]
async fn an_activitywatch_export_gives_its_time_and_names_what_is_left_out() {
    let up = DevtrailUp::start().await;
    let file = data("activitywatch-export.json");
    let (imported, code, error) = import(&up, &["activitywatch", &file, "--zone", "Asia/Kolkata"]);
    assert_eq!(
        (&imported["events"], &imported["new"]),
        (&json!(5), &json!(5)),
        "{error}"
    );
    assert!(
        code == Some(1) && error.contains("event 3 of bucket aw-watcher-vim_laptop"),
        "{error}"
    );
    let left_out = imported["left_out"].to_string();
    assert!(
        left_out.contains("currentwindow") && left_out.contains("afkstatus"),
        "{left_out}"
    );
    let (again, ..) = import(&up, &["activitywatch", &file, "--zone", "Asia/Kolkata"]);
    assert_eq!(
        (&again["new"], &again["known"]),
        (&json!(0), &json!(5)),
        "{again}"
    );
    assert_eq!(day(&up, "2026-02-02")["active_ms"], 130_000);
    let (_, code, error) = import(&up, &["activitywatch", &file, "--zone", "Mars/Olympus"]);
    assert!(code == Some(2) && error.contains("IANA"), "{error}");
    let (_, code, error) = import(&up, &["activitywatch", &data("wakatime-dump.json")]);
    assert!(code == Some(2) && error.contains("no buckets"), "{error}");
    let (_, code, error) = import(&up, &["wakatime", &file]);
    assert!(
        code == Some(2) && error.contains("no dump of heartbeats"),
        "{error}"
    );
}
