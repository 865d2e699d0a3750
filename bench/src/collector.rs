//! The collector beside a raw publish of the same bytes: rates, replies, memory, start.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use async_nats::jetstream;
use harness::{Deployment, Engine};

use crate::input::body;
use crate::raw::{self, Load, closed_loop};
use crate::report::{BenchTable, Measured, millis, percentile, rate};

const CLIENTS: usize = 64;
const ROUNDS: usize = 3;
const ROUND: Duration = Duration::from_secs(4);

/// The collector's load, and that of raw publishes of the same bytes.
struct Rounds {
    ours: Load,
    ceiling: Load,
}

/// A deployment with a collector and no worker, and its clients.
struct Rig {
    deployment: Deployment,
    js: jetstream::Context,
    http: reqwest::Client,
    url: String,
    key: String,
}

impl Rig {
    async fn start(parent: &Path) -> anyhow::Result<Self> {
        let mut deployment = Deployment::start_in(Engine::Sqlite, parent).await;
        let url = deployment
            .collector_with("collector", &["--rate", "0"])
            .await;
        let key = deployment.client(&url, "bench").await.key().to_owned();
        let js = deployment.js().await;
        raw::make_stream(&js).await?;
        let http = reqwest::Client::builder().no_proxy().build()?;
        Ok(Self {
            deployment,
            js,
            http,
            url,
            key,
        })
    }

    async fn post(&self, body: Vec<u8>) -> anyhow::Result<()> {
        let request = self
            .http
            .post(format!("{}/v1/events", self.url))
            .bearer_auth(&self.key);
        let reply = request
            .header("Content-Type", "application/json")
            .body(body)
            .send()
            .await?;
        ensure!(
            reply.status() == 202,
            "the collector answered {}",
            reply.status()
        );
        reply.bytes().await?;
        Ok(())
    }

    /// Raw publishes and collector in turns, so that what the machine does hits both.
    async fn in_turns(&self, clients: usize, round: Duration) -> anyhow::Result<Rounds> {
        let mut ours = Load::default();
        let mut ceiling = Load::default();
        for turn in 0..ROUNDS {
            let name = format!("{clients}-{turn}");
            ceiling.add(raw::publish(&self.js, &format!("raw-{name}"), clients, round).await?);
            ours.add(closed_loop(clients, round, |number| self.post(body(&name, number))).await?);
            for stream in ["RAW", "EVENTS"] {
                self.js
                    .get_stream(stream)
                    .await?
                    .purge()
                    .await
                    .context("purge")?;
            }
        }
        Ok(Rounds { ours, ceiling })
    }

    /// A line of `/proc/PID/status`, in MiB.
    fn memory(&self, name: &str) -> anyhow::Result<f64> {
        let text =
            std::fs::read_to_string(format!("/proc/{}/status", self.deployment.pid("collector")))?;
        let line = text
            .lines()
            .find_map(|line| line.strip_prefix(name))
            .context("no such line")?;
        let kib: f64 = line
            .trim_start_matches(':')
            .trim()
            .trim_end_matches(" kB")
            .parse()?;
        Ok(kib / 1024.0)
    }
}

/// The rows for a stream on the disk.
///
/// # Errors
/// The failure of a process.
pub async fn on_disk(report: &mut BenchTable) -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let began = Instant::now();
    let mut rig = Rig::start(folder.path()).await?;
    let idle = rig.memory("VmRSS")?;
    let mut rounds = rig.in_turns(CLIENTS, ROUND).await?;
    add_rate(
        report,
        "collector, 64 clients, on disk",
        &rounds,
        "≥ 0.90 (single publishes)",
    );
    let our_p99 = percentile(&mut rounds.ours.times, 99);
    let raw_p99 = percentile(&mut rounds.ceiling.times, 99);
    let measured = Measured {
        ours: millis(our_p99),
        ceiling: millis(raw_p99),
        ratio: Some(our_p99.as_secs_f64() / raw_p99.as_secs_f64()),
    };
    report.add("its p99 reply", measured, "< 50 ms; ratio < 2");
    let measured = Measured {
        ours: millis(percentile(&mut rounds.ours.times, 50)),
        ceiling: millis(percentile(&mut rounds.ceiling.times, 50)),
        ratio: None,
    };
    report.add("its p50 reply", measured, "");
    let peak = rig.memory("VmHWM")?;
    report.add(
        "collector's memory under that load",
        Measured::alone(format!("{peak:.0} MiB")),
        "< 64 MiB",
    );
    report.add(
        "collector's memory, idle",
        Measured::alone(format!("{idle:.0} MiB")),
        "< 16 MiB",
    );
    let mut rounds = rig.in_turns(1, Duration::from_secs(2)).await?;
    let our_p50 = percentile(&mut rounds.ours.times, 50);
    let raw_p50 = percentile(&mut rounds.ceiling.times, 50);
    let more = millis(our_p50.saturating_sub(raw_p50));
    let measured = Measured {
        ours: format!("{} (+ {more})", millis(our_p50)),
        ceiling: millis(raw_p50),
        ratio: None,
    };
    report.add("one client, p50", measured, "+ ≤ 1 ms");
    let start = Instant::now();
    rig.deployment.collector("another").await;
    report.add(
        "collector, start to ready",
        Measured::alone(millis(start.elapsed())),
        "< 100 ms",
    );
    crate::report::say(&format!("  ({} s)", began.elapsed().as_secs()));
    Ok(())
}

/// The same with every fsync of the server made 5 ms slower, as on cloud disks.
///
/// # Errors
/// The failure of a process.
pub async fn with_slow_sync(report: &mut BenchTable) -> anyhow::Result<()> {
    const WHAT: &str = "collector, 64 clients, fsync 5 ms slower";
    let folder = tempfile::tempdir()?;
    let rig = Rig::start(folder.path()).await?;
    let pid = rig.deployment.pid("nats").to_string();
    let inject = [
        "-f",
        "-qq",
        "-e",
        "trace=fsync",
        "-e",
        "inject=fsync:delay_exit=5000",
        "-o",
        "/dev/null",
    ];
    let strace = Command::new("strace")
        .args(inject)
        .args(["-p", &pid])
        .stderr(Stdio::null())
        .spawn();
    let Ok(mut strace) = strace else {
        report.skip(WHAT, "strace is missing");
        return Ok(());
    };
    let measured = rig.in_turns(CLIENTS, ROUND).await;
    strace.kill()?;
    strace.wait()?;
    add_rate(report, WHAT, &measured?, "≥ 6 with group commit");
    Ok(())
}

/// The row for a stream in memory, where only CPU counts.
///
/// # Errors
/// The failure of a process.
pub async fn in_memory(report: &mut BenchTable) -> anyhow::Result<()> {
    const WHAT: &str = "collector, 64 clients, stream in memory";
    if !Path::new("/dev/shm").is_dir() {
        report.skip(WHAT, "/dev/shm is missing");
        return Ok(());
    }
    let folder = tempfile::tempdir_in("/dev/shm")?;
    let rig = Rig::start(folder.path()).await?;
    let rounds = rig.in_turns(CLIENTS, Duration::from_secs(2)).await?;
    add_rate(report, WHAT, &rounds, "≥ 0.35");
    Ok(())
}

fn add_rate(report: &mut BenchTable, what: &str, rounds: &Rounds, reach: &str) {
    let text = |load: &Load| rate(load.times.len(), load.took);
    let measured = Measured {
        ours: text(&rounds.ours),
        ceiling: text(&rounds.ceiling),
        ratio: Some(rounds.ours.rate() / rounds.ceiling.rate()),
    };
    report.add(what, measured, reach);
}
