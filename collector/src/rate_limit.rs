//! How many events a second each key may send: one bucket for each key, in this process only.
//!
//! Counted are the events of a batch, once it is about to be published; what is refused costs nothing.

use std::num::NonZeroU32;
use std::time::Duration;

use governor::Quota;
use governor::clock::{Clock, MonotonicClock};
use governor::middleware::StateInformationMiddleware;
use governor::state::{InMemoryState, NotKeyed};
use http::{HeaderName, HeaderValue};

use http_server::{ErrorCode, Problem};

const RATE_LIMIT: HeaderName = HeaderName::from_static("ratelimit");
const RATE_LIMIT_POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");

/// A key that was idle may send this many seconds' worth at once.
const BURST_SECONDS: u32 = 2;
/// One event a nanosecond, the finest step of the limiter; a higher rate counts as this.
const MAX_RATE: u32 = 1_000_000_000;

/// What a key may send.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RateLimitPolicy {
    /// Events a second in the long run.
    rate: NonZeroU32,
    /// Events at once, after a pause.
    burst: NonZeroU32,
}

impl RateLimitPolicy {
    /// The policy of `rate` events a second; `None` if that is 0.
    ///
    /// Its burst is twice the rate, and never less than `max_events`: a batch within the limits of a request must
    /// pass sooner or later, whatever the rate.
    #[must_use]
    pub fn of(rate: u32, max_events: usize) -> Option<Self> {
        let rate = NonZeroU32::new(rate.min(MAX_RATE))?;
        let batch = u32::try_from(max_events).unwrap_or(u32::MAX);
        let burst =
            NonZeroU32::new(rate.get().saturating_mul(BURST_SECONDS).max(batch)).unwrap_or(rate);
        Some(Self { rate, burst })
    }

    /// Seconds in which this many events are allowed again, rounded up.
    fn seconds(self, events: u32) -> u64 {
        u64::from(events).div_ceil(self.rate.get().into())
    }
}

/// What a key may still send: the headers `RateLimit` and `RateLimit-Policy`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RateLimitState {
    policy: RateLimitPolicy,
    /// Events that may be sent at once.
    remaining: u32,
    /// Seconds until all of the burst may be sent at once; after a refusal, until the same batch may.
    reset: u64,
}

impl RateLimitState {
    /// Both headers, as draft-ietf-httpapi-ratelimit-headers-11 has them: `q` is the burst, `w` the seconds in
    /// which it comes back, `r` what is left, `t` in how many seconds it is there again. `t` is not later than
    /// `Retry-After`, as section 6 of the draft requires.
    #[must_use]
    pub fn headers(self) -> [(HeaderName, HeaderValue); 2] {
        let Self {
            policy,
            remaining,
            reset,
        } = self;
        let burst = policy.burst.get();
        let value = |text: String| {
            HeaderValue::from_str(&text).expect("digits and letters are a header value")
        };
        [
            (
                RATE_LIMIT_POLICY,
                value(format!("\"events\";q={burst};w={}", policy.seconds(burst))),
            ),
            (
                RATE_LIMIT,
                value(format!("\"events\";r={remaining};t={reset}")),
            ),
        ]
    }
}

/// The refusal of a batch that has to wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RateLimited {
    /// The batch is not counted.
    pub state: RateLimitState,
    /// After this time the same batch may pass, if nothing else is sent meanwhile.
    pub after: Duration,
}

/// Counts the events of one key.
#[derive(Debug)]
pub struct RateLimiter<C: Clock = MonotonicClock> {
    policy: RateLimitPolicy,
    limiter: governor::RateLimiter<NotKeyed, InMemoryState, C, StateInformationMiddleware>,
}

impl<C: Clock> RateLimiter<C> {
    /// A limiter that has counted nothing yet.
    #[must_use]
    pub fn new(policy: RateLimitPolicy, clock: C) -> Self {
        let quota = Quota::per_second(policy.rate).allow_burst(policy.burst);
        Self {
            policy,
            limiter: governor::RateLimiter::direct_with_clock(quota, clock).with_middleware(),
        }
    }

    /// The limit that it enforces.
    #[must_use]
    pub fn policy(&self) -> RateLimitPolicy {
        self.policy
    }

    /// Counts a batch of this many events.
    ///
    /// # Errors
    /// Returns [`RateLimited`] if the batch has to wait.
    pub fn charge(&self, events: usize) -> Result<RateLimitState, RateLimited> {
        let policy = self.policy;
        // Never more than the burst, so that there always is a time at which it passes.
        let cost = u32::try_from(events)
            .unwrap_or(u32::MAX)
            .clamp(1, policy.burst.get());
        let cost = NonZeroU32::new(cost).unwrap_or(NonZeroU32::MIN);
        match self
            .limiter
            .check_n(cost)
            .expect("a batch costs at most the burst")
        {
            Ok(state) => {
                let remaining = state.remaining_burst_capacity();
                let reset = policy.seconds(policy.burst.get().saturating_sub(remaining));
                Ok(RateLimitState {
                    policy,
                    remaining,
                    reset,
                })
            }
            Err(until) => {
                let after = until.wait_time_from(self.limiter.clock().now());
                // The limiter tells only for how long the batch has to wait: that long brings what it lacks.
                let step = until.quota().replenish_interval().as_nanos().max(1);
                let lacking = u32::try_from(after.as_nanos().div_ceil(step)).unwrap_or(u32::MAX);
                let remaining = cost.get().saturating_sub(lacking.max(1));
                let reset = after.as_secs() + u64::from(after.subsec_nanos() > 0);
                Err(RateLimited {
                    state: RateLimitState {
                        policy,
                        remaining,
                        reset,
                    },
                    after,
                })
            }
        }
    }
}

/// Counts a batch of a key, if the key has a limit.
///
/// # Errors
/// Returns `rate_limited` if the batch has to wait.
pub fn charge(
    limiter: Option<&RateLimiter>,
    events: usize,
) -> Result<Option<RateLimitState>, Problem> {
    let Some(limiter) = limiter else {
        return Ok(None);
    };
    limiter
        .charge(events)
        .map(Some)
        .map_err(|limited| refusal(limited, events))
}

fn refusal(limited: RateLimited, events: usize) -> Problem {
    // Whole milliseconds, rounded up: a client that keeps to them must not come too early.
    let after = Duration::from_millis(
        limited
            .after
            .as_nanos()
            .div_ceil(1_000_000)
            .try_into()
            .unwrap_or(u64::MAX),
    );
    let RateLimitState {
        policy: RateLimitPolicy { rate, burst },
        remaining,
        ..
    } = limited.state;
    let detail = format!(
        "The key may send {rate} events a second, at most {burst} at once; {remaining} are left, the batch has \
            {events}. Send the same batch again in {} ms.",
        after.as_millis()
    );
    Problem::new(ErrorCode::RateLimited, detail)
        .limit(rate.get().into())
        .retry_after(after)
        .headers(limited.state.headers())
}

#[cfg(test)]
mod tests;
