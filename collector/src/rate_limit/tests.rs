//! A bucket against a model of it, and keys whose buckets outlive a reload of the table.

use governor::clock::FakeRelativeClock;
use proptest::prelude::*;

use super::*;

const MS: Duration = Duration::from_millis(1);

fn limiter(rate: u32, max_events: usize) -> (RateLimiter<FakeRelativeClock>, FakeRelativeClock) {
    let clock = FakeRelativeClock::default();
    (
        RateLimiter::new(
            RateLimitPolicy::of(rate, max_events).unwrap(),
            clock.clone(),
        ),
        clock,
    )
}

fn shown(state: RateLimitState) -> [String; 2] {
    state
        .headers()
        .map(|(name, value)| format!("{name}: {}", value.to_str().unwrap()))
}

#[test]
fn the_headers_tell_burst_window_and_remainder() {
    let (limiter, _) = limiter(50_000, 1000);
    let policy = "ratelimit-policy: \"events\";q=100000;w=2";
    assert_eq!(
        shown(limiter.charge(50).unwrap()),
        [policy, "ratelimit: \"events\";r=99950;t=1"]
    );
    for _ in 0..99 {
        limiter.charge(1000).unwrap();
    }
    assert_eq!(
        shown(limiter.charge(950).unwrap()),
        [policy, "ratelimit: \"events\";r=0;t=2"]
    );
}

#[test]
fn a_refused_batch_costs_nothing_and_passes_after_the_pause() {
    let (limiter, clock) = limiter(10, 30);
    assert_eq!(limiter.charge(25).unwrap().remaining, 5);
    for _ in 0..3 {
        let limited = limiter.charge(20).unwrap_err();
        assert_eq!(limited.after, Duration::from_millis(1500));
        assert_eq!(
            shown(limited.state),
            [
                "ratelimit-policy: \"events\";q=30;w=3",
                "ratelimit: \"events\";r=5;t=2"
            ]
        );
    }
    // What is left may be sent all the same.
    assert_eq!(limiter.charge(5).unwrap().remaining, 0);
    clock.advance(Duration::from_millis(1999));
    assert_eq!(limiter.charge(20).unwrap_err().after, MS);
    clock.advance(MS);
    assert_eq!(limiter.charge(20).unwrap().remaining, 0);
}

#[test]
fn a_refusal_names_rate_rest_and_pause() {
    let (limiter, _) = limiter(2, 3);
    limiter.charge(3).unwrap();
    let problem = refusal(limiter.charge(2).unwrap_err(), 2);
    assert_eq!(
        (problem.code, problem.limit),
        (ErrorCode::RateLimited, Some(2))
    );
    assert_eq!(problem.retry_after, Some(Duration::from_millis(500)));
    let detail =
        "The key may send 2 events a second, at most 4 at once; 1 are left, the batch has 2.";
    assert!(problem.detail.starts_with(detail), "{}", problem.detail);
    let headers = problem.headers.unwrap();
    assert!(
        headers[RATE_LIMIT]
            .to_str()
            .unwrap()
            .starts_with("\"events\";r=1;"),
        "{headers:?}"
    );
}

#[test]
fn a_whole_batch_fits_any_rate_and_without_one_nothing_counts() {
    assert_eq!(RateLimitPolicy::of(0, 1000), None);
    assert!(charge(None, usize::MAX).unwrap().is_none());
    for (rate, max_events, burst) in [
        (1, 1000, 1000),
        (499, 1000, 1000),
        (501, 1000, 1002),
        (1, 0, 2),
        (u32::MAX, 9, 2_000_000_000),
    ] {
        assert_eq!(
            RateLimitPolicy::of(rate, max_events).unwrap().burst.get(),
            burst,
            "{rate}"
        );
    }
    // More than a request may have costs the burst: nothing waits indefinitely.
    let (limiter, _) = limiter(1, 10);
    assert_eq!(limiter.charge(usize::MAX).unwrap().remaining, 0);
    assert_eq!(
        limiter.charge(usize::MAX).unwrap_err().after,
        Duration::from_secs(10)
    );
}

#[derive(Debug, Clone)]
enum Step {
    Pause(u64),
    Send(usize),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        (0..3000_u64).prop_map(Step::Pause),
        (1..200_usize).prop_map(Step::Send)
    ]
}

proptest! {
    /// The model: a bucket of nanoseconds' worth of events that fills up to the burst.
    #[test]
    fn a_limiter_does_as_a_bucket_does(
        rate in 1..500_u32,
        max_events in 1..200_usize,
        steps in prop::collection::vec(step(), 1..60),
    ) {
        let (limiter, clock) = limiter(rate, max_events);
        let burst = u128::from(limiter.policy().burst.get());
        let each = u128::from(1_000_000_000 / rate);
        let mut bucket = burst * each;
        for step in steps {
            match step {
                Step::Pause(ms) => {
                    clock.advance(Duration::from_millis(ms));
                    bucket = (bucket + u128::from(ms) * 1_000_000).min(burst * each);
                }
                Step::Send(events) => {
                    let cost = (events as u128).min(burst) * each;
                    match limiter.charge(events) {
                        Ok(state) => {
                            prop_assert!(cost <= bucket);
                            bucket -= cost;
                            prop_assert_eq!(u128::from(state.remaining), bucket / each);
                        }
                        Err(limited) => {
                            prop_assert!(cost > bucket);
                            prop_assert_eq!(limited.after.as_nanos(), cost - bucket);
                            prop_assert_eq!(u128::from(limited.state.remaining), bucket / each);
                        }
                    }
                }
            }
        }
    }
}
