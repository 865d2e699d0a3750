//! Many processes at once on Postgres: no window misses an event, no deadlock surfaces (R1.2, R3.1).

use std::collections::{BTreeMap, BTreeSet};

use futures_util::{StreamExt, stream};
use harness::{Deployment, Engine, envelope, until};
use serde_json::{Value, json};

const DEVELOPERS: usize = 4;
const EVENTS: usize = 1200;
const DAYS: usize = 5;

/// A developer's events: five days, ten types of minute, edits and saves, in UTC.
fn events(developer: usize) -> Vec<Value> {
    let one = |number: usize| {
        let day = 1 + number % DAYS;
        let minute = (number * 7 + developer) % 1440;
        let at = format!(
            "2026-03-{day:02}T{:02}:{:02}:{:02}Z",
            minute / 60,
            minute % 60,
            number % 60
        );
        let kind = if number.is_multiple_of(3) {
            "file.saved"
        } else {
            "file.edited"
        };
        json!({"id": format!("e{number}"), "type": kind, "occurred_at": at,
            "data": {"path": format!("src/{}.rs", number % 10), "project": "demo"}})
    };
    (0..EVENTS).map(one).collect()
}

/// Overlapping batches: each event is sent about twice, in batches that share hours and ids.
fn batches(developer: usize) -> Vec<Value> {
    let events = events(developer);
    let window = |start: usize| {
        let part: Vec<Value> = (start..start + 40)
            .map(|at| events[at % EVENTS].clone())
            .collect();
        envelope(&format!("b{start}"), &part)
    };
    (0..EVENTS).step_by(20).map(window).collect()
}

/// Counts by (day, type), straight from what was sent.
fn oracle(developer: usize) -> BTreeMap<String, BTreeMap<String, i64>> {
    let mut seen = BTreeSet::new();
    let mut days: BTreeMap<String, BTreeMap<String, i64>> = BTreeMap::new();
    for event in events(developer) {
        let text = |name: &str| event[name].as_str().unwrap().to_owned();
        if seen.insert(text("id")) {
            let day = text("occurred_at")[..10].to_owned();
            *days
                .entry(day)
                .or_default()
                .entry(text("type"))
                .or_default() += 1;
        }
    }
    days
}

#[tokio::test(flavor = "multi_thread")]
async fn many_workers_miss_nothing_and_no_deadlock_surfaces() {
    let mut deployment = Deployment::start(Engine::Postgres).await;
    let urls = [
        deployment.collector("collector-1").await,
        deployment.collector("collector-2").await,
    ];
    let mut sends = Vec::new();
    for developer in 0..DEVELOPERS {
        let key = deployment.key(&format!("dev-{developer}"));
        for (number, batch) in batches(developer).into_iter().enumerate() {
            sends.push((harness::Client::new(&urls[number % 2], &key), batch));
        }
    }
    for (client, _) in &sends[sends.len() - 2..] {
        let known = async || (client.post(&Value::Null).await.ok()?.status() != 401).then_some(());
        until("the last key is known", known).await;
    }
    let sent = sends.len() as i64;
    for role in ["persist", "aggregate"] {
        for number in 0..4 {
            deployment.worker(&format!("{role}-{number}"), role, None);
        }
    }
    deployment.worker("normalize", "normalize", None);
    deployment.worker("alert", "alert", None);
    let sending =
        stream::iter(sends).map(|(client, batch)| async move { client.send(&batch).await });
    assert_eq!(sending.buffer_unordered(32).count().await as i64, sent);
    deployment.completed(sent).await;
    for developer in 0..DEVELOPERS {
        let sql = format!("SELECT day, body FROM days WHERE developer = 'dev-{developer}'");
        let mut days = BTreeMap::new();
        for row in deployment.database.rows(&sql).await {
            let body: Value = serde_json::from_str(&row[1]).unwrap();
            let types: BTreeMap<String, i64> =
                serde_json::from_value(body["events_by_type"].clone()).unwrap();
            days.insert(row[0].clone(), types);
        }
        assert_eq!(days, oracle(developer), "dev-{developer}");
    }
    let distinct = (DEVELOPERS * EVENTS) as i64;
    assert_eq!(
        deployment
            .database
            .count("SELECT count(*) FROM events")
            .await,
        distinct
    );
    assert_eq!(
        deployment
            .database
            .count("SELECT count(*) FROM normalized")
            .await,
        distinct
    );
    for role in ["persist", "aggregate"] {
        for number in 0..4 {
            let log = deployment.log(&format!("{role}-{number}"));
            let bad: Vec<&str> = log
                .lines()
                .filter(|line| line.contains("\"ERROR\""))
                .collect();
            assert!(
                bad.is_empty(),
                "{role}-{number} logged errors: {}",
                bad.join("\n")
            );
        }
    }
    let deadlocks = "SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()";
    assert_eq!(
        deployment.database.count(deadlocks).await,
        0,
        "locks are taken in one order"
    );
    let _ = deployment.verify();
}
