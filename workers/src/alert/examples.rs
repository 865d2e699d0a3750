//! A rule's own examples: events that must make it fire, and events that must not.

use std::time::Duration;

use runtime::settings::parse_duration;
use serde::{Deserialize, Deserializer, de};
use serde_json::{Map, Value, json};
use store::StoredEvent;
use types::id::BatchRef;
use types::schema::{SchemaLookup, Schemas};
use types::time::{Micros, OffsetTime, SECOND, local_day, parse_rfc3339, rfc3339};

/// Most events that one line of an example may expand to.
const MAX_TIMES: u32 = 10_000;
/// The schema version that examples are written for, unless they say another one.
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
    /// When it happened: RFC 3339, its offset being local time's. With `Z` its local time is not known.
    pub at: String,
    /// The event's data.
    #[serde(default)]
    pub data: Map<String, Value>,
    /// The version of its schema.
    #[serde(default = "first_version")]
    pub schema_version: String,
    /// How many of them.
    #[serde(default = "once")]
    pub times: u32,
    /// How far apart they are.
    #[serde(default, deserialize_with = "time_span")]
    pub every: Duration,
}

fn first_version() -> String {
    VERSION.to_owned()
}

fn once() -> u32 {
    1
}

/// Reads a time span such as `24h`.
///
/// # Errors
/// Returns the deserializer's error if the text is no time span.
pub fn time_span<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    parse_duration(&String::deserialize(deserializer)?).map_err(de::Error::custom)
}

impl Example {
    /// Its events as the store would give them, by (effective time, event id).
    ///
    /// # Errors
    /// Returns what is wrong with an event that the collector would not accept.
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
        let Some((at, written)) = parse_rfc3339(&self.at).and_then(|time| Some((time.at?, time)))
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
                "times is {}: use 1 to {MAX_TIMES}, with `every` if it is more than 1",
                self.times
            ));
        }
        for time in 0..self.times {
            let effective_at = at.saturating_add(step.saturating_mul(i64::from(time)));
            let ordinal =
                u32::try_from(events.len()).map_err(|_| "it has too many events".to_owned())?;
            let id = format!("example-{ordinal:05}");
            let occurred_at = written_like(effective_at, written);
            let body = json!({
                "id": id, "type": self.kind, "occurred_at": occurred_at, "schema_version": self.schema_version,
                "data": self.data,
            });
            match schemas.find(&self.kind, &self.schema_version) {
                SchemaLookup::Known(schema) => schema.check(&(&body).into()).map_err(|misfit| {
                    format!(
                        "the event {} fits no schema: {} {}",
                        self.kind, misfit.pointer, misfit.detail
                    )
                })?,
                _ => {
                    return Err(format!(
                        "no schema {} has the event type {:?}",
                        self.schema_version, self.kind
                    ));
                }
            }
            events.push(StoredEvent {
                at: BatchRef { src: 1, seq: 1 }.event(ordinal),
                id,
                kind: self.kind.clone(),
                schema_version: self.schema_version.clone(),
                effective_at,
                local_day: local_day(effective_at, None, written.offset),
                body: body.to_string().into_bytes(),
                client: None,
                zone: None,
            });
        }
        Ok(())
    }
}

/// A time as an editor writes it that wrote `like`: local time with its offset, or UTC with `Z`.
fn written_like(at: Micros, like: OffsetTime) -> String {
    if !like.is_local {
        return rfc3339(at);
    }
    let offset = like.offset.seconds();
    let shifted = rfc3339(at.saturating_add(i64::from(offset) * SECOND));
    format!(
        "{}{}",
        shifted.trim_end_matches('Z'),
        written_offset(offset)
    )
}

/// An offset as RFC 3339 writes it, `+01:00`.
fn written_offset(seconds: i32) -> String {
    let sign = if seconds < 0 { '-' } else { '+' };
    let minutes = seconds.abs() / 60;
    format!("{sign}{:02}:{:02}", minutes / 60, minutes % 60)
}
