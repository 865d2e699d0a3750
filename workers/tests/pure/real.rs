//! The recorded work of real people (`tests/data/`): the oracle agrees on every day of each of them.

use std::collections::BTreeMap;
use std::io::Read;
use std::path::{Path, PathBuf};

use flate2::read::GzDecoder;
use serde_json::Value;
use store::StoredEvent;
use types::id::EventRef;
use types::time;

use crate::build::{bodies, computed, days_of, found};
use crate::oracle;

/// Half a year after the last event of the input.
const RECEIVED: &str = "2027-01-01T00:00:00Z";

/// The files of `tests/data/`.
fn files() -> [PathBuf; 2] {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/data");
    ["commits.ndjson.gz", "edits.ndjson.gz"].map(|file| folder.join(file))
}

/// The events of each developer in `tests/data/`.
pub fn people() -> BTreeMap<String, Vec<StoredEvent>> {
    people_of(&files())
}

/// The events of each developer, as admission lets them in and the store keeps them: once.
pub fn people_of(files: &[PathBuf]) -> BTreeMap<String, Vec<StoredEvent>> {
    let mut people: BTreeMap<String, BTreeMap<String, StoredEvent>> = BTreeMap::new();
    for path in files {
        let mut text = String::new();
        let bytes =
            std::fs::File::open(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        GzDecoder::new(bytes)
            .read_to_string(&mut text)
            .expect("the file is whole");
        for line in text.lines() {
            let line: Value = serde_json::from_str(line).expect("a line is JSON");
            if let Some(event) = stored(&line["event"]) {
                let developer = line["developer"].as_str().expect("a developer").to_owned();
                people
                    .entry(developer)
                    .or_default()
                    .entry(event.id.clone())
                    .or_insert(event);
            }
        }
    }
    people
        .into_iter()
        .map(|(developer, events)| (developer, events.into_values().collect()))
        .collect()
}

fn stored(event: &Value) -> Option<StoredEvent> {
    let text = |name: &str| event[name].as_str().expect("a text").to_owned();
    let written = time::parse_rfc3339(&text("occurred_at")).expect("a time");
    let received = time::parse_rfc3339(RECEIVED)?.at?;
    let effective_at = written.at.filter(|at| time::plausible(*at, received))?;
    Some(StoredEvent {
        at: EventRef {
            src: 1,
            seq: 1,
            ordinal: 0,
        },
        id: text("id"),
        kind: text("type"),
        schema_version: text("schema_version"),
        effective_at,
        local_day: time::local_day(effective_at, None, written.offset),
        body: event.to_string().into_bytes(),
        client: None,
        zone: None,
    })
}

#[test]
fn the_oracle_agrees_on_every_day_of_real_work() {
    let people = people();
    let mut events = 0;
    let mut active = 0;
    for (developer, own) in &people {
        let (_, days) = computed(&days_of(own), &found(own));
        for (day, body) in bodies(&days) {
            assert_eq!(body, oracle::day(&day, own), "{developer} on {day}");
            events += body["events"].as_u64().unwrap();
            active += body["active_seconds"].as_u64().unwrap();
        }
    }
    // 32,247 distinct, of which two are of 1970.
    assert_eq!((people.len(), events), (1_733, 32_245));
    assert!(active > 50 * 3600, "{active} s active in all");
}
