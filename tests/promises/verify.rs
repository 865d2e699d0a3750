//! `devtrail verify` names each kind of damage, and gives no false alarm while Devtrail works.

mod pending_work;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use harness::{Client, Deployment, Engine, envelope, event, stderr_of};
use serde_json::{Value, json};

/// What `verify` finds, without waiting for what may be on its way.
fn findings(deployment: &Deployment) -> Vec<String> {
    let output = deployment.run("devtrail", &["verify", "--json", "--wait", "0s"]);
    let report: Value =
        serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{}", stderr_of(&output)));
    let found: Vec<String> = report["findings"]
        .as_array()
        .unwrap()
        .iter()
        .map(|text| text.as_str().unwrap().to_owned())
        .collect();
    assert_eq!(report["finding_count"], found.len());
    assert_eq!(
        output.status.code(),
        Some(i32::from(!found.is_empty())),
        "{report}"
    );
    found
}

/// Batches 1 to 5: plain, a duplicate and a conflict of it, an unknown type, garbage in DEAD, a rejected one.
async fn with_some_of_everything(engine: Engine) -> (Deployment, Client) {
    let mut deployment = Deployment::start(engine).await;
    let url = deployment.collector("collector").await;
    let client = deployment.client(&url, "ada").await;
    client
        .send(&envelope("b1", &[event("e1"), event("e2"), event("e3")]))
        .await;
    let mut conflict = event("e2");
    conflict["data"]["path"] = json!("other.rs");
    client.send(&envelope("b2", &[event("e1"), conflict])).await;
    client
        .send(&envelope(
            "b3",
            &[json!({"id": "u", "type": "coffee.drunk", "occurred_at": "2026-03-01T09:00:00Z"})],
        ))
        .await;
    deployment
        .js()
        .await
        .publish("events.batch.ada", "garbage".into())
        .await
        .unwrap()
        .await
        .unwrap();
    client
        .send(&envelope(
            "b5",
            &[json!({"id": "r", "type": "file.saved", "occurred_at": "never"})],
        ))
        .await;
    deployment.workers(1);
    deployment.completed(4).await;
    (deployment, client)
}

/// Contract: commands.verify, verify.one-place, verify.dead, verify.failed-jobs, verify.audit
/// Contract: verify.findings
async fn each_kind_of_damage_is_named(engine: Engine) {
    let (deployment, _) = with_some_of_everything(engine).await;
    let report = deployment.verify();
    let counts = [
        "messages",
        "events",
        "stored",
        "duplicates",
        "quarantined",
        "rejected",
        "dead",
        "finding_count",
    ];
    assert_eq!(
        counts.map(|name| report[name].as_u64().unwrap()),
        [5, 7, 3, 1, 2, 1, 1, 0],
        "{report}"
    );
    what_is_taken_away_is_named(&deployment).await;
    what_is_changed_is_named(&deployment, engine).await;
    assert_eq!(
        findings(&deployment),
        Vec::<String>::new(),
        "all of it is undone"
    );
    in_dead(&deployment).await;
}

/// Rows that are deleted by hand, and restored.
async fn what_is_taken_away_is_named(deployment: &Deployment) {
    for (table, rows, expected) in [
        (
            "batches",
            "seq = 1",
            &["missing: batch 1:1 (b1 of ada, 3 events) is neither stored nor in DEAD"][..],
        ),
        (
            "events",
            "event_id = 'e3'",
            &["missing: event 1:1:2 (e3) is nowhere in the store"],
        ),
        (
            "duplicates",
            "seq = 2",
            &["missing: event 1:2:0 (e1) is nowhere in the store"],
        ),
        (
            "refused",
            "seq = 3",
            &["missing: event 1:3:0 (u) is nowhere in the store"],
        ),
        (
            "audit",
            "seq = 1 AND step = 'validated'",
            &["missing: batch 1:1 is completed, and its audit has no step validated"],
        ),
        (
            "audit",
            "seq = 1 AND step = 'triggered'",
            &["missing: batch 1:1 is completed, and its audit has no step triggered"],
        ),
        (
            "audit",
            "seq = 3 AND step = 'completed'",
            &["missing: batch 1:3 is completed, and its audit has no step completed"],
        ),
        (
            "audit",
            "seq = 1 AND step = 'job_finished'",
            &[
                "missing: the aggregate job of batch 1:1 is done, and its audit has no step job_finished of it",
                "missing: the normalize job of batch 1:1 is done, and its audit has no step job_finished of it",
                "missing: the alert job of batch 1:1 is done, and its audit has no step job_finished of it",
            ],
        ),
    ] {
        deployment.database.execute(&format!(
            "CREATE TABLE kept_aside AS SELECT * FROM {table} WHERE {rows}; DELETE FROM {table} WHERE {rows}"
        ))
        .await;
        let found = findings(deployment);
        deployment
            .database
            .execute(&format!(
                "INSERT INTO {table} SELECT * FROM kept_aside; DROP TABLE kept_aside"
            ))
            .await;
        assert_eq!(found, expected, "{table}: {rows}");
    }
}

/// Rows that are changed, doubled or made up by hand.
async fn what_is_changed_is_named(deployment: &Deployment, engine: Engine) {
    let bytes = if engine == Engine::Sqlite {
        "X'7b7d'"
    } else {
        r"'\x7b7d'::bytea"
    };
    let ones = "ff".repeat(16);
    let id = if engine == Engine::Sqlite {
        format!("X'{ones}'")
    } else {
        format!("decode('{ones}', 'hex')")
    };
    let copied = format!("DELETE FROM audit WHERE id = {id}");
    let columns = "time, step, outcome, actor, src, seq, replay_id, personal_hash, hash FROM audit";
    for (damage, undo, expected) in [
        (
            format!("CREATE TABLE old AS SELECT body FROM events WHERE event_id = 'e1'; UPDATE events SET \
            body = {bytes} WHERE event_id = 'e1'"),
            "UPDATE events SET body = (SELECT body FROM old) WHERE event_id = 'e1'; DROP TABLE old",
            "different: event 1:1:0 (e1) is kept as bytes that are not those of its own hash, the message \
            says accepted",
        ),
        (
            format!("INSERT INTO audit (id, time, step, outcome, actor, src, seq, replay_id, personal_hash, \
            hash) SELECT {id}, {columns} WHERE seq = 1 AND step = 'persisted'"),
            &*copied,
            "doubled: the audit of batch 1:1 has 2 steps persisted",
        ),
        (
            "INSERT INTO refused (src, seq, ordinal, developer, verdict, code, body, hash) SELECT src, seq, \
            9, developer, verdict, code, body, hash FROM refused WHERE seq = 3".to_owned(),
            "DELETE FROM refused WHERE ordinal = 9",
            "surplus: the store holds event 1:3:9, the message has 1 events",
        ),
        (
            "UPDATE refused SET seq = 70000 WHERE seq = 5".to_owned(),
            "UPDATE refused SET seq = 5 WHERE seq = 70000",
            "surplus: the store holds batch 1:70000 (1 events), which no message holds",
        ),
    ] {
        deployment.database.execute(&damage).await;
        let found = findings(deployment);
        assert!(found.contains(&expected.to_owned()), "{damage}: {found:?}");
        deployment.database.execute(undo).await;
    }
}

/// What is in DEAD is accounted for, and missing if it is taken away.
async fn in_dead(deployment: &Deployment) {
    let dead = deployment.js().await.get_stream("DEAD").await.unwrap();
    // A job that failed must be in DEAD.
    let failed = "UPDATE batches SET state = 'failed', done = 3, failed = 4 WHERE seq = 1";
    deployment.database.execute(failed).await;
    let found = findings(deployment);
    assert!(
        found.iter().any(|text| text
            .contains("the alert job of batch 1:1 failed, and is neither in DEAD nor dropped")),
        "{found:?}"
    );
    assert!(
        found
            .iter()
            .any(|text| text.contains("failed, and its audit has no step of that")),
        "{found:?}"
    );
    let js = deployment.js().await;
    let mut headers = async_nats::HeaderMap::new();
    headers.insert("Devtrail-Msg-Id", "1:1:alert");
    js.publish_with_headers("dead.JOBS.alert", headers, "{}".into())
        .await
        .unwrap()
        .await
        .unwrap();
    assert!(
        !findings(deployment)
            .iter()
            .any(|text| text.contains("neither in DEAD"))
    );
    deployment
        .database
        .execute("UPDATE batches SET state = 'completed', done = 7, failed = 0 WHERE seq = 1")
        .await;
    // A message that is stored, and in DEAD as well.
    let mut headers = async_nats::HeaderMap::new();
    headers.insert("Devtrail-Stream-Sequence", "2");
    js.publish_with_headers("dead.EVENTS.persist", headers, "{}".into())
        .await
        .unwrap()
        .await
        .unwrap();
    let found = findings(deployment);
    assert!(
        found.contains(
            &"surplus: batch 1:2 is stored, and is in DEAD as well (sequence 3)".to_owned()
        ),
        "{found:?}"
    );
    dead.delete_message(3).await.unwrap();
    // A pointer of a replay that is dead stands for its message.
    dead.delete_message(1).await.unwrap();
    let found = findings(deployment);
    assert!(
        found
            .iter()
            .any(|text| text.starts_with("missing: message 1:4 is no batch")
                && text.ends_with("is not in DEAD")),
        "{found:?}"
    );
    let pointer =
        json!({"replay_id": null, "src": 1, "seq": 4, "targets": ["persist"], "source": "stream"});
    js.publish("dead.REPLAY.persist-replay", pointer.to_string().into())
        .await
        .unwrap()
        .await
        .unwrap();
    assert!(
        !findings(deployment)
            .iter()
            .any(|text| text.contains("message 1:4")),
        "the pointer stands for it"
    );
}

/// Contract: verify.shown, verify.beside
async fn under_load_there_is_no_false_alarm(engine: Engine) {
    let mut deployment = Deployment::start(engine).await;
    let url = deployment.collector("collector").await;
    let client = deployment.client(&url, "ada").await;
    deployment.workers(1);
    client.send(&envelope("first", &[event("first")])).await;
    deployment.completed(1).await;
    let shutdown = Arc::new(AtomicBool::new(false));
    let senders = (0..4).map(|sender| {
        let client = client.clone();
        let shutdown = shutdown.clone();
        tokio::spawn(async move {
            let mut sent = 0;
            while !shutdown.load(Ordering::Relaxed) {
                // Half of the events come twice.
                let events: Vec<_> = (0..6)
                    .map(|index| event(&format!("e{sender}-{}", sent * 3 + index)))
                    .collect();
                client
                    .send(&envelope(&format!("b{sender}-{sent}"), &events))
                    .await;
                sent += 1;
            }
            sent
        })
    });
    let senders: Vec<_> = senders.collect();
    for _ in 0..5 {
        let report = deployment.verify();
        assert_eq!(report["finding_count"], 0);
    }
    shutdown.store(true, Ordering::Relaxed);
    let sent: i64 = futures_util::future::join_all(senders)
        .await
        .into_iter()
        .map(|sent| sent.unwrap())
        .sum();
    deployment.completed(sent + 1).await;
    let report = deployment.verify();
    assert_eq!(
        (&report["messages"], &report["events"]),
        (&json!(sent + 1), &json!(sent * 6 + 1))
    );
    // More than are shown.
    let damage =
        "DELETE FROM audit WHERE step = 'received'; DELETE FROM audit WHERE step = 'validated'";
    deployment.database.execute(damage).await;
    let output = deployment.run("devtrail", &["verify", "--json"]);
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    let shown = report["findings"].as_array().unwrap().len() as i64;
    assert!(
        2 * sent + 2 > 100,
        "{sent} batches are too few to show the bound"
    );
    assert_eq!(
        (shown, &report["finding_count"]),
        (100, &json!(2 * sent + 2))
    );
    let output = deployment.run("devtrail", &["verify"]);
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert_eq!(
        text.lines()
            .filter(|line| line.starts_with("  missing"))
            .count() as i64,
        shown,
        "{text}"
    );
}

harness::on_both_stores!(
    each_kind_of_damage_is_named,
    under_load_there_is_no_false_alarm
);
