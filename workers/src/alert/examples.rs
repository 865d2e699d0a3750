//! A rule's own examples: events that must make it fire, and events that must not. They run as tests
//! of every rule file, and as `devtrail rules test`.

use std::time::Duration;

use serde::Deserialize;
use serde_json::{Map, Value, json};
use store::{Hour, Snapshot, StoredEvent};
use types::id::BatchRef;
use types::schema::{Found, Schemas};
use types::time::{SECOND, local_day, parse_rfc3339, rfc3339, utc_hour};

use super::evaluate::Engine;
use super::rules::{Rule, time_span};
use super::windows::{Origin, Touched};

/// Most events that one line of an example may stand for.
const MAX_TIMES: u32 = 10_000;
/// The schema version that examples are written for.
const VERSION: &str = "1.0";

/// Events, and whether the rule fires on a window of theirs.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Example {
    /// What the example shows.
    pub name: String,
    /// Whether the rule must fire.
    pub fires: bool,
    /// The events, in any order.
    pub events: Vec<ExampleEvent>,
}

/// An event of an example, or several of its kind.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ExampleEvent {
    /// The event's type.
    #[serde(rename = "type")]
    pub kind: String,
    /// When it happened: RFC 3339, its offset being local time's.
    pub at: String,
    /// The event's data.
    #[serde(default)]
    pub data: Map<String, Value>,
    /// How many of them.
    #[serde(default = "once")]
    pub times: u32,
    /// How far apart they are.
    #[serde(default, deserialize_with = "some_time_span")]
    pub every: Duration,
}

fn once() -> u32 {
    1
}

fn some_time_span<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    time_span(deserializer)
}

/// What is wrong with the rule by its own examples; nothing where all is well. A rule needs an
/// example of either kind, and every event must be one that the collector would accept.
#[must_use]
pub fn check(rule: &Rule, engine: Engine, schemas: &Schemas) -> Vec<String> {
    let mut problems = Vec::new();
    for (fires, kind) in [(true, "must fire"), (false, "must not fire")] {
        if !rule.examples.iter().any(|example| example.fires == fires) {
            problems.push(format!(
                "there is no example on which it {kind}: add one with fires = {fires}"
            ));
        }
    }
    let types = rule
        .when
        .iter()
        .flat_map(|when| when.of.iter().chain(&when.broken_by))
        .flat_map(|of| &of.types);
    let known = |kind: &&String| !schemas.types().any(|(known, _)| known == kind.as_str());
    problems.extend(
        types
            .filter(known)
            .map(|kind| format!("no schema has the event type {kind:?}")),
    );
    for example in &rule.examples {
        if let Err(problem) = run(rule, engine, schemas, example) {
            problems.push(format!("{:?}: {problem}", example.name));
        }
    }
    problems
}

fn run(rule: &Rule, engine: Engine, schemas: &Schemas, example: &Example) -> Result<(), String> {
    let events = example.stored(schemas)?;
    let mut snapshot = Snapshot::default();
    let mut days = Vec::new();
    for event in &events {
        let hour = Hour {
            generation: 0,
            partial: None,
        };
        snapshot
            .hours
            .entry(utc_hour(event.effective_at))
            .or_insert(hour)
            .generation += 1;
        let (batch, correlation_id) = (event.at.batch(), String::new());
        let day = event
            .local_day
            .parse()
            .map_err(|error| format!("{error}"))?;
        days.push((
            day,
            Origin {
                batch,
                correlation_id,
                replay_id: None,
            },
        ));
    }
    snapshot.events = events;
    let touched: Touched = days.into_iter().collect();
    let found = engine.evaluate(
        std::slice::from_ref(rule),
        "example",
        &touched,
        &snapshot,
        0,
    );
    if let Some((_, error)) = found.failed.first() {
        return Err(error.to_string());
    }
    match (
        example.fires,
        found.windows.iter().any(|window| window.finding.is_some()),
    ) {
        (true, false) => Err("the rule must fire, and does not".to_owned()),
        (false, true) => Err("the rule must not fire, and does".to_owned()),
        _ => Ok(()),
    }
}

impl Example {
    /// Its events as the store would give them, by (effective time, event id).
    ///
    /// # Errors
    /// Where one of them is none that the collector would accept.
    pub fn stored(&self, schemas: &Schemas) -> Result<Vec<StoredEvent>, String> {
        let mut events = Vec::new();
        for line in &self.events {
            line.add_to(&mut events, schemas)?;
        }
        events.sort_by(|one, other| {
            (one.effective_at, &one.id).cmp(&(other.effective_at, &other.id))
        });
        Ok(events)
    }
}

impl ExampleEvent {
    fn add_to(&self, events: &mut Vec<StoredEvent>, schemas: &Schemas) -> Result<(), String> {
        let Some((at, offset)) =
            parse_rfc3339(&self.at).and_then(|time| Some((time.at?, time.offset)))
        else {
            return Err(format!(
                "{:?} is no time: write RFC 3339 with an offset, in quotes",
                self.at
            ));
        };
        let step = i64::try_from(self.every.as_micros())
            .map_err(|_| format!("every {:?} is too long", self.every))?;
        if self.times == 0 || self.times > MAX_TIMES || (self.times > 1 && step == 0) {
            return Err(format!(
                "times is {}: use 1 to {MAX_TIMES}, with `every` where it is more than 1",
                self.times
            ));
        }
        for time in 0..self.times {
            let effective_at = at.saturating_add(step.saturating_mul(i64::from(time)));
            let ordinal =
                u32::try_from(events.len()).map_err(|_| "it has too many events".to_owned())?;
            let id = format!("example-{ordinal:05}");
            // As an editor writes it: local time with its offset.
            let shifted =
                rfc3339(effective_at.saturating_add(i64::from(offset.seconds()) * SECOND));
            let local = format!(
                "{}{}",
                shifted.trim_end_matches('Z'),
                written(offset.seconds())
            );
            let body = json!({"id": id, "type": self.kind, "occurred_at": local, "schema_version": VERSION, "data": self.data});
            match schemas.find(&self.kind, VERSION) {
                Found::Known(schema) => schema.check(&body).map_err(|misfit| {
                    format!(
                        "the event {} fits no schema: {} {}",
                        self.kind, misfit.pointer, misfit.detail
                    )
                })?,
                _ => {
                    return Err(format!(
                        "no schema {VERSION} has the event type {:?}",
                        self.kind
                    ));
                }
            }
            events.push(StoredEvent {
                at: BatchRef { src: 1, seq: 1 }.event(ordinal),
                id,
                kind: self.kind.clone(),
                schema_version: VERSION.to_owned(),
                effective_at,
                local_day: local_day(effective_at, None, offset),
                body: body.to_string().into_bytes(),
                client: None,
            });
        }
        Ok(())
    }
}

/// An offset as RFC 3339 writes it, `+01:00`.
fn written(seconds: i32) -> String {
    let (sign, minutes) = (if seconds < 0 { '-' } else { '+' }, seconds.abs() / 60);
    format!("{sign}{:02}:{:02}", minutes / 60, minutes % 60)
}
