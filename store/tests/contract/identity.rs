//! Which store it is, and what of a stream it lacks.

use store::{DeadLetters, Identity, Reread, SeqGap, VerifyReads};
use types::audit::Step;
use types::time::SECOND;

use crate::build::{ACTOR, Engine, T0, at, batch, event, fresh, incarnation, store_one};
use crate::dead_letters::decision;

pub async fn a_store_keeps_the_id_that_it_made_once<E: Engine>() {
    let (engine, _) = fresh::<E>().await;
    let store = engine.store();
    assert_eq!(store.store_id().await.unwrap(), None);
    let (one, two) = tokio::join!(store.make_store_id(), store.make_store_id());
    let id = one.unwrap();
    assert_eq!(two.unwrap(), id);
    assert_eq!(store.make_store_id().await.unwrap(), id);
    assert_eq!(store.store_id().await.unwrap(), Some(id.clone()));
    let (other, _) = fresh::<E>().await;
    assert_ne!(other.store().make_store_id().await.unwrap(), id);
}

pub async fn gaps_are_found_between_the_bounds<E: Engine>() {
    let (engine, src) = fresh::<E>().await;
    let store = engine.store();
    assert!(store.is_empty().await.unwrap());
    let gap = |from, to| SeqGap { from, to };
    assert_eq!(store.gaps(src, 3, 9, 9).await.unwrap(), [gap(3, 9)]);
    for seq in [1, 4, 5, 8] {
        let one = batch(at(src, seq), &[event(&format!("e{seq}"), 1)]);
        store_one(&engine, one).await;
    }
    assert!(!store.is_empty().await.unwrap());
    let all = [gap(2, 3), gap(6, 7), gap(9, 10)];
    assert_eq!(store.gaps(src, 1, 10, 9).await.unwrap(), all);
    assert_eq!(store.gaps(src, 1, 10, 2).await.unwrap(), all[..2]);
    assert_eq!(store.gaps(src, 4, 5, 9).await.unwrap(), []);
    assert_eq!(
        store.gaps(src, 3, 6, 9).await.unwrap(),
        [gap(3, 3), gap(6, 6)]
    );
    assert_eq!(store.gaps(src + 1, 1, 2, 9).await.unwrap(), [gap(1, 2)]);
}

pub async fn a_sequence_is_explained_by_its_batch_or_a_drop<E: Engine>() {
    let (engine, src) = fresh::<E>().await;
    let store = engine.store();
    store_one(&engine, batch(at(src, 2), &[event("a", 1)])).await;
    store
        .record_decision(decision(at(src, 5), Step::Dropped))
        .await
        .unwrap();
    store
        .record_decision(decision(at(src, 6), Step::Redriven))
        .await
        .unwrap();
    assert_eq!(store.explained(src, 1, 9).await.unwrap(), [2, 5]);
    assert!(store.explained(src, 3, 4).await.unwrap().is_empty());
}

pub async fn an_adoption_is_in_the_audit_of_the_stream<E: Engine>() {
    let (engine, src) = fresh::<E>().await;
    let store = engine.store();
    let reread = |is_adoption| Reread {
        incarnation: incarnation(T0),
        is_adoption,
        by: "root@host".to_owned(),
        reason: "the disk died".to_owned(),
        time: T0 + SECOND,
        actor: ACTOR.to_owned(),
    };
    store.record_reread(reread(false)).await.unwrap();
    assert!(!store.is_adopted(src).await.unwrap());
    store.record_reread(reread(true)).await.unwrap();
    assert!(store.is_adopted(src).await.unwrap());
    let dump = engine.dump();
    for step in [Step::Reread, Step::Adopted] {
        let [(skeleton, person)] = &dump.audit(0, step)[..] else {
            panic!("one row of {step:?}")
        };
        assert_eq!((skeleton.time, skeleton.src), (T0 + SECOND, src));
        let detail = person.detail.as_deref().unwrap();
        assert!(
            detail.contains("the disk died") && detail.contains("root@host"),
            "{detail}"
        );
    }
    dump.checked_audit();
}
