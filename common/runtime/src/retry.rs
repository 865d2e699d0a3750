//! The retry policy, exponential backoff with full jitter, and its settings.

use std::fmt::Display;
use std::future::Future;
use std::time::Duration;

use crate::settings::parse_duration;
use crate::shutdown::Shutdown;

/// How often and how fast failed steps are retried.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::Args)]
#[command(next_help_heading = "Retries")]
pub struct RetrySettings {
    /// Attempts of a message that fails for an unknown reason, before it goes to the stream DEAD. An outage
    /// uses none
    #[arg(
        long, env = "DEVTRAIL_MAX_ATTEMPTS", default_value_t = 8, value_name = "N",
        value_parser = clap::value_parser!(u32).range(1..)
    )]
    pub max_attempts: u32,
    /// The delays between attempts.
    #[command(flatten)]
    pub backoff: RetryPolicy,
}

impl RetrySettings {
    /// Eight attempts, and the backoff of [`RetryPolicy::DEFAULT`].
    pub const DEFAULT: Self = Self {
        max_attempts: 8,
        backoff: RetryPolicy::DEFAULT,
    };

    /// The backoff.
    #[must_use]
    pub fn policy(&self) -> RetryPolicy {
        self.backoff
    }
}

impl Default for RetrySettings {
    fn default() -> Self {
        Self::DEFAULT
    }
}

/// Reads a delay above zero: without one, a step that fails would keep a processor busy.
///
/// # Errors
/// Returns an error for people if it is none.
pub fn parse_delay(text: &str) -> Result<Duration, String> {
    let delay = parse_duration(text)?;
    if delay.is_zero() {
        Err("a delay is at least 1ms; write 50ms or 5s".to_owned())
    } else {
        Ok(delay)
    }
}

/// Exponential backoff with full jitter: attempt n waits a random time up to `base × 2ⁿ`, at most
/// `cap`. Full jitter spreads clients that failed together (M. Brooker, "Exponential Backoff And
/// Jitter", AWS Architecture Blog, 2015).
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::Args)]
#[command(next_help_heading = "Retries")]
pub struct RetryPolicy {
    /// Longest delay before the first retry of a step; each further one may be twice as long
    #[arg(
        id = "retry_base", long = "retry-base", env = "DEVTRAIL_RETRY_BASE", default_value = "50ms",
        value_name = "TIME", value_parser = parse_delay
    )]
    pub base: Duration,
    /// Longest delay between two attempts
    #[arg(
        id = "retry_cap", long = "retry-cap", env = "DEVTRAIL_RETRY_CAP", default_value = "5s", value_name = "TIME",
        value_parser = parse_delay
    )]
    pub cap: Duration,
}

impl RetryPolicy {
    /// For a step that reaches another process: 50 ms doubling to 5 s.
    pub const DEFAULT: Self = Self {
        base: Duration::from_millis(50),
        cap: Duration::from_secs(5),
    };

    /// The longest delay after attempt `attempt` (from 0).
    #[must_use]
    pub fn bound(&self, attempt: u32) -> Duration {
        self.base
            .saturating_mul(2_u32.saturating_pow(attempt.min(31)))
            .min(self.cap)
    }

    /// The delay after attempt `attempt` (from 0), for a `random` that is uniform in [0, 1).
    #[must_use]
    pub fn delay_with(&self, attempt: u32, random: f64) -> Duration {
        self.bound(attempt).mul_f64(random.clamp(0.0, 1.0))
    }

    /// A random delay after attempt `attempt` (from 0).
    #[must_use]
    pub fn delay(&self, attempt: u32) -> Duration {
        self.delay_with(attempt, fastrand::f64())
    }

    /// Waits for the delay after attempt `attempt` (from 0).
    pub async fn pause(&self, attempt: u32) {
        tokio::time::sleep(self.delay(attempt)).await; // sleep: the backoff itself
    }

    /// Runs `step` until it succeeds, with the policy's backoff between the attempts. Returns `None` if the process
    /// begins to shut down first. `step` gets the number of the attempt (from 0). Each failure is logged with `what`.
    pub async fn retry<T, E: Display, F: Future<Output = Result<T, E>>>(
        self,
        what: &'static str,
        shutdown: &Shutdown,
        mut step: impl FnMut(u32) -> F,
    ) -> Option<T> {
        let mut backoff = self.backoff(shutdown);
        loop {
            let attempt = backoff.attempt();
            let tried = tokio::select! {
                tried = step(attempt) => tried,
                () = shutdown.draining() => return None,
            };
            match tried {
                Ok(done) => return Some(done),
                Err(error) => tracing::warn!(%error, attempt, "{what}; trying again"),
            }
            if !backoff.wait().await {
                return None;
            }
        }
    }

    /// The backoff of a loop that runs until the process shuts down.
    #[must_use]
    pub fn backoff(self, shutdown: &Shutdown) -> Backoff<'_> {
        Backoff {
            policy: self,
            shutdown,
            attempt: 0,
        }
    }
}

/// The growing delays of one loop: [`Backoff::wait`] after each failure, [`Backoff::reset`] after a success.
#[derive(Debug)]
pub struct Backoff<'a> {
    policy: RetryPolicy,
    shutdown: &'a Shutdown,
    attempt: u32,
}

impl Backoff<'_> {
    /// The number of failures in a row.
    #[must_use]
    pub fn attempt(&self) -> u32 {
        self.attempt
    }

    /// Restarts the backoff: the next delay is a first one.
    pub fn reset(&mut self) {
        self.attempt = 0;
    }

    /// Waits for the next delay; returns `false` if the process begins to shut down meanwhile.
    pub async fn wait(&mut self) -> bool {
        let attempt = self.attempt;
        self.attempt = attempt.saturating_add(1);
        tokio::select! {
            () = self.policy.pause(attempt) => true,
            () = self.shutdown.draining() => false,
        }
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
    use clap::Args;
    use clap::FromArgMatches;
    use proptest::prelude::*;

    fn parsed(arguments: &[&str]) -> Result<RetrySettings, clap::Error> {
        let command = RetrySettings::augment_args(clap::Command::new("x"));
        let given = std::iter::once("x").chain(arguments.iter().copied());
        RetrySettings::from_arg_matches(&command.try_get_matches_from(given)?)
    }

    #[test]
    fn the_flags_default_to_the_default_policy_and_take_no_zero() {
        assert_eq!(parsed(&[]).unwrap(), RetrySettings::DEFAULT);
        let own = parsed(&[
            "--max-attempts",
            "2",
            "--retry-base",
            "1ms",
            "--retry-cap",
            "1m",
        ])
        .unwrap();
        assert_eq!(
            (own.max_attempts, own.policy().bound(20)),
            (2, Duration::from_secs(60))
        );
        for wrong in [
            ["--max-attempts", "0"],
            ["--retry-base", "0s"],
            ["--retry-cap", "0ms"],
        ] {
            assert!(parsed(&wrong).is_err(), "{wrong:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_step_is_retried_until_success_or_shutdown() {
        let shutdown = Shutdown::manual(Duration::from_secs(1));
        let succeeds_third = async |attempt| {
            if attempt == 2 {
                Ok(attempt)
            } else {
                Err("not yet")
            }
        };
        let policy = RetryPolicy::DEFAULT;
        assert_eq!(
            policy.retry("test", &shutdown, succeeds_third).await,
            Some(2)
        );
        let mut backoff = policy.backoff(&shutdown);
        assert!(backoff.wait().await && backoff.wait().await);
        assert_eq!(backoff.attempt(), 2);
        backoff.reset();
        assert_eq!(backoff.attempt(), 0);
        shutdown.begin();
        assert!(!backoff.wait().await);
        let hangs = async |_| std::future::pending::<Result<(), String>>().await;
        assert_eq!(policy.retry("test", &shutdown, hangs).await, None);
    }

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
