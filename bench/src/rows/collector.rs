//! The collector beside a raw publish of the same bytes: rates, replies, CPU, memory, start.

use std::path::Path;
use std::time::{Duration, Instant};

use async_nats::jetstream;
use harness::{Deployment, Engine};

use crate::encode::Body;
use crate::http::{BatchPost, HttpPool};
use crate::input::{self, Bodies};
use crate::load::{Load, closed_loop, open_loop};
use crate::plan::Plan;
use crate::plot::{Plot, Series};
use crate::raw::{self, RawMessages, publish_raw};
use crate::report::{Report, say};
use crate::rounds::Interleaved;
use crate::row::{BenchRow, Reach};
use crate::stats::{Spread, micros, millis};
use crate::strace;
use crate::usage::{Meter, memory};
use crate::whole::UNDER_LOAD;

/// Who sends.
const DEVELOPER: &str = "bench";
/// Clients of the rows that have a target.
const SOME: usize = 64;
const MANY: usize = 256;
/// A PubAck that takes longer comes from a slow disk: there group commit has to pay.
const SLOW_ACK_MS: f64 = 1.0;
/// Parts of the full rate at which the reply is timed.
const LOADS: [f64; 4] = [0.25, 0.5, 0.75, 0.9];

/// A round of load on the collector.
struct Round {
    load: Load,
    /// CPU of the collector, in µs a request.
    cpu: f64,
}

type Rounds = Interleaved<Round, Load>;

/// A deployment with a collector and no worker, and its clients.
struct Rig {
    deployment: Deployment,
    js: jetstream::Context,
    pool: HttpPool,
    key: String,
}

impl Rig {
    async fn start(parent: &Path) -> anyhow::Result<Self> {
        Self::on(Deployment::start_in(Engine::Sqlite, parent).await).await
    }

    async fn on(mut deployment: Deployment) -> anyhow::Result<Self> {
        // One key stands for those of all clients.
        let arguments = [&UNDER_LOAD[..], &["--key-share", "100"]].concat();
        let url = deployment.collector_with("collector", &arguments).await;
        let key = deployment.client(&url, DEVELOPER).await.key().to_owned();
        let js = deployment.js().await;
        raw::make_stream(&js).await?;
        Ok(Self {
            deployment,
            js,
            pool: HttpPool::new(&url),
            key,
        })
    }

    async fn post(&self, body: &[u8]) -> anyhow::Result<()> {
        let request = BatchPost {
            key: &self.key,
            body,
            wait: false,
            expect: 202,
        };
        self.pool.post(&request).await
    }

    /// A round of the collector, on an empty stream afterwards.
    async fn ours(&self, clients: usize, name: &str, length: Duration) -> anyhow::Result<Round> {
        let bodies = Bodies::of(name);
        let meter = Meter::start(&self.deployment).await?;
        let bodies = &bodies;
        let send = |number| async move { self.post(&bodies.get(number)).await };
        let load = closed_loop(clients, length, send).await?;
        let cpu = micros(meter.read()?["collector"].cpu) / load.times.len() as f64;
        raw::purge(&self.js, "EVENTS").await?;
        Ok(Round { load, cpu })
    }

    async fn ceiling(&self, clients: usize, name: &str, length: Duration) -> anyhow::Result<Load> {
        let bodies = (0..).map(|number| Body {
            developer: DEVELOPER.to_owned(),
            bytes: input::body(name, number),
        });
        let messages = RawMessages::of(bodies)?;
        let load = publish_raw(&self.js, &messages, clients, length).await?;
        raw::purge(&self.js, raw::STREAM).await?;
        Ok(load)
    }

    async fn rounds(
        &self,
        plan: &Plan,
        clients: usize,
        length: Duration,
    ) -> anyhow::Result<Rounds> {
        say(&format!("  {clients} clients"));
        Interleaved::measure(
            plan.rounds,
            async |round| {
                // Names of one length: they are part of each event's id.
                let name = format!("our{clients}-{round}");
                self.ours(clients, &name, length).await
            },
            async |round| {
                let name = format!("raw{clients}-{round}");
                self.ceiling(clients, &name, length).await
            },
        )
        .await
    }

    fn memory(&self, line: &str) -> anyhow::Result<f64> {
        memory(self.deployment.pid("collector"), line)
    }
}

/// The rows for a stream on the disk.
///
/// # Errors
/// The failure of a process.
pub async fn on_disk(plan: &Plan, report: &mut Report) -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let mut rig = Rig::start(folder.path()).await?;
    let idle = rig.memory("VmRSS")?;
    let length = Duration::from_secs(plan.size(1, 3));
    let alone = rig.rounds(plan, 1, length).await?;
    let some = rig.rounds(plan, SOME, length).await?;
    let peak = rig.memory("VmHWM")?;
    let many = rig.rounds(plan, MANY, length).await?;

    let slow = alone.ceiling(|load| load.percentile(50)).median > SLOW_ACK_MS;
    let mut rows = alone_rows(&alone);
    rows.extend(rate_rows(SOME, &some, if slow { 1.8 } else { 0.9 }));
    rows.extend(reply_rows(SOME, &some));
    rows.push(cpu_row(SOME, &some));
    rows.extend(rate_rows(MANY, &many, 1.1));
    rows.push(cpu_row(MANY, &many));
    rows.push(BenchRow::new("memory, idle", "MiB", Spread::of([idle])).reach(Reach::AtMost(16.0)));
    let what = format!("peak memory, {SOME} clients");
    rows.push(BenchRow::new(what, "MiB", Spread::of([peak])).reach(Reach::AtMost(64.0)));
    let mut starts = Vec::new();
    for round in 0..plan.rounds {
        let start = Instant::now();
        let another = format!("another-{round}");
        rig.deployment.collector(&another).await;
        starts.push(millis(start.elapsed()));
        // The rows that follow have one collector.
        let _ = rig.deployment.stop(&another).await;
    }
    rows.push(
        BenchRow::new("start to ready", "ms", Spread::of(starts)).reach(Reach::AtMost(100.0)),
    );
    report.add("Collector, stream on the disk", rows);

    let others = plan.size(vec![], vec![4, 16]);
    let mut rounds = vec![(1, alone), (SOME, some), (MANY, many)];
    for clients in others {
        rounds.push((clients, rig.rounds(plan, clients, length).await?));
    }
    rounds.sort_unstable_by_key(|(clients, _)| *clients);
    report.plot(against_concurrency(&rounds));
    let full = rounds
        .iter()
        .find(|(clients, _)| *clients == SOME)
        .map_or(0.0, |(_, rounds)| {
            rounds.ours(|round| round.load.rate()).median
        });
    at_fixed_rates(plan, report, &rig, full, length).await
}

/// Replies at fixed rates: parts of what 64 clients get who each send when they are answered.
async fn at_fixed_rates(
    plan: &Plan,
    report: &mut Report,
    rig: &Rig,
    full: f64,
    length: Duration,
) -> anyhow::Result<()> {
    let mut rows = Vec::new();
    let (mut p50, mut p99) = (Series::new("p50"), Series::new("p99"));
    for part in LOADS {
        let rate = full * part;
        say(&format!("  {rate:.0} batches/s"));
        let mut loads = Vec::new();
        for round in 0..plan.rounds {
            let bodies = &Bodies::of(&format!("open{part}-{round}"));
            let send = |number| async move { rig.post(&bodies.get(number)).await };
            loads.push(open_loop(rate, length, send).await?);
            raw::purge(&rig.js, "EVENTS").await?;
        }
        let over = |percent| Spread::of(loads.iter().map(|load| load.percentile(percent)));
        let what = format!(
            "at {rate:.0} batches/s, {:.0} % of the full rate",
            part * 100.0
        );
        rows.push(BenchRow::new(format!("p50 {what}"), "ms", over(50)));
        let row = BenchRow::new(format!("p99 {what}"), "ms", over(99));
        rows.push(row.reach(Reach::AtMost(50.0)));
        p50.add(rate, over(50).median);
        p99.add(rate, over(99).median);
    }
    report.add("Collector: reply at fixed rates", rows);
    report.plot(Plot {
        file: "latency-against-load",
        title: "Reply of the collector at fixed rates",
        x: "batches a second",
        y: "milliseconds",
        is_x_log: false,
        series: vec![p50, p99],
    });
    Ok(())
}

/// The same with every fsync of the server made 5 ms slower, as on cloud disks.
///
/// # Errors
/// The failure of a process.
pub async fn with_slow_sync(plan: &Plan, report: &mut Report) -> anyhow::Result<()> {
    const TITLE: &str = "Collector, every fsync 5 ms slower";
    let folder = tempfile::tempdir()?;
    if !strace::is_there() {
        report.skip(TITLE, "strace is missing");
        return Ok(());
    }
    let mut deployment = Deployment::start_in(Engine::Sqlite, folder.path()).await;
    deployment.restart_nats_under(&strace::SLOW_SYNCS).await;
    let rig = Rig::on(deployment).await?;
    let length = Duration::from_secs(plan.size(3, 5));
    let some = rig.rounds(plan, SOME, length).await?;
    let many = rig.rounds(plan, MANY, length).await?;
    let mut rows = rate_rows(SOME, &some, 5.0);
    rows.push(p50_row(SOME, &some).reach(Reach::RatioAtMost(0.2)));
    rows.extend(rate_rows(MANY, &many, 8.0));
    rows.push(p50_row(MANY, &many).reach(Reach::RatioAtMost(0.2)));
    report.add(TITLE, rows);
    Ok(())
}

/// The rows for a stream in memory, where only CPU counts.
///
/// # Errors
/// The failure of a process.
pub async fn in_memory(plan: &Plan, report: &mut Report) -> anyhow::Result<()> {
    const TITLE: &str = "Collector, stream in memory";
    let Ok(folder) = tempfile::tempdir_in("/dev/shm") else {
        report.skip(TITLE, "/dev/shm is missing");
        return Ok(());
    };
    let rig = Rig::start(folder.path()).await?;
    let length = Duration::from_secs(plan.size(1, 2));
    let some = rig.rounds(plan, SOME, length).await?;
    let mut rows = rate_rows(SOME, &some, 0.3);
    rows.push(cpu_row(SOME, &some).reach(Reach::AtMost(140.0)));
    report.add(TITLE, rows);
    Ok(())
}

fn rate_rows(clients: usize, rounds: &Rounds, reach: f64) -> Vec<BenchRow> {
    let ours = |round: &Round| round.load.rate();
    let row = BenchRow::new(
        format!("{clients} clients, beside raw publishes"),
        "batches/s",
        rounds.ours(ours),
    );
    let row = row.beside(rounds.ceiling(Load::rate), rounds.ratio(ours, Load::rate));
    vec![row.reach(Reach::RatioAtLeast(reach))]
}

fn p50_row(clients: usize, rounds: &Rounds) -> BenchRow {
    percentile_row(clients, rounds, 50)
}

fn percentile_row(clients: usize, rounds: &Rounds, percent: usize) -> BenchRow {
    let ours = |round: &Round| round.load.percentile(percent);
    let raw = |load: &Load| load.percentile(percent);
    let what = format!(
        "p{percent} reply, {clients} client{}",
        if clients == 1 { "" } else { "s" }
    );
    BenchRow::new(what, "ms", rounds.ours(ours))
        .beside(rounds.ceiling(raw), rounds.ratio(ours, raw))
}

fn reply_rows(clients: usize, rounds: &Rounds) -> Vec<BenchRow> {
    let p99 = percentile_row(clients, rounds, 99);
    vec![
        p50_row(clients, rounds),
        p99.clone().reach(Reach::AtMost(50.0)),
        p99.reach(Reach::RatioAtMost(2.0)),
    ]
}

/// One client, one batch at a time: what the collector adds to a publish.
fn alone_rows(rounds: &Rounds) -> Vec<BenchRow> {
    let raw: Vec<f64> = rounds
        .ceiling
        .iter()
        .map(|load| load.percentile(50))
        .collect();
    let ours = rounds.ours.iter().map(|round| round.load.percentile(50));
    let added = Spread::of(ours.zip(&raw).map(|(ours, raw)| ours - raw));
    vec![
        percentile_row(1, rounds, 50),
        BenchRow::new("p50 added to a raw publish, 1 client", "ms", added)
            .reach(Reach::AtMost(1.0)),
    ]
}

fn cpu_row(clients: usize, rounds: &Rounds) -> BenchRow {
    let what = format!("CPU of the collector, {clients} clients");
    BenchRow::new(what, "µs/request", rounds.ours(|round| round.cpu))
}

fn against_concurrency(rounds: &[(usize, Rounds)]) -> Plot {
    let (mut ours, mut raw) = (Series::new("collector"), Series::new("raw publishes"));
    for (clients, rounds) in rounds {
        ours.add(
            *clients as f64,
            rounds.ours(|round| round.load.rate()).median,
        );
        raw.add(*clients as f64, rounds.ceiling(Load::rate).median);
    }
    Plot {
        file: "throughput-against-concurrency",
        title: "Batches of 50 events, fsync always",
        x: "clients",
        y: "batches a second",
        is_x_log: true,
        series: vec![ours, raw],
    }
}
