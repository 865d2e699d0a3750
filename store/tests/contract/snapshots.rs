//! What jobs read: events in their order, and hours with their generations, of one moment.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::value::RawValue;
use store::{Hour, HourRange, Jobs, Partial, PartialRow, Persist, ReadPlan, SnapshotRequest};
use types::batch::Header;
use types::job::JobKind;
use types::time::{SECOND, utc_hour};

use crate::build::{Engine, H0, HOUR, T0, at, batch, batch_of, event, event_at, fresh, store_one};
use crate::work::{all_of, computed, ids, partial, read_hours, stored, write_windows};

fn range(first: i64, last: i64) -> HourRange {
    HourRange {
        first: H0 + first,
        last: H0 + last,
    }
}

/// Lets the envelope have a client.
fn with_client(header: &mut Header, client: &str) {
    header.envelope.insert(
        "client".to_owned(),
        RawValue::from_string(client.to_owned()).unwrap(),
    );
}

pub async fn a_batchs_job_reads_its_events_in_the_order_sent<E: Engine>() {
    let (engine, src) = fresh::<E>().await;
    let client = "{ \"time_zone\":\t\"Europe/Berlin\" }";
    let sent: Vec<_> = (0..40)
        .map(|n| event(&format!("e{:02}", 99 - n), n).after(-i64::from(n) * SECOND))
        .collect();
    let mut first = batch(at(src, 2), &sent);
    with_client(&mut first.header, client);
    first.header.zone = Some("Asia/Kolkata".to_owned());
    store_one(&engine, first).await;
    // Holds one of its own, one of the first batch, and one whose id an earlier batch will own.
    let second = [
        event("z", 1),
        event("e99", 0),
        event("taken", 1),
        event("a", 1),
    ];
    store_one(&engine, batch(at(src, 3), &second)).await;
    store_one(&engine, batch_of("bob", at(src, 4), &[event("e99", 0)])).await;
    store_one(&engine, batch(at(src, 1), &[event("taken", 1)])).await;
    let asked = vec![at(src, 3), at(src, 2), at(src, 3), at(src, 77)];
    let events = engine.store().events_of(asked).await.unwrap();
    let places: Vec<_> = events.iter().map(|event| event.at).collect();
    let mut expected: Vec<_> = (0..40).map(|ordinal| event_at(src, 2, ordinal)).collect();
    expected.extend([event_at(src, 3, 0), event_at(src, 3, 3)]);
    assert_eq!(places, expected);
    assert_eq!(ids(&events[39..]), ["e60", "z", "a"]);
    let first = &events[1];
    assert_eq!(
        (&*first.kind, &*first.schema_version, &*first.local_day),
        ("heartbeat", "1.0", "2026-03-01")
    );
    assert_eq!(
        (first.effective_at, &first.body[..]),
        (T0 - SECOND, sent[1].text.as_bytes())
    );
    assert_eq!(first.client.as_deref(), Some(client.as_bytes()));
    assert_eq!(events[40].client, None);
    assert_eq!(first.zone.as_deref(), Some("Asia/Kolkata"));
    assert_eq!(events[40].zone, None);
}

pub async fn overlapping_ranges_give_each_hour_and_event_once<E: Engine>() {
    let (engine, src) = fresh::<E>().await;
    let events = [
        event("before", 1).after(-1),
        event("b", 1),
        event("a", 1),
        event("last", 1).after(HOUR - 1),
        event("next", 1).after(HOUR),
        event("far", 1).after(5 * HOUR),
    ];
    store_one(&engine, batch(at(src, 1), &events)).await;
    store_one(&engine, batch_of("bob", at(src, 2), &[event("bobs", 1)])).await;
    let once = all_of(&engine, vec![range(0, 1)]).await;
    assert_eq!(
        ids(&once.events),
        ["a", "b", "last", "next"],
        "by time, then id"
    );
    assert_eq!(
        once.plan,
        BTreeMap::from([(H0, unread(1)), (H0 + 1, unread(1))])
    );
    let overlapping = vec![
        range(1, 3),
        range(0, 1),
        range(0, 0),
        range(2, 1),
        range(1, 1),
    ];
    assert_eq!(all_of(&engine, overlapping).await, once);
    let all = all_of(&engine, vec![range(-9, -1), range(5, 5), range(0, 4)]).await;
    assert_eq!(
        ids(&all.events),
        ["before", "a", "b", "last", "next", "far"]
    );
    assert_eq!(
        all.plan.keys().copied().collect::<Vec<_>>(),
        [H0 - 1, H0, H0 + 1, H0 + 5]
    );
    let none = all_of(&engine, vec![range(2, 4)]).await;
    assert!(none.plan.is_empty() && none.events.is_empty());
    assert_eq!(all_of(&engine, Vec::new()).await, none);
}

/// An hour that no job has computed yet.
fn unread(generation: i64) -> Hour {
    Hour {
        generation,
        partial: None,
        changes: Vec::new(),
    }
}

pub async fn a_snapshot_reads_the_events_that_its_plan_asks_for<E: Engine>() {
    let (engine, src) = fresh::<E>().await;
    let in_hour = |id: &str, hour: i64| event(id, 1).after(hour * HOUR + SECOND);
    let events = [in_hour("a0", 0), in_hour("b1", 1), in_hour("c2", 2)];
    let body = stored(&engine, at(src, 1), &events).await;
    let partials = vec![
        partial(H0, computed(1, 2, "of the aggregate role")),
        PartialRow {
            kind: JobKind::Alert,
            made_with: "rules".to_owned(),
            ..partial(H0, computed(1, 7, "of the alert role"))
        },
    ];
    write_windows(&engine, &body, partials.clone(), Vec::new()).await;
    for (kind, kept) in [(JobKind::Aggregate, 0), (JobKind::Alert, 1)] {
        let found = read_hours(&engine, kind, vec![range(0, 3)], |hours| {
            let unread = |(hour, found): (&i64, &Hour)| found.partial.is_none().then_some(*hour);
            hours.iter().filter_map(unread).collect()
        })
        .await;
        assert_eq!(ids(&found.events), ["b1", "c2"]);
        let kept = Hour {
            partial: Some(Partial {
                computed: partials[kept].computed.clone(),
                made_with: partials[kept].made_with.clone(),
            }),
            ..unread(1)
        };
        let expected = [(H0, kept), (H0 + 1, unread(1)), (H0 + 2, unread(1))];
        assert_eq!(found.plan, expected.into(), "each kind has its own partial");
    }
}

/// docs/decisions/0012-an-hour-knows-what-changed.md: what came, moved or left since the partial was computed.
pub async fn an_hour_tells_where_it_changed_since_its_partial<E: Engine>() {
    let (engine, src) = fresh::<E>().await;
    let minute = |id: &str, minute: i64| event(id, 1).after(minute * 60 * SECOND);
    let body = stored(&engine, at(src, 10), &[minute("a", 5), minute("b", 9)]).await;
    write_windows(
        &engine,
        &body,
        vec![partial(H0, computed(1, 1, "of a and b"))],
        Vec::new(),
    )
    .await;
    let changes = async || {
        let found = all_of(&engine, vec![range(0, 0)]).await;
        let hour = &found.plan[&H0];
        let told = hour.changes.iter().map(|change| {
            let minutes = |at| (at - T0) / (60 * SECOND);
            let span = change.span;
            (change.generation, minutes(span.first), minutes(span.last))
        });
        let computed = hour
            .partial
            .as_ref()
            .map(|partial| partial.computed.generation);
        let told_to = hour.changes.last().map(|change| change.generation);
        assert_eq!(told_to.or(computed), Some(hour.generation));
        told.collect::<Vec<_>>()
    };
    assert_eq!(changes().await, []);
    // Two batches of one group may be one change.
    let group = vec![
        batch(at(src, 11), &[minute("c", 20), minute("d", 40)]),
        batch(at(src, 12), &[minute("e", 30), minute("far", 70)]),
    ];
    engine.store().store_batches(group).await.unwrap();
    let two = changes().await;
    assert!(
        two == [(2, 20, 40), (3, 30, 30)] || two == [(3, 20, 40)],
        "{two:?}"
    );
    // The event `b` came earlier, and was an hour's end: it leaves one place and enters another.
    store_one(&engine, batch(at(src, 1), &[minute("b", 59)])).await;
    assert_eq!(changes().await.last(), Some(&(4, 9, 59)));
    let newer = all_of(&engine, vec![range(0, 0)]).await.plan[&H0].generation;
    write_windows(
        &engine,
        &body,
        vec![partial(H0, computed(newer, 1, "of all"))],
        Vec::new(),
    )
    .await;
    assert_eq!(changes().await, [], "only what came since");
}

/// Each batch brings one event to each of two hours: a generation is a number of events.
pub async fn a_snapshot_is_of_one_moment_while_others_write<E: Engine>() {
    const BATCHES: u64 = 60;
    let (engine, src) = fresh::<E>().await;
    let (store, ended) = (engine.store().clone(), Arc::new(AtomicBool::new(false)));
    let writer_ended = ended.clone();
    let (read, mut reads) = tokio::sync::watch::channel(0_u64);
    let reader = tokio::spawn(async move {
        let mut moments = std::collections::BTreeSet::new();
        loop {
            let last = writer_ended.load(Ordering::Acquire);
            let ranges = vec![range(0, 0), range(7, 7)];
            let request = SnapshotRequest {
                developer: "ada".to_owned(),
                kind: JobKind::Aggregate,
                ranges,
            };
            let all = |hours: BTreeMap<i64, Hour>| ReadPlan {
                plan: hours,
                spans: vec![range(0, 7).span()],
            };
            let snapshot = store.snapshot(request, all).await.unwrap();
            let mut seen: BTreeMap<i64, i64> = BTreeMap::new();
            snapshot
                .events
                .iter()
                .for_each(|event| *seen.entry(utc_hour(event.effective_at)).or_default() += 1);
            let generations: BTreeMap<i64, i64> = snapshot
                .plan
                .iter()
                .map(|(hour, found)| (*hour, found.generation))
                .collect();
            assert_eq!(seen, generations, "as many events as the generations say");
            assert_eq!(
                seen.get(&H0),
                seen.get(&(H0 + 7)),
                "both hours of the same moment"
            );
            moments.insert(seen.get(&H0).copied());
            read.send_modify(|reads| *reads += 1);
            if last {
                return (moments.len(), seen);
            }
        }
    });
    for seq in 1..=BATCHES {
        let events = [
            event(&format!("x{seq}"), 1),
            event(&format!("y{seq}"), 1).after(7 * HOUR),
        ];
        engine
            .store()
            .store_batches(vec![batch(at(src, seq), &events)])
            .await
            .unwrap();
        if seq.is_multiple_of(20) {
            // The reader must have had its turn: on a busy machine the writer could be done before it.
            let before = *reads.borrow_and_update();
            reads.wait_for(|reads| *reads > before + 1).await.unwrap();
        }
    }
    ended.store(true, Ordering::Release);
    let (moments, seen) = reader.await.unwrap();
    assert_eq!(seen.get(&H0).copied(), Some(BATCHES as i64));
    assert!(moments > 1, "the reader read beside the writer");
}
