//! Rules that failed of late, as the alert workers note it. Pure.

use std::collections::BTreeMap;
use std::time::Duration;

use types::admin_alert::{AdminAlert, RuleFailed};
use types::json::shorten;
use types::time::Micros;

use super::settings::micros;

/// More rules than any Devtrail has: who sends notes of other ones fills no memory.
const RULES: usize = 1000;
/// Of a reason, this many bytes are kept.
const REASON: usize = 500;
/// Of a rule's id, this many bytes are kept.
const ID: usize = 128;

/// What stands before the reason in an alert's title.
pub const REASON_IS: &str = " The last reason: ";

/// A rule that failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failed {
    /// The rule's id.
    pub rule: String,
    /// How often, since it was quiet.
    pub count: u64,
    /// Why, the last time.
    pub error: String,
    /// When, the last time.
    pub last: Micros,
}

/// Every watcher hears every note, so that whoever holds the lease knows them.
#[derive(Debug, Clone, Default)]
pub struct Failures(BTreeMap<String, Failed>);

impl Failures {
    /// A rule failed at `now`.
    pub fn note(&mut self, note: &RuleFailed, now: Micros) {
        let (rule, error) = (shorten(&note.rule, ID), shorten(&note.error, REASON));
        if self.0.len() >= RULES && !self.0.contains_key(&rule) {
            return;
        }
        let failed = self.0.entry(rule.clone()).or_insert(Failed {
            rule,
            count: 0,
            error: String::new(),
            last: now,
        });
        (failed.count, failed.error, failed.last) = (failed.count + 1, error, now);
    }

    /// An alert stands that this rule fails. Notes are heard since `heard_since`: it may have failed
    /// until then.
    pub fn stands(&mut self, alert: &AdminAlert, heard_since: Micros) {
        let error = alert
            .title
            .split_once(REASON_IS)
            .map_or("", |(_, error)| error)
            .to_owned();
        let (rule, last) = (alert.subject.clone(), alert.last_seen.max(heard_since));
        let failed = self.0.entry(rule.clone()).or_insert(Failed {
            rule,
            count: 0,
            error,
            last,
        });
        failed.count = failed.count.max(alert.count);
    }

    /// Those that failed within the last `quiet`; the others are forgotten.
    pub fn of_late(&mut self, quiet: Duration, now: Micros) -> Vec<Failed> {
        self.0
            .retain(|_, failed| now.saturating_sub(failed.last) < micros(quiet));
        self.0.values().cloned().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use types::time::SECOND;

    #[test]
    fn a_rule_counts_until_it_was_quiet_for_long_enough() {
        let (mut failures, quiet) = (Failures::default(), Duration::from_secs(600));
        let note = |error: &str| RuleFailed {
            rule: "late-night-work".to_owned(),
            error: error.to_owned(),
        };
        failures.note(&note("first"), 0);
        failures.note(&note("second"), 500 * SECOND);
        let [failed] = &failures.of_late(quiet, 1000 * SECOND)[..] else {
            panic!("one rule")
        };
        assert_eq!(
            (failed.count, &*failed.error, failed.last),
            (2, "second", 500 * SECOND)
        );
        assert_eq!(failures.of_late(quiet, 1100 * SECOND), []);
        failures.note(&note("third"), 1200 * SECOND);
        assert_eq!(failures.of_late(quiet, 1200 * SECOND)[0].count, 1);
    }

    #[test]
    fn notes_of_any_number_of_rules_are_bounded() {
        let mut failures = Failures::default();
        for number in 0..2 * RULES {
            failures.note(
                &RuleFailed {
                    rule: number.to_string(),
                    error: "x".repeat(10_000),
                },
                0,
            );
        }
        let all = failures.of_late(Duration::from_secs(1), 0);
        assert!(all.len() == RULES && all.iter().all(|failed| failed.error.len() <= REASON + 4));
    }
}
