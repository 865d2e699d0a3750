//! `devtrail keys` among many keys, beside a raw reading of the same entries.

use std::time::{Duration, Instant};

use anyhow::{Context as _, anyhow, ensure};
use async_nats::jetstream::consumer::{DeliverPolicy, push::OrderedConfig};
use async_nats::jetstream::{self, stream::Stream};
use futures_util::StreamExt as _;
use harness::{DevtrailUp, stderr_of};

use crate::plan::Plan;
use crate::report::Report;
use crate::row::{BenchRow, Reach, figure};
use crate::stats::{Spread, millis};
use crate::watch::STALLED;

/// Times of making, listing and revoking keys; whole commands, with the start of the process.
///
/// # Errors
/// The first command or read that fails.
pub async fn measure(plan: &Plan, report: &mut Report) -> anyhow::Result<()> {
    let keys = plan.size(5_000, 100_000);
    let up = DevtrailUp::start().await;
    let people: String = (0..keys).map(|number| format!("dev-{number}\n")).collect();
    std::fs::write(up.path("people"), people)?;
    let file = up.path("people").display().to_string();
    let made = timed(&up, &["keys", "create", "--from-file", &file])?;
    let js = jetstream::new(async_nats::connect(up.address("nats")).await?);
    let bucket = js.get_stream("KV_api_keys").await?;
    let (mut lists, mut revokes, mut reads) = (Vec::new(), Vec::new(), Vec::new());
    for round in 0..plan.rounds {
        let read = tokio::time::timeout(STALLED, read_all(&js, &bucket)).await;
        reads.push(read.context("a raw reading of the keys does not end")??);
        lists.push(timed(&up, &["keys", "list", "--json"])?);
        revokes.push(timed(&up, &["keys", "revoke", &format!("dev-{round}")])?);
    }
    let over = |times: &[Duration]| Spread::of(times.iter().copied().map(millis));
    let beside = |times: &[Duration]| {
        let pairs = times.iter().zip(&reads);
        Spread::of(pairs.map(|(ours, raw)| ours.as_secs_f64() / raw.as_secs_f64()))
    };
    let row = |what: &str, times: &[Duration]| {
        BenchRow::new(what, "ms", over(times))
            .beside(over(&reads), beside(times))
            .reach(Reach::AtMost(1000.0))
    };
    let rate = keys as f64 / made.as_secs_f64();
    let rows = vec![
        BenchRow::new("keys create --from-file", "keys/s", Spread::of([rate])),
        row("keys list, beside a raw reading", &lists),
        row("keys revoke, beside a raw reading", &revokes),
    ];
    report.add(
        &format!("Commands among {} keys", figure(keys as f64)),
        rows,
    );
    Ok(())
}

/// How long a command takes.
fn timed(up: &DevtrailUp, words: &[&str]) -> anyhow::Result<Duration> {
    let start = Instant::now();
    let output = up.devtrail(words);
    let took = start.elapsed();
    ensure!(
        output.status.success(),
        "devtrail {}: {}",
        words.join(" "),
        stderr_of(&output)
    );
    Ok(took)
}

/// Reads every entry of the bucket as any client would, and keeps nothing.
async fn read_all(js: &jetstream::Context, bucket: &Stream) -> anyhow::Result<Duration> {
    let start = Instant::now();
    let consumer = bucket
        .create_consumer(OrderedConfig {
            deliver_subject: js.client().new_inbox(),
            filter_subject: "$KV.api_keys.key.*".to_owned(),
            deliver_policy: DeliverPolicy::LastPerSubject,
            ..OrderedConfig::default()
        })
        .await?;
    let mut entries = consumer.messages().await?;
    loop {
        let entry = entries.next().await.context("the entries ended")??;
        if entry.info().map_err(|error| anyhow!(error))?.pending == 0 {
            return Ok(start.elapsed());
        }
    }
}
