//! The persist role beside the same rows written by hand: no JetStream, no decoding, no deciding.

use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use async_nats::jetstream::message::PublishMessage;
use futures_util::{StreamExt, stream};
use harness::{Database, Deployment, Engine};
use runtime::breaker::BreakerSettings;
use runtime::retry::RetrySettings;
use runtime::{
    process::{Actor, Process},
    shutdown::Shutdown,
};
use store::{Postgres, Sqlite, Store};
use types::schema::Schemas;

use crate::input::body;
use crate::report::{BenchTable, Measured, rate};

/// Batches in the backlog.
const BATCHES: usize = 3000;
/// Batches in one transaction by hand: the pull loop's own group.
const GROUP: i64 = 256;
/// The tables that T1 writes a batch's rows to, each with what selects a group's rows.
const TABLES: [(&str, &str); 4] = [
    ("batches", "seq BETWEEN {from} AND {to}"),
    ("events", "seq BETWEEN {from} AND {to}"),
    ("audit", "seq BETWEEN {from} AND {to}"),
    (
        "audit_personal",
        "id IN (SELECT id FROM audit WHERE seq BETWEEN {from} AND {to})",
    ),
];

/// A stream with the backlog, and no worker.
async fn backlog(engine: Engine) -> anyhow::Result<Deployment> {
    let deployment = Deployment::start(engine).await;
    let js = deployment.js().await;
    let schemas = Schemas::builtin();
    let publish = |number: usize| {
        let message = crate::cpu::message(&schemas, &body("persist", number));
        let js = js.clone();
        async move {
            let batch = message?;
            let message = PublishMessage::build()
                .payload(batch.payload)
                .message_id(batch.id);
            js.send_publish("events.batch.bench", message)
                .await?
                .await?;
            anyhow::Ok(())
        }
    };
    let mut published = stream::iter(0..BATCHES).map(publish).buffer_unordered(64);
    while let Some(result) = published.next().await {
        result?;
    }
    Ok(deployment)
}

/// Runs the persist role in this process until the backlog is stored.
async fn persist<S: Store>(deployment: &Deployment, store: S) -> anyhow::Result<Duration> {
    let client = async_nats::connect(&deployment.nats).await?;
    let shutdown = Shutdown::manual(Duration::from_secs(10));
    let process = Process::new(Actor::new("bench"), shutdown.clone());
    let start = Instant::now();
    let pulling = workers::delivery_state::pulling(
        RetrySettings::DEFAULT,
        BreakerSettings::DEFAULT,
        &process,
    );
    let running = tokio::spawn(workers::persist::run(
        client,
        store.clone(),
        pulling,
        process,
    ));
    let stored = async || {
        let totals = store.totals().await.ok()?;
        (totals.batches.values().sum::<u64>() == BATCHES as u64).then(|| start.elapsed())
    };
    let took = harness::until("the backlog is stored", stored).await;
    shutdown.begin();
    running.await??;
    Ok(took)
}

/// Sequences of a stream, both ends included.
#[derive(Clone, Copy)]
struct SeqRange {
    from: i64,
    to: i64,
}

/// The sequences of each group.
fn groups() -> impl Iterator<Item = SeqRange> {
    let starts = (1..=BATCHES as i64).step_by(GROUP as usize);
    starts.map(|from| SeqRange {
        from,
        to: from + GROUP - 1,
    })
}

/// Each table, and the query for its rows of a group.
fn selects(group: SeqRange) -> impl Iterator<Item = (&'static str, String)> {
    TABLES.iter().map(move |(table, which)| {
        let which = which
            .replace("{from}", &group.from.to_string())
            .replace("{to}", &group.to.to_string());
        (*table, format!("SELECT * FROM {table} WHERE {which}"))
    })
}

fn add(report: &mut BenchTable, engine: &str, ours: Duration, by_hand: Duration, how: &str) {
    let measured = Measured {
        ours: rate(BATCHES, ours),
        ceiling: format!("{} {how}", rate(BATCHES, by_hand)),
        ratio: Some(by_hand.as_secs_f64() / ours.as_secs_f64()),
    };
    report.add(&format!("persist, {engine}"), measured, "≥ 0.70");
}

/// The row of SQLite.
///
/// # Errors
/// The first failure.
pub async fn on_sqlite(report: &mut BenchTable) -> anyhow::Result<()> {
    let deployment = backlog(Engine::Sqlite).await?;
    let Database::Sqlite(path) = &deployment.database else {
        anyhow::bail!("this deployment is on SQLite")
    };
    let ours = persist(&deployment, Sqlite::open(path)?).await?;
    let copy = path.with_file_name("by-hand.db");
    drop(Sqlite::open(&copy)?); // the same tables and indexes
    let by_hand = sqlite_by_hand(path, &copy)?;
    add(report, "SQLite", ours, by_hand, "by prepared inserts");
    Ok(())
}

fn sqlite_by_hand(from: &std::path::Path, to: &std::path::Path) -> anyhow::Result<Duration> {
    use rusqlite::types::Value;
    let source = rusqlite::Connection::open(from)?;
    let mut groups_rows: Vec<Vec<(String, Vec<Vec<Value>>)>> = Vec::new();
    for range in groups() {
        let mut tables = Vec::new();
        for (table, select) in selects(range) {
            let mut statement = source.prepare(&select)?;
            let columns = statement.column_count();
            let rows = statement
                .query_map([], |row| {
                    (0..columns)
                        .map(|at| row.get(at))
                        .collect::<rusqlite::Result<Vec<Value>>>()
                })?
                .collect::<rusqlite::Result<Vec<_>>>()?;
            let marks = vec!["?"; columns].join(",");
            tables.push((format!("INSERT INTO {table} VALUES ({marks})"), rows));
        }
        groups_rows.push(tables);
    }
    let target = rusqlite::Connection::open(to)?;
    for (pragma, value) in [
        ("synchronous", "FULL"),
        ("wal_autocheckpoint", "0"),
        ("cache_size", "-65536"),
    ] {
        target.pragma_update(None, pragma, value)?;
    }
    let start = Instant::now();
    for tables in groups_rows {
        target.execute_batch("BEGIN IMMEDIATE")?;
        for (insert, rows) in tables {
            let mut statement = target.prepare_cached(&insert)?;
            for row in rows {
                statement.execute(rusqlite::params_from_iter(row))?;
            }
        }
        target.execute_batch("COMMIT")?;
    }
    Ok(start.elapsed())
}

/// The row of Postgres.
///
/// # Errors
/// The first failure.
pub async fn on_postgres(report: &mut BenchTable) -> anyhow::Result<()> {
    let deployment = backlog(Engine::Postgres).await?;
    let Database::Postgres(url) = &deployment.database else {
        anyhow::bail!("this deployment is on Postgres")
    };
    let ours = persist(
        &deployment,
        Postgres::connect(&url.parse()?, "bench").await?,
    )
    .await?;
    let Database::Postgres(copy) =
        Database::fresh(Engine::Postgres, std::path::Path::new("")).await
    else {
        anyhow::bail!("a fresh database on Postgres");
    };
    drop(Postgres::connect(&copy.parse()?, "bench").await?); // the same tables and indexes
    let by_hand = postgres_by_hand(url, &copy).await?;
    add(report, "Postgres, one process", ours, by_hand, "by COPY");
    Ok(())
}

async fn connect(url: &str) -> anyhow::Result<tokio_postgres::Client> {
    let (client, connection) = tokio_postgres::connect(url, tokio_postgres::NoTls).await?;
    tokio::spawn(connection);
    Ok(client)
}

async fn postgres_by_hand(from: &str, to: &str) -> anyhow::Result<Duration> {
    use futures_util::{SinkExt, TryStreamExt};
    let source = connect(from).await?;
    let mut groups_bytes = Vec::new();
    for range in groups() {
        for (table, select) in selects(range) {
            let copied = source
                .copy_out(&format!("COPY ({select}) TO STDOUT (FORMAT binary)"))
                .await?;
            let bytes: Vec<bytes::Bytes> = copied.try_collect().await?;
            groups_bytes.push((table, bytes.concat()));
        }
    }
    let mut target = connect(to).await?;
    target.batch_execute("SET synchronous_commit = on").await?;
    ensure!(
        groups_bytes.len().is_multiple_of(TABLES.len()),
        "each group has every table"
    );
    let start = Instant::now();
    for group in groups_bytes.chunks(TABLES.len()) {
        let transaction = target.transaction().await?;
        for (table, bytes) in group {
            let sink = transaction
                .copy_in(&format!("COPY {table} FROM STDIN (FORMAT binary)"))
                .await?;
            futures_util::pin_mut!(sink);
            sink.send(bytes::Bytes::copy_from_slice(bytes)).await?;
            sink.finish()
                .await
                .with_context(|| format!("COPY {table}"))?;
        }
        transaction.commit().await?;
    }
    Ok(start.elapsed())
}
