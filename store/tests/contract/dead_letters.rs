//! What administrators decide about dead letters.

use store::{DeadLetterDecision, DeadLetters, History, Persist};
use types::audit::Step;
use types::id::BatchRef;

use crate::build::{ACTOR, Engine, T0, at, batch, batch_of, event, fresh, incarnation, store_one};

pub fn decision(at: BatchRef, step: Step) -> DeadLetterDecision {
    DeadLetterDecision {
        at,
        step,
        // A dead letter of its own for each message.
        dead_sequence: 1000 * at.src.unsigned_abs() + at.seq,
        dead_at: T0,
        message: None,
        developer: Some("ada".to_owned()),
        job_id: None,
        by: "root@host".to_owned(),
        reason: Some("garbage".to_owned()),
        dead_reason: "no line feed".to_owned(),
        time: T0 + 5,
        actor: ACTOR.to_owned(),
    }
}

pub async fn a_decision_is_written_once_and_says_if_its_batch_is_stored<E: Engine>() {
    let (engine, src) = fresh::<E>().await;
    let store = engine.store();
    store_one(&engine, batch(at(src, 1), &[event("a", 1)])).await;
    assert!(
        store
            .record_decision(decision(at(src, 1), Step::Redriven))
            .await
            .unwrap()
    );
    assert!(
        !store
            .record_decision(decision(at(src, 2), Step::Dropped))
            .await
            .unwrap()
    );
    // A row of another message in the same place, as a restored stream has it.
    let others = DeadLetterDecision {
        dead_sequence: 7,
        message: Some(batch_of("bob", at(src, 1), &[event("b", 1)]).identity()),
        developer: Some("bob".to_owned()),
        ..decision(at(src, 1), Step::Dropped)
    };
    assert!(!store.record_decision(others).await.unwrap());
    let audit = store.audit(at(src, 1)).await.unwrap();
    let dropped = audit.iter().find(|row| row.step == "dropped").unwrap();
    assert_eq!(dropped.developer.as_deref(), Some("bob"));
    // Recorded again, and by two at once: of each dead letter and step one row.
    let again = DeadLetterDecision {
        by: "bob@host".to_owned(),
        time: T0 + 9,
        ..decision(at(src, 1), Step::Redriven)
    };
    let other = DeadLetterDecision {
        dead_sequence: 8,
        ..decision(at(src, 1), Step::Redriven)
    };
    let (one, two) = tokio::join!(
        store.record_decision(other.clone()),
        store.record_decision(other)
    );
    assert!(one.unwrap() && two.unwrap() && store.record_decision(again).await.unwrap());
    let rows = store.audit(at(src, 1)).await.unwrap();
    let rows: Vec<_> = rows.iter().filter(|row| row.step == "redriven").collect();
    let [one, two] = &rows[..] else {
        panic!("{rows:?}")
    };
    assert_eq!(
        (one.batch_id.as_deref(), one.correlation_id.as_deref()),
        (Some("batch-1"), Some("correlation-1"))
    );
    let details = [one, two].map(|row| row.detail.clone().unwrap());
    assert!(
        details
            .iter()
            .all(|detail| detail.contains(r#""by":"root@host""#)),
        "{details:?}"
    );
    assert!(
        details
            .iter()
            .any(|detail| detail.contains(r#""dead_sequence":1001,"#)),
        "{details:?}"
    );
    // Every hash recomputes.
    let _ = engine.dump().checked_audit();
}

pub async fn a_message_never_stored_is_found_by_its_decision<E: Engine>() {
    let (engine, src) = fresh::<E>().await;
    let store = engine.store();
    let old = store.source(&incarnation(T0 - 1)).await.unwrap();
    store_one(&engine, batch(at(src, 5), &[event("a", 1)])).await;
    for decided in [at(src, 5), at(old, 5), at(src, 6)] {
        store
            .record_decision(decision(decided, Step::Dropped))
            .await
            .unwrap();
    }
    assert_eq!(store.unstored(5, 10).await.unwrap(), [at(old, 5)]);
    assert_eq!(store.unstored(6, 10).await.unwrap(), [at(src, 6)]);
    assert_eq!(store.unstored(7, 10).await.unwrap(), []);
    assert_eq!(store.unstored(u64::MAX, 10).await.unwrap(), []);
    let rows = store.audit(at(src, 6)).await.unwrap();
    let [row] = &rows[..] else { panic!("{rows:?}") };
    assert_eq!(
        (row.step.as_str(), row.developer.as_deref()),
        ("dropped", Some("ada"))
    );
}

pub async fn a_decision_about_a_forgotten_developer_keeps_its_skeleton<E: Engine>() {
    let (engine, src) = fresh::<E>().await;
    let store = engine.store();
    store_one(&engine, batch(at(src, 1), &[event("a", 1)])).await;
    engine.forget("ada", at(src, 5));
    for seq in [5, 6] {
        store
            .record_decision(decision(at(src, seq), Step::Dropped))
            .await
            .unwrap();
    }
    let developer = async |seq| {
        store.audit(at(src, seq)).await.unwrap()[0]
            .developer
            .clone()
    };
    assert_eq!(developer(5).await, None, "before the tombstone");
    assert_eq!(developer(6).await.as_deref(), Some("ada"), "after it");
}
