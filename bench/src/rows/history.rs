//! What a job costs against the history of its developer: batches of a new day after more and more events.

use std::ops::Range;
use std::time::Instant;

use async_nats::jetstream;
use harness::{Deployment, Engine};

use crate::encode::publish_all;
use crate::one_by_one::complete_each;
use crate::plan::{Plan, name};
use crate::plot::{Plot, Series};
use crate::report::{Report, say};
use crate::row::{BenchRow, Reach, figure};
use crate::stats::Spread;
use crate::watch::StoreWatch;
use crate::workday::{BATCH, Workdays};

const EVENTS_A_DAY: usize = 2000;
const BATCHES_A_DAY: usize = EVENTS_A_DAY / BATCH;

/// A developer whose history grows.
struct LongHistory {
    deployment: Deployment,
    js: jetstream::Context,
    watch: StoreWatch,
    load: Workdays,
    /// Batches published so far.
    batches: usize,
}

/// What jobs cost with so many events in the history.
struct JobCost {
    events: usize,
    /// CPU of the workers in ms a batch, over the rounds.
    cpu: Spread,
}

/// The rows of both stores.
///
/// # Errors
/// The failure of a process, or a store that does not get on.
pub async fn measure(plan: &Plan, report: &mut Report) -> anyhow::Result<()> {
    let sizes = plan.size(vec![2_000, 10_000], vec![10_000, 100_000, 1_000_000]);
    let mut series = Vec::new();
    for &engine in &plan.engines {
        let mut history = LongHistory::start(engine).await?;
        let mut costs = Vec::new();
        for &events in &sizes {
            say(&format!("history of {events} events, {}", name(engine)));
            history.grow(events).await?;
            let mut rounds = Vec::new();
            for _ in 0..plan.rounds {
                rounds.push(history.new_day(plan.size(10, BATCHES_A_DAY)).await?);
            }
            costs.push(JobCost {
                events,
                cpu: Spread::of(rounds),
            });
        }
        let mut line = Series::new(name(engine));
        for cost in &costs {
            line.add(cost.events as f64, cost.cpu.median);
        }
        series.push(line);
        let title = format!("A job against its developer's history, {}", name(engine));
        report.add(&title, rows(&costs));
        history.deployment.remove().await;
    }
    report.plot(Plot {
        file: "cost-against-history",
        title: "CPU of all workers for a batch of 50 events of a new day",
        x: "events of the developer before it",
        y: "ms a batch",
        is_x_log: true,
        series,
    });
    Ok(())
}

fn rows(costs: &[JobCost]) -> Vec<BenchRow> {
    let first = &costs[0];
    let row = |cost: &JobCost| {
        let what = format!(
            "CPU of all workers after {} events",
            figure(cost.events as f64)
        );
        let row = BenchRow::new(what, "ms/batch", cost.cpu);
        if cost.events == first.events {
            return row;
        }
        let ratio = Spread::of([cost.cpu.median / first.cpu.median]);
        row.beside(first.cpu, ratio).reach(Reach::RatioAtMost(1.2))
    };
    costs.iter().map(row).collect()
}

impl LongHistory {
    async fn start(engine: Engine) -> anyhow::Result<Self> {
        let mut deployment = Deployment::start(engine).await;
        deployment.workers(1);
        Ok(Self {
            js: deployment.js().await,
            watch: StoreWatch::open(&deployment).await?,
            deployment,
            load: Workdays {
                run: "history".to_owned(),
                developers: 1,
                events_a_day: EVENTS_A_DAY,
                days: 1000,
                first_day: 0,
            },
            batches: 0,
        })
    }

    /// The numbers of the next batches.
    fn next(&mut self, batches: usize) -> Range<usize> {
        let from = self.batches;
        self.batches += batches;
        from..self.batches
    }

    /// Whole days until the history has so many events at least.
    async fn grow(&mut self, events: usize) -> anyhow::Result<()> {
        let days = events.div_ceil(EVENTS_A_DAY) * BATCHES_A_DAY;
        let missing = days.saturating_sub(self.batches);
        let numbers = self.next(missing);
        let load = &self.load;
        publish_all(&self.js, numbers.map(|number| load.batch(number))).await?;
        self.completed(self.batches).await
    }

    /// Sends the first batches of a new day one by one; gives the workers' CPU for one, in ms.
    /// The rest of the day is not measured.
    async fn new_day(&mut self, batches: usize) -> anyhow::Result<f64> {
        let before = self.batches as u64;
        let numbers = self.next(batches);
        let load = &self.load;
        let bodies = numbers.map(|number| load.batch(number));
        let cost = complete_each(&self.deployment, &self.js, &self.watch, before, bodies).await?;
        let rest = self.batches.next_multiple_of(BATCHES_A_DAY) - self.batches;
        let numbers = self.next(rest);
        let load = &self.load;
        publish_all(&self.js, numbers.map(|number| load.batch(number))).await?;
        self.completed(self.batches).await?;
        Ok(cost.workers_cpu())
    }

    /// Waits until so many batches are completed.
    async fn completed(&self, batches: usize) -> anyhow::Result<()> {
        self.watch
            .completed(batches as u64, Instant::now(), |_| Ok(()))
            .await?;
        Ok(())
    }
}
