//! How long other developers wait for their results while one of them floods, and the memory that the flood takes.

use std::cell::Cell;
use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use futures_util::future::try_join;

use crate::load::{Load, open_loop};
use crate::plan::{Plan, name};
use crate::process_rows::memory_rows;
use crate::report::{Report, say};
use crate::rounds::Interleaved;
use crate::row::{BenchRow, Reach, figure};
use crate::usage::workers_memory;
use crate::watch::StallCheck;
use crate::whole::WholePipe;
use crate::workday::{BATCH, Workdays};

/// Developers who send now and then, and the batches a second of all of them together.
const QUIET: usize = 10;
const QUIET_RATE: f64 = 20.0;
/// Batches that the flooding one keeps between sent and acknowledged.
const FLOOD: usize = 64;

/// How much one developer sends, as fast as the collector takes it.
struct Flood {
    what: String,
    /// Batches at most.
    most: usize,
}

/// What a key may send at once by default, and as much as can be sent while the others are measured.
fn floods(plan: &Plan, length: Duration) -> [Flood; 2] {
    let burst = plan.events(10_000, 100_000);
    [
        Flood {
            what: format!("while one sends {} events at once", figure(burst as f64)),
            most: burst / BATCH,
        },
        Flood {
            what: format!(
                "while one sends for {} s without any limit",
                length.as_secs()
            ),
            most: plan.size(burst / BATCH, usize::MAX),
        },
    ]
}

/// The rows of both stores.
///
/// # Errors
/// The failure of a process, or a store that does not get on.
pub async fn measure(plan: &Plan, report: &mut Report) -> anyhow::Result<()> {
    let length = Duration::from_secs(plan.size(2, 8));
    for &engine in &plan.engines {
        let pipe = WholePipe::start(engine, QUIET + 1).await?;
        let mut turn = 0;
        let mut rows = Vec::new();
        for flood in floods(plan, length) {
            say(&format!("fairness, {}, {}", name(engine), flood.what));
            let measured = beside_and_alone(plan, &pipe, &mut turn, &flood, length).await?;
            let p99 = |flooded: &Flooded| flooded.times.percentile(99);
            let alone = |load: &Load| load.percentile(99);
            rows.push(
                BenchRow::new(
                    format!(
                        "p99 to completed of the others {}, beside without",
                        flood.what
                    ),
                    "ms",
                    measured.ours(p99),
                )
                .beside(measured.ceiling(alone), measured.ratio(p99, alone))
                .reach(Reach::RatioAtMost(2.0)),
            );
            rows.push(BenchRow::new(
                "its batches",
                "batches",
                measured.ours(|flooded| flooded.batches as f64),
            ));
        }
        let memory = workers_memory(&pipe.deployment)?;
        rows.extend(memory_rows(", the floods included", &[&memory]));
        report.add(&format!("Fairness, {}", name(engine)), rows);
        pipe.deployment.remove().await;
    }
    Ok(())
}

/// Rounds with the flood and without, each on days of its own: `turn` counts them.
async fn beside_and_alone(
    plan: &Plan,
    pipe: &WholePipe,
    turn: &mut usize,
    flood: &Flood,
    length: Duration,
) -> anyhow::Result<Interleaved<Flooded, Load>> {
    let turns = Cell::from_mut(turn);
    let next = || turns.replace(turns.get() + 1);
    Interleaved::measure(
        plan.rounds,
        async |_| {
            let turn = next();
            let quiet = Quiet::new(pipe, format!("beside-{turn}"), turn);
            let sending = send_flood(pipe, flood_load(turn), length, flood.most);
            let (times, batches) = try_join(quiet.completed(length), sending).await?;
            worked_off(pipe).await?;
            Ok(Flooded { times, batches })
        },
        async |_| {
            let turn = next();
            let quiet = Quiet::new(pipe, format!("alone-{turn}"), turn);
            quiet.completed(length).await
        },
    )
    .await
}

/// The quiet developers' times while another sent so many batches.
struct Flooded {
    times: Load,
    batches: usize,
}

/// Developers who send now and then.
struct Quiet<'a> {
    pipe: &'a WholePipe,
    load: Workdays,
}

impl<'a> Quiet<'a> {
    fn new(pipe: &'a WholePipe, run: String, first_day: usize) -> Self {
        Self {
            pipe,
            load: Workdays {
                run,
                developers: QUIET,
                events_a_day: 2000,
                days: 1,
                first_day,
            },
        }
    }

    /// Sends at a fixed rate; gives each batch's time from when it was due until it was completed.
    async fn completed(&self, length: Duration) -> anyhow::Result<Load> {
        let done = tokio::sync::watch::Sender::new(BTreeSet::new());
        let ended = Cell::new(false);
        let send = async {
            let batch = async |number| {
                let id = format!("{}-{number}", self.load.run);
                let mut seen = done.subscribe();
                self.pipe.send(&self.load.batch(number), false).await?;
                seen.wait_for(|done: &BTreeSet<String>| done.contains(&id))
                    .await?;
                Ok(())
            };
            let load = open_loop(QUIET_RATE, length, batch).await;
            ended.set(true);
            load
        };
        let developers: Vec<String> = (0..QUIET).map(|number| format!("'dev-{number}'")).collect();
        // The state is no condition: an index on it would lead through all batches of the flood.
        let query = format!(
            "SELECT CASE WHEN state = 'completed' THEN batch_id ELSE '' END FROM batches \
             WHERE developer IN ({}) AND batch_id > '{run}-' AND batch_id < '{run}.'",
            developers.join(","),
            run = self.load.run,
        );
        let watch = async {
            let mut stalled = StallCheck::new(0);
            while !ended.get() {
                let completed: BTreeSet<String> =
                    self.pipe.watch.texts(&query).await?.into_iter().collect();
                stalled.see(completed.len())?;
                done.send_replace(completed);
                tokio::time::sleep(Duration::from_millis(2)).await; // sleep: between two polls of the store
            }
            Ok(())
        };
        let (load, ()) = try_join(send, watch).await?;
        Ok(load)
    }
}

/// Days of a flood: more batches than are sent in a round.
const FLOOD_DAYS: usize = 60;

/// The load of a turn; every other turn has a flood.
fn flood_load(turn: usize) -> Workdays {
    Workdays {
        run: format!("flood-{turn}"),
        developers: QUIET + 1,
        events_a_day: 10_000,
        days: FLOOD_DAYS,
        first_day: turn / 2 * FLOOD_DAYS,
    }
}

/// One developer sends as fast as the collector takes it, for so long or so many batches; gives how many.
async fn send_flood(
    pipe: &WholePipe,
    load: Workdays,
    length: Duration,
    most: usize,
) -> anyhow::Result<usize> {
    use futures_util::{StreamExt as _, TryStreamExt as _, stream};
    // Of all developers' batches those of the one that is not among the quiet.
    let numbers = (QUIET..load.len()).step_by(QUIET + 1).take(most);
    let start = Instant::now();
    let sent = Cell::new(0);
    stream::iter(numbers.take_while(|_| start.elapsed() < length))
        .map(async |number| {
            pipe.send(&load.batch(number), false).await?;
            sent.set(sent.get() + 1);
            anyhow::Ok(())
        })
        .buffer_unordered(FLOOD)
        .try_for_each(async |()| Ok(()))
        .await?;
    Ok(sent.get())
}

/// Waits until nothing is left to do, so that the next round begins on an idle pipe.
async fn worked_off(pipe: &WholePipe) -> anyhow::Result<()> {
    let sent = pipe.deployment.streams().await.messages("EVENTS").await;
    pipe.watch
        .completed(sent, Instant::now(), |_| Ok(()))
        .await?;
    Ok(())
}
