//! The batch row is the outbox: a failure to publish jobs never stops storing, and never stores again (R3.4).

use harness::{Database, Deployment, Engine, envelope, event, until};

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
    let js = deployment.js().await;
    let mut config = js
        .get_stream("JOBS")
        .await
        .unwrap()
        .cached_info()
        .config
        .clone();
    config.max_bytes = max_bytes;
    js.update_stream(config).await.unwrap();
}

async fn storing_goes_on_while_jobs_are_refused_and_each_comes_once(engine: Engine) {
    const BATCHES: i64 = 20;
    let mut deployment = Deployment::start(engine).await;
    let url = deployment.collector("collector").await;
    let client = deployment.client(&url, "ada").await;
    deployment.workers(1);
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
    let stream = deployment.js().await.get_stream("EVENTS").await.unwrap();
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
    let js = deployment.js().await;
    let mut config = js
        .get_stream("JOBS")
        .await
        .unwrap()
        .cached_info()
        .config
        .clone();
    config.max_message_size = 1500;
    js.update_stream(config).await.unwrap();
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
    let js = deployment.js().await;
    let mut config = js
        .get_stream("EVENTS")
        .await
        .unwrap()
        .cached_info()
        .config
        .clone();
    config.duplicate_window = std::time::Duration::from_millis(100);
    js.update_stream(config).await.unwrap();
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

harness::on_both_stores!(
    storing_goes_on_while_jobs_are_refused_and_each_comes_once,
    the_sweep_publishes_the_jobs_of_a_worker_killed_after_ack,
    a_batch_whose_job_is_always_refused_holds_up_no_other,
    the_same_batch_n_times_has_one_set_of_jobs,
);
