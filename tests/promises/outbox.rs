//! The batch row is the outbox: trouble with jobs never stops storing, and never stores again (R3.4).

use harness::{Database, Engine, Site, envelope, event, until};

/// Counts inserts into `events` in the database itself, past the product.
async fn count_inserts(site: &Site) {
    let sql = match site.database {
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
    site.database.execute(sql).await;
}

async fn set_jobs_bytes(site: &Site, max_bytes: i64) {
    let js = site.js().await;
    let mut config = js.get_stream("JOBS").await.unwrap().cached_info().config.clone();
    config.max_bytes = max_bytes;
    js.update_stream(config).await.unwrap();
}

async fn while_jobs_are_refused_storing_goes_on_and_they_come_later_once(engine: Engine) {
    const BATCHES: i64 = 20;
    let mut site = Site::start(engine).await;
    let url = site.collector("collector").await;
    let client = site.client(&url, "ada").await;
    site.workers(1);
    until("the tables are made", async || site.has_tables().await.then_some(())).await;
    count_inserts(&site).await;
    // Full: every job is refused.
    set_jobs_bytes(&site, 1).await;
    for number in 0..BATCHES {
        let events: Vec<_> = (0..5).map(|index| event(&format!("e-{number}-{index}"))).collect();
        client.send(&envelope(&format!("b-{number}"), &events)).await;
    }
    let persisted = async || {
        let stored = site.database.count("SELECT count(*) FROM batches WHERE state = 'persisted'").await;
        (stored == BATCHES).then_some(())
    };
    until("all is stored while jobs are refused", persisted).await;
    assert_eq!(site.database.count("SELECT n FROM inserts").await, 5 * BATCHES);
    assert_eq!(site.database.count("SELECT count(*) FROM ledger").await, 0);
    set_jobs_bytes(&site, 1 << 30).await;
    site.completed(BATCHES).await;
    assert_eq!(site.database.count("SELECT n FROM inserts").await, 5 * BATCHES, "nothing is stored again");
    assert_eq!(site.database.count("SELECT count(*) FROM ledger").await, 3 * BATCHES);
    let finished = "SELECT count(*) FROM audit WHERE step = 'job_finished'";
    assert_eq!(site.database.count(finished).await, 3 * BATCHES, "each job is done once");
    let _ = site.verify();
}

async fn the_same_batch_n_times_has_one_set_of_jobs(engine: Engine) {
    let mut site = Site::start(engine).await;
    let url = site.collector("collector").await;
    let client = site.client(&url, "ada").await;
    let js = site.js().await;
    let mut config = js.get_stream("EVENTS").await.unwrap().cached_info().config.clone();
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
    site.workers(2);
    site.completed(messages).await;
    assert_eq!(site.database.count("SELECT count(*) FROM ledger").await, 3);
    assert_eq!(site.database.count("SELECT count(*) FROM events").await, 2);
    assert_eq!(site.database.count("SELECT count(*) FROM batches WHERE need <> 0").await, 1);
    assert_eq!(site.database.count("SELECT count(*) FROM audit WHERE step = 'triggered'").await, 1);
}

harness::on_both_stores!(
    while_jobs_are_refused_storing_goes_on_and_they_come_later_once,
    the_same_batch_n_times_has_one_set_of_jobs,
);
