//! Every format of a batch: NDJSON from the request to the stored row, and what is the same for all.

use std::io::Write;

use harness::{DevtrailUp, envelope, event};
use serde_json::{Value, json};

const NDJSON: [(&str, &str); 4] = [
    ("content-type", "application/x-ndjson"),
    ("devtrail-batch-id", "lines-1"),
    ("devtrail-sent-at", "2026-03-01T09:15:02+01:00"),
    ("devtrail-schema-version", "1.0"),
];

fn with<'a>(
    base: &[(&'a str, &'a str)],
    name: &str,
    value: Option<&'a str>,
) -> Vec<(&'a str, &'a str)> {
    let kept = base.iter().copied().filter(|(other, _)| *other != name);
    let name = base
        .iter()
        .map(|(other, _)| *other)
        .find(|other| *other == name);
    kept.chain(name.zip(value)).collect()
}

/// Contract: formats.ndjson, ndjson.lines, ndjson.headers, ndjson.line-ends, ndjson.white-space
/// Contract: ndjson.bad-line, ndjson.kept
#[tokio::test(flavor = "multi_thread")]
async fn a_bad_line_costs_itself_only_and_is_kept_byte_for_byte() {
    let up = DevtrailUp::start().await;
    let client = up.client();
    let one = event("e1").to_string();
    let two = event("e2").to_string();
    let bad: &[u8] = b"{\"id\":\"e9\",\"name\":\"\xFF\xFE\"}";
    let lines = [
        "\u{feff}".as_bytes(),
        one.as_bytes(),
        b"\r\n\n \t\n",
        bad,
        b"\nno json\n7\n  ",
        two.as_bytes(),
    ];
    let reply = client.store_as(&NDJSON, lines.concat()).await;
    assert_eq!(reply["batch_id"], "lines-1");
    assert_eq!(
        reply["counts"],
        json!({"received": 5, "accepted": 2, "duplicate": 0, "rejected": 3, "quarantined": 0})
    );
    for (exception, index) in reply["exceptions"].as_array().unwrap().iter().zip(1..) {
        let stderr_of = (&exception["index"], &exception["id"], &exception["code"]);
        assert_eq!(
            stderr_of,
            (&json!(index), &Value::Null, &json!("not_an_object")),
            "{exception}"
        );
    }
    assert_eq!((up.kept("e1"), up.kept("e2")), (one, two));
    assert_eq!(up.bytes("SELECT body FROM refused WHERE ordinal = 1"), bad);
    assert_eq!(
        up.bytes("SELECT body FROM refused WHERE ordinal = 2"),
        b"no json"
    );
    // What looks at batches later copes with what is no text.
    let answer: Value = client
        .get_with_key("/v1/batches/lines-1")
        .await
        .json()
        .await
        .unwrap();
    assert_eq!(answer["counts"]["rejected"], 3, "{answer}");
    let traced = up.devtrail(&["trace", "lines-1", "--json"]);
    assert!(
        traced.status.success(),
        "{}",
        String::from_utf8_lossy(&traced.stderr)
    );
    let report = up.verify();
    assert_eq!(
        (&report["stored"], &report["rejected"]),
        (&json!(2), &json!(3)),
        "{report}"
    );
}

/// Contract: ndjson.required, ndjson.bad-header, ndjson.empty, errors.pointer
#[tokio::test(flavor = "multi_thread")]
async fn lines_need_their_headers_and_at_least_one_event() {
    let up = DevtrailUp::start().await;
    let client = up.client();
    let line = event("e1").to_string();
    let names = [
        "Devtrail-Batch-Id",
        "Devtrail-Sent-At",
        "Devtrail-Schema-Version",
    ];
    let cases = names.map(|name| (name, with(&NDJSON, &name.to_lowercase(), None)));
    let twice: Vec<_> = NDJSON.iter().copied().chain([NDJSON[2]]).collect();
    let wrong = [
        (
            "Devtrail-Sent-At",
            with(&NDJSON, "devtrail-sent-at", Some("now")),
        ),
        (
            "Devtrail-Batch-Id",
            with(&NDJSON, "devtrail-batch-id", Some("a b")),
        ),
        ("Devtrail-Sent-At", twice),
    ];
    for (name, headers) in cases.into_iter().chain(wrong) {
        let (status, problem) = client.send_as(&headers, &line).await;
        let stderr_of = (status, &problem["code"], &problem["parameter"]);
        assert_eq!(
            stderr_of,
            (400, &json!("invalid_envelope"), &json!(name)),
            "{problem}"
        );
    }
    for empty in ["\n", "\n\r\n  \n", "\u{feff}"] {
        let (status, problem) = client.send_as(&NDJSON, empty).await;
        assert_eq!(
            (status, &problem["code"]),
            (400, &json!("invalid_envelope")),
            "{empty:?} {problem}"
        );
    }
    // Nothing of all that reached the stream; the key stands for the id.
    let mut headers = with(&NDJSON, "devtrail-batch-id", None);
    headers.push(("idempotency-key", "k1"));
    let (status, reply) = client.send_as(&headers, &line).await;
    assert_eq!(
        (status, &reply["batch_id"], &reply["stream_sequence"]),
        (202, &json!("k1"), &json!(1))
    );
}

/// Contract: formats.json, envelope.batch-id-header, envelope.batch-id-differs
#[tokio::test(flavor = "multi_thread")]
async fn two_batch_ids_that_differ_are_refused_in_every_format() {
    let up = DevtrailUp::start().await;
    let client = up.client();
    let json_type = ("content-type", "application/json");
    let whole = envelope("b1", &[event("e1")]).to_string();
    for header in ["devtrail-batch-id", "idempotency-key"] {
        let (status, problem) = client.send_as(&[json_type, (header, "b2")], &whole).await;
        let stderr_of = (status, &problem["code"], &problem["pointer"]);
        assert_eq!(
            stderr_of,
            (400, &json!("invalid_envelope"), &json!("/batch_id"))
        );
        let mut without = envelope("b1", &[event("e1")]);
        without.as_object_mut().unwrap().remove("batch_id");
        let (status, reply) = client
            .send_as(&[json_type, (header, "b2")], without.to_string())
            .await;
        assert_eq!((status, &reply["batch_id"]), (202, &json!("b2")), "{reply}");
        assert_eq!(
            client.send_as(&[json_type, (header, "b1")], &whole).await.0,
            202
        );
    }
    let cloud = ("content-type", "application/cloudevents+json");
    for kind in [cloud, NDJSON[0]] {
        let mut headers = with(&NDJSON, "content-type", Some(kind.1));
        headers.push(("idempotency-key", "b2"));
        let (status, problem) = client.send_as(&headers, event("e1").to_string()).await;
        assert_eq!(
            (status, &problem["parameter"]),
            (400, &json!("Idempotency-Key")),
            "{problem}"
        );
    }
}

/// Contract: events.formats
#[tokio::test(flavor = "multi_thread")]
async fn limits_compression_and_resends_are_the_same_for_every_format() {
    let up = DevtrailUp::start().await;
    let client = up.client();
    let line = event("e1").to_string();
    let zipped = zstd::encode_all(line.as_bytes(), 3).unwrap();
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    gzip.write_all(line.as_bytes()).unwrap();
    let first = client.send_as(&NDJSON, &line).await.1;
    for (encoding, body) in [("zstd", zipped), ("gzip", gzip.finish().unwrap())] {
        let headers: Vec<_> = NDJSON
            .iter()
            .copied()
            .chain([("content-encoding", encoding)])
            .collect();
        let (status, again) = client.send_as(&headers, body).await;
        assert_eq!(
            (status, &again["duplicate_batch"]),
            (202, &json!(true)),
            "{encoding} {again}"
        );
        assert_eq!(again["stream_sequence"], first["stream_sequence"]);
    }
    // The same events in an envelope are the same message.
    let again = client.send(&envelope("lines-1", &[event("e1")])).await;
    assert_eq!(
        (&again["duplicate_batch"], &again["stream_sequence"]),
        (&json!(true), &json!(1))
    );
    let cloud = [("content-type", "application/cloudevents-batch+json")];
    let many = [format!("[{}{{}}]", "{},".repeat(1000)), "{}\n".repeat(1001)];
    for (headers, body) in [(&cloud[..], &many[0]), (&NDJSON[..], &many[1])] {
        let (status, problem) = client.send_as(headers, body).await;
        assert_eq!(
            (status, &problem["code"]),
            (413, &json!("too_many_events")),
            "{problem}"
        );
        let (status, problem) = client.send_as(headers, vec![b' '; 5 << 20]).await;
        assert_eq!(
            (status, &problem["code"]),
            (413, &json!("body_too_large")),
            "{problem}"
        );
    }
    for other in [
        "text/plain",
        "application/cloudevents+avro",
        "application/cloudevents",
    ] {
        let headers = [("content-type", other), ("ce-specversion", "1.0")];
        assert_eq!(
            client.send_as(&headers, &line).await.1["code"],
            "unsupported_media_type",
            "{other}"
        );
    }
}
