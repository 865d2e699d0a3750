//! Storing once, keeping exactly, and what a batch leaves beside its events.

use store::{DecodedBatch, Persist};
use types::audit::{Personal, Step};
use types::id::EventRef;
use types::job::BatchState;
use types::time::SECOND;
use types::verdict::{Code, Counts};

use crate::build::{
    ACTOR, COLLECTOR, Engine, Event, HOUR, T0, at, batch, batch_of, counts, event, event_at, fresh,
    incarnation, received_at, sent, store_one,
};
use crate::dump::Cell;

/// What T1 may write.
const OWN_TABLES: [&str; 10] = [
    "sources",
    "developers",
    "batches",
    "events",
    "refused",
    "duplicates",
    "hour_changes",
    "hours",
    "audit",
    "audit_personal",
];

/// Two new events, two refused ones, a duplicate and a conflict.
pub fn mixed() -> Vec<Event> {
    vec![
        event("a", 1),
        event("q", 1).refused(Code::TypeUnknown, None, None),
        event("b", 1).after(HOUR),
        event("a", 1),
        event("r", 1).refused(Code::SchemaInvalid, Some("/data"), Some("no")),
        event("b", 2),
    ]
}

pub async fn a_batch_stored_twice_is_stored_once_and_reported_so<E: Engine>() {
    let (store, src) = fresh::<E>().await;
    let (mixed, nothing_new) = (
        batch(at(src, 1), &mixed()),
        batch(at(src, 2), &[event("a", 1)]),
    );
    let stored = store
        .store()
        .store_batches(vec![mixed.clone(), nothing_new.clone(), mixed.clone()])
        .await
        .unwrap();
    let answer: Vec<_> = stored
        .iter()
        .map(|stored| (stored.at.seq, stored.already))
        .collect();
    assert_eq!(answer, [(1, false), (1, true), (2, false)]);
    let dump = store.dump();
    assert_eq!(dump.rows("batches").len(), 2);
    for (again, state) in [
        (mixed, BatchState::Persisted),
        (nothing_new, BatchState::Completed),
    ] {
        let at = again.at;
        let stored = store_one(&store, again).await;
        assert_eq!((stored.at, stored.already, stored.state), (at, true, state));
        assert_eq!(stored.counts, Counts::default());
    }
    assert_eq!(store.dump(), dump);
}

pub async fn the_values_of_an_event_are_stored_exactly<E: Engine>() {
    let (store, src) = fresh::<E>().await;
    let text = "{ \"type\" :\t\"editor.focused\",\n \"id\":\"\\u0065!~\", \"schema_version\": \"1.7\", \
        \"n\": 1.50e0, \"s\":\"\\u0000 ü😀\u{202e}\\ud83d\\ude00\" , \"n2\":-0.0}";
    let mut odd = sent(text).after(123_456_789);
    odd.note.day = Some("2026-02-28".to_owned());
    let mut incoming = batch(at(src, 77), &[event("plain", 1), odd]);
    // The format holds text only; the store must not care.
    let every_byte: Vec<u8> = (0..=255).collect();
    incoming.admitted[0].body.clone_from(&every_byte);
    store_one(&store, incoming).await;
    let dump = store.dump();
    let row = dump.of_event("events", event_at(src, 77, 1))[0];
    assert_eq!(row.bytes("body"), text.as_bytes());
    assert_eq!(row.bytes("hash"), types::event::hash(text.as_bytes()));
    assert_eq!(
        (row.text("developer"), row.text("event_id")),
        ("ada", "e!~")
    );
    assert_eq!(
        (row.text("type"), row.text("schema_version")),
        ("editor.focused", "1.7")
    );
    assert_eq!(
        (row.int("effective_at"), row.text("local_day")),
        (T0 + 123_456_789, "2026-02-28")
    );
    let row = dump.of_event("events", event_at(src, 77, 0))[0];
    assert_eq!(row.bytes("body"), every_byte);
    assert_eq!(
        (row.text("schema_version"), row.text("local_day")),
        ("1.0", "2026-03-01")
    );
}

pub async fn a_batchs_events_read_in_ordinal_order_are_in_the_order_sent<E: Engine>() {
    let (store, src) = fresh::<E>().await;
    let event = |n: u32| {
        // Ids and times fall while ordinals rise; some events end up in the other tables.
        let event = event(&format!("e{:04}", 999 - n), n).after(-i64::from(n) * SECOND);
        if n.is_multiple_of(7) {
            event.refused(Code::TypeUnknown, None, None)
        } else {
            event
        }
    };
    let mut events: Vec<Event> = (0..300).map(event).collect();
    events[280] = events[10].clone();
    store_one(&store, batch(at(src, 1), &events)).await;
    let dump = store.dump();
    let tables = ["events", "refused", "duplicates"]
        .iter()
        .flat_map(|table| dump.rows(table));
    let mut kept: Vec<(EventRef, &str)> =
        tables.map(|row| (row.at(), row.text("event_id"))).collect();
    kept.sort_unstable();
    let expected = events
        .iter()
        .zip(0..)
        .map(|(event, ordinal)| (event_at(src, 1, ordinal), &event.text));
    assert_eq!(kept.len(), events.len());
    for ((at, id), (expected, text)) in kept.into_iter().zip(expected) {
        assert!(
            at == expected && text.contains(id),
            "{at} is {id}, sent was {text} at {expected}"
        );
    }
}

pub async fn refused_events_are_kept_whole<E: Engine>() {
    let (store, src) = fresh::<E>().await;
    let (pointer, detail) = (Some("/data/ä~1b"), Some("is no \"number\""));
    let events = [
        sent("[ 1,\n\"\\u0000\"]").refused(Code::NotAnObject, None, detail),
        sent(r#"{"id":" "}"#).refused(Code::IdInvalid, Some("/id"), None),
        event("a", 1).refused(Code::SchemaInvalid, pointer, detail),
        event("a", 1)
            .spelled(1)
            .refused(Code::SchemaVersionUnsupported, pointer, None),
        event("a", 1),
    ];
    let stored = store_one(&store, batch(at(src, 1), &events)).await;
    assert_eq!(stored.counts, counts([1, 0, 3, 1]));
    let dump = store.dump();
    assert_eq!(dump.rows("refused").len(), 4);
    for ((row, event), id) in
        dump.rows("refused")
            .iter()
            .zip(&events)
            .zip([None, None, Some("a"), Some("a")])
    {
        let code = event.note.code.unwrap();
        assert_eq!(
            (row.bytes("body"), row.text("developer")),
            (event.text.as_bytes(), "ada")
        );
        assert_eq!(row.bytes("hash"), types::event::hash(event.text.as_bytes()));
        assert_eq!(
            (row.text("verdict"), row.text("code")),
            (code.verdict().as_str(), code.as_str())
        );
        assert_eq!(row.optional("pointer"), event.note.pointer.as_deref());
        assert_eq!(
            (row.optional("detail"), row.optional("event_id")),
            (event.note.detail.as_deref(), id)
        );
    }
}

pub async fn the_audit_has_every_step_and_every_hash_recomputes<E: Engine>() {
    let (store, src) = fresh::<E>().await;
    let batches = [
        batch(at(src, 1), &mixed()),
        batch(at(src, 2), &[event("a", 1)]),
    ];
    store.store().store_batches(batches.to_vec()).await.unwrap();
    let dump = store.dump();
    let mut ids: Vec<_> = dump
        .checked_audit()
        .iter()
        .map(|(skeleton, _)| skeleton.id)
        .collect();
    ids.dedup();
    assert_eq!(
        ids.len(),
        1 + 4 + (1 + 1),
        "the first batch's steps in one row, its events, the second's"
    );
    for DecodedBatch { at, .. } in batches {
        let received = received_at(at.seq);
        let mut steps = vec![
            (Step::Received, received, COLLECTOR),
            (Step::Validated, received + SECOND, COLLECTOR),
            (Step::Published, received + 2 * SECOND, "nats"),
            (Step::Persisted, received + 3 * SECOND, ACTOR),
        ];
        steps.extend((at.seq == 2).then_some((Step::Completed, received + 3 * SECOND, ACTOR)));
        for (step, time, actor) in steps {
            let rows = dump.audit(at.seq, step);
            let [(skeleton, person)] = &rows[..] else {
                panic!("{step:?} of {at}: {rows:?}")
            };
            assert_eq!(
                (skeleton.time, skeleton.actor.as_str()),
                (time, actor),
                "{step:?} of {at}"
            );
            assert_eq!(
                (skeleton.src, skeleton.outcome.as_str(), &skeleton.replay_id),
                (src, "ok", &None)
            );
            let expected = Personal {
                developer: "ada".to_owned(),
                batch_id: format!("batch-{}", at.seq),
                correlation_id: format!("correlation-{}", at.seq),
                ..Personal::default()
            };
            assert_eq!(person, &expected, "{step:?} of {at}");
        }
    }
    assert_eq!(dump.audit(1, Step::Completed), []);
    let mut events: Vec<_> = [Step::Deduplicated, Step::Refused]
        .into_iter()
        .flat_map(|step| dump.audit(1, step))
        .map(|(skeleton, person)| (person.event_id.unwrap(), skeleton.outcome))
        .collect();
    events.sort_unstable();
    let expected = [
        ("a", "duplicate_id"),
        ("b", "id_conflict"),
        ("q", "type_unknown"),
        ("r", "schema_invalid"),
    ];
    assert_eq!(
        events,
        expected.map(|(id, outcome)| (id.to_owned(), outcome.to_owned()))
    );
}

pub async fn a_forgotten_developers_message_keeps_only_its_skeleton<E: Engine>() {
    let (store, old) = fresh::<E>().await;
    let src = store.store().source(&incarnation(T0 + HOUR)).await.unwrap();
    store.forget("ada", at(src, 5));
    let before = store.dump();
    for forgotten in [at(src, 5), at(src, 2), at(old, 99)] {
        let stored = store_one(&store, batch(forgotten, &mixed())).await;
        assert_eq!(
            (stored.already, stored.state),
            (false, BatchState::Completed)
        );
        assert!(store_one(&store, batch(forgotten, &mixed())).await.already);
    }
    let dump = store.dump();
    for table in ["events", "refused", "duplicates", "hours", "audit_personal"] {
        assert_eq!(dump.rows(table), before.rows(table), "{table}");
    }
    for row in dump.rows("batches") {
        assert_eq!(
            (row.int("need"), row.int("received"), row.cell("client")),
            (0, 0, &Cell::Null)
        );
        let named = [
            "developer",
            "batch_id",
            "correlation_id",
            "traceparent",
            "sent_at",
        ]
        .map(|name| row.text(name));
        assert_eq!(named, [""; 5], "nothing names the person");
        assert!(!row.text("job_body").contains("ada"));
    }
    // The steps stay, without their personal part.
    let steps = |step: &str| {
        let rows = dump.rows("audit_steps").iter();
        rows.filter(|row| row.text("step") == step).count()
    };
    let stored = ["received", "validated", "published", "persisted"];
    assert_eq!(stored.map(steps), [3; 4]);
    assert_eq!(dump.rows("audit").len(), 3);
    store_one(&store, batch(at(src, 6), &[event("a", 1)])).await;
    store_one(&store, batch_of("bob", at(src, 1), &[event("a", 1)])).await;
    let dump = store.dump();
    let kept: Vec<_> = dump
        .rows("events")
        .iter()
        .map(|row| (row.text("developer"), row.at().seq))
        .collect();
    assert_eq!(kept, [("bob", 1), ("ada", 6)]);
}

pub async fn storing_writes_no_table_but_its_own<E: Engine>() {
    let before = E::fresh().dump();
    assert!(before.filled().all(|table| !OWN_TABLES.contains(&table)));
    let (store, src) = fresh::<E>().await;
    let batches = [(2, mixed()), (3, mixed()), (1, vec![event("a", 2)])];
    for (seq, events) in batches {
        store_one(&store, batch(at(src, seq), &events)).await;
    }
    let dump = store.dump();
    let mut expected: Vec<&str> = before.filled().chain(OWN_TABLES).collect();
    expected.extend(["audit_steps", "duplicates_with_originals"]);
    expected.sort_unstable();
    assert_eq!(dump.filled().collect::<Vec<_>>(), expected);
    before
        .filled()
        .for_each(|table| assert_eq!(dump.rows(table).len(), before.rows(table).len(), "{table}"));
}
