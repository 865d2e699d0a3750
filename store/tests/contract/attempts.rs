//! What is recorded of messages that failed, and of those that are dead-lettered.

use serde_json::{Value, json};
use store::{Attempt, Attempts, MessageKey, Outbox, Recovery, StoredAttempt};
use tokio::task::JoinSet;
use types::audit::Step;
use types::dead_letter::{DeadLetter, MessageContext};
use types::job::JobKind;
use types::time::SECOND;

use crate::build::{Engine, T0, at, event, fresh};
use crate::work::{JOBS_SRC, dead, message_key, record_dead, stored, triggered};

fn key(consumer: &str, seq: u64) -> MessageKey {
    MessageKey {
        src: 1,
        consumer: consumer.to_owned(),
        seq,
    }
}

fn attempt(used: u32, guards: u32, reason: Option<&str>) -> Attempt {
    Attempt {
        used,
        guards,
        reason: reason.map(str::to_owned),
        dead_at: None,
    }
}

pub async fn attempts_and_guards_are_counted_by_message_and_consumer<E: Engine>() {
    let (engine, _) = fresh::<E>().await;
    let store = engine.store();
    let failed = async |key, reason: &str, late| {
        store
            .record_failure(key, reason.to_owned(), T0 + late)
            .await
            .unwrap()
    };
    assert_eq!(
        failed(key("persist", 7), "first", 0).await,
        attempt(1, 0, Some("first"))
    );
    assert_eq!(
        store
            .begin_attempt(key("persist", 7), T0 + SECOND)
            .await
            .unwrap(),
        attempt(1, 1, Some("first"))
    );
    assert_eq!(
        failed(key("persist", 7), "second", 2 * SECOND).await,
        attempt(2, 1, Some("second"))
    );
    // A worker that died takes nothing back; the next one begins again.
    assert_eq!(
        store.begin_attempt(key("persist", 7), T0).await.unwrap(),
        attempt(2, 2, Some("second"))
    );
    store.clear_attempt(key("persist", 7)).await.unwrap();
    store.clear_attempt(key("persist", 7)).await.unwrap();
    store.clear_attempt(key("persist", 7)).await.unwrap();
    assert_eq!(
        store.begin_attempt(key("persist", 7), T0).await.unwrap(),
        attempt(2, 1, Some("second"))
    );
    // Others begin anew, and taking back what was never marked is nothing.
    store.clear_attempt(key("persist", 8)).await.unwrap();
    for other in [
        key("persist", 8),
        key("alert", 7),
        MessageKey {
            src: 2,
            ..key("persist", 7)
        },
    ] {
        assert_eq!(
            store.begin_attempt(other, T0).await.unwrap(),
            attempt(0, 1, None)
        );
    }
    let dump = engine.dump();
    let row = dump
        .rows("attempts")
        .iter()
        .find(|row| row.int("used") == 2)
        .unwrap();
    assert_eq!((row.int("first_at"), row.int("last_at")), (T0, T0));
}

pub async fn a_finished_messages_attempts_are_removed_and_no_others<E: Engine>() {
    let (engine, _) = fresh::<E>().await;
    let store = engine.store();
    for one in [
        key("persist", 1),
        key("persist", 2),
        key("persist", 3),
        key("alert", 1),
    ] {
        store.begin_attempt(one, T0).await.unwrap();
    }
    store
        .remove_attempts(1, "persist".to_owned(), vec![1, 3, 9])
        .await
        .unwrap();
    let dump = engine.dump();
    let left: Vec<_> = dump
        .rows("attempts")
        .iter()
        .map(|row| (row.text("consumer"), row.int("seq")))
        .collect();
    assert_eq!(left, [("alert", 1), ("persist", 2)]);
}

pub async fn concurrent_guards_are_all_counted<E: Engine>() {
    let (engine, _) = fresh::<E>().await;
    let mut tasks = JoinSet::new();
    for _ in 0..8 {
        let store = engine.store().clone();
        tasks.spawn(async move {
            store
                .begin_attempt(key("persist", 1), T0)
                .await
                .unwrap()
                .guards
        });
    }
    let mut seen = tasks.join_all().await;
    seen.sort_unstable();
    assert_eq!(seen, [1, 2, 3, 4, 5, 6, 7, 8]);
}

fn detail(person: &types::audit::Personal) -> Value {
    serde_json::from_str(person.detail.as_ref().unwrap()).unwrap()
}

pub async fn a_dead_letter_is_recorded_once_with_all_its_context<E: Engine>() {
    let (engine, src) = fresh::<E>().await;
    let store = engine.store();
    let body = stored(&engine, at(src, 1), &[event("a", 1)]).await;
    store.mark_triggered(vec![triggered(&body)]).await.unwrap();
    let dead_letter = dead(JobKind::Alert, &body);
    record_dead(store, dead_letter.clone()).await.unwrap();
    let once = engine.dump();
    let [(skeleton, person)] = &once.audit(1, Step::Dead)[..] else {
        panic!("one row")
    };
    assert_eq!(
        (&*skeleton.outcome, &*skeleton.actor, skeleton.time),
        ("failed", "worker/job", dead_letter.at)
    );
    assert_eq!(
        (&*person.developer, &*person.correlation_id),
        ("ada", "correlation-1")
    );
    let wanted = json!({
        "subject": "dead.JOBS.alert", "stream_sequence": 1, "attempts": 8, "delivered": 9,
        "error_class": "unknown", "reason": "no: \"never\"", "state": "triggered", "event_ids": ["a"],
        "job_id": format!("{src}:1:alert"),
    });
    assert_eq!(detail(person), wanted);
    let [row] = once.rows("attempts") else {
        panic!("one row")
    };
    assert_eq!(
        (row.int("src"), row.int("dead_at")),
        (JOBS_SRC, dead_letter.at)
    );
    // Its worker died before it was terminated: it comes again.
    let later = DeadLetter {
        at: dead_letter.at + SECOND,
        ..dead_letter
    };
    record_dead(store, later.clone()).await.unwrap();
    assert_eq!(engine.dump(), once);
    assert_eq!(
        store
            .begin_attempt(message_key(&later), T0)
            .await
            .unwrap()
            .dead_at,
        Some(later.at - SECOND)
    );
}

/// Garbage in the stream of batches, and in that of jobs.
pub async fn a_dead_letter_without_a_batch_is_recorded_at_its_own_place<E: Engine>() {
    let (engine, src) = fresh::<E>().await;
    let body = stored(&engine, at(src, 1), &[event("a", 1)]).await;
    let before = engine.dump();
    let garbage = |src, consumer: &str, batch| {
        let dead_letter = dead(JobKind::Alert, &body);
        DeadLetter {
            src: Some(src),
            consumer: consumer.to_owned(),
            stream_sequence: Some(5),
            context: MessageContext {
                batch,
                developer: Some("bob".to_owned()),
                batch_id: Some("nul \0 in it".to_owned()),
                ..MessageContext::default()
            },
            ..dead_letter
        }
    };
    let batch = garbage(src, "persist", Some(at(src, 5)));
    let job = garbage(JOBS_SRC, "alert", None);
    for dead_letter in [batch, job] {
        record_dead(engine.store(), dead_letter.clone())
            .await
            .unwrap();
        let dump = engine.dump();
        let rows = dump.audit(5, Step::Dead);
        let (skeleton, person) = rows
            .iter()
            .find(|(row, _)| Some(row.src) == dead_letter.src)
            .unwrap();
        assert_eq!((skeleton.seq, &*person.developer), (5, "bob"));
        assert_eq!(
            (&*person.batch_id, &detail(person)["state"]),
            ("nul \u{2400} in it", &Value::Null)
        );
        assert_eq!(dump.rows("batches"), before.rows("batches"));
    }
}

pub async fn a_dead_letter_of_a_forgotten_developer_names_nobody<E: Engine>() {
    let (engine, src) = fresh::<E>().await;
    let body = stored(&engine, at(src, 1), &[event("a", 1)]).await;
    engine.forget("ada", at(src, 4));
    let message = |seq| {
        let dead_letter = dead(JobKind::Alert, &body);
        DeadLetter {
            src: Some(src),
            consumer: "persist".to_owned(),
            stream_sequence: Some(seq),
            context: MessageContext {
                batch: Some(at(src, seq)),
                job: None,
                ..dead_letter.context.clone()
            },
            ..dead_letter
        }
    };
    for seq in [4, 5] {
        record_dead(engine.store(), message(seq)).await.unwrap();
    }
    let dump = engine.dump();
    let named = |seq: i64| {
        let row = dump
            .rows("audit")
            .iter()
            .find(|row| row.int("seq") == seq && row.text("step") == "dead");
        let id = row.unwrap().cell("id").clone();
        dump.rows("audit_personal")
            .iter()
            .any(|row| *row.cell("id") == id)
    };
    assert_eq!(
        (named(4), named(5)),
        (false, true),
        "only what was sent before she was forgotten"
    );
}

pub async fn attempts_are_loaded_without_a_change<E: Engine>() {
    let (engine, src) = fresh::<E>().await;
    let store = engine.store();
    let body = stored(&engine, at(src, 1), &[event("a", 1)]).await;
    let dead_letter = DeadLetter {
        src: Some(1),
        consumer: "persist".to_owned(),
        stream_sequence: Some(9),
        ..dead(JobKind::Alert, &body)
    };
    record_dead(store, dead_letter.clone()).await.unwrap();
    store
        .record_failure(key("persist", 7), "why".to_owned(), T0)
        .await
        .unwrap();
    store.begin_attempt(key("alert", 8), T0).await.unwrap();
    let before = engine.dump();
    let mut found = store
        .load_attempts(1, "persist".to_owned(), vec![7, 8, 9])
        .await
        .unwrap();
    found.sort_by_key(|found| found.seq);
    let in_dead = Attempt {
        dead_at: Some(dead_letter.at),
        ..attempt(0, 0, dead_letter.reason.as_deref())
    };
    let stored = |seq, attempt| StoredAttempt { seq, attempt };
    let expected = [stored(7, attempt(1, 0, Some("why"))), stored(9, in_dead)];
    assert_eq!(found, expected);
    assert_eq!(engine.dump(), before);
}

pub async fn a_recovery_after_failed_attempts_is_recorded_once<E: Engine>() {
    let (engine, src) = fresh::<E>().await;
    let store = engine.store();
    let body = stored(&engine, at(src, 1), &[event("a", 1)]).await;
    let dead_letter = dead(JobKind::Alert, &body);
    let recovery = Recovery {
        key: message_key(&dead_letter),
        at: dead_letter.at,
        actor: dead_letter.actor.unwrap(),
        batch: dead_letter.context.batch,
        developer: body.developer.clone(),
        batch_id: body.batch_id.clone(),
        correlation_id: body.correlation_id.clone(),
        job: dead_letter.context.job,
    };
    // What never failed leaves no trace.
    store.begin_attempt(recovery.key.clone(), T0).await.unwrap();
    store.record_recovery(recovery.clone()).await.unwrap();
    let none = engine.dump();
    assert_eq!(
        (
            none.audit(1, Step::Failed).len(),
            none.rows("attempts").len()
        ),
        (0, 0)
    );
    for reason in ["first", "last"] {
        store
            .record_failure(recovery.key.clone(), reason.to_owned(), T0)
            .await
            .unwrap();
    }
    store.record_recovery(recovery.clone()).await.unwrap();
    let once = engine.dump();
    let [(skeleton, person)] = &once.audit(1, Step::Failed)[..] else {
        panic!("one row")
    };
    assert_eq!(
        (&*skeleton.outcome, &*person.developer),
        ("recovered", "ada")
    );
    let wanted = json!({
        "attempts": 2, "reason": "last", "consumer": "alert", "stream_sequence": 1,
        "job_id": format!("{src}:1:alert"),
    });
    assert_eq!((detail(person), once.rows("attempts").len()), (wanted, 0));
    store.record_recovery(recovery).await.unwrap();
    assert_eq!(engine.dump(), once);
}
