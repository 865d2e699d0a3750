//! `devtrail verify` names each kind of damage, and gives no false alarm while Devtrail works.

mod pending_work;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use harness::{Client, Deployment, Engine, envelope, event, events_of, stderr_of, until};
use serde_json::{Value, json};
use types::event_streams::StreamSequence;

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
    // The last step that was taken of a batch is told in the row of the one that completed it.
    let completing = "SELECT step FROM audit WHERE seq = 1 AND shared LIKE '%completed%'";
    let completing = deployment.database.rows(completing).await[0][0].clone();
    let no_steps = |seq: u64, steps: &[&str]| -> Vec<String> {
        let missing = |step: &&str| {
            format!("missing: batch 1:{seq} is completed, and its audit has no step {step}")
        };
        steps.iter().map(missing).collect()
    };
    let completed = |step: &str| {
        no_steps(
            1,
            if completing == step {
                &["completed"]
            } else {
                &[]
            },
        )
    };
    let no_job = ["aggregate", "normalize", "alert"].map(|kind| {
        format!("missing: the {kind} job of batch 1:1 is done, and its audit has no step job_finished of it")
    });
    let one = |finding: &str| vec![finding.to_owned()];
    let stored = [
        "received",
        "validated",
        "published",
        "persisted",
        "completed",
    ];
    for (table, rows, expected) in [
        (
            "batches",
            "seq = 1",
            one("missing: batch 1:1 (b1 of ada, 3 events) is neither stored nor in DEAD"),
        ),
        (
            "events",
            "event_id = 'e3'",
            one("missing: event 1:1:2 (e3) is nowhere in the store"),
        ),
        (
            "duplicates",
            "seq = 2",
            one("missing: event 1:2:0 (e1) is nowhere in the store"),
        ),
        (
            "refused",
            "seq = 3",
            one("missing: event 1:3:0 (u) is nowhere in the store"),
        ),
        (
            "audit",
            "seq = 1 AND step = 'persisted'",
            no_steps(1, &stored[..4]),
        ),
        (
            "audit",
            "seq = 3 AND step = 'persisted'",
            no_steps(3, &stored),
        ),
        (
            "audit",
            "seq = 1 AND step = 'triggered'",
            [no_steps(1, &["triggered"]), completed("triggered")].concat(),
        ),
        (
            "audit",
            "seq = 1 AND step = 'job_finished'",
            [completed("job_finished"), no_job.to_vec()].concat(),
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
            "surplus: the store holds event 1:3:9, the message has 1 event",
        ),
        (
            "UPDATE refused SET seq = 70000 WHERE seq = 5".to_owned(),
            "UPDATE refused SET seq = 5 WHERE seq = 70000",
            "surplus: the store holds batch 1:70000 (1 event), which no message holds",
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
    let dead_batch = format!("dead.{}.persist", events_of("ada"));
    js.publish_with_headers(dead_batch, headers, "{}".into())
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
    let (deployment, client) = Deployment::running(engine).await;
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
    let told = "SELECT count(*) FROM audit_steps WHERE id IN (SELECT id FROM audit WHERE step = 'persisted')";
    let told = deployment.database.count(told).await;
    let damage = "DELETE FROM audit WHERE step = 'persisted'";
    deployment.database.execute(damage).await;
    let output = deployment.run("devtrail", &["verify", "--json"]);
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    let shown = report["findings"].as_array().unwrap().len() as i64;
    assert!(told > 100, "{sent} batches are too few to show the bound");
    assert_eq!((shown, &report["finding_count"]), (100, &json!(told)));
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

/// Every column of an event's row that has a meaning, and one of its batch's: changed alone, it is named.
///
/// Contract: verify.columns
async fn each_changed_column_is_named(engine: Engine) {
    let mut deployment = Deployment::start(engine).await;
    let url = deployment.collector("collector").await;
    let client = deployment.client(&url, "ada").await;
    client
        .send(&envelope("b1", &[event("e1"), event("e2")]))
        .await;
    deployment.workers(1);
    deployment.completed(1).await;
    assert_eq!(findings(&deployment), Vec::<String>::new());
    for (table, column, value, expected) in [
        (
            "events",
            "developer",
            "'eve'",
            "different: event 1:1:0 has the developer \"eve\" in the store, \"ada\"",
        ),
        (
            "events",
            "event_id",
            "'e9'",
            "different: event 1:1:0 has the id \"e9\" in the store, \"e1\"",
        ),
        (
            "events",
            "type",
            "'heartbeat'",
            "different: event 1:1:0 has the type \"heartbeat\" in the store",
        ),
        (
            "events",
            "schema_version",
            "'9.9'",
            "different: event 1:1:0 has the schema version \"9.9\" in the store",
        ),
        (
            "events",
            "effective_at",
            "effective_at + 1",
            "different: event 1:1:0 has the effective time \"",
        ),
        (
            "events",
            "local_day",
            "'2020-02-02'",
            "different: event 1:1:0 has the local day \"2020-02-02\" in the store",
        ),
        (
            "batches",
            "batch_id",
            "'b9'",
            "different: batch 1:1 has the batch id b9 in the store, b1 in its message",
        ),
        (
            "batches",
            "message_id",
            "'x'",
            "different: batch 1:1 has the message id x in the store, ada:0:b1:",
        ),
    ] {
        let rows = if table == "events" {
            "seq = 1 AND ordinal = 0"
        } else {
            "seq = 1"
        };
        let damage = format!(
            "CREATE TABLE old AS SELECT {column} AS was FROM {table} WHERE {rows};
             UPDATE {table} SET {column} = {value} WHERE {rows}"
        );
        deployment.database.execute(&damage).await;
        let found = findings(&deployment);
        assert!(
            found.iter().any(|text| text.starts_with(expected)),
            "{table}.{column}: {found:?}"
        );
        let undo = format!(
            "UPDATE {table} SET {column} = (SELECT was FROM old) WHERE {rows}; DROP TABLE old"
        );
        deployment.database.execute(&undo).await;
    }
    assert_eq!(
        findings(&deployment),
        Vec::<String>::new(),
        "all of it is undone"
    );
}

/// Messages that were acknowledged, and deleted before a worker ran: the first one, one in the middle, and two in a
/// row.
/// What an administrator dropped is explained.
///
/// Contract: verify.lost, verify.checked
async fn a_message_that_vanished_before_it_was_stored_is_named(engine: Engine) {
    let mut deployment = Deployment::start(engine).await;
    let url = deployment.collector("collector").await;
    let client = deployment.client(&url, "ada").await;
    for number in 1..=9 {
        let batch = envelope(&format!("b{number}"), &[event(&format!("e{number}"))]);
        client.send(&batch).await;
    }
    let js = deployment.js().await;
    js.publish("events.batch.ada", "garbage".into())
        .await
        .unwrap()
        .await
        .unwrap();
    let events = js.get_stream(&events_of("ada")).await.unwrap();
    for seq in [1, 4, 7, 8] {
        events.delete_message(seq).await.unwrap();
    }
    deployment.workers(1);
    deployment.completed(5).await;
    until("the garbage is in DEAD", async || {
        let mut dead = js.get_stream("DEAD").await.ok()?;
        (dead.info().await.ok()?.state.messages == 1).then_some(())
    })
    .await;
    let drop = ["dead", "drop", "1", "--reason", "garbage", "--yes"];
    let dropped = deployment.run("devtrail", &drop);
    assert!(dropped.status.success(), "{}", stderr_of(&dropped));
    let stream = events_of("ada");
    let at = |seq| StreamSequence::new(&stream, seq).to_string();
    let rest = format!("{stream} does not hold, the store never had, and no administrator dropped");
    let lost = [
        format!("lost: message {}, which {rest}", at(1)),
        format!("lost: message {}, which {rest}", at(4)),
        format!("lost: messages {} to {} (2), which {rest}", at(7), at(8)),
    ];
    assert_eq!(findings(&deployment), lost);
    let report = deployment.run("devtrail", &["verify", "--json", "--wait", "0s"]);
    let report: Value = serde_json::from_slice(&report.stdout).unwrap();
    let checked = ["messages", "batches", "events", "lost"].map(|name| report[name].clone());
    assert_eq!(checked, [5, 5, 5, 4].map(Value::from), "{report}");
    // Ranges with nothing in them are no clean ones.
    for range in [
        &["--from-seq", &at(6), "--to-seq", &at(5)][..],
        &["--from-seq", &at(11)],
        &["--to-seq", &at(1)],
    ] {
        let refused = deployment.run("devtrail", &[&["verify"], range].concat());
        let why = stderr_of(&refused);
        assert_eq!(refused.status.code(), Some(2), "{range:?}: {why}");
        assert!(why.contains("Nothing would be checked"), "{why}");
        assert!(!String::from_utf8_lossy(&refused.stdout).contains("clean"));
    }
    let part = ["verify", "--from-seq", &at(5), "--to-seq", &at(6)];
    let part = deployment.run("devtrail", &part);
    let said = String::from_utf8_lossy(&part.stdout).into_owned();
    let checked = format!("checked messages {}–6 (2), batches 2, events 2", at(5));
    assert!(said.contains(&checked), "{said}");
    assert!(said.contains("verify: clean"), "{said}");
    let hole = [
        "verify",
        "--from-seq",
        &at(4),
        "--to-seq",
        &at(4),
        "--wait",
        "0s",
    ];
    assert_eq!(deployment.run("devtrail", &hole).status.code(), Some(1));
}

/// Contract: verify.checked
async fn an_empty_stream_is_not_called_clean(engine: Engine) {
    let mut deployment = Deployment::start(engine).await;
    deployment.workers(1);
    until("the tables are made", async || {
        deployment.has_tables().await.then_some(())
    })
    .await;
    let verify = deployment.run("devtrail", &["verify"]);
    let said = String::from_utf8_lossy(&verify.stdout).into_owned();
    assert_eq!(
        verify.status.code(),
        Some(0),
        "{said}{}",
        stderr_of(&verify)
    );
    assert!(
        !said.contains("clean") && said.contains("no message was checked"),
        "{said}"
    );
}

harness::on_both_stores!(
    each_kind_of_damage_is_named,
    under_load_there_is_no_false_alarm,
    each_changed_column_is_named,
    a_message_that_vanished_before_it_was_stored_is_named,
    an_empty_stream_is_not_called_clean,
);
