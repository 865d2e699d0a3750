//! Metrics as replies contain them: made of the days that the store has. Pure.

use std::collections::BTreeMap;

use jiff::civil::Date;
use serde::Serialize;
use serde_json::{Map, Value};
use store::{StoredCounts, StoredDay};
use types::query::{
    DayReply, HourReply, MetricsQuery, Period, SessionProject, SessionReply, SessionsQuery,
    WeekReply,
};
use types::time::{MILLISECOND, SECOND};
use types::week::Week;

use crate::aggregate::{
    Counted, DayCounts, Metrics, MetricsFilter, SHOWN_UNKNOWN, Session, UNKNOWN, shown_name,
};
use crate::normalize::{Project, canonical_editor, canonical_language, local_time};

/// A stored day whose counts are read.
struct ReadDay {
    day: String,
    counts: DayCounts,
}

impl ReadDay {
    /// # Errors
    /// Returns the defect, named by its day, if what was computed cannot be read.
    fn of(stored: StoredCounts) -> Result<Self, String> {
        Ok(Self {
            counts: DayCounts::read(&stored)?,
            day: stored.day,
        })
    }
}

/// What a query asks for, as counts know it.
fn filter(query: &MetricsQuery) -> MetricsFilter {
    let or_unknown = |sent: &str, known: Option<String>| {
        if sent.trim().eq_ignore_ascii_case(SHOWN_UNKNOWN) {
            UNKNOWN.to_owned()
        } else {
            known.unwrap_or_else(|| sent.to_owned())
        }
    };
    let language = query.language.as_deref();
    let editor = query.editor.as_deref();
    MetricsFilter {
        project: query.project.as_deref().map(project_key),
        language: language.map(|sent| or_unknown(sent, canonical_language(sent))),
        editor: editor.map(|sent| or_unknown(sent, canonical_editor(sent))),
    }
}

/// The key of a project by its name or key.
fn project_key(sent: &str) -> String {
    if sent.trim().eq_ignore_ascii_case(SHOWN_UNKNOWN) {
        return UNKNOWN.to_owned();
    }
    // A key may be a hash of its name: it is no name then.
    Project::of(sent).map_or_else(|| sent.to_owned(), |project| project.key)
}

fn members(metrics: &impl Serialize) -> Map<String, Value> {
    match serde_json::to_value(metrics) {
        Ok(Value::Object(members)) => members,
        // Maps of texts and integers are objects.
        _ => Map::new(),
    }
}

/// # Errors
/// Returns the defect, named by its day, if what was computed is no JSON object.
pub fn whole_days(stored: Vec<StoredDay>) -> Result<Vec<DayReply>, String> {
    let reply = |stored: StoredDay| {
        let day = stored.day;
        let mut metrics: Map<String, Value> = serde_json::from_str(&stored.metrics.body)
            .map_err(|error| format!("the metrics of {day} are no JSON object: {error}"))?;
        // The reply names the day itself; twice the same member could not be read.
        metrics.remove("day");
        Ok(DayReply { day, metrics })
    };
    let replies: Result<Vec<DayReply>, String> = stored.into_iter().map(reply).collect();
    let mut replies = replies?;
    replies.retain(|reply| shows_anything(&reply.metrics));
    Ok(replies)
}

/// # Errors
/// Returns the defect, named by its day, if what was computed cannot be read.
pub fn days(stored: Vec<StoredCounts>, query: &MetricsQuery) -> Result<Vec<DayReply>, String> {
    let filter = filter(query);
    let mut replies = Vec::new();
    for stored in stored {
        let ReadDay { day, counts } = ReadDay::of(stored)?;
        let metrics = Metrics::of(&Counted::days([&counts]), &filter);
        if metrics.has_anything() {
            replies.push(DayReply {
                day,
                metrics: members(&metrics),
            });
        }
    }
    Ok(replies)
}

/// Whether a query asks for all of each day: that is stored as it is shown.
pub fn is_of_whole_days(query: &MetricsQuery) -> bool {
    query.period == Period::Day && filter(query).is_all()
}

/// # Errors
/// Returns the defect, named by its day, if what was computed cannot be read.
pub fn hours(stored: Vec<StoredCounts>, query: &MetricsQuery) -> Result<Vec<HourReply>, String> {
    let filter = filter(query);
    let mut replies = Vec::new();
    for stored in stored {
        let ReadDay { day, counts } = ReadDay::of(stored)?;
        for (hour, of_hour) in &counts.hours {
            let metrics = Metrics::of(&Counted::hour(&counts, hour, of_hour), &filter);
            if metrics.has_anything() {
                replies.push(HourReply {
                    hour: hour.text(),
                    day: day.clone(),
                    metrics: members(&metrics),
                });
            }
        }
    }
    Ok(replies)
}

/// # Errors
/// Returns the defect, named by its day, if what was computed cannot be read.
pub fn weeks(stored: Vec<StoredCounts>, query: &MetricsQuery) -> Result<Vec<WeekReply>, String> {
    let filter = filter(query);
    let mut weeks: BTreeMap<Week, Vec<ReadDay>> = BTreeMap::new();
    for stored in stored {
        let read = ReadDay::of(stored)?;
        if read.counts.is_empty() {
            continue;
        }
        let date: Date = (read.day.parse())
            .map_err(|error| format!("the day {:?} is no date: {error}", read.day))?;
        weeks.entry(Week::of(date)).or_default().push(read);
    }
    let reply = |(week, days): (Week, Vec<ReadDay>)| {
        let counted = Counted::days(days.iter().map(|day| &day.counts));
        let metrics = Metrics::of(&counted, &filter);
        metrics.has_anything().then(|| WeekReply {
            week: week.to_string(),
            from: week.monday().to_string().max(query.from.clone()),
            to: week.sunday().to_string().min(query.to.clone()),
            days: days.iter().filter(|day| has_events(&day.counts)).count(),
            metrics: members(&metrics),
        })
    };
    Ok(weeks.into_iter().filter_map(reply).collect())
}

/// # Errors
/// Returns the defect, named by its day, if what was computed cannot be read.
pub fn sessions(
    stored: Vec<StoredCounts>,
    query: &SessionsQuery,
) -> Result<Vec<SessionReply>, String> {
    let project = query.project.as_deref().map(project_key);
    let mut replies = Vec::new();
    for stored in stored {
        let ReadDay { day, counts } = ReadDay::of(stored)?;
        let wanted = |session: &&Session| {
            (project.as_ref()).is_none_or(|key| session.projects.contains_key(key))
        };
        for session in counts.sessions.iter().filter(wanted) {
            replies.push(SessionReply {
                day: day.clone(),
                start: local_time(session.start * MILLISECOND, session.offset),
                end: local_time(session.end * MILLISECOND, session.offset),
                seconds: (session.end - session.start) * MILLISECOND / SECOND,
                events: session.events,
                projects: projects(session, &counts.project_names),
            });
        }
    }
    Ok(replies)
}

fn projects(session: &Session, names: &BTreeMap<String, String>) -> Vec<SessionProject> {
    let project = |(key, ms): (&str, i64)| {
        let key = shown_name(key);
        SessionProject {
            name: names.get(key).map_or(key, String::as_str).to_owned(),
            key: key.to_owned(),
            seconds: ms * MILLISECOND / SECOND,
        }
    };
    let times = session.longest_projects();
    times.into_iter().map(project).collect()
}

/// Whether the day has events of its own, and not only time that passed into it.
fn has_events(counts: &DayCounts) -> bool {
    counts.hours.values().any(|hour| hour.first.is_some())
}

/// What [`Metrics::has_anything`] says, of metrics as they are stored.
fn shows_anything(metrics: &Map<String, Value>) -> bool {
    let is_there = |name: &str| metrics.get(name).and_then(Value::as_i64) != Some(0);
    is_there("events") || is_there("active_ms") || is_there("commits")
}
