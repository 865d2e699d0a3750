//! What administrators list.

use store::{Jobs, Listings};
use types::job::JobKind;

use crate::build::{Engine, HOUR, at, batch_of, event, fresh, store_one};
use crate::work::{done, found, ids, looked, rules, stored};

pub async fn everyone_with_a_batch_is_known<E: Engine>() {
    let (engine, src) = fresh::<E>().await;
    let store = engine.store();
    assert!(store.known_developers().await.unwrap().is_empty());
    for (seq, who) in (1..).zip(["bob", "ada", "bob"]) {
        let events = [event(&seq.to_string(), 1)];
        store_one(&engine, batch_of(who, at(src, seq), &events)).await;
    }
    assert_eq!(store.known_developers().await.unwrap(), ["ada", "bob"]);
}

pub async fn the_newest_events_of_one_developer_come_first<E: Engine>() {
    let (engine, src) = fresh::<E>().await;
    let store = engine.store();
    let mine = [
        event("middle", 1).after(HOUR),
        event("oldest", 1),
        event("newest", 1).after(2 * HOUR),
        event("newer", 1).after(2 * HOUR),
    ];
    store_one(&engine, batch_of("ada", at(src, 1), &mine)).await;
    let others = [event("other", 1).after(3 * HOUR)];
    store_one(&engine, batch_of("bob", at(src, 2), &others)).await;
    let newest = async |who: &str, limit| {
        let events = store.newest_events(who.to_owned(), limit).await.unwrap();
        ids(&events).join(" ")
    };
    assert_eq!(newest("ada", 9).await, "newest newer middle oldest");
    assert_eq!(newest("ada", 2).await, "newest newer");
    assert_eq!(newest("eve", 9).await, "");
    let event = store.newest_events("bob".to_owned(), 1).await.unwrap();
    assert_eq!(event[0].at, at(src, 2).event(0));
}

pub async fn an_alert_is_found_by_its_id<E: Engine>() {
    let (engine, src) = fresh::<E>().await;
    let store = engine.store();
    let body = stored(&engine, at(src, 1), &[event("a", 1)]).await;
    let windows = vec![looked(&body, "2026-03-02", 1, Some(found("x", "a title")))];
    store
        .finish_jobs(rules(windows), vec![done(JobKind::Alert, &body)])
        .await
        .unwrap();
    let alert = store.alert("alert-x".to_owned()).await.unwrap().unwrap();
    assert_eq!(
        (&*alert.title, &*alert.developer, &*alert.state),
        ("a title", "ada", "raised")
    );
    assert_eq!(store.alert("alert-y".to_owned()).await.unwrap(), None);
}
