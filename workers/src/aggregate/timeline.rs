//! What a stretch of a developer's events comes to: counts by local hour, active time, sessions. Pure.
//!
//! All events of a developer are one line of time, whatever editors, machines and zones they come from: so nothing is
//! counted twice. A stretch lies within one UTC hour and is kept in its partial; days are put together from stretches.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use types::query::PlaceNames;
use types::time::{MILLISECOND, Micros, utc_hour};

use super::commit_languages::{languages_of, main_language};
use super::local_hour::{LocalHour, pause_parts};
use super::place::{CountedPlace, UNKNOWN, shown};
use super::sums::entry;
use super::tally::{Tally, is_default};
use crate::normalize::{CountedEvent, LocalClock, Project, Told};

/// What was told before the stretch. No name has a control character.
const AS_BEFORE: &str = "\u{1}";
/// How many UTC hours something that was told holds, with the one it was told in: a day.
const HOLDS_HOURS: i64 = 24;

/// A stretch of a developer's events, in the order (effective time, event id). Times are in milliseconds.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Timeline {
    /// What was counted, by local hour: of events by their own, of active time by the one that it passed in.
    #[serde(with = "pairs", skip_serializing_if = "is_default")]
    pub hours: BTreeMap<LocalHour, HourCounts>,
    /// By local day: projects by key, as their owner wrote them, in the spelling of the last event of each.
    #[serde(skip_serializing_if = "is_default")]
    pub project_names: BTreeMap<String, BTreeMap<String, String>>,
    /// Runs of events without a longer pause.
    #[serde(skip_serializing_if = "is_default")]
    pub sessions: Vec<Session>,
    /// The last event. Time may be active after it.
    #[serde(skip_serializing_if = "is_default")]
    last: Option<LastEvent>,
    /// What was told last.
    #[serde(skip_serializing_if = "is_default")]
    known: LastKnown,
    /// The first event that tells a project: work may have come there from another one.
    #[serde(skip_serializing_if = "is_default")]
    first_project: Option<FirstProject>,
}

/// Counts by language.
type ByLanguage = BTreeMap<String, ByEditor>;
/// Counts by editor.
type ByEditor = BTreeMap<String, Tally>;

/// What was counted in a local hour.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct HourCounts {
    /// By key of the project, language and editor.
    #[serde(skip_serializing_if = "is_default")]
    pub places: BTreeMap<String, ByLanguage>,
    #[serde(skip_serializing_if = "is_default")]
    pub active_by: ActiveBy,
    /// Effective time of its first event.
    #[serde(skip_serializing_if = "is_default")]
    pub first: Option<Micros>,
    /// Effective time of its last event.
    #[serde(skip_serializing_if = "is_default")]
    pub last: Option<Micros>,
}

/// Active time by what else the event before tells. What it does not tell is left out.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ActiveBy {
    #[serde(skip_serializing_if = "is_default")]
    pub machines: BTreeMap<String, i64>,
    #[serde(skip_serializing_if = "is_default")]
    pub systems: BTreeMap<String, i64>,
    #[serde(skip_serializing_if = "is_default")]
    pub categories: BTreeMap<String, i64>,
    #[serde(skip_serializing_if = "is_default")]
    pub branches: BTreeMap<String, i64>,
}

/// A run of events of which each follows the one before within the timeout.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Session {
    /// The time of its first event.
    pub start: i64,
    /// The time of its last event.
    pub end: i64,
    /// The local day of its first event: it is counted there.
    pub day: String,
    /// The offset of local time at its start, in seconds.
    pub offset: i32,
    pub events: u64,
    /// Its time by project.
    #[serde(default, skip_serializing_if = "is_default")]
    pub projects: BTreeMap<String, i64>,
}

impl Session {
    /// The projects by key with their time in milliseconds: the longest first, equal ones by key.
    #[must_use]
    pub fn longest_projects(&self) -> Vec<(&str, i64)> {
        let projects = self.projects.iter();
        let mut projects: Vec<(&str, i64)> =
            projects.map(|(key, ms)| (key.as_str(), *ms)).collect();
        projects.sort_by_key(|(key, ms)| (Reverse(*ms), *key));
        projects
    }
}

/// Where and when an event happened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct LastEvent {
    at: i64,
    day: String,
    clock: LocalClock,
    #[serde(default, skip_serializing_if = "is_default")]
    project: String,
    #[serde(default, skip_serializing_if = "is_default")]
    language: String,
    #[serde(default, skip_serializing_if = "is_default")]
    editor: String,
    #[serde(default, skip_serializing_if = "is_default")]
    machine: String,
    #[serde(default, skip_serializing_if = "is_default")]
    system: String,
    #[serde(default, skip_serializing_if = "is_default")]
    category: String,
    #[serde(default, skip_serializing_if = "is_default")]
    branch: String,
}

/// What the developer's events told last.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct LastKnown {
    #[serde(skip_serializing_if = "is_default")]
    project: Option<Known>,
    #[serde(skip_serializing_if = "is_default")]
    language: Option<Known>,
    #[serde(skip_serializing_if = "is_default")]
    branch: Option<Known>,
}

impl LastKnown {
    /// What was told last once this was told as well.
    fn then(self, next: &Self) -> Self {
        Self {
            project: next.project.clone().or(self.project),
            language: next.language.clone().or(self.language),
            branch: next.branch.clone().or(self.branch),
        }
    }
}

/// Something that an event told.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Known {
    name: String,
    at: i64,
    day: String,
}

impl Known {
    /// Whether work goes from this project to another one, on one day.
    fn is_left_for(&self, project: &str, day: &str) -> bool {
        self.name != project && self.day == day
    }
}

/// The first event of a stretch that tells a project.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct FirstProject {
    hour: LocalHour,
    project: String,
    #[serde(default, skip_serializing_if = "is_default")]
    language: String,
    #[serde(default, skip_serializing_if = "is_default")]
    editor: String,
}

impl Timeline {
    /// Adds the event that comes next, in the same UTC hour. `idle` is the developer's timeout in milliseconds.
    pub fn add(&mut self, event: &CountedEvent, idle: i64) {
        let at = event.at.div_euclid(MILLISECOND);
        let day = &event.local_day;
        let offset = event.clock.offset(event.at);
        if self.pause_until(at, idle, &|_| true).is_none() {
            self.sessions.push(Session {
                start: at,
                end: at,
                day: day.clone(),
                offset,
                events: 0,
                projects: BTreeMap::new(),
            });
        }
        if let Some(session) = self.sessions.last_mut() {
            session.end = at;
            session.events += 1;
        }
        let languages = match event.kind.as_str() {
            "git.commit" => languages_of(event),
            _ => BTreeMap::new(),
        };
        let hour = LocalHour::of(at, offset, day);
        let (is_first, is_switch) = match (event.project.as_known(), &self.known.project) {
            (Some(_), None) => (true, false),
            (Some(project), Some(from)) => (false, from.is_left_for(&project.key, day)),
            (None, _) => (false, false),
        };
        if let Some(Project { key, name }) = event.project.as_known() {
            let names = entry(&mut self.project_names, day);
            if names.get(key) != Some(name) {
                names.insert(key.clone(), name.clone());
            }
        }
        let project = event.project.map(|project| project.key.as_str());
        let project = told(&mut self.known.project, project, at, day);
        let language = match (
            event.language.map(String::as_str),
            main_language(&languages),
        ) {
            (Told::AsBefore | Told::Nothing, Some(main)) => Told::Known(main),
            (own, _) => own,
        };
        let language = told(&mut self.known.language, language, at, day);
        let branch = event.branch.map(String::as_str);
        let branch = told(&mut self.known.branch, branch, at, day);
        let text = |text: &Option<String>| text.clone().unwrap_or_default();
        let editor = text(&event.program.editor);

        let counts = self.hours.entry(hour.clone()).or_default();
        counts.first.get_or_insert(event.at);
        counts.last = Some(event.at);
        let tally = counts.tally(&project, &language, &editor);
        tally.count(event, &languages);
        tally.project_switches += u64::from(is_switch);
        if is_first {
            self.first_project = Some(FirstProject {
                hour,
                project: project.clone(),
                language: language.clone(),
                editor: editor.clone(),
            });
        }
        self.last = Some(LastEvent {
            at,
            day: day.clone(),
            clock: event.clock.clone(),
            project,
            language,
            editor,
            machine: text(&event.program.machine),
            system: text(&event.program.operating_system),
            category: text(&event.category),
            branch,
        });
    }

    /// Adds the stretch that comes next, in one UTC hour, of which only what is counted on the local day `day` is of
    /// interest. Gives how much of the pause before it counts on that day, in ms.
    pub fn append(&mut self, next: &Self, idle: i64, day: &str) -> i64 {
        let is_wanted = |other: &str| other == day;
        let Some(first) = next.sessions.first() else {
            return 0;
        };
        let known = std::mem::take(&mut self.known);
        let before = Before::of(&known, first.start);
        let counted = self.pause_until(first.start, idle, &is_wanted);
        let mut sessions = next.sessions.iter().map(|session| before.session(session));
        if counted.is_some()
            && let Some(open) = self.sessions.last_mut()
            && let Some(joined) = sessions.next()
        {
            open.end = joined.end;
            open.events += joined.events;
            for (project, ms) in joined.projects {
                *open.projects.entry(project).or_default() += ms;
            }
        }
        self.sessions.extend(sessions);
        for (hour, counts) in next.hours.iter().filter(|(hour, _)| is_wanted(&hour.day)) {
            let here = self.hours.entry(hour.clone()).or_default();
            here.add(counts, &before);
        }
        if let (Some(from), Some(first)) = (&known.project, &next.first_project)
            && from.is_left_for(&first.project, &first.hour.day)
            && is_wanted(&first.hour.day)
        {
            let language = before.language(&first.language);
            let counts = self.hours.entry(first.hour.clone()).or_default();
            let tally = counts.tally(&first.project, language, &first.editor);
            tally.project_switches += 1;
        }
        // Stretches follow each other in the order of their events, so the later spelling is the name.
        for (of, names) in &next.project_names {
            entry(&mut self.project_names, of).extend(names.clone());
        }
        self.last = next.last.clone().map(|last| LastEvent {
            project: before.project(&last.project).to_owned(),
            language: before.language(&last.language).to_owned(),
            branch: before.branch(&last.branch).to_owned(),
            ..last
        });
        self.known = known.then(&next.known);
        counted.unwrap_or(0)
    }

    /// Active time, in ms.
    #[must_use]
    pub fn active(&self) -> i64 {
        let tallies = self.hours.values().flat_map(HourCounts::tallies);
        tallies.map(|(_, tally)| tally.active).sum()
    }

    /// What time after the last event counts for.
    #[must_use]
    pub fn last_place(&self) -> Option<PlaceNames> {
        let last = self.last.as_ref()?;
        Some(shown(&last.project, &last.language, &last.editor))
    }

    /// Counts the pause after the last event up to this time, if it is short enough. Gives how much of it is wanted,
    /// in ms; `None` if it is too long.
    fn pause_until(
        &mut self,
        at: i64,
        idle: i64,
        is_wanted: &impl Fn(&str) -> bool,
    ) -> Option<i64> {
        let last = self.last.as_ref()?;
        let pause = at.saturating_sub(last.at);
        if pause > idle {
            return None;
        }
        let mut counted = 0;
        if pause > 0 {
            for part in pause_parts(&last.clock, &last.day, last.at, at) {
                if is_wanted(&part.hour.day) {
                    counted += part.ms;
                    let counts = self.hours.entry(part.hour).or_default();
                    counts.add_active(last, part.ms);
                }
            }
            if let Some(session) = self.sessions.last_mut() {
                *entry(&mut session.projects, &last.project) += pause;
            }
        }
        Some(counted)
    }
}

/// The name that an event has after what was told before, and keeps what it tells itself.
fn told(known: &mut Option<Known>, told: Told<&str>, at: i64, day: &str) -> String {
    match told {
        Told::Nothing => UNKNOWN.to_owned(),
        // Within an hour nothing is too old.
        Told::AsBefore => known
            .as_ref()
            .map_or_else(|| AS_BEFORE.to_owned(), |known| known.name.clone()),
        Told::Known(name) => {
            match known {
                Some(known) if known.name == name && known.day == day => known.at = at,
                _ => {
                    *known = Some(Known {
                        name: name.to_owned(),
                        at,
                        day: day.to_owned(),
                    });
                }
            }
            name.to_owned()
        }
    }
}

/// What was told before a stretch, as far as it still holds there.
struct Before<'a> {
    project: &'a str,
    language: &'a str,
    branch: &'a str,
}

impl<'a> Before<'a> {
    fn of(known: &'a LastKnown, first: i64) -> Self {
        let hour = |at: i64| utc_hour(at.saturating_mul(MILLISECOND));
        let holds = |known: &'a Option<Known>| {
            let known = known.as_ref()?;
            (hour(first) - hour(known.at) < HOLDS_HOURS).then_some(known.name.as_str())
        };
        Self {
            project: holds(&known.project).unwrap_or(UNKNOWN),
            language: holds(&known.language).unwrap_or(UNKNOWN),
            branch: holds(&known.branch).unwrap_or(UNKNOWN),
        }
    }

    fn project<'n>(&'n self, name: &'n str) -> &'n str {
        if name == AS_BEFORE {
            self.project
        } else {
            name
        }
    }

    fn language<'n>(&'n self, name: &'n str) -> &'n str {
        if name == AS_BEFORE {
            self.language
        } else {
            name
        }
    }

    fn branch<'n>(&'n self, name: &'n str) -> &'n str {
        if name == AS_BEFORE { self.branch } else { name }
    }

    fn session(&self, session: &Session) -> Session {
        let mut renamed = session.clone();
        if let Some(ms) = renamed.projects.remove(AS_BEFORE) {
            *entry(&mut renamed.projects, self.project) += ms;
        }
        renamed
    }
}

impl HourCounts {
    /// What is counted of a project, language and editor.
    fn tally(&mut self, project: &str, language: &str, editor: &str) -> &mut Tally {
        entry(entry(entry(&mut self.places, project), language), editor)
    }

    /// All that was counted, with project, language and editor.
    pub fn tallies(&self) -> impl Iterator<Item = (CountedPlace<'_>, &Tally)> {
        self.places.iter().flat_map(|(project, languages)| {
            languages.iter().flat_map(move |(language, editors)| {
                editors.iter().map(move |(editor, tally)| {
                    let place = CountedPlace {
                        project,
                        language,
                        editor,
                    };
                    (place, tally)
                })
            })
        })
    }

    fn add_active(&mut self, after: &LastEvent, ms: i64) {
        self.tally(&after.project, &after.language, &after.editor)
            .active += ms;
        self.active_by.add_one(after, ms);
    }

    fn add(&mut self, next: &Self, before: &Before<'_>) {
        for (place, tally) in next.tallies() {
            let project = before.project(place.project);
            let language = before.language(place.language);
            self.tally(project, language, place.editor).add(tally);
        }
        self.active_by.add(&next.active_by);
        self.active_by.resolve(before);
        self.first = self.first.or(next.first);
        self.last = next.last.or(self.last);
    }
}

impl ActiveBy {
    fn add_one(&mut self, after: &LastEvent, ms: i64) {
        let add = |times: &mut BTreeMap<String, i64>, name: &str| {
            if name != UNKNOWN {
                *entry(times, name) += ms;
            }
        };
        add(&mut self.machines, &after.machine);
        add(&mut self.systems, &after.system);
        add(&mut self.categories, &after.category);
        add(&mut self.branches, &after.branch);
    }

    /// Adds what was counted elsewhere.
    pub fn add(&mut self, next: &Self) {
        let add = |times: &mut BTreeMap<String, i64>, more: &BTreeMap<String, i64>| {
            for (name, ms) in more {
                *entry(times, name) += ms;
            }
        };
        add(&mut self.machines, &next.machines);
        add(&mut self.systems, &next.systems);
        add(&mut self.categories, &next.categories);
        add(&mut self.branches, &next.branches);
    }

    /// Gives the time of branches that were told before their name.
    fn resolve(&mut self, before: &Before<'_>) {
        if let Some(ms) = self.branches.remove(AS_BEFORE)
            && before.branch != UNKNOWN
        {
            *entry(&mut self.branches, before.branch) += ms;
        }
    }
}

/// What is kept of an hour: its stretches' local hours as a list of pairs, since a key of JSON can only be a text.
pub mod pairs {
    use std::collections::BTreeMap;

    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    /// A list of pairs.
    pub fn serialize<K: Serialize, V: Serialize, S: Serializer>(
        map: &BTreeMap<K, V>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(map)
    }

    /// From a list of pairs.
    pub fn deserialize<'de, K, V, D>(deserializer: D) -> Result<BTreeMap<K, V>, D::Error>
    where
        K: Deserialize<'de> + Ord,
        V: Deserialize<'de>,
        D: Deserializer<'de>,
    {
        Ok(Vec::deserialize(deserializer)?.into_iter().collect())
    }
}
