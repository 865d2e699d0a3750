//! Job ids, masks, and the job message byte for byte.

use super::*;

#[test]
fn the_kinds_bits_make_up_the_whole_mask() {
    let all = JobKind::ALL
        .iter()
        .fold(0, |mask, kind| mask | kind.bit().0);
    assert_eq!(Mask(all), Mask::ALL);
}

#[test]
fn a_job_id_names_source_sequence_kind_and_replay() {
    let batch = BatchRef { src: 1, seq: 4711 };
    assert_eq!(JobKind::Alert.id(batch, None), "1:4711:alert");
    assert_eq!(
        JobKind::Aggregate.id(batch, Some("r1")),
        "1:4711:aggregate:r1"
    );
}

#[test]
fn a_batch_that_brings_nothing_new_is_complete_when_stored() {
    assert_eq!(BatchState::stored(Mask::NONE), BatchState::Completed);
    assert_eq!(BatchState::stored(Mask::ALL), BatchState::Persisted);
}

/// R3.3, byte for byte: workers of other versions read it.
#[test]
fn a_job_message_says_all_that_its_worker_needs() {
    let mut body = JobBody {
        batch_id: "b1".to_owned(),
        developer: "ada".to_owned(),
        correlation_id: "c1".to_owned(),
        traceparent: "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01".to_owned(),
        batch: BatchRef { src: 1, seq: 4711 },
        counts_by_type: BTreeMap::new(),
        first_occurred_at: None,
        last_occurred_at: None,
        touched_days: BTreeSet::new(),
        schema_versions: BTreeSet::new(),
    };
    let events = [
        ("file.saved", 1_772_323_201_000_000, "2026-03-01"),
        ("git.push", 1_772_323_200_000_000, "2026-02-28"),
    ];
    body.sum_up(events.map(|(kind, effective_at, local_day)| EventSummary {
        kind,
        schema_version: "1.0",
        effective_at,
        local_day,
    }));
    let job = JobMessage::live(JobKind::Aggregate, body);
    assert_eq!(job.subject(), "jobs.aggregate.live.ada");
    let second = job.redriven().redriven();
    assert_eq!(
        (second.job_id.as_str(), second.attempt),
        ("1:4711:aggregate:r2", 3)
    );
    assert_eq!(second.subject(), job.subject());
    let replayed = JobMessage {
        replay_id: Some("x".to_owned()),
        ..job.clone()
    }
    .redriven();
    assert_eq!(
        (replayed.job_id.as_str(), replayed.subject().as_str()),
        ("1:4711:aggregate:x:r1", "jobs.aggregate.replay.ada")
    );
    let expected = r#"{
  "job_id": "1:4711:aggregate",
  "kind": "aggregate",
  "batch_id": "b1",
  "developer": "ada",
  "correlation_id": "c1",
  "traceparent": "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
  "src": 1,
  "seq": 4711,
  "counts_by_type": {
    "file.saved": 1,
    "git.push": 1
  },
  "first_occurred_at": "2026-03-01T00:00:00.000000Z",
  "last_occurred_at": "2026-03-01T00:00:01.000000Z",
  "touched_days": [
    "2026-02-28",
    "2026-03-01"
  ],
  "schema_versions": [
    "1.0"
  ],
  "replay_id": null,
  "attempt": 1
}"#;
    assert_eq!(serde_json::to_string_pretty(&job).unwrap(), expected);
    assert_eq!(serde_json::from_str::<JobMessage>(expected).unwrap(), job);
}
