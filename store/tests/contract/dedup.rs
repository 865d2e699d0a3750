//! The owner of an event id, the outcome of the other submissions, and what that does to batches and hours.

use serde_json::{Value, json};
use store::{Persist, StreamNames, VerifyReads};
use types::audit::Step;
use types::id::EventRef;
use types::job::BatchState;
use types::time::rfc3339;
use types::verdict::Code;

use crate::build::{
    Engine, H0, HOUR, T0, at, batch, batch_of, counts, event, event_at, fresh, incarnation,
    received_at, store_one,
};
use crate::dump::{Cell, Dump};

/// Each duplicate with its original, batch id and receipt included, through the view.
fn originals(dump: &Dump) -> Vec<(EventRef, EventRef, String, i64)> {
    let rows = dump.rows("duplicates_with_originals").iter().map(|row| {
        let batch_id = row.text("original_batch_id").to_owned();
        (
            row.at(),
            row.reference("original_"),
            batch_id,
            row.int("original_received_at"),
        )
    });
    rows.collect()
}

fn named(duplicate: EventRef, original: EventRef) -> (EventRef, EventRef, String, i64) {
    (
        duplicate,
        original,
        format!("batch-{}", original.seq),
        received_at(original.seq),
    )
}

fn detail(ordinal: u32, original: EventRef) -> Value {
    json!({"ordinal": ordinal, "original": {
        "src": original.src, "seq": original.seq, "ordinal": original.ordinal,
        "batch_id": format!("batch-{}", original.seq), "received_at": rfc3339(received_at(original.seq)),
    }})
}

fn details(dump: &Dump, seq: u64, step: Step) -> Vec<(String, Value)> {
    let rows = dump.audit(seq, step).into_iter().map(|(_, person)| {
        (
            person.event_id.unwrap(),
            serde_json::from_str(&person.detail.unwrap()).unwrap(),
        )
    });
    let mut details: Vec<(String, Value)> = rows.collect();
    details.sort_by_key(|(_, detail)| detail["ordinal"].as_u64());
    details
}

pub async fn a_duplicate_names_its_original<E: Engine>() {
    let (store, src) = fresh::<E>().await;
    store_one(
        &store,
        batch(at(src, 3), &[event("x", 0), event("a", 1), event("b", 1)]),
    )
    .await;
    let again = batch(
        at(src, 8),
        &[event("b", 1), event("c", 1), event("a", 1), event("c", 1)],
    );
    assert_eq!(store_one(&store, again).await.counts, counts([1, 3, 0, 0]));
    let dump = store.dump();
    let (b, a, c) = (
        event_at(src, 3, 2),
        event_at(src, 3, 1),
        event_at(src, 8, 1),
    );
    let here = |ordinal| event_at(src, 8, ordinal);
    assert_eq!(
        originals(&dump),
        [named(here(0), b), named(here(2), a), named(here(3), c)]
    );
    let audit = [
        ("b", detail(0, b)),
        ("a", detail(2, a)),
        ("c", detail(3, c)),
    ];
    assert_eq!(
        details(&dump, 8, Step::Deduplicated),
        audit.map(|(id, detail)| (id.to_owned(), detail))
    );
    assert!(
        dump.audit(8, Step::Deduplicated)
            .iter()
            .all(|(row, _)| row.outcome == "duplicate_id")
    );
    assert_eq!(dump.audit(3, Step::Deduplicated), []);
}

pub async fn the_lower_reference_owns_an_id_in_either_order<E: Engine>() {
    let one = |at| batch(at, &[event("other", 0), event("e", 1).after(HOUR)]);
    let two = |at| batch(at, &[event("e", 2).spelled(1), event("e", 3)]);
    for late_is_first in [false, true] {
        for another_life in [false, true] {
            let (store, src) = fresh::<E>().await;
            let later = store.store().source(&incarnation(T0 + 1)).await.unwrap();
            assert!(later > src, "a later incarnation has a higher number");
            let (low, high) = (
                at(src, 7),
                if another_life {
                    at(later, 1)
                } else {
                    at(src, 8)
                },
            );
            let mut order = [one(low), two(high)];
            if late_is_first {
                order.reverse();
            }
            for batch in order {
                store_one(&store, batch).await;
            }
            let dump = store.dump();
            let owner = dump.of_event("events", low.event(1));
            assert_eq!(owner[0].text("event_id"), "e");
            assert_eq!(owner[0].bytes("body"), event("e", 1).text.as_bytes());
            assert_eq!(owner[0].int("effective_at"), T0 + HOUR);
            assert_eq!(
                (dump.rows("events").len(), dump.rows("duplicates").len()),
                (2, 0)
            );
            for (ordinal, sent) in [(0, event("e", 2).spelled(1)), (1, event("e", 3))] {
                let [refused] = dump.of_event("refused", high.event(ordinal))[..] else {
                    panic!("{ordinal} of {dump:?}")
                };
                assert_eq!(refused.bytes("body"), sent.text.as_bytes());
                assert_eq!(
                    refused.bytes("hash"),
                    types::event::hash(sent.text.as_bytes())
                );
                assert_eq!(refused.text("event_id"), "e");
                assert_eq!(refused.text("verdict"), "quarantined");
                assert_eq!(refused.text("code"), Code::IdConflict.as_str());
            }
            if !late_is_first {
                let named = |ordinal| ("e".to_owned(), detail(ordinal, low.event(1)));
                assert_eq!(
                    details(&dump, high.seq, Step::Refused),
                    [named(0), named(1)]
                );
            }
        }
    }
}

pub async fn an_equivalent_event_is_a_duplicate_that_keeps_its_bytes<E: Engine>() {
    let spelled = |spelling| event("e", 1).spelled(spelling);
    let batches = |src| {
        [
            (4, spelled(0)),
            (5, spelled(1)),
            (6, spelled(0)),
            (7, spelled(2)),
            (8, spelled(2)),
        ]
        .map(|(seq, event)| batch(at(src, seq), &[event]))
    };
    for order in [[0, 1, 2, 3, 4], [3, 4, 2, 1, 0], [4, 1, 3, 0, 2]] {
        let (store, src) = fresh::<E>().await;
        for index in order {
            store_one(&store, batches(src)[index].clone()).await;
        }
        let dump = store.dump();
        assert_eq!(
            dump.of_event("events", event_at(src, 4, 0))[0].bytes("body"),
            spelled(0).text.as_bytes()
        );
        let own = |spelling| Cell::Bytes(spelled(spelling).text.into_bytes());
        let kept: Vec<_> = dump
            .rows("duplicates")
            .iter()
            .map(|row| (row.at().seq, row.cell("body").clone()))
            .collect();
        assert_eq!(
            kept,
            [(5, own(1)), (6, Cell::Null), (7, own(2)), (8, own(2))],
            "{order:?}"
        );
        assert_eq!(
            (dump.rows("events").len(), dump.rows("refused").len()),
            (1, 0)
        );
    }
}

pub async fn a_late_original_is_named_by_all_that_came_before_it<E: Engine>() {
    let (store, src) = fresh::<E>().await;
    let unlike = event("e", 1).refused(Code::TypeUnknown, None, None);
    for (seq, content) in [(5, 1), (6, 1), (7, 2), (3, 2), (9, 1), (2, 1)] {
        store_one(
            &store,
            batch(at(src, seq), &[event("e", content), unlike.clone()]),
        )
        .await;
    }
    store_one(&store, batch_of("bob", at(src, 1), &[event("e", 1)])).await;
    let dump = store.dump();
    let first = |seq| event_at(src, seq, 0);
    assert_eq!(
        originals(&dump),
        [5, 6, 9].map(|seq| named(first(seq), first(2)))
    );
    let refused: Vec<_> = dump
        .rows("refused")
        .iter()
        .map(|row| (row.at(), row.text("code")))
        .collect();
    let mut expected = [2, 3, 5, 6, 7, 9]
        .map(|seq| (event_at(src, seq, 1), "type_unknown"))
        .to_vec();
    expected.extend([3, 7].map(|seq| (first(seq), "id_conflict")));
    expected.sort_unstable();
    assert_eq!(refused, expected);
    assert_eq!(
        dump.rows("events")
            .iter()
            .map(|row| row.at())
            .collect::<Vec<_>>(),
        [first(1), first(2)]
    );
}

pub async fn a_batch_that_brings_nothing_new_needs_no_job<E: Engine>() {
    let (store, src) = fresh::<E>().await;
    let bad = || event("r", 0).refused(Code::SchemaInvalid, None, None);
    let batches = [
        (
            5,
            vec![event("a", 1), event("b", 1), bad()],
            7,
            counts([2, 0, 1, 0]),
        ),
        (
            6,
            vec![event("b", 1), event("a", 1), event("a", 2)],
            0,
            counts([0, 2, 0, 1]),
        ),
        (7, vec![bad(), bad()], 0, counts([0, 0, 2, 0])),
        (
            8,
            vec![event("a", 1), event("new", 1).after(HOUR)],
            7,
            counts([1, 1, 0, 0]),
        ),
        // Its event supersedes a stored one: what was computed from that is outdated.
        (4, vec![event("a", 1)], 7, counts([1, 0, 0, 0])),
        (9, vec![], 0, counts([0; 4])),
    ];
    for (seq, events, need, counts) in batches {
        let stored = store_one(&store, batch(at(src, seq), &events)).await;
        let state = if need == 0 {
            BatchState::Completed
        } else {
            BatchState::Persisted
        };
        assert_eq!(
            (stored.counts, stored.state, stored.already),
            (counts, state, false),
            "batch {seq}"
        );
        let dump = store.dump();
        let row = dump
            .rows("batches")
            .iter()
            .find(|row| row.int("seq") == seq as i64)
            .unwrap();
        assert_eq!(
            (row.int("need"), row.text("state")),
            (need, state.as_str()),
            "batch {seq}"
        );
        assert_eq!((row.int("done"), row.int("failed")), (0, 0));
        let kept = [
            "received",
            "accepted",
            "duplicate",
            "rejected",
            "quarantined",
        ]
        .map(|part| row.int(part));
        let parts = [
            counts.received,
            counts.accepted,
            counts.duplicate,
            counts.rejected,
            counts.quarantined,
        ];
        assert_eq!(kept, parts.map(i64::from), "batch {seq}");
        let job: Value = serde_json::from_str(row.text("job_body")).unwrap();
        let new = job["counts_by_type"]["heartbeat"]
            .as_u64()
            .unwrap_or_default();
        assert_eq!(
            new,
            u64::from(counts.accepted),
            "the jobs of batch {seq} hear of its new events"
        );
        assert_eq!(
            dump.audit(seq, Step::Completed).len(),
            usize::from(need == 0),
            "batch {seq}"
        );
    }
}

pub async fn the_generations_of_exactly_the_touched_hours_rise<E: Engine>() {
    let (store, src) = fresh::<E>().await;
    let late = |id: &str, content, hours| event(id, content).after(hours * HOUR + 5);
    let minute = HOUR / 60;
    let steps = [
        (
            "new events",
            10,
            vec![
                late("a", 1, 0),
                event("b", 1).after(HOUR - 1),
                late("c", 1, 1),
            ],
            vec![0, 1],
        ),
        (
            "duplicates and a conflict",
            11,
            vec![late("a", 1, 5), late("c", 2, 6)],
            vec![],
        ),
        (
            "refused",
            12,
            vec![late("r", 1, 7).refused(Code::TypeUnknown, None, None)],
            vec![],
        ),
        (
            "a new one beside a duplicate",
            13,
            vec![late("d", 1, 1), late("a", 1, 0)],
            vec![1],
        ),
        (
            "an earlier original at another hour",
            9,
            vec![late("c", 1, 3)],
            vec![1, 3],
        ),
        (
            "and one at the same hour",
            8,
            vec![event("a", 2).after(minute)],
            vec![0],
        ),
        (
            "events before the tests' time",
            14,
            vec![late("f", 1, -1)],
            vec![-1],
        ),
    ];
    let mut expected = std::collections::BTreeMap::new();
    for (why, seq, events, touched) in steps {
        store_one(&store, batch(at(src, seq), &events)).await;
        touched
            .iter()
            .for_each(|hour| *expected.entry(H0 + hour).or_insert(0) += 1);
        assert_eq!(store.dump().hours("ada"), expected, "{why}");
    }
    store_one(&store, batch_of("bob", at(src, 20), &[event("a", 1)])).await;
    assert_eq!(
        store.dump().hours("ada"),
        expected,
        "another developer's hour"
    );
    assert_eq!(store.dump().hours("bob"), [(H0, 1)].into());
}

pub async fn a_recreated_stream_is_another_source<E: Engine>() {
    let (store, old) = fresh::<E>().await;
    let new = store.store().source(&incarnation(T0 + HOUR)).await.unwrap();
    assert_ne!(old, new);
    assert_eq!(
        store.store().source(&incarnation(T0)).await.unwrap(),
        old,
        "an incarnation keeps its number"
    );
    let numbered = store.store().incarnation(new).await.unwrap();
    assert_eq!(numbered, Some(incarnation(T0 + HOUR)));
    assert_eq!(store.store().incarnation(new + 1).await.unwrap(), None);
    let mut names = StreamNames::default();
    assert_eq!(names.of(store.store(), old).await.unwrap(), "EVENTS");
    assert!(names.of(store.store(), new + 1).await.is_err());
    let first = store_one(&store, batch(at(old, 1), &[event("a", 1), event("b", 1)])).await;
    let second = store_one(&store, batch(at(new, 1), &[event("a", 1), event("b", 1)])).await;
    assert_eq!((first.counts, first.already), (counts([2, 0, 0, 0]), false));
    assert_eq!(
        (second.counts, second.already),
        (counts([0, 2, 0, 0]), false)
    );
    let named = |ordinal| named(event_at(new, 1, ordinal), event_at(old, 1, ordinal));
    let dump = store.dump();
    assert_eq!(originals(&dump), [named(0), named(1)]);
    let stored = dump
        .rows("batches")
        .iter()
        .map(|row| (row.int("src"), row.int("seq")));
    assert_eq!(stored.collect::<Vec<_>>(), [(old, 1), (new, 1)]);
}
