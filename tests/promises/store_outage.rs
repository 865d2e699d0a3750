//! A store outage: nothing is lost, doubled or dead-lettered, and all is stored later (R2.4).

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use async_nats::jetstream::consumer::PullConsumer;
use harness::{
    Client, Database, DatabaseLock, Deployment, Engine, envelope, event, events_of, until,
};

const BATCHES: i64 = 40;

async fn send(client: &Client, from: i64, to: i64) {
    for number in from..to {
        let events: Vec<_> = (0..5)
            .map(|index| event(&format!("e-{number}-{index}")))
            .collect();
        client
            .send(&envelope(&format!("b-{number}"), &events))
            .await;
    }
}

/// Has the database remember every attempt that is used: the rows themselves go when their messages are done.
async fn watch_attempts(deployment: &Deployment) {
    until("the tables are made", async || {
        deployment.has_tables().await.then_some(())
    })
    .await;
    let sql = match deployment.database {
        Database::Sqlite(_) => {
            "CREATE TABLE used (reason TEXT);
             CREATE TRIGGER used_new AFTER INSERT ON attempts WHEN NEW.used > 0
             BEGIN INSERT INTO used VALUES (NEW.reason); END;
             CREATE TRIGGER used_more AFTER UPDATE ON attempts WHEN NEW.used > 0
             BEGIN INSERT INTO used VALUES (NEW.reason); END"
        }
        Database::Postgres(_) => {
            "CREATE TABLE used (reason text);
             CREATE FUNCTION used() RETURNS trigger LANGUAGE plpgsql AS
               $$ BEGIN INSERT INTO used VALUES (NEW.reason); RETURN NULL; END $$;
             CREATE TRIGGER used AFTER INSERT OR UPDATE ON attempts FOR EACH ROW
               WHEN (NEW.used > 0) EXECUTE FUNCTION used()"
        }
    };
    deployment.database.execute(sql).await;
}

/// Everything there once, nothing in DEAD or quarantine: an outage is nobody's fault.
async fn everything_is_there_once(deployment: &Deployment) {
    deployment.completed(BATCHES).await;
    assert_eq!(
        deployment
            .database
            .count("SELECT count(*) FROM events")
            .await,
        5 * BATCHES
    );
    assert_eq!(
        deployment
            .database
            .count("SELECT count(*) FROM normalized")
            .await,
        5 * BATCHES
    );
    assert_eq!(
        deployment
            .database
            .count("SELECT count(*) FROM completed_jobs")
            .await,
        3 * BATCHES
    );
    assert_eq!(deployment.streams().await.messages("DEAD").await, 0);
    assert_eq!(
        deployment.database.count("SELECT count(*) FROM used").await,
        0,
        "no attempt is used"
    );
    for name in deployment.names() {
        assert!(
            !deployment
                .log(&name)
                .contains("a message failed; trying again"),
            "{name}: {}",
            deployment.log(&name)
        );
    }
    let _ = deployment.verify();
}

/// A deployment that stored a batch, with all others waiting for a lock that the test holds.
async fn locked(engine: Engine) -> (Deployment, DatabaseLock) {
    let (deployment, client) = Deployment::running(engine).await;
    send(&client, 0, 1).await;
    deployment.completed(1).await;
    watch_attempts(&deployment).await;
    let holder = deployment.database.hold_locked().await;
    send(&client, 1, BATCHES).await;
    (deployment, holder)
}

/// Someone else holds what T1 needs for longer than a writer waits (5 s), then lets go.
async fn a_long_lock_delays_and_loses_nothing(engine: Engine) {
    let (deployment, holder) = locked(engine).await;
    // Awaited: a worker has stopped waiting at least once, and says so.
    let names = deployment.names();
    let refused = async || {
        names
            .iter()
            .any(|name| {
                deployment
                    .log(name)
                    .contains("messages are held; trying again")
            })
            .then_some(())
    };
    until("a worker meets the lock", refused).await;
    assert_eq!(
        deployment
            .database
            .count("SELECT count(*) FROM batches")
            .await,
        1
    );
    // It is kept in flight meanwhile, not handed back and forth.
    let persist: PullConsumer = deployment
        .js()
        .await
        .get_stream(&events_of("ada"))
        .await
        .unwrap()
        .get_consumer("persist")
        .await
        .unwrap();
    let info = persist.cached_info();
    assert!(
        info.num_redelivered == 0 && info.num_ack_pending > 0,
        "{info:?}"
    );
    holder.release().await;
    everything_is_there_once(&deployment).await;
}

/// The lock outlives the breaker's patience: it opens, the log says so, and when the lock is gone it closes.
/// While it is open nothing is pulled.
async fn the_breaker_opens_in_a_long_outage_and_all_is_stored_later(engine: Engine) {
    let (deployment, holder) = locked(engine).await;
    let names = deployment.names();
    let says = |text: &'static str| {
        names
            .iter()
            .any(|name| deployment.log(name).contains(text))
            .then_some(())
    };
    until("the breaker opens", async || {
        says("a circuit breaker opened")
    })
    .await;
    assert_eq!(
        deployment
            .database
            .count("SELECT count(*) FROM batches")
            .await,
        1
    );
    holder.release().await;
    everything_is_there_once(&deployment).await;
    until("the breaker closes", async || {
        says("a circuit breaker closed")
    })
    .await;
}

/// Until it is lifted, the store takes no write: SQLite's file is locked, Postgres's disk is full.
enum Outage {
    Locked(DatabaseLock),
    Full(Database),
}

impl Outage {
    async fn begin(database: &Database) -> Self {
        if let Database::Sqlite(_) = database {
            return Self::Locked(database.hold_locked().await);
        }
        let full = "CREATE FUNCTION full_disk() RETURNS trigger LANGUAGE plpgsql AS
              $$ BEGIN RAISE EXCEPTION 'no space left on device' USING ERRCODE = '53100'; END $$;
            CREATE TRIGGER full_disk BEFORE INSERT ON batches FOR EACH STATEMENT EXECUTE FUNCTION full_disk();
            CREATE TRIGGER full_disk BEFORE INSERT ON attempts FOR EACH STATEMENT EXECUTE FUNCTION full_disk();";
        database.execute(full).await;
        Self::Full(database.clone())
    }

    async fn lift(self) {
        match self {
            Self::Locked(held) => held.release().await,
            Self::Full(database) => database.execute("DROP FUNCTION full_disk CASCADE").await,
        }
    }
}

/// The one batch in flight, and its jobs, are fewer than the probes it takes: the workers ask by themselves.
async fn a_breaker_closes_though_no_further_batch_comes(engine: Engine) {
    let mut deployment = Deployment::start(engine).await;
    let url = deployment.collector("collector").await;
    let client = deployment.client(&url, "ada").await;
    let breaker = [
        "--breaker-in-a-row",
        "1",
        "--breaker-open-for",
        "1s",
        "--breaker-probes",
        "20",
    ];
    let role = deployment.role("persist").to_owned();
    deployment.worker_given("worker", &role, &breaker, None);
    let first = client
        .send_waiting(&envelope("b-0", &[event("e-0")]), 60)
        .await;
    assert_eq!(first.status, 200, "{}", first.body);
    let outage = Outage::begin(&deployment.database).await;
    send(&client, 1, 2).await;
    let says = |text: &str| deployment.log("worker").contains(text).then_some(());
    until("the breaker opens", async || {
        says("a circuit breaker opened")
    })
    .await;
    outage.lift().await;
    stored(&deployment, 2).await;
    until("the breaker closes", async || {
        says("a circuit breaker closed")
    })
    .await;
    until("it is reported as closed", async || {
        let status = deployment.run("devtrail", &["status", "--json"]);
        let status: serde_json::Value = serde_json::from_slice(&status.stdout).ok()?;
        (status["workers"][0]["breakers"][0]["state"] == "closed").then_some(())
    })
    .await;
    assert_eq!(
        deployment
            .database
            .count("SELECT count(*) FROM attempts")
            .await,
        0,
        "asking leaves nothing"
    );
}

async fn stored(deployment: &Deployment, batches: i64) {
    let all = async || {
        (deployment
            .database
            .count("SELECT count(*) FROM batches")
            .await
            == batches)
            .then_some(())
    };
    until("the batches are stored", all).await;
}

/// While the breaker is open workers ask for nothing: what comes meanwhile stays in the stream, for others.
async fn while_the_breaker_is_open_nothing_is_pulled(engine: Engine) {
    let mut deployment = Deployment::start(engine).await;
    let url = deployment.collector("collector").await;
    let client = deployment.client(&url, "ada").await;
    let role = deployment.role("persist").to_owned();
    let at_once = [
        ("DEVTRAIL_BREAKER_IN_A_ROW", "1"),
        ("DEVTRAIL_BREAKER_OPEN_FOR", "60s"),
        ("DEVTRAIL_BREAKER_OPEN_AT_MOST", "60s"),
    ];
    deployment.worker_with("worker", &role, &at_once);
    send(&client, 0, 1).await;
    let is_stored = async || {
        let stored = "SELECT count(*) FROM batches";
        (deployment.has_tables().await && deployment.database.count(stored).await == 1)
            .then_some(())
    };
    until("a batch is stored", is_stored).await;
    let _holder = deployment.database.hold_locked().await;
    send(&client, 1, 2).await;
    let opened = async || {
        deployment
            .log("worker")
            .contains("a circuit breaker opened")
            .then_some(())
    };
    until("the breaker opens", opened).await;
    let mut persist: PullConsumer = deployment
        .js()
        .await
        .get_stream(&events_of("ada"))
        .await
        .unwrap()
        .get_consumer("persist")
        .await
        .unwrap();
    // A request that was open goes on for 5 s at most.
    let asks_for_nothing = async || {
        let info = persist.info().await.ok()?;
        (info.num_waiting == 0).then_some(info.num_ack_pending)
    };
    let in_hand = until("the worker asks for nothing", asks_for_nothing).await;
    send(&client, 2, 12).await;
    let info = persist.info().await.unwrap();
    assert_eq!(
        (info.num_ack_pending, info.num_pending),
        (in_hand, 10),
        "{info:?}"
    );
}

harness::on_both_stores!(
    while_the_breaker_is_open_nothing_is_pulled,
    a_long_lock_delays_and_loses_nothing,
    the_breaker_opens_in_a_long_outage_and_all_is_stored_later,
    a_breaker_closes_though_no_further_batch_comes,
);

/// Every connection to the database is cut again and again under load, as when a server fails over.
#[tokio::test(flavor = "multi_thread")]
async fn connections_cut_under_load_lose_and_double_nothing() {
    let mut deployment = Deployment::start(Engine::Postgres).await;
    let url = deployment.collector("collector").await;
    let client = deployment.client(&url, "ada").await;
    deployment.workers(2);
    watch_attempts(&deployment).await;
    let done = Arc::new(AtomicBool::new(false));
    let database = deployment.database.clone();
    let shutdown = done.clone();
    let cutting = tokio::spawn(async move {
        let mut cuts = 0;
        let mut pauses = tokio::time::interval(std::time::Duration::from_millis(50));
        while !shutdown.load(Ordering::Relaxed) {
            pauses.tick().await;
            let others =
                "SELECT count(*) FROM (SELECT pg_terminate_backend(pid) FROM pg_stat_activity
                WHERE datname = current_database() AND pid <> pg_backend_pid()) cut";
            cuts += database.count(others).await;
        }
        cuts
    });
    send(&client, 0, BATCHES).await;
    done.store(true, Ordering::Relaxed);
    assert!(cutting.await.unwrap() > 0, "connections were cut");
    everything_is_there_once(&deployment).await;
}
