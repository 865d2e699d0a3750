//! What does not add up: told one by one as it is found, counted whole, held in memory to a bound.

use indicatif::ProgressBar;
use serde::Serialize;

use crate::output;

/// Findings that are told and kept; the rest is counted.
pub const SHOWN: usize = 100;

/// Something that does not add up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// A sentence that names what is missing, surplus or different.
    pub text: String,
    /// Whether it may be on its way to be right, so that a second look is worth waiting for.
    pub may_pass: bool,
}

/// Events by where they were found.
#[derive(Debug, Default, Clone, PartialEq, Eq, Serialize)]
pub struct Counts {
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
    /// Batches whose jobs are not all done: stored, or on their way to be.
    pub unfinished: u64,
    /// Batches that wait for a job that gave up.
    pub failed: u64,
}

/// A part of the walk: what was counted, and what does not add up.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Checked {
    /// Where its events were found.
    pub counts: Counts,
    /// What does not add up.
    pub findings: Vec<Finding>,
    /// Whether something is on its way, so that a second look is worth waiting for, and no finding after it.
    pub waits: bool,
}

impl Checked {
    /// Notes that something does not add up, and will not.
    pub fn find(&mut self, text: String) {
        self.findings.push(Finding {
            text,
            may_pass: false,
        });
    }

    /// Notes that something does not add up yet.
    pub fn suspect(&mut self, text: String) {
        self.findings.push(Finding {
            text,
            may_pass: true,
        });
    }
}

/// All of the walk so far.
#[derive(Debug, Default, Serialize)]
pub struct Found {
    /// Where the events were found.
    #[serde(flatten)]
    pub counts: Counts,
    /// How many findings there are.
    pub finding_count: u64,
    /// The first of them.
    pub findings: Vec<String>,
}

impl Found {
    /// Takes in a part; tells its findings on stdout, beside the progress bar, unless they are wanted
    /// as JSON.
    ///
    /// # Errors
    /// Where stdout cannot be written.
    pub fn add(
        &mut self,
        part: Checked,
        progress: &ProgressBar,
        as_json: bool,
    ) -> std::io::Result<()> {
        let (sum, add) = (&mut self.counts, part.counts);
        sum.events += add.events;
        sum.stored += add.stored;
        sum.duplicates += add.duplicates;
        sum.quarantined += add.quarantined;
        sum.rejected += add.rejected;
        sum.dead += add.dead;
        sum.unfinished += add.unfinished;
        sum.failed += add.failed;
        for finding in part.findings {
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
        let mut found = Found::default();
        for number in 0..3 {
            let mut part = Checked::default();
            (0..SHOWN).for_each(|one| part.find(format!("{number}/{one}")));
            part.counts.stored = 2;
            found.add(part, &ProgressBar::hidden(), true).unwrap();
        }
        assert_eq!((found.finding_count, found.findings.len()), (300, SHOWN));
        assert_eq!(
            (found.findings[SHOWN - 1].as_str(), found.counts.stored),
            ("0/99", 6)
        );
    }
}
