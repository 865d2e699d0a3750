//! What an import came to, or would come to.

use serde::Serialize;
use serde_json::Value;
use types::verdict::Verdict;

use crate::output::{self, count};
use crate::send::delivery::Summary;
use crate::send::input::{BatchContent, OutgoingBatch};

/// What came of it.
#[derive(Debug, Serialize)]
pub struct Imported {
    /// The project's name.
    pub project: String,
    /// Addresses of the authors; none: everyone.
    pub authors: Vec<String>,
    /// Commits in all.
    pub commits: u64,
    /// Commits that Devtrail did not have.
    new: u64,
    /// Commits that were there already.
    known: u64,
    #[serde(flatten)]
    sent: Summary,
}

/// What would be sent.
#[derive(Debug, Default, Serialize)]
pub struct Planned {
    /// The project's name.
    pub project: String,
    /// Addresses of the authors; none: everyone.
    pub authors: Vec<String>,
    /// Commits in all.
    pub commits: u64,
    /// Batches.
    pub batches: u64,
    /// The first local day that one was written on.
    pub first: Option<String>,
    /// The last one.
    pub last: Option<String>,
}

impl Planned {
    /// The plan with one more batch.
    #[must_use]
    pub fn with(mut self, batch: &OutgoingBatch) -> Self {
        let BatchContent::Events(events) = &batch.content else {
            return self;
        };
        self.batches += 1;
        for event in events {
            let event: Value = serde_json::from_str(event.get()).unwrap_or_default();
            let day = event["occurred_at"]
                .as_str()
                .unwrap_or_default()
                .chars()
                .take(10)
                .collect::<String>();
            self.commits += 1;
            if self.first.as_ref().is_none_or(|first| day < *first) {
                self.first = Some(day.clone());
            }
            if self.last.as_ref().is_none_or(|last| day > *last) {
                self.last = Some(day);
            }
        }
        self
    }

    /// Prints it for people.
    ///
    /// # Errors
    /// Returns an error if stdout cannot be written.
    pub fn print(&self) -> std::io::Result<()> {
        let Self {
            project,
            commits,
            batches,
            first,
            last,
            ..
        } = self;
        let day = |day: &Option<String>| day.clone().unwrap_or_default();
        let commits = count(*commits, "commit");
        let batches = count(*batches, "batch");
        output::line(format!(
            "would send {commits} of {project} in {batches}, written from {} to {}; nothing was sent",
            day(first),
            day(last)
        ))
    }
}

impl Imported {
    /// Sums over the replies.
    #[must_use]
    pub fn new(project: String, authors: Vec<String>, sent: Summary) -> Self {
        let counts = sent.counts;
        let known = u64::from(counts.accepted) + u64::from(counts.duplicate) - sent.new;
        Self {
            project,
            authors,
            commits: counts.received.into(),
            new: sent.new,
            known,
            sent,
        }
    }

    /// Prints it for people.
    ///
    /// # Errors
    /// Returns an error if stdout cannot be written.
    pub fn print(&self, computed: bool, as_me: bool) -> std::io::Result<()> {
        let Self {
            project,
            commits,
            new,
            known,
            sent,
            ..
        } = self;
        let commits = count(*commits, "commit");
        output::line(format!(
            "imported {commits} of {project} in {:.1} s: {new} new, {known} known already",
            sent.seconds
        ))?;
        // What is known already is counted above.
        for (verdict, count) in [
            (Verdict::Quarantined, sent.counts.quarantined),
            (Verdict::Rejected, sent.counts.rejected),
        ] {
            if count > 0 {
                let verdict_name = verdict.as_str();
                output::line(format!(
                    "{count} {verdict_name}: kept, and counted in no metric"
                ))?;
                sent.print_codes(verdict)?;
            }
        }
        if sent.not_stored_yet > 0 {
            output::line(format!(
                "On disk but not stored yet: {}. Which of their commits are new is found out then.",
                count(sent.not_stored_yet, "batch")
            ))?;
        }
        if !computed {
            output::line(
                "Their metrics are not computed yet; `devtrail status` shows the jobs that wait.",
            )?;
        }
        if as_me {
            output::line("See them with `devtrail metrics show me`.")
        } else {
            Ok(())
        }
    }
}
