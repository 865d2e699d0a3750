//! Which records a rule looks at: by type, by what their data says, by local time of day.

use std::collections::BTreeMap;
use std::str::FromStr;

use regex::{Regex, RegexBuilder};
use serde::Deserialize;
use serde_json::Value;

use super::local_day::{LocalDay, Weekday};
use crate::normalize::{LazyRecord, Record};

/// Which events are meant. Everything that it names must hold.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EventFilter {
    /// The event types, at least one; each as it is written in the schemas.
    pub types: Vec<String>,
    /// Fields of the record and what they must be. A field that is missing matches nothing.
    #[serde(default)]
    pub data: BTreeMap<String, FieldTest>,
    /// The part of the local day, if it matters. An event whose local time is not known matches none.
    #[serde(default)]
    pub local_time: Option<LocalTimes>,
    /// The weekdays, if they matter: of the event's own local day, `saturday`.
    #[serde(default)]
    pub weekdays: Vec<Weekday>,
}

impl EventFilter {
    /// Whether it is such an event. Type and time of day are asked first: most events are passed over by them, and need
    /// no record.
    #[must_use]
    pub fn matches(&self, event: &LazyRecord<'_>) -> bool {
        self.types.iter().any(|kind| kind == event.kind())
            && self
                .local_time
                .is_none_or(|times| event.clock().is_known && times.holds(event.minute_of_day()))
            && (self.weekdays.is_empty() || self.is_on_weekday(event))
            && self
                .data
                .iter()
                .all(|(name, test)| field(event.record(), name, |value| test.holds(value)))
    }

    fn is_on_weekday(&self, event: &LazyRecord<'_>) -> bool {
        let day = event.local_day_before(0).parse::<LocalDay>();
        day.is_ok_and(|day| self.weekdays.contains(&day.weekday()))
    }

    /// Whether one of the filters matches.
    #[must_use]
    pub fn any(filters: &[Self], event: &LazyRecord<'_>) -> bool {
        filters.iter().any(|filter| filter.matches(event))
    }
}

/// The number that a field holds; `None` if it is missing or no whole number from 0.
pub fn number(record: &Record, name: &str) -> Option<u64> {
    let mut number = None;
    field(record, name, |value| {
        number = value.as_u64();
        true
    });
    number
}

/// Gives the text of a field, of a list each text.
pub fn each_text(record: &Record, name: &str, mut take: impl FnMut(&str)) {
    field(record, name, |value| {
        match value {
            Value::String(text) => take(text),
            Value::Array(values) => values.iter().filter_map(Value::as_str).for_each(&mut take),
            Value::Null => {}
            other => take(&other.to_string()),
        }
        true
    });
}

/// Fields of the record by their names; all else is the type's data.
fn field(record: &Record, name: &str, mut holds: impl FnMut(&Value) -> bool) -> bool {
    let mut text = |text: &Option<String>| {
        text.as_ref()
            .is_some_and(|text| holds(&Value::from(text.as_str())))
    };
    match name {
        "category" => text(&record.category),
        "editor" => text(&record.editor),
        "entity_type" => text(&record.entity_type),
        "tool" => text(&record.tool),
        "project" => text(&record.project),
        "language" => text(&record.language),
        "path" => text(&record.path),
        "duration_ms" => (record.duration_ms).is_some_and(|duration| holds(&duration.into())),
        "secrets" => holds(&record.secrets.into()),
        _ => record.data.get(name).is_some_and(holds),
    }
}

/// What a field must be.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(try_from = "toml::Value")]
pub enum FieldTest {
    /// One of these values.
    OneOf(Vec<Value>),
    /// A number within these bounds, both included.
    Within {
        /// The lower bound.
        at_least: Option<i64>,
        /// The upper bound.
        at_most: Option<i64>,
    },
    /// A text that this pattern is found in.
    Matches(TextPattern),
}

/// A regular expression, in the syntax of the crate `regex`. Its time is linear in the text's length.
#[derive(Debug, Clone)]
pub struct TextPattern(Regex);

impl PartialEq for TextPattern {
    fn eq(&self, other: &Self) -> bool {
        self.0.as_str() == other.0.as_str()
    }
}

impl FieldTest {
    fn holds(&self, value: &Value) -> bool {
        match self {
            Self::OneOf(values) => values.contains(value),
            Self::Within { at_least, at_most } => value.as_i64().is_some_and(|number| {
                at_least.is_none_or(|bound| number >= bound)
                    && at_most.is_none_or(|bound| number <= bound)
            }),
            Self::Matches(TextPattern(pattern)) => {
                value.as_str().is_some_and(|text| pattern.is_match(text))
            }
        }
    }
}

const TEST: &str = "a field is compared with a value (true, 3, \"failed\"), with a list of values, or with \
                    { at_least = N, at_most = N }, or with { matches = 'a regular expression' }";
/// Most memory that a compiled pattern may take, in bytes.
const MAX_PATTERN: usize = 1 << 20;

impl TryFrom<toml::Value> for FieldTest {
    type Error = String;

    fn try_from(value: toml::Value) -> Result<Self, String> {
        match value {
            toml::Value::Array(values) if !values.is_empty() => Ok(Self::OneOf(
                values.into_iter().map(scalar).collect::<Result<_, _>>()?,
            )),
            toml::Value::Table(table) if table.contains_key("matches") => match &table["matches"] {
                toml::Value::String(pattern) if table.len() == 1 => {
                    let pattern = RegexBuilder::new(pattern).size_limit(MAX_PATTERN).build();
                    pattern
                        .map(|pattern| Self::Matches(TextPattern(pattern)))
                        .map_err(|error| error.to_string())
                }
                _ => Err(TEST.to_owned()),
            },
            toml::Value::Table(table) => {
                let mut bounds = [None, None];
                for (key, value) in &table {
                    let bound = match key.as_str() {
                        "at_least" => &mut bounds[0],
                        "at_most" => &mut bounds[1],
                        _ => return Err(format!("unknown key {key:?}: {TEST}")),
                    };
                    *bound = Some(
                        value
                            .as_integer()
                            .ok_or_else(|| format!("{key} = {value}: {TEST}"))?,
                    );
                }
                match bounds {
                    [None, None] => Err(TEST.to_owned()),
                    [Some(low), Some(high)] if low > high => Err(format!(
                        "at_least {low} is more than at_most {high}: nothing would match"
                    )),
                    [at_least, at_most] => Ok(Self::Within { at_least, at_most }),
                }
            }
            one => Ok(Self::OneOf(vec![scalar(one)?])),
        }
    }
}

fn scalar(value: toml::Value) -> Result<Value, String> {
    match value {
        toml::Value::String(text) => Ok(text.into()),
        toml::Value::Integer(number) => Ok(number.into()),
        toml::Value::Boolean(flag) => Ok(flag.into()),
        other => Err(format!("{other}: {TEST}")),
    }
}

/// The minute of the day that `HH:MM` names, from 00:00 to 23:59.
pub fn minute_of(text: &str) -> Option<u16> {
    let (hour, minute) = text.split_once(':')?;
    let two = |part: &str| part.len() == 2 && part.bytes().all(|byte| byte.is_ascii_digit());
    let (hour, minute): (u16, u16) =
        (two(hour) && two(minute)).then(|| Some((hour.parse().ok()?, minute.parse().ok()?)))??;
    (hour < 24 && minute < 60).then_some(hour * 60 + minute)
}

/// A part of the local day, `22:00-05:00`: from the first minute up to but without the last. It may
/// go over midnight; of a day, it then is the early morning and the late evening, unless the rule's day begins between.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct LocalTimes {
    from: u16,
    to: u16,
}

impl LocalTimes {
    fn holds(self, minute: u16) -> bool {
        if self.from < self.to {
            (self.from..self.to).contains(&minute)
        } else {
            minute >= self.from || minute < self.to
        }
    }
}

impl FromStr for LocalTimes {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let parts = text
            .split_once('-')
            .and_then(|(from, to)| Some((minute_of(from)?, minute_of(to)?)));
        match parts {
            Some((from, to)) if from != to => Ok(Self { from, to }),
            _ => Err(format!(
                "{text:?} is no part of a day: write HH:MM-HH:MM with two different times from 00:00 to 23:59"
            )),
        }
    }
}

impl TryFrom<String> for LocalTimes {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

#[cfg(test)]
pub mod tests;
