//! The whole pipe, from the first byte sent to completed: how much it sustains, and how soon a batch is stored.

use std::cell::RefCell;
use std::collections::{BTreeMap, HashMap};
use std::convert::Infallible;
use std::time::{Duration, Instant};

use futures_util::future::try_join_all;
use tokio::sync::oneshot;

use crate::load::{Load, open_loop};
use crate::plan::{Plan, name};
use crate::process_rows::process_rows;
use crate::raw::{self, RawMessages, publish_raw};
use crate::report::{Report, say};
use crate::rounds::Interleaved;
use crate::row::{BenchRow, Reach};
use crate::stats::{Spread, micros};
use crate::usage::{Meter, Usage, workers_cpu};
use crate::watch::StallCheck;
use crate::whole::WholePipe;
use crate::workday::{BATCH, Workdays};

/// Clients, each with a batch between sent and completed.
const CLIENTS: usize = 64;
/// Days of a load: more batches than are sent in a round.
const DAYS: usize = 50;

/// A round of the closed loop to completed.
struct Round {
    /// Batches a second.
    rate: f64,
    batches: f64,
    used: BTreeMap<String, Usage>,
}

impl Round {
    fn cpu(&self, process: &str) -> f64 {
        micros(self.used[process].cpu) / self.batches / BATCH as f64
    }
}

/// The rows of both stores.
///
/// # Errors
/// The failure of a process, or a store that does not get on.
pub async fn measure(plan: &Plan, report: &mut Report) -> anyhow::Result<()> {
    let length = Duration::from_secs(plan.size(2, 5));
    for &engine in &plan.engines {
        say(&format!("pipe, {}", name(engine)));
        let pipe = WholePipe::start(engine, CLIENTS).await?;
        raw::make_stream(&pipe.js).await?;
        let measured = Interleaved::measure(
            plan.rounds,
            async |round| sustain(&pipe, &load(&format!("full-{round}"), round), length).await,
            async |round| {
                let messages = RawMessages::of(load(&format!("bare-{round}"), round).batches())?;
                let load = publish_raw(&pipe.js, &messages, CLIENTS, length).await?;
                raw::purge(&pipe.js, raw::STREAM).await?;
                Ok(load)
            },
        )
        .await?;
        let rate = |round: &Round| round.rate;
        let mut rows = vec![
            BenchRow::new(
                format!("{CLIENTS} clients who wait until their batch is completed, beside raw publishes"),
                "batches/s",
                measured.ours(rate),
            )
            .beside(
                measured.ceiling(Load::rate),
                measured.ratio(rate, Load::rate),
            )
            .reach(Reach::RatioAtLeast(0.3)),
            BenchRow::new(
                "CPU of all workers",
                "µs/event",
                measured
                    .ours(|round| micros(workers_cpu(&round.used)) / round.batches / BATCH as f64),
            ),
        ];
        let processes = measured.ours[0].used.keys();
        rows.extend(process_rows("", "µs/event", processes, |process| {
            measured.ours(|round| round.cpu(process))
        }));
        let half = measured.ours(rate).median / 2.0;
        rows.extend(to_stored(plan, &pipe, half, length).await?);
        report.add(&format!("The whole pipe, {}", name(engine)), rows);
        pipe.deployment.remove().await;
    }
    Ok(())
}

/// More batches than a round sends.
fn load(run: &str, turn: usize) -> Workdays {
    Workdays {
        run: run.to_owned(),
        developers: CLIENTS,
        events_a_day: 2000,
        days: DAYS,
        first_day: turn * DAYS,
    }
}

/// Every developer is a client who sends a batch, waits until it is completed, and sends the next; for so long.
async fn sustain(pipe: &WholePipe, load: &Workdays, length: Duration) -> anyhow::Result<Round> {
    let meter = Meter::start(&pipe.deployment).await?;
    let waiting: RefCell<HashMap<String, oneshot::Sender<()>>> = RefCell::default();
    let start = Instant::now();
    let client = async |developer: usize| {
        let numbers = (developer..load.len()).step_by(load.developers);
        let mut sent = 0;
        for number in numbers.take_while(|_| start.elapsed() < length) {
            let (completed, is_completed) = oneshot::channel();
            let id = format!("{}-{number}", load.run);
            waiting.borrow_mut().insert(id, completed);
            pipe.send(&load.batch(number), false).await?;
            is_completed.await?;
            sent += 1;
        }
        anyhow::Ok(sent)
    };
    let clients = try_join_all((0..load.developers).map(client));
    let sent: Vec<usize> = tokio::select! {
        sent = clients => sent?,
        never = tell_completed(pipe, &waiting) => match never? {},
    };
    let took = start.elapsed();
    let batches = sent.iter().sum::<usize>() as f64;
    Ok(Round {
        rate: batches / took.as_secs_f64(),
        batches,
        used: meter.read()?,
    })
}

/// Tells those who wait that their batches are completed.
async fn tell_completed(
    pipe: &WholePipe,
    waiting: &RefCell<HashMap<String, oneshot::Sender<()>>>,
) -> anyhow::Result<Infallible> {
    let mut stalled = StallCheck::new(0);
    let mut told = 0;
    let mut all_before = 0;
    loop {
        let mut reached = all_before;
        for (seq, id) in pipe.watch.completed_after(all_before).await? {
            if seq == reached + 1 {
                reached = seq;
            }
            if let Some(waits) = waiting.borrow_mut().remove(&id) {
                told += 1;
                // A client whose request failed has ended the round.
                let _ = waits.send(());
            }
        }
        all_before = reached;
        stalled.see(told)?;
        tokio::time::sleep(Duration::from_millis(1)).await; // sleep: between two polls of the store
    }
}

/// Request to stored, at a rate in batches a second.
async fn to_stored(
    plan: &Plan,
    pipe: &WholePipe,
    rate: f64,
    length: Duration,
) -> anyhow::Result<Vec<BenchRow>> {
    let mut loads = Vec::new();
    for round in 0..plan.rounds {
        let batches = load(&format!("half-{round}"), plan.rounds + round);
        let send = async |number| pipe.send(&batches.batch(number), true).await;
        loads.push(open_loop(rate, length, send).await?);
    }
    let row = |percent| {
        let spread = Spread::of(loads.iter().map(|load| load.percentile(percent)));
        let what = format!("p{percent} request to stored, at half of that ({rate:.0} batches/s)");
        BenchRow::new(what, "ms", spread)
    };
    Ok(vec![row(50), row(99).reach(Reach::AtMost(250.0))])
}
