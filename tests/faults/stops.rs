//! Workers that are told to stop while Postgres stands still: they end all the same.

use std::time::{Duration, Instant};

use harness::{Engine, ROLES, until};
use nix::sys::signal::Signal;

use crate::figures::say;
use crate::load::Load;
use crate::plan::{Blow, Fault};
use crate::run::service;
use crate::world::{SHUTDOWN, World};

/// What a worker may take after its shutdown timeout: two steps of 2 s (`common/bus/src/pull.rs`), and what
/// a busy machine adds. Less than the 15 s after which the program is cut off (`common/runtime/src/process.rs`).
const GRACE: Duration = Duration::from_secs(2 + 2 + 4);

#[tokio::test(flavor = "multi_thread")]
async fn workers_end_within_their_shutdown_timeout_while_postgres_stands_still() {
    let mut world = World::start(Engine::Postgres, false).await;
    let load = Load::start(&service(&world.site, world.urls()).await, 1);
    until("the load runs", async || {
        (load.log().acks.len() > 50).then_some(())
    })
    .await;
    let paused = Fault::Postgres(Blow::Pause);
    world.begin(paused);
    let before = load.log().acks.len();
    until("workers meet it", async || {
        (load.log().acks.len() > before + 50).then_some(())
    })
    .await;
    let mut waiting: Vec<String> = world
        .site
        .names()
        .into_iter()
        .filter(|name| ROLES.iter().any(|role| name.starts_with(role)))
        .collect();
    waiting
        .iter()
        .for_each(|name| world.site.signal(name, Signal::SIGTERM));
    let (started, mut took) = (Instant::now(), Vec::new());
    until("the workers have ended", async || {
        let (running, ended): (Vec<String>, Vec<String>) = std::mem::take(&mut waiting)
            .into_iter()
            .partition(|name| world.site.runs(name));
        took.extend(ended.into_iter().map(|name| (name, started.elapsed())));
        waiting = running;
        waiting.is_empty().then_some(())
    })
    .await;
    say(&format!(
        "told to stop while Postgres stood still, workers ended after {took:?}"
    ));
    world.end(paused).await;
    let cut_off: Vec<_> = took
        .iter()
        .filter(|(name, _)| world.site.log(name).contains("cut off"))
        .collect();
    assert!(
        cut_off.is_empty(),
        "they did not end by themselves: {cut_off:?}"
    );
    let late: Vec<_> = took
        .iter()
        .filter(|(_, took)| *took > SHUTDOWN + GRACE)
        .collect();
    assert!(
        late.is_empty(),
        "{late:?}, where {SHUTDOWN:?} and a grace of {GRACE:?} are the bound\n{}",
        world.site.logs()
    );
    world.raise();
    let log = load.finish().await;
    assert!(log.broken.is_empty(), "{:?}", log.broken);
}
