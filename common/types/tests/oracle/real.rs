//! The recorded work of real people, as envelopes and as lines.

use std::io::Read;
use std::path::Path;

use flate2::read::GzDecoder;
use http::{HeaderMap, HeaderValue};
use types::formats::Format;

use crate::{Sent, assert_same};

/// The events of a compressed file of `{"developer", "event"}` lines, as their exact text; `None` if it is not there.
fn events(path: &str) -> Option<Vec<String>> {
    #[derive(serde::Deserialize)]
    struct Line {
        event: Box<serde_json::value::RawValue>,
    }
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
    let file = std::fs::File::open(path).ok()?;
    let mut text = String::new();
    GzDecoder::new(file)
        .read_to_string(&mut text)
        .expect("the file is whole");
    let event = |line: &str| {
        let line: Line = serde_json::from_str(line).expect("a line is JSON");
        line.event.get().to_owned()
    };
    Some(text.lines().map(event).collect())
}

fn is_judged_alike(path: &str) {
    let Some(events) = events(path) else {
        eprintln!("left out: {path} is not there");
        return;
    };
    let mut headers = HeaderMap::new();
    for (name, value) in [
        ("devtrail-batch-id", "b1"),
        ("devtrail-sent-at", "2026-03-01T08:15:02Z"),
        ("devtrail-schema-version", "1.0"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    for (index, batch) in events.chunks(50).enumerate() {
        let client = ["", r#""client":{"time_zone":"America/New_York"},"#][index % 2];
        let body = format!(
            r#"{{"batch_id":"b1","sent_at":"2026-03-01T08:15:02Z","schema_version":"1.0",{client}"events":[{}]}}"#,
            batch.join(", ")
        );
        let envelope = Sent {
            headers: HeaderMap::new(),
            body: body.into_bytes(),
            zone: None,
            max_events: 1000,
        };
        assert!(assert_same(Format::Envelope, &envelope));
        if index % 10 == 0 {
            let lines = Sent {
                headers: headers.clone(),
                body: batch.join("\n").into_bytes(),
                zone: Some("Asia/Kolkata".to_owned()),
                max_events: 1000,
            };
            assert!(assert_same(Format::Ndjson, &lines));
        }
    }
}

#[test]
fn commits_are_judged_as_by_the_reference() {
    is_judged_alike("../../tests/data/commits.ndjson.gz");
}

#[test]
fn edits_are_judged_as_by_the_reference() {
    is_judged_alike("../../tests/data/edits.ndjson.gz");
}

#[test]
fn the_ide_log_is_judged_as_by_the_reference() {
    is_judged_alike("../../../shared/data/ide.ndjson.gz");
}
