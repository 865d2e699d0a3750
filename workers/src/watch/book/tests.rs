//! Properties of the book: whatever happens, and whoever keeps it.

use proptest::prelude::*;

use super::*;

const PACE: Pace = Pace {
    settle: Duration::from_secs(30),
    repeat: Duration::from_secs(300),
    rate: 5,
};
const KINDS: [Kind; 2] = [Kind::Lag, Kind::DeadLetter];

/// What one look finds at each of some places: nothing, something almost well, or so many troubles.
#[derive(Debug, Clone)]
struct Look {
    /// Seconds since the look before.
    pause: i64,
    /// Whether each kind could be looked at.
    looked: [bool; 2],
    /// By place.
    found: Vec<Option<(bool, u64)>>,
    /// The watcher dies after this many messages, the last of which it did not know to be taken;
    /// another one reads the stream.
    dies_after: Option<usize>,
}

const PLACES: usize = 8;

fn looks() -> impl Strategy<Value = Vec<Look>> {
    let found = prop_oneof![
        2 => Just(None),
        1 => Just(Some((false, 1))),
        2 => (1_u64..50).prop_map(|count| Some((true, count))),
    ];
    let look = (
        0_i64..90,
        prop::array::uniform2(prop::bool::weighted(0.9)),
        prop::collection::vec(found, PLACES),
        prop::option::weighted(0.2, 0_usize..4),
    );
    let look = look.prop_map(|(pause, looked, found, dies_after)| Look {
        pause,
        looked,
        found,
        dies_after,
    });
    prop::collection::vec(look, 1..60)
}

fn place(index: usize) -> (Kind, String) {
    (KINDS[index % KINDS.len()], format!("s{index}"))
}

fn findings(look: &Look) -> Findings {
    let looked = KINDS
        .into_iter()
        .zip(look.looked)
        .filter_map(|(kind, looked)| looked.then_some(kind));
    let trouble = |(index, found): (usize, &Option<(bool, u64)>)| {
        let ((is_bad, count), (kind, subject)) = ((*found)?, place(index));
        let title = format!("{count} troubles.");
        Some(Trouble {
            kind,
            subject,
            is_bad,
            dwells: false,
            count,
            title,
            numbers: BTreeMap::new(),
        })
    };
    Findings {
        looked: looked.collect(),
        troubles: look.found.iter().enumerate().filter_map(trouble).collect(),
    }
}

/// Keeps the book through all looks, by as many watchers as die; gives what is in the stream.
fn kept(looks: &[Look]) -> (Vec<AdminAlert>, Book, Micros) {
    let (mut stream, mut now) = (Vec::new(), 1_000 * SECOND);
    let mut book = Book::read(PACE, Vec::new());
    for look in looks {
        now += look.pause * SECOND;
        for (number, alert) in book.due(&findings(look), now).into_iter().enumerate() {
            stream.push(alert.clone());
            if look.dies_after == Some(number) {
                book = Book::read(PACE, stream.clone());
                break;
            }
            book.took(alert);
        }
    }
    (stream, book, now)
}

/// Each alert is raised, told again while it stands, and resolved before the next of its place.
fn alternates(stream: &[AdminAlert]) -> Result<(), TestCaseError> {
    let mut standing: BTreeMap<Place, (String, u64)> = BTreeMap::new();
    for alert in stream {
        let before = standing.get(&alert.place()).cloned();
        match (alert.state, before) {
            (State::Raised, None) => prop_assert_eq!(alert.revision, 0),
            (State::Resolved, None) => prop_assert!(false, "resolved, but not raised: {:?}", alert),
            (_, Some(before)) => {
                prop_assert_eq!(&before, &(alert.alert_id.clone(), alert.revision - 1))
            }
        }
        match alert.state {
            State::Raised => {
                standing.insert(alert.place(), (alert.alert_id.clone(), alert.revision))
            }
            State::Resolved => standing.remove(&alert.place()),
        };
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn no_alert_is_raised_twice_and_each_is_resolved_once_its_trouble_is_gone(looks in looks()) {
        let (mut stream, mut book, mut now) = kept(&looks);
        let well = Findings { looked: KINDS.into(), troubles: Vec::new() };
        // Long enough for every place to settle and to have its turn.
        for _ in 0..40 {
            for alert in book.due(&well, now) {
                stream.push(alert.clone());
                book.took(alert);
            }
            now += 10 * SECOND;
        }
        alternates(&stream)?;
        let open = newest(stream).into_iter().filter(|alert| alert.state == State::Raised).count();
        prop_assert_eq!(open, 0);
    }

    #[test]
    fn no_more_messages_of_a_kind_come_in_a_minute_than_the_rate_says(looks in looks()) {
        let (stream, ..) = kept(&looks);
        for alert in &stream {
            let within = |other: &&AdminAlert| {
                other.kind == alert.kind && (0..WINDOW).contains(&(other.time - alert.time))
            };
            prop_assert!(stream.iter().filter(within).count() <= PACE.rate as usize);
        }
    }

    #[test]
    fn message_ids_are_each_their_own(looks in looks()) {
        let (stream, ..) = kept(&looks);
        let ids: BTreeSet<String> = stream.iter().map(AdminAlert::message_id).collect();
        prop_assert_eq!(ids.len(), stream.len());
    }
}

proptest! {
    /// However letters come and go: more than at any time since the last message are told, in time.
    #[test]
    fn letters_that_come_after_others_went_are_told(counts in prop::collection::vec(0_u64..20, 1..40)) {
        let pace = Pace { settle: Duration::from_secs(100_000), ..PACE };
        let (mut book, mut lowest) = (Book::read(pace, Vec::new()), None);
        for (turn, count) in counts.into_iter().enumerate() {
            let found = if count > 0 { one(true, count) } else { well() };
            let told = step(&mut book, &found, 300 * turn as i64);
            let is_news = lowest.map_or(count > 0, |lowest| count > lowest);
            prop_assert_eq!(told, if is_news { vec![(State::Raised, count)] } else { vec![] });
            lowest = if is_news { Some(count) } else { lowest.map(|lowest: u64| lowest.min(count)) };
        }
    }

    /// What grows without end is told again, each time as a step; what wavers about its bound is not.
    #[test]
    fn a_lag_is_told_again_when_it_doubled(values in prop::collection::vec(0_u64..2_000, 1..40)) {
        let pace = Pace { settle: Duration::from_secs(100_000), ..PACE };
        let (mut book, mut lowest) = (Book::read(pace, Vec::new()), None);
        for (turn, value) in values.into_iter().enumerate() {
            let found = measured(Kind::Lag, "messages", value, 100);
            let told = !step(&mut book, &found, 300 * turn as i64).is_empty();
            let is_bad = value > 100;
            let is_news = is_bad && lowest.is_none_or(|lowest: u64| value >= 2 * lowest.max(100));
            prop_assert_eq!(told, is_news);
            lowest = if is_news { Some(value) } else { lowest.map(|lowest| lowest.min(value)) };
        }
    }
}

/// Nothing is wrong.
fn well() -> Findings {
    findings(&Look {
        pause: 0,
        looked: [true; 2],
        found: Vec::new(),
        dies_after: None,
    })
}

/// One trouble with this number; bad above the bound.
fn measured(kind: Kind, name: &str, value: u64, bound: u64) -> Findings {
    let numbers = [(
        name.to_owned(),
        Number {
            value,
            bound: Some(bound),
        },
    )]
    .into();
    let (subject, title) = ("EVENTS".to_owned(), "It is so full.".to_owned());
    let dwells = kind == Kind::StreamNearlyFull;
    let trouble = Trouble {
        kind,
        subject,
        is_bad: value > bound,
        dwells,
        count: 1,
        title,
        numbers,
    };
    Findings {
        looked: [kind].into(),
        troubles: vec![trouble],
    }
}

#[test]
fn a_stream_that_others_empty_is_told_only_where_it_stays_full_and_again_five_points_on() {
    let mut book = Book::read(PACE, Vec::new());
    let full = |percent| measured(Kind::StreamNearlyFull, "percent", percent, 80);
    for (second, percent) in [(0, 81), (5, 70), (10, 81), (15, 70)] {
        assert_eq!(
            step(&mut book, &full(percent), second),
            [],
            "trimmed before the next look"
        );
    }
    assert_eq!(step(&mut book, &full(81), 20), []);
    assert_eq!(
        step(&mut book, &Findings::default(), 25),
        [],
        "not looked at: it is no look"
    );
    assert_eq!(step(&mut book, &full(82), 30).len(), 1);
    assert_eq!(step(&mut book, &full(86), 1_000), []);
    assert_eq!(step(&mut book, &full(87), 1_005).len(), 1);
    assert_eq!(step(&mut book, &full(93), 1_010), [], "not so soon again");
    assert_eq!(step(&mut book, &full(93), 1_305).len(), 1);
}

fn one(is_bad: bool, count: u64) -> Findings {
    findings(&Look {
        pause: 0,
        looked: [true; 2],
        found: vec![None, Some((is_bad, count))],
        dies_after: None,
    })
}

/// What is due is taken; gives (state, count).
fn step(book: &mut Book, findings: &Findings, second: i64) -> Vec<(State, u64)> {
    let due = book.due(findings, second * SECOND);
    due.iter().for_each(|alert| book.took(alert.clone()));
    due.iter().map(|alert| (alert.state, alert.count)).collect()
}

#[test]
fn ten_dead_letters_are_one_alert_whose_count_rises_every_few_minutes() {
    let mut book = Book::read(PACE, Vec::new());
    assert_eq!(step(&mut book, &one(true, 1), 0), [(State::Raised, 1)]);
    for letter in 2..10 {
        assert_eq!(step(&mut book, &one(true, letter), letter as i64), []);
    }
    assert_eq!(step(&mut book, &one(true, 10), 300), [(State::Raised, 10)]);
    assert_eq!(step(&mut book, &one(true, 10), 900), [], "nothing new");
    assert_eq!(
        step(&mut book, &one(true, 10), 300 + 24 * 3600),
        [(State::Raised, 10)],
        "a reminder a day"
    );
}

#[test]
fn an_alert_is_resolved_when_it_was_well_for_a_while_without_a_break() {
    let (mut book, well) = (Book::read(PACE, Vec::new()), well());
    assert_eq!(
        step(&mut book, &one(false, 1), 0),
        [],
        "almost well raises nothing"
    );
    assert_eq!(step(&mut book, &one(true, 1), 10).len(), 1);
    assert_eq!(step(&mut book, &well, 20), []);
    assert_eq!(
        step(&mut book, &one(false, 1), 40),
        [],
        "almost well keeps it"
    );
    assert_eq!(step(&mut book, &well, 50), []);
    assert_eq!(
        step(&mut book, &Findings::default(), 200),
        [],
        "nothing is known"
    );
    assert_eq!(step(&mut book, &well, 79), []);
    assert_eq!(step(&mut book, &well, 80), [(State::Resolved, 1)]);
    assert_eq!(step(&mut book, &well, 1000), []);
}
