//! Filters take what they name and nothing else, and refuse what cannot be meant.

use super::*;
use serde_json::json;
use store::StoredEvent;
use types::id::BatchRef;
use types::time::SECOND;

/// A record at `minute` of 1970-01-01 in local time, two hours ahead of UTC.
pub fn record(kind: &str, minute: i64, data: &Value) -> Record {
    Record {
        event_id: format!("e{minute:05}"),
        kind: kind.to_owned(),
        at: (minute - 120) * 60 * SECOND,
        local_time: format!("minute {minute}"),
        offset: 7200,
        knows_local_time: true,
        local_day: "1970-01-01".to_owned(),
        language: None,
        project: Some("demo".to_owned()),
        project_name: None,
        path: None,
        editor: Some("vscode".to_owned()),
        editor_version: None,
        operating_system: None,
        machine: None,
        category: Some("coding".to_owned()),
        entity_type: None,
        tool: Some("cargo".to_owned()),
        duration_ms: Some(1500),
        secrets: 2,
        data: data.as_object().cloned().unwrap_or_default(),
    }
}

/// Asks something of the record as rules see it.
pub fn ask<T>(record: Record, question: impl FnOnce(&LazyRecord<'_>) -> T) -> T {
    let event = StoredEvent {
        at: BatchRef { src: 1, seq: 1 }.event(0),
        id: record.event_id.clone(),
        kind: record.kind.clone(),
        schema_version: "1.0".to_owned(),
        effective_at: record.at,
        local_day: record.local_day.clone(),
        body: Vec::new(),
        client: None,
        zone: None,
    };
    question(&LazyRecord::made(&event, record))
}

fn filter(text: &str) -> EventFilter {
    toml::from_str(text).unwrap_or_else(|error| panic!("{text}: {error}"))
}

fn matches(text: &str, data: &Value) -> bool {
    let filter = filter(&format!("types = ['git.push']\ndata = {{ {text} }}"));
    ask(record("git.push", 0, data), |push| filter.matches(push))
}

#[test]
fn a_field_is_one_of_some_values_or_within_bounds() {
    assert!(matches("force = true", &json!({"force": true})));
    assert!(!matches("force = true", &json!({"force": "true"})));
    assert!(
        !matches("force = true", &json!({})),
        "a missing field matches nothing"
    );
    assert!(matches(
        "branch = ['main', 'master']",
        &json!({"branch": "master"})
    ));
    assert!(!matches(
        "branch = ['main', 'master']",
        &json!({"branch": "next"})
    ));
    let bounds = "commits = { at_least = 2, at_most = 3 }";
    let holding = (0..6).filter(|count| matches(bounds, &json!({"commits": count})));
    assert_eq!(holding.collect::<Vec<_>>(), [2, 3]);
    assert!(!matches(bounds, &json!({"commits": "2"})));
    assert!(matches(
        "project = 'demo', force = true",
        &json!({"force": true, "project": "other"})
    ));
    assert!(
        !matches("language = 'rust'", &json!({"language": "rust"})),
        "the normalized one counts"
    );
}

#[test]
fn fields_of_the_record_are_asked_by_their_names() {
    let sent = json!({"tool": "Cargo", "editor": "Code", "category": "Coding", "secrets": 7, "duration_ms": 9});
    for text in [
        "tool = 'cargo'",
        "editor = ['vscode', 'vim']",
        "category = 'coding'",
        "secrets = { at_least = 1, at_most = 2 }",
        "duration_ms = { at_least = 1000 }",
    ] {
        assert!(matches(text, &sent), "{text}");
        assert!(matches(text, &json!({})), "{text}");
    }
    for text in [
        "tool = 'Cargo'",
        "secrets = 7",
        "entity_type = 'file'",
        "duration_ms = 9",
    ] {
        assert!(!matches(text, &sent), "{text}");
    }
}

#[test]
fn times_of_day_go_over_midnight_and_leave_out_their_end() {
    let night = filter("types = ['heartbeat']\nlocal_time = '22:00-05:00'");
    let holds = |minute| {
        let beat = record("heartbeat", minute, &json!({}));
        ask(beat, |beat| night.matches(beat))
    };
    let edges = [0, 299, 300, 1319, 1320, 1439].map(holds);
    assert_eq!(edges, [true, true, false, false, true, true]);
    let noon: LocalTimes = "12:00-13:00".parse().unwrap();
    assert_eq!(
        [719, 720, 779, 780].map(|minute| noon.holds(minute)),
        [false, true, true, false]
    );
}

#[test]
fn what_cannot_be_meant_is_refused() {
    for bad in [
        "",
        "22:00",
        "22:00-22:00",
        "24:00-05:00",
        "2:00-05:00",
        "22:60-05:00",
        "a-b",
        "+1:00-02:00",
    ] {
        assert!(bad.parse::<LocalTimes>().is_err(), "{bad}");
    }
    for bad in [
        "force = []",
        "n = {}",
        "n = { more = 1 }",
        "n = { at_least = 'x' }",
        "n = 1.5",
        "n = [[1]]",
        "n = { at_least = 2, at_most = 1 }",
    ] {
        let text = format!("types = ['git.push']\ndata = {{ {bad} }}");
        assert!(toml::from_str::<EventFilter>(&text).is_err(), "{bad}");
    }
    assert!(toml::from_str::<EventFilter>("types = ['x']\nkind = 'y'").is_err());
}

#[test]
fn an_event_whose_local_time_is_not_known_has_no_time_of_day() {
    let night = filter("types = ['git.push']\nlocal_time = '22:00-05:00'");
    let mut push = record("git.push", 60, &json!({}));
    assert!(ask(push.clone(), |push| night.matches(push)));
    push.knows_local_time = false;
    assert!(!ask(push.clone(), |push| night.matches(push)));
    let at_any_time = filter("types = ['git.push']");
    assert!(ask(push, |push| at_any_time.matches(push)));
}
