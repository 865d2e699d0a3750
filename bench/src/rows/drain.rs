//! A backlog that was published with no worker running, then worked off: stored, and completed with every job.

use std::collections::BTreeMap;
use std::time::Instant;

use harness::{Deployment, Engine};

use crate::encode::publish_all;
use crate::plan::{Plan, name};
use crate::plot::{Plot, Series};
use crate::process_rows::{memory_rows, process_rows};
use crate::report::{Report, say};
use crate::row::{BenchRow, Reach, figure};
use crate::stats::{Spread, micros};
use crate::usage::{Meter, POSTGRES, Usage, is_worker, memory, workers_cpu, workers_memory};
use crate::watch::{Milestones, StoreProgress, StoreWatch};
use crate::workday::Workdays;

const DEVELOPERS: usize = 100;
/// Developers of a small run have a day's work as well: it is the day that jobs cost by.
const EVENTS_A_DAY: usize = 2000;

/// The figures of one drain.
struct Drain {
    events: f64,
    milestones: Milestones,
    used: BTreeMap<String, Usage>,
    /// Peak memory of each worker, in MiB.
    memory: BTreeMap<String, f64>,
    /// Bytes of the tables with their indexes.
    database: f64,
    course: Vec<Moment>,
}

/// The worker that stores, at one moment of a drain.
struct Moment {
    /// Events that are not completed.
    backlog: f64,
    /// In MiB.
    memory: f64,
}

impl Drain {
    fn stored_rate(&self) -> f64 {
        self.events / self.milestones.stored.as_secs_f64()
    }

    fn completed_rate(&self) -> f64 {
        self.events / self.milestones.completed.as_secs_f64()
    }

    fn cpu(&self, process: &str) -> f64 {
        micros(self.used[process].cpu) / self.events
    }

    fn workers_cpu(&self) -> f64 {
        micros(workers_cpu(&self.used)) / self.events
    }

    /// Bytes that the processes with the database's files wrote.
    fn written(&self) -> f64 {
        let written = self
            .used
            .iter()
            .filter(|(name, _)| is_worker(name) || name.as_str() == POSTGRES);
        written.map(|(_, usage)| usage.written as f64).sum::<f64>() / self.events
    }
}

/// The rows of both stores.
///
/// # Errors
/// The failure of a process, or a store that does not get on.
pub async fn measure(plan: &Plan, report: &mut Report) -> anyhow::Result<()> {
    let events = plan.events(20_000, 200_000);
    let mut series = Vec::new();
    for &engine in &plan.engines {
        let mut drains = Vec::new();
        for round in 0..plan.rounds {
            let load = load(events, round);
            say(&format!("drain, {}, round {}", name(engine), round + 1));
            drains.push(drain(engine, &load).await?);
        }
        add_rows(report, engine, &drains);
        series.extend(drains.last().map(|drain| memory_line(engine, drain)));
    }
    report.plot(Plot {
        file: "memory-against-backlog",
        title: "Memory of the worker that stores, while a backlog is worked off",
        x: "events that are not completed",
        y: "MiB",
        is_x_log: false,
        series,
    });
    Ok(())
}

fn load(events: usize, round: usize) -> Workdays {
    let developers = events.div_ceil(EVENTS_A_DAY).clamp(1, DEVELOPERS);
    Workdays::one_day(format!("drain-{round}"), developers, events)
}

async fn drain(engine: Engine, load: &Workdays) -> anyhow::Result<Drain> {
    let mut deployment = Deployment::start(engine).await;
    let js = deployment.js().await;
    publish_all(&js, load.batches()).await?;
    let start = Instant::now();
    deployment.workers(1);
    let meter = Meter::start(&deployment).await?;
    let watch = StoreWatch::open(&deployment).await?;
    let storing = deployment.pid(match engine {
        Engine::Sqlite => "all",
        Engine::Postgres => "persist-0",
    });
    let mut course = Vec::new();
    let batches = load.len() as u64;
    let see = |progress: StoreProgress| {
        let left = batches.saturating_sub(progress.completed) as f64;
        course.push(Moment {
            backlog: left / batches as f64 * load.events() as f64,
            memory: memory(storing, "VmRSS")?,
        });
        Ok(())
    };
    let milestones = watch.completed(batches, start, see).await?;
    let drain = Drain {
        events: load.events() as f64,
        milestones,
        used: meter.read()?,
        memory: workers_memory(&deployment)?,
        database: watch.bytes().await? as f64,
        course,
    };
    deployment.remove().await;
    Ok(drain)
}

/// A hundred moments of the drain, from its end to its beginning: from left to right.
fn memory_line(engine: Engine, drain: &Drain) -> Series {
    let mut line = Series::new(name(engine));
    let step = drain.course.len().div_ceil(100).max(1);
    for moment in drain.course.iter().rev().step_by(step) {
        line.add(moment.backlog, moment.memory);
    }
    line
}

fn add_rows(report: &mut Report, engine: Engine, drains: &[Drain]) {
    let over = |figure: &dyn Fn(&Drain) -> f64| Spread::of(drains.iter().map(figure));
    let title = format!(
        "Drain of {} events, {}",
        figure(drains[0].events),
        name(engine)
    );
    let sqlite = engine == Engine::Sqlite;
    let ratio = over(&|drain| drain.completed_rate() / drain.stored_rate());
    let mut rows = vec![
        BenchRow::new(
            "events completed, beside events stored",
            "events/s",
            over(&Drain::completed_rate),
        )
        .beside(over(&Drain::stored_rate), ratio)
        .reach(Reach::RatioAtLeast(0.65)),
        BenchRow::new("CPU of all workers", "µs/event", over(&Drain::workers_cpu))
            .reach(Reach::AtMost(if sqlite { 45.0 } else { 35.0 })),
    ];
    rows.extend(process_rows(
        "",
        "µs/event",
        drains[0].used.keys(),
        |process| over(&|drain| drain.cpu(process)),
    ));
    let memories: Vec<_> = drains.iter().map(|drain| &drain.memory).collect();
    rows.extend(memory_rows("", &memories));
    let mut bytes = BenchRow::new(
        "database with its indexes",
        "bytes/event",
        over(&|drain| drain.database / drain.events),
    );
    let mut written = BenchRow::new("written to disk", "bytes/event", over(&Drain::written));
    if sqlite {
        bytes = bytes.reach(Reach::AtMost(780.0));
        written = written.reach(Reach::AtMost(5000.0));
    }
    rows.extend([bytes, written]);
    report.add(&title, rows);
}
