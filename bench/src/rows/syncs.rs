//! How often a batch makes a process bring a file to the disk, counted by strace.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use harness::Engine;

use crate::load::closed_loop;
use crate::plan::{Plan, name};
use crate::report::Report;
use crate::row::BenchRow;
use crate::stats::Spread;
use crate::strace::{Strace, count_syncs};
use crate::whole::WholePipe;
use crate::workday::Workdays;

const CLIENTS: usize = 64;
const DEVELOPERS: usize = 32;

/// A process under strace, and the file with its syncs.
struct Counted {
    name: &'static str,
    log: PathBuf,
    strace: Strace,
}

/// The rows: of nats-server, and on SQLite of the worker.
///
/// # Errors
/// The failure of a process, or a store that does not get on.
pub async fn measure(plan: &Plan, report: &mut Report) -> anyhow::Result<()> {
    for &engine in &plan.engines {
        let title = format!("Syncs to the disk, {CLIENTS} clients, {}", name(engine));
        let pipe = WholePipe::start(engine, DEVELOPERS).await?;
        match attach(&pipe, engine).await {
            Some(counted) => {
                let batches = send(&pipe, Duration::from_secs(plan.size(1, 10))).await?;
                report.add(&title, rows(counted, batches).await?);
            }
            None => report.skip(&title, "strace is missing"),
        }
        pipe.deployment.remove().await;
    }
    Ok(())
}

/// `None` if strace is missing.
async fn attach(pipe: &WholePipe, engine: Engine) -> Option<Vec<Counted>> {
    let processes: &[&'static str] = match engine {
        Engine::Sqlite => &["nats", "all"],
        Engine::Postgres => &["nats"],
    };
    let mut counted = Vec::new();
    for &name in processes {
        let log = pipe.deployment.path(&format!("{name}.syncs"));
        let strace = Strace::log_syncs(pipe.deployment.pid(name), &log).await?;
        counted.push(Counted { name, log, strace });
    }
    Some(counted)
}

async fn rows(counted: Vec<Counted>, batches: usize) -> anyhow::Result<Vec<BenchRow>> {
    let mut rows = Vec::new();
    for Counted { name, log, strace } in counted {
        strace.detach().await;
        let syncs = count_syncs(&std::fs::read_to_string(log)?);
        let each = Spread::of([syncs as f64 / batches as f64]);
        let what = format!("{name}, until completed");
        rows.push(BenchRow::new(what, "syncs/batch", each));
    }
    Ok(rows)
}

/// Sends for so long, and waits until all is completed; gives how many batches.
async fn send(pipe: &WholePipe, length: Duration) -> anyhow::Result<usize> {
    let load = Workdays {
        run: "syncs".to_owned(),
        developers: DEVELOPERS,
        events_a_day: 2000,
        days: 100,
        first_day: 0,
    };
    let batch = async |number| pipe.send(&load.batch(number), false).await;
    let sent = closed_loop(CLIENTS, length, batch).await?.times.len();
    pipe.watch
        .completed(sent as u64, Instant::now(), |_| Ok(()))
        .await?;
    Ok(sent)
}
