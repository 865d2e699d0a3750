//! The reply waits for the disk and for nothing else (R6.3, R6.4). Only ratios of one run are asserted.

use std::time::{Duration, Instant};

use async_nats::jetstream::{self, message::PublishMessage};
use futures_util::{StreamExt, stream};
use harness::{Client, Deployment, Engine, envelope, event};
use serde_json::Value;

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort_unstable();
    times[times.len() / 2]
}

fn p99(mut times: Vec<Duration>) -> Duration {
    times.sort_unstable();
    times[(times.len() * 99).div_ceil(100) - 1]
}

/// Batches of 50 events, none like another.
fn batch(name: &str, number: usize) -> Value {
    let events: Vec<Value> = (0..50)
        .map(|index| event(&format!("{name}-{number}-{index}")))
        .collect();
    envelope(&format!("{name}-{number}"), &events)
}

async fn timed(client: &Client, batch: &Value) -> Duration {
    let start = Instant::now();
    client.send(batch).await;
    start.elapsed()
}

/// R6.4: the workers run, or are frozen with jobs and batches piling up: replies take the same time.
async fn frozen_workers_never_slow_the_collector(engine: Engine) {
    const ROUNDS: usize = 8;
    const SENDS: usize = 15;
    let mut deployment = Deployment::start(engine).await;
    let url = deployment
        .collector_with("collector", &["--rate", "0"])
        .await;
    let client = deployment.client(&url, "ada").await;
    deployment.workers(1);
    let names: Vec<String> = match engine {
        Engine::Sqlite => vec!["all".to_owned()],
        Engine::Postgres => harness::ROLES
            .iter()
            .map(|role| format!("{role}-0"))
            .collect(),
    };
    let signal = |signal| {
        names
            .iter()
            .for_each(|name| deployment.signal(name, signal));
    };
    let mut running = Vec::new();
    let mut still = Vec::new();
    for round in 0..2 * ROUNDS {
        // In turns, each side first as often as the other.
        let stand_still = [1, 2].contains(&(round % 4));
        if stand_still {
            signal(nix::sys::signal::Signal::SIGSTOP);
        }
        for number in 0..SENDS {
            let time = timed(&client, &batch(&format!("b{round}"), number)).await;
            if stand_still {
                still.push(time);
            } else {
                running.push(time);
            }
        }
        signal(nix::sys::signal::Signal::SIGCONT);
    }
    let ratio = median(still).as_secs_f64() / median(running).as_secs_f64();
    assert!(
        ratio <= 1.1,
        "with workers standing still, replies take {ratio:.2} times as long"
    );
    deployment.completed((2 * ROUNDS * SENDS) as i64).await;
}

harness::on_both_stores!(frozen_workers_never_slow_the_collector);

/// R6.3, as a smoke test: the collector's p99 at 64 clients beside that of a raw publish of the same
/// bytes to the same kind of stream on the same server, taken in turns.
#[tokio::test(flavor = "multi_thread")]
async fn p99_of_64_clients_is_at_most_four_raw_publishes() {
    const CLIENTS: usize = 64;
    const ROUND: usize = 640;
    let mut deployment = Deployment::start(Engine::Sqlite).await;
    let url = deployment
        .collector_with("collector", &["--rate", "0"])
        .await;
    let client = deployment.client(&url, "ada").await;
    let js = deployment.js().await;
    let raw = jetstream::stream::Config {
        name: "RAW".to_owned(),
        subjects: vec!["raw.*".to_owned()],
        ..Default::default()
    };
    js.create_stream(raw).await.unwrap();
    let payload = bytes::Bytes::from(serde_json::to_vec(&batch("raw", 0)).unwrap());
    let mut published = Vec::new();
    let mut replied = Vec::new();
    for round in 0..5 {
        let publishes = stream::iter(0..ROUND).map(|number| {
            let js = js.clone();
            let payload = payload.clone();
            async move {
                let start = Instant::now();
                let message = PublishMessage::build()
                    .payload(payload)
                    .message_id(format!("{round}-{number}"));
                js.send_publish("raw.one", message)
                    .await
                    .unwrap()
                    .await
                    .unwrap();
                start.elapsed()
            }
        });
        published.push(p99(publishes.buffer_unordered(CLIENTS).collect().await));
        let batches: Vec<Value> = (0..ROUND)
            .map(|number| batch(&format!("r{round}"), number))
            .collect();
        let sends = stream::iter(batches).map(|batch| {
            let client = client.clone();
            async move { timed(&client, &batch).await }
        });
        replied.push(p99(sends.buffer_unordered(CLIENTS).collect().await));
    }
    // One fsync that stalls holds up all who are in flight, more than one in a hundred: it decides its own round alone.
    let published = median(published);
    let replied = median(replied);
    let ratio = replied.as_secs_f64() / published.as_secs_f64();
    assert!(
        ratio <= 4.0,
        "p99 of the reply {replied:?} is {ratio:.1} times that of a raw publish {published:?}"
    );
}
