//! Good batches, damaged at random: each is accepted with counts that add up, or refused with a known code.

use harness::event;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{Index, select};
use proptest::test_runner::{Config, TestRunner};
use serde_json::{Value, json};

use crate::problem::{is_known, problem};
use crate::support::{RawClient, body_of, fresh, shared};

/// One damage to a body's bytes.
#[derive(Debug, Clone)]
enum Damage {
    Flip(Index, u8),
    Cut(Index),
    Drop(Index, usize),
    Put(Index, Vec<u8>),
    Copy(Index, Index, usize),
    /// A value in the place of another.
    Replace(Index, Value),
}

/// What is likely to be read for something.
const PIECES: [&str; 20] = [
    "{",
    "}",
    "[",
    "]",
    "\"",
    ":",
    ",",
    "null",
    "-",
    "1e999",
    "\\u0000",
    "\\ud800",
    "\0",
    "\u{feff}",
    "\"id\":\"x\",",
    "\"events\":[],",
    "[[[[[[[[",
    "{\"a\":",
    "\"schema_version\":\"2.0\",",
    "9007199254740993",
];

fn value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        any::<String>().prop_map(Value::from),
        select(vec!["2026-03-01T09:14:58Z", "1.1", "heartbeat", "x"]).prop_map(Value::from),
    ];
    leaf.prop_recursive(3, 12, 4, |inner| {
        let names = prop_oneof![
            any::<String>(),
            select(vec!["id", "data", "path"]).prop_map(str::to_owned)
        ];
        prop_oneof![
            vec(inner.clone(), 0..4).prop_map(Value::from),
            vec((names, inner), 0..4)
                .prop_map(|members| Value::Object(members.into_iter().collect())),
        ]
    })
}

fn damage() -> impl Strategy<Value = Damage> {
    let any_index = any::<Index>;
    prop_oneof![
        2 => (any_index(), any::<u8>()).prop_map(|(at, byte)| Damage::Flip(at, byte)),
        1 => any_index().prop_map(Damage::Cut),
        2 => (any_index(), 1_usize..20).prop_map(|(at, count)| Damage::Drop(at, count)),
        2 => (any_index(), select(PIECES.to_vec())).prop_map(|(at, piece)| Damage::Put(at, piece.as_bytes().to_vec())),
        1 => (any_index(), vec(any::<u8>(), 1..8)).prop_map(|(at, bytes)| Damage::Put(at, bytes)),
        2 => (any_index(), any_index(), 1_usize..80).prop_map(|(from, to, count)| Damage::Copy(from, to, count)),
        6 => (any_index(), value()).prop_map(|(at, value)| Damage::Replace(at, value)),
    ]
}

/// Every place in a value, by pointer.
fn places(value: &Value, at: &str, found: &mut Vec<String>) {
    found.push(at.to_owned());
    match value {
        Value::Object(members) => members.iter().for_each(|(name, member)| {
            places(
                member,
                &format!("{at}/{}", name.replace('~', "~0").replace('/', "~1")),
                found,
            );
        }),
        Value::Array(list) => {
            list.iter()
                .enumerate()
                .for_each(|(index, one)| places(one, &format!("{at}/{index}"), found));
        }
        _ => {}
    }
}

fn damaged(mut body: Vec<u8>, damages: &[Damage]) -> Vec<u8> {
    for damage in damages {
        if body.is_empty() {
            break;
        }
        let length = body.len();
        match damage {
            Damage::Flip(at, byte) => body[at.index(length)] ^= byte,
            Damage::Cut(at) => body.truncate(at.index(length)),
            Damage::Drop(at, count) => {
                let start = at.index(length);
                body.drain(start..(start + count).min(length));
            }
            Damage::Put(at, bytes) => {
                let at = at.index(length);
                body.splice(at..at, bytes.iter().copied());
            }
            Damage::Copy(from, to, count) => {
                let start = from.index(length);
                let piece = body[start..(start + count).min(length)].to_vec();
                let at = to.index(length);
                body.splice(at..at, piece);
            }
            Damage::Replace(at, value) => {
                let Ok(mut whole) = serde_json::from_slice::<Value>(&body) else {
                    continue;
                };
                let mut found = Vec::new();
                places(&whole, "", &mut found);
                let place = whole.pointer_mut(&found[at.index(found.len())]);
                *place.expect("it was just found") = value.clone();
                body = whole.to_string().into_bytes();
            }
        }
    }
    body
}

fn batch() -> Vec<u8> {
    let mut run = event(&fresh("e"));
    (run["type"], run["data"]) = (
        json!("test.finished"),
        json!({"outcome": "passed", "failures": ["a", "b"]}),
    );
    body_of(
        &fresh("b"),
        &json!([event(&fresh("e")), run, event(&fresh("e"))]).to_string(),
    )
    .into_bytes()
}

#[test]
fn a_damaged_batch_is_accepted_or_refused_with_a_known_code() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let up = runtime.block_on(shared());
    let client = RawClient::to(&up);
    let config = Config {
        cases: 400,
        failure_persistence: None,
        ..Config::default()
    };
    let ran = TestRunner::new(config).run(&vec(damage(), 1..4), |damages| {
        let body = damaged(batch(), &damages);
        runtime.block_on(async {
            let answer = client.ask(client.post(&[], &body)).await;
            if answer.status == 202 {
                let counts = &answer.json()["counts"];
                let parts = ["accepted", "duplicate", "rejected", "quarantined"]
                    .map(|name| counts[name].as_u64().unwrap());
                prop_assert_eq!(counts["received"].as_u64(), Some(parts.iter().sum()));
                return Ok(());
            }
            let code = answer.json()["code"]
                .as_str()
                .unwrap_or_default()
                .to_owned();
            prop_assert!(
                answer.status < 500 && is_known(&code, answer.status),
                "{} {}",
                answer.status,
                code
            );
            problem(&answer, &code);
            Ok(())
        })
    });
    ran.unwrap();
    runtime.block_on(client.still_fine());
}

/// Whatever becomes of a request's head, it is answered or the connection closed, and no reply is untrue.
#[test]
fn a_damaged_request_is_answered_or_its_connection_closed() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let up = runtime.block_on(shared());
    let client = RawClient::to(&up);
    let config = Config {
        cases: 400,
        failure_persistence: None,
        ..Config::default()
    };
    let ran = TestRunner::new(config).run(&vec(damage(), 1..4), |damages| {
        let body = batch();
        let head = client.post_head(&[], &[("content-length", &body.len().to_string())]);
        let request = [damaged(head, &damages), body].concat();
        runtime.block_on(async {
            let mut wire = client.wire().await;
            wire.send(request).await;
            wire.end().await;
            let Some(answer) = wire.answer_or_end().await else {
                return Ok(());
            };
            if answer.status == 100 || answer.status == 202 {
                return Ok(());
            }
            let code = answer.json()["code"]
                .as_str()
                .unwrap_or_default()
                .to_owned();
            prop_assert!(
                answer.status < 500 && is_known(&code, answer.status),
                "{:?}",
                answer
            );
            Ok(())
        })
    });
    ran.unwrap();
    runtime.block_on(client.still_fine());
}
