//! The alert of a rule that fires. It is deterministic: every worker makes the same.

use std::collections::BTreeMap;

use serde::Serialize;
use store::Finding;
use types::severity::Severity;
use types::time::{Micros, micros, rfc3339};

use super::local_day::LocalDay;
use super::measure::{Firing, Hit, MINUTE};
use super::rules::{Category, Rule, VALUE};
use super::windows::TouchedBy;
use crate::normalize::local_time;

/// The alert as the developer gets it. No wall clock goes in.
#[derive(Serialize)]
struct Body<'a> {
    alert_id: &'a str,
    rule: &'a str,
    rule_version: i32,
    title: &'a str,
    severity: Severity,
    category: Category,
    why: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    source: Option<&'a str>,
    actions: &'a [String],
    window: Window,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    folded: &'a [&'a str],
    evidence: Evidence<'a>,
}

#[derive(Serialize)]
struct Window {
    start: String,
    end: String,
    /// Of a rule that looks at minutes: local time of the first minute at which it fires.
    #[serde(skip_serializing_if = "Option::is_none")]
    first_minute: Option<String>,
}

#[derive(Serialize)]
struct Evidence<'a> {
    /// What was measured, by the conditions' names.
    measured: &'a BTreeMap<String, u64>,
    /// What repeated, by the conditions' names.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    repeated: &'a BTreeMap<String, String>,
    /// How many events made it fire.
    events: u64,
    /// Local time of the first and the last of them.
    first: String,
    last: String,
    /// The first of them.
    event_ids: Vec<&'a str>,
}

/// The id of an alert: the same whenever and wherever it is found. 32 hex digits of BLAKE3 over developer, rule and the
/// window's start, each length-prefixed: its first day, or the first minute at which it fires, in UTC.
#[must_use]
pub fn alert_id(developer: &str, rule: &str, window_start: &str) -> String {
    let mut hasher = blake3::Hasher::new();
    for field in [developer, rule, window_start] {
        hasher.update(&(field.len() as u64).to_le_bytes());
        hasher.update(field.as_bytes());
    }
    hasher.finalize().to_hex()[..32].to_owned()
}

/// The window that a rule fired on.
pub struct FindingWindow<'a> {
    pub developer: &'a str,
    pub start: LocalDay,
    pub end: LocalDay,
    /// Of a rule that looks at minutes: the first at which it fires, since 1970.
    pub minute: Option<i64>,
    /// The rules that fire on it as well, and whose alerts this one stands for.
    pub folded: &'a [&'a str],
}

/// The alert of `rule` on this window: what `firing` measured becomes its evidence.
pub fn finding(
    rule: &Rule,
    window: &FindingWindow<'_>,
    firing: &Firing,
    origin: &TouchedBy,
    now: Micros,
) -> Finding {
    let FindingWindow {
        developer,
        start,
        end,
        minute,
        folded,
    } = *window;
    let minute = minute.map(|minute| minute.saturating_mul(MINUTE));
    let alert_id = match minute {
        Some(minute) => alert_id(developer, &rule.id, &rfc3339(minute)),
        None => alert_id(developer, &rule.id, &start.to_string()),
    };
    let first = firing.first.first().unwrap_or(&firing.last);
    let times = [
        ("start".to_owned(), start.to_string()),
        ("end".to_owned(), end.to_string()),
        ("time".to_owned(), clock_time(first)),
    ];
    let measured = rule.when.iter().filter_map(|when| {
        let value = firing.measured.get(&when.name)?;
        Some((when.name.clone(), when.shown(*value)))
    });
    let repeated =
        (firing.repeated.iter()).map(|(name, value)| (format!("{name}{VALUE}"), value.clone()));
    let title = rule.title_with(times.into_iter().chain(measured).chain(repeated));
    let body = Body {
        alert_id: &alert_id,
        rule: &rule.id,
        rule_version: rule.version,
        title: &title,
        severity: rule.severity,
        category: rule.category,
        why: &rule.why,
        source: rule.source.as_deref(),
        actions: &rule.actions,
        window: Window {
            start: start.to_string(),
            end: end.to_string(),
            first_minute: minute.map(|minute| local_time(minute, first.offset)),
        },
        folded,
        evidence: Evidence {
            measured: &firing.measured,
            repeated: &firing.repeated,
            events: firing.events,
            first: time_of(first),
            last: time_of(&firing.last),
            event_ids: firing
                .first
                .iter()
                .map(|hit| hit.event_id.as_str())
                .collect(),
        },
    };
    let body = serde_json::to_string(&body).expect("strings, numbers and maps of strings are JSON");
    let push = origin.replay_id.is_none() && !is_stale(rule, end, firing.last.offset, now);
    Finding {
        severity: rule.severity.as_str().to_owned(),
        title,
        body,
        push,
        alert_id,
    }
}

/// The local time of day, `HH:MM`.
fn clock_time(hit: &Hit) -> String {
    let time = time_of(hit);
    time.get(11..16).unwrap_or_default().to_owned()
}

fn time_of(hit: &Hit) -> String {
    local_time(hit.at, hit.offset)
}

/// Whether the window's last day ended too long before `now` for an alert to be news (R1.3). The offset of the last
/// event that made it fire says when that was.
fn is_stale(rule: &Rule, end: LocalDay, offset: i32, now: Micros) -> bool {
    let ended = end.end(offset) + rule.day_begins.after_midnight();
    now > ended.saturating_add(micros(rule.stale_after))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::alert::rules::tests::rule_of_days;
    use serde_json::{Value, json};
    use types::id::BatchRef;
    use types::time::SECOND;

    const HOUR: Micros = 3600 * SECOND;

    fn found(now: Micros, replay_id: Option<&str>) -> Finding {
        let origin = TouchedBy {
            batch: BatchRef { src: 1, seq: 1 },
            correlation_id: "c".to_owned(),
            replay_id: replay_id.map(str::to_owned),
        };
        let hit = |minute: i64| Hit {
            at: minute * 60 * SECOND,
            event_id: format!("e{minute:05}"),
            offset: 7200,
        };
        let firing = Firing {
            measured: [("beats".to_owned(), 7)].into(),
            repeated: BTreeMap::new(),
            events: 7,
            first: (0..5).map(hit).collect(),
            last: hit(6),
        };
        let day: LocalDay = "1970-01-01".parse().unwrap();
        let window = FindingWindow {
            developer: "ada",
            start: day,
            end: day,
            minute: None,
            folded: &[],
        };
        finding(&rule_of_days(1), &window, &firing, &origin, now)
    }

    #[test]
    fn the_id_depends_on_developer_rule_and_window() {
        let id = alert_id("ada", "force-push", "2026-03-03");
        // Pinned: any other value would be a new identity for every alert there is.
        assert_eq!(id, "0deec8b0f1cb23fca4efc7a8e4947fcf");
        assert_ne!(id, alert_id("adaf", "orce-push", "2026-03-03"));
        assert_ne!(id, alert_id("ada", "force-push", "2026-03-04"));
    }

    #[test]
    fn the_body_names_window_evidence_and_what_to_do() {
        let finding = found(0, None);
        let body: Value = serde_json::from_str(&finding.body).unwrap();
        assert_eq!(body["title"], "From 1970-01-01 to 1970-01-01");
        assert_eq!(
            body["window"],
            json!({"start": "1970-01-01", "end": "1970-01-01"})
        );
        assert_eq!(body["alert_id"], finding.alert_id);
        let evidence = json!({"measured": {"beats": 7}, "events": 7, "first": "1970-01-01T02:00:00.000000+02:00",
            "last": "1970-01-01T02:06:00.000000+02:00",
            "event_ids": ["e00000", "e00001", "e00002", "e00003", "e00004"]});
        assert_eq!(body["evidence"], evidence);
        assert_eq!(
            found(1000 * HOUR, Some("r")).body,
            finding.body,
            "no clock goes in"
        );
    }

    #[test]
    fn an_alert_is_news_for_a_day_and_never_from_a_replay() {
        // Local midnight, two hours ahead of UTC, is 22:00 UTC; a day later the alert is stale.
        assert!(found((22 + 24) * HOUR, None).push);
        assert!(!found((22 + 24) * HOUR + 1, None).push);
        assert!(!found(0, Some("r")).push);
    }
}
