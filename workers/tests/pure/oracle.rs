//! The metrics counted again, slowly, straight from raw events: shares no code with the aggregator.
//!
//! Only language and project come from the normalizer, as the definition of a metric says.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use store::StoredEvent;
use types::time::rfc3339;
use workers::normalize::normalize;

const FIFTEEN_MINUTES: i64 = 900_000_000;

/// The metrics of the local day `day`, of all events of a developer.
pub fn day(day: &str, events: &[StoredEvent]) -> Value {
    let mut own: Vec<&StoredEvent> = events
        .iter()
        .filter(|event| event.local_day == day)
        .collect();
    own.sort_by_key(|event| (event.effective_at, event.id.clone()));
    let (seconds, languages, projects) = active(&own);
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
        "languages": languages,
        "projects": projects,
        "first_at": own.first().map(|event| rfc3339(event.effective_at)),
        "last_at": own.last().map(|event| rfc3339(event.effective_at)),
    })
}

/// Active seconds; and by language and project, the most first, then by name.
fn active(own: &[&StoredEvent]) -> (i64, Value, Value) {
    let mut total = 0;
    let mut languages = BTreeMap::new();
    let mut projects = BTreeMap::new();
    for index in 1..own.len() {
        let gap = own[index].effective_at - own[index - 1].effective_at;
        if gap > FIFTEEN_MINUTES {
            continue;
        }
        total += gap;
        let before = normalize(own[index - 1]);
        *languages
            .entry(before.language.unwrap_or("unknown".into()))
            .or_insert(0) += gap;
        *projects
            .entry(before.project.unwrap_or("unknown".into()))
            .or_insert(0) += gap;
    }
    (total / 1_000_000, list(languages), list(projects))
}

fn list(times: BTreeMap<String, i64>) -> Value {
    let mut list: Vec<(i64, String)> = Vec::new();
    for (name, micros) in times {
        if micros >= 1_000_000 {
            list.push((-(micros / 1_000_000), name));
        }
    }
    list.sort();
    list.into_iter()
        .map(|(seconds, name)| json!({"name": name, "seconds": -seconds}))
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
