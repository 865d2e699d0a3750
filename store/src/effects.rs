//! What jobs write: records, windows and findings, and the jobs themselves as `finish_jobs` (T3) enters them.

use types::id::{BatchRef, EventRef};
use types::job::{JobKind, JobMessage};
use types::time::Micros;

use crate::snapshot::Computed;

/// What a normalized record says otherwise than its event.
///
/// Kept once for each (reference, version), and only while the event holds the reference. A text is `None` if the
/// record has what the event's data has, and empty if it has none where the data has one. None holds NUL.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NormalizedRow {
    /// The submission it was made from.
    pub at: EventRef,
    /// The normalizer's version.
    pub version: i32,
    /// The offset of local time from UTC, in seconds.
    pub utc_offset: i32,
    /// Nothing of the record is read from the event: what differs is everything.
    pub is_whole: bool,
    /// Canonical language.
    pub language: Option<String>,
    /// Project slug.
    pub project: Option<String>,
    /// The project as its owner wrote it, compared with the data's project.
    pub project_name: Option<String>,
    /// Cleaned path.
    pub path: Option<String>,
    /// Kind of activity.
    pub category: Option<String>,
    /// The data's other members that differ, as a JSON object; null for one that the record leaves out. Of a whole
    /// row all members. Since version 3 also `editor` (compared with the data's, else the client's), `entity_type`,
    /// `tool`, `duration_ms` and `secrets` (compared with the data's, else 0), which are fields of the record.
    pub data: Option<String>,
}

/// What the records of a batch have of its client, kept once for each (batch, version).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NormalizedClient {
    pub batch: BatchRef,
    /// The normalizer's version.
    pub version: i32,
    /// The editor of records whose events name none.
    pub editor: Option<String>,
    /// The version of that editor.
    pub editor_version: Option<String>,
    pub operating_system: Option<String>,
    /// The machine's name.
    pub machine: Option<String>,
}

/// A recomputed hour partial: replaces what was computed at a lower generation or version, or with something else.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PartialRow {
    pub developer: String,
    /// The kind of job that it is for.
    pub kind: JobKind,
    /// The UTC hour.
    pub hour: i64,
    /// What else it depends on than events and code, such as the rules.
    pub made_with: String,
    /// What was computed.
    pub computed: Computed,
}

/// A folded local day: replaces what was computed at a lower generation or version, or at the same ones with another
/// timeout.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DayRow {
    pub developer: String,
    /// The local day, `YYYY-MM-DD`.
    pub day: String,
    /// The metrics; their generation is the sum over the hours in the look-back.
    pub computed: Computed,
    /// The developer's timeout that it was computed with, in milliseconds.
    pub idle_ms: i64,
    /// What the metrics are made of, as JSON: for parts of the day, and for several days together.
    pub counts: String,
}

/// An alert that a rule gives for a window.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// hash(developer, rule, window start): the same whenever and wherever it is found.
    pub alert_id: String,
    /// `critical`, `high`, `warning` or `info`.
    pub severity: String,
    /// A sentence for the developer.
    pub title: String,
    /// The alert as the developer gets it, as JSON.
    pub body: String,
    /// Whether it is news: false if its window is long past or it came of a replay.
    pub push: bool,
}

/// A rule evaluated on a window: replaces what was found at a lower generation or version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RuleWindow {
    pub developer: String,
    /// The rule's id.
    pub rule: String,
    /// First local day of the window.
    pub window_start: String,
    /// Sum of the generations of the hours that were read.
    pub generation: i64,
    /// The version of the rule.
    pub version: i32,
    /// What it found, each with an alert id of its own; alerts of the window found before and not again are retracted.
    pub findings: Vec<Finding>,
    /// The batch whose job looked; that job must be among those finished with it.
    pub batch: BatchRef,
    /// The correlation id of that batch.
    pub correlation_id: String,
    /// The replay that the job belongs to: its alerts are stored, not delivered.
    pub replay_id: Option<String>,
}

/// What jobs write, all of one kind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Effects {
    /// Of normalize jobs.
    Normalized {
        records: Vec<NormalizedRow>,
        /// Of the records' batches, as far as they tell something.
        clients: Vec<NormalizedClient>,
    },
    /// Of aggregate jobs.
    Windows {
        /// Recomputed hours.
        partials: Vec<PartialRow>,
        /// Folded days.
        days: Vec<DayRow>,
    },
    /// Of alert jobs.
    Rules {
        /// Recomputed hours.
        partials: Vec<PartialRow>,
        /// Evaluated windows.
        windows: Vec<RuleWindow>,
    },
}

/// A job that is done, for the completed jobs, the masks and the audit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JobDone {
    pub job: JobMessage,
    /// When its group began.
    pub started_at: Micros,
    /// When its result was computed.
    pub finished_at: Micros,
    pub actor: String,
}

/// A job that was dead-lettered (T3f, `fail_job`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct JobFailed {
    pub job: JobMessage,
    pub at: Micros,
    /// Who dead-lettered it.
    pub actor: String,
    /// The error chain.
    pub reason: String,
}
