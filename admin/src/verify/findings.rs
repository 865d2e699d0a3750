//! Findings: printed one by one, all counted, held in memory to a bound.

use indicatif::ProgressBar;
use serde::Serialize;

use crate::output;

/// Findings that are printed and kept; the rest is counted.
pub const SHOWN: usize = 100;

/// Something that is missing, surplus or different.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VerifyFinding {
    /// A sentence that names it.
    pub text: String,
    /// Whether it may resolve by itself, so that it is checked again.
    pub may_resolve: bool,
}

/// Events by the place in which they were found.
#[derive(Debug, Default, Clone, PartialEq, Eq, Serialize)]
pub struct VerifyCounts {
    /// Messages that were compared with their stored batches.
    pub batches: u64,
    /// Sequences without a message that nothing explains.
    pub lost: u64,
    /// Events of all messages but those in DEAD.
    pub events: u64,
    /// Of these, stored.
    pub stored: u64,
    /// Of these, duplicates with their original.
    pub duplicates: u64,
    /// Of these, quarantined.
    pub quarantined: u64,
    /// Of these, rejected.
    pub rejected: u64,
    /// Messages that are in DEAD instead of the store.
    pub dead: u64,
    /// Batches whose jobs are not all done: stored, or pending.
    pub unfinished: u64,
    /// Batches that wait for a job that was dead-lettered.
    pub failed: u64,
}

/// The check of one range of sequences.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct CheckResult {
    pub counts: VerifyCounts,
    pub findings: Vec<VerifyFinding>,
    /// Whether something is pending, which is no finding if it comes.
    pub is_pending: bool,
}

impl CheckResult {
    /// Adds a finding that does not resolve.
    pub fn report(&mut self, text: String) {
        self.findings.push(VerifyFinding {
            text,
            may_resolve: false,
        });
    }

    /// Adds a finding that may resolve.
    pub fn suspect(&mut self, text: String) {
        self.findings.push(VerifyFinding {
            text,
            may_resolve: true,
        });
    }
}

/// The findings of all ranges so far.
#[derive(Debug, Default, Serialize)]
pub struct Findings {
    #[serde(flatten)]
    pub counts: VerifyCounts,
    pub finding_count: u64,
    /// The first of them.
    pub findings: Vec<String>,
}

impl Findings {
    /// Adds the check of a range; prints its findings beside the progress bar unless the output is JSON.
    ///
    /// # Errors
    /// Returns an error if stdout cannot be written.
    pub fn add(
        &mut self,
        range: CheckResult,
        progress: &ProgressBar,
        as_json: bool,
    ) -> std::io::Result<()> {
        let sum = &mut self.counts;
        let add = range.counts;
        sum.batches += add.batches;
        sum.lost += add.lost;
        sum.events += add.events;
        sum.stored += add.stored;
        sum.duplicates += add.duplicates;
        sum.quarantined += add.quarantined;
        sum.rejected += add.rejected;
        sum.dead += add.dead;
        sum.unfinished += add.unfinished;
        sum.failed += add.failed;
        for finding in range.findings {
            self.finding_count += 1;
            if self.findings.len() < SHOWN {
                if !as_json {
                    progress.suspend(|| output::line(format!("  {}", finding.text)))?;
                }
                self.findings.push(finding.text);
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn findings_are_all_counted_and_held_to_a_bound() {
        let mut findings = Findings::default();
        for number in 0..3 {
            let mut range = CheckResult::default();
            (0..SHOWN).for_each(|one| range.report(format!("{number}/{one}")));
            range.counts.stored = 2;
            findings.add(range, &ProgressBar::hidden(), true).unwrap();
        }
        assert_eq!(
            (findings.finding_count, findings.findings.len()),
            (300, SHOWN)
        );
        assert_eq!(
            (
                findings.findings[SHOWN - 1].as_str(),
                findings.counts.stored
            ),
            ("0/99", 6)
        );
    }
}
