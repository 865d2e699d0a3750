//! Completed raw messages are purged to free space; nothing else fills the stream.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use harness::{Client, Deployment, Engine, envelope, event, events_of, stderr_of, until};
use runtime::retry::RetryPolicy;
use serde_json::{Value, json};
use types::event_streams::StreamSequence;

/// Room of the stream: about 80 of the batches below.
const MAX_BYTES: i64 = 16 * 1024 * 1024;
/// Batches of the flood: three times what the stream has room for.
const FLOOD: u64 = 260;

/// A batch of about 200 kB.
fn large(number: u64) -> Value {
    let mut event = event(&format!("e{number}"));
    event["data"]["padding"] = json!("x".repeat(200_000));
    envelope(&format!("b{number}"), &[event])
}

async fn with_little_room(engine: Engine, arguments: &[&str]) -> (Deployment, Client) {
    let mut deployment = Deployment::start(engine).await;
    let streams = deployment.streams().await;
    streams
        .edit(&events_of("ada"), |config| config.max_bytes = MAX_BYTES)
        .await;
    let url = deployment.collector_with("collector", arguments).await;
    let client = deployment.client(&url, "ada").await;
    (deployment, client)
}

async fn first_sequence(deployment: &Deployment) -> u64 {
    deployment
        .js()
        .await
        .get_stream(&events_of("ada"))
        .await
        .unwrap()
        .cached_info()
        .state
        .first_sequence
}

/// Four clients at once, each waiting until its batch is stored, and sending again what was refused: jobs
/// may lag behind for a while, a batch is never refused indefinitely.
async fn flood(client: &Client, to: u64) {
    let next = Arc::new(AtomicU64::new(0));
    let senders = (0..4).map(|_| {
        let client = client.clone();
        let next = next.clone();
        tokio::spawn(async move {
            loop {
                let number = next.fetch_add(1, Ordering::Relaxed);
                if number >= to {
                    return;
                }
                for attempt in 0.. {
                    let reply = client.send_waiting(&large(number), 30).await;
                    if reply.status < 300 {
                        break;
                    }
                    assert_eq!(reply.body["code"], "stream_full", "{reply:?}");
                    assert!(attempt < 60, "refused indefinitely: {reply:?}");
                    RetryPolicy::DEFAULT.pause(attempt).await;
                }
            }
        })
    });
    for sender in futures_util::future::join_all(senders).await {
        sender.unwrap();
    }
}

/// Contract: limits.stream-space, verify.stored-below
async fn a_flood_is_taken_whole_while_workers_complete_it(engine: Engine) {
    let (mut deployment, client) = with_little_room(engine, &[]).await;
    deployment.workers(1);
    flood(&client, FLOOD).await;
    deployment.completed(FLOOD as i64).await;
    let first = first_sequence(&deployment).await;
    assert!(first > 100, "purged to {first} only");
    let report = deployment.verify();
    assert_eq!(
        (&report["first_sequence"], &report["stored_below"]),
        (&json!(first), &json!(first - 1)),
        "{report}"
    );
    // Nothing is lost with the raw messages.
    assert_eq!(
        deployment
            .database
            .count("SELECT count(*) FROM events")
            .await,
        FLOOD as i64
    );
}

/// Contract: limits.stream-full
async fn workers_free_the_space_of_a_full_stream(engine: Engine) {
    let (mut deployment, client) = with_little_room(engine, &[]).await;
    let mut sent = 0;
    let mut full = Value::Null;
    while full.is_null() && sent < FLOOD {
        let reply = client.post(&large(sent)).await.unwrap();
        match reply.status().as_u16() {
            202 => sent += 1,
            503 => full = reply.json().await.unwrap(),
            other => panic!("{other}"),
        }
    }
    assert_eq!(full["code"], "stream_full", "after {sent} batches: {full}");
    assert_eq!(
        first_sequence(&deployment).await,
        1,
        "nothing is purged that is not stored"
    );
    deployment.workers(1);
    until("there is room again", async || {
        (client.post(&large(sent)).await.ok()?.status() == 202).then_some(())
    })
    .await;
    deployment.completed(sent as i64 + 1).await;
    until("the stream is purged", async || {
        (first_sequence(&deployment).await > 1).then_some(())
    })
    .await;
    let _ = deployment.verify();
}

/// What it waits for is reported, with what to do.
async fn a_full_stream_that_cannot_be_purged_names_what_blocks_it(engine: Engine) {
    let (mut deployment, client) = with_little_room(engine, &[]).await;
    let js = deployment.js().await;
    js.publish("events.batch.ada", "garbage".into())
        .await
        .unwrap()
        .await
        .unwrap();
    let mut sent = 0;
    while client.post(&large(sent)).await.unwrap().status() == 202 {
        sent += 1;
    }
    deployment.workers(1);
    let first = StreamSequence::new(events_of("ada"), 1);
    let blocked = format!("nothing can be purged: message {first} is not stored");
    let stderr_of = async || {
        let log = deployment.logs();
        let line = log.lines().find(|line| line.contains(&blocked))?;
        Some(line.contains("devtrail dead list"))
    };
    assert!(
        until("it says what it hangs on", stderr_of).await,
        "with the remedy"
    );
}

/// Of ten batches, the second without its message, the fourth dead: what came after it stays.
async fn what_is_not_stored_stays_with_all_that_came_after_it(engine: Engine) {
    let mut deployment = Deployment::start(engine).await;
    let url = deployment.collector("collector").await;
    let client = deployment.client(&url, "ada").await;
    let js = deployment.js().await;
    for number in 1..=10 {
        if number == 4 {
            js.publish("events.batch.ada", "garbage".into())
                .await
                .unwrap()
                .await
                .unwrap();
        } else {
            client
                .send(&envelope(
                    &format!("b{number}"),
                    &[event(&format!("e{number}"))],
                ))
                .await;
        }
    }
    deployment.workers(1);
    deployment.completed(9).await;
    let stream = js.get_stream(&events_of("ada")).await.unwrap();
    // An administrator's deletion is no gap.
    stream.delete_message(2).await.unwrap();
    assert_eq!(
        first_sequence(&deployment).await,
        1,
        "without a setting, and with room, nothing goes"
    );
    // The same workers again, which keep nothing that is done with.
    for name in deployment
        .names()
        .into_iter()
        .filter(|name| name != "nats" && name != "collector")
    {
        deployment.stop(&name).await;
    }
    let role = deployment.role("persist").to_owned();
    deployment.worker_with("purging", &role, &[("DEVTRAIL_RAW_RETENTION", "0s")]);
    until("the stream is purged", async || {
        (first_sequence(&deployment).await > 1).then_some(())
    })
    .await;
    assert_eq!(
        first_sequence(&deployment).await,
        4,
        "{}",
        deployment.logs()
    );
    // The server has purged before the worker has logged it.
    until("the purge is logged with its bound", async || {
        let log = deployment.log("purging");
        let purged = format!("purged {}", events_of("ada"));
        (log.contains(&purged) && log.contains("\"below\":4")).then_some(())
    })
    .await;
    // The dead one is dropped: it is a gap no more.
    stream.delete_message(4).await.unwrap();
    until("the rest is purged", async || {
        (first_sequence(&deployment).await == 11).then_some(())
    })
    .await;
    let again = deployment.run("devtrail", &["verify", "--json"]);
    assert!(
        again.status.success(),
        "{}{}",
        String::from_utf8_lossy(&again.stdout),
        stderr_of(&again)
    );
}

harness::on_both_stores!(
    a_flood_is_taken_whole_while_workers_complete_it,
    workers_free_the_space_of_a_full_stream,
    a_full_stream_that_cannot_be_purged_names_what_blocks_it,
    what_is_not_stored_stays_with_all_that_came_after_it,
);
