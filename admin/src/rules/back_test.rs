//! `devtrail rules test --on`: what rules would have said about recorded events.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead as _, BufReader};
use std::sync::Arc;

use anyhow::Context as _;
use runtime::settings::UsageError;
use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;
use store::StoredEvent;
use types::event::EventHead;
use types::id::BatchRef;
use types::time::{self, parse_rfc3339};
use workers::alert::{Rule, TouchedBy, TouchedDays, evaluate_events};

use crate::output::{self, count};
use crate::send::source;
use crate::time_args::DayRangeArgs;

/// The developer of events that name none.
const NOBODY: &str = "me";

/// The schema version of events that name none.
const FIRST_VERSION: &str = "1.0";

/// A line of an export, of recorded events with their developers, or an event.
#[derive(Deserialize)]
struct Line<'a> {
    kind: Option<String>,
    developer: Option<String>,
    #[serde(borrow)]
    event: Option<&'a RawValue>,
    effective_at: Option<String>,
    local_day: Option<String>,
    zone: Option<String>,
    #[serde(borrow)]
    client: Option<&'a RawValue>,
}

/// Recorded events by developer, in the order of time, each once.
#[derive(Debug, Default)]
pub struct Recorded(BTreeMap<String, Vec<StoredEvent>>);

/// An alert that would have been.
pub struct WouldBe {
    pub developer: String,
    /// As a developer gets it.
    pub alert: Value,
}

impl Recorded {
    /// Reads a file, or stdin if it is `-`; it may be compressed.
    ///
    /// # Errors
    /// Returns an error if it cannot be read, and a [`UsageError`] that names the line that is no event.
    pub fn read(file: &str) -> anyhow::Result<Self> {
        let text = source::text(source::open(file, Arc::default())?, file)?;
        let mut recorded = Self::default();
        let mut owner = NOBODY.to_owned();
        for (number, line) in BufReader::new(text).lines().enumerate() {
            let line = line.with_context(|| source::cannot_be_read(file))?;
            if line.trim().is_empty() {
                continue;
            }
            let bad = |reason: String| {
                let name = source::name(file);
                let number = number + 1;
                UsageError(format!(
                    "{name}: line {number} {reason}. Name an export (`devtrail export`), or a file of events, one \
                     a line."
                ))
            };
            recorded.take(&line, &mut owner).map_err(bad)?;
        }
        for events in recorded.0.values_mut() {
            events.sort_by(|one, other| {
                (one.effective_at, &one.id, one.at).cmp(&(other.effective_at, &other.id, other.at))
            });
            let mut seen = BTreeSet::new();
            events.retain(|event| seen.insert(event.id.clone()));
        }
        Ok(recorded)
    }

    fn take(&mut self, text: &str, owner: &mut String) -> Result<(), String> {
        let line: Line<'_> =
            serde_json::from_str(text).map_err(|error| format!("is no JSON object: {error}"))?;
        match line.kind.as_deref() {
            Some("header") => *owner = line.developer.unwrap_or_else(|| NOBODY.to_owned()),
            Some("event") | None => {
                let developer = line.developer.clone().unwrap_or_else(|| owner.clone());
                let events = self.0.entry(developer).or_default();
                let event = stored(text, &line, events.len())?;
                events.push(event);
            }
            Some(_) => {}
        }
        Ok(())
    }

    /// How many events there are.
    pub fn events(&self) -> usize {
        self.0.values().map(Vec::len).sum()
    }

    /// The days with events, of all developers.
    pub fn days(&self) -> usize {
        let days = |events: &Vec<StoredEvent>| {
            events
                .iter()
                .map(|event| &event.local_day)
                .collect::<BTreeSet<_>>()
                .len()
        };
        self.0.values().map(days).sum()
    }

    /// What the rules would have said on these days, in the order of time.
    ///
    /// # Errors
    /// Returns an error if a rule panics.
    pub fn alerts(&self, rules: &[Rule], range: &DayRangeArgs) -> anyhow::Result<Vec<WouldBe>> {
        let mut alerts = Vec::new();
        for (developer, events) in &self.0 {
            let days: BTreeSet<&str> = events
                .iter()
                .map(|event| event.local_day.as_str())
                .collect();
            let origin = || TouchedBy {
                batch: BatchRef { src: 1, seq: 1 },
                correlation_id: String::new(),
                replay_id: None,
            };
            let touched: TouchedDays = days
                .into_iter()
                .filter(|day| range.contains(day))
                .filter_map(|day| Some((day.parse().ok()?, origin())))
                .collect();
            let found = evaluate_events(rules, developer, &touched, events.clone(), 0)?;
            if let Some((rule, error)) = found.failed.first() {
                anyhow::bail!("The rule {rule} has no result: {error}.");
            }
            for finding in found.windows.into_iter().flat_map(|window| window.findings) {
                alerts.push(WouldBe {
                    developer: developer.clone(),
                    alert: serde_json::from_str(&finding.body).context("an alert is no JSON")?,
                });
            }
        }
        alerts.sort_by_key(|one| (first(one).to_owned(), one.developer.clone()));
        Ok(alerts)
    }
}

/// Local time of the first event that made it fire.
fn first(one: &WouldBe) -> &str {
    one.alert["evidence"]["first"].as_str().unwrap_or_default()
}

fn stored(text: &str, line: &Line<'_>, number: usize) -> Result<StoredEvent, String> {
    let body = line.event.map_or(text, RawValue::get);
    let head = EventHead::parse(body).map_err(|error| format!("is no event: {error}"))?;
    let (Some(id), Some(kind), Some(occurred_at)) = (head.id(), head.kind(), head.occurred_at())
    else {
        return Err("is no event: it needs id, type and occurred_at".to_owned());
    };
    let written = parse_rfc3339(&occurred_at)
        .ok_or_else(|| format!("has the time {occurred_at:?}, which is none"))?;
    let corrected = line
        .effective_at
        .as_deref()
        .and_then(|at| parse_rfc3339(at)?.at);
    let Some(effective_at) = corrected.or(written.at) else {
        return Err(format!("has the time {occurred_at:?}, which cannot be"));
    };
    let local_day = line.local_day.clone();
    Ok(StoredEvent {
        at: BatchRef { src: 1, seq: 1 }.event(u32::try_from(number).unwrap_or(u32::MAX)),
        id,
        kind,
        schema_version: head
            .schema_version()
            .ok()
            .flatten()
            .unwrap_or_else(|| FIRST_VERSION.to_owned()),
        effective_at,
        local_day: local_day.unwrap_or_else(|| time::local_day(effective_at, None, written.offset)),
        body: body.as_bytes().to_vec(),
        client: line.client.map(|client| client.get().as_bytes().to_vec()),
        zone: line.zone.clone(),
    })
}

/// Prints them as a time line.
///
/// # Errors
/// Returns an error if stdout cannot be written.
pub fn print(alerts: &[WouldBe], recorded: &Recorded, as_json: bool) -> anyhow::Result<()> {
    if as_json {
        let alerts: Vec<&Value> = alerts.iter().map(|one| &one.alert).collect();
        return Ok(output::json(&alerts)?);
    }
    let row = |one: &WouldBe| {
        let text = |name: &str| one.alert[name].as_str().unwrap_or_default().to_owned();
        let when = first(one).get(..16).unwrap_or_default().replace('T', " ");
        [
            when,
            one.developer.clone(),
            text("severity"),
            text("rule"),
            text("title"),
        ]
    };
    if !alerts.is_empty() {
        output::table(
            ["WHEN", "DEVELOPER", "SEVERITY", "RULE", "ALERT"],
            alerts.iter().map(row).collect(),
        )?;
    }
    output::line(format!(
        "{} from {} on {}.",
        count(alerts.len(), "alert"),
        count(recorded.events(), "event"),
        count(recorded.days(), "day")
    ))?;
    Ok(())
}
