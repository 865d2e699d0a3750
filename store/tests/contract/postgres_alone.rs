//! What only Postgres has: many processes at once, a server that may be away, and a version to agree on.

use store::{
    DecodedBatch, Effects, HourRange, Jobs, Persist, Postgres, PostgresUrl, ReadPlan, Snapshot,
    SnapshotRequest, StoreError, VerifyReads,
};
use tokio_postgres::NoTls;
use types::id::{BatchRef, Src};
use types::job::JobKind;
use types::time::SECOND;

use crate::build::{Engine, H0, HOUR, T0, at, batch_of, event, event_at, fresh, incarnation};
use crate::postgres::PostgresEngine;
use crate::records::record;
use crate::server;
use crate::work::{self, computed, done, partial, replayed, stored};

/// Overlapping batches of two developers: ids repeat within and between them, in other bytes and
/// with other content, so that every group has candidates for ids of every other one.
fn batches(src: Src) -> Vec<DecodedBatch> {
    let of = |seq: u64| {
        let events = (0..40_u64).map(|n| {
            let id = (n * 7 + seq * 3) % 60 + seq / 8 * 60;
            let content = u32::from((seq + n).is_multiple_of(5));
            event(&format!("e{id:03}"), content)
                .spelled((n % 3) as u8)
                .after((id as i64 % 4) * HOUR + SECOND)
        });
        let developer = if seq.is_multiple_of(3) { "bob" } else { "ada" };
        batch_of(developer, at(src, seq), &events.collect::<Vec<_>>())
    };
    (1..=64).map(of).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn four_processes_store_what_one_process_would() {
    let (together, src) = fresh::<PostgresEngine>().await;
    let batches = batches(src);
    let deadlocks = together.deadlocks();
    let mut tasks = tokio::task::JoinSet::new();
    for process in 0..4_usize {
        // A process of its own: other sessions. Each goes through the messages in another order, and
        // each message is delivered to two of them.
        let store = together.again().await;
        let mine: Vec<_> = batches
            .iter()
            .skip(process % 2)
            .step_by(2)
            .cloned()
            .collect();
        let groups: Vec<Vec<DecodedBatch>> = match process {
            0 | 1 => mine.chunks(5).map(<[_]>::to_vec).collect(),
            2 => mine.chunks(3).map(<[_]>::to_vec).collect(),
            _ => mine.rchunks(3).map(<[_]>::to_vec).collect(),
        };
        tasks.spawn(async move {
            let mut new = 0;
            for group in groups {
                let stored = store
                    .store_batches(group)
                    .await
                    .expect("no deadlock surfaces");
                new += stored.iter().filter(|stored| !stored.already).count();
            }
            new
        });
    }
    let new: usize = tasks.join_all().await.into_iter().sum();
    assert_eq!(
        new,
        batches.len(),
        "each message is stored by one of its two processes"
    );
    let (alone, _) = fresh::<PostgresEngine>().await;
    for batch in batches {
        alone.store().store_batches(vec![batch]).await.unwrap();
    }
    let (dump, expected) = (together.dump(), alone.dump());
    assert_eq!(dump.of_events(), expected.of_events());
    let hours = |developer| dump.hours(developer).into_keys().collect::<Vec<_>>();
    for developer in ["ada", "bob"] {
        assert_eq!(
            hours(developer),
            expected.hours(developer).into_keys().collect::<Vec<_>>()
        );
    }
    dump.checked_audit();
    assert_eq!(
        together.deadlocks(),
        deadlocks,
        "locks are taken in one order"
    );
}

/// The same new ids at the same time, each batch naming them in another order.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn locks_are_taken_in_one_order_whatever_the_order_of_events() {
    const IDS: u64 = 400;
    let (engine, src) = fresh::<PostgresEngine>().await;
    let (deadlocks, start) = (
        engine.deadlocks(),
        std::sync::Arc::new(tokio::sync::Barrier::new(4)),
    );
    let mut tasks = tokio::task::JoinSet::new();
    for process in 0..4_u64 {
        let (store, start) = (engine.again().await, start.clone());
        tasks.spawn(async move {
            for round in 0..8 {
                let place = |n: u64| {
                    if process.is_multiple_of(2) {
                        n
                    } else {
                        IDS - 1 - n
                    }
                };
                let events = (0..IDS)
                    .map(|n| event(&format!("e{round}-{}", place(n)), 1))
                    .collect::<Vec<_>>();
                start.wait().await;
                store
                    .store_batches(vec![batch_of("ada", at(src, round * 4 + process), &events)])
                    .await
                    .unwrap();
            }
        });
    }
    tasks.join_all().await;
    assert_eq!(engine.store().totals().await.unwrap().events, 8 * IDS);
    assert_eq!(engine.deadlocks(), deadlocks);
}

/// Two workers finish the same jobs at once, each with records of other batches: both lock all of them together.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn jobs_lock_their_batches_once_whichever_have_records() {
    const BATCHES: u64 = 40;
    let (engine, src) = fresh::<PostgresEngine>().await;
    let mut bodies = Vec::new();
    for seq in 1..=BATCHES {
        bodies.push(stored(&engine, at(src, seq), &[event(&format!("e{seq}"), 1)]).await);
    }
    let bodies = std::sync::Arc::new(bodies);
    let start = std::sync::Arc::new(tokio::sync::Barrier::new(2));
    let deadlocks = engine.deadlocks();
    let mut tasks = tokio::task::JoinSet::new();
    for process in 0..2 {
        let (store, start, bodies) = (engine.again().await, start.clone(), bodies.clone());
        tasks.spawn(async move {
            for version in 1..=30 {
                let jobs = bodies.iter().map(|body| replayed(JobKind::Normalize, body));
                let own = (1..=BATCHES).filter(|seq| seq % 2 == process);
                let records = own.map(|seq| record(event_at(src, seq, 0), version, "x"));
                let effects = work::records(records.collect());
                start.wait().await;
                store.finish_jobs(effects, jobs.collect()).await.unwrap();
            }
        });
    }
    tasks.join_all().await;
    assert_eq!(engine.deadlocks(), deadlocks);
}

/// Rows that statements have read, by table, partitions together.
#[derive(Debug, Clone, PartialEq, Eq)]
struct RowsRead {
    events: i64,
    batches: i64,
    hours: i64,
    partials: i64,
}

/// The server plans a statement for what it knows of the tables when a session first runs it, here that they are empty.
/// Whatever they hold later, a job reads what is new, and not its developer's history.
#[tokio::test(flavor = "multi_thread")]
async fn jobs_read_no_history_with_plans_made_on_empty_tables() {
    const HOURS: u64 = 50;
    const EVENTS: u64 = 40;
    let (engine, src) = fresh::<PostgresEngine>().await;
    let sessions = engine.sessions();
    let batches: Vec<DecodedBatch> = (1..=HOURS)
        .map(|seq| {
            let event = |n| {
                let late = seq as i64 * HOUR + n as i64 * SECOND;
                event(&format!("e{seq}-{n}"), 1).after(late)
            };
            batch_of(
                "ada",
                at(src, seq),
                &(0..EVENTS).map(event).collect::<Vec<_>>(),
            )
        })
        .collect();
    let (planned, other) = (engine.again().await, engine.again().await);
    let first = batch_of("bob", at(src, 9000), &[event("b", 1)]);
    let first = planned.store_batches(vec![first]).await.unwrap();
    let first = first[0].pending.as_ref().unwrap().body.clone();
    // A session keeps the plan of a statement after five executions (PostgreSQL, `choose_custom_plan`).
    for version in 1..=8 {
        job(&planned, at(src, 1), H0 + 1).await;
        let records = vec![record(event_at(src, 9000, 0), version, "x")];
        let jobs = vec![replayed(JobKind::Normalize, &first)];
        let effects = work::records(records);
        planned.finish_jobs(effects, jobs).await.unwrap();
    }
    let stored = other.store_batches(batches).await.unwrap();
    let partials = (1..=HOURS as i64).map(|hour| partial(H0 + hour, computed(1, 1, "old")));
    let effects = Effects::Windows {
        partials: partials.collect(),
        days: Vec::new(),
    };
    let last = &stored[HOURS as usize - 1];
    let body = last.pending.as_ref().unwrap().body.clone();
    let jobs = vec![done(JobKind::Aggregate, &body)];
    other.finish_jobs(effects, jobs).await.unwrap();
    drop(other);
    engine.until_sessions(sessions + 1);
    let before = engine.rows_read();
    let read = job(&planned, at(src, HOURS), H0 + HOURS as i64).await;
    assert_eq!(read, 2 * EVENTS as usize);
    let records = (0..EVENTS as u32).map(|ordinal| record(event_at(src, HOURS, ordinal), 1, "x"));
    let effects = work::records(records.collect());
    let jobs = vec![done(JobKind::Normalize, &body)];
    planned.finish_jobs(effects, jobs).await.unwrap();
    drop(planned);
    // A session reports what it read when it ends.
    engine.until_sessions(sessions);
    let after = engine.rows_read();
    let read = |count: fn(&RowsRead) -> i64| count(&after) - count(&before);
    // Its events are read for the hour, for the batch, and to see that they hold their references.
    let events = read(|rows| rows.events);
    assert!(events < 4 * EVENTS as i64, "{before:?} {after:?}");
    // One batch, for each event of the hour and some more times.
    assert!(
        read(|rows| rows.batches) < 2 * EVENTS as i64,
        "{before:?} {after:?}"
    );
    assert!(read(|rows| rows.hours) <= 4, "{before:?} {after:?}");
    assert!(read(|rows| rows.partials) <= 4, "{before:?} {after:?}");
}

/// Reads what jobs of this batch and this hour read; gives the number of events.
async fn job(store: &Postgres, batch: BatchRef, hour: i64) -> usize {
    let request = SnapshotRequest {
        developer: "ada".to_owned(),
        kind: JobKind::Aggregate,
        ranges: vec![HourRange {
            first: hour,
            last: hour,
        }],
    };
    let plan = move |_| ReadPlan {
        plan: (),
        spans: vec![
            HourRange {
                first: hour,
                last: hour,
            }
            .span(),
        ],
    };
    let Snapshot { events, plan: () } = store.snapshot(request, plan).await.unwrap();
    events.len() + store.events_of(vec![batch]).await.unwrap().len()
}

#[tokio::test(flavor = "multi_thread")]
async fn each_batch_of_a_group_raises_the_hours_it_touches_by_one() {
    let (engine, src) = fresh::<PostgresEngine>().await;
    for (seqs, generation) in [(1..=3, 3), (4..=5, 5)] {
        let group = seqs.map(|seq| batch_of("ada", at(src, seq), &[event(&format!("e{seq}"), 1)]));
        engine.store().store_batches(group.collect()).await.unwrap();
        assert_eq!(
            engine.dump().hours("ada").into_values().collect::<Vec<_>>(),
            [generation]
        );
    }
}

impl PostgresEngine {
    /// Deadlocks that the server has ended in its database.
    fn deadlocks(&self) -> i64 {
        let count = "SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()";
        server::with(self.database(), async |client| {
            client.query_one(count, &[]).await.unwrap().get(0)
        })
    }

    /// Sessions in its database, apart from the one that counts them.
    fn sessions(&self) -> i64 {
        let count = "SELECT count(*) FROM pg_stat_activity
            WHERE datname = current_database() AND pid <> pg_backend_pid()";
        server::with(self.database(), async |client| {
            client.query_one(count, &[]).await.unwrap().get(0)
        })
    }

    /// Waits until there are so few sessions.
    fn until_sessions(&self, few: i64) {
        let start = std::time::Instant::now();
        while self.sessions() > few {
            assert!(
                start.elapsed() < std::time::Duration::from_secs(30),
                "sessions do not end"
            );
        }
    }

    fn rows_read(&self) -> RowsRead {
        let count = "SELECT sum(CASE WHEN relname LIKE 'events%' THEN n END)::bigint,
                sum(CASE WHEN relname = 'batches' THEN n END)::bigint,
                sum(CASE WHEN relname = 'hours' THEN n END)::bigint,
                sum(CASE WHEN relname = 'partials' THEN n END)::bigint
            FROM (SELECT relname, coalesce(seq_tup_read, 0) + coalesce(idx_tup_fetch, 0) AS n
              FROM pg_stat_user_tables) AS tables";
        server::with(self.database(), async |client| {
            let row = client.query_one(count, &[]).await.unwrap();
            RowsRead {
                events: row.get(0),
                batches: row.get(1),
                hours: row.get(2),
                partials: row.get(3),
            }
        })
    }

    /// The store as another process has it.
    async fn again(&self) -> Postgres {
        Postgres::connect(&server::url(self.database()), "devtrail-test-again")
            .await
            .unwrap()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn programs_that_start_at_once_migrate_once() {
    let name = server::new_name("migrated");
    server::create(&name, "template0");
    let refused = Postgres::attach(&server::url(&name), "devtrail-test")
        .await
        .err()
        .unwrap();
    assert!(
        matches!(&refused, StoreError::Incompatible(text) if text.contains("has no tables of this program")),
        "{refused}"
    );
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..6 {
        let url = server::url(&name);
        tasks.spawn(async move { Postgres::connect(&url, "devtrail-test").await.map(drop) });
    }
    tasks
        .join_all()
        .await
        .into_iter()
        .for_each(|started| started.unwrap());
    let applied: i64 = server::with(&name, async |client| {
        let count = "SELECT count(*) FROM refinery_schema_history";
        client.query_one(count, &[]).await.unwrap().get(0)
    });
    assert_eq!(applied, 1);
}

/// Whoever starts waits for the database then, as for one that is away.
#[tokio::test(flavor = "multi_thread")]
async fn a_session_that_ends_while_it_migrates_is_no_defect() {
    const LOCKED: &str =
        "FROM pg_locks WHERE NOT granted AND relation = 'refinery_schema_history'::regclass";
    let name = server::new_name("cut_off");
    server::create(&name, "template0");
    let url = server::url(&name);
    drop(Postgres::connect(&url, "devtrail-test").await.unwrap());
    let (client, connection) = tokio_postgres::connect(&server::address(&name), NoTls)
        .await
        .unwrap();
    tokio::spawn(connection);
    client
        .batch_execute("BEGIN; LOCK TABLE refinery_schema_history")
        .await
        .unwrap();
    let starting =
        tokio::spawn(async move { Postgres::connect(&url, "devtrail-test").await.map(drop) });
    let waits = format!("SELECT count(*) > 0 {LOCKED}");
    until(|| {
        server::with(&name, async |client| {
            client.query_one(&waits, &[]).await.unwrap().get(0)
        })
    });
    client
        .batch_execute(&format!("SELECT pg_terminate_backend(pid) {LOCKED}"))
        .await
        .unwrap();
    let error = starting.await.unwrap().unwrap_err();
    assert!(error.is_transient(), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_of_a_newer_program_is_refused() {
    let name = server::new_name("newer");
    server::create(&name, "template0");
    drop(
        Postgres::connect(&server::url(&name), "devtrail-test")
            .await
            .unwrap(),
    );
    server::with(&name, async |client| {
        let newer = "INSERT INTO refinery_schema_history (version, name, applied_on, checksum)
            VALUES (99, 'later', '2026-03-01T00:00:00Z', '1')";
        client.batch_execute(newer).await.unwrap();
    });
    let connected = Postgres::connect(&server::url(&name), "devtrail-test")
        .await
        .err();
    let attached = Postgres::attach(&server::url(&name), "devtrail-test")
        .await
        .err();
    for refused in [connected, attached] {
        let refused = refused.expect("the newer database is refused");
        let StoreError::Incompatible(text) = &refused else {
            panic!("{refused}")
        };
        assert!(
            text.contains("V99__later") && text.contains("rebuild it from the stream"),
            "{text}"
        );
        assert!(text.contains(&name), "{text}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_away_is_waited_for_and_its_password_kept() {
    let closed = std::net::TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    let url: PostgresUrl = format!("postgres://ada:s3cret@{closed}/devtrail")
        .parse()
        .unwrap();
    let error = Postgres::connect(&url, "devtrail-test")
        .await
        .err()
        .expect("nobody listens there");
    let text = error.to_string();
    assert!(
        error.is_transient() && text.contains("ada:***@") && !text.contains("s3cret"),
        "{text}"
    );
    assert!(text.contains("--database-url"), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn sessions_that_the_server_ends_are_replaced() {
    let (engine, src) = fresh::<PostgresEngine>().await;
    let store = engine.store();
    let kill = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
        WHERE datname = current_database() AND pid <> pg_backend_pid()";
    for seq in 1..=3 {
        engine.execute(kill);
        let batch = batch_of("ada", at(src, seq), &[event(&format!("e{seq}"), 1)]);
        let mut attempts = 0;
        while let Err(error) = store.store_batches(vec![batch.clone()]).await {
            assert!(error.is_transient() && attempts < 20, "{error}");
            attempts += 1;
        }
    }
    assert_eq!(
        store.known_source(&incarnation(T0)).await.unwrap(),
        Some(src)
    );
    assert_eq!(store.totals().await.unwrap().events, 3);
}

/// Records the settings of each session that stores.
const WATCH: &str = "CREATE TABLE seen (name text, setting text);
    CREATE FUNCTION watch() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
      INSERT INTO seen SELECT s, current_setting(s)
        FROM unnest(ARRAY['synchronous_commit', 'lock_timeout', 'statement_timeout',
          'transaction_isolation', 'application_name']) s;
      RETURN NULL;
    END $$;
    CREATE TRIGGER watch AFTER INSERT ON batches FOR EACH STATEMENT EXECUTE FUNCTION watch()";

#[tokio::test(flavor = "multi_thread")]
async fn who_stores_commits_to_disk_whatever_the_servers_default() {
    let name = server::new_name("watched");
    server::create(&name, "template0");
    let careless = format!("ALTER DATABASE {name} SET synchronous_commit = off");
    server::with(&name, async |client| {
        client.batch_execute(&careless).await.unwrap();
    });
    let store = Postgres::connect(&server::url(&name), "devtrail-test/7")
        .await
        .unwrap();
    server::with(&name, async |client| {
        client.batch_execute(WATCH).await.unwrap();
    });
    store
        .store_batches(vec![batch_of("ada", at(1, 1), &[event("a", 1)])])
        .await
        .unwrap();
    let seen: Vec<(String, String)> = server::with(&name, async |client| {
        let rows = client
            .query("SELECT name, setting FROM seen ORDER BY name", &[])
            .await
            .unwrap();
        rows.iter().map(|row| (row.get(0), row.get(1))).collect()
    });
    let expected = [
        ("application_name", "devtrail-test/7"),
        ("lock_timeout", "5s"),
        ("statement_timeout", "30s"),
        ("synchronous_commit", "on"),
        ("transaction_isolation", "read committed"),
    ];
    assert_eq!(
        seen,
        expected.map(|(name, setting)| (name.to_owned(), setting.to_owned()))
    );
}

/// The other transaction locks the hour that the batch bumps, and then waits for the batch's own key: a deadlock.
#[tokio::test(flavor = "multi_thread")]
async fn a_transaction_that_the_server_aborts_is_retried() {
    const WAITING: &str =
        "SELECT count(*) > 0 FROM pg_locks l JOIN pg_stat_activity a ON a.pid = l.pid
        WHERE NOT l.granted AND a.datname = current_database() AND a.pid <> pg_backend_pid()";
    let (engine, src) = fresh::<PostgresEngine>().await;
    engine
        .store()
        .store_batches(vec![batch_of("ada", at(src, 1), &[event("a", 1)])])
        .await
        .unwrap();
    let before = engine.deadlocks();
    let (client, connection) = tokio_postgres::connect(&server::address(engine.database()), NoTls)
        .await
        .unwrap();
    tokio::spawn(connection);
    // The timeout of the other one makes the store's transaction the victim.
    client
        .batch_execute("SET deadlock_timeout = '1min'; BEGIN; UPDATE hours SET gen = gen")
        .await
        .unwrap();
    let (store, batch) = (
        engine.store().clone(),
        batch_of("ada", at(src, 2), &[event("b", 1)]),
    );
    let storing = tokio::spawn(async move { store.store_batches(vec![batch]).await });
    until(|| {
        server::with(engine.database(), async |client| {
            client.query_one(WAITING, &[]).await.unwrap().get(0)
        })
    });
    let same = format!(
        "INSERT INTO batches SELECT src, 2, developer, batch_id, message_id, correlation_id, traceparent,
          schema_version, sent_at, skew, collector, client, zone, received_at, validated_at, published_at, persisted_at,
          received, accepted, duplicate, rejected, quarantined, need, done, failed, state, job_body, lease_until
        FROM batches WHERE src = {src} AND seq = 1; ROLLBACK"
    );
    client.batch_execute(&same).await.unwrap();
    assert!(!storing.await.unwrap().unwrap()[0].already);
    assert_eq!(engine.dump().rows("events").len(), 2);
    // The server counts a little later.
    until(|| engine.deadlocks() > before);
}

/// The caller retries; a second layer of retries would hide the failure from its breaker.
#[tokio::test(flavor = "multi_thread")]
async fn a_held_lock_is_reported_after_five_seconds() {
    let (engine, src) = fresh::<PostgresEngine>().await;
    let (client, connection) = tokio_postgres::connect(&server::address(engine.database()), NoTls)
        .await
        .unwrap();
    tokio::spawn(connection);
    client
        .batch_execute("BEGIN; LOCK TABLE batches IN SHARE ROW EXCLUSIVE MODE")
        .await
        .unwrap();
    let began = std::time::Instant::now();
    let error = engine
        .store()
        .store_batches(vec![batch_of("ada", at(src, 1), &[event("a", 1)])])
        .await
        .unwrap_err();
    assert!(
        error.is_transient() && error.to_string().contains("lock timeout"),
        "{error}"
    );
    assert!(began.elapsed().as_secs() < 20, "{:?}", began.elapsed());
}

/// Asks until it is so.
fn until(is_so: impl Fn() -> bool) {
    let began = std::time::Instant::now();
    while !is_so() {
        assert!(began.elapsed().as_secs() < 60, "this does not come about");
    }
}
