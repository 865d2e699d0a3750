//! Questions about batches, days and alerts.

use store::{
    DecodedBatch, History, Jobs, Outbox, Persist, QueryReads, StoredBatch, StoredDay,
    StoredOriginal,
};
use types::id::MessageIdentity;
use types::job::{BatchState, JobKind, Mask};
use types::query::ResendNote;
use types::verdict::Code;

use crate::build::{
    Engine, HOUR, T0, at, batch, batch_of, counts, event, event_at, fresh, incarnation,
    received_at, store_one,
};
use crate::cases::mixed;
use crate::work::{
    computed, day, done, found, looked, nothing, rules, stored, triggered, write_windows,
};
use types::time::SECOND;

/// The batch under another batch id.
fn under(id: &str, mut incoming: DecodedBatch) -> DecodedBatch {
    let own = std::mem::replace(&mut incoming.header.batch_id, id.to_owned());
    incoming.message_id = incoming.message_id.replace(&own, id);
    incoming
}

pub async fn every_submission_of_a_batch_id_is_listed_with_its_state<E: Engine>() {
    let (engine, src) = fresh::<E>().await;
    let store = engine.store();
    let asked = async || {
        store
            .submissions("ada".to_owned(), "batch-3".to_owned())
            .await
            .unwrap()
    };
    assert_eq!(asked().await, []);
    store_one(
        &engine,
        under("batch-3", batch(at(src, 8), &[event("a", 1)])),
    )
    .await;
    store_one(&engine, batch(at(src, 4), &[event("b", 1)])).await;
    store_one(
        &engine,
        under("batch-3", batch_of("bob", at(src, 5), &[event("b", 1)])),
    )
    .await;
    let body = stored(&engine, at(src, 3), &mixed()).await;
    store.mark_triggered(vec![triggered(&body)]).await.unwrap();
    store
        .finish_jobs(
            nothing(JobKind::Normalize),
            vec![done(JobKind::Normalize, &body)],
        )
        .await
        .unwrap();
    let listed = asked().await;
    let seen: Vec<_> = listed
        .iter()
        .map(|one| (one.at, one.state, one.masks))
        .collect();
    let need = Mask::ALL;
    assert_eq!(
        seen,
        [
            (
                at(src, 3),
                BatchState::Triggered,
                [need, JobKind::Normalize.bit(), Mask::NONE]
            ),
            (
                at(src, 8),
                BatchState::Persisted,
                [need, Mask::NONE, Mask::NONE]
            ),
        ]
    );
    let first = &listed[0];
    assert_eq!(
        (&*first.developer, &*first.batch_id, &*first.correlation_id),
        ("ada", "batch-3", "correlation-3")
    );
    assert_eq!(first.counts, counts([2, 1, 1, 2]));
    let times = [first.received_at, first.published_at, first.persisted_at];
    assert_eq!(
        times,
        [0, 2, 3].map(|later| received_at(3) + later * SECOND)
    );
}

pub async fn a_stored_batch_names_what_was_not_accepted_and_the_originals<E: Engine>() {
    let (engine, src) = fresh::<E>().await;
    let store = engine.store();
    let one = batch(at(src, 1), &[event("x", 0), event("a", 1), event("b", 7)]);
    let two = batch(at(src, 2), &mixed());
    let stored = async |created, batch: &DecodedBatch| {
        let found = store.stored(incarnation(created), batch.at.seq, batch.identity());
        found.await.unwrap()
    };
    assert_eq!(stored(T0, &two).await, None);
    store_one(&engine, one.clone()).await;
    store_one(&engine, two.clone()).await;
    let StoredBatch {
        first,
        not_accepted,
    } = stored(T0, &two).await.unwrap();
    assert_eq!((first.at, first.counts), (at(src, 2), counts([0, 2, 1, 3])));
    let seen: Vec<_> = not_accepted
        .iter()
        .map(|one| {
            (
                one.at,
                one.event_id.as_deref(),
                one.code,
                one.original.clone(),
            )
        })
        .collect();
    let here = |ordinal| event_at(src, 2, ordinal);
    let original = |ordinal| {
        Some(StoredOriginal {
            at: event_at(src, 1, ordinal),
            batch_id: "batch-1".to_owned(),
            received_at: received_at(1),
        })
    };
    let expected = [
        (here(0), Some("a"), Code::DuplicateId, original(1)),
        (here(1), Some("q"), Code::TypeUnknown, None),
        (here(2), Some("b"), Code::IdConflict, original(2)),
        (here(3), Some("a"), Code::DuplicateId, original(1)),
        (here(4), Some("r"), Code::SchemaInvalid, None),
        (here(5), Some("b"), Code::IdConflict, original(2)),
    ];
    assert_eq!(seen, expected);
    assert_eq!(
        (
            not_accepted[4].pointer.as_deref(),
            not_accepted[4].detail.as_deref()
        ),
        (Some("/data"), Some("no"))
    );
    let other = stored(T0, &one).await.unwrap();
    assert_eq!((other.first.at, other.not_accepted), (at(src, 1), vec![]));
    assert_eq!(
        stored(T0 + 1, &one).await,
        None,
        "another incarnation of the stream"
    );
}

pub async fn a_resend_outside_the_window_is_answered_as_the_first<E: Engine>() {
    let (engine, src) = fresh::<E>().await;
    let store = engine.store();
    let events = [event("a", 1), event("b", 1)];
    let first = async |batch: &DecodedBatch| {
        let found = store.stored(incarnation(T0), batch.at.seq, batch.identity());
        found.await.unwrap().unwrap().first.at
    };
    let nine = under("mine", batch(at(src, 9), &events));
    store_one(&engine, nine.clone()).await;
    assert_eq!(first(&nine).await, at(src, 9), "none before it so far");
    let four = under("mine", batch(at(src, 4), &events));
    let five = under("mine", batch(at(src, 5), &events[..1]));
    let three = under("other", batch(at(src, 3), &events));
    let bobs = under("mine", batch_of("bob", at(src, 2), &events));
    let new = store.source(&incarnation(T0 + 1)).await.unwrap();
    let newest = under("mine", batch(at(new, 1), &events));
    for batch in [&four, &five, &three, &bobs, &newest] {
        store_one(&engine, batch.clone()).await;
    }
    assert_eq!(first(&nine).await, at(src, 4));
    assert_eq!(first(&four).await, at(src, 4));
    assert_eq!(
        first(&five).await,
        at(src, 5),
        "without some of its events it is another batch"
    );
    assert_eq!(
        (first(&three).await, first(&bobs).await),
        (at(src, 3), at(src, 2))
    );
    let resent = store
        .stored(incarnation(T0 + 1), 1, newest.identity())
        .await;
    let resent = resent.unwrap().unwrap();
    assert_eq!(resent.first.at, at(src, 4));
    assert_eq!(resent.first.batch_id, "mine");
    // Stored second, it was accepted; the batch 3 came later and holds its events now.
    let originals: Vec<_> = resent
        .not_accepted
        .iter()
        .map(|one| one.original.as_ref().unwrap().at)
        .collect();
    assert_eq!(originals, [event_at(src, 3, 0), event_at(src, 3, 1)]);
}

pub async fn stored_is_only_what_the_message_itself_left<E: Engine>() {
    let (engine, src) = fresh::<E>().await;
    let store = engine.store();
    let events = [event("a", 1), event("a", 2)];
    let own = batch(at(src, 1), &events);
    store_one(&engine, own.clone()).await;
    let resent = |message: MessageIdentity| ResendNote {
        incarnation: incarnation(T0),
        seq: 1,
        message,
        correlation_id: "the-resends".to_owned(),
        received_at: T0,
        collector: "c".to_owned(),
    };
    let bobs = batch_of("bob", at(src, 1), &events);
    let another_id = under("another", own.clone());
    let mut another_epoch = own.clone();
    another_epoch.message_id = own.message_id.replace(":0:", ":1:");
    let other_events = batch(at(src, 1), &events[..1]);
    let audit = store.audit(at(src, 1)).await.unwrap();
    for other in [bobs, another_id, another_epoch, other_events] {
        let message = other.identity();
        let found = store.stored(incarnation(T0), 1, message.clone()).await;
        assert_eq!(
            found.unwrap(),
            None,
            "{message:?} was answered from the row of another"
        );
        assert!(!store.record_resend(resent(message)).await.unwrap());
    }
    assert_eq!(store.audit(at(src, 1)).await.unwrap(), audit);
    let found = store
        .stored(incarnation(T0), 1, own.identity())
        .await
        .unwrap();
    assert_eq!(found.unwrap().not_accepted.len(), 1);
}

pub async fn a_forgotten_batch_is_nobodys_answer<E: Engine>() {
    let (engine, src) = fresh::<E>().await;
    engine.forget("ada", at(src, 5));
    let batch = batch(at(src, 2), &mixed());
    store_one(&engine, batch.clone()).await;
    let found = engine.store().stored(incarnation(T0), 2, batch.identity());
    assert_eq!(found.await.unwrap(), None);
}

pub async fn days_are_read_in_their_order_with_both_ends<E: Engine>() {
    let (engine, src) = fresh::<E>().await;
    let store = engine.store();
    let body = stored(&engine, at(src, 1), &[event("a", 1)]).await;
    assert!(store.developers().await.unwrap().is_empty());
    let days: Vec<_> = ["2026-03-02", "2026-02-28", "2026-03-01", "2026-03-03"]
        .into_iter()
        .zip(1..)
        .map(|(name, generation)| day(name, computed(generation, 3, name)))
        .collect();
    let mut bobs = day("2026-03-01", computed(1, 1, "bob's"));
    bobs.developer = "bob".to_owned();
    write_windows(
        &engine,
        &body,
        Vec::new(),
        [days.clone(), vec![bobs]].concat(),
    )
    .await;
    let of = async |who: &str, from: &str, to: &str| {
        store
            .days(who.to_owned(), from.to_owned(), to.to_owned())
            .await
            .unwrap()
    };
    let own = |n: usize| StoredDay {
        day: days[n].day.clone(),
        metrics: days[n].computed.clone(),
    };
    assert_eq!(
        of("ada", "2026-02-28", "2026-03-02").await,
        [own(1), own(2), own(0)]
    );
    assert_eq!(of("ada", "2026-03-03", "2026-03-03").await, [own(3)]);
    assert_eq!(of("ada", "2026-03-04", "2026-03-01").await, []);
    assert_eq!(of("eve", "2026-02-28", "2026-03-03").await, []);
    assert_eq!(store.developers().await.unwrap(), ["ada", "bob"]);
    let first = async |who: &str, from: &str| {
        let first = store.first_day(who.to_owned(), from.to_owned());
        first.await.unwrap()
    };
    assert_eq!(first("ada", "").await.as_deref(), Some("2026-02-28"));
    assert_eq!(
        first("ada", "2026-03-01").await.as_deref(),
        Some("2026-03-01")
    );
    assert_eq!(first("ada", "2026-03-04").await, None);
    assert_eq!(first("eve", "").await, None);
}

pub async fn alerts_are_listed_by_window_newest_first<E: Engine>() {
    let (engine, src) = fresh::<E>().await;
    let store = engine.store();
    let body = stored(&engine, at(src, 1), &[event("a", 1).after(HOUR)]).await;
    let starts = ["2026-03-02", "2026-03-09", "2026-02-23"];
    let mut windows: Vec<_> = starts
        .iter()
        .map(|start| looked(&body, start, 1, Some(found(start, "t"))))
        .collect();
    let mut bobs = looked(&body, "2026-03-05", 1, Some(found("bobs", "t")));
    bobs.developer = "bob".to_owned();
    windows.push(bobs);
    let jobs = vec![done(JobKind::Alert, &body)];
    store
        .finish_jobs(rules(windows), jobs.clone())
        .await
        .unwrap();
    store
        .finish_jobs(rules(vec![looked(&body, starts[0], 2, None)]), jobs)
        .await
        .unwrap();
    let list = async |developer: Option<&str>, limit| {
        let alerts = store
            .alerts(developer.map(str::to_owned), limit)
            .await
            .unwrap();
        alerts
            .into_iter()
            .map(|alert| (alert.window_start, alert.state))
            .collect::<Vec<_>>()
    };
    let named = |start: &str, state: &str| (start.to_owned(), state.to_owned());
    let [old, newest, oldest] = [
        named(starts[0], "retracted"),
        named(starts[1], "raised"),
        named(starts[2], "raised"),
    ];
    let bobs = named("2026-03-05", "raised");
    assert_eq!(
        list(None, 9).await,
        [newest.clone(), bobs.clone(), old.clone(), oldest.clone()]
    );
    assert_eq!(list(None, 2).await, [newest.clone(), bobs.clone()]);
    assert_eq!(list(Some("ada"), 9).await, [newest, old, oldest]);
    assert_eq!(list(Some("bob"), 9).await, [bobs]);
    assert_eq!(list(Some("eve"), 9).await, []);
    let alert = store
        .alerts(Some("bob".to_owned()), 1)
        .await
        .unwrap()
        .remove(0);
    assert_eq!(
        (
            &*alert.alert_id,
            &*alert.rule,
            &*alert.title,
            alert.revision
        ),
        ("alert-bobs", "no-tests", "t", 0)
    );
}
