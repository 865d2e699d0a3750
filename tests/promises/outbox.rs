//! The batch row is the outbox: a failure to publish jobs never stops storing, and never stores again (R3.4).

use std::collections::BTreeMap;

use async_nats::jetstream::consumer::PullConsumer;
use futures_util::StreamExt as _;
use harness::{Database, Deployment, Engine, envelope, event, events_of, stderr_of, until};
use serde_json::{Value, json};

/// Counts inserts into `events` in the database itself, past the product.
async fn count_inserts(deployment: &Deployment) {
    let sql = match deployment.database {
        Database::Sqlite(_) => {
            "CREATE TABLE inserts (n INTEGER NOT NULL); INSERT INTO inserts VALUES (0);
             CREATE TRIGGER counted AFTER INSERT ON events BEGIN UPDATE inserts SET n = n + 1; END"
        }
        Database::Postgres(_) => {
            "CREATE TABLE inserts (n BIGINT NOT NULL); INSERT INTO inserts VALUES (0);
             CREATE FUNCTION counted() RETURNS trigger LANGUAGE plpgsql AS
               $$ BEGIN UPDATE inserts SET n = n + 1; RETURN NULL; END $$;
             CREATE TRIGGER counted AFTER INSERT ON events FOR EACH ROW EXECUTE FUNCTION counted()"
        }
    };
    deployment.database.execute(sql).await;
}

async fn set_jobs_bytes(deployment: &Deployment, max_bytes: i64) {
    let streams = deployment.streams().await;
    streams
        .edit("JOBS", |config| config.max_bytes = max_bytes)
        .await;
}

async fn storing_goes_on_while_jobs_are_refused_and_each_comes_once(engine: Engine) {
    const BATCHES: i64 = 20;
    let (deployment, client) = Deployment::running(engine).await;
    until("the tables are made", async || {
        deployment.has_tables().await.then_some(())
    })
    .await;
    count_inserts(&deployment).await;
    // Full: every job is refused.
    set_jobs_bytes(&deployment, 1).await;
    for number in 0..BATCHES {
        let events: Vec<_> = (0..5)
            .map(|index| event(&format!("e-{number}-{index}")))
            .collect();
        client
            .send(&envelope(&format!("b-{number}"), &events))
            .await;
    }
    let persisted = async || {
        let stored = deployment
            .database
            .count("SELECT count(*) FROM batches WHERE state = 'persisted'")
            .await;
        (stored == BATCHES).then_some(())
    };
    until("all is stored while jobs are refused", persisted).await;
    assert_eq!(
        deployment.database.count("SELECT n FROM inserts").await,
        5 * BATCHES
    );
    assert_eq!(
        deployment
            .database
            .count("SELECT count(*) FROM completed_jobs")
            .await,
        0
    );
    set_jobs_bytes(&deployment, 1 << 30).await;
    deployment.completed(BATCHES).await;
    assert_eq!(
        deployment.database.count("SELECT n FROM inserts").await,
        5 * BATCHES,
        "nothing is stored again"
    );
    assert_eq!(
        deployment
            .database
            .count("SELECT count(*) FROM completed_jobs")
            .await,
        3 * BATCHES
    );
    let finished = "SELECT count(*) FROM audit WHERE step = 'job_finished'";
    assert_eq!(
        deployment.database.count(finished).await,
        3 * BATCHES,
        "each job is done once"
    );
    let _ = deployment.verify();
}

/// The row "ack, before jobs" of what a crash leaves: acked for certain, and no job published.
async fn the_sweep_publishes_the_jobs_of_a_worker_killed_after_ack(engine: Engine) {
    let mut deployment = Deployment::start(engine).await;
    let url = deployment.collector("collector").await;
    let client = deployment.client(&url, "ada").await;
    set_jobs_bytes(&deployment, 1).await;
    let role = deployment.role("persist").to_owned();
    deployment.worker("dies", &role, None);
    client.send(&envelope("b1", &[event("e1")])).await;
    until("it is stored", async || {
        (deployment.has_tables().await
            && deployment
                .database
                .count("SELECT count(*) FROM batches")
                .await
                == 1)
            .then_some(())
    })
    .await;
    let stream = deployment
        .js()
        .await
        .get_stream(&events_of("ada"))
        .await
        .unwrap();
    until("it is acked", async || {
        let mut consumer: async_nats::jetstream::consumer::PullConsumer =
            stream.get_consumer("persist").await.ok()?;
        let info = consumer.info().await.ok()?;
        (info.num_ack_pending == 0 && info.ack_floor.stream_sequence == 1).then_some(())
    })
    .await;
    deployment.kill("dies");
    assert_eq!(
        deployment
            .js()
            .await
            .get_stream("JOBS")
            .await
            .unwrap()
            .cached_info()
            .state
            .last_sequence,
        0
    );
    set_jobs_bytes(&deployment, 1 << 30).await;
    deployment.workers(1);
    deployment.completed(1).await;
    assert_eq!(
        deployment
            .database
            .count("SELECT count(*) FROM completed_jobs")
            .await,
        3
    );
}

/// A job that JOBS never takes fails again and again; what was left behind is published all the same.
async fn a_batch_whose_job_is_always_refused_holds_up_no_other(engine: Engine) {
    let mut deployment = Deployment::start(engine).await;
    let url = deployment.collector("collector").await;
    let client = deployment.client(&url, "ada").await;
    let streams = deployment.streams().await;
    streams
        .edit("JOBS", |config| config.max_message_size = 1500)
        .await;
    deployment.workers(1);
    // Its touched days alone pass the limit.
    let days = (1..=28).flat_map(|day| (1..=12).map(move |month| (day, month)));
    let wide: Vec<_> = days
        .map(|(day, month)| {
            let mut one = event(&format!("wide-{month}-{day}"));
            one["occurred_at"] = format!("2025-{month:02}-{day:02}T12:00:00Z").into();
            one
        })
        .collect();
    client.send(&envelope("wide", &wide)).await;
    client.send(&envelope("left-behind", &[event("e1")])).await;
    deployment.completed(1).await;
    let again = "UPDATE batches SET state = 'persisted', lease_until = 0 WHERE state = 'completed'";
    deployment.database.execute(again).await;
    // The wide one keeps failing meanwhile, in memory as well.
    let sender = client.clone();
    let shutdown = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false));
    let stopped = shutdown.clone();
    let failing = tokio::spawn(async move {
        let mut pauses = tokio::time::interval(std::time::Duration::from_secs(1));
        for number in 0.. {
            pauses.tick().await;
            if stopped.load(std::sync::atomic::Ordering::Relaxed) {
                return;
            }
            let mut events = wide.clone();
            events
                .iter_mut()
                .for_each(|one| one["id"] = format!("{number}-{}", one["id"]).into());
            sender
                .send(&envelope(&format!("wide-{number}"), &events))
                .await;
        }
    });
    deployment.completed(1).await;
    shutdown.store(true, std::sync::atomic::Ordering::Relaxed);
    failing.await.unwrap();
    assert_eq!(
        deployment
            .database
            .count("SELECT count(*) FROM batches WHERE state = 'completed'")
            .await,
        1
    );
}

async fn the_same_batch_n_times_has_one_set_of_jobs(engine: Engine) {
    let mut deployment = Deployment::start(engine).await;
    let url = deployment.collector("collector").await;
    let client = deployment.client(&url, "ada").await;
    deployment
        .streams()
        .await
        .forget_message_ids(&events_of("ada"))
        .await;
    let batch = envelope("b1", &[event("e1"), event("e2")]);
    let mut messages = 0;
    for _ in 0..4 {
        // Inside the window the server drops it; outside it, it is a message of its own.
        let mut reply = client.send(&batch).await;
        while reply["duplicate_batch"] == true {
            reply = client.send(&batch).await;
        }
        messages += 1;
    }
    deployment.workers(2);
    deployment.completed(messages).await;
    assert_eq!(
        deployment
            .database
            .count("SELECT count(*) FROM completed_jobs")
            .await,
        3
    );
    assert_eq!(
        deployment
            .database
            .count("SELECT count(*) FROM events")
            .await,
        2
    );
    assert_eq!(
        deployment
            .database
            .count("SELECT count(*) FROM batches WHERE need <> 0")
            .await,
        1
    );
    assert_eq!(
        deployment
            .database
            .count("SELECT count(*) FROM audit WHERE step = 'triggered'")
            .await,
        1
    );
}

/// What comes to JOBS for one batch, with all that is the batch's own (R3.3).
async fn a_real_job_message_is_as_the_golden_one(engine: Engine) {
    let mut deployment = Deployment::start(engine).await;
    let url = deployment.collector("collector").await;
    let client = deployment.client(&url, "ada").await;
    let nats = async_nats::connect(&deployment.nats).await.unwrap();
    // Beside JOBS: a work queue has no message left once its worker is done.
    let mut jobs = nats.subscribe("jobs.>").await.unwrap().take(3);
    let round_trip = nats.request("$JS.API.INFO", "".into());
    round_trip.await.unwrap();
    deployment.workers(1);
    let authorization = format!("Bearer {}", client.key());
    let sent = [
        ("authorization", authorization.as_str()),
        ("content-type", "application/json"),
        ("x-correlation-id", "c1"),
        (
            "traceparent",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
        ),
    ];
    let push = json!({"id": "e3", "type": "git.push", "schema_version": "1.1",
        "occurred_at": "2026-03-01T00:30:00+01:00", "data": {"branch": "main"}});
    let mut later = event("e2");
    later["occurred_at"] = json!("2026-03-02T01:00:00+05:30");
    let batch = envelope("b1", &[event("e1"), later, push, event("e1")]);
    let reply = client.raw(&sent, batch.to_string().into_bytes()).await;
    assert_eq!(reply.status(), 202);
    let mut messages = BTreeMap::new();
    while let Some(message) = jobs.next().await {
        let body: Value = serde_json::from_slice(&message.payload).unwrap();
        let headers = message.headers.unwrap();
        let header = |name: &str| headers.get(name).unwrap().to_string();
        assert_eq!(header("Nats-Msg-Id"), body["job_id"]);
        assert_eq!(header("Devtrail-Correlation-Id"), "c1");
        assert_eq!(header("traceparent"), body["traceparent"]);
        messages.insert(message.subject.to_string(), body);
    }
    let traceparent = messages["jobs.alert.live.ada"]["traceparent"].clone();
    let trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-";
    assert!(
        traceparent.as_str().unwrap().starts_with(trace),
        "{traceparent}"
    );
    let golden = |kind: &str| {
        json!({
            "job_id": format!("1:1:{kind}"),
            "kind": kind,
            "batch_id": "b1",
            "developer": "ada",
            "correlation_id": "c1",
            "traceparent": traceparent,
            "src": 1,
            "seq": 1,
            "counts_by_type": {"file.saved": 2, "git.push": 1},
            "first_occurred_at": "2026-02-28T23:30:00.000000Z",
            "last_occurred_at": "2026-03-01T19:30:00.000000Z",
            "touched_days": ["2026-03-01", "2026-03-02"],
            "schema_versions": ["1.0", "1.1"],
            "replay_id": null,
            "attempt": 1,
        })
    };
    let kinds = ["aggregate", "alert", "normalize"];
    let expected = kinds.map(|kind| (format!("jobs.{kind}.live.ada"), golden(kind)));
    assert_eq!(messages, BTreeMap::from(expected));
    deployment.completed(1).await;
}

/// Holds back what this consumer would deliver, or lets it go on.
async fn pause(deployment: &Deployment, consumer: &str, until: &str) {
    let (stream, name) = consumer.split_once('/').unwrap();
    let subject = format!("CONSUMER.PAUSE.{stream}.{name}");
    let paused: Value = deployment
        .js()
        .await
        .request(subject, &json!({"pause_until": until}))
        .await
        .unwrap();
    assert!(paused["error"].is_null(), "{paused}");
}

const HELD: &str = "2099-01-01T00:00:00Z";
const GOES_ON: &str = "2000-01-01T00:00:00Z";
const JOB_CONSUMERS: [&str; 3] = ["JOBS/aggregate", "JOBS/normalize", "JOBS/alert"];

/// Contract: jobs.lost
async fn jobs_that_are_lost_with_their_stream_are_published_again(engine: Engine) {
    let mut deployment = Deployment::start(engine).await;
    let url = deployment.collector("collector").await;
    let client = deployment.client(&url, "ada").await;
    for consumer in JOB_CONSUMERS {
        pause(&deployment, consumer, HELD).await;
    }
    deployment.workers(1);
    for number in 0..5 {
        let batch = envelope(&format!("b{number}"), &[event(&format!("e{number}"))]);
        client.send(&batch).await;
    }
    let triggered = "SELECT count(*) FROM batches WHERE state = 'triggered'";
    until("all is triggered", async || {
        let is_ready = deployment.has_tables().await;
        (is_ready && deployment.database.count(triggered).await == 5).then_some(())
    })
    .await;
    // The workers go on meanwhile, and bind to the new stream.
    deployment.js().await.delete_stream("JOBS").await.unwrap();
    let applied = deployment.run("devtrail", &["streams", "apply"]);
    assert!(applied.status.success(), "{}", stderr_of(&applied));
    deployment.completed(5).await;
    let completed_jobs = "SELECT count(*) FROM completed_jobs";
    assert_eq!(deployment.database.count(completed_jobs).await, 15);
    let again = "SELECT count(*) FROM audit WHERE step = 'retriggered'";
    assert_eq!(deployment.database.count(again).await, 5);
    let _ = deployment.verify();
}

/// The recipe of docs/operations.md for a lost database. Some jobs of the old one were done seconds ago, so that JOBS
/// still knows their ids; others wait in JOBS, and come before their batch is stored again.
///
/// Contract: jobs.early
async fn a_lost_database_ends_with_every_batch_completed(engine: Engine) {
    const BATCHES: i64 = 60;
    let (mut deployment, client) = Deployment::running(engine).await;
    let send = async |numbers: std::ops::Range<i64>| {
        for number in numbers {
            let batch = envelope(&format!("b{number}"), &[event(&format!("e{number}"))]);
            client.send(&batch).await;
        }
    };
    send(0..BATCHES / 2).await;
    deployment.completed(BATCHES / 2).await;
    for consumer in JOB_CONSUMERS {
        pause(&deployment, consumer, HELD).await;
    }
    send(BATCHES / 2..BATCHES).await;
    let open = "SELECT count(*) FROM batches WHERE state <> 'persisted'";
    until("all is triggered", async || {
        (deployment.database.count(open).await == BATCHES).then_some(())
    })
    .await;
    deployment.stop_workers().await;
    deployment.lose_database().await;
    for consumer in JOB_CONSUMERS {
        pause(&deployment, consumer, GOES_ON).await;
    }
    deployment.adopt();
    deployment.workers(1);
    deployment.completed(BATCHES).await;
    let jobs = "SELECT count(*) FROM completed_jobs";
    assert_eq!(deployment.database.count(jobs).await, 3 * BATCHES);
    let report = deployment.verify();
    assert_eq!(
        (&report["stored"], &report["unfinished"]),
        (&json!(BATCHES), &json!(0))
    );
    assert_eq!(deployment.streams().await.messages("DEAD").await, 0);
}

/// Contract: jobs.early, jobs.cannot-come
async fn a_job_waits_for_its_batch_and_is_dead_once_that_cannot_come(engine: Engine) {
    let mut deployment = Deployment::start(engine).await;
    let url = deployment.collector("collector").await;
    let client = deployment.client(&url, "ada").await;
    pause(&deployment, "EVENTS/persist", HELD).await;
    client.send(&envelope("b1", &[event("e1")])).await;
    let js = deployment.js().await;
    let publish = async |seq: u64| {
        let job = json!({
            "job_id": format!("1:{seq}:aggregate"), "kind": "aggregate", "batch_id": "b1", "developer": "ada",
            "correlation_id": "c", "traceparent": "", "src": 1, "seq": seq, "counts_by_type": {},
            "first_occurred_at": null, "last_occurred_at": null, "touched_days": [], "schema_versions": [],
            "replay_id": null, "attempt": 1
        });
        let ack = js.publish("jobs.aggregate.live.ada", job.to_string().into());
        ack.await.unwrap().await.unwrap();
    };
    publish(1).await;
    // No message of EVENTS has this sequence.
    publish(99).await;
    deployment.workers(1);
    let dead = until("the job whose batch cannot come is in DEAD", async || {
        let mut dead = js.get_stream("DEAD").await.unwrap();
        let is_there = dead.info().await.unwrap().state.messages == 1;
        if is_there {
            dead.get_raw_message(1).await.ok()
        } else {
            None
        }
    })
    .await;
    let header = |name| dead.headers.get(name).map(ToString::to_string).unwrap();
    assert_eq!(header("Devtrail-Batch"), "1:99");
    assert!(header("Devtrail-Reason").contains("batch 1:99 is not stored and cannot come"));
    let ledger = "SELECT count(*) FROM completed_jobs";
    assert_eq!(deployment.database.count(ledger).await, 0);
    // It was delivered, and is to be delivered again: none of its attempts is used.
    let stream = js.get_stream("JOBS").await.unwrap();
    until("the early job is returned again and again", async || {
        let mut consumer: PullConsumer = stream.get_consumer("aggregate").await.ok()?;
        let info = consumer.info().await.ok()?;
        (info.num_redelivered == 1 && info.delivered.consumer_sequence > 10).then_some(())
    })
    .await;
    assert_eq!(
        deployment
            .database
            .count("SELECT coalesce(sum(used), 0) FROM attempts")
            .await,
        0
    );
    pause(&deployment, "EVENTS/persist", GOES_ON).await;
    deployment.completed(1).await;
    assert_eq!(deployment.database.count(ledger).await, 3);
}

harness::on_both_stores!(
    a_real_job_message_is_as_the_golden_one,
    storing_goes_on_while_jobs_are_refused_and_each_comes_once,
    the_sweep_publishes_the_jobs_of_a_worker_killed_after_ack,
    a_batch_whose_job_is_always_refused_holds_up_no_other,
    the_same_batch_n_times_has_one_set_of_jobs,
    jobs_that_are_lost_with_their_stream_are_published_again,
    a_lost_database_ends_with_every_batch_completed,
    a_job_waits_for_its_batch_and_is_dead_once_that_cannot_come,
);
