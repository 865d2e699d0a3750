//! Waiting for a batch, querying its state, metrics and traces (R2.5, R7.1–R7.3).

use harness::{
    Client, Deployment, Engine, envelope, event, events_of, sequence_of, src_of, stderr_of, until,
};
use serde_json::{Value, json};

async fn running(engine: Engine) -> (Deployment, Client) {
    let mut deployment = Deployment::start(engine).await;
    let url = deployment.collector("collector").await;
    let client = deployment.client(&url, "ada").await;
    deployment.workers(2);
    (deployment, client)
}

/// Contract: reply.other-batch, wait.verdicts, wait.original
async fn a_waiting_client_is_answered_when_the_batch_is_stored(engine: Engine) {
    let (deployment, client) = running(engine).await;
    let batch = envelope("b1", &[event("e1"), event("e2")]);
    let first = client.send_waiting(&batch, 30).await;
    assert_eq!(
        (first.status, &first.body["durability"]),
        (200, &json!("stored")),
        "{}",
        first.body
    );
    assert_eq!(first.applied.as_deref(), Some("wait=30"));
    let seq = sequence_of(&first.body);
    assert_eq!(
        deployment
            .database
            .count("SELECT count(*) FROM events")
            .await,
        2,
        "stored means stored"
    );
    // Inside the window the server knows it; the counts are the first's.
    let again = client.send_waiting(&batch, 30).await;
    assert_eq!(
        (again.status, &again.body["duplicate_batch"]),
        (200, &json!(true))
    );
    assert_eq!(
        (sequence_of(&again.body), &again.body["counts"]),
        (seq, &first.body["counts"])
    );
    // Events that another batch had stored are duplicates, each with its original.
    let other = client
        .send_waiting(&envelope("b2", &[event("e2"), event("e3")]), 30)
        .await;
    assert_eq!(
        other.body["counts"],
        json!({"received": 2, "accepted": 1, "duplicate": 1, "rejected": 0, "quarantined": 0})
    );
    let original = &other.body["exceptions"][0]["original"];
    let place = json!([
        original["src"],
        original["seq"],
        original["ordinal"],
        original["batch_id"]
    ]);
    assert_eq!(place, json!([src_of("ada"), seq, 1, "b1"]), "{original}");
    assert!(
        original["received_at"]
            .as_str()
            .is_some_and(|time| time.ends_with('Z')),
        "{original}"
    );
    // The id taken by other content: quarantined.
    let mut changed = event("e1");
    changed["data"]["path"] = json!("other.rs");
    let conflict = client.send_waiting(&envelope("b3", &[changed]), 30).await;
    assert_eq!(conflict.body["counts"]["quarantined"], 1);
    assert_eq!(conflict.body["exceptions"][0]["code"], "id_conflict");
}

/// Contract: wait.resend
async fn a_late_resend_is_a_duplicate_batch_for_a_waiting_client(engine: Engine) {
    let (deployment, client) = running(engine).await;
    deployment
        .streams()
        .await
        .forget_message_ids(&events_of("ada"))
        .await;
    let batch = envelope("b1", &[event("e1"), event("e2")]);
    let first = client.send_waiting(&batch, 30).await.body;
    until("the window has passed", async || {
        let again = client.send(&batch).await;
        (again["duplicate_batch"] == false).then_some(())
    })
    .await;
    let again = client.send_waiting(&batch, 30).await.body;
    assert_eq!(again["duplicate_batch"], true, "{again}");
    assert_eq!(
        (&again["stream_sequence"], &again["counts"]),
        (&first["stream_sequence"], &first["counts"])
    );
}

/// Contract: stored.own-data, batches.unknown
async fn a_batch_can_be_queried(engine: Engine) {
    let (deployment, client) = running(engine).await;
    let unknown = until("a worker answers", async || {
        let answer = client.get_with_key("/v1/batches/b1").await;
        (answer.status() != 503).then_some(answer)
    })
    .await;
    assert_eq!(unknown.status(), 404);
    let problem: Value = unknown.json().await.unwrap();
    assert_eq!(
        (&problem["code"], &problem["retryable"]),
        (&json!("batch_unknown"), &json!(true))
    );
    client.send(&envelope("b1", &[event("e1")])).await;
    client.send(&envelope("b1", &[event("e2")])).await;
    deployment.completed(2).await;
    let answer: Value = client
        .get_with_key("/v1/batches/b1")
        .await
        .json()
        .await
        .unwrap();
    assert_eq!(
        (&answer["state"], sequence_of(&answer)),
        (&json!("completed"), 2),
        "{answer}"
    );
    assert_eq!(answer["submissions"].as_array().unwrap().len(), 2);
    let other = Client::new(client.url(), &deployment.key("bob"));
    let known = async || (other.get_with_key("/v1/batches/b1").await.status() != 401).then_some(());
    until("bob's key is known", known).await;
    assert_eq!(
        other.get_with_key("/v1/batches/b1").await.status(),
        404,
        "another developer's batch"
    );
}

/// Contract: commands.metrics
async fn metrics_are_the_developers_own(engine: Engine) {
    let (deployment, client) = running(engine).await;
    client
        .send(&envelope("b1", &[event("e1"), event("e2")]))
        .await;
    deployment.completed(1).await;
    let path = "/v1/metrics/daily?from=2026-02-28&to=2026-03-02";
    let answer: Value = client.get_with_key(path).await.json().await.unwrap();
    let days = answer["days"].as_array().unwrap();
    assert_eq!(
        (days.len(), &days[0]["day"], &days[0]["saves"]),
        (1, &json!("2026-03-01"), &json!(2)),
        "{answer}"
    );
    let shown = deployment.run(
        "devtrail",
        &[
            "metrics",
            "show",
            "ada",
            "--json",
            "--from",
            "2026-03-01",
            "--to",
            "2026-03-01",
        ],
    );
    assert!(
        shown.status.success() && String::from_utf8_lossy(&shown.stdout).contains("\"saves\": 2"),
        "{}",
        stderr_of(&shown)
    );
}

/// Contract: wait.ran-out, stored.unavailable, errors.store_unavailable
async fn without_a_worker_queries_are_503_and_a_wait_ends_with_202(engine: Engine) {
    let mut deployment = Deployment::start(engine).await;
    let url = deployment.collector("collector").await;
    let client = deployment.client(&url, "ada").await;
    let waited = client
        .send_waiting(&envelope("b1", &[event("e1")]), 1)
        .await;
    assert_eq!(
        (waited.status, &waited.body["durability"]),
        (202, &json!("stream"))
    );
    for path in ["/v1/batches/b1", "/v1/metrics/daily"] {
        let refused = client.get_with_key(path).await;
        assert_eq!(
            (
                refused.status().as_u16(),
                refused.headers().contains_key("retry-after")
            ),
            (503, true)
        );
        assert_eq!(
            refused.json::<Value>().await.unwrap()["code"],
            "store_unavailable",
            "{path}"
        );
    }
}

/// Contract: commands.trace
async fn a_trace_shows_every_step_and_a_dropped_resend(engine: Engine) {
    let (deployment, client) = running(engine).await;
    let batch = envelope("b1", &[event("e1")]);
    client.send(&batch).await;
    deployment.completed(1).await;
    client.send(&batch).await; // the server drops it; a note tells the audit
    let noted = "SELECT count(*) FROM audit WHERE outcome = 'duplicate_batch'";
    until("the resend is written down", async || {
        (deployment.database.count(noted).await == 1).then_some(())
    })
    .await;
    client.send(&envelope("b2", &[event("e1")])).await;
    deployment.completed(2).await;
    let traced = deployment.run("devtrail", &["trace", "e1"]);
    let text = String::from_utf8_lossy(&traced.stdout).into_owned();
    assert!(traced.status.success(), "{}", stderr_of(&traced));
    for step in [
        "received",
        "validated",
        "published",
        "persisted",
        "triggered",
        "completed",
    ] {
        assert!(text.contains(step), "{step} is not in\n{text}");
    }
    for named in [
        "1:1:aggregate",
        "1:1:normalize",
        "1:1:alert",
        "jobs.alert.live.ada",
        "b2",
    ] {
        assert!(text.contains(named), "{named} is not in\n{text}");
    }
    assert!(
        !deployment
            .run("devtrail", &["trace", "nothing-of-that-name"])
            .status
            .success()
    );
}

/// Contract: commands.status
async fn status_shows_lag_workers_and_states(engine: Engine) {
    let (deployment, client) = running(engine).await;
    client.send(&envelope("b1", &[event("e1")])).await;
    deployment.completed(1).await;
    let expected = if engine == Engine::Sqlite { 1 } else { 8 };
    let alive = async || {
        let status = deployment.run("devtrail", &["status", "--json"]);
        let status: Value = serde_json::from_slice(&status.stdout).ok()?;
        (status["workers"].as_array()?.len() == expected).then_some(status)
    };
    let status = until("every worker is registered", alive).await;
    assert_eq!(status["store"]["batches"]["completed"], 1, "{status}");
    let collectors = status["collectors"].as_array().unwrap();
    assert_eq!(
        (collectors.len(), &collectors[0]["role"]),
        (1, &Value::from("collector")),
        "{status}"
    );
    let names: Vec<&str> = status["consumers"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| one["name"].as_str().unwrap())
        .collect();
    for name in ["EVENTS/persist", "JOBS/aggregate", "JOBS/normalize-replay"] {
        assert!(names.contains(&name), "{names:?}");
    }
}

harness::on_both_stores!(
    a_waiting_client_is_answered_when_the_batch_is_stored,
    a_late_resend_is_a_duplicate_batch_for_a_waiting_client,
    a_batch_can_be_queried,
    metrics_are_the_developers_own,
    without_a_worker_queries_are_503_and_a_wait_ends_with_202,
    a_trace_shows_every_step_and_a_dropped_resend,
    status_shows_lag_workers_and_states,
);
