//! The one retry policy: exponential backoff with full jitter.

use std::time::Duration;

/// Exponential backoff with full jitter: attempt n waits a random time up to `base × 2ⁿ`, at most
/// `cap`. Full jitter spreads clients that failed together (M. Brooker, "Exponential Backoff And
/// Jitter", AWS Architecture Blog, 2015).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RetryPolicy {
    /// Bound of the first delay.
    pub base: Duration,
    /// Bound of every delay.
    pub cap: Duration,
}

impl RetryPolicy {
    /// For a step that reaches another process: 50 ms doubling to 5 s.
    pub const DEFAULT: Self = Self { base: Duration::from_millis(50), cap: Duration::from_secs(5) };

    /// The longest that attempt `attempt` (from 0) may wait.
    #[must_use]
    pub fn bound(&self, attempt: u32) -> Duration {
        self.base.saturating_mul(2_u32.saturating_pow(attempt.min(31))).min(self.cap)
    }

    /// The wait before the attempt after `attempt` (from 0), `random` being uniform in [0, 1).
    #[must_use]
    pub fn delay_with(&self, attempt: u32, random: f64) -> Duration {
        self.bound(attempt).mul_f64(random.clamp(0.0, 1.0))
    }

    /// The wait before the attempt after `attempt` (from 0).
    #[must_use]
    pub fn delay(&self, attempt: u32) -> Duration {
        self.delay_with(attempt, fastrand::f64())
    }

    /// Waits before the attempt after `attempt` (from 0).
    pub async fn pause(&self, attempt: u32) {
        tokio::time::sleep(self.delay(attempt)).await; // sleep: the backoff itself
    }
}

impl Default for RetryPolicy {
    fn default() -> Self {
        Self::DEFAULT
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_delay_never_exceeds_its_bound_and_bounds_rise_to_the_cap(attempt in 0_u32..1000, random in 0.0..1.0) {
            let policy = RetryPolicy::DEFAULT;
            prop_assert!(policy.delay_with(attempt, random) <= policy.bound(attempt));
            prop_assert!(policy.bound(attempt) <= policy.bound(attempt + 1));
            prop_assert!(policy.bound(attempt) <= policy.cap);
        }
    }
}
