//! `trace` and `status`: what happened is found by any of its names (R7.1).

use std::io::{BufRead as _, BufReader};
use std::process::{Command, Stdio};

use harness::{DevtrailUp, envelope, event, program, src_of, written_sequence};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::{Value, json};

/// The traced batches, once there are as many as expected.
async fn traced(up: &DevtrailUp, what: &str, expected: usize) -> Vec<Value> {
    up.until(&format!("{what} leads to {expected} batches"), || {
        let output = up.devtrail(&["trace", what, "--json"]);
        let found: Vec<Value> = serde_json::from_slice(&output.stdout).ok()?;
        (found.len() == expected).then_some(found)
    })
    .await
}

/// Contract: commands.trace
#[tokio::test(flavor = "multi_thread")]
async fn a_batch_is_traced_by_any_name_with_its_original() {
    let up = DevtrailUp::start().await;
    let first = up
        .client()
        .send(&envelope("b1", &[event("e1"), event("e2")]))
        .await;
    let second = up.client().send(&envelope("b2", &[event("e1")])).await;
    let names = [
        "b2".to_owned(),
        second["correlation_id"].as_str().unwrap().to_owned(),
        format!("seq:{}", written_sequence(&second)),
        format!("job:{}:2:alert", src_of("me")),
    ];
    for name in names {
        assert_eq!(traced(&up, &name, 1).await[0]["batch_id"], "b2", "{name}");
    }
    let both = traced(&up, "e1", 2).await;
    assert_eq!([&both[0]["batch_id"], &both[1]["batch_id"]], ["b1", "b2"]);
    assert_eq!(both[0]["correlation_id"], first["correlation_id"]);
    let steps = both[1]["steps"].as_array().unwrap();
    let names: Vec<&str> = steps
        .iter()
        .map(|step| step["step"].as_str().unwrap())
        .collect();
    let expected = [
        "received",
        "validated",
        "published",
        "persisted",
        "deduplicated",
        "completed",
    ];
    assert_eq!(names, expected);
    let original = &steps[4]["detail"]["original"];
    let place = json!([original["seq"], original["ordinal"], original["batch_id"]]);
    assert_eq!(place, json!([1, 0, "b1"]));
    let text = up.devtrail(&["trace", "e1", "--limit", "1"]);
    let text = String::from_utf8_lossy(&text.stdout).into_owned();
    assert!(
        text.starts_with("batch b1 of me: ") && text.contains("more than 1 batch;"),
        "{text}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lookup_without_result_suggests_what_to_try() {
    let up = DevtrailUp::start().await;
    up.client().send(&envelope("b1", &[event("e1")])).await;
    traced(&up, "b1", 1).await;
    let known = up.devtrail(&["keys", "create", "bob"]);
    assert!(known.status.success());
    for (arguments, remedy) in [
        (&["trace", "b2"][..], "seq:N"),
        (
            &["trace", "b1", "--developer", "bob"][..],
            "without --developer",
        ),
        (
            &["trace", "b1", "--developer", "nobody"][..],
            "no developer \"nobody\"",
        ),
        (&["trace", "job:2:1:alert"][..], "batch id"),
        (
            &["metrics", "show", "nobody"][..],
            "no developer \"nobody\"",
        ),
    ] {
        let output = up.devtrail(arguments);
        let message = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(
            output.status.code() == Some(1) && message.contains(remedy),
            "{arguments:?}: {message}"
        );
    }
}

/// Contract: commands.status
#[tokio::test(flavor = "multi_thread")]
async fn status_is_watched_block_by_block_until_it_is_interrupted() {
    let up = DevtrailUp::start().await;
    let mut command = Command::new(program("devtrail"));
    command
        .args(["status", "--watch", "--data"])
        .arg(up.path(""))
        .env("DEVTRAIL_LOG", "warn");
    let mut watch = command.stdout(Stdio::piped()).spawn().unwrap();
    let lines = BufReader::new(watch.stdout.take().unwrap()).lines();
    let mut blocks = 0;
    for line in lines.map(|line| line.unwrap()) {
        assert!(
            !line.contains('\u{1b}'),
            "nothing steers a terminal where there is none: {line}"
        );
        blocks += usize::from(line == "----");
        if blocks == 2 {
            kill(Pid::from_raw(watch.id().cast_signed()), Signal::SIGINT).unwrap();
            blocks = 0; // what it had written already may follow
        }
    }
    assert_eq!(watch.wait().unwrap().code(), Some(0));
}
