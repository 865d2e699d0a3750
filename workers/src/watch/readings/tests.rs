//! Which conditions follow from readings.

use clap::Parser;
use runtime::breaker::{BreakerReport, BreakerState};
use types::admin_alert::Measurement;
use types::id::BatchRef;
use types::job::BatchState;

use super::*;

#[derive(Parser)]
struct Command {
    #[command(flatten)]
    watch: WatchSettings,
}

fn thresholds() -> Thresholds {
    let given = [
        "x",
        "--alert-lag",
        "100",
        "--alert-stream",
        "80",
        "--alert-disk",
        "90",
    ];
    Thresholds::from(&Command::parse_from(given).watch)
}

fn conditions(readings: &Readings) -> Vec<Condition> {
    evaluate(readings, &thresholds()).conditions
}

/// Whether there is a condition, and whether it fires.
fn one(readings: &Readings) -> Option<bool> {
    let found = conditions(readings);
    assert!(found.len() <= 1, "{found:?}");
    found.first().map(|one| one.is_firing)
}

#[test]
fn what_could_not_be_probed_gives_no_condition() {
    let found = evaluate(&Readings::default(), &thresholds());
    assert_eq!(
        (found.probed.len(), found.conditions.len()),
        (1, 0),
        "of rules the notes are enough"
    );
    let readings = Readings {
        dead: Some(BTreeMap::new()),
        overdue: Some(None),
        ..Readings::default()
    };
    let found = evaluate(&readings, &thresholds());
    assert!(
        found.probed.contains(&AlertKind::DeadLetter)
            && found.probed.contains(&AlertKind::BatchOverdue)
    );
    assert_eq!(found.conditions, []);
}

#[test]
fn a_threshold_raises_and_a_lower_one_resolves() {
    let backlog = |messages| Readings {
        backlogs: Some(vec![Backlog {
            messages,
            ..waiting(messages, 0)
        }]),
        ..Readings::default()
    };
    let lags = [50, 51, 100, 101].map(|messages| one(&backlog(messages)));
    assert_eq!(lags, [None, Some(false), Some(false), Some(true)]);
    let capacity = |used, size| {
        vec![Capacity {
            name: "JOBS".to_owned(),
            used,
            size,
        }]
    };
    let disks = |capacities| DiskReadings {
        capacities,
        unread: Vec::new(),
    };
    let streams = [75, 76, 79, 80, 100].map(|used| {
        one(&Readings {
            streams: Some(capacity(used, 100)),
            ..Readings::default()
        })
    });
    assert_eq!(
        streams,
        [None, Some(false), Some(false), Some(true), Some(true)]
    );
    let found = [85, 86, 90].map(|used| {
        one(&Readings {
            disks: Some(disks(capacity(used, 100))),
            ..Readings::default()
        })
    });
    assert_eq!(found, [None, Some(false), Some(true)]);
    assert_eq!(
        one(&Readings {
            disks: Some(disks(capacity(u64::MAX, u64::MAX))),
            ..Readings::default()
        }),
        Some(true)
    );
    assert_eq!(
        one(&Readings {
            disks: Some(disks(capacity(0, 0))),
            ..Readings::default()
        }),
        None
    );
    let unread = DiskReadings {
        capacities: Vec::new(),
        unread: vec!["database".to_owned()],
    };
    let kept = one(&Readings {
        disks: Some(unread),
        ..Readings::default()
    });
    assert_eq!(kept, Some(false), "neither firing nor over");
}

fn waiting(messages: u64, seconds: u64) -> Backlog {
    Backlog {
        consumer: "EVENTS/persist".to_owned(),
        messages,
        oldest: Duration::from_secs(seconds),
    }
}

#[test]
fn one_message_that_waits_for_too_long_is_a_lag_too() {
    let after = |seconds| {
        one(&Readings {
            backlogs: Some(vec![waiting(1, seconds)]),
            ..Readings::default()
        })
    };
    assert_eq!(
        [0, 299, 300, 599, 600].map(after),
        [None, None, Some(false), Some(false), Some(true)]
    );
    let found = conditions(&Readings {
        backlogs: Some(vec![waiting(1, 700)]),
        ..Readings::default()
    });
    assert_eq!(
        found[0].title,
        "A message has waited for EVENTS/persist for 700 s without being acknowledged; the bound is 600 s."
    );
}

#[test]
fn what_is_missing_fires_and_ends_no_other_alert() {
    let missing = Some(vec!["JOBS".to_owned(), "EVENTS/persist".to_owned()]);
    let readings = Readings {
        backlogs: Some(vec![]),
        streams: Some(vec![]),
        missing,
        ..Readings::default()
    };
    let found = conditions(&readings);
    let lags: Vec<(&str, bool)> = found
        .iter()
        .filter(|one| one.kind == AlertKind::Lag)
        .map(|one| (one.subject.as_str(), one.is_firing))
        .collect();
    assert_eq!(lags, [("JOBS", true), ("EVENTS/persist", true)]);
    let full = found
        .iter()
        .find(|one| one.kind == AlertKind::StreamNearlyFull && one.subject == "JOBS")
        .unwrap();
    assert!(!full.is_firing, "it only keeps an alert open");
    assert_eq!(
        found[0].title,
        "The stream JOBS is missing: `devtrail streams apply` makes it again."
    );
}

#[test]
fn a_breaker_open_in_many_processes_is_one_condition() {
    let report = |actor: &str, name: &str, state| {
        (
            actor.to_owned(),
            BreakerReport {
                name: name.to_owned(),
                state,
                reason: Some("no answer".to_owned()),
            },
        )
    };
    let all = vec![
        report("w/2", "store", BreakerState::Open),
        report("w/1", "store", BreakerState::Open),
        report("w/1", "store", BreakerState::Open),
        report("w/1", "stream", BreakerState::Closed),
        report("w/3", "webhook:admin", BreakerState::HalfOpen),
    ];
    let found = conditions(&Readings {
        breakers: Some(all),
        ..Readings::default()
    });
    let open: Vec<(&str, u64, bool)> = found
        .iter()
        .map(|one| (one.subject.as_str(), one.count, one.is_firing))
        .collect();
    assert_eq!(
        open,
        [("store", 2, true)],
        "half-open it may be about to close"
    );
    assert_eq!(
        found[0].title,
        "The circuit breaker store is open in w/1, w/2. The last failure: no answer"
    );
}

#[test]
fn titles_are_sentences_with_value_and_bound() {
    let silent = SilentRole {
        role: "alert".to_owned(),
        since: 0,
        seconds: 45,
        is_overdue: true,
    };
    let overdue = Overdue {
        count: 3,
        oldest: BatchRef { src: 1, seq: 7 },
        state: BatchState::Triggered,
        persisted_at: 0,
    };
    let rule = RuleFailure {
        rule: "r".to_owned(),
        count: 2,
        error: "it panicked".to_owned(),
        last_failed: 0,
    };
    let readings = Readings {
        dead: Some([("dead.EVENTS.persist".to_owned(), 3)].into()),
        silent: Some(vec![silent]),
        overdue: Some(Some(overdue)),
        rules: vec![rule],
        ..Readings::default()
    };
    let found = conditions(&readings);
    let titles: Vec<&str> = found.iter().map(|one| one.title.as_str()).collect();
    assert_eq!(
        titles,
        [
            "Dead letters of EVENTS/persist are in DEAD: 3.",
            "No process of alert has given a sign of life since 1970-01-01T00:00:00.000000Z; the bound is 30 s.",
            "Batches that are not completed 600 s after they were stored: 3. The oldest is 1:7, triggered, \
             stored at 1970-01-01T00:00:00.000000Z.",
            "The rule r could not be evaluated, 2 times recently. The last reason: it panicked",
        ]
    );
    assert_eq!(
        found[1].numbers["seconds"],
        Measurement {
            value: 45,
            bound: Some(30)
        }
    );
}
