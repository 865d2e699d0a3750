//! The settings that all breakers of a process share.

use std::time::Duration;

use super::window::Window;
use crate::retry::parse_delay;
use crate::settings::parse_duration;

/// When a breaker opens, for how long, and what closes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::Args)]
#[command(next_help_heading = "Circuit breakers")]
pub struct BreakerSettings {
    /// Outcomes older than this do not count, in whole seconds
    #[arg(
        id = "breaker_window", long = "breaker-window", env = "DEVTRAIL_BREAKER_WINDOW", default_value = "30s",
        value_name = "TIME", value_parser = parse_duration
    )]
    pub window: Duration,
    /// With fewer outcomes in that time their share of failures says nothing
    #[arg(
        id = "breaker_samples", long = "breaker-samples", env = "DEVTRAIL_BREAKER_SAMPLES", default_value_t = 20,
        value_name = "N", value_parser = clap::value_parser!(u32).range(1..)
    )]
    pub min_samples: u32,
    /// A breaker opens at this share of failures, in percent
    #[arg(
        id = "breaker_failures", long = "breaker-failures", env = "DEVTRAIL_BREAKER_FAILURES", default_value_t = 50,
        value_name = "PERCENT", value_parser = clap::value_parser!(u32).range(1..=100)
    )]
    pub failures_percent: u32,
    /// It opens at this many failures in a row as well
    #[arg(
        id = "breaker_in_a_row", long = "breaker-in-a-row", env = "DEVTRAIL_BREAKER_IN_A_ROW", default_value_t = 5,
        value_name = "N", value_parser = clap::value_parser!(u32).range(1..)
    )]
    pub in_a_row: u32,
    /// How long it stays open the first time; doubled each time that a probe fails
    #[arg(
        id = "breaker_open_for", long = "breaker-open-for", env = "DEVTRAIL_BREAKER_OPEN_FOR", default_value = "5s",
        value_name = "TIME", value_parser = parse_delay
    )]
    pub open_for: Duration,
    /// The longest that it stays open
    #[arg(
        id = "breaker_open_at_most", long = "breaker-open-at-most", env = "DEVTRAIL_BREAKER_OPEN_AT_MOST",
        default_value = "60s", value_name = "TIME", value_parser = parse_delay
    )]
    pub open_at_most: Duration,
    /// Calls let through after that, as probes; when all have succeeded it closes
    #[arg(
        id = "breaker_probes", long = "breaker-probes", env = "DEVTRAIL_BREAKER_PROBES", default_value_t = 3,
        value_name = "N", value_parser = clap::value_parser!(u32).range(1..)
    )]
    pub probes: u32,
}

impl BreakerSettings {
    /// 30 s with at least 20 outcomes and half of them failed, or 5 failures in a row; open for 5 s,
    /// doubling to 60 s; three probes.
    pub const DEFAULT: Self = Self {
        window: Duration::from_secs(30),
        min_samples: 20,
        failures_percent: 50,
        in_a_row: 5,
        open_for: Duration::from_secs(5),
        open_at_most: Duration::from_secs(60),
        probes: 3,
    };

    /// How long the first opening lasts.
    pub(super) fn first_opening(&self) -> Duration {
        self.open_for.min(self.open_at_most)
    }

    /// Whether the window's failures are reason enough to open.
    pub(super) fn is_too_many(&self, window: &Window) -> bool {
        let (all, failed) = window.sums();
        all >= u64::from(self.min_samples) && failed * 100 >= all * u64::from(self.failures_percent)
    }
}

impl Default for BreakerSettings {
    fn default() -> Self {
        Self::DEFAULT
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    struct Program {
        #[command(flatten)]
        breakers: BreakerSettings,
    }

    #[test]
    fn the_flags_have_the_numbers_of_the_constant() {
        assert_eq!(
            Program::parse_from(["x"]).breakers,
            BreakerSettings::DEFAULT
        );
        let one = ["x", "--breaker-open-for", "200ms", "--breaker-probes", "1"];
        let set = BreakerSettings {
            open_for: Duration::from_millis(200),
            probes: 1,
            ..BreakerSettings::DEFAULT
        };
        assert_eq!(Program::parse_from(one).breakers, set);
        // Without a probe it would never close; without a share above 0 it would always be open.
        for bad in [
            ["x", "--breaker-probes", "0"],
            ["x", "--breaker-failures", "0"],
            ["x", "--breaker-failures", "101"],
            ["x", "--breaker-open-for", "0s"],
            ["x", "--breaker-open-at-most", "0s"],
        ] {
            assert!(Program::try_parse_from(bad).is_err(), "{bad:?}");
        }
    }
}
