//! `devtrail keys` among many keys, beside a raw reading of the same entries.

use std::time::{Duration, Instant};

use anyhow::{Context as _, anyhow, ensure};
use async_nats::jetstream::consumer::{DeliverPolicy, push::OrderedConfig};
use async_nats::jetstream::{self, stream::Stream};
use futures_util::StreamExt as _;
use harness::{DevtrailUp, stderr_of};

use crate::report::{BenchTable, Measured, millis, percentile};

const KEYS: usize = 100_000;
const ROUNDS: usize = 5;
/// What a person waits for without noticing.
const TARGET: &str = "< 1 s";

/// Times of making, listing and revoking keys; whole commands, with the start of the process.
///
/// # Errors
/// The first command or read that fails.
pub async fn among_many(report: &mut BenchTable) -> anyhow::Result<()> {
    let up = DevtrailUp::start().await;
    let people: String = (0..KEYS).map(|number| format!("dev-{number}\n")).collect();
    std::fs::write(up.path("people"), people)?;
    let file = up.path("people").display().to_string();
    let made = timed(&up, &["keys", "create", "--from-file", &file])?;
    let rate = KEYS as f64 / made.as_secs_f64();
    let made = Measured::alone(format!("{rate:.0} keys/s"));
    report.add(&format!("keys create --from-file, {KEYS} keys"), made, "");

    let js = jetstream::new(async_nats::connect(up.address("nats")).await?);
    let bucket = js.get_stream("KV_api_keys").await?;
    let mut list = Vec::new();
    let mut revoke = Vec::new();
    let mut ceiling = Vec::new();
    for round in 0..ROUNDS {
        ceiling.push(read_all(&js, &bucket).await?);
        list.push(timed(&up, &["keys", "list", "--json"])?);
        let developer = format!("dev-{round}");
        revoke.push(timed(&up, &["keys", "revoke", &developer])?);
    }
    let ceiling = percentile(&mut ceiling, 50);
    for (what, mut times) in [("keys list", list), ("keys revoke DEVELOPER", revoke)] {
        let ours = percentile(&mut times, 50);
        let measured = Measured {
            ours: millis(ours),
            ceiling: format!("{} to read the entries raw", millis(ceiling)),
            ratio: Some(ours.as_secs_f64() / ceiling.as_secs_f64()),
        };
        report.add(&format!("{what} among {KEYS} keys"), measured, TARGET);
    }
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
