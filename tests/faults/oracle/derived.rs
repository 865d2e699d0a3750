//! What jobs left: done once each, and the same as counted here, naively, from the stored events.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use super::judgement::Judgement;
use super::observed::{EventRow, Observed, Place};

/// The kinds of jobs with their bit in `need`.
const KINDS: [(&str, i64); 3] = [("aggregate", 1), ("normalize", 2), ("alert", 4)];

/// Judges completed jobs, records, days and alerts.
pub fn judge(observed: &Observed, judgement: &mut Judgement) {
    completed_jobs(observed, judgement);
    normalized(observed, judgement);
    days(observed, judgement);
    alerts(observed, judgement);
}

fn completed_jobs(observed: &Observed, judgement: &mut Judgement) {
    let mut done: BTreeMap<(i64, i64, &str), usize> = BTreeMap::new();
    observed
        .completed_jobs
        .iter()
        .for_each(|(src, seq, kind)| *done.entry((*src, *seq, kind)).or_default() += 1);
    for row in &observed.batches {
        for (kind, bit) in KINDS {
            let needed = usize::from(row.need & bit != 0);
            let name = format!("the {kind} job of batch {}:{}", row.src, row.seq);
            match done.remove(&(row.src, row.seq, kind)).unwrap_or_default() {
                count if count > needed => {
                    judgement.doubled(&format!("{name} was completed {count} times"));
                }
                count if count < needed => {
                    judgement.find(format!("undone: {name} is not completed"));
                }
                _ => {}
            }
        }
    }
    for job in done.into_keys() {
        judgement.find(format!(
            "invented: there is a completed job {job:?} of no batch"
        ));
    }
}

/// One record an event, made from the submission that is stored.
fn normalized(observed: &Observed, judgement: &mut Judgement) {
    let mut records: BTreeMap<(&str, &str), Vec<Place>> = BTreeMap::new();
    for (developer, id, place) in &observed.normalized {
        records.entry((developer, id)).or_default().push(*place);
    }
    for event in &observed.events {
        let name = format!("event {} of {}", event.id, event.developer);
        match records
            .remove(&(&*event.developer, &*event.id))
            .unwrap_or_default()[..]
        {
            [place] if place == event.place => {}
            [] => judgement.find(format!("undone: {name} has no normalized record")),
            [place] => {
                judgement.find(format!(
                    "changed: {name} is {:?}, its record is of {place:?}",
                    event.place
                ));
            }
            _ => judgement.doubled(&format!("{name} has several normalized records")),
        }
    }
    for record in records.into_keys() {
        judgement.find(format!(
            "invented: a normalized record of {record:?}, which is no event"
        ));
    }
}

/// The events of each developer's days.
fn by_day(observed: &Observed) -> BTreeMap<(&str, &str), Vec<&EventRow>> {
    let mut days: BTreeMap<(&str, &str), Vec<&EventRow>> = BTreeMap::new();
    for event in &observed.events {
        days.entry((&event.developer, &event.day))
            .or_default()
            .push(event);
    }
    days
}

fn parsed(event: &EventRow) -> Value {
    serde_json::from_slice(&event.body).unwrap_or_default()
}

fn days(observed: &Observed, judgement: &mut Judgement) {
    let mut stored: BTreeMap<(&str, &str), Value> = BTreeMap::new();
    for (developer, day, body) in &observed.days {
        let body = serde_json::from_str(body).unwrap_or_default();
        if stored.insert((developer, day), body).is_some() {
            judgement.doubled(&format!("day {day} of {developer} has two rows"));
        }
    }
    for ((developer, day), events) in by_day(observed) {
        let mut types: BTreeMap<&str, u64> = BTreeMap::new();
        events
            .iter()
            .for_each(|event| *types.entry(&event.kind).or_default() += 1);
        let lines: u64 = events
            .iter()
            .filter_map(|event| parsed(event)["data"]["lines_added"].as_u64())
            .sum();
        // The zone is the offset that the event was written with, so its day is as written.
        for event in &events {
            let written = parsed(event)["occurred_at"]
                .as_str()
                .map(|at| at[..10].to_owned());
            if written.as_deref() != Some(day) {
                judgement.find(format!(
                    "changed: event {} of {developer} counts for {day}, not {written:?}",
                    event.id
                ));
            }
        }
        let wanted = (json!(events.len()), json!(types), json!(lines));
        let body = stored.remove(&(developer, day)).unwrap_or_default();
        let counted = (
            body["events"].clone(),
            body["events_by_type"].clone(),
            body["lines_added"].clone(),
        );
        if counted != wanted {
            judgement.find(format!(
                "miscounted: day {day} of {developer} says {counted:?}, it must be {wanted:?}"
            ));
        }
    }
    // A day that its events left keeps its row, with none.
    for ((developer, day), body) in stored {
        if body["events"] != 0 {
            judgement.find(format!(
                "invented: day {day} of {developer} has no event, and says {}",
                body["events"]
            ));
        }
    }
}

/// The alerts of a rule, of a developer's day: each with its number among them.
type NumberedAlert = (String, String, String, usize);

/// How far apart two forced pushes may be, in minutes, and still be one occasion: a window of five minutes fires for
/// five minutes after each.
const ONE_OCCASION: i64 = 5;

/// The alerts that two rules must raise on these days, found here by reading the rules' words again.
fn wanted_alerts(observed: &Observed) -> BTreeSet<NumberedAlert> {
    let mut wanted = BTreeSet::new();
    for ((developer, day), events) in by_day(observed) {
        let mut raise = |rule: &str, number: usize| {
            wanted.insert((
                rule.to_owned(),
                developer.to_owned(),
                day.to_owned(),
                number,
            ))
        };
        let time = |event: &Value| {
            event["occurred_at"]
                .as_str()
                .and_then(|at| at.parse::<jiff::Timestamp>().ok())
        };
        let mut minutes: Vec<i64> = events
            .iter()
            .filter(|event| event.kind == "git.push")
            .map(|event| parsed(event))
            .filter(|event| event["data"]["force"] == true)
            .filter_map(|event| Some(time(&event)?.as_second().div_euclid(60)))
            .collect();
        minutes.sort_unstable();
        let occasions = minutes.chunk_by(|one, next| next - one <= ONE_OCCASION);
        for number in 0..occasions.count() {
            raise("force-push", number);
        }
        let mut builds: Vec<Value> = events
            .iter()
            .filter(|event| event.kind == "build.finished")
            .map(|event| parsed(event))
            .collect();
        builds.sort_by_key(|event| (time(event), event["id"].as_str().map(str::to_owned)));
        let failed: Vec<bool> = builds
            .iter()
            .map(|event| event["data"]["outcome"] == "failed")
            .collect();
        if failed
            .windows(5)
            .any(|five| five.iter().all(|failed| *failed))
        {
            raise("failing-builds", 0);
        }
    }
    wanted
}

/// An alert stands exactly when its rule holds; ALERTS has the newest revision, and none that is not.
fn alerts(observed: &Observed, judgement: &mut Judgement) {
    let judged = |rule: &str| ["force-push", "failing-builds"].contains(&rule);
    let mut standing: BTreeSet<NumberedAlert> = BTreeSet::new();
    let mut numbers: BTreeMap<(String, String, String), usize> = BTreeMap::new();
    let mut ids = BTreeMap::new();
    for alert in &observed.alerts {
        let name = format!("alert {} ({} of {})", alert.id, alert.rule, alert.developer);
        ids.insert(alert.id.as_str(), alert.revision);
        if alert.published != alert.revision {
            judgement.find(format!(
                "undone: {name} is at revision {}, published {}",
                alert.revision, alert.published
            ));
        }
        if !observed
            .alert_messages
            .contains(&(alert.id.clone(), alert.revision))
        {
            judgement.lost(&format!(
                "{name}, revision {}, is not in ALERTS",
                alert.revision
            ));
        }
        let key = (
            alert.rule.clone(),
            alert.developer.clone(),
            alert.window.clone(),
        );
        if alert.state == "raised" && judged(&alert.rule) {
            let number = numbers.entry(key.clone()).or_default();
            standing.insert((key.0, key.1, key.2, *number));
            *number += 1;
        }
    }
    let wanted = wanted_alerts(observed);
    for missing in wanted.difference(&standing) {
        judgement.find(format!("undone: no alert {missing:?}"));
    }
    for surplus in standing.difference(&wanted) {
        judgement.find(format!("invented: alert {surplus:?}"));
    }
    for (id, revision) in &observed.alert_messages {
        if ids.get(id.as_str()).is_none_or(|newest| revision > newest) {
            judgement.find(format!(
                "invented: ALERTS has revision {revision} of {id}, the table has not"
            ));
        }
    }
}
