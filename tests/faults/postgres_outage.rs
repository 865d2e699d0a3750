//! Postgres stopped under load (R2.4): batches are acknowledged meanwhile, and all are stored afterwards.

use std::collections::BTreeMap;
use std::time::Duration;

use harness::{Engine, in_ci, until};

use crate::clients::Load;
use crate::figures::Run;
use crate::run::{conclude, number, service};
use crate::schedule::{Fault, ProcessFault};
use crate::testbed::Testbed;

/// Seconds that Postgres is away on a developer's machine.
const AWAY: u64 = 6;
/// The same in continuous integration and in `make chaos`, as R2.4 asks.
const LONG_AWAY: u64 = 60;

#[tokio::test(flavor = "multi_thread")]
async fn postgres_stopped_under_load_delays_and_loses_nothing() {
    let away = Duration::from_secs(number(
        "DEVTRAIL_FAULTS_AWAY",
        if in_ci() { LONG_AWAY } else { AWAY },
    ));
    let mut testbed = Testbed::start(Engine::Postgres, false).await;
    let load = Load::start(&service(&testbed.deployment, testbed.urls()).await, 1);
    until("the load runs", async || {
        (load.log().acks.len() > 50).then_some(())
    })
    .await;
    let stopped = Fault::Postgres(ProcessFault::Stop);
    testbed.begin(stopped);
    let before = load.log().acks.len();
    tokio::time::sleep(away).await; // sleep: the outage
    let meanwhile = load.log().acks.len() - before;
    assert!(
        meanwhile > 50,
        "only {meanwhile} batches were acknowledged while the store was away"
    );
    testbed.end(stopped).await;
    let then = load.log().acks.len();
    until("the load goes on", async || {
        (load.log().acks.len() > then + 50).then_some(())
    })
    .await;
    let log = load.finish().await;
    let faults = BTreeMap::from([(stopped.kind(), 1)]);
    let ended = testbed.ended.clone();
    let run = Run {
        title: "store away".to_owned(),
        seed: 1,
        engine: Engine::Postgres,
        span: away,
        faults,
        ended,
    };
    conclude(&mut testbed, log, run).await;
}
