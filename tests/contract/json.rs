//! Hostile JSON: what is no JSON is refused whole; what is odd within an event is that event's verdict.

use harness::event;
use serde_json::json;

use crate::compression::gzip;
use crate::support::{RawClient, body_of, fresh, good, shared};

/// An event with this text as a member of its data.
fn with(member: &str) -> String {
    let id = fresh("e");
    format!(
        r#"{{"id":"{id}","type":"file.saved","occurred_at":"2026-03-01T09:14:58Z","data":{{"path":"a",{member}}}}}"#
    )
}

/// Contract: errors.malformed_json
#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_json_is_refused_whole() {
    let up = shared().await;
    let client = RawClient::to(&up);
    let good = good();
    let cut = &good[..good.len() - 1];
    let mut bodies: Vec<Vec<u8>> = [
        "",
        " ",
        "{",
        cut,
        "{]",
        "{'a':1}",
        "nul",
        "{\"a\":01}",
        "{\"a\":+1}",
        "{\"a\":.5}",
    ]
    .iter()
    .map(|text| text.as_bytes().to_vec())
    .collect();
    for text in [
        "{\"a\":NaN}",
        "{\"a\":Infinity}",
        "{\"a\":1,}",
        "{\"a\":\"\n\"}",
        "{\"\\ud800\":1}",
        "{\"a\":\"\\x\"}",
        "{a:1}",
    ] {
        bodies.push(text.as_bytes().to_vec());
    }
    bodies.push(format!("{good}x").into_bytes());
    bodies.push(format!("{good}{good}").into_bytes());
    bodies.push(format!("\u{feff}\u{feff}{good}").into_bytes());
    bodies.push(good.replace("file.saved", "file\0saved").into_bytes());
    bodies.push(good.encode_utf16().flat_map(u16::to_le_bytes).collect());
    // Invalid UTF-8 anywhere: alone, cut off, too long, a surrogate, beyond the last character.
    for bad in [
        &b"\xff"[..],
        b"\xc3",
        b"\xc0\xaf",
        b"\xed\xa0\x80",
        b"\xf4\x90\x80\x80",
    ] {
        let mut body = good.clone().into_bytes();
        let at = good.find("main.rs").unwrap();
        body.splice(at..at, bad.iter().copied());
        bodies.push(body);
    }
    for body in bodies {
        let refused = client.body_refused(&body, "malformed_json").await;
        assert!(
            refused.get("pointer").is_none(),
            "{refused} for {}",
            String::from_utf8_lossy(&body)
        );
    }
    client.still_fine().await;
}

/// Contract: event.unreadable
#[tokio::test(flavor = "multi_thread")]
async fn odd_numbers_and_strings_within_an_event_are_its_own_verdict() {
    let up = shared().await;
    let client = RawClient::to(&up);
    let digits = "9".repeat(10_000);
    for (member, code) in [
        (r#""lines":0"#, ""),
        (r#""lines":-0"#, ""),
        (r#""lines":3.0"#, ""),
        (r#""lines":1e2"#, ""),
        (r#""lines":9007199254740991"#, ""),
        (r#""lines":9007199254740992"#, "schema_invalid"),
        (r#""lines":9223372036854775808"#, "schema_invalid"),
        (r#""lines":18446744073709551616"#, "schema_invalid"),
        (r#""lines":-1"#, "schema_invalid"),
        (r#""lines":0.5"#, "schema_invalid"),
        (r#""lines":"1""#, "schema_invalid"),
        (r#""x":9223372036854775808"#, ""),
        (r#""x":18446744073709551616"#, ""),
        (r#""x":-0.0"#, ""),
        (r#""x":1e-400"#, ""),
        (r#""x":1e308"#, ""),
        // Beyond a double: what would be computed of it is unknowable.
        (r#""x":1e400"#, "schema_invalid"),
        (r#""x":-1e400"#, "schema_invalid"),
        (&format!(r#""x":{digits}"#), "schema_invalid"),
        (&format!(r#""x":0.{digits}"#), ""),
        (r#""x":"\u0000""#, ""),
        (r#""\u0000":1"#, ""),
        (r#""x":"\ud83d\ude00""#, ""),
        (r#""x":"\ud800""#, "schema_invalid"),
        (r#""x":"\udc00\ud800""#, "schema_invalid"),
        (r#""x":"\u202e\ufeff\uffff""#, ""),
        (r#""$serde_json::private::RawValue":"[1""#, ""),
        (r#""$serde_json::private::Number":"7""#, ""),
        (r#""__proto__":{"id":1}"#, ""),
    ] {
        let shown = &member[..member.len().min(60)];
        assert_eq!(client.verdict(&with(member)).await, code, "{shown}");
    }
    // NUL and lone surrogates where an id or a type is read.
    for (from, to, code) in [
        (r#""id":""#, r#""id":"\u0000"#, "id_invalid"),
        (r#""id":""#, r#""id":"\ud800"#, "schema_invalid"),
        (r#""type":""#, r#""type":"\u0000"#, "type_unknown"),
    ] {
        let one = event(&fresh("e")).to_string().replace(from, to);
        let verdict = client.verdict(&one).await;
        assert_eq!(verdict, code, "{one}");
    }
    client.still_fine().await;
}

/// Contract: event.size
#[tokio::test(flavor = "multi_thread")]
async fn deep_nesting_is_the_events_verdict_and_costs_nothing() {
    let up = shared().await;
    let client = RawClient::to(&up);
    for (open, close) in [("[", "]"), ("{\"a\":", "}")] {
        for (levels, code) in [
            (10, ""),
            (127, ""),
            (128, "schema_invalid"),
            (129, "schema_invalid"),
            (100_000, "schema_invalid"),
        ] {
            // The event and its data are the first two levels.
            let inside = levels - 2;
            let middle = if open == "[" { "" } else { "1" };
            let member = format!(
                "\"x\":{}{middle}{}",
                open.repeat(inside),
                close.repeat(inside)
            );
            assert_eq!(
                client.verdict(&with(&member)).await,
                code,
                "{levels} levels of {open}"
            );
            // The envelope's own unknown members are kept unread.
            let deep = format!("{{{member},");
            client.taken(good().replacen('{', &deep, 1)).await;
        }
    }
    // Never closed: no envelope, however deep.
    for (open, code) in [("[", "invalid_envelope"), ("{\"a\":", "malformed_json")] {
        client.body_refused(open.repeat(400_000), code).await;
    }
    let unclosed = body_of(&fresh("b"), &"[".repeat(1_000_000));
    client.body_refused(unclosed, "malformed_json").await;
    client.still_fine().await;
}

/// Contract: event.size
#[tokio::test(flavor = "multi_thread")]
async fn an_event_holds_up_to_100000_values() {
    let up = shared().await;
    let client = RawClient::to(&up);
    // The event, its four members, and the list within its data are values as well, as is the path.
    for (zeros, code) in [(100_000 - 7, ""), (100_000 - 6, "schema_invalid")] {
        let list = vec!["0"; zeros].join(",");
        assert_eq!(
            client.verdict(&with(&format!("\"x\":[{list}]"))).await,
            code,
            "{zeros}"
        );
    }
    client.still_fine().await;
}

/// Contract: event.repeated
#[tokio::test(flavor = "multi_thread")]
async fn repeated_members_within_an_event_are_its_own_verdict() {
    let up = shared().await;
    let client = RawClient::to(&up);
    for (name, value) in [
        ("id", "\"x\""),
        ("type", "\"file.saved\""),
        ("occurred_at", "\"2026-03-01T09:14:58Z\""),
        ("schema_version", "\"1.0\""),
    ] {
        let one = with("\"schema_version\":1").replacen('{', &format!("{{\"{name}\":{value},"), 1);
        let one = if name == "schema_version" {
            one.replacen('{', "{\"schema_version\":\"1.0\",", 1)
        } else {
            one
        };
        assert_eq!(client.verdict(&one).await, "schema_invalid", "{one}");
    }
    // Of the others the last one counts, as JSON readers have it; the text is kept as it is.
    for (member, code) in [
        (r#""x":1,"x":2"#, ""),
        (r#""lines":-1,"lines":1"#, ""),
        (r#""lines":1,"lines":-1"#, "schema_invalid"),
    ] {
        assert_eq!(client.verdict(&with(member)).await, code, "{member}");
    }
    client.still_fine().await;
}

/// The second of each pair is a resend of the first: their message ids are the same.
///
/// Contract: events.byte-order-mark
#[tokio::test(flavor = "multi_thread")]
async fn a_byte_order_mark_is_ignored_in_every_format() {
    let up = shared().await;
    let client = RawClient::to(&up);
    let envelope = good();
    let one = event(&fresh("e")).to_string();
    let batch_id = fresh("b");
    let ndjson = [
        ("content-type", "application/x-ndjson"),
        ("devtrail-batch-id", &batch_id),
        ("devtrail-sent-at", "2026-03-01T09:15:02Z"),
        ("devtrail-schema-version", "1.0"),
    ];
    let cloud = |id: &str| {
        json!({"specversion": "1.0", "id": id, "source": "x", "type": "file.saved",
            "time": "2026-03-01T09:14:58Z", "data": {"path": "a"}})
    };
    let structured = cloud(&fresh("e")).to_string();
    let batched = json!([cloud(&fresh("e"))]).to_string();
    let id = fresh("e");
    let binary = [
        ("ce-specversion", "1.0"),
        ("ce-id", &id),
        ("ce-source", "x"),
        ("ce-type", "file.saved"),
        ("ce-time", "2026-03-01T09:14:58Z"),
    ];
    for (headers, body) in [
        (&[][..], &*envelope),
        (&ndjson, &one),
        (
            &[("content-type", "application/cloudevents+json")],
            &structured,
        ),
        (
            &[("content-type", "application/cloudevents-batch+json")],
            &batched,
        ),
        (&binary, r#"{"path":"a"}"#),
    ] {
        let marked = format!("\u{feff}{body}");
        let packed: Vec<_> = headers
            .iter()
            .copied()
            .chain([("content-encoding", "gzip")])
            .collect();
        let first = client.ask(client.post(headers, &marked)).await;
        assert_eq!(
            (first.status, &first.json()["counts"]["accepted"]),
            (202, &json!(1)),
            "{first:?}"
        );
        for again in [
            client.ask(client.post(headers, body)).await,
            client
                .ask(client.post(&packed, gzip(marked.as_bytes())))
                .await,
        ] {
            assert_eq!(again.json()["duplicate_batch"], true, "{again:?}");
            assert_eq!(
                again.json()["stream_sequence"],
                first.json()["stream_sequence"]
            );
        }
    }
}
