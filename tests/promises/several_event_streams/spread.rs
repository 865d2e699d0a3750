//! Developers in several streams: each event is stored once, and what fails in one stream is told apart from the
//! others.

use std::collections::BTreeMap;

use futures_util::future::join_all;
use harness::{Client, Deployment, Engine, envelope, event, stderr_of, until, written_sequence};
use serde_json::{Value, json};
use types::event_streams::{EventStream, StreamSequence};

use super::three;

/// Each stream has some of them: eve and jon the first, ada and cy the second, bob and dan the third.
const DEVELOPERS: [&str; 6] = ["eve", "jon", "ada", "cy", "bob", "dan"];
/// Batches of each developer before and after the faults.
const BATCHES: usize = 15;

fn stream_of(developer: &str) -> EventStream {
    three().of(&developer.parse().unwrap())
}

/// A developer who sends.
struct Sender {
    developer: &'static str,
    client: Client,
}

impl Sender {
    /// Sends the batch until it is acknowledged.
    async fn send(&self, batch_id: String) -> Acknowledged {
        let batch = envelope(&batch_id, &[event(&batch_id)]);
        let reply = until("the batch is acknowledged", async || {
            let reply = self.client.post(&batch).await.ok()?;
            reply.error_for_status().ok()?.json::<Value>().await.ok()
        });
        Acknowledged {
            developer: self.developer,
            at: written_sequence(&reply.await),
        }
    }
}

/// A batch that was acknowledged.
struct Acknowledged {
    developer: &'static str,
    at: StreamSequence,
}

/// Every developer sends batches, all at once.
async fn send(senders: &[Sender], round: &str) -> Vec<Acknowledged> {
    let batches = (0..BATCHES).map(|number| format!("{round}-{number}"));
    let batches: Vec<String> = batches.collect();
    let sending = senders
        .iter()
        .flat_map(|sender| batches.iter().map(|batch| sender.send(batch.clone())));
    join_all(sending).await
}

/// Workers and nats-server are killed while all developers send.
///
/// Contract: nats.partition, nats.stream-sequence, verify.streams
async fn each_event_is_stored_once_whatever_is_killed(engine: Engine) {
    let mut deployment = Deployment::with_event_streams(engine, three()).await;
    deployment.streams().await.shorten_ack_wait().await;
    let url = deployment.collector("collector").await;
    deployment.workers(2);
    let mut senders = Vec::new();
    for developer in DEVELOPERS {
        let client = deployment.client(&url, developer).await;
        senders.push(Sender { developer, client });
    }
    let mut sent = send(&senders, "before").await;
    for name in deployment.names() {
        if name == "all" || name == "persist-0" {
            deployment.kill(&name);
        }
    }
    let others = send(&senders, "during");
    let faults = async {
        deployment.kill("nats");
        deployment.nats_again();
    };
    let (others, ()) = tokio::join!(others, faults);
    sent.extend(others);
    let role = deployment.role("persist").to_owned();
    deployment.worker("lives", &role, None);

    let batches = DEVELOPERS.len() * BATCHES * 2;
    assert_eq!(sent.len(), batches);
    for Acknowledged { developer, at } in &sent {
        assert_eq!(at.stream, stream_of(developer).to_string(), "{developer}");
    }
    let database = &deployment.database;
    until("every batch is stored and completed", async || {
        let ids = "SELECT count(DISTINCT developer || ' ' || batch_id) FROM batches WHERE state = 'completed'";
        (deployment.has_tables().await && database.count(ids).await == batches as i64).then_some(())
    })
    .await;
    let count = async |sql: &str| database.count(sql).await;
    assert_eq!(count("SELECT count(*) FROM events").await, batches as i64);
    let report = deployment.verify();
    assert_eq!(report["stored"], batches, "{report}");
    assert_eq!(report["streams"].as_array().unwrap().len(), 3, "{report}");
    // Every stream has its own developers, and no other.
    let rows =
        "SELECT DISTINCT b.developer, s.stream FROM batches b JOIN sources s ON s.src = b.src";
    let rows = database.rows(rows).await;
    assert_eq!(rows.len(), DEVELOPERS.len(), "{rows:?}");
    for row in rows {
        assert_eq!(row[1], stream_of(&row[0]).to_string());
    }
    is_shown_by_its_stream(&deployment, &url, &sent[0].at).await;
}

/// Status, metrics and trace name the streams.
async fn is_shown_by_its_stream(deployment: &Deployment, url: &str, at: &StreamSequence) {
    let status = deployment.run("devtrail", &["status", "--json"]);
    let status: Value = serde_json::from_slice(&status.stdout).unwrap();
    let named = |list: &str| {
        let names = status[list].as_array().unwrap().iter();
        let names = names.map(|one| one["name"].as_str().unwrap());
        names.filter(|name| name.starts_with("EVENTS")).count()
    };
    assert_eq!((named("streams"), named("consumers")), (3, 3), "{status}");
    let breakers = status["collectors"][0]["breakers"].as_array().unwrap();
    assert_eq!(breakers.len(), 3, "each stream has a breaker: {breakers:?}");
    let metrics = reqwest::get(format!("{url}/metrics")).await.unwrap();
    let metrics = metrics.text().await.unwrap();
    for stream in three().all() {
        let series = format!("devtrail_stream_messages{{stream=\"{stream}\"}} ");
        let value = metrics.lines().find_map(|line| line.strip_prefix(&series));
        let value: f64 = value
            .unwrap_or_else(|| panic!("{metrics}"))
            .parse()
            .unwrap();
        assert!(value >= (BATCHES * 4) as f64, "{stream} has {value}");
    }
    assert!(!metrics.contains("stream=\"EVENTS\""), "{metrics}");
    let traced = deployment.run("devtrail", &["trace", &format!("seq:{at}"), "--json"]);
    let traced: Value = serde_json::from_slice(&traced.stdout).unwrap();
    assert_eq!(traced.as_array().unwrap().len(), 1, "{traced}");
    assert_eq!(traced[0]["stream_sequence"], at.to_string());
}

/// The messages of three streams have one sequence: each of their dead letters is its own stream's.
async fn dead_letters_of_three_streams_are_told_apart(engine: Engine) {
    let mut deployment = Deployment::with_event_streams(engine, three()).await;
    let js = deployment.js().await;
    for developer in ["eve", "ada", "bob"] {
        let publish = js.publish(format!("events.batch.{developer}"), "garbage".into());
        assert_eq!(publish.await.unwrap().await.unwrap().sequence, 1);
    }
    let url = deployment.collector("collector").await;
    for developer in ["eve", "ada", "bob"] {
        let client = deployment.client(&url, developer).await;
        client.send(&envelope("b1", &[event("e1")])).await;
    }
    deployment.workers(1);
    deployment.completed(3).await;
    let listed = async |count: usize| {
        until(&format!("DEAD has {count} letters"), async || {
            let list = ["dead", "list", "--stream", "EVENTS", "--json"];
            let output = deployment.run("devtrail", &list);
            let letters: Vec<Value> = serde_json::from_slice(&output.stdout).ok()?;
            (letters.len() == count).then_some(letters)
        })
        .await
    };
    let letters = listed(3).await;
    let mut by_developer = BTreeMap::new();
    for letter in &letters {
        let developer = letter["developer"].as_str().unwrap();
        assert_eq!(letter["stream"], stream_of(developer).to_string());
        by_developer.insert(developer, letter["sequence"].to_string());
    }
    assert_eq!(deployment.verify()["dead"], 3);
    // One is dropped, and its message with it; those of the same sequence in the other streams stay.
    let drop = [
        "dead",
        "drop",
        &by_developer["ada"],
        "--reason",
        "garbage",
        "--yes",
    ];
    let dropped = deployment.run("devtrail", &drop);
    assert!(dropped.status.success(), "{}", stderr_of(&dropped));
    for (developer, messages) in [("eve", 2), ("ada", 1), ("bob", 2)] {
        let stream = stream_of(developer).to_string();
        let held = deployment.streams().await.messages(&stream).await;
        assert_eq!(held, messages, "{developer}");
    }
    listed(2).await;
    // Another is redriven: it is read from its own stream, and is dead again.
    let redrive = ["dead", "redrive", &by_developer["bob"], "--json"];
    let redriven = deployment.run("devtrail", &redrive);
    let report: Value = serde_json::from_slice(&redriven.stdout).unwrap();
    assert_eq!(report["letters"][0]["became"], "gave_up_again", "{report}");
    let again = deployment.run(
        "devtrail",
        &["dead", "list", "--stream", "REPLAY", "--json"],
    );
    let again: Vec<Value> = serde_json::from_slice(&again.stdout).unwrap();
    assert_eq!(again[0]["developer"], "bob", "{again:?}");
    let report = deployment.verify();
    assert_eq!((&report["dead"], &report["stored"]), (&json!(2), &json!(3)));
}

/// One stream is full; developers of the others go on.
async fn a_full_stream_refuses_only_its_own_developers(engine: Engine) {
    let mut deployment = Deployment::with_event_streams(engine, three()).await;
    let url = deployment.collector("collector").await;
    let ada = deployment.client(&url, "ada").await;
    let eve = deployment.client(&url, "eve").await;
    let streams = deployment.streams().await;
    let full = stream_of("ada").to_string();
    streams.edit(&full, |config| config.max_bytes = 1).await;
    let refused = ada.post(&envelope("b1", &[event("e1")])).await.unwrap();
    assert_eq!(refused.status(), 503);
    let problem: Value = refused.json().await.unwrap();
    assert_eq!(problem["code"], "stream_full", "{problem}");
    let taken = eve.send(&envelope("b1", &[event("e1")])).await;
    assert_eq!(taken["stream_sequence"], "EVENTS-0-of-3:1");
}

harness::on_both_stores!(
    each_event_is_stored_once_whatever_is_killed,
    dead_letters_of_three_streams_are_told_apart,
    a_full_stream_refuses_only_its_own_developers,
);
