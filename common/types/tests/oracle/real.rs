//! The recorded work of real people, as envelopes and as lines.

use std::io::Read;
use std::path::{Path, PathBuf};

use flate2::read::GzDecoder;
use http::{HeaderMap, HeaderValue};
use types::formats::Format;

use crate::{Sent, assert_same};

/// The events of a compressed file of `{"developer", "event"}` lines, as their exact text.
fn events(path: &Path) -> Vec<String> {
    #[derive(serde::Deserialize)]
    struct Line {
        event: Box<serde_json::value::RawValue>,
    }
    let file = std::fs::File::open(path).expect("the file is there");
    let mut text = String::new();
    GzDecoder::new(file)
        .read_to_string(&mut text)
        .expect("the file is whole");
    let event = |line: &str| {
        let line: Line = serde_json::from_str(line).expect("a line is JSON");
        line.event.get().to_owned()
    };
    text.lines().map(event).collect()
}

fn at(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

fn is_judged_alike(path: &Path) {
    let mut headers = HeaderMap::new();
    for (name, value) in [
        ("devtrail-batch-id", "b1"),
        ("devtrail-sent-at", "2026-03-01T08:15:02Z"),
        ("devtrail-schema-version", "1.0"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    for (index, batch) in events(path).chunks(50).enumerate() {
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
    is_judged_alike(&at("../../tests/data/commits.ndjson.gz"));
}

#[test]
fn edits_are_judged_as_by_the_reference() {
    is_judged_alike(&at("../../tests/data/edits.ndjson.gz"));
}

/// It has no licence, so it is not kept with the sources: it is looked at where it lies beside them.
#[test]
fn the_ide_log_is_judged_as_by_the_reference() {
    let path = at("../../../shared/data/ide.ndjson.gz");
    if path.exists() {
        is_judged_alike(&path);
    } else {
        eprintln!("left out: {} is not there", path.display());
    }
}
