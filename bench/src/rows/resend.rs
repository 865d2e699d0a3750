//! A storm of resends: batches that are all stored already, inside the server's window and outside it.

use std::time::{Duration, Instant};

use anyhow::ensure;

use crate::plan::{Plan, name};
use crate::report::{Report, say};
use crate::rounds::Interleaved;
use crate::row::{BenchRow, Reach};
use crate::whole::WholePipe;
use crate::workday::Workdays;

const CLIENTS: usize = 64;
const DEVELOPERS: usize = 32;

/// How long the same batches took, each until the last of them was worked off.
struct Resends {
    inside: Duration,
    outside: Duration,
}

/// The rows of both stores.
///
/// # Errors
/// The failure of a process, or a store that does not get on.
pub async fn measure(plan: &Plan, report: &mut Report) -> anyhow::Result<()> {
    let events = plan.events(12_800, 64_000);
    for &engine in &plan.engines {
        let pipe = WholePipe::start(engine, DEVELOPERS).await?;
        let streams = pipe.deployment.streams().await;
        let window = streams.edit("EVENTS", |_| ()).await.duplicate_window;
        let load = |round| Workdays::one_day(format!("resend-{round}"), DEVELOPERS, events);
        let batches = load(0).len() as f64;
        // The ceiling of a round is the fresh load that the round then sends again.
        let measured = Interleaved::measure(
            plan.rounds,
            async |round| {
                say(&format!("resends, {}, round {}", name(engine), round + 1));
                let load = load(round);
                let before = pipe.watch.progress().await?.stored;
                let inside = send_all(&pipe, &load, before).await?;
                streams.forget_message_ids("EVENTS").await;
                let expected = before + load.len() as u64;
                let outside = send_all(&pipe, &load, expected).await?;
                let resends = Resends { inside, outside };
                streams
                    .edit("EVENTS", |config| config.duplicate_window = window)
                    .await;
                Ok(resends)
            },
            async |round| {
                let before = pipe.watch.progress().await?.stored;
                let expected = before + load(round).len() as u64;
                send_all(&pipe, &load(round), expected).await
            },
        )
        .await?;
        let stored = pipe.watch.number("SELECT count(*) FROM events").await?;
        ensure!(
            stored == (plan.rounds * load(0).events()) as u64,
            "{stored} events are stored"
        );
        let rate = |took: Duration| batches / took.as_secs_f64();
        let row = |what: &str, ours: &dyn Fn(&Resends) -> Duration| {
            let ours = |resends: &Resends| rate(ours(resends));
            let fresh = |took: &Duration| rate(*took);
            BenchRow::new(what, "batches/s", measured.ours(ours))
                .beside(measured.ceiling(fresh), measured.ratio(ours, fresh))
                .reach(Reach::RatioAtLeast(1.5))
        };
        let rows = vec![
            row("inside the window, beside fresh load", &|resends| {
                resends.inside
            }),
            row("outside the window, beside fresh load", &|resends| {
                resends.outside
            }),
        ];
        report.add(&format!("A storm of resends, {}", name(engine)), rows);
        pipe.deployment.remove().await;
    }
    Ok(())
}

/// How long it takes to send all batches and to have so many in the store completed.
async fn send_all(pipe: &WholePipe, load: &Workdays, expected: u64) -> anyhow::Result<Duration> {
    let start = Instant::now();
    send(pipe, load).await?;
    let milestones = pipe.watch.completed(expected, start, |_| Ok(())).await?;
    Ok(milestones.completed)
}

async fn send(pipe: &WholePipe, load: &Workdays) -> anyhow::Result<()> {
    use futures_util::{StreamExt as _, TryStreamExt as _, stream};
    stream::iter(load.batches())
        .map(async |body| pipe.send(&body, false).await)
        .buffer_unordered(CLIENTS)
        .try_collect()
        .await
}
