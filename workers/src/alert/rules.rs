//! Rule files: what they may say, read strictly, and the ones this program was built with.
//!
//! `docs/alerts.md` describes the format to rule writers.

use std::collections::BTreeSet;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use types::severity::Severity;
use types::time::{Micros, SECOND};

use super::examples::{Example, time_span};
use super::filter::{EventFilter, minute_of};
use super::local_day::{LocalDay, Weekday};

macro_rules! embedded {
    ($($id:literal),+ $(,)?) => {
        &[$(($id, include_str!(concat!("../../rules/", $id, ".toml")))),+]
    };
}
/// Each rule file, embedded: the name without `.toml`, and the text. A test finds the files not named here.
const FILES: &[(&str, &str)] = embedded![
    "ai-without-tests",
    "branch-hopping",
    "build-error-loop",
    "commits-without-tests",
    "destructive-command",
    "edits-without-tests",
    "failing-builds",
    "failing-command",
    "flaky-tests",
    "force-push-main",
    "force-push",
    "large-commit",
    "late-night-work",
    "long-day",
    "long-debugging",
    "no-break",
    "no-day-off",
    "no-lunch",
    "project-thrash",
    "rejected-suggestions",
    "repeated-late-nights",
    "rising-errors",
    "same-test-failing",
    "secret-in-command",
    "short-rest",
    "slow-build",
    "uncommitted-work",
    "undo-churn",
    "unpushed-work",
    "waiting-for-builds",
    "weekend-work",
];

/// Longest window, in days: a job reads every hour that a window over a touched day may reach.
const MAX_WINDOW_DAYS: u16 = 31;
/// Longest window of minutes: half a day.
const MAX_WINDOW_MINUTES: u16 = 12 * 60;

/// A rule, as its file has it.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rule {
    /// Its name, part of every alert id: never changed, never given to another rule.
    pub id: String,
    /// Rises with every change of what it finds; a replay then looks at old windows again.
    pub version: i32,
    /// How bad it is.
    pub severity: Severity,
    /// What it is about.
    pub category: Category,
    /// A sentence for the developer; `{start}`, `{end}` (days) and `{name}` of a condition are filled in.
    pub title: String,
    /// Why it matters.
    pub why: String,
    /// Where that is known from: a link or a title.
    #[serde(default)]
    pub source: Option<String>,
    /// What can be done, the best first.
    pub actions: Vec<String>,
    /// When it does not fire, though one might think so.
    #[serde(default)]
    pub silent: Vec<String>,
    /// A rule of the same windows whose alert stands for this one's, where both fire: they have one cause.
    #[serde(default)]
    pub folded_under: Option<String>,
    /// How many local days it looks at together.
    #[serde(default = "one_day")]
    pub window_days: u16,
    /// Of a rule that looks at minutes: how many of its day together. Each run of minutes at which it fires is an
    /// alert.
    #[serde(default)]
    pub window_minutes: Option<u16>,
    /// The weekday that its windows begin on, if not any.
    #[serde(default)]
    pub window_begins: Option<Weekday>,
    /// The local time at which its days begin, if not midnight: from noon on, a night is one day, evening to morning.
    #[serde(default)]
    pub day_begins: DayBegins,
    /// How long after its window has ended an alert is still news.
    #[serde(default = "a_day", deserialize_with = "time_span")]
    pub stale_after: Duration,
    /// The conditions; all must hold.
    pub when: Vec<RuleCondition>,
    /// Events that must make it fire, and events that must not.
    pub examples: Vec<Example>,
}

/// What a rule is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Category {
    /// The developer's own well-being: shown to nobody else.
    Health,
    Productivity,
    Quality,
    Security,
}

impl Category {
    /// As a rule file names it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Health => "health",
            Self::Productivity => "productivity",
            Self::Quality => "quality",
            Self::Security => "security",
        }
    }
}

/// The local time at which a rule's days begin, `HH:MM`. What comes before it belongs to the day before.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(try_from = "String")]
pub struct DayBegins {
    /// Minutes after midnight.
    minutes: u16,
}

impl DayBegins {
    /// How long after midnight.
    #[must_use]
    pub fn after_midnight(self) -> Micros {
        i64::from(self.minutes) * 60 * SECOND
    }

    /// The local days beyond its own that such a day reaches into: 0 or 1.
    #[must_use]
    pub fn days_beyond(self) -> i32 {
        i32::from(self.minutes > 0)
    }
}

impl TryFrom<String> for DayBegins {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let minutes = minute_of(&text).ok_or_else(|| {
            format!("{text:?} is no time of day: write HH:MM from 00:00 to 23:59")
        })?;
        Ok(Self { minutes })
    }
}

/// A condition: a measure of the window's events within bounds.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RuleCondition {
    /// Names what is measured, in title and evidence.
    pub name: String,
    /// What is measured.
    pub measure: Measure,
    /// The events that are meant; one of the filters must match.
    pub of: Vec<EventFilter>,
    /// Of a streak: the events that end it.
    #[serde(default)]
    pub broken_by: Vec<EventFilter>,
    /// Of a streak: the longest time between two of its events, in minutes.
    #[serde(default)]
    pub pause_minutes: Option<u32>,
    /// Of a percentage: the events that it is of, besides those that are meant.
    #[serde(default)]
    pub among: Vec<EventFilter>,
    /// The field of the record whose values are measured.
    #[serde(default)]
    pub field: Option<String>,
    /// Of slots and days: the length of a slot, in minutes.
    #[serde(default)]
    pub slot_minutes: Option<u32>,
    /// Of days: how many slots with an event make a day count.
    #[serde(default)]
    pub slots_a_day: Option<u32>,
    /// The lower bound, included.
    #[serde(default)]
    pub at_least: Option<u64>,
    /// The upper bound, included.
    #[serde(default)]
    pub at_most: Option<u64>,
}

/// What stands behind the name of a condition in a title for the value that repeated.
pub const VALUE: &str = ".value";

impl RuleCondition {
    /// The length of a slot in minutes, if the file gives none.
    pub const SLOT_MINUTES: u32 = 10;
}

/// What a condition measures.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Measure {
    /// The number of events.
    Count,
    /// The sum of a field.
    Sum,
    /// The largest value of a field.
    Largest,
    /// How many of a hundred events, rounded down.
    Percent,
    /// The number of different values of a field; at most 256 are told apart.
    Distinct,
    /// How often the most frequent value of a field came.
    Repeats,
    /// How often a field became another one from event to event.
    Changes,
    /// By how much the last value of a field is more than the first.
    Increase,
    /// The number of slots of time with an event.
    DistinctSlots,
    /// The number of local days with an event in so many slots.
    Days,
    /// Minutes from the first event to the last.
    SpanMinutes,
    /// Minutes of the longest pause between two events.
    PauseMinutes,
    /// The number of events of the longest run that nothing interrupts.
    Streak,
    /// The sum of a field in the run where it is largest.
    StreakSum,
    /// Minutes from the first to the last event of the run that took longest.
    StreakMinutes,
    /// The number of events since the last interruption.
    Unbroken,
    /// The sum of a field since the last interruption.
    UnbrokenSum,
    /// Minutes of events since the last interruption.
    UnbrokenMinutes,
}

/// What a measure needs besides the events that are meant.
impl Measure {
    /// Whether it is of runs, which something must interrupt.
    #[must_use]
    pub fn is_streak(self) -> bool {
        use Measure as M;
        matches!(
            self,
            M::Streak
                | M::StreakSum
                | M::StreakMinutes
                | M::Unbroken
                | M::UnbrokenSum
                | M::UnbrokenMinutes
        )
    }

    /// Whether it measures a field.
    #[must_use]
    pub fn has_field(self) -> bool {
        use Measure as M;
        matches!(
            self,
            M::Sum
                | M::Largest
                | M::Distinct
                | M::Repeats
                | M::Changes
                | M::Increase
                | M::StreakSum
                | M::UnbrokenSum
        )
    }
}

/// A rule file that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadRule {
    /// It is no TOML, misses a key, or has one that nobody knows.
    #[error("The rule file cannot be read: {0}")]
    Unreadable(String),
    /// It says something that cannot be meant.
    #[error("The rule {id:?} cannot be used: {reason}")]
    Unusable {
        /// The rule.
        id: String,
        /// Why, and what would do.
        reason: String,
    },
}

fn one_day() -> u16 {
    1
}

fn a_day() -> Duration {
    Duration::from_secs(24 * 3600)
}

/// The names (also the rules' ids) and texts of the files this program was built with.
#[must_use]
pub fn files() -> &'static [(&'static str, &'static str)] {
    FILES
}

/// The rules this program was built with, by id.
///
/// # Panics
/// Never in a released build: a test reads every file.
#[must_use]
pub fn builtin() -> Vec<Rule> {
    FILES
        .iter()
        .map(|(_, text)| Rule::parse(text).expect("an embedded rule file is sound"))
        .collect()
}

impl Rule {
    /// Reads a rule file.
    ///
    /// # Errors
    /// Returns `BadRule` if the text is no rule file, or says something that cannot be meant.
    pub fn parse(text: &str) -> Result<Self, BadRule> {
        let rule: Self = toml::from_str(text)
            .map_err(|error| BadRule::Unreadable(error.to_string().trim_end().to_owned()))?;
        match rule.problem() {
            None => Ok(rule),
            Some(reason) => Err(BadRule::Unusable {
                id: rule.id,
                reason,
            }),
        }
    }

    /// The first thing in it that cannot be meant.
    fn problem(&self) -> Option<String> {
        let says = |wrong: bool, reason: &str| wrong.then(|| reason.to_owned());
        let window = !(1..=MAX_WINDOW_DAYS).contains(&self.window_days);
        let minutes = (self.window_minutes)
            .is_some_and(|minutes| !(1..=MAX_WINDOW_MINUTES).contains(&minutes));
        says(
            !is_name(&self.id, '-'),
            "its id must be of a-z, 0-9 and - and begin with a letter",
        )
        .or_else(|| says(self.version < 1, "its version must be 1 or more"))
        .or_else(|| {
            window.then(|| {
                format!(
                    "window_days is {}: use 1 to {MAX_WINDOW_DAYS}",
                    self.window_days
                )
            })
        })
        .or_else(|| minutes.then(|| format!("window_minutes must be 1 to {MAX_WINDOW_MINUTES}")))
        .or_else(|| {
            says(
                self.window_minutes.is_some()
                    && (self.window_days > 1 || self.window_begins.is_some()),
                "window_minutes are of one day: leave out window_days and window_begins",
            )
        })
        .or_else(|| {
            says(
                self.title.is_empty() || self.why.is_empty(),
                "title and why must say something",
            )
        })
        .or_else(|| {
            says(
                self.actions.is_empty(),
                "actions must name at least one thing to do",
            )
        })
        .or_else(|| {
            says(
                self.folded_under.as_ref() == Some(&self.id),
                "it cannot be folded under itself",
            )
        })
        .or_else(|| self.when.iter().find_map(RuleCondition::problem))
        .or_else(|| {
            // Else it would fire on days without a single event.
            let fed = self
                .when
                .iter()
                .any(|when| when.at_least.is_some_and(|bound| bound > 0));
            says(!fed, "one [[when]] must have an at_least of 1 or more")
        })
        .or_else(|| {
            let names: BTreeSet<&str> = self.when.iter().map(|when| when.name.as_str()).collect();
            says(
                names.len() < self.when.len(),
                "each [[when]] must have a name of its own",
            )
        })
        .or_else(|| {
            let needed =
                |when: &&RuleCondition| when.measure.is_streak() && when.at_least.is_some();
            // The events of two runs that overlap could not be counted once without reading them all again.
            says(
                self.when.iter().filter(needed).count() > 1,
                "only one [[when]] can be a streak with an at_least",
            )
        })
        .or_else(|| self.unknown_placeholder())
    }

    /// Whether it has the same windows.
    #[must_use]
    pub fn has_windows_of(&self, other: &Self) -> bool {
        let days = |rule: &Self| (rule.window_days, rule.window_begins, rule.day_begins);
        days(self) == days(other) && self.window_minutes == other.window_minutes
    }

    /// How many local days a window reads: one more than it has if its days do not begin at midnight.
    pub fn days_read(&self) -> i32 {
        i32::from(self.window_days) + self.day_begins.days_beyond()
    }

    /// Whether one of its windows may begin on this day.
    pub fn may_begin(&self, day: LocalDay) -> bool {
        self.window_begins
            .is_none_or(|begins| day.weekday() == begins)
    }

    /// The types of event that it looks at, each once.
    #[must_use]
    pub fn types(&self) -> BTreeSet<&str> {
        let filters = self.when.iter().flat_map(RuleCondition::filters);
        filters
            .flat_map(|filter| &filter.types)
            .map(String::as_str)
            .collect()
    }

    fn unknown_placeholder(&self) -> Option<String> {
        let known = |name: &str| {
            let of = |when: &RuleCondition| match name.strip_suffix(VALUE) {
                Some(name) => when.measure == Measure::Repeats && when.name == name,
                None => when.name == name,
            };
            ["start", "end", "time"].contains(&name) || self.when.iter().any(of)
        };
        let unknown = |part: &&str| !part.split_once('}').is_some_and(|(name, _)| known(name));
        let part = self.title.split('{').skip(1).find(unknown)?;
        let name = part.split('}').next().unwrap_or_default();
        Some(format!(
            "its title has {:?}: use {{start}}, {{end}}, {{time}} or the {{name}} of a [[when]]",
            format!("{{{name}")
        ))
    }

    /// The title with its placeholders filled in; `values` gives each name's text.
    pub fn title_with(&self, values: impl IntoIterator<Item = (String, String)>) -> String {
        let fill = |title: String, (name, value): (String, String)| {
            title.replace(&format!("{{{name}}}"), &value)
        };
        values.into_iter().fold(self.title.clone(), fill)
    }
}

impl RuleCondition {
    /// What was measured, as a title says it: times in hours and minutes.
    pub fn shown(&self, value: u64) -> String {
        use Measure as M;
        let minutes = match self.measure {
            M::SpanMinutes | M::PauseMinutes | M::StreakMinutes | M::UnbrokenMinutes => value,
            M::Sum | M::Largest if self.field.as_deref() == Some("duration_ms") => value / 60_000,
            _ => return value.to_string(),
        };
        match (minutes / 60, minutes % 60) {
            (0, minutes) => format!("{minutes} min"),
            (hours, 0) => format!("{hours} h"),
            (hours, minutes) => format!("{hours} h {minutes} min"),
        }
    }

    /// The filters of all events that mean something to it.
    pub fn filters(&self) -> impl Iterator<Item = &EventFilter> {
        (self.of.iter()).chain(&self.broken_by).chain(&self.among)
    }

    fn problem(&self) -> Option<String> {
        let measure = self.measure;
        let has_slots = matches!(measure, Measure::DistinctSlots | Measure::Days);
        let is_interrupted = !self.broken_by.is_empty() || self.pause_minutes.is_some();
        let minutes =
            |given: Option<u32>| given.is_some_and(|length| !(1..=24 * 60).contains(&length));
        let reason = if !is_name(&self.name, '_')
            || ["start", "end", "time"].contains(&self.name.as_str())
        {
            "its name must be of a-z, 0-9 and _, begin with a letter, and be neither start nor end nor time"
        } else if self.of.is_empty() || self.filters().any(|one| one.types.is_empty()) {
            "`of` must name events, and every filter must name types"
        } else if measure.is_streak() != is_interrupted {
            "a streak, and nothing else, needs broken_by, pause_minutes or both"
        } else if (measure == Measure::Percent) == self.among.is_empty() {
            "a percentage, and nothing else, needs `among`"
        } else if measure.has_field() != self.field.is_some() {
            "a measure of values, and no other, needs `field`"
        } else if self.slot_minutes.is_some() && !has_slots
            || minutes(self.slot_minutes)
            || minutes(self.pause_minutes)
        {
            "slot_minutes is for distinct-slots and days only, and each number of minutes is 1 to 1440"
        } else if (self.slots_a_day).is_some_and(|slots| measure != Measure::Days || slots == 0) {
            "slots_a_day is for days only, and 1 or more"
        } else if self.at_least.is_none() && self.at_most.is_none() {
            "it needs at_least, at_most or both"
        } else if matches!((self.at_least, self.at_most), (Some(low), Some(high)) if low > high) {
            "its at_least is more than its at_most: it could never hold"
        } else {
            return None;
        };
        Some(format!("[[when]] {:?}: {reason}", self.name))
    }
}

fn is_name(text: &str, joiner: char) -> bool {
    let inner = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == joiner;
    text.len() <= 64
        && text.starts_with(|c: char| c.is_ascii_lowercase())
        && text.chars().all(inner)
}

#[cfg(test)]
pub mod tests;
