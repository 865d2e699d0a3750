//! The breaker against a naive model of it, and each of its numbers.

mod model;

use std::time::Duration;

use proptest::prelude::*;

use super::*;
use model::Model;

const S: BreakerSettings = BreakerSettings::DEFAULT;

#[derive(Debug, Clone)]
enum Step {
    Acquire,
    /// Ends one of the calls in flight, of any state.
    End(prop::sample::Index, CallOutcome),
    Advance(Duration),
    /// The dependency may be healthy again.
    Hint,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    // How often calls fail is the run's: all in a row, about half, or hardly any.
    prop_oneof![Just(95_u32), Just(50), Just(20), Just(5)].prop_flat_map(|failures| {
        let outcome = prop_oneof![
            failures => Just(CallOutcome::Failed),
            100 - failures => Just(CallOutcome::Ok),
            10 => Just(CallOutcome::Ignored),
        ];
        let advance = prop_oneof![0_u64..1_500, 4_900_u64..5_100, 0_u64..61_000];
        let step = prop_oneof![
            20 => Just(Step::Acquire),
            20 => (any::<prop::sample::Index>(), outcome).prop_map(|(call, outcome)| Step::End(call, outcome)),
            4 => advance.prop_map(|ms| Step::Advance(Duration::from_millis(ms))),
            1 => Just(Step::Hint),
        ];
        prop::collection::vec(step, 1..300)
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn it_does_what_the_model_does(
        steps in steps(),
        (open_for, open_at_most) in prop_oneof![Just((5, 60)), (1_u64..130, 1_u64..130)],
    ) {
        let openings = BreakerSettings { open_for: at(open_for), open_at_most: at(open_at_most), ..S };
        let mut real = Breaker::new(openings);
        let mut model = Model::new(openings);
        let mut now = Duration::ZERO;
        let mut under_way = Vec::new();
        for (number, step) in steps.into_iter().enumerate() {
            match step {
                Step::Acquire => match (real.refuses(now), real.acquire(now), model.acquire(now)) {
                    (None, Ok(ticket), Ok(call)) => under_way.push((ticket, call)),
                    (refuses, Err(left), Err(expected)) => {
                        prop_assert_eq!((refuses, left), (Some(left), expected), "step {}", number);
                    }
                    (refuses, acquired, expected) => {
                        let found = format!("{refuses:?}, {acquired:?}");
                        return Err(TestCaseError::fail(format!("step {number}: {found}, not {expected:?}")));
                    }
                },
                Step::End(_, _) if under_way.is_empty() => {}
                Step::End(which, outcome) => {
                    let (ticket, call) = under_way.swap_remove(which.index(under_way.len()));
                    prop_assert_eq!(real.counts(ticket), model.calls[call].0 == model.stay, "step {}", number);
                    real.done(ticket, outcome, now);
                    model.done(call, outcome, now);
                }
                Step::Advance(time) => now += time,
                Step::Hint => {
                    real.hint(now);
                    model.hint(now);
                }
            }
            let found = (real.state(now), real.open_for(now));
            let expected = (model.state(now), model.left(now));
            prop_assert_eq!(found, expected, "step {} at {:?}", number, now);
        }
    }
}

const fn at(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// A breaker, and its calls one after the other.
fn after(outcomes: &[(CallOutcome, u64)]) -> Breaker {
    let mut breaker = Breaker::new(S);
    for (outcome, second) in outcomes {
        let ticket = breaker.acquire(at(*second)).expect("it is closed");
        breaker.done(ticket, *outcome, at(*second));
    }
    breaker
}

use CallOutcome::{Failed, Ignored, Ok as Well};

#[test]
fn five_failures_in_a_row_open_it_and_four_do_not() {
    assert_eq!(after(&[(Failed, 0); 4]).state(at(0)), BreakerState::Closed);
    assert_eq!(after(&[(Failed, 0); 5]).state(at(0)), BreakerState::Open);
    let between = [
        (Failed, 0),
        (Failed, 0),
        (Failed, 0),
        (Failed, 0),
        (Well, 0),
        (Failed, 0),
    ];
    assert_eq!(after(&between).state(at(0)), BreakerState::Closed);
    // What says nothing does not end a row.
    let ignored = [
        (Failed, 0),
        (Failed, 0),
        (Failed, 0),
        (Failed, 0),
        (Ignored, 0),
        (Failed, 0),
    ];
    assert_eq!(after(&ignored).state(at(0)), BreakerState::Open);
}

#[test]
fn half_of_twenty_failures_open_it_and_fewer_do_not() {
    let alternating = |count: usize| {
        [(Failed, 0), (Well, 0)]
            .into_iter()
            .cycle()
            .take(count)
            .collect::<Vec<_>>()
    };
    assert_eq!(after(&alternating(19)).state(at(0)), BreakerState::Closed);
    assert_eq!(after(&alternating(20)).state(at(0)), BreakerState::Open);
    let mut nine_of_twenty = alternating(18);
    nine_of_twenty.extend([(Well, 0), (Well, 0)]);
    assert_eq!(after(&nine_of_twenty).state(at(0)), BreakerState::Closed);
}

#[test]
fn outcomes_older_than_thirty_seconds_do_not_count() {
    let spread = |later: u64| {
        let first = [(Failed, 0), (Well, 0)].into_iter().cycle().take(10);
        first
            .chain(
                [(Failed, later), (Well, later)]
                    .into_iter()
                    .cycle()
                    .take(10),
            )
            .collect::<Vec<_>>()
    };
    assert_eq!(after(&spread(29)).state(at(29)), BreakerState::Open);
    assert_eq!(after(&spread(30)).state(at(30)), BreakerState::Closed);
}

#[test]
fn it_opens_for_5_s_doubling_to_60_s_until_it_was_closed() {
    let mut breaker = after(&[(Failed, 0); 5]);
    let mut now = at(0);
    for seconds in [5, 10, 20, 40, 60, 60] {
        assert_eq!(breaker.open_for(now), at(seconds));
        assert_eq!(
            breaker.acquire(now + at(seconds) - Duration::from_millis(1)),
            Err(Duration::from_millis(1))
        );
        now += at(seconds);
        let probe = breaker.acquire(now).unwrap();
        breaker.done(probe, Failed, now);
    }
    now += at(60);
    for _ in 0..3 {
        assert_eq!(breaker.state(now), BreakerState::HalfOpen);
        let probe = breaker.acquire(now).unwrap();
        breaker.done(probe, Well, now);
    }
    assert_eq!(breaker.state(now), BreakerState::Closed);
    for _ in 0..5 {
        let ticket = breaker.acquire(now).unwrap();
        breaker.done(ticket, Failed, now);
    }
    assert_eq!(breaker.open_for(now), at(5));
}

#[test]
fn a_hint_ends_an_opening_and_a_failed_probe_doubles_the_next() {
    let mut breaker = after(&[(Failed, 0); 5]);
    for (now, next) in [(1, 10), (2, 20), (3, 40)] {
        assert_eq!(breaker.state(at(now)), BreakerState::Open);
        breaker.hint(at(now));
        assert_eq!(
            (breaker.state(at(now)), breaker.open_for(at(now))),
            (BreakerState::HalfOpen, at(0))
        );
        let probe = breaker.acquire(at(now)).unwrap();
        breaker.hint(at(now));
        assert!(breaker.counts(probe), "half-open it is no news");
        breaker.done(probe, Failed, at(now));
        assert_eq!(breaker.open_for(at(now)), at(next));
    }
}

#[test]
fn three_probes_pass_and_one_without_a_result_is_replaced() {
    let mut breaker = after(&[(Failed, 0); 5]);
    let probes: Vec<Ticket> = (0..3).map(|_| breaker.acquire(at(5)).unwrap()).collect();
    assert_eq!(breaker.acquire(at(5)), Err(Duration::ZERO));
    breaker.done(probes[0], Ignored, at(6));
    let another = breaker.acquire(at(6)).unwrap();
    for probe in [probes[1], probes[2], another] {
        assert_eq!(breaker.acquire(at(6)), Err(Duration::ZERO));
        breaker.done(probe, Well, at(6));
    }
    assert_eq!(breaker.state(at(6)), BreakerState::Closed);
}

#[test]
fn what_an_older_state_let_through_says_nothing() {
    let mut breaker = Breaker::new(S);
    let late: Vec<Ticket> = (0..10).map(|_| breaker.acquire(at(0)).unwrap()).collect();
    late[..5]
        .iter()
        .for_each(|ticket| breaker.done(*ticket, Failed, at(0)));
    let mut probe = breaker.acquire(at(5)).unwrap();
    late[5..]
        .iter()
        .for_each(|ticket| breaker.done(*ticket, Failed, at(5)));
    assert_eq!(
        breaker.state(at(5)),
        BreakerState::HalfOpen,
        "late failures are no probes'"
    );
    for _ in 0..2 {
        breaker.done(probe, Well, at(5));
        probe = breaker.acquire(at(5)).unwrap();
    }
    breaker.done(probe, Well, at(5));
    late.iter()
        .for_each(|ticket| breaker.done(*ticket, Failed, at(5)));
    assert_eq!(breaker.state(at(5)), BreakerState::Closed);
}
