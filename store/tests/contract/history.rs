//! From a clue to its batches, and what happened to them.

use store::{Clue, History, Jobs, Outbox, Persist};
use types::id::BatchRef;
use types::job::JobKind;
use types::query::ResendNote;
use types::time::SECOND;
use types::verdict::Code;

use crate::build::{
    Engine, T0, at, batch, batch_of, event, fresh, incarnation, received_at, store_one,
};
use crate::work::{done, found, looked, rules, stored, triggered};

async fn find(engine: &impl Engine, clue: Clue) -> Vec<BatchRef> {
    let found = engine.store().find(clue, 10).await.unwrap();
    found.into_iter().map(|submission| submission.at).collect()
}

fn id(id: &str) -> Clue {
    Clue::Id {
        id: id.to_owned(),
        developer: None,
    }
}

fn of(developer: &str, id: &str) -> Clue {
    Clue::Id {
        id: id.to_owned(),
        developer: Some(developer.to_owned()),
    }
}

pub async fn a_batch_is_found_by_every_id_that_belongs_to_it<E: Engine>() {
    let (engine, src) = fresh::<E>().await;
    let refused = event("r", 1).refused(Code::SchemaInvalid, None, None);
    store_one(&engine, batch(at(src, 1), &[event("a", 1), event("b", 1)])).await;
    store_one(
        &engine,
        batch(at(src, 2), &[event("a", 1), event("b", 2), refused]),
    )
    .await;
    store_one(
        &engine,
        batch_of("bob", at(src, 3), &[event("a", 1), event("batch-2", 1)]),
    )
    .await;
    let [one, two, three] = [1, 2, 3].map(|seq| at(src, seq));
    assert_eq!(find(&engine, id("batch-1")).await, [one]);
    assert_eq!(find(&engine, id("correlation-2")).await, [two]);
    assert_eq!(
        find(&engine, id("a")).await,
        [one, two, three],
        "an event, its duplicate, another one's"
    );
    assert_eq!(
        find(&engine, id("b")).await,
        [one, two],
        "an event and what it is in conflict with"
    );
    assert_eq!(find(&engine, id("r")).await, [two], "a refused event");
    assert_eq!(
        find(&engine, id("batch-2")).await,
        [two, three],
        "a batch and an event of that id"
    );
    assert_eq!(find(&engine, of("ada", "a")).await, [one, two]);
    assert_eq!(find(&engine, of("bob", "batch-2")).await, [three]);
    assert_eq!(find(&engine, of("bob", "correlation-2")).await, []);
    assert_eq!(find(&engine, of("eve", "a")).await, []);
    assert_eq!(find(&engine, id("nothing")).await, []);
    let limited = engine.store().find(id("a"), 2).await.unwrap();
    assert_eq!(
        limited
            .iter()
            .map(|submission| submission.at)
            .collect::<Vec<_>>(),
        [one, two]
    );
}

pub async fn a_batch_is_found_by_sequence_in_any_incarnation_and_by_alert<E: Engine>() {
    let (engine, old) = fresh::<E>().await;
    let store = engine.store();
    let new = store.source(&incarnation(T0 + 1)).await.unwrap();
    for (at, id) in [(at(new, 7), "a"), (at(old, 7), "b"), (at(old, 8), "c")] {
        store_one(&engine, batch(at, &[event(id, 1)])).await;
    }
    assert_eq!(
        find(&engine, Clue::Sequence(7)).await,
        [at(old, 7), at(new, 7)]
    );
    assert_eq!(find(&engine, Clue::Sequence(u64::MAX)).await, []);
    let [first, second] = [
        stored(&engine, at(old, 20), &[event("d", 1)]).await,
        stored(&engine, at(old, 21), &[event("e", 1)]).await,
    ];
    let start = "2026-03-01";
    for (generation, body) in [(1, &first), (2, &second)] {
        let windows = vec![looked(body, start, generation, Some(found(start, "t")))];
        store
            .finish_jobs(rules(windows), vec![done(JobKind::Alert, body)])
            .await
            .unwrap();
        assert_eq!(
            find(&engine, Clue::Alert(format!("alert-{start}"))).await,
            [body.batch],
            "found last"
        );
    }
    assert_eq!(find(&engine, Clue::Alert("alert".to_owned())).await, []);
}

pub async fn the_audit_of_a_batch_is_read_in_the_order_of_its_steps<E: Engine>() {
    let (engine, src) = fresh::<E>().await;
    let store = engine.store();
    let body = stored(&engine, at(src, 1), &[event("a", 1), event("a", 1)]).await;
    store_one(&engine, batch(at(src, 2), &[event("b", 1)])).await;
    for kind in JobKind::ALL {
        store
            .finish_jobs(crate::work::nothing(kind), vec![done(kind, &body)])
            .await
            .unwrap();
    }
    // Recorded after the jobs, and earlier than they.
    store.mark_triggered(vec![triggered(&body)]).await.unwrap();
    let audit = store.audit(at(src, 1)).await.unwrap();
    let steps: Vec<_> = audit.iter().map(|entry| entry.step.as_str()).collect();
    let expected = [
        "received",
        "validated",
        "published",
        "persisted",
        "deduplicated",
        "triggered",
        "completed",
        "job_started",
        "job_started",
        "job_started",
        "job_finished",
        "job_finished",
        "job_finished",
    ];
    assert_eq!(steps, expected);
    assert!(audit.is_sorted_by_key(|entry| entry.time));
    assert!(
        audit
            .iter()
            .all(|entry| entry.at == at(src, 1) && entry.developer.as_deref() == Some("ada"))
    );
    let dropped = &audit[4];
    assert_eq!(
        (dropped.event_id.as_deref(), &*dropped.outcome),
        (Some("a"), "duplicate_id")
    );
    assert_eq!(dropped.batch_id.as_deref(), Some("batch-1"));
    engine.execute("DELETE FROM audit_personal");
    let forgotten = store.audit(at(src, 1)).await.unwrap();
    assert_eq!(forgotten.len(), audit.len(), "the skeletons stay");
    let person = |n: usize| {
        [
            &forgotten[n].developer,
            &forgotten[n].batch_id,
            &forgotten[n].correlation_id,
        ]
    };
    assert!(person(4).into_iter().all(Option::is_none) && forgotten[4].detail.is_none());
    assert_eq!(store.audit(at(src, 3)).await.unwrap(), []);
}

pub async fn a_dropped_resend_leaves_a_trace_with_its_own_correlation_id<E: Engine>() {
    let (engine, src) = fresh::<E>().await;
    let store = engine.store();
    let time = received_at(1) + 60 * SECOND;
    let batch = batch(at(src, 1), &[event("a", 1)]);
    let note = async |incarnation, seq| {
        let note = ResendNote {
            incarnation,
            seq,
            message: batch.identity(),
            correlation_id: "the-resends".to_owned(),
            received_at: time,
            collector: "collector/two".to_owned(),
        };
        store.record_resend(note).await.unwrap()
    };
    assert!(!note(incarnation(T0), 1).await, "it is not stored yet");
    store_one(&engine, batch.clone()).await;
    let before = store.audit(at(src, 1)).await.unwrap();
    assert!(
        !note(incarnation(T0 + 1), 1).await,
        "another incarnation of the stream"
    );
    assert!(note(incarnation(T0), 1).await);
    let audit = store.audit(at(src, 1)).await.unwrap();
    let (last, rest) = audit.split_last().unwrap();
    assert_eq!(rest, before);
    assert_eq!(
        (&*last.step, &*last.outcome, last.time, &*last.actor),
        ("deduplicated", "duplicate_batch", time, "collector/two")
    );
    assert_eq!(last.correlation_id.as_deref(), Some("the-resends"));
    assert_eq!(
        (last.developer.as_deref(), last.batch_id.as_deref()),
        (Some("ada"), Some("batch-1"))
    );
    assert_eq!((&last.event_id, &last.detail), (&None, &None));
    engine.dump().checked_audit();
}

pub async fn a_dropped_resend_of_a_forgotten_batch_names_nobody<E: Engine>() {
    let (engine, src) = fresh::<E>().await;
    engine.forget("ada", at(src, 5));
    let batch = batch(at(src, 1), &[event("a", 1)]);
    store_one(&engine, batch.clone()).await;
    let note = ResendNote {
        incarnation: incarnation(T0),
        seq: 1,
        message: batch.identity(),
        correlation_id: "the-resends".to_owned(),
        received_at: T0,
        collector: "c".to_owned(),
    };
    assert!(engine.store().record_resend(note).await.unwrap());
    let dump = engine.dump();
    assert_eq!(
        (dump.rows("audit").len(), dump.rows("audit_personal").len()),
        (2, 0)
    );
}
