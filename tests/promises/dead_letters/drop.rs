//! Dead dead letters that nothing can fix: garbage, dangling pointers, and `dead drop`.

use async_nats::HeaderMap;
use async_nats::jetstream::message::PublishMessage;
use harness::{Deployment, Engine, envelope, event, events_of, src_of, stderr_of};
use serde_json::Value;

use super::{became, dead, dead_letters, json, refuse, running, send};

/// Publishes and awaits the PubAck; gives the sequence.
pub async fn publish(
    deployment: &Deployment,
    subject: &str,
    payload: &[u8],
    headers: &[(&str, &str)],
) -> u64 {
    let mut map = HeaderMap::new();
    headers
        .iter()
        .for_each(|(name, value)| map.insert(*name, *value));
    let message = PublishMessage::build()
        .payload(payload.to_vec().into())
        .headers(map);
    // Held until the PubAck is there: it comes to this connection.
    let js = deployment.js().await;
    let ack = js.send_publish(subject.to_owned(), message).await.unwrap();
    ack.await.unwrap().sequence
}

async fn events_holds(deployment: &Deployment, seq: u64) -> bool {
    deployment
        .js()
        .await
        .get_stream(&events_of("ada"))
        .await
        .unwrap()
        .get_raw_message(seq)
        .await
        .is_ok()
}

/// Of four dead letters: garbage of ada's, and pointers to it, to another life and to a message that is gone.
fn filters_narrow_what_is_dropped(deployment: &Deployment) {
    let all = |more: &[&str]| {
        let arguments = [
            "drop",
            "--all",
            "--reason",
            "broken client",
            "--dry-run",
            "--json",
        ];
        became(&json(&dead(deployment, &[&arguments[..], more].concat()))).len()
    };
    let _ = deployment.key("bob");
    for (filters, count) in [
        (&[][..], 4),
        (&["--stream", "REPLAY"], 3),
        (&["--developer", "bob"], 0),
        (&["--developer", "ada"], 2), // and not what EVENTS has now at the place of an older life
        (&["--dead-reason", "EARLIER INCARNATION"], 1),
        (&["--since", "2999-01-01"], 0),
    ] {
        assert_eq!(all(filters), count, "{filters:?}");
    }
}

/// Contract: commands.dead-drop, dead.drop-filters, dead.drop-deletes, dead.dry-run
/// Contract: dead.drop-dry-run, dead.drop-yes
async fn garbage_is_dead_lettered_again_until_it_is_dropped(engine: Engine) {
    let (deployment, client) = running(engine).await;
    // The first life that the store sees is number 1: that of EVENTS, in every run.
    client.send(&envelope("good", &[event("e1")])).await;
    deployment.completed(1).await;
    let garbage = publish(&deployment, "events.batch.ada", b"garbage", &[]).await;
    publish(
        &deployment,
        "jobs.alert.live.ada",
        b"\xff garbage",
        &[("traceparent", "00-1")],
    )
    .await;
    let ended = r#"{"replay_id":null,"src":99,"seq":1,"targets":["persist"],"source":"stream"}"#;
    publish(&deployment, "replay.batch", ended.as_bytes(), &[]).await;
    let src = src_of("ada");
    let gone = serde_json::json!({"replay_id": null, "src": src, "seq": 777, "targets": ["persist"],
        "source": "stream"});
    let gone = gone.to_string();
    publish(&deployment, "replay.batch", gone.as_bytes(), &[]).await;
    let found = dead_letters(&deployment, 4).await;
    let reason = |batch: &str| {
        let one = found
            .iter()
            .find(|one| one["stream"] == "REPLAY" && one["batch"] == batch)
            .unwrap();
        one["reason"].as_str().unwrap()
    };
    assert!(reason("99:1").contains("earlier incarnation"), "{found:?}");
    let at = format!("{src}:777");
    assert!(reason(&at).contains("no longer holds"), "{found:?}");

    let again = json(&dead(&deployment, &["redrive", "--all", "--json"]));
    let mut outcomes = became(&again);
    outcomes.sort_unstable();
    assert_eq!(
        outcomes,
        ["gave_up_again", "gave_up_again", "stays", "stays"],
        "{again}"
    );
    let found = dead_letters(&deployment, 4).await;
    let job = found.iter().find(|one| one["stream"] == "JOBS").unwrap();
    let shown = json(&dead(
        &deployment,
        &["show", &job["sequence"].to_string(), "--json"],
    ));
    assert_eq!(shown["payload"]["hex"], "ff2067617262616765");
    assert_eq!(
        shown["headers"]["traceparent"][0], "00-1",
        "its own headers went with it"
    );

    let numbers: Vec<String> = found
        .iter()
        .map(|one| one["sequence"].to_string())
        .collect();
    let numbers: Vec<&str> = numbers.iter().map(String::as_str).collect();
    let drop = |more: &[&str]| dead(&deployment, &[&["drop"], &numbers[..], more].concat());
    assert_eq!(
        drop(&["--yes"]).status.code(),
        Some(2),
        "a reason is required"
    );
    let unasked = drop(&["--reason", "broken client"]);
    assert!(
        unasked.status.code() == Some(2) && stderr_of(&unasked).contains("--yes"),
        "{}",
        stderr_of(&unasked)
    );
    let dry = drop(&["--reason", "broken client", "--dry-run", "--json"]);
    let dry = json(&dry);
    assert_eq!(became(&dry), ["would_be_dropped"; 4]);
    let deleted = |which: &Value| {
        let lines = which["letters"].as_array().unwrap().iter();
        lines
            .map(|one| one["deletes_from_events"].as_bool().unwrap())
            .filter(|deleted| *deleted)
            .count()
    };
    assert_eq!(deleted(&dry), 1, "{dry}");
    filters_narrow_what_is_dropped(&deployment);
    let both = dead(&deployment, &["drop", "1", "--all", "--reason", "x"]);
    assert_eq!(
        both.status.code(),
        Some(2),
        "letters are named, or all that fit: {}",
        stderr_of(&both)
    );
    assert!(
        dead_letters(&deployment, 4).await.len() == 4 && events_holds(&deployment, garbage).await
    );
    let dropped = dead(
        &deployment,
        &[
            "drop",
            "--all",
            "--reason",
            "broken client",
            "--yes",
            "--json",
        ],
    );
    assert!(dropped.status.success(), "{}", stderr_of(&dropped));
    assert_eq!(became(&json(&dropped)), ["dropped"; 4]);
    dead_letters(&deployment, 0).await;
    assert!(!events_holds(&deployment, garbage).await && events_holds(&deployment, 1).await);
    // Stream and store agree, and the audit says why the message is missing.
    let _ = deployment.verify();
    let traced = deployment.run("devtrail", &["trace", &format!("seq:{garbage}")]);
    let text = String::from_utf8_lossy(&traced.stdout).into_owned();
    assert!(
        text.contains(&format!("message {src}:{garbage} is not stored")),
        "{text}{}",
        stderr_of(&traced)
    );
    assert!(
        text.contains("dropped") && text.contains(": broken client") && text.contains("in DEAD"),
        "{text}"
    );
}

/// Contract: dead.only-copy, dead.drop-keeps, dead.drop-job
async fn drop_keeps_what_is_stored_and_redrive_the_only_copy(engine: Engine) {
    let (deployment, client) = running(engine).await;
    refuse(&deployment, "normalized_records", "e4").await;
    send(&client).await;
    let job = dead_letters(&deployment, 1).await[0]["sequence"].to_string();
    let dropped = dead(
        &deployment,
        &["drop", &job, "--reason", "never mind", "--yes"],
    );
    assert!(dropped.status.success(), "{}", stderr_of(&dropped));
    deployment.completed(2).await;
    assert_eq!(
        deployment
            .database
            .rows("SELECT state, failed FROM batches WHERE seq = 3")
            .await,
        [["failed", "2"]]
    );
    let traced = deployment.run("devtrail", &["trace", "seq:3"]);
    let text = String::from_utf8_lossy(&traced.stdout).into_owned();
    assert!(
        text.contains("dropped")
            && text.contains("1:3:normalize dead letter")
            && text.contains(": never mind"),
        "{text}"
    );

    // A worker died between DEAD and its TERM, and the message was stored after all.
    let events = deployment
        .js()
        .await
        .get_stream(&events_of("ada"))
        .await
        .unwrap();
    let stored = events.get_raw_message(1).await.unwrap();
    let at = |seq| {
        [
            ("Devtrail-Stream-Sequence", seq),
            ("Devtrail-Src", "1"),
            ("Devtrail-Subject", "events.batch.ada"),
        ]
    };
    let twice = publish(
        &deployment,
        &format!("dead.{}.persist", events_of("ada")),
        &stored.payload,
        &at("1"),
    )
    .await
    .to_string();
    let redriven = dead(&deployment, &["redrive", &twice, "--json"]);
    assert_eq!(
        became(&json(&redriven)),
        ["stored"],
        "{}",
        stderr_of(&redriven)
    );
    let twice = publish(
        &deployment,
        &format!("dead.{}.persist", events_of("ada")),
        &stored.payload,
        &at("1"),
    )
    .await
    .to_string();
    let dropped = json(&dead(
        &deployment,
        &["drop", &twice, "--reason", "stored", "--yes", "--json"],
    ));
    assert_eq!(
        dropped["letters"][0]["deleted_from_events"], false,
        "{dropped}"
    );
    assert!(events_holds(&deployment, 1).await);
    assert_eq!(
        deployment
            .database
            .count("SELECT count(*) FROM batches")
            .await,
        3
    );
    assert_eq!(
        deployment
            .database
            .count("SELECT count(*) FROM events")
            .await,
        6
    );

    let copy = publish(
        &deployment,
        &format!("dead.{}.persist", events_of("ada")),
        b"the only copy",
        &at("700"),
    )
    .await
    .to_string();
    let redriven = dead(&deployment, &["redrive", &copy, "--json"]);
    assert_eq!(
        (redriven.status.code(), became(&json(&redriven))),
        (Some(1), vec!["stays"])
    );
    assert!(
        String::from_utf8_lossy(&redriven.stdout).contains("only copy"),
        "{redriven:?}"
    );
    dead_letters(&deployment, 1).await;
}

/// Contract: dead.redrive-timeout, dead.no-worker
async fn without_a_persist_worker_nothing_is_redriven_or_dropped(engine: Engine) {
    let (mut deployment, client) = running(engine).await;
    refuse(&deployment, "normalized_records", "e4").await;
    send(&client).await;
    let number = dead_letters(&deployment, 1).await[0]["sequence"].to_string();
    for name in deployment
        .names()
        .into_iter()
        .filter(|name| name != "nats" && name != "collector")
    {
        deployment.kill(&name);
    }
    for command in [
        &["redrive", number.as_str()][..],
        &["drop", &number, "--reason", "x", "--yes"],
    ] {
        let output = dead(&deployment, command);
        assert!(
            output.status.code() == Some(1)
                && stderr_of(&output).contains("no persist worker answers"),
            "{}",
            stderr_of(&output)
        );
    }
    // A worker has the question, and does not answer: it may have written the decision down.
    let nats = deployment.js().await.client();
    let silent = nats.subscribe(types::query::DEAD_DROP).await.unwrap();
    nats.flush().await.unwrap();
    let unanswered = dead(&deployment, &["drop", &number, "--reason", "x", "--yes"]);
    assert!(
        unanswered.status.code() == Some(1)
            && stderr_of(&unanswered).contains("no worker answered whether"),
        "{}",
        stderr_of(&unanswered)
    );
    drop(silent);
    dead_letters(&deployment, 1).await;
    super::repair(&deployment, "normalized_records").await;
    if engine == Engine::Postgres {
        deployment.worker("persist", "persist", None);
        let redriven = harness::until("the worker answers", async || {
            let output = dead(&deployment, &["redrive", &number, "--wait", "1s", "--json"]);
            (!stderr_of(&output).contains("no persist worker")).then_some(output)
        })
        .await;
        assert_eq!(
            (redriven.status.code(), became(&json(&redriven))),
            (Some(1), vec!["waits"])
        );
        deployment.worker("normalize", "normalize", None);
        deployment.worker("aggregate", "aggregate", None);
        deployment.worker("alert", "alert", None);
    } else {
        deployment.workers(1);
        harness::until("it is redriven", async || {
            dead(&deployment, &["redrive", &number])
                .status
                .success()
                .then_some(())
        })
        .await;
    }
    deployment.completed(3).await;
    dead_letters(&deployment, 0).await;
}

harness::on_both_stores!(
    garbage_is_dead_lettered_again_until_it_is_dropped,
    drop_keeps_what_is_stored_and_redrive_the_only_copy,
    without_a_persist_worker_nothing_is_redriven_or_dropped,
);
