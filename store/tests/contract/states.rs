//! How a batch gets from stored to completed, whatever comes first and however often.

use std::collections::BTreeMap;

use serde_json::json;
use store::{Jobs, Outbox, Persist, Store, VerifyReads};
use tokio::task::JoinSet;
use types::audit::Step;
use types::id::Src;
use types::job::{BatchState, JobKind, JobProgress, Mask};

use crate::build::{Engine, at, batch, event, fresh};
use crate::work::{dead, done, nothing, record_dead, stored, triggered, triggered_at};

/// Every state with every need, done and failed.
const ALL: u64 = 4 * 8 * 8 * 8;
/// Gives each row a combination of its own, by its sequence.
const EVERY_COMBINATION: &str = "UPDATE batches SET
    need = (seq - 1) % 8, done = ((seq - 1) / 8) % 8, failed = ((seq - 1) / 64) % 8,
    state = CASE (seq - 1) / 512
      WHEN 0 THEN 'persisted' WHEN 1 THEN 'triggered' WHEN 2 THEN 'completed' ELSE 'failed' END";

fn combinations() -> BTreeMap<u64, JobProgress> {
    let combination = |seq: u64| {
        let index = seq - 1;
        let mask = |shift: u64| Mask(((index / shift) % 8) as u8);
        let state = BatchState::ALL[(index / 512) as usize];
        (
            seq,
            JobProgress {
                state,
                need: mask(1),
                done: mask(8),
                failed: mask(64),
            },
        )
    };
    (1..=ALL).map(combination).collect()
}

fn in_store(engine: &impl Engine) -> BTreeMap<u64, JobProgress> {
    let dump = engine.dump();
    let rows = dump.rows("batches").iter().map(|row| {
        let [need, done, failed] = ["need", "done", "failed"].map(|mask| Mask(row.int(mask) as u8));
        let state = BatchState::named(row.text("state")).unwrap();
        (
            row.int("seq") as u64,
            JobProgress {
                state,
                need,
                done,
                failed,
            },
        )
    });
    rows.collect()
}

/// What the store holds is what the table says of every combination.
fn assert_moved(engine: &impl Engine, step: &str, table: impl Fn(JobProgress) -> JobProgress) {
    let after = in_store(engine);
    assert_eq!(after.len() as u64, ALL);
    for (seq, before) in combinations() {
        assert_eq!(after[&seq], table(before), "{step} of {before:?}");
    }
}

pub async fn every_state_and_mask_moves_as_the_transition_table_says<E: Engine>() {
    let (engine, src) = fresh::<E>().await;
    let store = engine.store();
    let batches = (1..=ALL)
        .map(|seq| batch(at(src, seq), &[event(&format!("e{seq}"), 1)]))
        .collect();
    let stored = store.store_batches(batches).await.unwrap();
    let bodies: Vec<_> = stored
        .into_iter()
        .map(|stored| stored.pending.unwrap().body)
        .collect();
    engine.execute(EVERY_COMBINATION);
    assert_eq!(in_store(&engine), combinations());
    store
        .mark_triggered(bodies.iter().map(triggered).collect())
        .await
        .unwrap();
    assert_moved(&engine, "mark_triggered", |before| {
        before.triggered().unwrap_or(before)
    });
    for kind in JobKind::ALL {
        engine.execute(EVERY_COMBINATION);
        store
            .finish_jobs(
                nothing(kind),
                bodies.iter().map(|body| done(kind, body)).collect(),
            )
            .await
            .unwrap();
        assert_moved(&engine, kind.as_str(), |before| before.job_done(kind));
        engine.execute(EVERY_COMBINATION);
        let mut tasks = JoinSet::new();
        for body in &bodies {
            let (store, dead) = (store.clone(), dead(kind, body));
            tasks.spawn(async move { record_dead(&store, dead).await });
        }
        tasks
            .join_all()
            .await
            .into_iter()
            .for_each(|ended| ended.unwrap());
        assert_moved(&engine, "fail_job", |before| {
            before.job_failed(kind).unwrap_or(before)
        });
    }
}

/// One of the four steps that complete a batch, in any order.
async fn take<S: Store>(store: S, step: Option<JobKind>, body: types::job::JobBody) {
    match step {
        None => store.mark_triggered(vec![triggered(&body)]).await.unwrap(),
        Some(kind) => drop(
            store
                .finish_jobs(nothing(kind), vec![done(kind, &body)])
                .await
                .unwrap(),
        ),
    }
}

fn assert_completed_once(engine: &impl Engine, src: Src, seq: u64, why: &str) {
    let dump = engine.dump();
    let row = dump.batch(at(src, seq));
    assert_eq!(
        (row.text("state"), row.int("done"), row.int("failed")),
        ("completed", 7, 0),
        "{why}"
    );
    for (step, rows) in [
        (Step::Triggered, 1),
        (Step::JobStarted, 3),
        (Step::JobFinished, 3),
        (Step::Completed, 1),
    ] {
        assert_eq!(dump.audit(seq, step).len(), rows, "{step:?} after {why}");
    }
}

fn permutations() -> Vec<Vec<Option<JobKind>>> {
    let steps = [
        None,
        Some(JobKind::Aggregate),
        Some(JobKind::Normalize),
        Some(JobKind::Alert),
    ];
    let mut all: Vec<Vec<Option<JobKind>>> = vec![Vec::new()];
    for _ in steps {
        let longer = |taken: Vec<_>| {
            let rest = steps
                .into_iter()
                .filter(|step| !taken.contains(step))
                .collect::<Vec<_>>();
            rest.into_iter()
                .map(move |step| [taken.clone(), vec![step]].concat())
        };
        all = all.into_iter().flat_map(longer).collect();
    }
    all
}

pub async fn unfinished_batches_are_counted_by_state<E: Engine>() {
    let (engine, src) = fresh::<E>().await;
    let store = engine.store();
    assert_eq!(store.unfinished().await.unwrap(), BTreeMap::new());
    let batches = (1..=ALL)
        .map(|seq| batch(at(src, seq), &[event(&format!("e{seq}"), 1)]))
        .collect();
    store.store_batches(batches).await.unwrap();
    engine.execute(EVERY_COMBINATION);
    let each = |state: &str| (state.to_owned(), ALL / 4);
    assert_eq!(
        store.unfinished().await.unwrap(),
        BTreeMap::from(["failed", "persisted", "triggered"].map(each))
    );
}

pub async fn a_batch_completes_once_in_every_order_of_its_steps<E: Engine>() {
    let (engine, src) = fresh::<E>().await;
    let orders = permutations();
    assert_eq!(orders.len(), 24);
    for (order, seq) in orders.into_iter().zip(1..) {
        let body = stored(&engine, at(src, seq), &[event(&format!("e{seq}"), 1)]).await;
        for (taken, step) in order.iter().enumerate() {
            let state = engine.dump().batch(at(src, seq)).text("state").to_owned();
            let is_triggered = order[..taken].contains(&None);
            assert_eq!(
                state,
                if is_triggered {
                    "triggered"
                } else {
                    "persisted"
                },
                "{:?}",
                &order[..taken]
            );
            take(engine.store().clone(), *step, body.clone()).await;
        }
        assert_completed_once(&engine, src, seq, &format!("{order:?}"));
        for step in &order {
            take(engine.store().clone(), *step, body.clone()).await;
        }
        assert_completed_once(&engine, src, seq, &format!("{order:?}, twice"));
    }
}

pub async fn jobs_that_finish_at_once_complete_the_batch_once<E: Engine>() {
    let (engine, src) = fresh::<E>().await;
    let mut tasks = JoinSet::new();
    let orders = permutations();
    for (order, seq) in orders.iter().zip(1..) {
        let body = stored(&engine, at(src, seq), &[event(&format!("e{seq}"), 1)]).await;
        order
            .iter()
            .for_each(|step| drop(tasks.spawn(take(engine.store().clone(), *step, body.clone()))));
    }
    tasks.join_all().await;
    (1..=orders.len() as u64)
        .for_each(|seq| assert_completed_once(&engine, src, seq, "all at once"));
}

pub async fn a_job_finished_twice_is_entered_and_recorded_once<E: Engine>() {
    let (engine, src) = fresh::<E>().await;
    let store = engine.store();
    let body = stored(&engine, at(src, 1), &[event("a", 1)]).await;
    let job = done(JobKind::Normalize, &body);
    let id = job.job.job_id.clone();
    let ask = vec![id.clone(), JobKind::Alert.id(at(src, 1), None)];
    assert!(store.done(ask.clone()).await.unwrap().is_empty());
    store
        .finish_jobs(nothing(JobKind::Normalize), vec![job.clone(), job.clone()])
        .await
        .unwrap();
    let once = engine.dump();
    store
        .finish_jobs(nothing(JobKind::Normalize), vec![job.clone()])
        .await
        .unwrap();
    assert_eq!(engine.dump(), once);
    assert_eq!(store.done(ask).await.unwrap(), [id.clone()].into());
    let [row] = once.rows("completed_jobs") else {
        panic!("one row")
    };
    assert_eq!(
        (row.text("job_id"), row.text("kind"), row.int("finished_at")),
        (&*id, "normalize", job.finished_at)
    );
    for (step, time) in [
        (Step::JobStarted, job.started_at),
        (Step::JobFinished, job.finished_at),
    ] {
        let rows = once.audit(1, step);
        let [(skeleton, person)] = &rows[..] else {
            panic!("{step:?}: {rows:?}")
        };
        assert_eq!(
            (skeleton.time, skeleton.actor.as_str()),
            (time, "worker/job")
        );
        assert_eq!(
            person.detail.as_deref(),
            Some(&*json!({"job_id": id}).to_string())
        );
        assert_eq!(
            (&*person.developer, &*person.correlation_id),
            ("ada", "correlation-1")
        );
    }
}

pub async fn a_batch_is_triggered_once_with_the_receipts_of_its_jobs<E: Engine>() {
    let (engine, src) = fresh::<E>().await;
    let body = stored(&engine, at(src, 1), &[event("a", 1)]).await;
    let triggered = triggered(&body);
    engine
        .store()
        .mark_triggered(vec![triggered.clone()])
        .await
        .unwrap();
    let once = engine.dump();
    engine
        .store()
        .mark_triggered(vec![triggered.clone(), triggered.clone()])
        .await
        .unwrap();
    assert_eq!(engine.dump(), once);
    let [(skeleton, person)] = &once.audit(1, Step::Triggered)[..] else {
        panic!("one row")
    };
    assert_eq!((skeleton.time, &*skeleton.outcome), (triggered_at(1), "ok"));
    let detail: serde_json::Value = serde_json::from_str(person.detail.as_ref().unwrap()).unwrap();
    assert_eq!(detail, json!({"jobs": triggered.receipts}));
    assert_eq!(detail["jobs"][2]["job_id"], format!("{src}:1:alert"));
    assert_eq!(once.audit(1, Step::Completed), []);
}
