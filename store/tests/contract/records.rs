//! Normalized records: each beside the event it was made from, and gone with its reference.

use std::collections::BTreeSet;

use proptest::prelude::*;
use proptest::sample::Index;
use proptest::test_runner::TestCaseResult;
use serde_json::{Value, json};
use store::{Effects, Jobs, NormalizedClient, NormalizedRow, Persist, StoredEvent};
use types::id::{BatchRef, EventRef};
use types::job::{JobBody, JobKind};

use crate::build::{Engine, T0, at, batch, event, event_at, fresh, incarnation, sent};
use crate::dump::Dump;
use crate::order::{Scenario, for_each_scenario, scenarios};
use crate::work::{self, done, replayed, stored};

/// A record of the event at this place, as the normalizer's `version` gives it.
pub fn record(at: EventRef, version: i32, path: &str) -> NormalizedRow {
    NormalizedRow {
        at,
        version,
        utc_offset: 3600,
        is_whole: false,
        language: None,
        project: None,
        project_name: None,
        path: Some(path.to_owned()),
        category: None,
        data: None,
    }
}

/// What is compared of a record.
type Written = (EventRef, i64, String);

fn written(dump: &Dump) -> Vec<Written> {
    let rows = dump.rows("normalized_records").iter();
    rows.map(|row| (row.at(), row.int("version"), row.text("path").to_owned()))
        .collect()
}

async fn finish(engine: &impl Engine, body: &JobBody, records: Vec<NormalizedRow>) {
    engine
        .store()
        .finish_jobs(
            work::records(records),
            vec![replayed(JobKind::Normalize, body)],
        )
        .await
        .unwrap();
}

pub async fn a_record_is_written_once_for_each_version<E: Engine>() {
    let (engine, src) = fresh::<E>().await;
    let body = stored(&engine, at(src, 9), &[event("a", 1)]).await;
    let place = event_at(src, 9, 0);
    finish(&engine, &body, vec![record(place, 1, "one")]).await;
    // The same submission again may say it better; another version has a row of its own.
    let again = vec![record(place, 1, "better"), record(place, 2, "two")];
    finish(&engine, &body, again).await;
    let dump = engine.dump();
    let expected = [
        (place, 1, "better".to_owned()),
        (place, 2, "two".to_owned()),
    ];
    assert_eq!(written(&dump), expected);
    let [first, _] = dump.rows("normalized") else {
        panic!("a record each")
    };
    assert_eq!(
        (
            first.text("developer"),
            first.text("event_id"),
            first.text("type")
        ),
        ("ada", "a", "heartbeat")
    );
    assert_eq!(
        (
            first.int("effective_at"),
            first.text("local_day"),
            first.text("local_time")
        ),
        (T0, "2026-03-01", "2026-03-01T01:00:00.000000+01:00")
    );
    let whole: Value = serde_json::from_str(first.text("record")).unwrap();
    assert_eq!(
        (&whole["path"], &whole["data"]),
        (&"better".into(), &json!({"n": 1, "s": "ü"})),
        "the rest is read from the event"
    );
}

/// The view's records of this version, in the order of their places.
fn read_records(engine: &impl Engine, version: i64) -> Vec<Value> {
    let dump = engine.dump();
    let rows = dump.rows("normalized").iter();
    let mut rows: Vec<_> = rows.filter(|row| row.int("version") == version).collect();
    rows.sort_by_key(|row| row.at());
    rows.into_iter()
        .map(|row| serde_json::from_str(row.text("record")).unwrap())
        .collect()
}

/// Only these members.
fn only(record: &Value, members: &[&str]) -> Value {
    let members = members.iter().map(|name| (*name, record[*name].clone()));
    members.collect()
}

const DATA: &str =
    r#"{"n": 1, "tool": "npm", "category": "coding", "editor": "vim", "duration_ms": 5}"#;

pub async fn a_record_of_an_earlier_version_stays_readable<E: Engine>() {
    let (engine, src) = fresh::<E>().await;
    let text = format!(r#"{{"id":"a","type":"heartbeat","data":{DATA}}}"#);
    let body = stored(&engine, at(src, 9), &[sent(&text)]).await;
    let place = event_at(src, 9, 0);
    let old = NormalizedRow {
        data: Some(r#"{"n":2}"#.to_owned()),
        ..record(place, 2, "old.rs")
    };
    finish(&engine, &body, vec![old]).await;
    let read_old = || read_records(&engine, 2);
    let before = read_old();
    // It has its data as it had, and none of the fields that came later.
    let mut data: Value = serde_json::from_str(DATA).unwrap();
    data["n"] = 2.into();
    assert_eq!(
        (&before[0]["data"], &before[0]["path"]),
        (&data, &"old.rs".into())
    );
    for field in [
        "editor",
        "editor_version",
        "operating_system",
        "machine",
        "category",
        "entity_type",
        "tool",
        "duration_ms",
        "secrets",
    ] {
        assert_eq!(before[0][field], Value::Null, "{field}");
    }
    // A rebuild writes the new version beside it.
    let effects = Effects::Normalized {
        records: vec![record(place, 3, "new.rs")],
        clients: vec![client(place.batch(), 3)],
    };
    let jobs = vec![replayed(JobKind::Normalize, &body)];
    engine.store().finish_jobs(effects, jobs).await.unwrap();
    let new = json!({"path": "new.rs", "editor": "vim", "category": "coding", "tool": "npm", "duration_ms": 5,
        "secrets": 0, "machine": "laptop", "data": {"n": 1}});
    let read = read_records(&engine, 3);
    let members: Vec<&str> = new
        .as_object()
        .unwrap()
        .keys()
        .map(String::as_str)
        .collect();
    assert_eq!(only(&read[0], &members), new);
    assert_eq!(read_old(), before);
}

fn client(batch: BatchRef, version: i32) -> NormalizedClient {
    NormalizedClient {
        batch,
        version,
        editor: Some("vscode".to_owned()),
        editor_version: Some("1.96.2".to_owned()),
        operating_system: Some("linux".to_owned()),
        machine: Some("laptop".to_owned()),
    }
}

pub async fn records_of_a_batch_have_its_client_in_common<E: Engine>() {
    const FIELDS: [&str; 5] = [
        "editor",
        "editor_version",
        "operating_system",
        "machine",
        "tool",
    ];
    let (engine, src) = fresh::<E>().await;
    let text =
        |id: &str, data: &str| format!(r#"{{"id":"{id}","type":"heartbeat","data":{data}}}"#);
    let events = [
        sent(&text("a", r#"{"n": 1}"#)),
        sent(&text("b", r#"{"editor": "vim"}"#)),
        sent(&text(
            "c",
            r#"{"editor": null, "tool": null, "secrets": null}"#,
        )),
        sent(&text("d", r#"{"editor": "Code", "tool": "Cargo"}"#)),
        sent(&text("e", r#"{"editor": 7, "tool": 7}"#)),
    ];
    let body = stored(&engine, at(src, 9), &events).await;
    let other = stored(&engine, at(src, 10), &[sent(&text("f", "{}"))]).await;
    let changes = [
        None,
        None,
        None,
        Some(r#"{"editor":"vscode","tool":"cargo","secrets":2}"#),
        Some(r#"{"editor":null,"tool":null}"#),
    ];
    let row = |ordinal: usize| NormalizedRow {
        data: changes[ordinal].map(str::to_owned),
        ..record(event_at(src, 9, ordinal as u32), 3, "x")
    };
    let effects = |clients| Effects::Normalized {
        records: (0..changes.len()).map(row).collect(),
        clients,
    };
    let job = || vec![replayed(JobKind::Normalize, &body)];
    let wrong = NormalizedClient {
        editor: Some("emacs".to_owned()),
        machine: None,
        ..client(body.batch, 3)
    };
    engine
        .store()
        .finish_jobs(effects(vec![wrong]), job())
        .await
        .unwrap();
    // The same again may say it better, as a record may.
    let right = vec![client(body.batch, 3)];
    engine
        .store()
        .finish_jobs(effects(right), job())
        .await
        .unwrap();
    finish(&engine, &other, vec![record(event_at(src, 10, 0), 3, "x")]).await;
    let read = read_records(&engine, 3);
    let told: Vec<Value> = read.iter().map(|one| only(one, &FIELDS)).collect();
    let expected = |editor: Option<&str>, version: Option<&str>, tool: Option<&str>| {
        json!({"editor": editor, "editor_version": version, "operating_system": "linux", "machine": "laptop",
            "tool": tool})
    };
    let vscode = expected(Some("vscode"), Some("1.96.2"), None);
    assert_eq!(told[0], vscode);
    assert_eq!(told[1], expected(Some("vim"), None, None));
    assert_eq!(told[2], vscode);
    assert_eq!(
        told[3],
        expected(Some("vscode"), Some("1.96.2"), Some("cargo"))
    );
    assert_eq!(told[4], expected(None, None, None));
    assert_eq!(
        told[5],
        only(&Value::Null, &FIELDS),
        "another batch has another client"
    );
    let secrets: Vec<&Value> = read.iter().map(|one| &one["secrets"]).collect();
    assert_eq!(secrets, [0, 0, 0, 2, 0, 0]);
    assert!(
        read[1..].iter().all(|one| one["data"] == json!({})),
        "{read:?}"
    );
}

pub async fn a_superseded_reference_takes_its_records_with_it<E: Engine>() {
    let (engine, src) = fresh::<E>().await;
    let late = stored(&engine, at(src, 9), &[event("a", 1), event("b", 1)]).await;
    let (lost, kept) = (event_at(src, 9, 0), event_at(src, 9, 1));
    let both = |version| vec![record(lost, version, "l"), record(kept, version, "k")];
    finish(&engine, &late, [both(1), both(2)].concat()).await;
    let early = stored(&engine, at(src, 4), &[event("a", 1)]).await;
    let left = [(kept, 1, "k".to_owned()), (kept, 2, "k".to_owned())];
    assert_eq!(written(&engine.dump()), left);
    // A job that read the event before finishes after the swap.
    finish(&engine, &late, both(3)).await;
    let own = event_at(src, 4, 0);
    finish(&engine, &early, vec![record(own, 3, "o")]).await;
    let third = [(own, 3, "o".to_owned())].into_iter().chain(left);
    let third: Vec<Written> = third.chain([(kept, 3, "k".to_owned())]).collect();
    assert_eq!(written(&engine.dump()), third);
}

pub async fn a_client_goes_with_the_last_record_of_its_batch<E: Engine>() {
    let (engine, src) = fresh::<E>().await;
    let late = stored(&engine, at(src, 9), &[event("a", 1), event("b", 1)]).await;
    let (first, last) = (event_at(src, 9, 0), event_at(src, 9, 1));
    let effects = |at: EventRef, version| Effects::Normalized {
        records: vec![record(at, version, "x")],
        clients: vec![client(at.batch(), version)],
    };
    let jobs = || vec![replayed(JobKind::Normalize, &late)];
    for effects in [effects(first, 1), effects(last, 2)] {
        engine.store().finish_jobs(effects, jobs()).await.unwrap();
    }
    let key = |version| (src, 9, version);
    let clients = || batches_of(&engine.dump(), "normalized_clients");
    assert_eq!(clients(), [key(1), key(2)].into());
    stored(&engine, at(src, 4), &[event("a", 1)]).await;
    assert_eq!(clients(), [key(2)].into(), "of each version by itself");
    // A job that read the event before finishes after the swap.
    let stale = effects(first, 3);
    engine.store().finish_jobs(stale, jobs()).await.unwrap();
    assert_eq!(clients(), [key(2)].into());
    stored(&engine, at(src, 3), &[event("b", 1)]).await;
    assert_eq!(clients(), BTreeSet::new());
}

pub async fn a_swap_beside_a_job_leaves_no_record_of_what_it_lost<E: Engine>() {
    const ROUNDS: u64 = 16;
    let (engine, src) = fresh::<E>().await;
    for round in 0..ROUNDS {
        let events: Vec<_> = (0..20)
            .map(|n| event(&format!("e{round}-{n}"), 1))
            .collect();
        let late = stored(&engine, at(src, 1000 + round), &events).await;
        let records = (0..20).map(|n| record(event_at(src, 1000 + round, n), 1, "l"));
        let jobs = vec![replayed(JobKind::Normalize, &late)];
        let finished = engine
            .store()
            .finish_jobs(work::records(records.collect()), jobs);
        let early = vec![batch(at(src, 1 + round), &events[..10])];
        let (finished, swapped) = tokio::join!(finished, engine.store().store_batches(early));
        finished.unwrap();
        swapped.unwrap();
    }
    let dump = engine.dump();
    let held: BTreeSet<EventRef> = dump.rows("events").iter().map(|row| row.at()).collect();
    let written = written(&dump);
    assert_eq!(written.len() as u64, 10 * ROUNDS);
    assert!(written.iter().all(|(place, ..)| held.contains(place)));
}

/// What a worker does between two groups.
#[derive(Debug, Clone)]
enum Turn {
    /// Reads the events of a batch that waits for its job.
    Read(Index),
    /// Finishes a job whose events were read, however long ago.
    Finish(Index),
}

/// A scenario, and what workers do after each of its groups, in turn.
#[derive(Debug, Clone)]
struct Interleaved {
    scenario: Scenario,
    turns: Vec<Vec<Turn>>,
}

fn interleaved() -> impl Strategy<Value = Interleaved> {
    let turn = prop_oneof![
        any::<Index>().prop_map(Turn::Read),
        any::<Index>().prop_map(Turn::Finish),
    ];
    let turns = prop::collection::vec(prop::collection::vec(turn, 0..4), 1..8);
    (scenarios(), turns).prop_map(|(scenario, turns)| Interleaved { scenario, turns })
}

/// The records that a job computes from what it read.
fn computed(events: &[StoredEvent]) -> Vec<NormalizedRow> {
    let records = events.iter().map(|event| {
        let bytes = String::from_utf8_lossy(&event.body);
        record(event.at, 1, &format!("{} {bytes}", event.effective_at))
    });
    records.collect()
}

/// A job whose events were read.
struct ReadJob {
    body: JobBody,
    records: Vec<NormalizedRow>,
    clients: Vec<NormalizedClient>,
}

async fn read(engine: &impl Engine, body: JobBody) -> ReadJob {
    let events = engine.store().events_of(vec![body.batch]).await.unwrap();
    let records = computed(&events);
    let batches: BTreeSet<BatchRef> = records.iter().map(|record| record.at.batch()).collect();
    let clients = batches.into_iter().map(|batch| client(batch, 1)).collect();
    ReadJob {
        body,
        records,
        clients,
    }
}

async fn finish_live(engine: &impl Engine, job: ReadJob) {
    let ReadJob {
        body,
        records,
        clients,
    } = job;
    let effects = Effects::Normalized { records, clients };
    let jobs = vec![done(JobKind::Normalize, &body)];
    engine.store().finish_jobs(effects, jobs).await.unwrap();
}

/// The batches and versions that a table has rows of.
fn batches_of(dump: &Dump, table: &str) -> BTreeSet<(i64, i64, i64)> {
    let rows = dump.rows(table).iter();
    rows.map(|row| (row.int("src"), row.int("seq"), row.int("version")))
        .collect()
}

async fn check<E: Engine>(interleaved: Interleaved) -> TestCaseResult {
    let Interleaved { scenario, turns } = interleaved;
    let engine = E::fresh();
    for created in [T0, T0 + 1] {
        engine.store().source(&incarnation(created)).await.unwrap();
    }
    let incoming = scenario.incoming();
    let batches: BTreeSet<BatchRef> = incoming.iter().map(|batch| batch.at).collect();
    let (mut waiting, mut begun) = (Vec::new(), Vec::new());
    for (group, turns) in scenario
        .groups(&incoming)
        .into_iter()
        .zip(turns.iter().cycle())
    {
        let stored = engine.store().store_batches(group).await.unwrap();
        waiting.extend(
            stored
                .into_iter()
                .filter_map(|stored| Some(stored.pending?.body)),
        );
        for turn in turns {
            match turn {
                Turn::Read(which) if !waiting.is_empty() => {
                    let body = waiting.remove(which.index(waiting.len()));
                    begun.push(read(&engine, body).await);
                }
                Turn::Finish(which) if !begun.is_empty() => {
                    let job = begun.remove(which.index(begun.len()));
                    finish_live(&engine, job).await;
                }
                Turn::Read(_) | Turn::Finish(_) => {}
            }
        }
    }
    for body in waiting {
        begun.push(read(&engine, body).await);
    }
    for job in begun {
        finish_live(&engine, job).await;
    }
    let dump = engine.dump();
    let events = engine
        .store()
        .events_of(batches.into_iter().collect())
        .await
        .unwrap();
    let recomputed = computed(&events).into_iter();
    let recomputed: Vec<Written> = recomputed
        .map(|row| (row.at, row.version.into(), row.path.unwrap_or_default()))
        .collect();
    prop_assert_eq!(written(&dump), recomputed);
    prop_assert_eq!(dump.rows("normalized").len(), dump.rows("events").len());
    let clients = batches_of(&dump, "normalized_clients");
    prop_assert_eq!(clients, batches_of(&dump, "normalized_records"));
    Ok(())
}

pub fn swaps_and_jobs_in_any_order_leave_what_a_recompute_gives<E: Engine>() {
    for_each_scenario(interleaved(), check::<E>);
}
