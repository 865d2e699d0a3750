//! One, two and four processes of each role on Postgres: rates, CPU, and how many wait for locks.
//! The ratio has a target only where a core is left for the second process.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::time::{Duration, Instant};

use harness::{Deployment, Engine};

use crate::encode::publish_all;
use crate::plan::Plan;
use crate::report::{Report, say};
use crate::row::{BenchRow, Reach};
use crate::stats::{Spread, micros};
use crate::usage::{Meter, POSTGRES, Usage};
use crate::watch::{Milestones, StoreWatch};
use crate::workday::Workdays;

const DEVELOPERS: usize = 100;
const PROCESSES: [usize; 3] = [1, 2, 4];
/// Beside one process work its server and nats-server. On so few cores one process keeps them busy, and a second can
/// only take its time from the first.
const TOO_FEW_CORES: usize = 2;
/// The roles whose processes are as many; the other roles have one process.
const SCALED: [Scaled; 2] = [
    Scaled {
        title: "Persist processes on Postgres",
        roles: &["persist"],
        done: |milestones| milestones.stored,
        verb: "stored",
    },
    Scaled {
        title: "Processes of each job role on Postgres",
        roles: &["aggregate", "normalize", "alert"],
        done: |milestones| milestones.completed,
        verb: "completed",
    },
];

/// What is made more of, and what it is to speed up.
struct Scaled {
    title: &'static str,
    roles: &'static [&'static str],
    done: fn(&Milestones) -> Duration,
    verb: &'static str,
}

/// One drain.
struct Round {
    took: Duration,
    used: BTreeMap<String, Usage>,
    /// Connections that waited for a lock, on average.
    waiting: f64,
}

/// The rows.
///
/// # Errors
/// The failure of a process, or a store that does not get on.
pub async fn measure(plan: &Plan, report: &mut Report) -> anyhow::Result<()> {
    if !plan.engines.contains(&Engine::Postgres) {
        return Ok(());
    }
    let events = plan.events(5_000, 100_000);
    let cores = std::thread::available_parallelism()?.get();
    for scaled in &SCALED {
        let mut rounds: BTreeMap<usize, Vec<Round>> = BTreeMap::new();
        for round in 0..plan.rounds {
            for processes in PROCESSES {
                say(&format!("{}: {processes}", scaled.title));
                let load = Workdays::one_day(format!("scale-{round}"), DEVELOPERS, events);
                let measured = drain(scaled, processes, &load).await?;
                rounds.entry(processes).or_default().push(measured);
            }
        }
        report.add(scaled.title, rows(scaled, events as f64, cores, &rounds));
    }
    Ok(())
}

fn rows(
    scaled: &Scaled,
    events: f64,
    cores: usize,
    rounds: &BTreeMap<usize, Vec<Round>>,
) -> Vec<BenchRow> {
    let mut rows = Vec::new();
    let rate = |round: &Round| events / round.took.as_secs_f64();
    let one = &rounds[&1];
    for (processes, rounds) in rounds {
        let over = |figure: &dyn Fn(&Round) -> f64| Spread::of(rounds.iter().map(figure));
        let what = format!("{processes}: events {}", scaled.verb);
        let row = BenchRow::new(what, "events/s", over(&rate));
        rows.push(match processes {
            1 => row,
            2 => with_target(beside_one(row, one, rounds, &rate), cores),
            _ => beside_one(row, one, rounds, &rate),
        });
        for role in scaled.roles {
            let cpu = over(&|round| cpu_of(round, role) / events);
            rows.push(BenchRow::new(
                format!("{processes}: CPU of {role}"),
                "µs/event",
                cpu,
            ));
        }
        let cpu = over(&|round| cpu_of(round, POSTGRES) / events);
        rows.push(BenchRow::new(
            format!("{processes}: CPU of the server"),
            "µs/event",
            cpu,
        ));
        let waiting = over(&|round| round.waiting);
        let what = format!("{processes}: connections that wait for a lock");
        rows.push(BenchRow::new(what, "on average", waiting));
    }
    rows
}

fn beside_one(
    row: BenchRow,
    one: &[Round],
    rounds: &[Round],
    rate: &dyn Fn(&Round) -> f64,
) -> BenchRow {
    let pairs = rounds.iter().zip(one);
    let ratio = Spread::of(pairs.map(|(many, one)| rate(many) / rate(one)));
    row.beside(Spread::of(one.iter().map(rate)), ratio)
}

/// With the target of two processes, or the reason why there is none.
fn with_target(row: BenchRow, cores: usize) -> BenchRow {
    if cores > TOO_FEW_CORES {
        return row.reach(Reach::RatioAtLeast(1.6));
    }
    let what = format!("{} (no target: {cores} cores are too few)", row.what);
    BenchRow { what, ..row }
}

/// CPU in µs of all processes of a role.
fn cpu_of(round: &Round, role: &str) -> f64 {
    let processes = round.used.iter().filter(|(name, _)| name.starts_with(role));
    processes.map(|(_, usage)| micros(usage.cpu)).sum()
}

async fn drain(scaled: &Scaled, processes: usize, load: &Workdays) -> anyhow::Result<Round> {
    let mut deployment = Deployment::start(Engine::Postgres).await;
    publish_all(&deployment.js().await, load.batches()).await?;
    let start = Instant::now();
    deployment.workers(1);
    for role in scaled.roles {
        for number in 1..processes {
            deployment.worker(&format!("{role}-{number}"), role, None);
        }
    }
    let meter = Meter::start(&deployment).await?;
    let watch = StoreWatch::open(&deployment).await?;
    let locks = StoreWatch::open(&deployment).await?;
    let mut waiting = LockWaits::default();
    let milestones = tokio::select! {
        milestones = watch.completed(load.len() as u64, start, |_| Ok(())) => milestones?,
        Err(error) = waiting.sample(&locks) => return Err(error),
    };
    let round = Round {
        took: (scaled.done)(&milestones),
        used: meter.read()?,
        waiting: waiting.average(),
    };
    deployment.remove().await;
    Ok(round)
}

/// Connections that wait for a lock, counted now and then.
#[derive(Default)]
struct LockWaits {
    samples: u64,
    sum: u64,
}

impl LockWaits {
    /// Counts until it is dropped.
    async fn sample(&mut self, store: &StoreWatch) -> anyhow::Result<Infallible> {
        const WAITING: &str = "SELECT count(*) FROM pg_stat_activity \
                               WHERE datname = current_database() AND wait_event_type = 'Lock'";
        loop {
            self.sum += store.number(WAITING).await?;
            self.samples += 1;
            tokio::time::sleep(Duration::from_millis(50)).await; // sleep: samples spread over the drain
        }
    }

    fn average(&self) -> f64 {
        self.sum as f64 / self.samples.max(1) as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_processes_have_a_target_where_a_core_is_left() {
        let row = || BenchRow::new("2: events stored", "events/s", Spread::of([1.0]));
        assert_eq!(with_target(row(), 3), row().reach(Reach::RatioAtLeast(1.6)));
        let few = with_target(row(), 2);
        assert_eq!(few.reach, None);
        assert_eq!(
            few.what,
            "2: events stored (no target: 2 cores are too few)"
        );
    }
}
