//! The metrics counted again, slowly, straight from raw events: shares no code with the aggregator.
//!
//! Only what an event itself says (language, project, path, client) comes from the normalizer, as the definition of a
//! metric says.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use jiff::civil::{Date, Weekday};
use jiff::tz::{Offset, TimeZone};
use serde_json::{Map, Value, json};
use store::StoredEvent;
use types::time::rfc3339;
use workers::normalize::{ClientProgram, language_of_path, normalize};

const FIFTEEN_MINUTES: i64 = 900_000;
const DAY: i64 = 86_400_000;

/// The metrics of the local day `day`, of all events of a developer.
pub fn day(day: &str, events: &[StoredEvent]) -> Value {
    day_with(day, events, FIFTEEN_MINUTES)
}

/// The same with another timeout, in ms.
pub fn day_with(day: &str, events: &[StoredEvent], idle: i64) -> Value {
    let line = line(day, events);
    let own: Vec<&Place> = line
        .iter()
        .filter(|place| place.event.local_day == day)
        .collect();
    let active = active(day, &line, idle);
    let total = |chosen: &dyn Fn(&Active) -> bool| -> i64 {
        active
            .iter()
            .filter(|part| chosen(part))
            .map(|part| part.ms)
            .sum()
    };
    let all = total(&|_| true);
    let count = |kind: &str| own.iter().filter(|place| place.event.kind == kind).count() as u64;
    let sum = |kind: &str, field: &str| -> u64 {
        let of_kind = own.iter().filter(|place| place.event.kind == kind);
        of_kind.map(|place| number(&place.data, field)).sum()
    };
    let taken = |field: &str| -> u64 {
        let taken = own.iter().filter(|place| {
            place.event.kind == "ai.suggestion"
                && ["accepted", "edited"].contains(&place.data["outcome"].as_str().unwrap_or(""))
        });
        taken.map(|place| number(&place.data, field)).sum()
    };
    let wakatime = |field: &str| -> u64 {
        let sent = own
            .iter()
            .map(|place| place.body["wakatime"][field].as_i64().unwrap_or(0));
        sent.map(i64::unsigned_abs).sum()
    };
    let files: BTreeSet<String> = own.iter().filter_map(|place| place.path.clone()).collect();
    let writes = own
        .iter()
        .filter(|place| place.event.kind == "heartbeat" && place.data["is_write"] == true);
    let sessions = sessions(day, &line, idle);
    let commits = own.iter().filter(|place| place.event.kind == "git.commit");
    let commits: Vec<&&Place> = commits.collect();
    let in_languages = commits
        .iter()
        .flat_map(|place| place.languages.keys().cloned());
    let edited = sum("file.edited", "lines_added");
    let typed = sum("file.edited", "chars_added");
    json!({
        "active_seconds": all / 1000,
        "active_minutes": all / 60_000,
        "active_ms": all,
        "events": own.len(),
        "events_by_type": tally(own.iter().map(|place| place.event.kind.clone())),
        "edits": count("file.edited"),
        "saves": count("file.saved") + writes.count() as u64,
        "files": files.len(),
        "commits": count("git.commit"),
        "pushes": count("git.push"),
        "branch_switches": count("git.branch_switched"),
        "project_switches": switches(day, &line),
        "commands": count("terminal.command"),
        "lines_added": edited,
        "lines_removed": sum("file.edited", "lines_removed"),
        "chars_added": typed,
        "chars_removed": sum("file.edited", "chars_removed"),
        "commit_lines_added": sum("git.commit", "lines_added"),
        "commit_lines_removed": sum("git.commit", "lines_removed"),
        "builds": outcomes(&own, "build.finished"),
        "build_ms": sum("build.finished", "duration_ms"),
        "test_runs": outcomes(&own, "test.finished"),
        "test_ms": sum("test.finished", "duration_ms"),
        "tests": {
            "passed": sum("test.finished", "passed"),
            "failed": sum("test.finished", "failed"),
            "skipped": sum("test.finished", "skipped"),
            "flaky": sum("test.finished", "flaky"),
        },
        "debugging": {"count": count("debug.ended"), "ms": sum("debug.ended", "duration_ms")},
        "ai": {
            "suggestions": outcomes(&own, "ai.suggestion"),
            "lines": taken("lines") + wakatime("ai_line_changes"),
            "chars": taken("chars"),
        },
        "human": {
            "lines": edited.saturating_sub(taken("lines")) + wakatime("human_line_changes"),
            "chars": typed.saturating_sub(taken("chars")),
        },
        "late_night_seconds": total(&|part| part.hour < 5 || part.hour >= 22) / 1000,
        "weekend_seconds": if is_weekend(day) { all / 1000 } else { 0 },
        "languages": shares(&times(&active, |place| place.language.clone()), Some(tally_of(in_languages)), None),
        "projects": shares(
            &times(&active, |place| place.project.clone()),
            Some(tally_of(commits.iter().map(|place| place.project.clone()))),
            Some((&own, &line)),
        ),
        "editors": shares(
            &times(&active, |place| place.program.editor.clone().unwrap_or_default()),
            Some(tally_of(commits.iter().map(|place| place.program.editor.clone().unwrap_or_default()))),
            None,
        ),
        "machines":
            shares(&known(times(&active, |place| place.program.machine.clone().unwrap_or_default())), None, None),
        "operating_systems":
            shares(
            &known(times(&active, |place| place.program.operating_system.clone().unwrap_or_default())), None, None,
        ),
        "categories": shares(&known(times(&active, |place| place.category.clone())), None, None),
        "branches": shares(&known(times(&active, |place| place.branch.clone())), None, None),
        "sessions": sessions.len(),
        "longest_session_seconds": sessions.iter().max().map_or(0, |longest| longest / 1000),
        "first_at": own.first().map(|place| rfc3339(place.event.effective_at)),
        "last_at": own.last().map(|place| rfc3339(place.event.effective_at)),
    })
}

/// An event, and what is known of where it happened once those before it are.
struct Place<'a> {
    event: &'a StoredEvent,
    body: Value,
    data: Map<String, Value>,
    /// In ms.
    at: i64,
    project: String,
    /// The project's name, if the event tells it itself.
    project_name: Option<String>,
    language: String,
    languages: BTreeMap<String, usize>,
    branch: String,
    category: String,
    path: Option<String>,
    program: ClientProgram,
}

/// All events that the day may depend on, in their order.
fn line<'a>(day: &str, events: &'a [StoredEvent]) -> Vec<Place<'a>> {
    let midnight: Timestamp = format!("{day}T00:00:00Z").parse().expect("a day");
    let midnight = midnight.as_millisecond();
    let mut near: Vec<&StoredEvent> = events
        .iter()
        .filter(|event| {
            (midnight - 2 * DAY..midnight + 2 * DAY).contains(&event.effective_at.div_euclid(1000))
        })
        .collect();
    near.sort_by_key(|event| (event.effective_at, event.id.clone()));
    let mut line: Vec<Place> = Vec::new();
    for event in near {
        let record = normalize(event);
        let body: Value = serde_json::from_slice(&event.body).expect("a test's event is JSON");
        let sent = body["data"].as_object().cloned().unwrap_or_default();
        let text = |name: &str| {
            sent.get(name)
                .and_then(Value::as_str)
                .unwrap_or("")
                .to_owned()
        };
        let lost = event.kind == "heartbeat"
            && (text("entity").trim().is_empty() || text("entity").starts_with("<<LAST_"));
        let hour = event.effective_at.div_euclid(3_600_000_000);
        let before = |told: &dyn Fn(&Place) -> Option<String>| {
            let near = line
                .iter()
                .rev()
                .filter(|place| hour - place.event.effective_at.div_euclid(3_600_000_000) < 24);
            near.filter_map(told).next().unwrap_or_default()
        };
        let tells = |name: &'static str| {
            move |place: &Place| {
                let sent = place.body["data"][name]
                    .as_str()
                    .unwrap_or("")
                    .trim()
                    .to_owned();
                (!sent.is_empty() && !sent.starts_with("<<LAST_")).then_some(())
            }
        };
        let mut languages = BTreeMap::new();
        match &record.language {
            Some(own) if !text("language").starts_with("<<LAST_") => {
                languages.insert(own.clone(), 1);
            }
            _ if event.kind == "git.commit" => {
                for path in record
                    .data
                    .get("paths")
                    .and_then(Value::as_array)
                    .into_iter()
                    .flatten()
                {
                    if let Some(language) =
                        language_of_path(path.as_str().expect("a path is a text"))
                    {
                        *languages.entry(language).or_insert(0) += 1;
                    }
                }
            }
            _ => {}
        }
        let mut most = (0, String::new());
        for (language, paths) in &languages {
            // By name: a later one must have more.
            if *paths > most.0 {
                most = (*paths, language.clone());
            }
        }
        let own_project = record
            .project
            .clone()
            .filter(|_| !text("project").starts_with("<<LAST_"));
        let project = match &own_project {
            Some(own) => own.clone(),
            None if lost || text("project").starts_with("<<LAST_") => {
                before(&|place| place.project_name.as_ref().map(|_| place.project.clone()))
            }
            None => String::new(),
        };
        let language = if most.0 > 0 {
            most.1
        } else if lost || text("language").starts_with("<<LAST_") {
            before(&|place| (!place.languages.is_empty()).then(|| place.language.clone()))
        } else {
            String::new()
        };
        let branch = if text("branch").starts_with("<<LAST_") || (lost && text("branch").is_empty())
        {
            before(&|place| tells("branch")(place).map(|()| place.branch.clone()))
        } else {
            text("branch")
        };
        let of_kind = match event.kind.as_str() {
            "heartbeat" => "coding",
            "ai.suggestion" => "ai coding",
            "build.finished" => "building",
            "debug.started" | "debug.ended" => "debugging",
            "test.finished" => "running tests",
            kind if kind.starts_with("file.") => "coding",
            _ => "",
        };
        let category = match text("category").as_str() {
            "" => of_kind.to_owned(),
            named => named.to_lowercase(),
        };
        let mut data = record.data;
        // A field of the record, not a member of its data.
        data.extend((record.duration_ms).map(|ms| ("duration_ms".to_owned(), ms.into())));
        line.push(Place {
            at: event.effective_at.div_euclid(1000),
            project_name: own_project.and(record.project_name),
            project,
            language,
            languages,
            branch,
            category,
            path: record.path,
            program: ClientProgram::of(event, &sent),
            data,
            body,
            event,
        });
    }
    line
}

/// A part of a pause that counts on the day.
struct Active<'a, 'b> {
    after: &'a Place<'b>,
    /// The hour that the clock showed.
    hour: i8,
    ms: i64,
}

/// Each pause that is short enough, minute by minute: no clock's hour begins within one.
fn active<'a, 'b>(day: &str, line: &'a [Place<'b>], idle: i64) -> Vec<Active<'a, 'b>> {
    let mut active = Vec::new();
    for pair in line.windows(2) {
        let [after, next] = pair else { continue };
        if next.at - after.at > idle {
            continue;
        }
        let zone = zone(after.event);
        let local = |at: i64| {
            let at = Timestamp::from_millisecond(at).expect("a time");
            zone.to_datetime(at)
        };
        let own = local(after.at).date();
        let mut at = after.at;
        while at < next.at {
            let end = next.at.min((at.div_euclid(60_000) + 1) * 60_000);
            let clock = local(at);
            let on = if clock.date() == own {
                after.event.local_day.clone()
            } else {
                clock.date().to_string()
            };
            if on == day {
                active.push(Active {
                    after,
                    hour: clock.hour(),
                    ms: end - at,
                });
            }
            at = end;
        }
    }
    active
}

fn zone(event: &StoredEvent) -> TimeZone {
    types::time::zone_of(event.client.as_deref(), event.zone.as_deref()).unwrap_or_else(|| {
        let body: Value = serde_json::from_slice(&event.body).expect("JSON");
        let written = body["occurred_at"]
            .as_str()
            .and_then(types::time::parse_rfc3339);
        TimeZone::fixed(written.map_or(Offset::UTC, |written| written.offset))
    })
}

/// The lengths in ms of the sessions that began on the day.
fn sessions(day: &str, line: &[Place], idle: i64) -> Vec<i64> {
    let mut sessions: Vec<(&str, i64, i64)> = Vec::new();
    for place in line {
        match sessions.last_mut() {
            Some((_, _, end)) if place.at - *end <= idle => *end = place.at,
            _ => sessions.push((&place.event.local_day, place.at, place.at)),
        }
    }
    let of_day = sessions
        .into_iter()
        .filter(|(began, start, end)| *began == day && end > start);
    of_day.map(|(_, start, end)| end - start).collect()
}

/// How often work went to another project within the day.
fn switches(day: &str, line: &[Place]) -> u64 {
    let mut switches = 0;
    let mut last: Option<&Place> = None;
    for place in line.iter().filter(|place| place.project_name.is_some()) {
        if let Some(last) = last
            && last.event.local_day == day
            && place.event.local_day == day
            && last.project != place.project
        {
            switches += 1;
        }
        last = Some(place);
    }
    switches
}

fn times(active: &[Active], name: impl Fn(&Place) -> String) -> BTreeMap<String, i64> {
    let mut times = BTreeMap::new();
    for part in active {
        *times.entry(name(part.after)).or_insert(0) += part.ms;
    }
    times
}

fn known(mut times: BTreeMap<String, i64>) -> BTreeMap<String, i64> {
    times.remove("");
    times
}

/// The list of a reply. Commits and the names of projects are in it where they are given.
fn shares(
    times: &BTreeMap<String, i64>,
    commits: Option<BTreeMap<String, i64>>,
    named_by: Option<(&[&Place], &[Place])>,
) -> Value {
    let has_commits = commits.is_some();
    let commits = commits.unwrap_or_default();
    let names: BTreeSet<String> = times.keys().chain(commits.keys()).cloned().collect();
    let mut list = Vec::new();
    for key in names {
        let ms = times.get(&key).copied().unwrap_or(0);
        let commits = commits.get(&key).copied().unwrap_or(0);
        if ms + commits > 0 {
            let shown = if key.is_empty() {
                "unknown".to_owned()
            } else {
                key
            };
            list.push((-ms, -commits, shown));
        }
    }
    list.sort();
    let share = |(ms, commits, key): (i64, i64, String)| {
        let mut share = json!({"name": key, "seconds": -ms / 1000, "ms": -ms});
        if has_commits {
            share["commits"] = json!(-commits);
        }
        if let Some((own, line)) = named_by {
            let mut names = own.iter().rev().filter(|place| place.project == key);
            let others = line.iter().filter(|place| place.project == key);
            let of_others = others
                .filter(|place| place.project_name.is_some())
                .max_by_key(|place| &place.event.local_day);
            let last = names
                .find_map(|place| place.project_name.clone())
                .or_else(|| of_others.and_then(|place| place.project_name.clone()));
            share["name"] = json!(last.unwrap_or_else(|| key.clone()));
            share["key"] = json!(key);
        }
        share
    };
    list.into_iter().map(share).collect()
}

fn tally_of(names: impl Iterator<Item = String>) -> BTreeMap<String, i64> {
    let mut counts = BTreeMap::new();
    for name in names {
        *counts.entry(name).or_insert(0) += 1;
    }
    counts
}

fn tally(names: impl Iterator<Item = String>) -> Value {
    json!(tally_of(names))
}

fn outcomes(own: &[&Place], kind: &str) -> Value {
    let of_kind = own.iter().filter(|place| place.event.kind == kind);
    tally(of_kind.map(|place| place.data["outcome"].as_str().expect("a text").to_owned()))
}

fn number(data: &Map<String, Value>, name: &str) -> u64 {
    data.get(name).and_then(Value::as_u64).unwrap_or(0)
}

fn is_weekend(day: &str) -> bool {
    let day: Date = day.parse().expect("a day");
    [Weekday::Saturday, Weekday::Sunday].contains(&day.weekday())
}
