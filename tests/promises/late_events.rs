//! Events that come days or months late count in the past, and change nothing else (R1.3).

use async_nats::jetstream::consumer::{AckPolicy, pull};
use futures_util::StreamExt;
use harness::{Deployment, Engine, envelope, events_of};
use serde_json::{Value, json};

fn edit(id: &str, day: &str) -> Value {
    json!({"id": id, "type": "file.edited", "occurred_at": format!("{day}T12:00:00Z"), "data": {"path": "a.rs"}})
}

fn push(id: &str, at: &str, force: bool) -> Value {
    json!({"id": id, "type": "git.push", "occurred_at": at, "data": {"branch": "topic", "force": force}})
}

async fn derived(deployment: &Deployment) -> Vec<Vec<String>> {
    let windows = "SELECT 'day', day, computed_gen, body FROM days
        UNION ALL SELECT 'hour', CAST(hour AS TEXT), computed_gen, body FROM partials
        WHERE kind = 'aggregate' ORDER BY 1, 2";
    deployment.database.rows(windows).await
}

async fn late_events_change_only_the_windows_they_touch(engine: Engine) {
    let (deployment, client) = Deployment::running(engine).await;
    for (number, day) in ["2026-03-10", "2026-03-20", "2026-03-05"]
        .iter()
        .enumerate()
    {
        client
            .send(&envelope(
                &format!("b{number}"),
                &[edit(&format!("e{number}"), day)],
            ))
            .await;
    }
    deployment.completed(3).await;
    let before = derived(&deployment).await;
    // A client that was offline since autumn.
    client
        .send(&envelope(
            "late",
            &[edit("late-1", "2025-10-01"), edit("late-2", "2026-03-10")],
        ))
        .await;
    deployment.completed(4).await;
    let after = derived(&deployment).await;
    let changed: Vec<&Vec<String>> = after.iter().filter(|row| !before.contains(row)).collect();
    let names: Vec<(&str, bool)> = changed
        .iter()
        .map(|row| {
            (
                row[1].as_str(),
                before.iter().any(|old| old[..2] == row[..2]),
            )
        })
        .collect();
    let hour = |day: &str| {
        let noon = format!("{day}T12:00:00Z")
            .parse::<jiff::Timestamp>()
            .unwrap();
        (noon.as_second() / 3600).to_string()
    };
    let old = hour("2026-03-10");
    let new = hour("2025-10-01");
    let mut expected = [
        ("2025-10-01", false),
        ("2026-03-10", true),
        (&new, false),
        (&old, true),
    ];
    expected.sort_unstable();
    let mut names = names;
    names.sort_unstable();
    assert_eq!(
        names, expected,
        "a day and an hour are new, a day and an hour changed, all else is as it was"
    );
}

/// Alerts on their way to the developer, in order: (state, revision, push).
async fn delivered(deployment: &Deployment, count: usize) -> Vec<(String, i64, bool)> {
    let stream = deployment.js().await.get_stream("ALERTS").await.unwrap();
    let config = pull::Config {
        ack_policy: AckPolicy::None,
        ..Default::default()
    };
    let consumer = stream.create_consumer(config).await.unwrap();
    let messages = consumer.stream().messages().await.unwrap().take(count);
    let read = messages.map(|message| {
        let body: Value = serde_json::from_slice(&message.unwrap().payload).unwrap();
        let text = |name: &str| body[name].as_str().unwrap().to_owned();
        (
            text("state"),
            body["revision"].as_i64().unwrap(),
            body["push"].as_bool().unwrap(),
        )
    });
    tokio::time::timeout(std::time::Duration::from_secs(60), read.collect())
        .await
        .expect("in time")
}

async fn an_old_alert_is_recorded_but_only_todays_is_pushed(engine: Engine) {
    let (deployment, client) = Deployment::running(engine).await;
    client
        .send(&envelope(
            "old",
            &[push("p1", "2026-03-01T10:00:00Z", true)],
        ))
        .await;
    deployment.completed(1).await;
    assert_eq!(
        delivered(&deployment, 1).await,
        [("raised".to_owned(), 0, false)]
    );
    let now = jiff::Timestamp::now().to_string();
    client
        .send(&envelope("new", &[push("p2", &now, true)]))
        .await;
    deployment.completed(2).await;
    assert_eq!(
        delivered(&deployment, 2).await[1],
        ("raised".to_owned(), 0, true)
    );
}

/// Two batches with one id and other content: the worker sees the later one first, as after a
/// redelivery. The earlier one then takes the id, and the alert that stood on the other falls.
async fn an_alert_that_late_data_disproves_is_retracted(engine: Engine) {
    let mut deployment = Deployment::start(engine).await;
    let url = deployment.collector("collector").await;
    let client = deployment.client(&url, "ada").await;
    let now = jiff::Timestamp::now().to_string();
    client
        .send(&envelope("first", &[push("p1", &now, false)]))
        .await;
    client
        .send(&envelope("second", &[push("p1", &now, true)]))
        .await;
    let first = deployment
        .streams()
        .await
        .hold_back(&events_of("ada"), "persist", 1)
        .await;
    deployment.workers(1);
    deployment.completed(1).await;
    let raised = "SELECT count(*) FROM alerts WHERE state = 'raised'";
    assert_eq!(deployment.database.count(raised).await, 1);
    first
        .ack_with(async_nats::jetstream::AckKind::Nak(None))
        .await
        .unwrap();
    deployment.completed(2).await;
    assert_eq!(deployment.database.count(raised).await, 0);
    assert_eq!(
        delivered(&deployment, 2).await,
        [
            ("raised".to_owned(), 0, true),
            ("retracted".to_owned(), 1, true)
        ]
    );
    assert_eq!(
        deployment
            .database
            .count("SELECT count(*) FROM refused WHERE code = 'id_conflict'")
            .await,
        1
    );
    let _ = deployment.verify();
}

harness::on_both_stores!(
    late_events_change_only_the_windows_they_touch,
    an_old_alert_is_recorded_but_only_todays_is_pushed,
    an_alert_that_late_data_disproves_is_retracted,
);
