//! What a crash leaves (docs/protocol.md): a process dies at a named point, and what it left heals.
//!
//! The points are compiled in with the feature `crash-points` (`common/runtime/src/crash.rs`): the process
//! aborts there, as `kill -9` would end it.

use harness::{Client, Deployment, Engine, envelope, until};
use serde_json::{Value, json};

const BATCHES: i64 = 3;
const EVENTS: i64 = 2 * BATCHES;

/// A forced push makes an alert; an edit beside it makes metrics.
fn batch(number: i64) -> Value {
    let at = |minute: i64| format!("2026-03-01T10:{minute:02}:00Z");
    let push = json!({"id": format!("push-{number}"), "type": "git.push", "occurred_at": at(number * 2),
        "data": {"branch": "topic", "force": true, "project": "demo"}});
    let edit = json!({"id": format!("edit-{number}"), "type": "file.edited", "occurred_at": at(number * 2 + 1),
        "data": {"path": "src/main.rs", "lines_added": 2, "project": "demo"}});
    envelope(&format!("batch-{number}"), &[push, edit])
}

/// A deployment whose stream holds the batches, with no worker yet.
async fn loaded(engine: Engine) -> (Deployment, Client) {
    let mut deployment = Deployment::start(engine).await;
    deployment.streams().await.shorten_ack_wait().await;
    let url = deployment.collector("collector").await;
    let client = deployment.client(&url, "ada").await;
    for number in 0..BATCHES {
        client.send(&batch(number)).await;
    }
    (deployment, client)
}

/// A worker of `role` dies at `point`; then it and all others run, and everything is there once.
async fn heals(engine: Engine, role: &str, point: &str) {
    let (mut deployment, _client) = loaded(engine).await;
    worker_dies(&mut deployment, role, point).await;
    everything_is_there_once(&deployment).await;
}

/// A worker of `role` dies at `point`; then it and all others run.
async fn worker_dies(deployment: &mut Deployment, role: &str, point: &str) {
    let doing = deployment.role(role).to_owned();
    if doing == role {
        for other in harness::ROLES.into_iter().filter(|other| *other != role) {
            deployment.worker(other, other, None);
        }
    }
    deployment.worker("dies", &doing, Some(point));
    let status = deployment.ended("dies").await;
    assert!(
        !status.success(),
        "it died at {point}: {}",
        deployment.log("dies")
    );
    deployment.worker("lives", &doing, None);
}

async fn everything_is_there_once(deployment: &Deployment) {
    deployment.completed(BATCHES).await;
    let count = async |sql: &str| deployment.database.count(sql).await;
    assert_eq!(count("SELECT count(*) FROM events").await, EVENTS);
    assert_eq!(count("SELECT count(*) FROM normalized").await, EVENTS);
    assert_eq!(
        count("SELECT count(*) FROM completed_jobs").await,
        3 * BATCHES
    );
    assert_eq!(count("SELECT count(*) FROM duplicates").await, 0);
    for (step, rows) in [
        ("persisted", 1),
        ("triggered", 1),
        ("job_finished", 3),
        ("completed", 1),
    ] {
        let sql = format!("SELECT count(*) FROM audit_steps WHERE step = '{step}'");
        assert_eq!(count(&sql).await, rows * BATCHES, "{step}");
    }
    let days = deployment.database.rows("SELECT body FROM days").await;
    let day: Value = serde_json::from_str(&days[0][0]).unwrap();
    assert_eq!(
        (days.len(), &day["events"], &day["edits"]),
        (1, &json!(EVENTS), &json!(BATCHES))
    );
    let js = deployment.js().await;
    let published = async || {
        let waiting = count("SELECT count(*) FROM alerts WHERE published < revision").await;
        (waiting == 0).then_some(())
    };
    until("every alert is published", published).await;
    let raised = count("SELECT count(*) FROM alerts WHERE state = 'raised'").await;
    assert_eq!(
        raised, 1,
        "three forced pushes within five minutes are one alert"
    );
    // Batches in another order move its first minute: then another one was raised and retracted before.
    let revisions = count("SELECT CAST(sum(revision + 1) AS bigint) FROM alerts").await;
    let messages = deployment.streams().await.messages("ALERTS").await;
    assert_eq!(
        i64::try_from(messages),
        Ok(revisions),
        "receivers get each revision once"
    );
    let jobs = js.get_stream("JOBS").await.unwrap();
    until("no job is left", async || {
        (jobs.get_info().await.ok()?.state.messages == 0).then_some(())
    })
    .await;
    let report = deployment.verify();
    assert_eq!(
        (&report["stored"], &report["duplicates"]),
        (&json!(EVENTS), &json!(0))
    );
}

/// One case a row of the table: a worker of this role dies at this point, and what it left heals.
macro_rules! heal_after {
    ($($case:ident: $role:literal at $point:literal,)+) => {
        $(async fn $case(engine: Engine) {
            heals(engine, $role, $point).await;
        })+
    };
}

heal_after! {
    a_crash_after_the_commit_before_the_ack: "persist" at "persist.after_commit",
    a_crash_after_the_ack: "persist" at "pull.after_ack",
    a_crash_before_any_job_is_published: "persist" at "trigger.before_jobs",
    a_crash_before_a_group_of_jobs_is_committed: "persist" at "group.before_commit",
    a_crash_after_a_group_of_jobs_is_committed: "persist" at "group.after_commit",
    a_crash_after_all_jobs_are_published_before_t2b: "persist" at "trigger.after_jobs",
    a_crash_after_an_aggregation_is_committed_before_its_ack: "aggregate" at "job.after_commit",
    a_crash_after_a_normalization_is_committed_before_its_ack: "normalize" at "job.after_commit",
    a_crash_after_an_evaluation_is_committed_before_its_ack: "alert" at "job.after_commit",
    a_crash_after_an_alert_is_committed_before_it_is_published: "alert" at "alert.before_publish",
    a_crash_after_an_alert_is_published_before_it_is_marked: "alert" at "alert.after_publish",
}

/// Where JOBS takes no groups, jobs are published one by one.
async fn a_crash_after_some_jobs_are_published(engine: Engine) {
    let (mut deployment, _client) = loaded(engine).await;
    let streams = deployment.streams().await;
    streams
        .edit("JOBS", |config| config.allow_atomic_publish = false)
        .await;
    worker_dies(&mut deployment, "persist", "trigger.after_a_job:2").await;
    everything_is_there_once(&deployment).await;
}

/// The jobs are done while the batch is still `persisted`: T2b sees the masks and completes it.
async fn jobs_done_before_t2b_complete_the_batch(engine: Engine) {
    let (mut deployment, _client) = loaded(engine).await;
    let role = deployment.role("persist").to_owned();
    deployment.worker("dies", &role, Some("trigger.after_jobs"));
    deployment.ended("dies").await;
    // T1's own lease ran for the dead process: hold the sweep back until the jobs are done.
    deployment
        .database
        .execute("UPDATE batches SET lease_until = lease_until + 3600000000")
        .await;
    if engine == Engine::Postgres {
        for other in ["aggregate", "normalize", "alert"] {
            deployment.worker(other, other, None);
        }
    }
    deployment.worker("lives", &role, None);
    let done = "SELECT count(*) FROM batches WHERE done = 7 AND state = 'persisted'";
    let database = deployment.database.clone();
    until("the jobs are done", async || {
        (database.count(done).await == BATCHES).then_some(())
    })
    .await;
    deployment
        .database
        .execute("UPDATE batches SET lease_until = 0")
        .await;
    everything_is_there_once(&deployment).await;
}

harness::on_both_stores!(
    a_crash_after_the_commit_before_the_ack,
    a_crash_after_the_ack,
    a_crash_before_any_job_is_published,
    a_crash_after_some_jobs_are_published,
    a_crash_before_a_group_of_jobs_is_committed,
    a_crash_after_a_group_of_jobs_is_committed,
    a_crash_after_all_jobs_are_published_before_t2b,
    a_crash_after_an_aggregation_is_committed_before_its_ack,
    a_crash_after_a_normalization_is_committed_before_its_ack,
    a_crash_after_an_evaluation_is_committed_before_its_ack,
    a_crash_after_an_alert_is_committed_before_it_is_published,
    a_crash_after_an_alert_is_published_before_it_is_marked,
    jobs_done_before_t2b_complete_the_batch,
);

/// A worker is frozen with messages in flight until their ack_wait has run out; a second one takes
/// them, and the first one, awake again, finds them stored. (On SQLite there is no second process.)
#[tokio::test(flavor = "multi_thread")]
async fn a_second_process_takes_over_when_ack_wait_has_run_out() {
    let (mut deployment, client) = loaded(Engine::Postgres).await;
    deployment.worker("first", "persist", Some("stop@persist.before_commit"));
    let pid = deployment.pid("first");
    let stopped = async || {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        stat.rsplit_once(") ")?.1.starts_with('T').then_some(())
    };
    until("the first worker stands still", stopped).await;
    for role in harness::ROLES {
        deployment.worker(role, role, None);
    }
    deployment.completed(BATCHES).await;
    deployment.signal("first", nix::sys::signal::Signal::SIGCONT);
    everything_is_there_once(&deployment).await;
    client.send(&batch(BATCHES)).await;
    deployment.completed(BATCHES + 1).await;
}
