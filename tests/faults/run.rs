//! One run: load, faults by a schedule, and the judgement.

use std::time::Duration;

use async_nats::jetstream::consumer::PullConsumer;
use harness::{Deployment, Engine};
use serde_json::Value;

use crate::clients::{DEVELOPERS, Load, Service};
use crate::figures::{Run, say};
use crate::garbage::GarbagePublisher;
use crate::injector::carry_out;
use crate::oracle::judge;
use crate::oracle::observed::Observed;
use crate::schedule::{Fault, plan};
use crate::send_log::{Log, name};
use crate::testbed::Testbed;

/// How long the work that is left may make no progress before it counts as stuck: longer than the slowest
/// redelivery, lease and pause between retries together.
const STUCK: Duration = Duration::from_secs(90);

/// A number that the environment gives, such as `make chaos`, else the default.
pub fn number(name: &str, default: u64) -> u64 {
    std::env::var(name)
        .ok()
        .map_or(default, |text| text.parse().expect(name))
}

/// A run of the seed and span that the environment names, else of these. If no disk can be mounted,
/// its schedule is the same without full disks.
pub async fn seeded(engine: Engine, can_mount: bool, seed: u64, seconds: u64) {
    let seed = number("DEVTRAIL_FAULTS_SEED", seed);
    let span = Duration::from_secs(number("DEVTRAIL_FAULTS_SECONDS", seconds));
    let mut scheduled = plan(seed, span, engine);
    if let Ok(only) = std::env::var("DEVTRAIL_FAULTS_ONLY") {
        scheduled.retain(|one| only.split(',').any(|part| one.to_string().contains(part)));
    }
    if !can_mount {
        scheduled.retain(|one| !matches!(one.fault, Fault::FullDisk(_)));
        say("left out: full disks");
    }
    let again = format!(
        "DEVTRAIL_FAULTS_SEED={seed} DEVTRAIL_FAULTS_SECONDS={}",
        span.as_secs()
    );
    say(&format!(
        "seed {seed} on {}, {} faults; again by {again}",
        name(engine),
        scheduled.len()
    ));
    scheduled.iter().for_each(|one| say(&one.to_string()));
    let mut testbed = Testbed::start(engine, can_mount).await;
    let load = Load::start(&service(&testbed.deployment, testbed.urls()).await, seed);
    let garbage = GarbagePublisher::start(&testbed.deployment, seed);
    let faults = carry_out(&mut testbed, &scheduled, span).await;
    let mut log = load.finish().await;
    log.garbage = garbage.finish(&testbed.deployment).await;
    let ended = testbed.ended.clone();
    let title = std::env::var("DEVTRAIL_FAULTS_TITLE").unwrap_or_else(|_| "seeds".to_owned());
    conclude(
        &mut testbed,
        log,
        Run {
            title,
            seed,
            engine,
            span,
            faults,
            ended,
        },
    )
    .await;
}

/// The collectors as clients know them, once they know the clients' keys.
pub async fn service(deployment: &Deployment, urls: Vec<String>) -> Service {
    let mut keys = Vec::new();
    for developer in DEVELOPERS {
        let client = deployment.client(&urls[0], developer).await;
        let other = harness::Client::new(&urls[1], client.key());
        let known = async || (other.post(&Value::Null).await.ok()?.status() == 400).then_some(());
        harness::until("the other collector knows the key", known).await;
        keys.push(client.key().to_owned());
    }
    Service { urls, keys }
}

/// Waits for the work that is left, judges, and asks `devtrail verify` as well.
///
/// # Panics
/// If anything is lost, doubled, changed, invented or left undone.
pub async fn conclude(testbed: &mut Testbed, log: Log, run: Run) {
    say(&format!(
        "the clients are done: {} requests, {} retries",
        log.requests, log.retries
    ));
    until_done(testbed, &log).await;
    let observed = Observed::read(&testbed.deployment).await;
    let mut judgement = judge(&log, &observed);
    judgement.findings.splice(
        ..0,
        testbed
            .deployment
            .crashes
            .iter()
            .map(|crash| format!("crashed: {crash}")),
    );
    run.conclude(&log, &judgement);
    keep_logs(testbed, &run);
    let findings = &judgement.findings;
    if !findings.is_empty() {
        let first = findings
            .iter()
            .take(20)
            .cloned()
            .collect::<Vec<_>>()
            .join("\n");
        panic!(
            "seed {}: {} findings, the first:\n{first}\n{}",
            run.seed,
            findings.len(),
            testbed.deployment.logs()
        );
    }
    second_opinion(testbed, &log);
}

/// Waits until every message is stored or dead, every batch completed and every alert published;
/// stops if nothing has changed for [`STUCK`].
async fn until_done(testbed: &mut Testbed, log: &Log) {
    const LEFT: &str = "SELECT (SELECT count(*) FROM batches WHERE state <> 'completed'),
        (SELECT count(*) FROM alerts WHERE published < revision), (SELECT count(*) FROM batches)";
    let mut polls = tokio::time::interval(Duration::from_millis(100));
    let mut before = Vec::new();
    let mut since = tokio::time::Instant::now();
    loop {
        polls.tick().await;
        testbed.raise();
        if !testbed.deployment.crashes.is_empty() {
            return say("a process has crashed: the rest of the work is not waited for");
        }
        let js = testbed.deployment.js().await;
        let last = js
            .get_stream("EVENTS")
            .await
            .expect("EVENTS")
            .cached_info()
            .state
            .last_sequence;
        let dead = js
            .get_stream("DEAD")
            .await
            .expect("DEAD")
            .cached_info()
            .state
            .messages;
        // A dead letter may be there while its message is still to come again, and to become another one.
        let open = open(&js).await;
        let mut now = testbed.database().rows(LEFT).await.remove(0);
        let stored: u64 = now[2].parse().expect("a count");
        let garbage = log.garbage.len() as u64;
        if now[0] == "0"
            && now[1] == "0"
            && stored + garbage >= last
            && dead >= garbage
            && open == 0
        {
            return;
        }
        now.push(format!("{last} {dead} {open}"));
        if now != before {
            (before, since) = (now, tokio::time::Instant::now());
        } else if since.elapsed() > STUCK {
            say(&format!(
                "stuck: open batches, unpublished alerts, batches; last sequence, dead and ack-pending: {before:?}"
            ));
            return;
        }
    }
}

/// Messages of EVENTS that the workers have not settled.
async fn open(js: &async_nats::jetstream::Context) -> u64 {
    let stream = js.get_stream("EVENTS").await.expect("EVENTS");
    let consumer: PullConsumer = stream.get_consumer("persist").await.expect("its consumer");
    let info = consumer.cached_info();
    info.num_pending + info.num_ack_pending as u64
}

/// `devtrail verify` finds nothing wrong, and the garbage in DEAD.
fn second_opinion(testbed: &Testbed, log: &Log) {
    let report = testbed.deployment.verify();
    assert!(
        report["stored"].as_u64().is_some_and(|stored| stored > 0),
        "verify saw nothing: {report}"
    );
    assert_eq!(
        report["dead"],
        log.garbage.len(),
        "verify counts other messages in DEAD: {report}"
    );
}

/// What the processes logged stays in a folder of `DEVTRAIL_FAULTS_LOGS`, if that names one.
fn keep_logs(testbed: &Testbed, run: &Run) {
    let Some(parent) = std::env::var_os("DEVTRAIL_FAULTS_LOGS") else {
        return;
    };
    let folder = format!("{}-{}-{}", run.title, name(run.engine), run.seed);
    let folder = std::path::Path::new(&parent).join(folder);
    std::fs::create_dir_all(&folder).expect("a folder");
    for process in testbed.deployment.names() {
        std::fs::write(
            folder.join(format!("{process}.log")),
            testbed.deployment.log(&process),
        )
        .expect("a log");
    }
}
