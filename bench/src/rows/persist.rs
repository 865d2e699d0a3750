//! The persist role beside the same rows written by hand: no JetStream, no decoding, no deciding.
//! By hand on SQLite: prepared inserts. On Postgres: `COPY` to a staging table and one insert that drops duplicates,
//! and a plain `COPY`, which cannot drop any.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};
use futures_util::{SinkExt as _, TryStreamExt as _};
use harness::{Database, Deployment, Engine};
use runtime::breaker::BreakerSettings;
use runtime::process::{Actor, Process};
use runtime::retry::RetrySettings;
use runtime::shutdown::Shutdown;
use store::{Postgres, SQLITE_CACHE_KIB, Sqlite, Store};
use types::event_streams::EventStreams;

use crate::encode::{Body, publish_all};
use crate::input::{EVENTS, body};
use crate::plan::{Plan, name};
use crate::report::{Report, say};
use crate::row::{BenchRow, Reach};
use crate::stats::Spread;
use crate::watch::{StallCheck, StoreWatch};

/// Batches in one transaction by hand: the pull loop's own group.
const GROUP: usize = 256;

/// A table that T1 writes a batch's rows to.
struct Table {
    name: &'static str,
    /// Selects the rows of sequences from `{from}` to `{to}`.
    which: &'static str,
}

const TABLES: [Table; 4] = [
    Table {
        name: "batches",
        which: "seq BETWEEN {from} AND {to}",
    },
    Table {
        name: "events",
        which: "seq BETWEEN {from} AND {to}",
    },
    Table {
        name: "audit",
        which: "seq BETWEEN {from} AND {to}",
    },
    Table {
        name: "audit_personal",
        which: "id IN (SELECT id FROM audit WHERE seq BETWEEN {from} AND {to})",
    },
];

impl Table {
    fn select(&self, group: usize) -> String {
        let from = 1 + group * GROUP;
        let which = self
            .which
            .replace("{from}", &from.to_string())
            .replace("{to}", &(from + GROUP - 1).to_string());
        format!("SELECT * FROM {} WHERE {which}", self.name)
    }
}

/// How long the same rows took each way.
struct Round {
    ours: Duration,
    /// With the same answer to duplicates.
    by_hand: Duration,
    /// Only on Postgres.
    plain_copy: Option<Duration>,
}

/// The rows of both stores.
///
/// # Errors
/// The first failure.
pub async fn measure(plan: &Plan, report: &mut Report) -> anyhow::Result<()> {
    let batches = plan.events(25_000, 150_000).div_ceil(EVENTS);
    for &engine in &plan.engines {
        let mut rounds = Vec::new();
        for round in 0..plan.rounds {
            say(&format!("persist, {}, round {}", name(engine), round + 1));
            let deployment = backlog(engine, batches).await?;
            rounds.push(match engine {
                Engine::Sqlite => on_sqlite(&deployment, batches).await?,
                Engine::Postgres => on_postgres(&deployment, batches).await?,
            });
            deployment.remove().await;
        }
        let title = format!("Persist, {}, one process", name(engine));
        report.add(&title, rows(batches, &rounds));
    }
    Ok(())
}

fn rows(batches: usize, rounds: &[Round]) -> Vec<BenchRow> {
    let events = (batches * EVENTS) as f64;
    let rate = |took: &dyn Fn(&Round) -> Duration| {
        Spread::of(
            rounds
                .iter()
                .map(|round| events / took(round).as_secs_f64()),
        )
    };
    let ratio = |round: &Round| round.by_hand.as_secs_f64() / round.ours.as_secs_f64();
    let row = BenchRow::new(
        "events stored, beside the same rows by hand",
        "events/s",
        rate(&|round| round.ours),
    );
    let ratio = Spread::of(rounds.iter().map(ratio));
    let mut rows = vec![
        row.beside(rate(&|round| round.by_hand), ratio)
            .reach(Reach::RatioAtLeast(0.7)),
    ];
    let copies = rounds.iter().filter_map(|round| round.plain_copy);
    let copies: Vec<f64> = copies.map(|took| events / took.as_secs_f64()).collect();
    if !copies.is_empty() {
        let what = "plain COPY of the same rows, for comparison";
        rows.push(BenchRow::new(what, "events/s", Spread::of(copies)));
    }
    rows
}

/// A stream with the backlog, and no worker.
async fn backlog(engine: Engine, batches: usize) -> anyhow::Result<Deployment> {
    let deployment = Deployment::start(engine).await;
    let bodies = (0..batches).map(|number| Body {
        developer: "bench".to_owned(),
        bytes: body("persist", number),
    });
    publish_all(&deployment.js().await, bodies).await?;
    Ok(deployment)
}

/// Runs the persist role in this process until the backlog is stored.
async fn persist<S: Store>(
    deployment: &Deployment,
    store: S,
    batches: usize,
) -> anyhow::Result<Duration> {
    let watch = StoreWatch::open(deployment).await?;
    let client = async_nats::connect(&deployment.nats).await?;
    let shutdown = Shutdown::manual(Duration::from_secs(10));
    let process = Process::new(Actor::new("bench"), shutdown.clone());
    let start = Instant::now();
    let pulling = workers::delivery_state::pulling(
        RetrySettings::DEFAULT,
        BreakerSettings::DEFAULT,
        &process,
    );
    let streams = EventStreams::ONE;
    let running = workers::persist::run(client, streams, store, pulling, process);
    let running = tokio::spawn(running);
    let mut stored = 0;
    let mut stalled = StallCheck::new(stored);
    while stored < batches as u64 {
        tokio::time::sleep(Duration::from_millis(10)).await; // sleep: between two polls of the store
        stored = watch.number("SELECT count(*) FROM batches").await?;
        stalled.see(stored)?;
    }
    let took = start.elapsed();
    shutdown.begin();
    running.await??;
    Ok(took)
}

async fn on_sqlite(deployment: &Deployment, batches: usize) -> anyhow::Result<Round> {
    let Database::Sqlite(path) = &deployment.database else {
        bail!("this deployment is on SQLite")
    };
    let ours = persist(deployment, Sqlite::open(path)?, batches).await?;
    let copy = path.with_file_name("by-hand.db");
    drop(Sqlite::open(&copy)?); // the same tables and indexes
    Ok(Round {
        ours,
        by_hand: sqlite_by_hand(path, &copy, batches)?,
        plain_copy: None,
    })
}

/// Rows of one table, and the statement that inserts one.
struct SqliteRows {
    insert: String,
    rows: Vec<Vec<rusqlite::types::Value>>,
}

impl SqliteRows {
    fn read(source: &rusqlite::Connection, table: &Table, group: usize) -> anyhow::Result<Self> {
        let mut statement = source.prepare(&table.select(group))?;
        let columns = statement.column_count();
        let rows = statement
            .query_map([], |row| (0..columns).map(|at| row.get(at)).collect())?
            .collect::<rusqlite::Result<_>>()?;
        let marks = vec!["?"; columns].join(",");
        let insert = format!(
            "INSERT INTO {} VALUES ({marks}) ON CONFLICT DO NOTHING",
            table.name
        );
        Ok(Self { insert, rows })
    }
}

fn sqlite_by_hand(from: &Path, to: &Path, batches: usize) -> anyhow::Result<Duration> {
    let source = rusqlite::Connection::open(from)?;
    let mut groups = Vec::new();
    for group in 0..batches.div_ceil(GROUP) {
        let read = |table| SqliteRows::read(&source, table, group);
        let tables: anyhow::Result<Vec<SqliteRows>> = TABLES.iter().map(read).collect();
        groups.push(tables?);
    }
    let target = rusqlite::Connection::open(to)?;
    for (pragma, value) in [
        ("synchronous", "FULL"),
        ("wal_autocheckpoint", "0"),
        ("cache_size", &format!("-{SQLITE_CACHE_KIB}")),
    ] {
        target.pragma_update(None, pragma, value)?;
    }
    let start = Instant::now();
    for tables in groups {
        target.execute_batch("BEGIN IMMEDIATE")?;
        for SqliteRows { insert, rows } in tables {
            let mut statement = target.prepare_cached(&insert)?;
            for row in rows {
                statement.execute(rusqlite::params_from_iter(row))?;
            }
        }
        target.execute_batch("COMMIT")?;
    }
    Ok(start.elapsed())
}

async fn on_postgres(deployment: &Deployment, batches: usize) -> anyhow::Result<Round> {
    let Database::Postgres(url) = &deployment.database else {
        bail!("this deployment is on Postgres")
    };
    let store = Postgres::connect(&url.parse()?, "bench").await?;
    let ours = persist(deployment, store, batches).await?;
    let groups = copied_out(url, batches).await?;
    Ok(Round {
        ours,
        by_hand: copied_in(&groups, Duplicates::Dropped).await?,
        plain_copy: Some(copied_in(&groups, Duplicates::Impossible).await?),
    })
}

/// What a bulk insert does about rows that are there already.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Duplicates {
    Dropped,
    Impossible,
}

/// The rows of one group in one table, as `COPY` has them.
struct CopiedRows {
    table: &'static str,
    bytes: bytes::Bytes,
}

async fn connect(url: &str) -> anyhow::Result<tokio_postgres::Client> {
    let (client, connection) = tokio_postgres::connect(url, tokio_postgres::NoTls).await?;
    // Ends with its client.
    tokio::spawn(connection);
    Ok(client)
}

async fn copied_out(url: &str, batches: usize) -> anyhow::Result<Vec<Vec<CopiedRows>>> {
    let source = connect(url).await?;
    let mut groups = Vec::new();
    for group in 0..batches.div_ceil(GROUP) {
        let mut tables = Vec::new();
        for table in &TABLES {
            let select = table.select(group);
            let copied = source
                .copy_out(&format!("COPY ({select}) TO STDOUT (FORMAT binary)"))
                .await?;
            let bytes: Vec<bytes::Bytes> = copied.try_collect().await?;
            tables.push(CopiedRows {
                table: table.name,
                bytes: bytes.concat().into(),
            });
        }
        groups.push(tables);
    }
    Ok(groups)
}

/// How long a fresh database with the same tables and indexes takes for the rows.
async fn copied_in(groups: &[Vec<CopiedRows>], duplicates: Duplicates) -> anyhow::Result<Duration> {
    let database = Database::fresh(Engine::Postgres, Path::new("")).await;
    let Database::Postgres(url) = &database else {
        bail!("a fresh database on Postgres")
    };
    drop(Postgres::connect(&url.parse()?, "bench").await?); // makes the tables
    let mut target = connect(url).await?;
    target.batch_execute("SET synchronous_commit = on").await?;
    for table in &TABLES {
        let name = table.name;
        let staging = format!("CREATE TEMP TABLE staging_{name} (LIKE {name})");
        target.batch_execute(&staging).await?;
    }
    let start = Instant::now();
    for group in groups {
        let transaction = target.transaction().await?;
        for CopiedRows { table, bytes } in group {
            let into = match duplicates {
                Duplicates::Dropped => format!("staging_{table}"),
                Duplicates::Impossible => (*table).to_owned(),
            };
            let copy = format!("COPY {into} FROM STDIN (FORMAT binary)");
            let sink = transaction.copy_in(&copy).await?;
            futures_util::pin_mut!(sink);
            sink.send(bytes.clone()).await?;
            sink.finish().await.with_context(|| copy.clone())?;
            if duplicates == Duplicates::Dropped {
                let insert = format!(
                    "INSERT INTO {table} SELECT * FROM {into} ON CONFLICT DO NOTHING; \
                     TRUNCATE {into}"
                );
                transaction.batch_execute(&insert).await?;
            }
        }
        transaction.commit().await?;
    }
    let took = start.elapsed();
    let rows: i64 = database.count("SELECT count(*) FROM events").await;
    ensure!(rows > 0, "nothing was copied");
    database.remove().await;
    Ok(took)
}
