//! Rule files: what they may say, read strictly, and the ones this program was built with.
//!
//! `docs/alerts.md` describes the format to rule writers.

use std::collections::BTreeSet;
use std::time::Duration;

use serde::Deserialize;
use types::severity::Severity;
use types::time::{Micros, SECOND};

use super::examples::{Example, time_span};
use super::filter::{EventFilter, minute_of};

macro_rules! embedded {
    ($($id:literal),+ $(,)?) => {
        &[$(($id, include_str!(concat!("../../rules/", $id, ".toml")))),+]
    };
}
/// Each rule file, embedded: the name without `.toml`, and the text. A test finds the files not named here.
const FILES: &[(&str, &str)] = embedded!["failing-builds", "force-push", "late-night-work"];

/// Longest window, in days: a job reads every hour that a window over a touched day may reach.
const MAX_WINDOW_DAYS: u16 = 31;

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
    /// A sentence for the developer; `{start}`, `{end}` (days) and `{name}` of a condition are filled in.
    pub title: String,
    /// Why it matters.
    pub why: String,
    /// What can be done, the best first.
    pub actions: Vec<String>,
    /// How many local days it looks at together.
    #[serde(default = "one_day")]
    pub window_days: u16,
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
    /// Of distinct slots: their length, in minutes.
    #[serde(default)]
    pub slot_minutes: Option<u32>,
    /// The lower bound, included.
    #[serde(default)]
    pub at_least: Option<u64>,
    /// The upper bound, included.
    #[serde(default)]
    pub at_most: Option<u64>,
}

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
    /// The length of the longest run of events that nothing in `broken_by` interrupts.
    Streak,
    /// The number of slots of time with an event.
    DistinctSlots,
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
                |when: &&RuleCondition| when.measure == Measure::Streak && when.at_least.is_some();
            // The events of two runs that overlap could not be counted once without reading them all again.
            says(
                self.when.iter().filter(needed).count() > 1,
                "only one [[when]] can be a streak with an at_least",
            )
        })
        .or_else(|| self.unknown_placeholder())
    }

    /// How many local days a window reads: one more than it has if its days do not begin at midnight.
    pub fn days_read(&self) -> i32 {
        i32::from(self.window_days) + self.day_begins.days_beyond()
    }

    /// The types of event that it looks at, each once.
    #[must_use]
    pub fn types(&self) -> BTreeSet<&str> {
        let filters = self
            .when
            .iter()
            .flat_map(|when| when.of.iter().chain(&when.broken_by));
        filters
            .flat_map(|filter| &filter.types)
            .map(String::as_str)
            .collect()
    }

    fn unknown_placeholder(&self) -> Option<String> {
        let known = |name: &str| {
            ["start", "end"].contains(&name) || self.when.iter().any(|when| when.name == name)
        };
        let unknown = |part: &&str| !part.split_once('}').is_some_and(|(name, _)| known(name));
        let part = self.title.split('{').skip(1).find(unknown)?;
        let name = part.split('}').next().unwrap_or_default();
        Some(format!(
            "its title has {:?}: use {{start}}, {{end}} or the {{name}} of a [[when]]",
            format!("{{{name}")
        ))
    }

    /// The title with its placeholders filled in; `values` gives each name's text.
    pub fn title_with<'a>(&self, values: impl IntoIterator<Item = (&'a str, String)>) -> String {
        let fill = |title: String, (name, value): (&str, String)| {
            title.replace(&format!("{{{name}}}"), &value)
        };
        values.into_iter().fold(self.title.clone(), fill)
    }
}

impl RuleCondition {
    fn problem(&self) -> Option<String> {
        let is_streak = self.measure == Measure::Streak;
        let is_slots = self.measure == Measure::DistinctSlots;
        let reason = if !is_name(&self.name, '_') || ["start", "end"].contains(&self.name.as_str())
        {
            "its name must be of a-z, 0-9 and _, begin with a letter, and be neither start nor end"
        } else if self.of.is_empty()
            || self
                .of
                .iter()
                .chain(&self.broken_by)
                .any(|one| one.types.is_empty())
        {
            "`of` must name events, and every filter must name types"
        } else if is_streak == self.broken_by.is_empty() {
            "a streak, and nothing else, needs broken_by"
        } else if self
            .slot_minutes
            .is_some_and(|length| !is_slots || !(1..=24 * 60).contains(&length))
        {
            "slot_minutes is for distinct-slots only, from 1 to 1440"
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
