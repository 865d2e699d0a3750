//! What of a stream's life is done with.

use common::job::JobKind;
use store::{Attempts, Jobs, Outbox, Persist, Retention, Stage};

use crate::build::{Engine, T0, at, batch, event, fresh, life, received_at, store_one};
use crate::work::{dead, done, nothing, stored, triggered};
use common::clock::SECOND;

fn stage(seq: u64, is_done: bool) -> Stage {
    Stage { seq, published_at: received_at(seq) + 2 * SECOND, is_done }
}

pub async fn a_batch_is_done_with_once_nothing_waits_for_it<E: Engine>() {
    let (engine, src) = fresh::<E>().await;
    let store = engine.store();
    let other = store.source(&life(T0 + 1)).await.unwrap();
    store_one(&engine, batch(at(other, 2), &[event("elsewhere", 1)])).await;
    let mut bodies = Vec::new();
    for seq in [1, 2, 4, 5, 6] {
        bodies.push(stored(&engine, at(src, seq), &[event(&format!("e{seq}"), 1)]).await);
    }
    // Completed at once: it brings nothing new.
    store_one(&engine, batch(at(src, 7), &[event("e1", 1)])).await;
    // 1 stays persisted, 2 triggered, 4 completed, 5 and 6 failed.
    store.triggered(bodies[1..].iter().map(triggered).collect()).await.unwrap();
    for kind in JobKind::ALL {
        store.finish(nothing(kind), vec![done(kind, &bodies[2])]).await.unwrap();
    }
    store.dead(dead(JobKind::Alert, &bodies[3])).await.unwrap();
    store.dead(dead(JobKind::Alert, &bodies[4])).await.unwrap();
    let stages = async |from, limit| store.stages(src, from, limit).await.unwrap();
    let all = [(1, false), (2, false), (4, true), (5, false), (6, false), (7, true)];
    assert_eq!(stages(0, 100).await, all.map(|(seq, is_done)| stage(seq, is_done)));
    assert_eq!(stages(3, 2).await, [stage(4, true), stage(5, false)], "paged by key");
    assert_eq!(stages(8, 100).await, []);
    assert_eq!(stages(u64::MAX, 100).await, []);
    // An administrator's last word on what is dead of batch 6.
    engine.execute("UPDATE audit SET step = 'dropped' WHERE seq = 6 AND step = 'failed'");
    assert_eq!(stages(5, 2).await, [stage(5, false), stage(6, true)]);
}
