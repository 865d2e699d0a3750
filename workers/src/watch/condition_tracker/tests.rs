//! Properties of the tracker, whatever happens and whichever process runs it.

use proptest::prelude::*;

use super::*;

const THROTTLE: Throttle = Throttle {
    settle: Duration::from_secs(30),
    repeat: Duration::from_secs(300),
    rate: 5,
};
const KINDS: [AlertKind; 2] = [AlertKind::Lag, AlertKind::DeadLetter];

/// What one probe finds of each subject: nothing, something nearly over, or so many failures.
#[derive(Debug, Clone)]
struct Probe {
    /// Seconds since the probe before.
    pause: i64,
    /// Whether each kind could be probed.
    probed: [bool; 2],
    /// By subject.
    found: Vec<Option<(bool, u64)>>,
    /// The watcher dies after this many messages, and did not know that the last was published; another one reads the
    /// stream.
    dies_after: Option<usize>,
}

const SUBJECTS: usize = 8;

fn probes() -> impl Strategy<Value = Vec<Probe>> {
    let found = prop_oneof![
        2 => Just(None),
        1 => Just(Some((false, 1))),
        2 => (1_u64..50).prop_map(|count| Some((true, count))),
    ];
    let probe = (
        0_i64..90,
        prop::array::uniform2(prop::bool::weighted(0.9)),
        prop::collection::vec(found, SUBJECTS),
        prop::option::weighted(0.2, 0_usize..4),
    );
    let probe = probe.prop_map(|(pause, probed, found, dies_after)| Probe {
        pause,
        probed,
        found,
        dies_after,
    });
    prop::collection::vec(probe, 1..60)
}

fn key(index: usize) -> AlertKey {
    AlertKey {
        kind: KINDS[index % KINDS.len()],
        subject: format!("s{index}"),
    }
}

fn found_by(probe: &Probe) -> ProbedConditions {
    let probed = KINDS
        .into_iter()
        .zip(probe.probed)
        .filter_map(|(kind, probed)| probed.then_some(kind));
    let condition = |(index, found): (usize, &Option<(bool, u64)>)| {
        let (is_firing, count) = (*found)?;
        let AlertKey { kind, subject } = key(index);
        let title = format!("{count} failures.");
        Some(Condition {
            kind,
            subject,
            is_firing,
            pending_first: false,
            count,
            title,
            numbers: BTreeMap::new(),
        })
    };
    ProbedConditions {
        probed: probed.collect(),
        conditions: probe
            .found
            .iter()
            .enumerate()
            .filter_map(condition)
            .collect(),
    }
}

/// Runs the tracker through all probes, in as many watchers as die; returns what is in the stream.
fn run_probes(probes: &[Probe]) -> (Vec<AdminAlert>, ConditionTracker, Micros) {
    let mut stream = Vec::new();
    let mut now = 1_000 * SECOND;
    let mut tracker = ConditionTracker::read(THROTTLE, Vec::new());
    for probe in probes {
        now += probe.pause * SECOND;
        for (number, alert) in tracker.due(&found_by(probe), now).into_iter().enumerate() {
            stream.push(alert.clone());
            if probe.dies_after == Some(number) {
                tracker = ConditionTracker::read(THROTTLE, stream.clone());
                break;
            }
            tracker.record(alert);
        }
    }
    (stream, tracker, now)
}

/// Each alert is raised, sent again while it is open, and resolved before the next of its subject.
fn alternates(stream: &[AdminAlert]) -> Result<(), TestCaseError> {
    let mut open: BTreeMap<AlertKey, (String, u64)> = BTreeMap::new();
    for alert in stream {
        let before = open.get(&alert.key()).cloned();
        match (alert.state, before) {
            (AlertState::Raised, None) => prop_assert_eq!(alert.revision, 0),
            (AlertState::Resolved, None) => {
                prop_assert!(false, "resolved, but not raised: {:?}", alert);
            }
            (_, Some(before)) => {
                prop_assert_eq!(&before, &(alert.alert_id.clone(), alert.revision - 1));
            }
        }
        match alert.state {
            AlertState::Raised => {
                open.insert(alert.key(), (alert.alert_id.clone(), alert.revision))
            }
            AlertState::Resolved => open.remove(&alert.key()),
        };
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn an_alert_is_raised_once_and_resolved_once(probes in probes()) {
        let (mut stream, mut tracker, mut now) = run_probes(&probes);
        let over = ProbedConditions { probed: KINDS.into(), conditions: Vec::new() };
        // Long enough for every condition to settle and to have its turn.
        for _ in 0..40 {
            for alert in tracker.due(&over, now) {
                stream.push(alert.clone());
                tracker.record(alert);
            }
            now += 10 * SECOND;
        }
        alternates(&stream)?;
        let open = newest(stream).into_iter().filter(|alert| alert.state == AlertState::Raised).count();
        prop_assert_eq!(open, 0);
    }

    #[test]
    fn messages_of_a_kind_stay_within_the_rate(probes in probes()) {
        let (stream, ..) = run_probes(&probes);
        for alert in &stream {
            let within = |other: &&AdminAlert| {
                other.kind == alert.kind && (0..RATE_WINDOW).contains(&(other.time - alert.time))
            };
            prop_assert!(stream.iter().filter(within).count() <= THROTTLE.rate as usize);
        }
    }

    #[test]
    fn message_ids_are_unique(probes in probes()) {
        let (stream, ..) = run_probes(&probes);
        let ids: BTreeSet<String> = stream.iter().map(AdminAlert::message_id).collect();
        prop_assert_eq!(ids.len(), stream.len());
    }
}

proptest! {
    /// However dead letters come and go: more than at any time since the last message are sent, in time.
    #[test]
    fn dead_letters_that_come_after_others_went_are_sent(counts in prop::collection::vec(0_u64..20, 1..40)) {
        let throttle = Throttle { settle: Duration::from_secs(100_000), ..THROTTLE };
        let mut tracker = ConditionTracker::read(throttle, Vec::new());
        let mut lowest = None;
        for (turn, count) in counts.into_iter().enumerate() {
            let found = if count > 0 { one(true, count) } else { all_over() };
            let published = step(&mut tracker, &found, 300 * turn as i64);
            let is_news = lowest.map_or(count > 0, |lowest| count > lowest);
            prop_assert_eq!(published, if is_news { vec![(AlertState::Raised, count)] } else { vec![] });
            lowest = if is_news { Some(count) } else { lowest.map(|lowest: u64| lowest.min(count)) };
        }
    }

    /// What grows without end is sent again, each time as a step; what wavers about its bound is not.
    #[test]
    fn a_lag_is_sent_again_when_it_has_doubled(values in prop::collection::vec(0_u64..2_000, 1..40)) {
        let throttle = Throttle { settle: Duration::from_secs(100_000), ..THROTTLE };
        let mut tracker = ConditionTracker::read(throttle, Vec::new());
        let mut lowest = None;
        for (turn, value) in values.into_iter().enumerate() {
            let found = measured(AlertKind::Lag, "messages", value, 100);
            let published = !step(&mut tracker, &found, 300 * turn as i64).is_empty();
            let is_firing = value > 100;
            let is_news = is_firing && lowest.is_none_or(|lowest: u64| value >= 2 * lowest.max(100));
            prop_assert_eq!(published, is_news);
            lowest = if is_news { Some(value) } else { lowest.map(|lowest| lowest.min(value)) };
        }
    }
}

/// Nothing is wrong.
fn all_over() -> ProbedConditions {
    found_by(&Probe {
        pause: 0,
        probed: [true; 2],
        found: Vec::new(),
        dies_after: None,
    })
}

/// One condition with this number; it fires above the bound.
fn measured(kind: AlertKind, name: &str, value: u64, bound: u64) -> ProbedConditions {
    let title = "It is so full.".to_owned();
    let condition = Condition {
        is_firing: value > bound,
        pending_first: kind == AlertKind::StreamNearlyFull,
        ..Condition::firing(kind, "EVENTS", 1, title).with(name, value, Some(bound))
    };
    ProbedConditions {
        probed: [kind].into(),
        conditions: vec![condition],
    }
}

#[test]
fn a_stream_that_is_purged_raises_only_if_it_stays_full() {
    let mut tracker = ConditionTracker::read(THROTTLE, Vec::new());
    let full = |percent| measured(AlertKind::StreamNearlyFull, "percent", percent, 80);
    for (second, percent) in [(0, 81), (5, 70), (10, 81), (15, 70)] {
        assert_eq!(
            step(&mut tracker, &full(percent), second),
            [],
            "purged before the next probe"
        );
    }
    assert_eq!(step(&mut tracker, &full(81), 20), []);
    assert_eq!(
        step(&mut tracker, &ProbedConditions::default(), 25),
        [],
        "it could not be probed"
    );
    assert_eq!(step(&mut tracker, &full(82), 30).len(), 1);
    assert_eq!(step(&mut tracker, &full(86), 1_000), []);
    assert_eq!(step(&mut tracker, &full(87), 1_005).len(), 1);
    assert_eq!(
        step(&mut tracker, &full(93), 1_010),
        [],
        "not so soon again"
    );
    assert_eq!(step(&mut tracker, &full(93), 1_305).len(), 1);
}

fn one(is_firing: bool, count: u64) -> ProbedConditions {
    found_by(&Probe {
        pause: 0,
        probed: [true; 2],
        found: vec![None, Some((is_firing, count))],
        dies_after: None,
    })
}

/// Records what is due; returns (state, count).
fn step(
    tracker: &mut ConditionTracker,
    findings: &ProbedConditions,
    second: i64,
) -> Vec<(AlertState, u64)> {
    let due = tracker.due(findings, second * SECOND);
    due.iter().for_each(|alert| tracker.record(alert.clone()));
    due.iter().map(|alert| (alert.state, alert.count)).collect()
}

#[test]
fn ten_dead_letters_are_one_alert_whose_count_rises() {
    let mut tracker = ConditionTracker::read(THROTTLE, Vec::new());
    assert_eq!(
        step(&mut tracker, &one(true, 1), 0),
        [(AlertState::Raised, 1)]
    );
    for count in 2..10 {
        assert_eq!(step(&mut tracker, &one(true, count), count as i64), []);
    }
    assert_eq!(
        step(&mut tracker, &one(true, 10), 300),
        [(AlertState::Raised, 10)]
    );
    assert_eq!(step(&mut tracker, &one(true, 10), 900), [], "nothing new");
    assert_eq!(
        step(&mut tracker, &one(true, 10), 300 + 24 * 3600),
        [(AlertState::Raised, 10)],
        "a reminder a day"
    );
}

#[test]
fn an_alert_is_resolved_once_its_condition_stays_over() {
    let over = all_over();
    let mut tracker = ConditionTracker::read(THROTTLE, Vec::new());
    assert_eq!(
        step(&mut tracker, &one(false, 1), 0),
        [],
        "nearly over raises nothing"
    );
    assert_eq!(step(&mut tracker, &one(true, 1), 10).len(), 1);
    assert_eq!(step(&mut tracker, &over, 20), []);
    assert_eq!(
        step(&mut tracker, &one(false, 1), 40),
        [],
        "nearly over keeps it"
    );
    assert_eq!(step(&mut tracker, &over, 50), []);
    assert_eq!(
        step(&mut tracker, &ProbedConditions::default(), 200),
        [],
        "nothing is known"
    );
    assert_eq!(step(&mut tracker, &over, 79), []);
    assert_eq!(step(&mut tracker, &over, 80), [(AlertState::Resolved, 1)]);
    assert_eq!(step(&mut tracker, &over, 1000), []);
}
