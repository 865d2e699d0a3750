//! Batches of one event into an hour that already holds very many events of its developer: at its end, and late.

use std::time::Instant;

use async_nats::jetstream;
use harness::{Deployment, Engine};

use crate::encode::publish_all;
use crate::one_by_one::{BatchCost, complete_each};
use crate::plan::{Plan, name};
use crate::process_rows::process_rows;
use crate::report::{Report, say};
use crate::row::{BenchRow, Reach, figure};
use crate::stats::Spread;
use crate::watch::StoreWatch;
use crate::workday::{EventSpec, body};

const DEVELOPER: &str = "heavy";
/// Events in a batch of the load that fills the hour: the most that the collector takes.
const FULL_BATCH: usize = 1000;
const MINUTE_MS: u64 = 60_000;
/// The hour's first millisecond in the local day, and the time that the load fills.
const HOUR_MS: u64 = 10 * 60 * MINUTE_MS;
const FILLED_MS: u64 = 50 * MINUTE_MS;
/// A late event is so long before the end of what the hour holds.
const LATE_MS: u64 = 40 * MINUTE_MS;

/// One way to send a batch of one event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Arrival {
    AtTheEnd,
    Late,
}

impl Arrival {
    fn event(self, number: usize) -> EventSpec {
        // Every event a time of its own.
        let step = 100 * number as u64;
        EventSpec {
            day: 0,
            millisecond: HOUR_MS
                + match self {
                    Self::AtTheEnd => FILLED_MS + step,
                    Self::Late => FILLED_MS - LATE_MS + step,
                },
            number,
        }
    }
}

/// A deployment whose hour is full.
struct HeavyHour {
    deployment: Deployment,
    js: jetstream::Context,
    watch: StoreWatch,
    /// Batches that filled it.
    filled: u64,
    /// Batches sent since.
    sent: usize,
}

/// The rows of both stores.
///
/// # Errors
/// The failure of a process, or a store that does not get on.
pub async fn measure(plan: &Plan, report: &mut Report) -> anyhow::Result<()> {
    let events = plan.events(10_000, 100_000);
    let batches = plan.size(10, 20);
    for &engine in &plan.engines {
        say(&format!("heavy hour, {}: filling it", name(engine)));
        let mut hour = HeavyHour::fill(engine, events).await?;
        let (mut at_the_end, mut late) = (Vec::new(), Vec::new());
        for _ in 0..plan.rounds {
            at_the_end.push(hour.send(Arrival::AtTheEnd, batches).await?);
            late.push(hour.send(Arrival::Late, batches).await?);
        }
        let title = format!(
            "A batch of one event into an hour of {} events, {}",
            figure(events as f64),
            name(engine)
        );
        let mut both = rows("at its end", Reach::AtMost(10.0), &at_the_end);
        both.extend(rows("40 minutes late", Reach::AtMost(20.0), &late));
        report.add(&title, both);
        hour.deployment.remove().await;
    }
    Ok(())
}

impl HeavyHour {
    async fn fill(engine: Engine, events: usize) -> anyhow::Result<Self> {
        let mut deployment = Deployment::start(engine).await;
        let js = deployment.js().await;
        let spec = |number: usize| EventSpec {
            day: 0,
            millisecond: HOUR_MS + FILLED_MS * number as u64 / events as u64,
            number,
        };
        let bodies = (0..events).step_by(FULL_BATCH).map(|first| {
            let numbers = first..events.min(first + FULL_BATCH);
            body(DEVELOPER, &format!("fill-{first}"), numbers.map(spec))
        });
        publish_all(&js, bodies).await?;
        deployment.workers(1);
        let watch = StoreWatch::open(&deployment).await?;
        let filled = events.div_ceil(FULL_BATCH) as u64;
        watch.completed(filled, Instant::now(), |_| Ok(())).await?;
        Ok(Self {
            deployment,
            js,
            watch,
            filled,
            sent: 0,
        })
    }

    /// Sends batches one after the other, each when the one before is completed; gives what a batch used.
    async fn send(&mut self, arrival: Arrival, batches: usize) -> anyhow::Result<BatchCost> {
        let from = self.sent;
        self.sent += batches;
        let bodies = (from..self.sent).map(|number| {
            let event = std::iter::once(arrival.event(number));
            body(DEVELOPER, &format!("one-{number}"), event)
        });
        let completed = self.filled + from as u64;
        complete_each(&self.deployment, &self.js, &self.watch, completed, bodies).await
    }
}

fn rows(when: &str, reach: Reach, rounds: &[BatchCost]) -> Vec<BenchRow> {
    let over = |figure: &dyn Fn(&BatchCost) -> f64| Spread::of(rounds.iter().map(figure));
    let mut rows = vec![
        BenchRow::new(
            format!("{when}: CPU of all workers"),
            "ms/batch",
            over(&BatchCost::workers_cpu),
        )
        .reach(reach),
        BenchRow::new(
            format!("{when}: published to completed"),
            "ms",
            over(&BatchCost::took),
        ),
    ];
    rows.extend(process_rows(
        &format!("{when}: "),
        "ms/batch",
        rounds[0].processes(),
        |process| over(&|cost| cost.cpu(process)),
    ));
    rows
}
