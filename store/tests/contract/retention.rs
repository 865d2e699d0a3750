//! What of a stream's incarnation is finished.

use store::{
    BatchProgress, BatchStatus, DeadLetterDecision, DeadLetters, Jobs, Outbox, Persist, Retention,
    StoredPlacement, VerifyReads,
};
use types::audit::Step;
use types::job::JobKind;
use types::job::{BatchState, Mask};
use types::verdict::{Code, Verdict};

use crate::build::{Engine, T0, at, batch, event, fresh, incarnation, received_at, store_one};
use crate::dead_letters::decision;
use crate::work::{dead, done, nothing, record_dead, stored, triggered};
use types::time::SECOND;

fn stage(seq: u64, is_done: bool) -> BatchProgress {
    BatchProgress {
        seq,
        published_at: received_at(seq) + 2 * SECOND,
        is_done,
        is_failed: [5, 6].contains(&seq),
    }
}

pub async fn a_batch_is_finished_once_nothing_waits_for_it<E: Engine>() {
    let (engine, src) = fresh::<E>().await;
    let store = engine.store();
    let other = store.source(&incarnation(T0 + 1)).await.unwrap();
    store_one(&engine, batch(at(other, 2), &[event("elsewhere", 1)])).await;
    let mut bodies = Vec::new();
    for seq in [1, 2, 4, 5, 6] {
        bodies.push(stored(&engine, at(src, seq), &[event(&format!("e{seq}"), 1)]).await);
    }
    // Completed at once: it brings nothing new.
    store_one(&engine, batch(at(src, 7), &[event("e1", 1)])).await;
    // 1 stays persisted, 2 triggered, 4 completed, 5 and 6 failed.
    store
        .mark_triggered(bodies[1..].iter().map(triggered).collect())
        .await
        .unwrap();
    for kind in JobKind::ALL {
        store
            .finish_jobs(nothing(kind), vec![done(kind, &bodies[2])])
            .await
            .unwrap();
    }
    record_dead(store, dead(JobKind::Alert, &bodies[3]))
        .await
        .unwrap();
    record_dead(store, dead(JobKind::Alert, &bodies[4]))
        .await
        .unwrap();
    let stages = async |from, limit| store.stages(src, from, limit).await.unwrap();
    let all = [
        (1, false),
        (2, false),
        (4, true),
        (5, false),
        (6, false),
        (7, true),
    ];
    assert_eq!(
        stages(0, 100).await,
        all.map(|(seq, is_done)| stage(seq, is_done))
    );
    assert_eq!(
        stages(3, 2).await,
        [stage(4, true), stage(5, false)],
        "paged by key"
    );
    assert_eq!(stages(8, 100).await, []);
    assert_eq!(stages(u64::MAX, 100).await, []);
    // An administrator's last word on what is dead of batch 6.
    let drop = async |seq: u64, kind: JobKind, redriven: &str| {
        let (at, dead_letter) = (at(src, seq), 10 * seq + u64::from(kind.bit().0));
        let job_id = Some(format!("{}{redriven}", kind.id(at, None)));
        let drop = DeadLetterDecision {
            job_id,
            dead_sequence: dead_letter,
            ..decision(at, Step::Dropped)
        };
        assert!(
            store.record_decision(drop).await.unwrap(),
            "its batch is stored"
        );
    };
    drop(6, JobKind::Alert, ":r1").await;
    assert_eq!(stages(5, 2).await, [stage(5, false), stage(6, true)]);
    // Each dead job needs one of its own.
    drop(5, JobKind::Alert, "").await;
    record_dead(store, dead(JobKind::Aggregate, &bodies[3]))
        .await
        .unwrap();
    assert_eq!(
        stages(5, 1).await,
        [stage(5, false)],
        "the aggregate job is still dead"
    );
    drop(5, JobKind::Aggregate, "").await;
    assert_eq!(stages(5, 1).await, [stage(5, true)]);
    // Of a forgotten developer only skeletons are left.
    engine.execute("DELETE FROM audit_personal");
    assert_eq!(stages(5, 1).await, [stage(5, true)]);
}

pub async fn what_is_stored_of_an_incarnation_is_found_and_counted<E: Engine>() {
    let (engine, src) = fresh::<E>().await;
    let store = engine.store();
    let next = async |from| store.next_stored(src, from).await.unwrap();
    let below = async |seq| store.stored_below(src, seq).await.unwrap();
    assert_eq!((next(0).await, below(u64::MAX).await), (None, 0));
    let other = store.source(&incarnation(T0 + 1)).await.unwrap();
    store_one(&engine, batch(at(other, 1), &[event("elsewhere", 1)])).await;
    let refused = event("r", 1).refused(Code::SchemaInvalid, None, None);
    for (seq, events) in [
        (3, vec![event("a", 1)]),
        (70_000, vec![event("a", 1)]),
        (90_000, vec![refused]),
    ] {
        store_one(&engine, batch(at(src, seq), &events)).await;
    }
    assert_eq!(
        [next(0).await, next(3).await, next(4).await],
        [Some(3), Some(3), Some(70_000)]
    );
    assert_eq!((next(90_001).await, next(u64::MAX).await), (None, None));
    assert_eq!(
        [below(3).await, below(4).await, below(90_001).await],
        [0, 1, 3]
    );
    // What is left of a batch whose row is gone counts as well.
    engine.execute("DELETE FROM batches");
    assert_eq!(
        [next(0).await, next(4).await, next(70_001).await],
        [Some(3), Some(70_000), Some(90_000)]
    );
    engine.execute("DELETE FROM events; DELETE FROM duplicates; DELETE FROM refused");
    assert_eq!(next(0).await, None, "audit rows alone are nothing stored");
}

pub async fn an_account_has_the_batchs_status_steps_and_verified_bytes<E: Engine>() {
    let (engine, src) = fresh::<E>().await;
    let store = engine.store();
    let unknown = event("u", 1).refused(Code::TypeUnknown, None, None);
    let body = stored(&engine, at(src, 1), &[event("a", 1), unknown]).await;
    store.mark_triggered(vec![triggered(&body)]).await.unwrap();
    store
        .finish_jobs(
            nothing(JobKind::Normalize),
            vec![done(JobKind::Normalize, &body)],
        )
        .await
        .unwrap();
    record_dead(store, dead(JobKind::Alert, &body))
        .await
        .unwrap();
    let account = async || store.accounts(src, 1, 1).await.unwrap().remove(0);
    let found = account().await;
    let status = BatchStatus {
        state: BatchState::Failed,
        need: Mask::ALL,
        done: JobKind::Normalize.bit(),
        failed: JobKind::Alert.bit(),
        is_known: true,
        persisted_at: found.row.unwrap().persisted_at,
    };
    assert_eq!(status.persisted_at, received_at(1) + 3 * SECOND);
    assert_eq!(found.row, Some(status));
    let mut steps: Vec<_> = found
        .steps
        .iter()
        .map(|one| (&*one.step, one.job_id.as_deref()))
        .collect();
    steps.sort_unstable();
    let (normalize, alert) = (
        JobKind::Normalize.id(at(src, 1), None),
        JobKind::Alert.id(at(src, 1), None),
    );
    let expected = [
        ("dead", Some(&*alert)),
        ("failed", Some(&*alert)),
        ("job_finished", Some(&*normalize)),
        ("persisted", None),
        ("published", None),
        ("received", None),
        ("triggered", None),
        ("validated", None),
    ];
    assert_eq!(
        steps, expected,
        "no steps of single events, and none of jobs that began"
    );
    assert!(matches!(
        found.kept[..],
        [
            (0, StoredPlacement::Event(_)),
            (1, StoredPlacement::Refused(Verdict::Quarantined, _))
        ]
    ));
    engine.execute(
        "UPDATE events SET hash = (SELECT hash FROM refused);
        UPDATE refused SET body = (SELECT body FROM events)",
    );
    assert_eq!(
        account().await.kept,
        [(0, StoredPlacement::Altered), (1, StoredPlacement::Altered)]
    );
}
