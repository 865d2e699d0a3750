//! What a job and a query cost against the history of a developer: batches of a new day after more and more events,
//! and metrics of the last week.

use std::ops::Range;
use std::time::Instant;

use harness::Engine;
use jiff::civil::Date;
use types::week::Week;

use crate::encode::publish_all;
use crate::one_by_one::complete_each;
use crate::plan::{Plan, name};
use crate::plot::{Plot, Series};
use crate::report::{Report, say};
use crate::row::{BenchRow, Reach, figure};
use crate::stats::{Spread, millis, percentile};
use crate::usage::{POSTGRES, memory};
use crate::whole::WholePipe;
use crate::workday::{BATCH, Workdays, date};

const EVENTS_A_DAY: usize = 2000;
const BATCHES_A_DAY: usize = EVENTS_A_DAY / BATCH;

/// A developer whose history grows.
struct LongHistory {
    pipe: WholePipe,
    load: Workdays,
    /// Batches published so far.
    batches: usize,
}

/// What jobs cost with so many events in the history.
struct JobCost {
    events: usize,
    /// CPU of the workers in ms a batch, over the rounds.
    cpu: Spread,
    /// That of the database's server, if it has one.
    server: Option<Spread>,
    /// What queries took.
    reads: Vec<ReadTimes>,
    export: ExportRate,
}

/// How an export of everything went.
struct ExportRate {
    events_a_second: f64,
    /// The largest memory that the collector has had resident, in MiB.
    memory: f64,
}

/// How long the replies of a route took, in ms.
struct ReadTimes {
    route: &'static str,
    p50: f64,
    p99: f64,
    /// The length of the last reply.
    bytes: usize,
}

/// The page of a week.
const REPORT: &str = "/v1/reports/week/{week}";

/// The week of a day.
fn week(day: &str) -> String {
    let day: Date = day.parse().expect("a day of the load is a date");
    Week::of(day).to_string()
}

/// Requests to each route.
const READS: usize = 200;
/// A route, and what it is called with for the first and the last day of a week.
type Route = (&'static str, fn(&str, &str) -> String);
/// What is asked for.
const ROUTES: [Route; 10] = [
    ("/v1/metrics/daily", |from, to| {
        format!("?from={from}&to={to}")
    }),
    ("/v1/metrics/hourly", |from, to| {
        format!("?from={from}&to={to}")
    }),
    ("/v1/metrics/weekly", |from, to| {
        format!("?from={from}&to={to}&project=devtrail")
    }),
    ("/v1/sessions", |from, to| format!("?from={from}&to={to}")),
    ("/v1/metrics/daily/{day}/explain", |_, to| to.to_owned()),
    (REPORT, |from, _| week(from)),
    ("/api/v1/users/current/summaries", |from, to| {
        format!("?start={from}&end={to}")
    }),
    ("/api/v1/users/current/durations", |_, to| {
        format!("?date={to}")
    }),
    ("/api/v1/users/current/stats/all_time", |_, _| String::new()),
    ("/api/v1/users/current/statusbar/today", |_, _| {
        String::new()
    }),
];

/// What a batch cost.
struct BatchCpu {
    /// Of the workers, in ms.
    workers: f64,
    /// Of the database's server, in ms.
    server: Option<f64>,
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
            let reads = history.reads(plan.size(20, READS)).await?;
            let export = ExportRate {
                events_a_second: history.pipe.export("dev-0").await?,
                memory: memory(history.pipe.deployment.pid("collector"), "VmHWM")?,
            };
            let server: Option<Vec<f64>> = rounds.iter().map(|round| round.server).collect();
            costs.push(JobCost {
                events,
                cpu: Spread::of(rounds.iter().map(|round| round.workers)),
                server: server.map(Spread::of),
                reads,
                export,
            });
        }
        let mut line = Series::new(name(engine));
        for cost in &costs {
            line.add(cost.events as f64, cost.cpu.median);
        }
        series.push(line);
        let title = format!("A job against its developer's history, {}", name(engine));
        report.add(&title, rows(&costs));
        history.pipe.deployment.remove().await;
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
    let workers = costs.iter().map(|cost| (cost.events, Some(cost.cpu)));
    let server = costs.iter().map(|cost| (cost.events, cost.server));
    let workers = rows_of("all workers", workers.collect());
    workers
        .into_iter()
        .chain(rows_of("the database's server", server.collect()))
        .chain(costs.iter().flat_map(read_rows))
        .chain(costs.iter().flat_map(export_rows))
        .collect()
}

/// Rows of what queries took with a history of this size.
fn read_rows(cost: &JobCost) -> Vec<BenchRow> {
    let after = figure(cost.events as f64);
    let rows = cost.reads.iter().map(|read| {
        let ReadTimes {
            route,
            p50,
            p99,
            bytes,
        } = read;
        let what = |name: &str| format!("{name} of GET {route}, a week after {after} events");
        // What a day is made of is read from its events.
        let p99 = BenchRow::new(what("p99"), "ms", Spread::of([*p99]));
        let p99 = match route.ends_with("explain") || route.ends_with("durations") {
            true => p99,
            false => p99.reach(Reach::AtMost(20.0)),
        };
        let page = (*route == REPORT)
            .then(|| BenchRow::new(what("size"), "bytes", Spread::of([*bytes as f64])));
        let times = [BenchRow::new(what("p50"), "ms", Spread::of([*p50])), p99];
        times.into_iter().chain(page)
    });
    rows.flatten().collect()
}

/// Rows of an export of a history of this size.
fn export_rows(cost: &JobCost) -> [BenchRow; 2] {
    let of = figure(cost.events as f64);
    let ExportRate {
        events_a_second,
        memory,
    } = cost.export;
    [
        BenchRow::new(
            format!("GET /v1/export of {of} events"),
            "events/s",
            Spread::of([events_a_second]),
        ),
        BenchRow::new(
            format!("the collector's largest memory after an export of {of} events"),
            "MiB",
            Spread::of([memory]),
        ),
    ]
}

/// A row for each size of the history, beside the smallest.
fn rows_of(whose: &str, costs: Vec<(usize, Option<Spread>)>) -> Vec<BenchRow> {
    let mut first = None;
    let row = |(events, cpu): (usize, Option<Spread>)| {
        let cpu = cpu?;
        let what = format!("CPU of {whose} after {} events", figure(events as f64));
        let row = BenchRow::new(what, "ms/batch", cpu);
        let Some(first) = first else {
            first = Some(cpu);
            return Some(row);
        };
        let ratio = Spread::of([cpu.median / first.median]);
        Some(row.beside(first, ratio).reach(Reach::RatioAtMost(1.2)))
    };
    costs.into_iter().filter_map(row).collect()
}

impl LongHistory {
    async fn start(engine: Engine) -> anyhow::Result<Self> {
        Ok(Self {
            pipe: WholePipe::start(engine, 1).await?,
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
        publish_all(&self.pipe.js, numbers.map(|number| load.batch(number))).await?;
        self.completed(self.batches).await
    }

    /// Asks so often for the metrics of the last seven days.
    async fn reads(&self, times: usize) -> anyhow::Result<Vec<ReadTimes>> {
        let last = (self.batches / BATCHES_A_DAY).saturating_sub(1);
        let (from, to) = (date(last.saturating_sub(6)), date(last));
        let mut reads = Vec::new();
        for (route, query) in ROUTES {
            let parameter = ["{day}", "{week}"]
                .into_iter()
                .find_map(|name| route.split_once(name));
            let path = match parameter {
                Some((before, after)) => format!("{before}{}{after}", query(&from, &to)),
                None => format!("{route}{}", query(&from, &to)),
            };
            let mut bytes = 0;
            let mut took = Vec::with_capacity(times);
            for _ in 0..times {
                let reply = self.pipe.get(&path, "dev-0").await?;
                took.push(reply.took);
                bytes = reply.bytes;
            }
            reads.push(ReadTimes {
                route,
                p50: millis(percentile(&took, 50)),
                p99: millis(percentile(&took, 99)),
                bytes,
            });
        }
        Ok(reads)
    }

    /// Sends the first batches of a new day one by one; gives what one cost.
    /// The rest of the day is not measured.
    async fn new_day(&mut self, batches: usize) -> anyhow::Result<BatchCpu> {
        let before = self.batches as u64;
        let numbers = self.next(batches);
        let load = &self.load;
        let bodies = numbers.map(|number| load.batch(number));
        let WholePipe {
            deployment,
            js,
            watch,
            ..
        } = &self.pipe;
        let cost = complete_each(deployment, js, watch, before, bodies).await?;
        let rest = self.batches.next_multiple_of(BATCHES_A_DAY) - self.batches;
        let numbers = self.next(rest);
        let load = &self.load;
        publish_all(&self.pipe.js, numbers.map(|number| load.batch(number))).await?;
        self.completed(self.batches).await?;
        let server = cost.processes().any(|process| process == POSTGRES);
        Ok(BatchCpu {
            workers: cost.workers_cpu(),
            server: server.then(|| cost.cpu(POSTGRES)),
        })
    }

    /// Waits until so many batches are completed.
    async fn completed(&self, batches: usize) -> anyhow::Result<()> {
        self.pipe
            .watch
            .completed(batches as u64, Instant::now(), |_| Ok(()))
            .await?;
        Ok(())
    }
}
