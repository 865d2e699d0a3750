//! From the first byte sent to visible in the store, through every process, jobs and all.

use std::time::{Duration, Instant};

use anyhow::ensure;
use harness::{Client, Deployment, Engine};
use tokio::task::JoinSet;

use crate::input::{DEVELOPERS, EVENTS, body};
use crate::raw::closed_loop;
use crate::report::{BenchTable, Measured, millis, percentile};

/// Clients that wait until stored, to find how much the whole pipe takes.
const CLIENTS: usize = 32;
const ROUND: Duration = Duration::from_secs(5);

/// The row: p50 and p99 at half of the load that the whole pipe takes.
///
/// # Errors
/// The failure of a process.
pub async fn to_stored(report: &mut BenchTable, engine: Engine) -> anyhow::Result<()> {
    let mut deployment = Deployment::start(engine).await;
    let url = deployment
        .collector_with("collector", &["--rate", "0"])
        .await;
    let mut clients = Vec::with_capacity(DEVELOPERS);
    for number in 0..DEVELOPERS {
        clients.push(deployment.client(&url, &format!("bench-{number}")).await);
    }
    deployment.workers(1);
    let send = |name: &'static str, number: usize| {
        let client = clients[number % DEVELOPERS].clone();
        async move { stored(&client, body(name, number)).await }
    };
    let full = closed_loop(CLIENTS, ROUND, |number| send("full", number)).await?;
    deployment.completed(full.times.len() as i64).await;
    let every = Duration::from_secs_f64(2.0 / full.rate());
    let mut ticks = tokio::time::interval(every);
    let start = Instant::now();
    let mut sends = JoinSet::new();
    let mut number = 0;
    while start.elapsed() < ROUND {
        ticks.tick().await;
        let client = clients[number % DEVELOPERS].clone();
        let body = body("half", number);
        number += 1;
        sends.spawn(async move {
            let sent = Instant::now();
            stored(&client, body).await.map(|()| sent.elapsed())
        });
    }
    let mut times = sends
        .join_all()
        .await
        .into_iter()
        .collect::<anyhow::Result<Vec<_>>>()?;
    let p50 = percentile(&mut times, 50);
    let p99 = percentile(&mut times, 99);
    let at_half = format!("at {:.0} batches/s", 1.0 / every.as_secs_f64());
    let what = format!("request to stored, p50 and p99, {engine:?}, {at_half}");
    let whole = format!(
        "the whole pipe takes {:.0} batches/s ({:.0} events/s)",
        full.rate(),
        full.rate() * EVENTS as f64
    );
    let measured = Measured {
        ours: format!("{} · {}", millis(p50), millis(p99)),
        ceiling: whole,
        ratio: None,
    };
    report.add(&what, measured, "p99 < 250 ms");
    Ok(())
}

/// Sends a batch and waits until it is stored.
async fn stored(client: &Client, body: Vec<u8>) -> anyhow::Result<()> {
    let key = format!("Bearer {}", client.key());
    let headers = [
        ("Authorization", key.as_str()),
        ("Content-Type", "application/json"),
        ("Prefer", "wait=30"),
    ];
    let status = client.raw(&headers, body).await.status();
    ensure!(status == 200, "the batch was not stored in time: {status}");
    Ok(())
}
