//! Working days of many developers: mixed events of about 270 bytes, the same in every run.

use std::fmt::Write as _;

use fastrand::Rng;

use crate::encode::Body;

/// Events in a batch, unless a row says otherwise.
pub const BATCH: usize = 50;
/// From nine to five.
const WORKDAY_MS: u64 = 8 * 3_600_000;
/// Data that events of every type have.
const COMMON: &str = r#""language":"rust","project":"devtrail","branch":"feature/faster-pipe""#;
const NINE_MS: u64 = 9 * 3_600_000;

/// Batches of several developers who work at the same time.
#[derive(Debug, Clone)]
pub struct Workdays {
    /// Part of every id, so that two loads into one deployment are not duplicates of each other.
    pub run: String,
    pub developers: usize,
    /// Events of each of them in each day.
    pub events_a_day: usize,
    pub days: usize,
    /// Days before the first one. A second load on the same days would be late: its events would lie between others.
    pub first_day: usize,
}

impl Workdays {
    /// One day of about so many events in all.
    #[must_use]
    pub fn one_day(run: impl Into<String>, developers: usize, events: usize) -> Self {
        Self {
            run: run.into(),
            developers,
            events_a_day: events.div_ceil(developers),
            days: 1,
            first_day: 0,
        }
    }

    /// The batches in the order of their time: all developers' first, then all developers' second.
    pub fn batches(&self) -> impl Iterator<Item = Body> {
        (0..self.len()).map(|number| self.batch(number))
    }

    /// The batch of this number.
    #[must_use]
    pub fn batch(&self, number: usize) -> Body {
        let batches_a_day = self.events_a_day.div_ceil(BATCH);
        let (slot, developer) = (number / self.developers, number % self.developers);
        let (day, first) = (slot / batches_a_day, slot % batches_a_day * BATCH);
        let day = self.first_day + day;
        let events = (first..self.events_a_day.min(first + BATCH)).map(|number| EventSpec {
            day,
            millisecond: NINE_MS + WORKDAY_MS * number as u64 / self.events_a_day as u64,
            number,
        });
        let batch_id = format!("{}-{number}", self.run);
        body(&format!("dev-{developer}"), &batch_id, events)
    }

    /// How many batches there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.developers * self.days * self.events_a_day.div_ceil(BATCH)
    }

    /// How many events there are.
    #[must_use]
    pub fn events(&self) -> usize {
        self.developers * self.days * self.events_a_day
    }
}

/// When an event is, and which of the day's.
#[derive(Debug, Clone, Copy)]
pub struct EventSpec {
    /// Days after the first of the run.
    pub day: usize,
    /// Of the local day.
    pub millisecond: u64,
    /// Chooses the type and the sizes in it.
    pub number: usize,
}

/// A batch of these events. The ids of its events are derived from `batch_id`.
#[must_use]
pub fn body(developer: &str, batch_id: &str, events: impl Iterator<Item = EventSpec>) -> Body {
    let seed = batch_id
        .bytes()
        .chain(developer.bytes())
        .fold(0, |seed: u64, byte| {
            seed.wrapping_mul(0x0100_0000_01b3)
                .wrapping_add(byte.into())
        });
    let mut ids = Rng::with_seed(seed);
    let events: Vec<String> = events.map(|event| json(event, ids.u128(..))).collect();
    let head = format!(
        r#"{{"batch_id":"{batch_id}","sent_at":"2026-03-01T12:00:00Z","schema_version":"1.0","#
    );
    let client = r#""client":{"name":"bench","version":"1","time_zone":"Europe/Berlin"},"#;
    Body {
        developer: developer.to_owned(),
        bytes: format!("{head}{client}\"events\":[{}]}}", events.join(",")).into_bytes(),
    }
}

fn json(event: EventSpec, id: u128) -> String {
    let EventSpec { number, .. } = event;
    let (kind, own) = match number % 20 {
        0 => (
            "build.finished",
            format!(
                r#""outcome":"{}","tool":"cargo","target":"devtrail","duration_ms":{}"#,
                if number % 60 == 0 {
                    "failed"
                } else {
                    "succeeded"
                },
                2000 + number
            ),
        ),
        5 => (
            "test.finished",
            format!(
                r#""outcome":"passed","tool":"cargo","passed":{},"failed":0,"duration_ms":{}"#,
                40 + number % 7,
                9000 + number
            ),
        ),
        10 => (
            "terminal.command",
            r#""command":"cargo test --lib policy","exit_code":0,"duration_ms":1200,"shell":"zsh""#
                .to_owned(),
        ),
        15 => (
            "file.saved",
            format!(
                r#""path":"src/editor/module_{}/view.rs","lines":{}"#,
                number % 9,
                100 + number % 50
            ),
        ),
        odd if odd % 2 == 1 => (
            "heartbeat",
            format!(
                r#""entity":"src/editor/module_{}/view.rs","entity_type":"file","is_write":false"#,
                number % 9
            ),
        ),
        _ => (
            "file.edited",
            format!(
                r#""path":"src/editor/module_{}/view.rs","lines_added":{},"lines_removed":{}"#,
                number % 9,
                number % 5,
                number % 3
            ),
        ),
    };
    let mut text = String::with_capacity(300);
    let written = write!(
        text,
        r#"{{"id":"{}","type":"{kind}","occurred_at":"{}","data":{{{own},{COMMON}}}}}"#,
        uuid(id),
        time(event)
    );
    debug_assert!(written.is_ok(), "writing to a String cannot fail");
    text
}

/// In the form that editors send: 36 characters.
fn uuid(id: u128) -> String {
    let hex = format!("{id:032x}");
    [
        &hex[..8],
        &hex[8..12],
        &hex[12..16],
        &hex[16..20],
        &hex[20..],
    ]
    .join("-")
}

/// The date of a day of the run. Months have 28 days, from January 2023 on: a thousand days, all of them past.
#[must_use]
pub fn date(day: usize) -> String {
    let (year, month, day) = (2023 + day / 336, 1 + day / 28 % 12, 1 + day % 28);
    format!("{year}-{month:02}-{day:02}")
}

fn time(event: EventSpec) -> String {
    let EventSpec {
        day, millisecond, ..
    } = event;
    let date = date(day);
    let (hour, minute) = (millisecond / 3_600_000, millisecond / 60_000 % 60);
    let (second, fraction) = (millisecond / 1000 % 60, millisecond % 1000);
    format!("{date}T{hour:02}:{minute:02}:{second:02}.{fraction:03}+01:00")
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use types::schema::Schemas;

    use super::*;
    use crate::encode::encode;

    fn two_days() -> Workdays {
        Workdays {
            run: "test".to_owned(),
            developers: 3,
            events_a_day: 120,
            days: 2,
            first_day: 0,
        }
    }

    #[test]
    fn batches_are_as_many_as_said_and_all_accepted() {
        let days = two_days();
        let schemas = Schemas::builtin();
        let (mut batches, mut events, mut bytes) = (0, 0, 0);
        let mut ids = HashSet::new();
        for body in days.batches() {
            let message = encode(&schemas, &body).expect("a batch");
            assert!(ids.insert(message.identity.message_id), "an id twice");
            let sent: serde_json::Value = serde_json::from_slice(&body.bytes).expect("JSON");
            batches += 1;
            for event in sent["events"].as_array().expect("events") {
                events += 1;
                bytes += event.to_string().len();
                assert!(ids.insert(event["id"].to_string()), "an event's id twice");
            }
        }
        assert_eq!((batches, events), (days.len(), days.events()));
        assert!(
            (250..=290).contains(&(bytes / events)),
            "{} bytes",
            bytes / events
        );
    }

    #[test]
    fn developers_take_turns() {
        let whose: Vec<String> = two_days().batches().map(|body| body.developer).collect();
        assert_eq!(whose[..4], ["dev-0", "dev-1", "dev-2", "dev-0"]);
    }

    #[test]
    fn times_rise_through_the_days() {
        let at = |day, millisecond| {
            time(EventSpec {
                day,
                millisecond,
                number: 0,
            })
        };
        assert_eq!(at(0, NINE_MS), "2023-01-01T09:00:00.000+01:00");
        assert_eq!(at(27, NINE_MS + 61_001), "2023-01-28T09:01:01.001+01:00");
        assert_eq!(at(28, NINE_MS), "2023-02-01T09:00:00.000+01:00");
        assert_eq!(at(336, NINE_MS), "2024-01-01T09:00:00.000+01:00");
    }
}
