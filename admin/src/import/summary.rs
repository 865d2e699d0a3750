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
        print_rest(sent, "commits", computed, as_me)
    }
}

/// What came of importing a file.
#[derive(Debug, Serialize)]
pub struct ImportedFile {
    /// How messages call it.
    pub file: String,
    /// Events in all.
    pub events: u64,
    /// Events that Devtrail did not have.
    new: u64,
    /// Events that were there already.
    known: u64,
    /// What should have become an event and did not.
    passed_over: u64,
    /// What is not meant to become events.
    left_out: Vec<String>,
    #[serde(flatten)]
    sent: Summary,
}

/// What of a file would be sent.
#[derive(Debug, Default, Serialize)]
pub struct PlannedFile {
    /// How messages call it.
    file: String,
    /// Events in all.
    events: u64,
    /// Batches.
    pub batches: u64,
    /// What should become an event and does not.
    pub passed_over: u64,
    /// What is not meant to become events.
    pub left_out: Vec<String>,
    /// The first local day of an event.
    first: Option<String>,
    /// The last one.
    last: Option<String>,
}

impl PlannedFile {
    /// A plan without events as yet.
    #[must_use]
    pub fn new(file: &str) -> Self {
        Self {
            file: file.to_owned(),
            ..Self::default()
        }
    }

    /// Counts an event of this day.
    pub fn add(&mut self, day: &str) {
        self.events += 1;
        if self.first.as_deref().is_none_or(|first| day < first) {
            self.first = Some(day.to_owned());
        }
        if self.last.as_deref().is_none_or(|last| day > last) {
            self.last = Some(day.to_owned());
        }
    }

    /// Prints it for people.
    ///
    /// # Errors
    /// Returns an error if stdout cannot be written.
    pub fn print(&self) -> std::io::Result<()> {
        let days = match (&self.first, &self.last) {
            (Some(first), Some(last)) => format!(", from {first} to {last}"),
            _ => String::new(),
        };
        output::line(format!(
            "would send {} of {} in {}{days}; nothing was sent",
            count(self.events, "event"),
            self.file,
            count(self.batches, "batch")
        ))?;
        if self.passed_over > 0 {
            output::line(format!("{} would be passed over", self.passed_over))?;
        }
        print_left_out(&self.left_out)
    }
}

impl ImportedFile {
    /// Sums over the replies.
    #[must_use]
    pub fn new(file: &str, passed_over: u64, left_out: Vec<String>, sent: Summary) -> Self {
        let counts = sent.counts;
        Self {
            file: file.to_owned(),
            events: counts.received.into(),
            new: sent.new,
            known: u64::from(counts.accepted) + u64::from(counts.duplicate) - sent.new,
            passed_over,
            left_out,
            sent,
        }
    }

    /// Prints it for people.
    ///
    /// # Errors
    /// Returns an error if stdout cannot be written.
    pub fn print(&self, computed: bool, as_me: bool) -> std::io::Result<()> {
        output::line(format!(
            "imported {} of {} in {:.1} s: {} new, {} known already",
            count(self.events, "event"),
            self.file,
            self.sent.seconds,
            self.new,
            self.known
        ))?;
        print_left_out(&self.left_out)?;
        print_rest(&self.sent, "events", computed, as_me)
    }
}

fn print_left_out(left_out: &[String]) -> std::io::Result<()> {
    left_out
        .iter()
        .try_for_each(|what| output::line(format!("left out: {}", output::plain(what))))
}

/// Prints what became of those that are neither new nor known, and where the metrics are.
fn print_rest(sent: &Summary, what: &str, computed: bool, as_me: bool) -> std::io::Result<()> {
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
            "On disk but not stored yet: {}. Which of their {what} are new is found out then.",
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
