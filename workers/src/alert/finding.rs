//! The alert of a rule that fires. It is deterministic: every worker makes the same.

use std::collections::BTreeMap;

use serde::Serialize;
use store::Finding;
use types::severity::Severity;
use types::time::{Micros, micros};

use super::measure::{Firing, Hit};
use super::rules::Rule;
use super::windows::{LocalDay, TouchedBy};
use crate::normalize::local_time;

/// The alert as the developer gets it. No wall clock goes in.
#[derive(Serialize)]
struct Body<'a> {
    alert_id: &'a str,
    rule: &'a str,
    rule_version: i32,
    title: &'a str,
    severity: Severity,
    why: &'a str,
    actions: &'a [String],
    window: Window,
    evidence: Evidence<'a>,
}

#[derive(Serialize)]
struct Window {
    start: String,
    end: String,
}

#[derive(Serialize)]
struct Evidence<'a> {
    /// What was measured, by the conditions' names.
    measured: &'a BTreeMap<String, u64>,
    /// How many events made it fire.
    events: u64,
    /// Local time of the first and the last of them.
    first: String,
    last: String,
    /// The first of them.
    event_ids: Vec<&'a str>,
}

/// The id of an alert: the same whenever and wherever it is found. 32 hex digits of BLAKE3 over
/// developer, rule and the window's first day, each length-prefixed.
#[must_use]
pub fn alert_id(developer: &str, rule: &str, window_start: LocalDay) -> String {
    let mut hasher = blake3::Hasher::new();
    for field in [developer, rule, &window_start.to_string()] {
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
    } = *window;
    let alert_id = alert_id(developer, &rule.id, start);
    let days = [("start", start.to_string()), ("end", end.to_string())];
    let measured = firing
        .measured
        .iter()
        .map(|(name, value)| (name.as_str(), value.to_string()));
    let title = rule.title_with(days.into_iter().chain(measured));
    let body = Body {
        alert_id: &alert_id,
        rule: &rule.id,
        rule_version: rule.version,
        title: &title,
        severity: rule.severity,
        why: &rule.why,
        actions: &rule.actions,
        window: Window {
            start: start.to_string(),
            end: end.to_string(),
        },
        evidence: Evidence {
            measured: &firing.measured,
            events: firing.events,
            first: time_of(firing.first.first().unwrap_or(&firing.last)),
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
            events: 7,
            first: (0..5).map(hit).collect(),
            last: hit(6),
        };
        let day: LocalDay = "1970-01-01".parse().unwrap();
        let window = FindingWindow {
            developer: "ada",
            start: day,
            end: day,
        };
        finding(&rule_of_days(1), &window, &firing, &origin, now)
    }

    #[test]
    fn the_id_depends_on_developer_rule_and_window() {
        let day = |text: &str| text.parse::<LocalDay>().unwrap();
        let id = alert_id("ada", "force-push", day("2026-03-03"));
        // Pinned: any other value would be a new identity for every alert there is.
        assert_eq!(id, "0deec8b0f1cb23fca4efc7a8e4947fcf");
        assert_ne!(id, alert_id("adaf", "orce-push", day("2026-03-03")));
        assert_ne!(id, alert_id("ada", "force-push", day("2026-03-04")));
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
