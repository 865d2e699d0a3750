//! A local day, put together from the stretches of its look-back.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use store::StoredCounts;

use super::local_hour::LocalHour;
use super::tally::is_default;
use super::timeline::{HourCounts, Session, Timeline, pairs};

/// What a local day comes to: the body of its row. Queries make metrics of it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct DayCounts {
    #[serde(with = "pairs", skip_serializing_if = "is_default")]
    pub hours: BTreeMap<LocalHour, HourCounts>,
    /// Projects by key, as their owner wrote them: in the spelling of the day's last event of each, else of the latest
    /// other day around it.
    #[serde(skip_serializing_if = "is_default")]
    pub project_names: BTreeMap<String, String>,
    /// The developer's timeout, in milliseconds.
    pub idle: i64,
    /// Those that began on this day, also if they end on another. One of a single instant is none.
    #[serde(skip_serializing_if = "is_default")]
    pub sessions: Vec<Session>,
}

impl DayCounts {
    /// As they are stored.
    ///
    /// # Errors
    /// Returns the defect, named by its day, if what was computed cannot be read.
    pub fn read(stored: &StoredCounts) -> Result<Self, String> {
        serde_json::from_str(&stored.counts)
            .map_err(|error| format!("the counts of {} cannot be read: {error}", stored.day))
    }

    /// Of the stretches of the day's look-back, in their order. `idle` is the developer's timeout in milliseconds.
    pub fn fold<'a>(
        day: &str,
        stretches: impl IntoIterator<Item = &'a Timeline>,
        idle: i64,
    ) -> Self {
        let mut whole = Timeline::default();
        for stretch in stretches {
            whole.append(stretch, idle, day);
        }
        let Timeline {
            hours,
            mut sessions,
            mut project_names,
            ..
        } = whole;
        sessions.retain(|session| session.day == day && session.end > session.start);
        // Work goes on over midnight, and is "the same as before": then a project is called as on another day.
        let mut names = project_names.remove(day).unwrap_or_default();
        let places = hours.values().flat_map(|counts| counts.places.keys());
        let in_sessions = sessions.iter().flat_map(|session| session.projects.keys());
        for key in places.chain(in_sessions) {
            if !names.contains_key(key) {
                let mut others = project_names.values().rev();
                let other = others.find_map(|names| names.get(key));
                names.extend(other.map(|name| (key.clone(), name.clone())));
            }
        }
        Self {
            idle,
            hours,
            project_names: names,
            sessions,
        }
    }

    /// Whether anything was counted.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.hours.is_empty()
    }
}
