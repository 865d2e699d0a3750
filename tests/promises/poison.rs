//! Messages that can never be done: each ends in DEAD with its context, and harms no other (R5.1, R5.2, R7.4).

mod dead;
mod kinds;
mod raw;
mod recovers;
mod undecodable;

use async_nats::jetstream::consumer::PullConsumer;
use bus::WEBHOOK_ADMIN;
use harness::{Deployment, Engine, ROLES, envelope, event, until};

use dead::{Dead, dead_letters};

/// Batches of live traffic beside the poison.
const BATCHES: i64 = 24;
/// Two attempts, and short pauses: what fails for an unknown reason need not take its time here.
const QUICK: [(&str, &str); 2] = [
    ("DEVTRAIL_MAX_ATTEMPTS", "2"),
    ("DEVTRAIL_RETRY_CAP", "100ms"),
];

/// Starts a worker of each role, with more in the environment.
fn workers(deployment: &mut Deployment, engine: Engine, more: &[(&str, &str)]) {
    let environment = [&QUICK[..], more].concat();
    let roles: &[&str] = if engine == Engine::Sqlite {
        &["all"]
    } else {
        &ROLES
    };
    for role in roles {
        deployment.worker_with(role, role, &environment);
    }
}

/// No consumer has anything left, delivered or not; but for the webhook's, as there is none to post to.
async fn nothing_is_left(deployment: &Deployment) {
    let js = deployment.js().await;
    for name in bus::topology::declared(harness::event_streams()).into_keys() {
        let Some(consumer) = name.consumer.filter(|consumer| consumer != WEBHOOK_ADMIN) else {
            continue;
        };
        let stream = js.get_stream(&name.stream).await.unwrap();
        let mut consumer: PullConsumer = stream.get_consumer(&consumer).await.unwrap();
        let settled = async || {
            let info = consumer.info().await.ok()?;
            (info.num_pending == 0 && info.num_ack_pending == 0).then_some(())
        };
        until("every message is settled", settled).await;
    }
    let forgotten = async || {
        (deployment
            .database
            .count("SELECT count(*) FROM attempts")
            .await
            == 0)
            .then_some(())
    };
    until("nothing is recorded of messages that are done", forgotten).await;
}

/// Each dead letter has its audit row, with the same reason and the ids of its events (R7.4).
async fn each_is_in_the_audit(deployment: &Deployment, dead_letters: &[Dead]) {
    let rows =
        "SELECT a.src, a.seq, a.outcome, p.detail FROM audit a JOIN audit_personal p ON p.id = a.id
        WHERE a.step = 'dead'";
    let rows = deployment.database.rows(rows).await;
    // A job whose batch is not stored names a person whom nothing shows to be known: its row is a skeleton.
    let is_named = |one: &&Dead| !one.header("Devtrail-Reason").contains("cannot come");
    let named: Vec<&Dead> = dead_letters.iter().filter(is_named).collect();
    assert_eq!(rows.len(), named.len(), "{rows:#?}");
    let all = "SELECT count(*) FROM audit WHERE step = 'dead'";
    assert_eq!(
        deployment.database.count(all).await,
        dead_letters.len() as i64
    );
    for dead_letter in named {
        let fits = |row: &&Vec<String>| {
            let detail: serde_json::Value = serde_json::from_str(&row[3]).unwrap();
            let seq = detail["stream_sequence"].as_u64();
            detail["subject"] == dead_letter.subject && seq == dead_letter.sequence().parse().ok()
        };
        let row = rows
            .iter()
            .find(fits)
            .unwrap_or_else(|| panic!("no audit row of {dead_letter:?}: {rows:#?}"));
        let detail: serde_json::Value = serde_json::from_str(&row[3]).unwrap();
        assert_eq!(row[2], "failed");
        assert_eq!(
            detail["error_class"],
            dead_letter.header("Devtrail-Error-Class")
        );
        assert_eq!(
            detail["attempts"].to_string(),
            dead_letter.header("Devtrail-Attempts")
        );
        assert_eq!(
            detail["state"].as_str().unwrap_or("none"),
            dead_letter.header("Devtrail-State")
        );
        let reason = detail["reason"].as_str().unwrap();
        assert!(
            !reason.is_empty()
                && dead_letter
                    .header("Devtrail-Reason")
                    .starts_with(&reason[..reason.len().min(20)])
        );
        let ids: Vec<&str> = detail["event_ids"]
            .as_array()
            .unwrap()
            .iter()
            .flat_map(|id| id.as_str())
            .collect();
        assert_eq!(
            ids.join(","),
            dead_letter
                .optional("Devtrail-Event-Ids")
                .unwrap_or_default()
        );
    }
}

async fn every_kind_of_poison_is_dead_lettered_and_harms_no_other(engine: Engine) {
    let mut deployment = Deployment::start(engine).await;
    let url = deployment.collector("collector").await;
    let client = deployment.client(&url, "ada").await;
    deployment.streams().await.shorten_ack_wait().await;
    workers(
        &mut deployment,
        engine,
        &[("DEVTRAIL_CRASH_POINT", "panic@normalize=panics")],
    );
    until("the tables are made", async || {
        deployment.has_tables().await.then_some(())
    })
    .await;
    kinds::refuse_one_event(&deployment).await;
    // One that jobs of other batches can be forged from.
    client.send(&envelope("b-first", &[event("e-first")])).await;
    deployment.completed(1).await;
    let poison = kinds::all(&deployment).await;
    let mut kinds = poison.iter();
    for number in 0..BATCHES {
        if let Some(kind) = kinds.next() {
            kind.publish(&deployment).await;
        }
        let events: Vec<_> = (0..3)
            .map(|index| event(&format!("e-{number}-{index}")))
            .collect();
        client
            .send(&envelope(&format!("b-{number}"), &events))
            .await;
    }
    assert!(kinds.next().is_none(), "all poison was sent");
    // Poison that comes the usual way.
    client
        .send(&envelope(
            "refused",
            &[event("beside-it"), event("refused")],
        ))
        .await;
    client.send(&envelope("panics", &[event("e-panics")])).await;
    let wanted = poison.len() + 2;
    let dead_letters = dead_letters(&deployment, wanted).await;
    deployment.completed(1 + BATCHES).await;
    for kind in &poison {
        kind.check(&dead_letters);
    }
    kinds::check_the_refused_and_the_panicking(&dead_letters);
    nothing_is_left(&deployment).await;
    each_is_in_the_audit(&deployment, &dead_letters).await;
    let count = async |sql: &str| deployment.database.count(sql).await;
    assert_eq!(
        count("SELECT count(*) FROM refused").await,
        0,
        "nothing is in quarantine"
    );
    assert_eq!(
        count("SELECT count(*) FROM events").await,
        1 + 3 * BATCHES + 1
    );
    assert_eq!(
        count("SELECT count(*) FROM normalized").await,
        1 + 3 * BATCHES
    );
    let failed = deployment
        .database
        .rows("SELECT batch_id, failed, done FROM batches WHERE state = 'failed'")
        .await;
    assert_eq!(failed, [["panics", "2", "5"]], "only its normalization");
    assert_eq!(
        dead::count(&deployment).await,
        wanted as u64,
        "and no more came"
    );
    let report = deployment.verify();
    assert_eq!(report["dead"], 9, "EVENTS messages that gave up: {report}");
}

/// It kills two workers in a group, and two more alone: then no third one tries.
async fn a_message_that_kills_its_workers_goes_to_dead_unhandled(engine: Engine) {
    let mut deployment = Deployment::start(engine).await;
    deployment.streams().await.shorten_ack_wait().await;
    let url = deployment.collector("collector").await;
    let client = deployment.client(&url, "ada").await;
    for name in ["before", "kills", "after"] {
        client
            .send(&envelope(name, &[event(&format!("e-{name}"))]))
            .await;
    }
    let crash = [&QUICK[..], &[("DEVTRAIL_CRASH_POINT", "persist=kills")]].concat();
    if engine == Engine::Postgres {
        for role in ROLES.into_iter().filter(|role| *role != "persist") {
            deployment.worker(role, role, None);
        }
    }
    let role = deployment.role("persist").to_owned();
    for death in 1..=4 {
        deployment.worker_with("dies", &role, &crash);
        let status = deployment.ended("dies").await;
        assert!(
            !status.success(),
            "death {death}: {}",
            deployment.log("dies")
        );
        assert_eq!(dead::count(&deployment).await, 0, "death {death}");
    }
    deployment.worker_with("lives", &role, &crash);
    let dead_letters = dead_letters(&deployment, 1).await;
    let dead_letter = &dead_letters[0];
    assert_eq!(
        (
            dead_letter.header("Devtrail-Error-Class"),
            dead_letter.header("Devtrail-Attempts")
        ),
        ("died", "2")
    );
    assert_eq!(
        (
            dead_letter.header("Devtrail-Delivered"),
            dead_letter.header("Devtrail-State")
        ),
        ("5", "none")
    );
    assert_eq!(
        (
            dead_letter.header("Devtrail-Event-Ids"),
            dead_letter.sequence()
        ),
        ("e-kills", "2")
    );
    assert!(
        dead_letter
            .header("Devtrail-Reason")
            .contains("2 workers died"),
        "{dead_letter:?}"
    );
    deployment.completed(2).await;
    nothing_is_left(&deployment).await;
    each_is_in_the_audit(&deployment, &dead_letters).await;
}

/// Nothing is lost if DEAD takes nothing: it is moved when there is room.
async fn a_dead_letter_waits_while_dead_is_full(engine: Engine) {
    let mut deployment = Deployment::start(engine).await;
    let url = deployment.collector("collector").await;
    let client = deployment.client(&url, "ada").await;
    dead::set_bytes(&deployment, 1).await;
    let garbage = kinds::garbage("events.batch.ada", b"\0no batch");
    garbage.publish(&deployment).await;
    workers(&mut deployment, engine, &[]);
    client.send(&envelope("b", &[event("e")])).await;
    deployment.completed(1).await;
    let names = deployment.names();
    let stderr_of = async || {
        names
            .iter()
            .any(|name| deployment.log(name).contains("cannot be moved to DEAD"))
            .then_some(())
    };
    until("a worker says that DEAD is full", stderr_of).await;
    assert_eq!(dead::count(&deployment).await, 0);
    dead::set_bytes(&deployment, 1 << 20).await;
    let dead_letters = dead_letters(&deployment, 1).await;
    garbage.check(&dead_letters);
    nothing_is_left(&deployment).await;
    each_is_in_the_audit(&deployment, &dead_letters).await;
}

/// A worker dead-letters garbage and dies at `point`; the next one leaves exactly one dead letter.
async fn heals_after(engine: Engine, point: &str) {
    let mut deployment = Deployment::start(engine).await;
    deployment.streams().await.shorten_ack_wait().await;
    // DEAD itself drops a second dead letter only for a while: not for as long as a worker may be away.
    if point == "dead.after_record" {
        deployment.streams().await.forget_message_ids("DEAD").await;
    }
    let garbage = kinds::garbage("events.batch.ada", b"\0no batch");
    garbage.publish(&deployment).await;
    let role = deployment.role("persist").to_owned();
    deployment.worker("dies", &role, Some(point));
    let status = deployment.ended("dies").await;
    assert!(
        !status.success(),
        "it died at {point}: {}",
        deployment.log("dies")
    );
    deployment.worker("lives", &role, None);
    let dead_letters = dead_letters(&deployment, 1).await;
    garbage.check(&dead_letters);
    nothing_is_left(&deployment).await;
    each_is_in_the_audit(&deployment, &dead_letters).await;
    assert_eq!(dead::count(&deployment).await, 1, "one letter");
}

async fn a_crash_after_dead_has_it_before_that_is_recorded(engine: Engine) {
    heals_after(engine, "dead.after_puback").await;
}

async fn a_crash_after_that_is_recorded_before_it_is_terminated(engine: Engine) {
    heals_after(engine, "dead.after_record").await;
}

harness::on_both_stores!(
    a_crash_after_dead_has_it_before_that_is_recorded,
    a_crash_after_that_is_recorded_before_it_is_terminated,
    every_kind_of_poison_is_dead_lettered_and_harms_no_other,
    a_message_that_kills_its_workers_goes_to_dead_unhandled,
    a_dead_letter_waits_while_dead_is_full,
);
