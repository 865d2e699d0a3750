//! Whatever is sent: no panic, counts that add up, events that come back, verdicts of their own.

use proptest::collection::{btree_map, vec};
use proptest::option;
use proptest::prelude::*;
use proptest::sample::{Index, select};
use serde_json::Value;
use types::admission::Admitted;
use types::batch::{decode, encode};
use types::formats::Format;

use super::{ENVELOPE, EVENT, admit_sent, admitted, body, event, notes};

/// Names that mean something in an envelope or an event, and others.
fn name() -> impl Strategy<Value = String> {
    let known = [
        "id",
        "type",
        "occurred_at",
        "schema_version",
        "data",
        "path",
        "events",
        "batch_id",
        "sent_at",
    ];
    prop_oneof![
        select(known.to_vec()).prop_map(str::to_owned),
        any::<String>()
    ]
}

/// Any JSON value.
pub fn json() -> impl Strategy<Value = Value> {
    let known = EVENT
        .iter()
        .chain(ENVELOPE)
        .map(|(_, text)| serde_json::from_str(text).expect("JSON"));
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        any::<String>().prop_map(Value::from),
        select(known.collect::<Vec<Value>>()),
    ];
    leaf.prop_recursive(4, 32, 6, |inner| {
        prop_oneof![
            vec(inner.clone(), 0..6).prop_map(Value::from),
            btree_map(name(), inner, 0..6)
                .prop_map(|members| Value::Object(members.into_iter().collect())),
        ]
    })
}

/// JSON text, on one line or on several.
fn text() -> impl Strategy<Value = String> {
    (json(), any::<bool>()).prop_map(|(value, pretty)| {
        if pretty {
            format!("{value:#}")
        } else {
            value.to_string()
        }
    })
}

/// An event with other ids than its neighbours, right or wrong in any of its members.
pub fn events() -> impl Strategy<Value = Vec<String>> {
    let kinds = [
        "",
        r#""file.edited""#,
        r#""test.finished""#,
        r#""heartbeat""#,
        r#""coffee.brewed""#,
        "7",
    ];
    let versions = ["", "", r#""1.0""#, r#""1.1""#, r#""1.2""#, r#""2.0""#, "1"];
    let times = [
        EVENT[2].1,
        EVENT[2].1,
        r#""1999-01-01T00:00:00Z""#,
        r#""9999-12-31T23:59:59-23:59""#,
        r#""x""#,
        "",
    ];
    let data = [
        EVENT[3].1,
        r#"{"outcome":"passed","flaky":1}"#,
        r#"{"outcome":"passed","flaky":-1}"#,
        "{}",
        "[]",
        "",
    ];
    let data = prop_oneof![3 => select(data.to_vec()).prop_map(str::to_owned), 1 => text()];
    let one = (
        select(kinds.to_vec()),
        select(versions.to_vec()),
        select(times.to_vec()),
        data,
        option::of(text()),
    );
    vec(one, 1..8).prop_map(|list| {
        let one = |(index, (kind, version, time, data, extra)): (
            usize,
            (&str, &str, &str, String, Option<String>),
        )| {
            let id = format!("\"e{index}\"");
            let extra = extra.unwrap_or_default();
            event(&[
                ("id", &id),
                ("type", kind),
                ("schema_version", version),
                ("occurred_at", time),
                ("data", &data),
                ("x", &extra),
            ])
        };
        list.into_iter().enumerate().map(one).collect()
    })
}

/// What holds for every batch that is admitted.
pub fn adds_up(admitted: &Admitted<'_>) -> Result<(), TestCaseError> {
    let header = &admitted.header;
    let events = &admitted.events;
    let counts = header.counts;
    let sum = counts.accepted + counts.duplicate + counts.rejected + counts.quarantined;
    prop_assert_eq!(sum, counts.received);
    prop_assert_eq!(counts.received as usize, events.len());
    let lens: Vec<usize> = header.events.iter().map(|note| note.len as usize).collect();
    prop_assert_eq!(
        lens,
        events.iter().map(|event| event.len()).collect::<Vec<_>>()
    );
    let message = encode(header, events).map_err(|error| TestCaseError::fail(error.to_string()))?;
    let batch = decode(message).map_err(|error| TestCaseError::fail(error.to_string()))?;
    prop_assert_eq!(batch.header.counts, counts);
    prop_assert_eq!(&batch.header.events, &header.events);
    prop_assert!(
        batch
            .events()
            .map(|(_, bytes)| bytes)
            .eq(events.iter().map(AsRef::as_ref))
    );
    prop_assert!(header.envelope.keys().eq(batch.header.envelope.keys()));
    Ok(())
}

/// Admits any bytes; it is no fault if they are no envelope.
fn holds(body: &[u8]) -> Result<(), TestCaseError> {
    admit_sent(Format::Envelope, &[], body).map_or(Ok(()), |admitted| adds_up(&admitted))
}

/// What is done to one byte.
#[derive(Debug, Clone)]
enum Edit {
    Replace(Index, u8),
    Insert(Index, u8),
    Remove(Index),
    Cut(Index),
}

impl Edit {
    fn apply(&self, bytes: &mut Vec<u8>) {
        if bytes.is_empty() {
            return;
        }
        match self {
            Self::Replace(at, byte) => *at.get_mut(bytes) = *byte,
            Self::Insert(at, byte) => bytes.insert(at.index(bytes.len()), *byte),
            Self::Remove(at) => drop(bytes.remove(at.index(bytes.len()))),
            Self::Cut(at) => bytes.truncate(at.index(bytes.len())),
        }
    }
}

fn edit() -> impl Strategy<Value = Edit> {
    let byte = || prop_oneof![4 => select(&b"{}[]\",:\\ue0 19-.\n"[..]), 1 => any::<u8>()];
    prop_oneof![
        8 => (any::<Index>(), byte()).prop_map(|(at, byte)| Edit::Replace(at, byte)),
        8 => (any::<Index>(), byte()).prop_map(|(at, byte)| Edit::Insert(at, byte)),
        8 => any::<Index>().prop_map(Edit::Remove),
        1 => any::<Index>().prop_map(Edit::Cut),
    ]
}

/// Members of an envelope, and one that is unknown.
const MEMBERS: &[&str] = &[
    "batch_id",
    "sent_at",
    "schema_version",
    "developer_id",
    "client",
    "x",
];

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_bytes_are_judged_without_a_panic(bytes in vec(any::<u8>(), 0..200)) {
        holds(&bytes)?;
    }

    #[test]
    fn any_json_is_judged_without_a_panic(text in text()) {
        holds(text.as_bytes())?;
    }

    #[test]
    fn any_members_make_a_batch_that_adds_up_or_none(
        changes in vec((select(MEMBERS), text()), 0..3),
        list in events(),
    ) {
        let changes: Vec<(&str, &str)> = changes.iter().map(|(name, value)| (*name, value.as_str())).collect();
        holds(body(&changes, &list).as_bytes())?;
    }

    #[test]
    fn any_unknown_members_and_any_client_are_admitted(client in text(), extra in text(), list in events()) {
        adds_up(&admitted(&body(&[("client", &client), ("x", &extra)], &list)))?;
    }

    #[test]
    fn any_values_as_events_are_admitted_and_add_up(list in vec(text(), 1..8)) {
        adds_up(&admitted(&body(&[], &list)))?;
    }

    #[test]
    fn damaged_envelopes_are_judged_without_a_panic(
        list in events(), pretty in any::<bool>(), edits in vec(edit(), 1..6),
    ) {
        let whole = body(&[("client", r#"{"time_zone":"Europe/Berlin"}"#)], &list);
        let value: Value = serde_json::from_str(&whole).unwrap();
        let mut bytes = if pretty { format!("{value:#}") } else { whole }.into_bytes();
        edits.iter().for_each(|edit| edit.apply(&mut bytes));
        holds(&bytes)?;
    }

    #[test]
    fn a_verdict_depends_on_no_neighbour_with_another_id(list in events()) {
        let alone: Vec<_> = list.iter().flat_map(|event| notes(std::slice::from_ref(event))).collect();
        prop_assert_eq!(notes(&list), alone);
    }
}
