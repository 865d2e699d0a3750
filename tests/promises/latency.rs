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

/// As many as the criterion has: R6.3 and R6.4 are asserted with so many clients at once.
const CLIENTS: usize = 64;

/// A batch of so many events, none like another.
fn batch(name: &str, number: usize, events: usize) -> Value {
    let events: Vec<Value> = (0..events)
        .map(|index| event(&format!("{name}-{number}-{index}")))
        .collect();
    envelope(&format!("{name}-{number}"), &events)
}

/// Sends the batches, [`CLIENTS`] at a time; gives how long each reply took.
async fn timed(client: &Client, batches: Vec<Value>) -> Vec<Duration> {
    let sends = batches.into_iter().map(|batch| {
        let client = client.clone();
        async move {
            let start = Instant::now();
            client.send(&batch).await;
            start.elapsed()
        }
    });
    stream::iter(sends)
        .buffer_unordered(CLIENTS)
        .collect()
        .await
}

/// R6.4: the workers run, or are frozen with jobs and batches piling up: replies take the same time.
async fn frozen_workers_never_slow_the_collector(engine: Engine) {
    const ROUNDS: usize = 8;
    const SENDS: usize = 2 * CLIENTS;
    // Few: they are worked off at the end, by a debug build.
    const EVENTS: usize = 4;
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
        let batches = (0..SENDS).map(|number| batch(&format!("b{round}"), number, EVENTS));
        let times = timed(&client, batches.collect()).await;
        if stand_still {
            still.extend(times);
        } else {
            running.extend(times);
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

/// R6.3, as a smoke test: the collector's p99 at 64 clients beside that of a raw publish of the same
/// bytes to the same kind of stream on the same server, taken in turns while the workers do their work.
async fn p99_of_64_clients_is_at_most_four_raw_publishes(engine: Engine) {
    const ROUND: usize = 6 * CLIENTS;
    const EVENTS: usize = 50;
    let mut deployment = Deployment::start(engine).await;
    let url = deployment
        .collector_with("collector", &["--rate", "0"])
        .await;
    let client = deployment.client(&url, "ada").await;
    deployment.workers(1);
    // There is a backlog from the first round on.
    let before = (0..ROUND).map(|number| batch("before", number, EVENTS));
    timed(&client, before.collect()).await;
    let js = deployment.js().await;
    let raw = jetstream::stream::Config {
        name: "RAW".to_owned(),
        subjects: vec!["raw.*".to_owned()],
        ..Default::default()
    };
    js.create_stream(raw).await.unwrap();
    let payload = bytes::Bytes::from(serde_json::to_vec(&batch("raw", 0, EVENTS)).unwrap());
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
        let batches = (0..ROUND).map(|number| batch(&format!("r{round}"), number, EVENTS));
        replied.push(p99(timed(&client, batches.collect()).await));
    }
    let left = "SELECT count(*) FROM batches WHERE state = 'completed'";
    let sent = (6 * ROUND) as i64;
    assert!(
        deployment.database.count(left).await < sent,
        "the workers were done before the clients: they were not measured beside any work"
    );
    // One fsync that stalls holds up all who are in flight, more than one in a hundred: it decides its own round alone.
    let published = median(published);
    let replied = median(replied);
    let ratio = replied.as_secs_f64() / published.as_secs_f64();
    assert!(
        ratio <= 4.0,
        "p99 of the reply {replied:?} is {ratio:.1} times that of a raw publish {published:?}"
    );
}

harness::on_both_stores!(
    frozen_workers_never_slow_the_collector,
    p99_of_64_clients_is_at_most_four_raw_publishes,
);
