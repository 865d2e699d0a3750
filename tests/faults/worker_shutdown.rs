//! Workers that are stopped while Postgres is frozen end in time.

use std::time::{Duration, Instant};

use harness::{Engine, ROLES, until};
use nix::sys::signal::Signal;

use crate::clients::Load;
use crate::figures::say;
use crate::run::service;
use crate::schedule::{Fault, ProcessFault};
use crate::testbed::{SHUTDOWN, Testbed};

/// What a worker may take after its shutdown timeout: two steps of 2 s (`common/bus/src/pull.rs`), and what
/// a busy machine adds. Less than the 15 s after which the program is cut off (`common/runtime/src/process.rs`).
const GRACE: Duration = Duration::from_secs(2 + 2 + 4);

#[tokio::test(flavor = "multi_thread")]
async fn workers_stop_in_time_while_postgres_is_frozen() {
    let mut testbed = Testbed::start(Engine::Postgres, false).await;
    let load = Load::start(&service(&testbed.deployment, testbed.urls()).await, 1);
    until("the load runs", async || {
        (load.log().acks.len() > 50).then_some(())
    })
    .await;
    let paused = Fault::Postgres(ProcessFault::Pause);
    testbed.begin(paused);
    let before = load.log().acks.len();
    until("workers meet it", async || {
        (load.log().acks.len() > before + 50).then_some(())
    })
    .await;
    let mut waiting: Vec<String> = testbed
        .deployment
        .names()
        .into_iter()
        .filter(|name| ROLES.iter().any(|role| name.starts_with(role)))
        .collect();
    waiting
        .iter()
        .for_each(|name| testbed.deployment.signal(name, Signal::SIGTERM));
    let started = Instant::now();
    let mut took = Vec::new();
    until("the workers have ended", async || {
        let (running, ended): (Vec<String>, Vec<String>) = std::mem::take(&mut waiting)
            .into_iter()
            .partition(|name| testbed.deployment.runs(name));
        took.extend(ended.into_iter().map(|name| (name, started.elapsed())));
        waiting = running;
        waiting.is_empty().then_some(())
    })
    .await;
    say(&format!(
        "stopped while Postgres was frozen, workers ended after {took:?}"
    ));
    testbed.end(paused).await;
    let cut_off: Vec<_> = took
        .iter()
        .filter(|(name, _)| testbed.deployment.log(name).contains("cut off"))
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
        testbed.deployment.logs()
    );
    testbed.raise();
    let log = load.finish().await;
    assert!(log.broken.is_empty(), "{:?}", log.broken);
}
