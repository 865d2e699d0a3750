//! Quarantined events, read for the administrator who fixes them.

use serde_json::Value;
use store::{History, IdOwner, Persist, Quarantine, QuarantineFilter};
use types::batch::BatchOrigin;
use types::verdict::Code;

use crate::build::{
    Engine, T0, at, batch, batch_of, event, event_at, fresh, incarnation, received_at, sent,
    store_one,
};

fn quarantined(id: &str, code: Code) -> crate::build::Event {
    event(id, 1).refused(code, Some("/type"), Some("nobody knows it"))
}

pub async fn quarantined_batches_are_paged_by_key_and_narrowed<E: Engine>() {
    let (engine, src) = fresh::<E>().await;
    let store = engine.store();
    let next = store.source(&incarnation(T0 + 1)).await.unwrap();
    let unknown = || quarantined("q", Code::TypeUnknown);
    store_one(
        &engine,
        batch(at(src, 2), &[event("a", 1), unknown(), unknown()]),
    )
    .await;
    store_one(
        &engine,
        batch(
            at(src, 3),
            &[event("r", 1).refused(Code::SchemaInvalid, None, None)],
        ),
    )
    .await;
    store_one(&engine, batch(at(src, 4), &[event("a", 2)])).await; // in conflict with the first
    store_one(
        &engine,
        batch_of(
            "bob",
            at(src, 5),
            &[quarantined("q", Code::TimeImplausible)],
        ),
    )
    .await;
    store_one(&engine, batch(at(next, 1), &[unknown()])).await;
    let page = async |filter: &QuarantineFilter, after, limit| {
        store
            .quarantined(filter.clone(), after, limit)
            .await
            .unwrap()
    };
    let all = QuarantineFilter::default();
    let expected = [at(src, 2), at(src, 4), at(src, 5), at(next, 1)];
    assert_eq!(page(&all, None, 10).await, expected);
    assert_eq!(page(&all, None, 2).await, expected[..2]);
    assert_eq!(page(&all, Some(at(src, 4)), 10).await, expected[2..]);
    assert_eq!(page(&all, Some(at(next, 1)), 10).await, []);
    let bob = QuarantineFilter {
        developer: Some("bob".to_owned()),
        ..QuarantineFilter::default()
    };
    assert_eq!(page(&bob, None, 10).await, [at(src, 5)]);
    let conflicts = QuarantineFilter {
        code: Some(Code::IdConflict),
        ..QuarantineFilter::default()
    };
    assert_eq!(page(&conflicts, None, 10).await, [at(src, 4)]);
    let later = QuarantineFilter {
        from: Some(received_at(4)),
        ..QuarantineFilter::default()
    };
    assert_eq!(
        page(&later, None, 10).await,
        [at(src, 4), at(src, 5)],
        "from then on, that one included"
    );
    let moment = QuarantineFilter {
        to: Some(received_at(4)),
        ..later.clone()
    };
    assert_eq!(page(&moment, None, 10).await, [at(src, 4)]);
    let none = QuarantineFilter {
        from: Some(received_at(4)),
        ..bob.clone()
    };
    assert_eq!(page(&none, None, 10).await, [at(src, 5)]);
    let named = async |developer: Option<&str>, limit| {
        store
            .quarantined_as("q".to_owned(), developer.map(str::to_owned), limit)
            .await
            .unwrap()
    };
    let (first, second) = (event_at(src, 2, 1), event_at(src, 2, 2));
    assert_eq!(
        named(None, 9).await,
        [first, second, event_at(src, 5, 0), event_at(next, 1, 0)]
    );
    assert_eq!(named(None, 1).await, [first]);
    assert_eq!(named(Some("bob"), 9).await, [event_at(src, 5, 0)]);
    assert_eq!(
        store.quarantined_as("r".to_owned(), None, 9).await.unwrap(),
        [],
        "rejected is not quarantined"
    );
    assert_eq!(
        (
            store.newest(src).await.unwrap(),
            store.newest(next).await.unwrap()
        ),
        (5, 1)
    );
    assert_eq!(store.newest(next + 1).await.unwrap(), 0);
}

pub async fn a_quarantined_event_is_read_whole_with_its_ids_owner<E: Engine>() {
    let (engine, src) = fresh::<E>().await;
    let store = engine.store();
    let (one, two) = (
        quarantined("q", Code::TypeUnknown),
        quarantined("p", Code::SchemaVersionUnsupported),
    );
    let mut incoming = batch(
        at(src, 1),
        &[event("a", 1), one.clone(), two, event("a", 1)],
    );
    incoming.header.skew = 61_000_000;
    incoming.header.zone = Some("Asia/Kolkata".to_owned());
    let client = r#"{ "time_zone": "Europe/Berlin" }"#;
    let client = serde_json::value::RawValue::from_string(client.to_owned()).unwrap();
    incoming
        .header
        .envelope
        .insert("client".to_owned(), client.clone());
    let header = incoming.header.clone();
    store_one(&engine, incoming).await;
    let read = async || {
        store
            .quarantined_batch(at(src, 1), None)
            .await
            .unwrap()
            .unwrap()
    };
    let found = read().await;
    assert_eq!(
        (found.at, found.incarnation, &*found.developer),
        (at(src, 1), incarnation(T0), "ada")
    );
    assert_eq!(found.zone, header.zone);
    let texts = [
        &found.batch_id,
        &found.correlation_id,
        &found.traceparent,
        &found.schema_version,
        &found.sent_at,
        &found.collector,
    ];
    let sent_as = [
        &header.batch_id,
        &header.correlation_id,
        &header.traceparent,
        &header.schema_version,
        &header.sent_at,
        &header.collector,
    ];
    assert_eq!(texts, sent_as);
    assert_eq!(
        (found.skew, found.received_at),
        (61_000_000, header.received_at)
    );
    assert_eq!(found.client.as_deref(), Some(client.get().as_bytes()));
    let [first, second] = &found.events[..] else {
        panic!("{:?}", found.events)
    };
    assert_eq!(
        (first.ordinal, first.id.as_deref(), first.code),
        (1, Some("q"), Code::TypeUnknown)
    );
    assert_eq!(
        (first.pointer.as_deref(), first.detail.as_deref()),
        (Some("/type"), Some("nobody knows it"))
    );
    assert_eq!(
        (&first.body[..], first.hash),
        (one.text.as_bytes(), types::event::hash(one.text.as_bytes()))
    );
    assert_eq!((second.ordinal, second.owner, first.owner), (2, None, None));
    // The same in other bytes under one id, something else under the other.
    store_one(
        &engine,
        batch(
            at(src, 2),
            &[event("q", 1).spelled(1), sent(r#"{"id":"p","type":"x"}"#)],
        ),
    )
    .await;
    let owner: Vec<_> = read()
        .await
        .events
        .iter()
        .map(|event| event.owner)
        .collect();
    let by = |ordinal, same| {
        Some(IdOwner {
            by: event_at(src, 2, ordinal),
            same,
        })
    };
    assert_eq!(owner, [by(0, true), by(1, false)]);
    assert_eq!(
        store.quarantined_batch(at(src, 2), None).await.unwrap(),
        None,
        "it has none"
    );
    assert_eq!(
        store.quarantined_batch(at(src, 9), None).await.unwrap(),
        None,
        "there is none"
    );
}

/// In other batches, in one batch twice, and of another developer, reason or content.
pub async fn the_same_event_again_is_told_from_the_first<E: Engine>() {
    let (engine, src) = fresh::<E>().await;
    let store = engine.store();
    let q = || quarantined("q", Code::TypeUnknown);
    let other = || quarantined("q", Code::TimeImplausible);
    let content = event("q", 2).refused(Code::TypeUnknown, None, None);
    store_one(&engine, batch(at(src, 1), &[q(), event("a", 1), q()])).await;
    store_one(&engine, batch_of("bob", at(src, 2), &[q()])).await;
    store_one(&engine, batch(at(src, 3), &[other(), content, q()])).await;
    store_one(&engine, batch(at(src, 4), &[q(), other()])).await;
    let seen = async |seq, since| {
        let batch = store.quarantined_batch(at(src, seq), since).await.unwrap();
        let events = batch.unwrap().events;
        let row = |event: &store::QuarantinedEvent| {
            assert_eq!(event.again, event.last_received_at.is_none());
            match event.again {
                true => "again".to_owned(),
                false => format!("{}, last {:?}", event.times, event.last_received_at),
            }
        };
        events.iter().map(row).collect::<Vec<_>>()
    };
    let first = |times: u32, last| format!("{times}, last {:?}", Some(received_at(last)));
    let again = || "again".to_owned();
    assert_eq!(seen(1, None).await, [first(4, 4), again()]);
    assert_eq!(seen(2, None).await, [first(1, 2)], "another developer's");
    assert_eq!(seen(3, None).await, [first(2, 4), first(1, 3), again()]);
    assert_eq!(seen(4, None).await, [again(), again()]);
    let since = Some(received_at(3));
    assert_eq!(
        seen(3, since).await,
        [first(2, 4), first(1, 3), first(2, 4)]
    );
    engine.forget("ada", at(src, 3));
    assert_eq!(seen(4, None).await, [first(1, 4), first(1, 4)]);
}

pub async fn what_was_forgotten_is_in_no_quarantine<E: Engine>() {
    let (engine, src) = fresh::<E>().await;
    let store = engine.store();
    for seq in [1, 2] {
        store_one(
            &engine,
            batch(at(src, seq), &[quarantined("q", Code::TypeUnknown)]),
        )
        .await;
    }
    engine.forget("ada", at(src, 1));
    let listed = store
        .quarantined(QuarantineFilter::default(), None, 9)
        .await
        .unwrap();
    assert_eq!(listed, [at(src, 2)]);
    assert_eq!(
        store.quarantined_batch(at(src, 1), None).await.unwrap(),
        None
    );
    assert!(
        store
            .quarantined_batch(at(src, 2), None)
            .await
            .unwrap()
            .is_some()
    );
    assert_eq!(
        store.quarantined_as("q".to_owned(), None, 9).await.unwrap(),
        [event_at(src, 2, 0)]
    );
}

pub async fn a_readmitted_batch_names_its_origin_in_the_audit<E: Engine>() {
    let (engine, src) = fresh::<E>().await;
    let mut readmitted = batch(at(src, 7), &[event("q", 1)]);
    let origin = BatchOrigin {
        incarnation: incarnation(T0),
        seq: 1,
        batch_id: "b1".to_owned(),
        collector: "c/1".to_owned(),
        ordinals: vec![3],
    };
    readmitted.header.origin = Some(origin.clone());
    engine.forget("bob", at(src, 99));
    let mut of_bob = batch_of("bob", at(src, 8), &[event("q", 1)]);
    of_bob.header.origin = Some(origin.clone());
    engine
        .store()
        .store_batches(vec![readmitted, of_bob])
        .await
        .unwrap();
    let details = async |seq| {
        let audit = engine.store().audit(at(src, seq)).await.unwrap();
        let details = audit
            .into_iter()
            .filter_map(|entry| Some((entry.step, entry.detail?)));
        details.collect::<Vec<_>>()
    };
    let received = &engine.store().audit(at(src, 7)).await.unwrap()[0];
    assert_eq!(
        (received.step.as_str(), received.actor.as_str()),
        ("received", "c/1")
    );
    let [(step, detail)] = &details(7).await[..] else {
        panic!("one row of the audit has a detail")
    };
    let detail: Value = serde_json::from_str(detail).unwrap();
    assert_eq!(
        (step.as_str(), &detail["origin"]),
        ("validated", &serde_json::to_value(origin).unwrap())
    );
    assert_eq!(details(8).await, [], "nothing of who was forgotten");
}
