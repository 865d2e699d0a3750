//! Pages of an export: everything of one developer, in order, however it is cut.

use std::collections::BTreeSet;

use proptest::prelude::*;
use proptest::test_runner::{RngSeed, TestRunner};
use serde_json::value::RawValue;
use store::{ExportReads, ExportedEvent, Jobs, PageLimits};
use types::export::{AlertPosition, EventPosition, ExportRange};
use types::job::JobKind;
use types::time::{Micros, SECOND};
use types::verdict::Code;

use crate::build::{
    Engine, Event, HOUR, T0, at, batch, batch_of, event, fresh, received_at, sent, store_one,
};
use crate::cases::mixed;
use crate::work::{computed, day, done, found, looked, rules, stored, write_windows};

const ALL: PageLimits = PageLimits {
    rows: 1000,
    bytes: u64::MAX,
};

fn range(from: &str, to: &str) -> ExportRange {
    ExportRange {
        from: Some(from.to_owned()),
        to: Some(to.to_owned()),
    }
}

fn key(exported: &ExportedEvent) -> EventPosition {
    EventPosition {
        at: exported.event.effective_at,
        id: exported.event.id.clone(),
    }
}

/// Ada's events, page by page.
async fn pages<S: ExportReads>(
    store: &S,
    range: &ExportRange,
    limits: PageLimits,
) -> Vec<Vec<ExportedEvent>> {
    let mut pages = Vec::new();
    let mut after = None;
    loop {
        let page = store
            .export_events("ada".to_owned(), range.clone(), after, limits)
            .await
            .unwrap();
        let Some(last) = page.last() else {
            return pages;
        };
        after = Some(key(last));
        pages.push(page);
    }
}

pub async fn an_events_page_has_each_event_with_its_batch<E: Engine>() {
    let (engine, src) = fresh::<E>().await;
    let mut incoming = batch(at(src, 1), &mixed());
    let client = r#"{ "time_zone": "Europe/Berlin" }"#;
    let client = RawValue::from_string(client.to_owned()).unwrap();
    incoming
        .header
        .envelope
        .insert("client".to_owned(), client.clone());
    incoming.header.zone = Some("Asia/Kolkata".to_owned());
    store_one(&engine, incoming).await;
    store_one(&engine, batch_of("bob", at(src, 2), &[event("x", 1)])).await;
    let found = pages(engine.store(), &ExportRange::default(), ALL).await;
    let [page] = &found[..] else {
        panic!("one page: {found:?}")
    };
    let seen: Vec<_> = page
        .iter()
        .map(|one| (&*one.event.id, one.event.at))
        .collect();
    let place = |ordinal| at(src, 1).event(ordinal);
    assert_eq!(seen, [("a", place(0)), ("b", place(2))]);
    let first = &page[0];
    assert_eq!(
        (
            &*first.batch_id,
            first.received_at,
            first.event.zone.as_deref()
        ),
        ("batch-1", received_at(1), Some("Asia/Kolkata"))
    );
    assert_eq!(first.event.client.as_deref(), Some(client.get().as_bytes()));
    assert_eq!(first.event.body, event("a", 1).text.as_bytes());
}

pub async fn a_page_ends_by_rows_or_bytes_and_holds_one_row_at_least<E: Engine>() {
    let (engine, src) = fresh::<E>().await;
    let text = |id: &str, length: usize| {
        let fill = "y".repeat(length);
        sent(&format!(
            r#"{{"id":"{id}","type":"heartbeat","data":{{"s":"{fill}"}}}}"#
        ))
    };
    let events = [
        text("a", 9),
        text("b", 9).after(SECOND),
        text("c", 100_000).after(2 * SECOND),
        text("d", 9).after(3 * SECOND),
    ];
    store_one(&engine, batch(at(src, 1), &events)).await;
    let sizes = async |rows: u32, bytes: u64| -> Vec<usize> {
        let limits = PageLimits { rows, bytes };
        let pages = pages(engine.store(), &ExportRange::default(), limits).await;
        pages.iter().map(Vec::len).collect()
    };
    assert_eq!(sizes(3, u64::MAX).await, [3, 1]);
    assert_eq!(sizes(9, 1000).await, [2, 1, 1], "the long one alone");
    assert_eq!(sizes(9, 1).await, [1, 1, 1, 1]);
}

pub async fn events_are_exported_by_their_local_days<E: Engine>() {
    let (engine, src) = fresh::<E>().await;
    let on = |id: &str, after: Micros, day: &str| {
        let mut event = event(id, 1).after(after);
        event.note.day = Some(day.to_owned());
        event
    };
    // Far in the east it is a day later, far in the west a day earlier.
    let events = [
        on("west", 23 * HOUR, "2026-02-28"),
        on("here", 12 * HOUR, "2026-03-01"),
        on("east", HOUR, "2026-03-02"),
        on("later", 100 * HOUR, "2026-03-05"),
    ];
    store_one(&engine, batch(at(src, 1), &events)).await;
    let ids = async |from: &str, to: &str| {
        let pages = pages(engine.store(), &range(from, to), ALL).await;
        let ids = pages.into_iter().flatten().map(|one| one.event.id);
        ids.collect::<Vec<String>>().join(" ")
    };
    assert_eq!(ids("2026-03-01", "2026-03-01").await, "here");
    assert_eq!(ids("2026-02-28", "2026-03-02").await, "east here west");
    assert_eq!(ids("2026-03-06", "2026-03-31").await, "");
    assert_eq!(
        ids("1970-01-01", "2070-01-01").await,
        "east here west later"
    );
}

pub async fn refused_events_are_exported_in_the_order_received<E: Engine>() {
    let (engine, src) = fresh::<E>().await;
    let without_id = sent("no event").refused(Code::NotAnObject, Some(""), Some("no JSON"));
    store_one(
        &engine,
        batch(at(src, 2), &[without_id.clone(), event("a", 1)]),
    )
    .await;
    store_one(&engine, batch(at(src, 1), &mixed())).await;
    store_one(&engine, batch_of("bob", at(src, 3), &[without_id])).await;
    let mut seen = Vec::new();
    let mut after = None;
    let limits = PageLimits { rows: 2, ..ALL };
    loop {
        let page = engine
            .store()
            .export_refused("ada".to_owned(), after, limits);
        let page = page.await.unwrap();
        let Some(last) = page.last() else { break };
        assert!(page.len() <= 2);
        after = Some(last.at);
        seen.extend(page);
    }
    let places: Vec<_> = seen
        .iter()
        .map(|one| (one.at.seq, one.at.ordinal, one.code))
        .collect();
    assert_eq!(
        places,
        [
            (1, 1, Code::TypeUnknown),
            (1, 4, Code::SchemaInvalid),
            (1, 5, Code::IdConflict),
            (2, 0, Code::NotAnObject),
        ]
    );
    let [.., last] = &seen[..] else {
        panic!("{seen:?}")
    };
    assert_eq!(
        (
            last.event_id.as_deref(),
            &*last.body,
            &*last.batch_id,
            last.received_at
        ),
        (None, &b"no event"[..], "batch-2", received_at(2))
    );
    assert_eq!(last.detail.as_deref(), Some("no JSON"));
}

pub async fn days_and_alerts_are_exported_page_by_page<E: Engine>() {
    let (engine, src) = fresh::<E>().await;
    let body = stored(&engine, at(src, 1), &[event("a", 1)]).await;
    let names = ["2026-03-01", "2026-03-02", "2026-03-04"];
    let days = names.map(|name| day(name, computed(1, 1, name))).to_vec();
    write_windows(&engine, &body, Vec::new(), days).await;
    let windows = ["2026-03-01", "2026-03-03"]
        .map(|start| looked(&body, start, 1, Some(found(start, "a title"))));
    let jobs = vec![done(JobKind::Alert, &body)];
    engine
        .store()
        .finish_jobs(rules(windows.to_vec()), jobs)
        .await
        .unwrap();
    let store = engine.store();
    let limits = PageLimits { rows: 1, ..ALL };
    let days = async |range: ExportRange, after: Option<&str>| {
        let after = after.map(str::to_owned);
        let page = store.export_days("ada".to_owned(), range, after, limits);
        let days = page.await.unwrap().into_iter().map(|one| one.day);
        days.collect::<Vec<String>>().join(" ")
    };
    let all = ExportRange::default;
    assert_eq!(days(all(), None).await, "2026-03-01");
    assert_eq!(days(all(), Some("2026-03-01")).await, "2026-03-02");
    assert_eq!(
        days(range("2026-03-03", "2026-03-09"), None).await,
        "2026-03-04"
    );
    assert_eq!(days(all(), Some("2026-03-04")).await, "");
    let alerts = async |range: ExportRange, after: Option<&str>| {
        let after = after.map(|start| AlertPosition {
            window_start: start.to_owned(),
            id: format!("alert-{start}"),
        });
        let page = store.export_alerts("ada".to_owned(), range, after, limits);
        let alerts = page.await.unwrap().into_iter().map(|one| one.alert_id);
        alerts.collect::<Vec<String>>().join(" ")
    };
    assert_eq!(alerts(all(), None).await, "alert-2026-03-01");
    assert_eq!(alerts(all(), Some("2026-03-01")).await, "alert-2026-03-03");
    assert_eq!(
        alerts(range("2026-03-02", "2026-03-03"), None).await,
        "alert-2026-03-03"
    );
    assert_eq!(alerts(range("2026-03-04", "2026-03-05"), None).await, "");
    assert_eq!(alerts(all(), Some("2026-03-03")).await, "");
}

/// However events share instants and pages end, each is exported once, in order.
pub fn pages_of_any_size_give_each_event_once_in_order<E: Engine>() {
    let mut config = ProptestConfig::with_cases(6);
    config.rng_seed = RngSeed::Fixed(7);
    let scenario = (
        prop::collection::btree_map("[!-~]{1,3}", 0..4_i64, 1..40),
        prop::collection::vec(1..9_u32, 1..4),
    );
    let runtime = tokio::runtime::Runtime::new().unwrap();
    TestRunner::new(config)
        .run(&scenario, |(events, rows)| {
            runtime.block_on(async {
                let (engine, src) = fresh::<E>().await;
                let escaped = |id: &str| id.replace('\\', "\\\\").replace('"', "\\\"");
                let sent: Vec<Event> = events
                    .iter()
                    .map(|(id, second)| event(&escaped(id), 1).after(second * SECOND))
                    .collect();
                store_one(&engine, batch(at(src, 1), &sent)).await;
                let expected: BTreeSet<EventPosition> = events
                    .iter()
                    .map(|(id, second)| EventPosition {
                        at: T0 + second * SECOND,
                        id: id.clone(),
                    })
                    .collect();
                for rows in rows {
                    let limits = PageLimits { rows, ..ALL };
                    let pages = pages(engine.store(), &ExportRange::default(), limits).await;
                    let keys: Vec<EventPosition> = pages.iter().flatten().map(key).collect();
                    prop_assert_eq!(&keys, &expected.iter().cloned().collect::<Vec<_>>());
                }
                Ok(())
            })
        })
        .unwrap();
}
