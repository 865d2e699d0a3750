//! The order in which the same messages and their jobs are handled never changes the result (R1.2):
//! events, normalized records, metrics and alerts, whatever is split, repeated, in conflict or late.

use harness::{Database, Deployment, Engine, until};
use proptest::prelude::*;
use proptest::sample::Index;
use proptest::test_runner::{RngSeed, TestRunner};
use reqwest::header::HeaderMap;
use serde_json::{Value, json};
use store::{DecodedBatch, JobDone, Pending, Postgres, Sqlite, Store};
use types::admission::{self, admit};
use types::batch;
use types::formats::{BatchRequest, Format};
use types::id::BatchRef;
use types::job::{JobKind, JobMessage};
use types::schema::Schemas;
use types::stream::StreamIncarnation;
use types::time::{Micros, SECOND, parse_rfc3339};
use workers::jobs::Work;

/// One event as it is drawn.
#[derive(Debug, Clone, Copy)]
struct Drawn {
    id: u8,
    /// Which variant of the id's content: they conflict.
    variant: u8,
    /// Of three days.
    minute: u16,
}

#[derive(Debug, Clone)]
struct Scenario {
    events: Vec<Drawn>,
    /// Slices of the events: so batches repeat, split and overlap each other.
    batches: Vec<(Index, usize)>,
    /// The order the messages are handled in, some repeatedly.
    arrivals: Vec<Index>,
    group: usize,
    /// After how many groups jobs run, and in which order.
    jobs_after: usize,
    rotate: usize,
}

fn drawn() -> impl Strategy<Value = Drawn> {
    (0..12_u8, 0..3_u8, 0..4320_u16).prop_map(|(id, variant, minute)| Drawn {
        id,
        variant,
        minute,
    })
}

fn scenarios() -> impl Strategy<Value = Scenario> {
    let events = prop::collection::vec(drawn(), 4..30);
    let batches = prop::collection::vec((any::<Index>(), 1..9_usize), 2..8);
    let arrivals = prop::collection::vec(any::<Index>(), 0..12);
    let build = |(events, batches, arrivals, group, jobs_after, rotate)| Scenario {
        events,
        batches,
        arrivals,
        group,
        jobs_after,
        rotate,
    };
    (
        events,
        batches,
        arrivals,
        1..4_usize,
        1..4_usize,
        0..7_usize,
    )
        .prop_map(build)
}

/// Pushes, edits, builds and saves; every id has one type, variants differ in time and data.
fn event(drawn: Drawn) -> Value {
    let Drawn {
        id,
        variant,
        minute,
    } = drawn;
    let minute = (u32::from(minute) + u32::from(variant) * 700) % 4320;
    let day = 1 + minute / 1440;
    let hour = minute / 60 % 24;
    let minute = minute % 60;
    let at = format!("2026-03-{day:02}T{hour:02}:{minute:02}:00+05:30");
    let (kind, data) = match id % 4 {
        0 => (
            "git.push",
            json!({"branch": "main", "force": variant == 0, "project": "demo"}),
        ),
        1 => (
            "build.finished",
            json!({"outcome": if variant == 2 { "succeeded" } else { "failed" }}),
        ),
        2 => (
            "file.edited",
            json!({"path": format!("src/{variant}.rs"), "lines_added": variant}),
        ),
        _ => ("file.saved", json!({"path": "lib.py"})),
    };
    json!({"id": format!("e{id}"), "type": kind, "occurred_at": at, "data": data})
}

fn at(text: &str) -> Micros {
    parse_rfc3339(text).and_then(|written| written.at).unwrap()
}

/// The messages, with sequences and times fixed.
fn incoming(scenario: &Scenario) -> Vec<DecodedBatch> {
    let schemas = Schemas::builtin();
    let batches = scenario
        .batches
        .iter()
        .zip(1_u64..)
        .map(|((start, length), seq)| {
            let start = start.index(scenario.events.len());
            let end = scenario.events.len().min(start + length);
            let events: Vec<Value> = scenario.events[start..end]
                .iter()
                .map(|drawn| event(*drawn))
                .collect();
            let body = harness::envelope(&format!("b{seq}"), &events).to_string();
            let received_at = at("2026-03-10T00:00:00Z") + seq as Micros * SECOND;
            let context = admission::AdmissionContext {
                developer: "ada".parse().unwrap(),
                epoch: 0,
                correlation_id: format!("c{seq}"),
                traceparent: String::new(),
                received_at,
                collector: "collector/test".to_owned(),
            };
            let (headers, developer) = (HeaderMap::new(), &context.developer);
            let request = BatchRequest {
                headers: &headers,
                body: body.as_bytes(),
                developer,
                received_at,
                max_events: 1000,
            };
            let submission = Format::Envelope.read(&request).unwrap();
            let admitted = admit(submission, &schemas, context.clone());
            let message = batch::encode(&admitted.header, &admitted.events).unwrap();
            let batch = batch::decode(message).unwrap();
            DecodedBatch::new(
                BatchRef { src: 1, seq },
                &batch,
                received_at + 1,
                received_at + 2,
                "worker/test".to_owned(),
            )
            .unwrap()
        });
    batches.collect()
}

/// Does one kind of job for these batches, as the role does.
async fn work<W: Work>(store: &impl Store, work: &W, batches: &[Pending]) {
    let jobs: Vec<JobMessage> = batches
        .iter()
        .map(|pending| JobMessage::live(W::KIND, pending.body.clone()))
        .collect();
    let effects = work.compute(&jobs).await.unwrap();
    let done = |job| JobDone {
        job,
        started_at: 1,
        finished_at: 2,
        actor: "worker/test".to_owned(),
    };
    store
        .finish_jobs(effects, jobs.into_iter().map(done).collect())
        .await
        .unwrap();
}

async fn do_jobs(store: &impl Store, batches: &[Pending], rotate: usize) {
    let aggregating = workers::aggregate::AggregateWork {
        store: store.clone(),
    };
    let normalizing = workers::normalize::NormalizeWork {
        store: store.clone(),
    };
    let evaluating = workers::alert::EvaluateWork::new(store.clone());
    let mut kinds = JobKind::ALL;
    kinds.rotate_left(rotate % 3);
    for kind in kinds {
        match kind {
            JobKind::Aggregate => work(store, &aggregating, batches).await,
            JobKind::Normalize => work(store, &normalizing, batches).await,
            JobKind::Alert => work(store, &evaluating, batches).await,
        }
    }
}

/// What must not depend on the order.
const COMPARED: [&str; 4] = [
    "SELECT developer, event_id, src, seq, ordinal, effective_at, local_day, type FROM events ORDER BY \
        developer, event_id",
    "SELECT developer, event_id, version, src, seq, ordinal, local_time, record FROM normalized ORDER BY \
        developer, event_id, version",
    // A day that its events left is like one that never had any: readers leave both out.
    "SELECT developer, day, body FROM days WHERE body NOT LIKE '%\"events\":0,%' ORDER BY developer, day",
    "SELECT alert_id, developer, rule, window_start, severity, title, body FROM alerts WHERE state = 'raised' \
        ORDER BY alert_id",
];

/// Handles the groups in this order, jobs in between and at the end; gives what is compared.
async fn result(
    engine: Engine,
    groups: Vec<Vec<DecodedBatch>>,
    jobs_after: usize,
    rotate: usize,
) -> Vec<Vec<Vec<String>>> {
    let folder = tempfile::tempdir().unwrap();
    let database = Database::fresh(engine, folder.path()).await;
    match &database {
        Database::Sqlite(path) => {
            handle(Sqlite::open(path).unwrap(), groups, jobs_after, rotate).await;
        }
        Database::Postgres(url) => {
            handle(
                Postgres::connect(&url.parse().unwrap(), "test")
                    .await
                    .unwrap(),
                groups,
                jobs_after,
                rotate,
            )
            .await;
        }
    }
    let mut compared = Vec::new();
    for sql in COMPARED {
        compared.push(database.rows(sql).await);
    }
    compared
}

async fn handle(
    store: impl Store,
    groups: Vec<Vec<DecodedBatch>>,
    jobs_after: usize,
    rotate: usize,
) {
    let incarnation = StreamIncarnation {
        name: "EVENTS".to_owned(),
        created: 1,
    };
    assert_eq!(store.source(&incarnation).await.unwrap(), 1);
    let mut waiting: Vec<Pending> = Vec::new();
    for (number, group) in groups.into_iter().enumerate() {
        let stored = store.store_batches(group).await.unwrap();
        waiting.extend(stored.into_iter().filter_map(|stored| stored.pending));
        if number % jobs_after == 0 {
            // Some jobs overtake others: the oldest wait.
            let now = waiting.split_off(waiting.len().min(rotate));
            do_jobs(&store, &now, rotate).await;
        }
    }
    waiting.reverse();
    do_jobs(&store, &waiting, rotate + 1).await;
}

async fn check(engine: Engine, scenario: &Scenario) -> Result<(), TestCaseError> {
    let incoming = incoming(scenario);
    let named = scenario
        .arrivals
        .iter()
        .map(|index| index.index(incoming.len()));
    let order: Vec<DecodedBatch> = named
        .chain(0..incoming.len())
        .map(|index| incoming[index].clone())
        .collect();
    let groups = order
        .chunks(scenario.group)
        .map(<[DecodedBatch]>::to_vec)
        .collect();
    let any = result(engine, groups, scenario.jobs_after, scenario.rotate).await;
    let rising = incoming.into_iter().map(|batch| vec![batch]).collect();
    let expected = result(engine, rising, 1, 0).await;
    for ((any, expected), sql) in any.iter().zip(&expected).zip(COMPARED) {
        prop_assert_eq!(any, expected, "{}", sql);
    }
    prop_assert!(
        !any[0].is_empty() && any[1].len() == any[0].len(),
        "each event has its record"
    );
    Ok(())
}

fn any_order_gives_the_same(engine: Engine, cases: u32) {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let config = ProptestConfig {
        cases,
        rng_seed: RngSeed::Fixed(0x6465_7674_7261_696c),
        failure_persistence: None,
        max_shrink_iters: 64,
        ..ProptestConfig::default()
    };
    let run = TestRunner::new(config).run(&scenarios(), |scenario| {
        runtime.block_on(check(engine, &scenario))
    });
    run.unwrap_or_else(|failure| panic!("{failure}"));
}

#[test]
fn any_order_gives_the_same_results_on_sqlite() {
    any_order_gives_the_same(Engine::Sqlite, 48);
}

#[test]
fn any_order_gives_the_same_results_on_postgres() {
    any_order_gives_the_same(Engine::Postgres, 12);
}

/// The same through every process: collector, EVENTS, persist, JOBS, workers. The first `held` messages
/// come to the workers last, in reverse, as after a redelivery.
async fn through_the_pipe(engine: Engine, held: u64) -> Vec<Vec<Vec<String>>> {
    let mut deployment = Deployment::start(engine).await;
    let url = deployment.collector("collector").await;
    let client = deployment.client(&url, "ada").await;
    // Three variants of each id in six overlapping batches: conflicts, moves and duplicates.
    let drawn: Vec<Drawn> = (0..36)
        .map(|n| Drawn {
            id: n % 12,
            variant: n / 12,
            minute: u16::from(n) * 97,
        })
        .collect();
    for (number, start) in (0..36).step_by(6).enumerate() {
        let end = drawn.len().min(start + 9);
        let events: Vec<Value> = drawn[start..end].iter().map(|one| event(*one)).collect();
        client
            .send(&harness::envelope(&format!("b{number}"), &events))
            .await;
    }
    let mut messages = Vec::new();
    for seq in 1..=held {
        messages.push(deployment.hold_back("EVENTS", "persist", seq).await);
    }
    deployment.workers(2);
    deployment.completed(6 - held as i64).await;
    for message in messages.iter().rev() {
        let stored = "SELECT count(*) FROM batches";
        let before = deployment.database.count(stored).await;
        message
            .ack_with(async_nats::jetstream::AckKind::Nak(None))
            .await
            .unwrap();
        until("it is stored", async || {
            (deployment.database.count(stored).await > before).then_some(())
        })
        .await;
    }
    deployment.completed(6).await;
    let mut compared = Vec::new();
    for sql in COMPARED {
        compared.push(deployment.database.rows(sql).await);
    }
    // R1.5: what each batch still holds stands in the order it was sent.
    let order = "SELECT seq, ordinal, event_id FROM events ORDER BY seq, ordinal";
    for row in deployment.database.rows(order).await {
        let (seq, ordinal): (usize, usize) = (row[0].parse().unwrap(), row[1].parse().unwrap());
        let sent = event(drawn[(seq - 1) * 6 + ordinal]);
        assert_eq!(
            sent["id"],
            row[2].as_str(),
            "event {ordinal} of batch {seq}"
        );
    }
    let _ = deployment.verify();
    compared
}

async fn messages_that_come_last_and_backwards_change_nothing(engine: Engine) {
    let expected = through_the_pipe(engine, 0).await;
    assert!(expected.iter().all(|rows| !rows.is_empty()), "{expected:?}");
    for held in [2, 5] {
        assert_eq!(
            through_the_pipe(engine, held).await,
            expected,
            "{held} messages held back"
        );
    }
}

harness::on_both_stores!(messages_that_come_last_and_backwards_change_nothing);
