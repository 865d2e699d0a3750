//! How often a batch makes a process bring a file to the disk, counted by strace.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use harness::Engine;

use crate::load::closed_loop;
use crate::plan::{Plan, name};
use crate::report::Report;
use crate::row::BenchRow;
use crate::stats::Spread;
use crate::strace::Strace;
use crate::whole::WholePipe;
use crate::workday::Workdays;

const CLIENTS: usize = 64;
const DEVELOPERS: usize = 32;

/// A process under strace, and the file with a line for each sync.
struct Counted {
    name: String,
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
        let mut counted = Vec::new();
        let workers: &[&str] = match engine {
            Engine::Sqlite => &["nats", "all"],
            Engine::Postgres => &["nats"],
        };
        for &process in workers {
            let log = pipe.deployment.path(&format!("{process}.syncs"));
            let pid = pipe.deployment.pid(process);
            let Some(strace) = Strace::log_syncs(pid, &log).await else {
                report.skip(&title, "strace is missing");
                return Ok(());
            };
            counted.push(Counted {
                name: process.to_owned(),
                log,
                strace,
            });
        }
        let batches = send(&pipe, Duration::from_secs(plan.size(2, 10))).await?;
        let mut rows = Vec::new();
        for Counted { name, log, strace } in counted {
            strace.detach()?;
            let syncs = std::fs::read_to_string(log)?.lines().count();
            let each = Spread::of([syncs as f64 / batches as f64]);
            rows.push(BenchRow::new(
                format!("{name}, until completed"),
                "syncs/batch",
                each,
            ));
        }
        report.add(&title, rows);
        pipe.deployment.remove().await;
    }
    Ok(())
}

/// Sends for so long, and waits until all is completed; gives how many batches.
async fn send(pipe: &WholePipe, length: Duration) -> anyhow::Result<usize> {
    let load = Workdays {
        run: "syncs".to_owned(),
        developers: DEVELOPERS,
        events_a_day: 2000,
        days: 100,
    };
    let batch = async |number| pipe.send(&load.batch(number), false).await;
    let sent = closed_loop(CLIENTS, length, batch).await?.times.len();
    pipe.watch
        .completed(sent as u64, Instant::now(), |_| Ok(()))
        .await?;
    Ok(sent)
}
