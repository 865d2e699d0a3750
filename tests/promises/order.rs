//! The order in which the same messages and their jobs are handled never changes the result (R1.2):
//! events, normalized records, metrics and alerts, whatever is split, repeated, in conflict or late.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use async_nats::jetstream::consumer::{AckPolicy, pull};
use futures_util::StreamExt as _;
use harness::{Database, Deployment, Engine, events_of, until};
use jiff::civil::Date;
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
    /// Of the three [`DAYS`].
    minute: u16,
}

/// Two days in a row that are long past, and today: alerts of the first two are no news, today's are.
static DAYS: LazyLock<[Date; 3]> = LazyLock::new(|| {
    let today = jiff::tz::TimeZone::UTC
        .to_datetime(jiff::Timestamp::now())
        .date();
    [
        jiff::civil::date(2026, 3, 1),
        jiff::civil::date(2026, 3, 2),
        today,
    ]
});

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
    let day = DAYS[minute as usize / 1440];
    let hour = minute / 60 % 24;
    let minute = minute % 60;
    let at = format!("{day}T{hour:02}:{minute:02}:00+05:30");
    let (kind, data) = match id % 4 {
        0 => (
            "git.push",
            json!({"branch": "topic", "force": variant == 0, "project": "demo"}),
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
            let received_at = at(&format!("{}T00:00:00Z", DAYS[2])) + seq as Micros * SECOND;
            let context = admission::AdmissionContext {
                developer: "ada".parse().unwrap(),
                epoch: 0,
                zone: None,
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
        timeouts: workers::aggregate::IdleTimeouts::default_for_all(),
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
    "SELECT developer, day, body, counts FROM days WHERE body NOT LIKE '%\"events\":0,%' ORDER BY developer, day",
    // One that was raised and retracted is like one that never was. How often it changed is the order's.
    "SELECT alert_id, developer, rule, window_start, severity, title, body, push, \
        revision % 2 FROM alerts WHERE state = 'raised' ORDER BY alert_id",
];

/// Alerts whose revision does not say their state: it is 0 when raised, 1 when retracted, 2 when raised again.
const MISCOUNTED: &str =
    "SELECT count(*) FROM alerts WHERE (state = 'raised') <> (revision % 2 = 0)";

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
    compared(&database).await
}

async fn compared(database: &Database) -> Vec<Vec<Vec<String>>> {
    assert_eq!(database.count(MISCOUNTED).await, 0);
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
            minute: u16::from(n) * 733 % 4320,
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
        messages.push(
            deployment
                .streams()
                .await
                .hold_back(&events_of("ada"), "persist", seq)
                .await,
        );
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
    // Orders differ in how often alerts were raised and retracted: each change is published.
    let published = published(&deployment).await;
    let alerts = "SELECT alert_id, state, revision, push FROM alerts";
    let rows = deployment.database.rows(alerts).await;
    assert_eq!(published.len(), rows.len());
    for row in rows {
        let revisions = &published[&row[0]];
        let (last, earlier) = revisions.split_last().unwrap();
        assert_eq!(
            [&last.state, &last.revision, &last.push],
            [&row[1], &row[2], &row[3]]
        );
        for (number, revision) in earlier.iter().chain([last]).enumerate() {
            let state = ["raised", "retracted"][number % 2];
            assert_eq!(
                (&*revision.revision, &*revision.state),
                (&*number.to_string(), state)
            );
            assert_eq!(
                revision.push, last.push,
                "a retraction goes where the alert went"
            );
        }
    }
    let compared = compared(&deployment.database).await;
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

/// A revision of an alert, as the developer gets it.
struct PublishedRevision {
    state: String,
    revision: String,
    push: String,
}

/// Every message in ALERTS, by alert, in order.
async fn published(deployment: &Deployment) -> BTreeMap<String, Vec<PublishedRevision>> {
    until("every revision is published", async || {
        let left = "SELECT count(*) FROM alerts WHERE published < revision";
        (deployment.database.count(left).await == 0).then_some(())
    })
    .await;
    let stream = deployment.js().await.get_stream("ALERTS").await.unwrap();
    let messages = stream.cached_info().state.messages;
    let config = pull::Config {
        ack_policy: AckPolicy::None,
        ..Default::default()
    };
    let consumer = stream.create_consumer(config).await.unwrap();
    let messages = consumer.messages().await.unwrap().take(messages as usize);
    let mut published: BTreeMap<String, Vec<PublishedRevision>> = BTreeMap::new();
    for message in messages.collect::<Vec<_>>().await {
        let body: Value = serde_json::from_slice(&message.unwrap().payload).unwrap();
        let push = if body["push"] == true { "1" } else { "0" };
        let revision = PublishedRevision {
            state: body["state"].as_str().unwrap().to_owned(),
            revision: body["revision"].to_string(),
            push: push.to_owned(),
        };
        let alert = body["alert_id"].as_str().unwrap().to_owned();
        published.entry(alert).or_default().push(revision);
    }
    published
}

async fn messages_that_come_last_and_backwards_change_nothing(engine: Engine) {
    let expected = through_the_pipe(engine, 0).await;
    assert!(expected.iter().all(|rows| !rows.is_empty()), "{expected:?}");
    for push in ["1", "0"] {
        let alerts = &expected[3];
        assert!(alerts.iter().any(|alert| alert[7] == push), "{alerts:?}");
    }
    for held in [2, 5] {
        assert_eq!(
            through_the_pipe(engine, held).await,
            expected,
            "{held} messages held back"
        );
    }
}

/// What must not depend on the order in which clients send, where no two events share an id with other content.
/// Sequences, and what was received when, are the order's own.
const SENT: [&str; 4] = [
    "SELECT developer, event_id, effective_at, local_day, type FROM events ORDER BY developer, event_id",
    "SELECT developer, event_id, version, local_time, record FROM normalized ORDER BY developer, event_id, version",
    COMPARED[2],
    COMPARED[3],
];

/// The batches sent one after the other in this order, through every process; gives what [`SENT`] compares.
async fn sent_in(engine: Engine, batches: &[&Value]) -> Vec<Vec<Vec<String>>> {
    let mut deployment = Deployment::start(engine).await;
    let url = deployment.collector("collector").await;
    let client = deployment.client(&url, "ada").await;
    deployment.workers(2);
    for batch in batches {
        client.send(batch).await;
    }
    deployment.completed(batches.len() as i64).await;
    assert_eq!(deployment.database.count(MISCOUNTED).await, 0);
    let mut compared = Vec::new();
    for sql in SENT {
        compared.push(deployment.database.rows(sql).await);
    }
    let _ = deployment.verify();
    compared
}

/// A tenth of the events in two batches, so that another batch has the original in each order.
async fn batches_sent_in_another_order_change_nothing(engine: Engine) {
    let of = |number: u8| {
        event(Drawn {
            id: number,
            variant: number % 3,
            minute: u16::from(number) * 61 % 4320,
        })
    };
    let batch = |number: u8| {
        let events: Vec<Value> = (number * 9..number * 9 + 10).map(of).collect();
        harness::envelope(&format!("b{number}"), &events)
    };
    let batches: Vec<Value> = (0..7).map(batch).collect();
    let rising: Vec<&Value> = batches.iter().collect();
    let expected = sent_in(engine, &rising).await;
    assert!(expected.iter().all(|rows| !rows.is_empty()), "{expected:?}");
    let falling: Vec<&Value> = batches.iter().rev().collect();
    let mixed: Vec<&Value> = [3, 6, 0, 5, 1, 4, 2]
        .map(|number: usize| &batches[number])
        .to_vec();
    for order in [falling, mixed] {
        assert_eq!(sent_in(engine, &order).await, expected);
    }
}

harness::on_both_stores!(
    messages_that_come_last_and_backwards_change_nothing,
    batches_sent_in_another_order_change_nothing,
);
