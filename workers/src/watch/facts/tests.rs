//! Which troubles follow from what was seen.

use clap::Parser;
use runtime::breaker::{Report, State};
use types::id::BatchRef;
use types::job::BatchState;

use super::*;

#[derive(Parser)]
struct Command {
    #[command(flatten)]
    watch: WatchSettings,
}

fn bounds() -> Bounds {
    let given = [
        "x",
        "--alert-lag",
        "100",
        "--alert-stream",
        "80",
        "--alert-disk",
        "90",
    ];
    Bounds::from(&Command::parse_from(given).watch)
}

fn troubles(seen: &Seen) -> Vec<Trouble> {
    judge(seen, &bounds()).troubles
}

/// Whether there is a trouble, and a bad one.
fn one(seen: &Seen) -> Option<bool> {
    let found = troubles(seen);
    assert!(found.len() <= 1, "{found:?}");
    found.first().map(|one| one.is_bad)
}

#[test]
fn what_could_not_be_looked_at_says_nothing() {
    let findings = judge(&Seen::default(), &bounds());
    assert_eq!(
        (findings.looked.len(), findings.troubles.len()),
        (1, 0),
        "of rules the notes are enough"
    );
    let seen = Seen {
        dead: Some(BTreeMap::new()),
        overdue: Some(None),
        ..Seen::default()
    };
    let findings = judge(&seen, &bounds());
    assert!(
        findings.looked.contains(&Kind::DeadLetter)
            && findings.looked.contains(&Kind::BatchOverdue)
    );
    assert_eq!(findings.troubles, []);
}

#[test]
fn a_bound_raises_and_a_lower_one_lets_go() {
    let backlog = |messages| Seen {
        backlogs: Some(vec![Backlog {
            messages,
            ..waiting(messages, 0)
        }]),
        ..Seen::default()
    };
    let lags = [50, 51, 100, 101].map(|messages| one(&backlog(messages)));
    assert_eq!(lags, [None, Some(false), Some(false), Some(true)]);
    let room = |used, size| {
        vec![Room {
            name: "JOBS".to_owned(),
            used,
            size,
        }]
    };
    let disks = |rooms| Disks {
        rooms,
        unread: Vec::new(),
    };
    let streams = [75, 76, 79, 80, 100].map(|used| {
        one(&Seen {
            streams: Some(room(used, 100)),
            ..Seen::default()
        })
    });
    assert_eq!(
        streams,
        [None, Some(false), Some(false), Some(true), Some(true)]
    );
    let found = [85, 86, 90].map(|used| {
        one(&Seen {
            disks: Some(disks(room(used, 100))),
            ..Seen::default()
        })
    });
    assert_eq!(found, [None, Some(false), Some(true)]);
    assert_eq!(
        one(&Seen {
            disks: Some(disks(room(u64::MAX, u64::MAX))),
            ..Seen::default()
        }),
        Some(true)
    );
    assert_eq!(
        one(&Seen {
            disks: Some(disks(room(0, 0))),
            ..Seen::default()
        }),
        None
    );
    let unread = Disks {
        rooms: Vec::new(),
        unread: vec!["database".to_owned()],
    };
    let kept = one(&Seen {
        disks: Some(unread),
        ..Seen::default()
    });
    assert_eq!(kept, Some(false), "neither raised nor over");
}

fn waiting(messages: u64, seconds: u64) -> Backlog {
    Backlog {
        consumer: "EVENTS/persist".to_owned(),
        messages,
        oldest: Duration::from_secs(seconds),
    }
}

#[test]
fn one_message_that_waits_for_too_long_is_a_lag_as_well() {
    let after = |seconds| {
        one(&Seen {
            backlogs: Some(vec![waiting(1, seconds)]),
            ..Seen::default()
        })
    };
    assert_eq!(
        [0, 299, 300, 599, 600].map(after),
        [None, None, Some(false), Some(false), Some(true)]
    );
    let found = troubles(&Seen {
        backlogs: Some(vec![waiting(1, 700)]),
        ..Seen::default()
    });
    assert_eq!(
        found[0].title,
        "A message has waited for EVENTS/persist for 700 s without being acknowledged; the bound is 600 s."
    );
}

#[test]
fn what_is_declared_and_missing_is_a_trouble_and_ends_no_other_alert() {
    let missing = Some(vec!["JOBS".to_owned(), "EVENTS/persist".to_owned()]);
    let seen = Seen {
        backlogs: Some(vec![]),
        streams: Some(vec![]),
        missing,
        ..Seen::default()
    };
    let found = troubles(&seen);
    let lags: Vec<(&str, bool)> = found
        .iter()
        .filter(|one| one.kind == Kind::Lag)
        .map(|one| (one.subject.as_str(), one.is_bad))
        .collect();
    assert_eq!(lags, [("JOBS", true), ("EVENTS/persist", true)]);
    let full = found
        .iter()
        .find(|one| one.kind == Kind::StreamNearlyFull && one.subject == "JOBS")
        .unwrap();
    assert!(!full.is_bad, "it only keeps an alert open");
    assert_eq!(
        found[0].title,
        "The stream JOBS is missing: `devtrail streams apply` makes it again."
    );
}

#[test]
fn a_breaker_is_one_trouble_however_many_processes_have_it_open() {
    let report = |actor: &str, name: &str, state| {
        (
            actor.to_owned(),
            Report {
                name: name.to_owned(),
                state,
                reason: Some("no answer".to_owned()),
            },
        )
    };
    let all = vec![
        report("w/2", "store", State::Open),
        report("w/1", "store", State::Open),
        report("w/1", "store", State::Open),
        report("w/1", "stream", State::Closed),
        report("w/3", "webhook:admin", State::HalfOpen),
    ];
    let found = troubles(&Seen {
        breakers: Some(all),
        ..Seen::default()
    });
    let told: Vec<(&str, u64, bool)> = found
        .iter()
        .map(|one| (one.subject.as_str(), one.count, one.is_bad))
        .collect();
    assert_eq!(told, [("store", 2, true)], "half-open it may be well again");
    assert_eq!(
        found[0].title,
        "The circuit breaker store is open in w/1, w/2. The last failure: no answer"
    );
}

#[test]
fn titles_are_sentences_with_value_and_bound() {
    let silent = Silent {
        role: "alert".to_owned(),
        since: 0,
        seconds: 45,
        is_long: true,
    };
    let overdue = Overdue {
        count: 3,
        oldest: BatchRef { src: 1, seq: 7 },
        state: BatchState::Triggered,
        persisted_at: 0,
    };
    let rule = Failed {
        rule: "r".to_owned(),
        count: 2,
        error: "it panicked".to_owned(),
        last: 0,
    };
    let seen = Seen {
        dead: Some([("dead.EVENTS.persist".to_owned(), 3)].into()),
        silent: Some(vec![silent]),
        overdue: Some(Some(overdue)),
        rules: vec![rule],
        ..Seen::default()
    };
    let found = troubles(&seen);
    let titles: Vec<&str> = found.iter().map(|one| one.title.as_str()).collect();
    assert_eq!(
        titles,
        [
            "Messages that EVENTS/persist gave up are in DEAD: 3.",
            "No process of alert has given a sign of life since 1970-01-01T00:00:00.000000Z; the bound is 30 s.",
            "Batches that are not completed 600 s after they were stored: 3. The oldest is 1:7, triggered, stored at 1970-01-01T00:00:00.000000Z.",
            "The rule r could not be evaluated, 2 times of late. The last reason: it panicked",
        ]
    );
    assert_eq!(
        found[1].numbers["seconds"],
        Number {
            value: 45,
            bound: Some(30)
        }
    );
}
