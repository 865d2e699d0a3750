//! The metrics counted again, slowly, straight from raw events: shares no code with the aggregator.
//!
//! Only language and project come from the normalizer, as the definition of a metric says.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use store::StoredEvent;
use types::time::rfc3339;
use workers::normalize::{language_of_path, normalize};

const FIFTEEN_MINUTES: i64 = 900_000_000;

/// The metrics of the local day `day`, of all events of a developer.
pub fn day(day: &str, events: &[StoredEvent]) -> Value {
    let mut own: Vec<&StoredEvent> = events
        .iter()
        .filter(|event| event.local_day == day)
        .collect();
    own.sort_by_key(|event| (event.effective_at, event.id.clone()));
    let Active {
        seconds,
        languages,
        projects,
    } = active(&own);
    let commits = commits(&own);
    let number = |kinds: &[&str], field: &str| -> u64 {
        let of_kind = own
            .iter()
            .filter(|event| kinds.contains(&event.kind.as_str()));
        of_kind
            .map(|event| data(event)[field].as_u64().unwrap_or(0))
            .sum()
    };
    let count = |kind: &str| own.iter().filter(|event| event.kind == kind).count();
    let writes = own
        .iter()
        .filter(|event| event.kind == "heartbeat" && data(event)["is_write"] == true)
        .count();
    json!({
        "active_seconds": seconds,
        "active_minutes": seconds / 60,
        "events": own.len(),
        "events_by_type": tally(own.iter().map(|event| event.kind.clone())),
        "edits": count("file.edited"),
        "saves": count("file.saved") + writes,
        "commits": count("git.commit"),
        "commands": count("terminal.command"),
        "lines_added": number(&["file.edited"], "lines_added"),
        "lines_removed": number(&["file.edited"], "lines_removed"),
        "commit_lines_added": number(&["git.commit"], "lines_added"),
        "commit_lines_removed": number(&["git.commit"], "lines_removed"),
        "builds": outcomes(&own, "build.finished"),
        "test_runs": outcomes(&own, "test.finished"),
        "tests": {
            "passed": number(&["test.finished"], "passed"),
            "failed": number(&["test.finished"], "failed"),
            "skipped": number(&["test.finished"], "skipped"),
            "flaky": number(&["test.finished"], "flaky"),
        },
        "languages": list(&languages, &commits.languages),
        "projects": named(&list(&projects, &commits.projects), &own),
        "first_at": own.first().map(|event| rfc3339(event.effective_at)),
        "last_at": own.last().map(|event| rfc3339(event.effective_at)),
    })
}

/// Active seconds, and microseconds by language and project.
struct Active {
    seconds: i64,
    languages: BTreeMap<String, i64>,
    projects: BTreeMap<String, i64>,
}

fn active(own: &[&StoredEvent]) -> Active {
    let mut total = 0;
    let mut languages = BTreeMap::new();
    let mut projects = BTreeMap::new();
    for index in 1..own.len() {
        let gap = own[index].effective_at - own[index - 1].effective_at;
        if gap > FIFTEEN_MINUTES {
            continue;
        }
        total += gap;
        let before = own[index - 1];
        let mut most = (0, "unknown".to_owned());
        for (language, paths) in languages_of(before) {
            // By name: a later one must have more.
            if paths > most.0 {
                most = (paths, language);
            }
        }
        *languages.entry(most.1).or_insert(0) += gap;
        *projects.entry(project(before)).or_insert(0) += gap;
    }
    Active {
        seconds: total / 1_000_000,
        languages,
        projects,
    }
}

/// Commits by language and project.
struct Commits {
    languages: BTreeMap<String, u64>,
    projects: BTreeMap<String, u64>,
}

fn commits(own: &[&StoredEvent]) -> Commits {
    let mut languages = BTreeMap::new();
    let mut projects = BTreeMap::new();
    for commit in own.iter().filter(|event| event.kind == "git.commit") {
        for (language, _) in languages_of(commit) {
            *languages.entry(language).or_insert(0) += 1;
        }
        *projects.entry(project(commit)).or_insert(0) += 1;
    }
    Commits {
        languages,
        projects,
    }
}

fn project(event: &StoredEvent) -> String {
    normalize(event).project.unwrap_or("unknown".into())
}

/// The event's own language, else those of a commit's paths, with the number of paths in each.
fn languages_of(event: &StoredEvent) -> BTreeMap<String, usize> {
    let record = normalize(event);
    let mut found = BTreeMap::new();
    if let Some(own) = record.language {
        found.insert(own, 1);
    } else if event.kind == "git.commit" {
        for path in record
            .data
            .get("paths")
            .and_then(Value::as_array)
            .into_iter()
            .flatten()
        {
            if let Some(language) = language_of_path(path.as_str().expect("a path is a text")) {
                *found.entry(language).or_insert(0) += 1;
            }
        }
    }
    found
}

/// The projects under the name that the last event of each gives it.
fn named(projects: &Value, own: &[&StoredEvent]) -> Value {
    let list = projects.as_array().expect("a list");
    let name = |project: &Value| {
        let key = project["name"].clone();
        let records = own.iter().rev().map(|event| normalize(event));
        let last = records
            .filter(|record| record.project.as_deref() == key.as_str())
            .find_map(|record| record.project_name);
        let mut project = project.clone();
        project["name"] = last.map_or(key.clone(), Value::from);
        project["key"] = key;
        project
    };
    list.iter().map(name).collect()
}

fn list(times: &BTreeMap<String, i64>, commits: &BTreeMap<String, u64>) -> Value {
    let mut names: Vec<&String> = times.keys().chain(commits.keys()).collect();
    names.sort();
    names.dedup();
    let mut list = Vec::new();
    for name in names {
        let seconds = times.get(name).map_or(0, |micros| micros / 1_000_000);
        let commits = commits
            .get(name)
            .map_or(0, |count| i64::try_from(*count).expect("few"));
        if seconds + commits > 0 {
            list.push((-seconds, -commits, name));
        }
    }
    list.sort();
    list.into_iter()
        .map(|(seconds, commits, name)| json!({"name": name, "seconds": -seconds, "commits": -commits}))
        .collect()
}

fn outcomes(own: &[&StoredEvent], kind: &str) -> Value {
    tally(own.iter().filter(|event| event.kind == kind).map(|event| {
        let data = data(event);
        data["outcome"]
            .as_str()
            .expect("a test's outcome is a text")
            .to_owned()
    }))
}

fn tally(names: impl Iterator<Item = String>) -> Value {
    let mut counts: BTreeMap<String, u64> = BTreeMap::new();
    for name in names {
        *counts.entry(name).or_insert(0) += 1;
    }
    json!(counts)
}

fn data(event: &StoredEvent) -> Value {
    let body: Value = serde_json::from_slice(&event.body).expect("a test's event is JSON");
    body["data"].clone()
}
