//! What is told of letters that are redriven or dropped.

use indicatif::{ProgressBar, ProgressStyle};
use serde::Serialize;

use super::letter::Letter;
use crate::output::plain;

/// Letters that are each told in a line; of more, those that need another look are.
pub const SHOWN: usize = 50;

/// What became of a letter.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "became", rename_all = "snake_case")]
pub enum Became {
    /// It would be given another try: a dry run.
    WouldBeRedriven,
    /// Its message is stored.
    Stored,
    /// Its job is done.
    Done,
    /// What is neither was taken from its stream.
    Taken,
    /// It gave up again, and is this letter now.
    GaveUpAgain {
        #[serde(rename = "letter_now")]
        sequence: u64,
        reason: String,
    },
    /// It is published, and nobody took it in time.
    Waits,
    /// It cannot be given another try.
    Stays { why: String },
    /// It would be dropped: a dry run; whether its message would be deleted from EVENTS as well.
    WouldBeDropped { deletes_from_events: bool },
    /// It was dropped; whether its message was deleted from EVENTS as well.
    Dropped { deleted_from_events: bool },
    /// There is no such letter any more.
    Gone,
}

impl Became {
    /// Whether the command has not reached what it is for.
    fn is_failure(&self) -> bool {
        matches!(
            self,
            Self::GaveUpAgain { .. } | Self::Waits | Self::Stays { .. } | Self::Gone
        )
    }

    fn words(&self) -> String {
        match self {
            Self::WouldBeRedriven => "would be redriven".to_owned(),
            Self::Stored => "stored".to_owned(),
            Self::Done => "done".to_owned(),
            Self::Taken => "taken by a worker".to_owned(),
            Self::GaveUpAgain { sequence, reason } => {
                format!("gave up again, now letter {sequence}: {reason}")
            }
            Self::Waits => "published, but not taken yet; nothing is lost".to_owned(),
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

/// One letter.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Line {
    /// Its sequence in DEAD.
    pub sequence: u64,
    /// `SRC:SEQ` of its batch, where that is known.
    pub batch: Option<String>,
    /// Its job, where it is one.
    pub job_id: Option<String>,
    #[serde(flatten)]
    pub became: Became,
}

impl Line {
    /// Of a letter.
    pub fn of(letter: &Letter, became: Became) -> Self {
        let batch = letter.batch().map(|at| at.to_string());
        Self {
            sequence: letter.sequence,
            batch,
            job_id: letter.job_id(),
            became,
        }
    }

    /// Of a number that stands for no letter.
    pub fn gone(sequence: u64) -> Self {
        Self {
            sequence,
            batch: None,
            job_id: None,
            became: Became::Gone,
        }
    }

    fn words(&self) -> String {
        let what = self.job_id.as_ref().map(|id| format!(" (job {id})"));
        let what = what.or_else(|| self.batch.as_ref().map(|at| format!(" (message {at})")));
        plain(&format!(
            "letter {}{}: {}",
            self.sequence,
            what.unwrap_or_default(),
            self.became.words()
        ))
    }
}

/// What became of all.
#[derive(Debug, Default, Serialize)]
pub struct Report {
    /// Nothing was done.
    pub dry_run: bool,
    pub letters: Vec<Line>,
}

impl Report {
    /// A line a letter; beyond `shown`, those that went well are only counted.
    pub fn lines(&self, shown: usize) -> Vec<String> {
        let failed = self.letters.iter().filter(|line| line.became.is_failure());
        let mut lines: Vec<String> = match self.letters.len() {
            count if count <= shown => self.letters.iter().map(Line::words).collect(),
            _ => failed.clone().take(shown).map(Line::words).collect(),
        };
        let (all, failed) = (self.letters.len(), failed.count());
        lines.push(format!("{all} letters, {failed} of them need another look"));
        lines
    }

    /// Says what needs another look.
    ///
    /// # Errors
    /// Where anything does.
    pub fn conclude(&self) -> anyhow::Result<()> {
        let failed = self
            .letters
            .iter()
            .filter(|line| line.became.is_failure())
            .count();
        anyhow::ensure!(
            failed == 0,
            "{failed} of {} letters were not dealt with; the lines above say why, and `devtrail dead list` shows what is \
             in DEAD now.",
            self.letters.len()
        );
        Ok(())
    }
}

/// The bar that shows how many letters were gone through.
pub fn progress(length: u64, quiet: bool) -> ProgressBar {
    if quiet {
        return ProgressBar::hidden();
    }
    let style =
        ProgressStyle::with_template("{bar:40} {pos}/{len} letters · {per_sec} · {eta} left {msg}");
    ProgressBar::new(length).with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
}

#[cfg(test)]
mod tests {
    use super::super::letter::tests::{job, letter};
    use super::*;

    #[test]
    fn each_letter_has_its_line_and_what_went_wrong_fails_the_command() {
        let one = letter("dead.JOBS.alert", &[], &serde_json::to_vec(&job()).unwrap());
        let mut report = Report {
            dry_run: false,
            letters: vec![Line::of(&one, Became::Done)],
        };
        report.conclude().unwrap();
        let again = Became::GaveUpAgain {
            sequence: 9,
            reason: "a\u{7} panic".to_owned(),
        };
        report
            .letters
            .extend([Line::of(&one, again), Line::gone(8)]);
        assert_eq!(
            report.lines(SHOWN),
            [
                "letter 7 (job 2:5:alert): done",
                "letter 7 (job 2:5:alert): gave up again, now letter 9: a\u{fffd} panic",
                "letter 8: is gone: redriven or dropped before, or never there",
                "3 letters, 2 of them need another look",
            ]
        );
        assert_eq!(report.lines(2).len(), 3, "of many, what failed is told");
        assert!(
            report
                .conclude()
                .unwrap_err()
                .to_string()
                .contains("2 of 3")
        );
        let text = serde_json::to_value(&report.letters[1]).unwrap();
        assert_eq!(
            (text["became"].as_str(), text["letter_now"].as_u64()),
            (Some("gave_up_again"), Some(9))
        );
    }
}
