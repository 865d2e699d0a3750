//! Rules that failed recently, as the alert workers report them. Pure.

use std::collections::BTreeMap;
use std::time::Duration;

use types::admin_alert::{AdminAlert, RuleFailed};
use types::json::shorten;
use types::time::{Micros, micros};

/// More rules than any Devtrail has: reports of made-up rules must not fill the memory.
const RULES: usize = 1000;
/// Longest reason that is kept, in bytes.
const REASON: usize = 500;
/// Longest rule id that is kept, in bytes.
const ID: usize = 128;

/// What comes before the reason in an alert's title.
pub const REASON_PREFIX: &str = " The last reason: ";

/// The recent failures of one rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RuleFailure {
    pub rule: String,
    /// How often it failed since it was last quiet.
    pub count: u64,
    /// The last reason.
    pub error: String,
    pub last_failed: Micros,
}

/// Every watcher gets every report, so that whichever holds the lease knows them.
#[derive(Debug, Clone, Default)]
pub struct RuleFailures(BTreeMap<String, RuleFailure>);

impl RuleFailures {
    /// Records that a rule failed at `now`.
    pub fn record(&mut self, report: &RuleFailed, now: Micros) {
        let rule = shorten(&report.rule, ID);
        let error = shorten(&report.error, REASON);
        if self.0.len() >= RULES && !self.0.contains_key(&rule) {
            return;
        }
        let failed = self.0.entry(rule.clone()).or_insert(RuleFailure {
            rule,
            count: 0,
            error: String::new(),
            last_failed: now,
        });
        failed.count += 1;
        failed.error = error;
        failed.last_failed = now;
    }

    /// Records what an open alert says of a rule.
    /// Reports come in since `subscribed_at`: the rule may have failed until then.
    pub fn record_open_alert(&mut self, alert: &AdminAlert, subscribed_at: Micros) {
        let error = alert
            .title
            .split_once(REASON_PREFIX)
            .map_or("", |(_, error)| error)
            .to_owned();
        let rule = alert.subject.clone();
        let last_failed = alert.last_seen.max(subscribed_at);
        let failed = self.0.entry(rule.clone()).or_insert(RuleFailure {
            rule,
            count: 0,
            error,
            last_failed,
        });
        failed.count = failed.count.max(alert.count);
    }

    /// The rules that failed within the last `quiet`. The others are forgotten.
    pub fn recent(&mut self, quiet: Duration, now: Micros) -> Vec<RuleFailure> {
        self.0
            .retain(|_, failed| now.saturating_sub(failed.last_failed) < micros(quiet));
        self.0.values().cloned().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use types::time::SECOND;

    #[test]
    fn failures_count_until_the_rule_was_quiet() {
        let mut rule_failures = RuleFailures::default();
        let quiet = Duration::from_secs(600);
        let report = |error: &str| RuleFailed {
            rule: "late-night-work".to_owned(),
            error: error.to_owned(),
        };
        rule_failures.record(&report("first"), 0);
        rule_failures.record(&report("second"), 500 * SECOND);
        let [failed] = &rule_failures.recent(quiet, 1000 * SECOND)[..] else {
            panic!("one rule")
        };
        assert_eq!(
            (failed.count, &*failed.error, failed.last_failed),
            (2, "second", 500 * SECOND)
        );
        assert_eq!(rule_failures.recent(quiet, 1100 * SECOND), []);
        rule_failures.record(&report("third"), 1200 * SECOND);
        assert_eq!(rule_failures.recent(quiet, 1200 * SECOND)[0].count, 1);
    }

    #[test]
    fn reports_of_any_number_of_rules_are_bounded() {
        let mut rule_failures = RuleFailures::default();
        for number in 0..2 * RULES {
            rule_failures.record(
                &RuleFailed {
                    rule: number.to_string(),
                    error: "x".repeat(10_000),
                },
                0,
            );
        }
        let all = rule_failures.recent(Duration::from_secs(1), 0);
        assert!(all.len() == RULES && all.iter().all(|failed| failed.error.len() <= REASON + 4));
    }
}
