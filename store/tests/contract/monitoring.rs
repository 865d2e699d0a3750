//! What should have been completed by now.

use store::{Jobs, Monitoring, Outbox, Overdue, Persist};
use types::job::{BatchState, JobKind};
use types::time::SECOND;

use crate::build::{Engine, at, batch, event, fresh, received_at};
use crate::work::{dead, done, nothing, record_dead, stored, triggered};

pub async fn batches_are_overdue_until_they_are_completed<E: Engine>() {
    let (engine, src) = fresh::<E>().await;
    let store = engine.store();
    // Stored three seconds after its receipt (`build::batch_of`).
    let stored_at = |seq| received_at(seq) + 3 * SECOND;
    assert_eq!(store.overdue(i64::MAX).await.unwrap(), None);
    let second = stored(&engine, at(src, 2), &[event("b", 1)]).await;
    let first = stored(&engine, at(src, 1), &[event("a", 1)]).await;
    // Brings nothing new, so it is completed as it is stored.
    store
        .store_batches(vec![batch(at(src, 3), &[event("a", 1)])])
        .await
        .unwrap();
    let overdue = |count, seq, state| {
        Some(Overdue {
            count,
            oldest: at(src, seq),
            state,
            persisted_at: stored_at(seq),
        })
    };
    assert_eq!(
        store.overdue(stored_at(1)).await.unwrap(),
        None,
        "stored before, not at, that moment"
    );
    assert_eq!(
        store.overdue(stored_at(1) + 1).await.unwrap(),
        overdue(1, 1, BatchState::Persisted)
    );
    store.mark_triggered(vec![triggered(&first)]).await.unwrap();
    assert_eq!(
        store.overdue(i64::MAX).await.unwrap(),
        overdue(2, 1, BatchState::Triggered)
    );
    record_dead(store, dead(JobKind::Alert, &first))
        .await
        .unwrap();
    assert_eq!(
        store.overdue(i64::MAX).await.unwrap(),
        overdue(2, 1, BatchState::Failed)
    );
    for kind in JobKind::ALL {
        store
            .finish_jobs(nothing(kind), vec![done(kind, &first)])
            .await
            .unwrap();
    }
    assert_eq!(
        store.overdue(i64::MAX).await.unwrap(),
        overdue(1, 2, BatchState::Persisted)
    );
    for kind in JobKind::ALL {
        store
            .finish_jobs(nothing(kind), vec![done(kind, &second)])
            .await
            .unwrap();
    }
    store
        .mark_triggered(vec![triggered(&second)])
        .await
        .unwrap();
    assert_eq!(store.overdue(i64::MAX).await.unwrap(), None);
}
