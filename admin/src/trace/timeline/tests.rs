//! Golden time lines.

use types::job::BatchState;
use types::time::parse_rfc3339;
use types::verdict::Counts;

use super::*;

/// 2026-03-01T08:15:02.120Z and some milliseconds.
fn at(milliseconds: i64) -> Micros {
    let start = parse_rfc3339("2026-03-01T08:15:02.120Z").and_then(|written| written.at);
    start.unwrap() + milliseconds * 1000
}

/// A batch of three events, one of them a duplicate.
pub fn batch() -> Submission {
    Submission {
        at: BatchRef { src: 1, seq: 4711 },
        developer: "ada".to_owned(),
        batch_id: "b1".to_owned(),
        message_id: String::new(),
        correlation_id: "c1".to_owned(),
        state: BatchState::Failed,
        masks: [Mask::ALL, Mask(1 | 2), Mask(4)],
        counts: Counts {
            received: 3,
            accepted: 2,
            duplicate: 1,
            ..Counts::default()
        },
        received_at: at(0),
        published_at: at(3),
        persisted_at: at(9),
    }
}

fn step(milliseconds: i64, step: &str, actor: &str) -> AuditEntry {
    AuditEntry {
        at: batch().at,
        time: at(milliseconds),
        step: step.to_owned(),
        outcome: "ok".to_owned(),
        actor: actor.to_owned(),
        replay_id: None,
        developer: Some("ada".to_owned()),
        batch_id: Some("b1".to_owned()),
        event_id: None,
        correlation_id: Some("c1".to_owned()),
        detail: None,
    }
}

fn with(step: AuditEntry, detail: &Value) -> AuditEntry {
    AuditEntry {
        detail: Some(detail.to_string()),
        ..step
    }
}

fn duplicate(index: u32) -> AuditEntry {
    let original = json!({"src": 1, "seq": 4709, "ordinal": 7, "batch_id": "b0",
        "received_at": "2026-03-01T08:14:00.000000Z"});
    AuditEntry {
        outcome: "duplicate_id".to_owned(),
        event_id: Some(format!("e{index}")),
        ..with(
            step(9, "deduplicated", "devtrail-worker/2b"),
            &json!({"ordinal": index, "original": original}),
        )
    }
}

fn collector_to_store() -> Vec<AuditEntry> {
    vec![
        step(0, "received", "devtrail-collector/1a"),
        step(1, "validated", "devtrail-collector/1a"),
        step(3, "published", "nats"),
        step(9, "persisted", "devtrail-worker/2b"),
        duplicate(2),
    ]
}

fn events() -> String {
    "EVENTS".to_owned()
}

#[test]
fn a_readmitted_batch_names_the_events_it_was_made_of() {
    let origin = json!({"origin": {"incarnation": {"name": "EVENTS", "created": 1}, "seq": 4709, "batch_id": "b0",
        "collector": "devtrail-collector/1a", "ordinals": [0, 3]}});
    let mut steps = collector_to_store();
    steps[1] = with(step(1, "validated", "devtrail/5e"), &origin);
    let printed = text(
        &TracedBatch {
            stream: events(),
            batch: batch(),
            steps,
        },
        Shown::default(),
    );
    assert!(
        printed.contains("devtrail/5e            readmitted: events 0, 3 of EVENTS 4709, batch b0"),
        "{printed}"
    );
}

#[test]
fn the_whole_way_of_a_batch_reads_from_top_to_bottom() {
    let receipt = |kind: &str, sequence: u32| {
        json!({"job_id": format!("1:4711:{kind}"), "subject": format!("jobs.{kind}.live.ada"),
            "stream_sequence": sequence})
    };
    let job = |kind: &str| json!({"job_id": format!("1:4711:{kind}")});
    let mut steps = collector_to_store();
    steps.push(AuditEntry {
        outcome: "duplicate_batch".to_owned(),
        correlation_id: Some("c2".to_owned()),
        ..step(11, "deduplicated", "devtrail-collector/1a")
    });
    steps.push(with(
        step(14, "triggered", "devtrail-worker/2b"),
        &json!({"jobs": [receipt("aggregate", 31), receipt("normalize", 32), receipt("alert", 33)]}),
    ));
    steps.push(with(
        step(1020, "job_started", "devtrail-worker/3c"),
        &job("alert"),
    ));
    steps.push(with(
        step(1024, "alerted", "devtrail-worker/3c"),
        &json!({"alert_id": "9f3c", "rule": "red-builds", "state": "raised", "revision": 0}),
    ));
    steps.push(with(
        step(1024, "job_finished", "devtrail-worker/3c"),
        &job("alert"),
    ));
    steps.push(with(
        step(75_000, "failed", "devtrail-worker/4d"),
        &json!({"job_id": "1:4711:alert", "attempt": 8, "reason": "no\nluck"}),
    ));
    steps.push(step(3_725_000, "completed", "devtrail-worker/4d"));
    let expected = "
batch b1 of ada: failed
EVENTS 1:4711 · correlation c1
3 events: 2 accepted, 1 duplicate
jobs: aggregate done, normalize done, alert failed

 TIME                  OFFSET    STEP          ACTOR                  DETAIL
 2026-03-01T08:15:02Z  +0 ms     received      devtrail-collector/1a
 2026-03-01T08:15:02Z  +1 ms     validated     devtrail-collector/1a
 2026-03-01T08:15:02Z  +3 ms     published     nats
 2026-03-01T08:15:02Z  +9 ms     persisted     devtrail-worker/2b
 2026-03-01T08:15:02Z  +9 ms     deduplicated  devtrail-worker/2b     \
    event e2 (index 2) duplicate_id, duplicate of 1:4709:7 in batch b0, received 2026-03-01T08:14:00Z
 2026-03-01T08:15:02Z  +11 ms    deduplicated  devtrail-collector/1a  \
    a resend of the whole batch, dropped by the stream · correlation c2
 2026-03-01T08:15:02Z  +14 ms    triggered     devtrail-worker/2b     \
    1:4711:aggregate is JOBS 31 on jobs.aggregate.live.ada
                                                                      \
    1:4711:normalize is JOBS 32 on jobs.normalize.live.ada
                                                                      1:4711:alert is JOBS 33 on jobs.alert.live.ada
 2026-03-01T08:15:03Z  +1.020 s  job_started   devtrail-worker/3c     1:4711:alert
 2026-03-01T08:15:03Z  +1.024 s  alerted       devtrail-worker/3c     red-builds raised, alert 9f3c revision 0
 2026-03-01T08:15:03Z  +1.024 s  job_finished  devtrail-worker/3c     1:4711:alert
 2026-03-01T08:16:17Z  +1m 15s   failed        devtrail-worker/4d     \
    1:4711:alert dead-lettered at attempt 8: no luck
 2026-03-01T09:17:07Z  +1h 02m   completed     devtrail-worker/4d
";
    assert_eq!(
        text(
            &TracedBatch {
                stream: events(),
                batch: batch(),
                steps
            },
            Shown::default()
        ),
        expected.trim_matches('\n')
    );
}

#[test]
fn a_narrow_terminal_gets_details_on_lines_of_their_own() {
    let traced = TracedBatch {
        stream: events(),
        batch: batch(),
        steps: collector_to_store(),
    };
    let shown = Shown {
        wanted: None,
        width: Some(80),
    };
    let expected = "
 TIME                  OFFSET  STEP          ACTOR
 2026-03-01T08:15:02Z  +0 ms   received      devtrail-collector/1a
 2026-03-01T08:15:02Z  +1 ms   validated     devtrail-collector/1a
 2026-03-01T08:15:02Z  +3 ms   published     nats
 2026-03-01T08:15:02Z  +9 ms   persisted     devtrail-worker/2b
 2026-03-01T08:15:02Z  +9 ms   deduplicated  devtrail-worker/2b
     event e2 (index 2) duplicate_id, duplicate of 1:4709:7 in batch b0, received 2026-03-01T08:14:00Z";
    assert!(
        text(&traced, shown).ends_with(expected),
        "{}",
        text(&traced, shown)
    );
}

#[test]
fn what_replays_did_comes_in_sections_of_its_own() {
    let replayed = |id: &str, entry: AuditEntry| AuditEntry {
        replay_id: Some(id.to_owned()),
        ..entry
    };
    let job = json!({"job_id": "1:4711:alert:r1"});
    let mut steps = vec![step(0, "received", "devtrail-collector/1a")];
    steps.push(replayed(
        "r1",
        with(step(60_000, "job_started", "devtrail-worker/2b"), &job),
    ));
    steps.push(replayed(
        "r1",
        with(step(60_005, "job_finished", "devtrail-worker/2b"), &job),
    ));
    let expected = "
batch b1 of ada: completed
EVENTS 1:4711 · correlation c1
3 events: 2 accepted, 1 duplicate
jobs: none needed

 TIME                  OFFSET  STEP      ACTOR
 2026-03-01T08:15:02Z  +0 ms   received  devtrail-collector/1a

replay r1
 TIME                  OFFSET  STEP          ACTOR               DETAIL
 2026-03-01T08:16:02Z  +0 ms   job_started   devtrail-worker/2b  1:4711:alert:r1
 2026-03-01T08:16:02Z  +5 ms   job_finished  devtrail-worker/2b  1:4711:alert:r1
";
    let batch = Submission {
        masks: [Mask::NONE; 3],
        state: BatchState::Completed,
        ..batch()
    };
    assert_eq!(
        text(
            &TracedBatch {
                batch,
                stream: events(),
                steps
            },
            Shown::default()
        ),
        expected.trim_matches('\n')
    );
}

#[test]
fn of_many_events_the_first_are_shown_and_the_wanted_one_always() {
    let steps: Vec<AuditEntry> = (0..50).map(duplicate).collect();
    let traced = TracedBatch {
        stream: events(),
        batch: batch(),
        steps,
    };
    let shown = |wanted| {
        text(
            &traced,
            Shown {
                wanted,
                width: None,
            },
        )
    };
    let lines = |wanted| {
        shown(wanted)
            .lines()
            .filter(|line| line.contains("duplicate of"))
            .count()
    };
    assert_eq!(
        (lines(None), lines(Some("e3")), lines(Some("e47"))),
        (SHOWN, SHOWN, SHOWN + 1)
    );
    assert!(shown(None).ends_with("30 events more; --json shows all"));
    assert!(shown(Some("e47")).ends_with("29 events more; --json shows all"));
}

#[test]
fn an_event_that_no_row_tells_of_is_said_to_be_in_the_batch() {
    let traced = TracedBatch {
        stream: events(),
        batch: batch(),
        steps: collector_to_store(),
    };
    let says = |id| {
        let shown = Shown {
            wanted: Some(id),
            width: None,
        };
        text(&traced, shown).contains(&format!("event {id} came in this batch"))
    };
    assert!(says("e0") && !says("e2") && !says("b1") && !says("c1"));
}

#[test]
fn forgotten_rows_and_hostile_text_do_no_harm() {
    let forgotten = AuditEntry {
        developer: None,
        batch_id: None,
        correlation_id: None,
        ..step(0, "received", "devtrail-collector/1a")
    };
    let strange = with(
        step(-3, "later_step", "x"),
        &json!({"note": "\u{1b}[31mred"}),
    );
    let nobody = Submission {
        developer: String::new(),
        batch_id: String::new(),
        ..batch()
    };
    let text = text(
        &TracedBatch {
            stream: events(),
            batch: nobody,
            steps: vec![forgotten, strange],
        },
        Shown::default(),
    );
    assert!(
        text.starts_with("batch without id of a forgotten developer: failed"),
        "{text}"
    );
    assert!(
        text.contains("forgotten") && text.contains("-3 ms"),
        "{text}"
    );
    assert!(!text.contains('\u{1b}'), "{text}");
}

#[test]
fn offsets_grow_coarser_with_their_size() {
    let spans =
        [0, 999, 59_999, 61_000, 7_260_000, -1500].map(|milliseconds| offset(milliseconds * 1000));
    assert_eq!(
        spans,
        [
            "+0 ms",
            "+999 ms",
            "+59.999 s",
            "+1m 01s",
            "+2h 01m",
            "-1.500 s"
        ]
    );
}

#[test]
fn what_an_administrator_decided_about_a_dead_letter_stands_in_the_time_line() {
    let redriven = json!({"by": "ada@host", "reason": null, "job_id": "1:4711:alert:r1", "dead_sequence": 7,
        "dead_reason": "a panic"});
    let dropped = json!({"by": "bob@host", "reason": "garbage", "job_id": null, "dead_sequence": 8,
        "dead_reason": "no line feed"});
    let steps = vec![
        with(step(0, "redriven", "devtrail/1a"), &redriven),
        with(step(1, "dropped", "devtrail/1a"), &dropped),
    ];
    let text = unstored(
        &UnstoredMessage {
            stream: events(),
            at: batch().at,
            steps,
        },
        Shown::default(),
    );
    assert!(text.starts_with("message 1:4711 is not stored\n"), "{text}");
    assert!(
        text.contains("1:4711:alert:r1 dead letter 7 by ada@host, dead-lettered with: a panic"),
        "{text}"
    );
    assert!(
        text.contains("dead letter 8 by bob@host: garbage"),
        "{text}"
    );
}

#[test]
fn failed_attempts_before_a_success_are_told_with_their_last_reason() {
    let words = |detail: &Value| {
        let failed = with(step(9, "failed", "devtrail-worker/2b"), detail);
        words(
            &AuditEntry {
                outcome: "recovered".to_owned(),
                ..failed
            },
            "c1",
        )
    };
    let message =
        json!({"attempts": 1, "reason": "no\nway", "consumer": "persist", "job_id": null});
    assert_eq!(
        words(&message),
        "persist was done after 1 attempt that failed: no way"
    );
    let job = json!({"attempts": 3, "reason": "no", "consumer": "alert", "job_id": "1:4711:alert"});
    assert_eq!(
        words(&job),
        "1:4711:alert was done after 3 attempts that failed: no"
    );
}
