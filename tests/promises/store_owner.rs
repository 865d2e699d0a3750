//! The streams belong to one store: no second one splits the data, and none lacks what was acked.

use harness::{
    Client, Database, Deployment, DevtrailUp, Engine, envelope, event, stderr_of, until,
};
use serde_json::{Value, json};

const EVENTS: &str = "SELECT count(*) FROM events";

async fn send(client: &Client, numbers: std::ops::Range<i64>) {
    for number in numbers {
        let batch = envelope(&format!("b{number}"), &[event(&format!("e{number}"))]);
        client.send(&batch).await;
    }
}

async fn stored(deployment: &Deployment, count: i64) {
    let stored = async || {
        let is_there = deployment.has_tables().await;
        (is_there && deployment.database.count(EVENTS).await == count).then_some(())
    };
    until("all is stored", stored).await;
}

fn owner(deployment: &Deployment) -> Value {
    let status = deployment.run("devtrail", &["status", "--json"]);
    let status: Value =
        serde_json::from_slice(&status.stdout).unwrap_or_else(|_| panic!("{}", stderr_of(&status)));
    status["owner"].clone()
}

/// A relative default path in another folder is enough for a second database.
///
/// Contract: owner.refused, owner.adopt, owner.status
async fn a_second_store_is_refused_until_it_adopts_the_streams(engine: Engine) {
    let mut deployment = Deployment::start(engine).await;
    let url = deployment.collector("collector").await;
    let client = deployment.client(&url, "ada").await;
    deployment.workers(1);
    send(&client, 0..3).await;
    deployment.completed(3).await;
    let first = owner(&deployment);
    assert_eq!(first["is_this_store"], json!(true), "{first}");
    let other = tempfile::tempdir().unwrap();
    let one = std::mem::replace(
        &mut deployment.database,
        Database::fresh(engine, other.path()).await,
    );
    let masked = |database: &Database| match database {
        Database::Sqlite(path) => format!("sqlite:{}", path.display()),
        Database::Postgres(url) => url.rsplit_once('/').unwrap().1.to_owned(),
    };
    for role in ["persist", "aggregate", "normalize", "alert"] {
        let refused = deployment.run("devtrail-worker", &[deployment.role(role)]);
        let why = stderr_of(&refused);
        assert_eq!(refused.status.code(), Some(2), "{why}");
        let parts = [
            "The streams belong to another store",
            &masked(&one),
            &masked(&deployment.database),
            "devtrail streams adopt --reason TEXT",
        ];
        for part in parts {
            assert!(why.contains(part), "{part}: {why}");
        }
        if let (Database::Postgres(url), Some((login, _))) = (&one, masked(&one).split_once('@')) {
            assert!(!url.contains(login), "a password is shown: {why}");
        }
    }
    assert_eq!(
        deployment.database.count(EVENTS).await,
        0,
        "nothing was split off"
    );
    assert_eq!(owner(&deployment)["is_this_store"], json!(false));
    // The store that has the streams goes on meanwhile.
    send(&client, 3..5).await;
    let without_reason = deployment.run("devtrail", &["streams", "adopt"]);
    assert_eq!(without_reason.status.code(), Some(2));
    let adopt = [
        "streams",
        "adopt",
        "--reason",
        "moved to a new server",
        "--json",
    ];
    let adopted = deployment.run("devtrail", &adopt);
    assert!(adopted.status.success(), "{}", stderr_of(&adopted));
    let report: Value = serde_json::from_slice(&adopted.stdout).unwrap();
    assert_eq!(report["adopted"], json!(true), "{report}");
    // Its workers are refused from the next binding on, and end.
    for name in deployment.names() {
        if name != "nats" && name != "collector" {
            let ended = deployment.ended(&name).await;
            assert!(!ended.success(), "{name}: {ended}");
            assert!(
                deployment.log(&name).contains("belong to another store"),
                "{name}"
            );
        }
    }
    send(&client, 5..6).await;
    deployment.workers(1);
    stored(&deployment, 6).await;
    deployment.completed(6).await;
    let report = deployment.verify();
    assert_eq!(
        (&report["stored"], &report["messages"]),
        (&json!(6), &json!(6))
    );
    let now = owner(&deployment);
    assert_eq!(
        (&now["is_this_store"], &now["reason"]),
        (&json!(true), &json!("moved to a new server"))
    );
    let audited = "SELECT count(*) FROM audit a JOIN audit_personal p ON p.id = a.id
        WHERE a.step = 'adopted' AND p.detail LIKE '%moved to a new server%'";
    assert_eq!(deployment.database.count(audited).await, 1);
    // The same again changes nothing.
    let again = deployment.run("devtrail", &["streams", "adopt", "--reason", "again"]);
    if engine == Engine::Postgres {
        assert!(String::from_utf8_lossy(&again.stdout).contains("already"));
    } else {
        assert!(stderr_of(&again).contains("Another process writes"));
    }
}

/// A store that has batches takes over only if somebody says so.
async fn a_store_that_has_batches_asks_before_it_adopts(engine: Engine) {
    let (mut deployment, client) = Deployment::running(engine).await;
    send(&client, 0..2).await;
    deployment.completed(2).await;
    deployment.stop_workers().await;
    let one = deployment.database.clone();
    let other = tempfile::tempdir().unwrap();
    deployment.database = Database::fresh(engine, other.path()).await;
    deployment.adopt();
    deployment.workers(1);
    deployment.completed(2).await;
    send(&client, 2..4).await;
    deployment.completed(4).await;
    deployment.stop_workers().await;
    deployment.database = one;
    let refused = deployment.run("devtrail", &["streams", "adopt", "--reason", "back"]);
    assert_eq!(refused.status.code(), Some(2));
    assert!(
        stderr_of(&refused).contains("say --yes"),
        "{}",
        stderr_of(&refused)
    );
    deployment.adopt();
    deployment.workers(1);
    deployment.completed(4).await;
    assert_eq!(deployment.verify()["stored"], 4);
}

/// Contract: owner.first
async fn of_two_stores_at_once_one_gets_the_streams(engine: Engine) {
    let mut deployment = Deployment::start(engine).await;
    let url = deployment.collector("collector").await;
    let client = deployment.client(&url, "ada").await;
    let other = tempfile::tempdir().unwrap();
    let second = Database::fresh(engine, other.path()).await;
    let role = deployment.role("persist").to_owned();
    deployment.worker("one", &role, None);
    deployment.worker_with("two", &role, &[("DEVTRAIL_DATABASE_URL", &second.url())]);
    let runs = until("one of them is refused", async || {
        let runs = ["one", "two"].map(|name| deployment.runs(name));
        (runs.iter().filter(|runs| **runs).count() < 2).then_some(runs)
    })
    .await;
    assert_eq!(
        runs.iter().filter(|runs| **runs).count(),
        1,
        "{}",
        deployment.logs()
    );
    if runs[1] {
        deployment.database = second;
    }
    send(&client, 0..5).await;
    stored(&deployment, 5).await;
}

/// The rows of batches above 3 go: the database is as a copy from then would be, which has its id.
///
/// Contract: owner.older
async fn an_older_copy_of_the_store_reads_what_it_lacks_again(engine: Engine) {
    let (mut deployment, client) = Deployment::running(engine).await;
    send(&client, 0..6).await;
    deployment.completed(6).await;
    deployment.stop_workers().await;
    let personal = "DELETE FROM audit_personal WHERE id IN (SELECT id FROM audit WHERE seq > 3)";
    deployment.database.execute(personal).await;
    for table in ["batches", "events", "audit", "completed_jobs"] {
        let newer = format!("DELETE FROM {table} WHERE seq > 3");
        deployment.database.execute(&newer).await;
    }
    let verify = deployment.run("devtrail", &["verify", "--wait", "0s"]);
    let said = String::from_utf8_lossy(&verify.stdout).into_owned();
    assert_eq!(said.matches("missing: batch").count(), 3, "{said}");
    deployment.workers(1);
    deployment.completed(6).await;
    assert_eq!(deployment.verify()["stored"], 6);
    let persist = deployment
        .names()
        .into_iter()
        .find(|name| name == "all" || name == "persist-0");
    let log = deployment.log(&persist.unwrap());
    assert!(log.contains("older than the stream"), "{log}");
    let reread = "SELECT count(*) FROM audit WHERE step = 'reread'";
    assert_eq!(deployment.database.count(reread).await, 1);
    // What is whole is not read again.
    deployment.stop_workers().await;
    deployment.workers(1);
    send(&client, 6..7).await;
    deployment.completed(7).await;
    assert_eq!(deployment.database.count(reread).await, 1);
}

/// Contract: owner.entry-lost
async fn a_lost_entry_is_written_again_by_the_store_that_read_the_stream(engine: Engine) {
    let (mut deployment, client) = Deployment::running(engine).await;
    send(&client, 0..2).await;
    deployment.completed(2).await;
    deployment.stop_workers().await;
    deployment
        .js()
        .await
        .delete_stream("KV_store")
        .await
        .unwrap();
    assert!(
        deployment
            .run("devtrail", &["streams", "apply"])
            .status
            .success()
    );
    let other = tempfile::tempdir().unwrap();
    let one = std::mem::replace(
        &mut deployment.database,
        Database::fresh(engine, other.path()).await,
    );
    let refused = deployment.run("devtrail-worker", &[deployment.role("persist")]);
    let why = stderr_of(&refused);
    assert_eq!(refused.status.code(), Some(2), "{why}");
    assert!(why.contains("the entry that named it is gone"), "{why}");
    deployment.database = one;
    deployment.workers(1);
    send(&client, 2..3).await;
    deployment.completed(3).await;
    assert_eq!(owner(&deployment)["is_this_store"], json!(true));
}

harness::on_both_stores!(
    a_second_store_is_refused_until_it_adopts_the_streams,
    a_store_that_has_batches_asks_before_it_adopts,
    of_two_stores_at_once_one_gets_the_streams,
    an_older_copy_of_the_store_reads_what_it_lacks_again,
    a_lost_entry_is_written_again_by_the_store_that_read_the_stream,
);

/// Contract: owner.up
#[tokio::test(flavor = "multi_thread")]
async fn under_up_a_deleted_database_is_filled_from_the_stream() {
    let mut up = DevtrailUp::start().await;
    send(&up.client(), 0..5).await;
    assert_eq!(up.verify()["stored"], 5);
    assert_eq!(up.stop().await, Some(0));
    for name in ["devtrail.db", "devtrail.db-wal", "devtrail.db-shm"] {
        // The last two are there only while it is in use.
        let _ = std::fs::remove_file(up.path(name));
    }
    up.restart().await;
    up.until("all is there again", || {
        (up.count(EVENTS) == 5).then_some(())
    })
    .await;
    assert_eq!(up.verify()["stored"], 5);
    let log = std::fs::read_to_string(up.path("up.log")).unwrap();
    assert!(
        log.contains("the database is gone, and a new one takes its place"),
        "{log}"
    );
    let audited = "SELECT count(*) FROM audit WHERE step = 'adopted'";
    assert_eq!(up.count(audited), 1);
    assert_eq!(up.stop().await, Some(0));
    up.restart().await;
    assert_eq!(up.count(audited), 1);
}
