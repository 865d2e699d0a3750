//! The Postgres server of the run, and databases on it: made once from a migrated template, emptied and
//! used again.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{LazyLock, Mutex, PoisonError};

use store::{Postgres, PostgresUrl};
use tokio::runtime::Runtime;
use tokio_postgres::{Client, NoTls};

/// Sessions of the tests' own live here, whatever runtime a case has.
static RUNTIME: LazyLock<Runtime> = LazyLock::new(|| {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .unwrap()
});
static TEMPLATE: LazyLock<String> = LazyLock::new(|| {
    let name = new_name("template");
    create(&name, "template0");
    wait(async {
        Postgres::connect(&url(&name), "devtrail-test")
            .await
            .map(drop)
    })
    .unwrap();
    name
});
static IDLE: Mutex<Vec<String>> = Mutex::new(Vec::new());

/// Every table that the migrations made, and that a case may have filled.
const TABLES: &str = "SELECT 'DELETE FROM ' || c.relname || ';' FROM pg_class c
    WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p') AND NOT c.relispartition
      AND c.relname <> 'refinery_schema_history'";

fn base() -> String {
    std::env::var("DEVTRAIL_TEST_POSTGRES").unwrap_or_else(|_| {
        panic!(
            "There is no Postgres to test with: run `make test`, or start one with `scripts/postgres.sh start` and \
             put the URL that it prints into DEVTRAIL_TEST_POSTGRES."
        )
    })
}

/// The address of a database on the server.
pub fn address(database: &str) -> String {
    let base = base();
    let (server, _) = base
        .rsplit_once('/')
        .expect("the URL in DEVTRAIL_TEST_POSTGRES ends in /DATABASE");
    format!("{server}/{database}")
}

/// The address of a database on the server, as the store takes it.
pub fn url(database: &str) -> PostgresUrl {
    address(database).parse().unwrap()
}

/// A name that no other test has.
pub fn new_name(kind: &str) -> String {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    format!(
        "devtrail_{kind}_{}_{}",
        std::process::id(),
        COUNT.fetch_add(1, Ordering::Relaxed)
    )
}

/// Makes a database.
pub fn create(name: &str, template: &str) {
    with("postgres", async move |client| {
        client
            .batch_execute(&format!("CREATE DATABASE {name} TEMPLATE {template}"))
            .await
            .unwrap();
    });
}

/// An empty, migrated database.
pub fn take() -> String {
    // Bound to a name: the lock must not be held while a database is made.
    let idle = IDLE.lock().unwrap_or_else(PoisonError::into_inner).pop();
    let Some(name) = idle else {
        let name = new_name("test");
        create(&name, &TEMPLATE);
        return name;
    };
    with(&name, async |client| {
        let rows = client.query(TABLES, &[]).await.unwrap();
        let emptying: String = rows.iter().map(|row| row.get::<_, String>(0)).collect();
        client.batch_execute(&emptying).await.unwrap();
    });
    name
}

/// Gives it back for another test.
pub fn give_back(name: String) {
    IDLE.lock()
        .unwrap_or_else(PoisonError::into_inner)
        .push(name);
}

/// Runs `work` with a session of its own.
pub fn with<T: Send>(database: &str, work: impl AsyncFnOnce(&mut Client) -> T + Send) -> T {
    let address = address(database);
    let run = move || {
        RUNTIME.block_on(async move {
            let (mut client, connection) = tokio_postgres::connect(&address, NoTls).await.unwrap();
            let connection = tokio::spawn(connection);
            let value = work(&mut client).await;
            drop(client);
            // Waited for: who makes a database of this one must find it unused.
            connection.await.unwrap().unwrap();
            value
        })
    };
    std::thread::scope(|scope| scope.spawn(run).join().unwrap())
}

/// Waits for `work`, also where a runtime is under way.
pub fn wait<T: Send>(work: impl Future<Output = T> + Send) -> T {
    std::thread::scope(|scope| scope.spawn(|| RUNTIME.block_on(work)).join().unwrap())
}
