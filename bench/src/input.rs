//! Batches of the size that the targets of the collector name: 50 events, about 20 kB, no two alike.

use std::fmt::Write;

/// Events in a batch.
pub const EVENTS: usize = 50;
/// Whose batches follow one another, if it matters who owns a batch.
pub const DEVELOPERS: usize = 32;

/// Bodies that are made beforehand: 10 MB.
const MADE: usize = 512;
/// Digits of a batch's number.
const DIGITS: usize = 8;

/// Bodies of a run. They are made before anything is timed, and go round and round, each time with another number: the
/// clients run on the cores of what they measure.
pub struct Bodies {
    made: Vec<Vec<u8>>,
    /// Where in each body its number is.
    places: Vec<Vec<usize>>,
}

impl Bodies {
    /// Of the run `name`.
    pub fn of(name: &str) -> Self {
        let made: Vec<Vec<u8>> = (0..MADE).map(|number| body(name, number)).collect();
        let places = made.iter().enumerate().map(|(number, body)| {
            let id = format!("\"{name}-{number:0DIGITS$}");
            let ends = body.windows(id.len()).enumerate();
            let ends = ends.filter(|(_, part)| *part == id.as_bytes());
            ends.map(|(at, _)| at + id.len() - DIGITS).collect()
        });
        Self {
            places: places.collect(),
            made,
        }
    }

    /// The body of batch `number`.
    pub fn get(&self, number: usize) -> Vec<u8> {
        let which = number % MADE;
        let mut body = self.made[which].clone();
        let digits = format!("{number:0DIGITS$}");
        for place in &self.places[which] {
            body[*place..place + DIGITS].copy_from_slice(digits.as_bytes());
        }
        body
    }
}

/// The body of batch `number` of the run `name`.
pub fn body(name: &str, number: usize) -> Vec<u8> {
    let mut text = format!(
        r#"{{"batch_id":"{name}-{number:0DIGITS$}","sent_at":"2026-03-01T12:00:00Z","schema_version":"1.0","#
    );
    text.push_str(
        r#""client":{"name":"bench","version":"1","time_zone":"Europe/Berlin"},"events":["#,
    );
    for index in 0..EVENTS {
        let comma = if index == 0 { "" } else { "," };
        // Each developer's batches go through the days of a month, an hour or so each.
        let turn = number / DEVELOPERS;
        let day = 1 + turn % 28;
        let minute = (turn / 28 * EVENTS + index) % 1440;
        let time = format!(
            "2026-02-{day:02}T{:02}:{:02}:{index:02}.{:03}+01:00",
            minute / 60,
            minute % 60,
            number % 1000
        );
        let head = write!(
            text,
            r#"{comma}{{"id":"{name}-{number:0DIGITS$}-{index}","type":"file.edited","occurred_at":"{time}","data":{{"#
        );
        let place = write!(
            text,
            r#""path":"src/components/editor/module_{}/view_{index}.rs","language":"rust","project":"devtrail","#,
            number % 7
        );
        text.push_str(r#""branch":"feature/measure-what-we-claim","editor":"vscode","#);
        text.push_str(r#""workspace":"/projects/devtrail","#);
        let sizes = write!(
            text,
            r#""lines_added":{},"lines_removed":{},"chars_added":{},"chars_removed":{},"#,
            index % 5,
            index % 3,
            index * 7,
            index * 3
        );
        text.push_str(r#""note":"an unknown field is kept as it is, byte for byte"}}"#);
        debug_assert!(
            head.and(place).and(sizes).is_ok(),
            "writing to a String cannot fail"
        );
    }
    text.push_str("]}");
    text.into_bytes()
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use serde_json::Value;

    use super::*;

    #[test]
    fn bodies_that_go_round_are_all_new() {
        let bodies = Bodies::of("run");
        let mut ids = HashSet::new();
        for number in [0, 1, MADE, MADE + 1, 7 * MADE] {
            let body: Value = serde_json::from_slice(&bodies.get(number)).expect("JSON");
            assert!(ids.insert(body["batch_id"].to_string()));
            for event in body["events"].as_array().expect("events") {
                assert!(ids.insert(event["id"].to_string()));
            }
        }
        assert_eq!(bodies.get(5), body("run", 5));
    }
}
