//! Letters read from messages of DEAD, as workers write them.

use std::collections::{BTreeMap, BTreeSet};

use types::job::{JobBody, JobKind};

use super::*;

/// The letter with sequence 7.
pub fn letter(subject: &str, headers: &[(&str, &str)], payload: &[u8]) -> Letter {
    let mut map = HeaderMap::new();
    for (name, value) in headers {
        map.insert(*name, *value);
    }
    Letter::of(
        subject,
        (7, 1_772_323_200_000_000),
        map,
        Bytes::copy_from_slice(payload),
    )
    .unwrap()
}

/// The live alert job of batch 2:5.
pub fn job() -> JobMessage {
    let body = JobBody {
        batch_id: "b1".to_owned(),
        developer: "ada".to_owned(),
        correlation_id: "c1".to_owned(),
        traceparent: String::new(),
        batch: BatchRef { src: 2, seq: 5 },
        counts_by_type: BTreeMap::new(),
        first_occurred_at: None,
        last_occurred_at: None,
        touched_days: BTreeSet::new(),
        schema_versions: BTreeSet::new(),
    };
    JobMessage::live(JobKind::Alert, body)
}

#[test]
fn a_letter_says_what_gave_up_whose_it_is_and_why() {
    let headers = [
        ("Devtrail-Stream-Sequence", "5"),
        ("Devtrail-Subject", "events.batch.ada"),
        ("Devtrail-Reason", "no line feed"),
        ("Devtrail-Attempts", "8"),
        ("Devtrail-Error-Class", "unknown"),
        ("Devtrail-Src", "2"),
        ("Devtrail-Event-Ids", "e1,a%2Cb%252C,…"),
    ];
    let one = letter("dead.EVENTS.persist", &headers, b"garbage");
    let entry = Entry::of(&one);
    assert_eq!(
        (entry.stream.as_str(), entry.consumer.as_str()),
        ("EVENTS", "persist")
    );
    assert_eq!(
        (entry.batch.as_deref(), entry.developer.as_deref()),
        (Some("2:5"), Some("ada"))
    );
    assert_eq!(
        (entry.attempts, entry.error_class.as_deref()),
        (Some(8), Some("unknown"))
    );
    assert_eq!(
        (entry.reason.as_str(), &entry.event_ids[..]),
        (
            "no line feed",
            &["e1", "a,b%2C", "…"].map(str::to_owned)[..]
        )
    );
    assert!(
        matches!(&one.content, Content::Raw(why) if why.contains("header does not parse")),
        "{:?}",
        one.content
    );
}

#[test]
fn a_job_names_its_batch_and_a_pointer_the_message() {
    let one = letter("dead.JOBS.alert", &[], &serde_json::to_vec(&job()).unwrap());
    let entry = Entry::of(&one);
    assert_eq!(
        (entry.batch.as_deref(), entry.job_id.as_deref()),
        (Some("2:5"), Some("2:5:alert"))
    );
    assert_eq!(entry.developer.as_deref(), Some("ada"));
    let payload = serde_json::to_vec(&ReplayPointer::redrive(BatchRef { src: 2, seq: 5 })).unwrap();
    let one = letter(
        "dead.REPLAY.persist-replay",
        &[("Devtrail-Developer", "ada")],
        &payload,
    );
    let entry = Entry::of(&one);
    assert_eq!(
        (entry.batch.as_deref(), entry.developer.as_deref()),
        (Some("2:5"), Some("ada"))
    );
}

#[test]
fn a_letter_that_an_earlier_version_wrote_is_read_as_far_as_it_goes() {
    let one = letter(
        "dead.EVENTS.persist",
        &[("Devtrail-Stream-Sequence", "5")],
        b"garbage",
    );
    let entry = Entry::of(&one);
    assert_eq!(
        (
            entry.batch,
            entry.developer,
            entry.attempts,
            entry.error_class
        ),
        (None, None, None, None)
    );
    assert_eq!(entry.reason, "the letter names no reason");
    for strange in ["dead.EVENTS", "alive.EVENTS.persist"] {
        assert!(
            Letter::of(strange, (7, 0), HeaderMap::new(), Bytes::new()).is_none(),
            "{strange}"
        );
    }
}
