//! What became of dead letters that were redriven or dropped.

use serde::Serialize;

use super::message::DeadMessage;
use crate::output::{self, count, plain};

/// Dead letters that are each printed on a line; of more, only those that need another look.
pub const SHOWN: usize = 50;

/// Progress through the selected dead letters.
pub const PROGRESS: &str = "{bar:40} {pos}/{len} dead letters · {per_sec} · {eta} left {msg}";

/// What became of a dead letter.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "became", rename_all = "snake_case")]
pub enum DeadLetterOutcome {
    /// It would be redriven: a dry run.
    WouldBeRedriven,
    /// Its message is stored.
    Stored,
    /// Its job is done.
    Done,
    /// What is neither was taken from its stream.
    Taken,
    /// It was dead-lettered again, and is this dead letter now.
    #[serde(rename = "gave_up_again")]
    DeadLetteredAgain {
        #[serde(rename = "letter_now")]
        sequence: u64,
        reason: String,
    },
    /// It is published, and was neither stored nor done in time.
    #[serde(rename = "waits")]
    Pending,
    /// It cannot be redriven.
    Stays { why: String },
    /// It would be dropped: a dry run; whether its message would be deleted from EVENTS as well.
    WouldBeDropped { deletes_from_events: bool },
    /// It was dropped; whether its message was deleted from EVENTS as well.
    Dropped { deleted_from_events: bool },
    /// There is no such dead letter any more.
    Gone,
}

impl DeadLetterOutcome {
    /// Whether the command has not reached what it is for.
    fn is_failure(&self) -> bool {
        matches!(
            self,
            Self::DeadLetteredAgain { .. } | Self::Pending | Self::Stays { .. } | Self::Gone
        )
    }

    fn words(&self) -> String {
        match self {
            Self::WouldBeRedriven => "would be redriven".to_owned(),
            Self::Stored => "stored".to_owned(),
            Self::Done => "done".to_owned(),
            Self::Taken => "taken by a worker".to_owned(),
            Self::DeadLetteredAgain { sequence, reason } => {
                format!("dead-lettered again, now dead letter {sequence}: {reason}")
            }
            Self::Pending => "published, but not taken yet; nothing is lost".to_owned(),
            Self::Stays { why } => format!("stays: {why}"),
            Self::WouldBeDropped {
                deletes_from_events: true,
            } => "would be dropped, and its message deleted from EVENTS".to_owned(),
            Self::WouldBeDropped {
                deletes_from_events: false,
            } => "would be dropped".to_owned(),
            Self::Dropped {
                deleted_from_events: true,
            } => "dropped, and its message deleted from EVENTS".to_owned(),
            Self::Dropped {
                deleted_from_events: false,
            } => "dropped".to_owned(),
            Self::Gone => "is gone: redriven or dropped before, or never there".to_owned(),
        }
    }
}

/// One dead letter.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ReportLine {
    /// Its sequence in DEAD.
    pub sequence: u64,
    /// `SRC:SEQ` of its batch, if that is known.
    pub batch: Option<String>,
    pub job_id: Option<String>,
    #[serde(flatten)]
    pub outcome: DeadLetterOutcome,
}

impl ReportLine {
    pub fn of(dead: &DeadMessage, outcome: DeadLetterOutcome) -> Self {
        let batch = dead.batch().map(|at| at.to_string());
        Self {
            sequence: dead.sequence,
            batch,
            job_id: dead.job_id(),
            outcome,
        }
    }

    /// Of a sequence that holds no dead letter.
    pub fn gone(sequence: u64) -> Self {
        Self {
            sequence,
            batch: None,
            job_id: None,
            outcome: DeadLetterOutcome::Gone,
        }
    }

    fn words(&self) -> String {
        let what = self.job_id.as_ref().map(|id| format!(" (job {id})"));
        let what = what.or_else(|| self.batch.as_ref().map(|at| format!(" (message {at})")));
        plain(&format!(
            "dead letter {}{}: {}",
            self.sequence,
            what.unwrap_or_default(),
            self.outcome.words()
        ))
    }
}

/// What became of all.
#[derive(Debug, Default, Serialize)]
pub struct DeadLetterReport {
    /// Nothing was done.
    pub dry_run: bool,
    #[serde(rename = "letters")]
    pub dead_letters: Vec<ReportLine>,
}

impl DeadLetterReport {
    /// A line for each dead letter; beyond `shown`, those that went well are only counted.
    pub fn lines(&self, shown: usize) -> Vec<String> {
        let failed = self
            .dead_letters
            .iter()
            .filter(|line| line.outcome.is_failure());
        let mut lines: Vec<String> = match self.dead_letters.len() {
            count if count <= shown => self.dead_letters.iter().map(ReportLine::words).collect(),
            _ => failed.clone().take(shown).map(ReportLine::words).collect(),
        };
        let all = self.dead_letters.len();
        let failed = failed.count();
        lines.push(format!(
            "{}, {failed} of them need another look",
            count(all, "dead letter")
        ));
        lines
    }

    /// Prints the report of a command that ended as `done`; beyond `shown` lines it is shortened.
    ///
    /// # Errors
    /// Returns the error of `done`, else one that says how many dead letters need another look.
    pub fn conclude(
        &self,
        done: anyhow::Result<()>,
        shown: usize,
        as_json: bool,
    ) -> anyhow::Result<()> {
        // What was done before something failed is reported as well.
        if as_json {
            output::json(self)?;
        } else if self.dead_letters.is_empty() && done.is_ok() {
            output::line("No dead letter fits.")?;
        } else {
            self.lines(shown).iter().try_for_each(output::line)?;
        }
        done?;
        self.ensure_all_handled()
    }

    fn ensure_all_handled(&self) -> anyhow::Result<()> {
        let failed = self
            .dead_letters
            .iter()
            .filter(|line| line.outcome.is_failure())
            .count();
        anyhow::ensure!(
            failed == 0,
            "{failed} of {} not dealt with; the lines above say why, and `devtrail dead list` shows what is in DEAD \
             now.",
            count(self.dead_letters.len(), "dead letter")
        );
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::message::tests::{dead_message, job};
    use super::*;

    #[test]
    fn each_dead_letter_has_its_line_and_failures_fail_the_command() {
        let one = dead_message("dead.JOBS.alert", &[], &serde_json::to_vec(&job()).unwrap());
        let mut report = DeadLetterReport {
            dry_run: false,
            dead_letters: vec![ReportLine::of(&one, DeadLetterOutcome::Done)],
        };
        report.ensure_all_handled().unwrap();
        let again = DeadLetterOutcome::DeadLetteredAgain {
            sequence: 9,
            reason: "a\u{7} panic".to_owned(),
        };
        report
            .dead_letters
            .extend([ReportLine::of(&one, again), ReportLine::gone(8)]);
        assert_eq!(
            report.lines(SHOWN),
            [
                "dead letter 7 (job 2:5:alert): done",
                "dead letter 7 (job 2:5:alert): dead-lettered again, now dead letter 9: a\u{fffd} panic",
                "dead letter 8: is gone: redriven or dropped before, or never there",
                "3 dead letters, 2 of them need another look",
            ]
        );
        assert_eq!(report.lines(2).len(), 3, "of many, what failed is listed");
        assert!(
            report
                .ensure_all_handled()
                .unwrap_err()
                .to_string()
                .contains("2 of 3")
        );
        let text = serde_json::to_value(&report.dead_letters[1]).unwrap();
        assert_eq!(
            (text["became"].as_str(), text["letter_now"].as_u64()),
            (Some("gave_up_again"), Some(9))
        );
    }
}
