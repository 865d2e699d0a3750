//! What the clients send: seeded batches of a few developers, some of them wrong or repeated.

use fastrand::Rng;

use crate::send_log::{Batch, Expected, Sent};

/// One client's source of batches.
pub struct Work {
    rng: Rng,
    developer: String,
    client: usize,
    made: usize,
    past: Vec<Sent>,
}

impl Work {
    /// The work of client number `client` for `developer`.
    pub fn new(seed: u64, client: usize, developer: &str) -> Self {
        let rng = Rng::with_seed(seed.wrapping_mul(1000).wrapping_add(client as u64));
        Self {
            rng,
            developer: developer.to_owned(),
            client,
            made: 0,
            past: Vec::new(),
        }
    }

    /// The next batch: mostly new events, some that were sent before, some with an id that is taken.
    pub fn next(&mut self) -> Batch {
        self.made += 1;
        let count = self.rng.usize(1..=12);
        let events: Vec<Sent> = (0..count).map(|number| self.event(number)).collect();
        // In one batch an id has one place, so that every position has one fate.
        let mut seen = std::collections::BTreeSet::new();
        let events: Vec<Sent> = events
            .into_iter()
            .filter(|event| seen.insert(event.id.clone()))
            .collect();
        self.past.extend(events.iter().cloned());
        Batch {
            developer: self.developer.clone(),
            id: format!("b{}-{}", self.client, self.made),
            events,
        }
    }

    fn event(&mut self, number: usize) -> Sent {
        let id = format!("e{}-{}-{number}", self.client, self.made);
        match self.rng.usize(..40) {
            0..3 if !self.past.is_empty() => self.past[self.rng.usize(..self.past.len())].clone(),
            3 if self
                .past
                .iter()
                .any(|event| event.expected == Expected::Sound) =>
            {
                let sound: Vec<&Sent> = self
                    .past
                    .iter()
                    .filter(|event| event.expected == Expected::Sound)
                    .collect();
                let taken = sound[self.rng.usize(..sound.len())].id.clone();
                self.sound(taken)
            }
            4 => {
                let text = self.text(&id, "file.edited", r#""path":"a.rs","lines_added":-1"#);
                Sent {
                    id,
                    text,
                    expected: Expected::Refused("schema_invalid"),
                }
            }
            5 => {
                let text = self.text(&id, "coffee.brewed", r#""cups":2"#);
                Sent {
                    id,
                    text,
                    expected: Expected::Refused("type_unknown"),
                }
            }
            _ => self.sound(id),
        }
    }

    fn sound(&mut self, id: String) -> Sent {
        let n = self.rng.u32(..1000);
        let (kind, data) = match self.rng.usize(..20) {
            0 => (
                "git.push",
                format!(r#""branch":"b{n}","force":{}"#, self.rng.u8(..8) == 0),
            ),
            1..4 => (
                "build.finished",
                format!(
                    r#""outcome":"{}","errors":{n}"#,
                    ["failed", "succeeded"][self.rng.usize(..2)]
                ),
            ),
            4..8 => (
                "file.saved",
                format!(r#""path" : "src/{n}.py","note":"caf\u00e9 \\u00e9 {n}""#),
            ),
            _ => (
                "file.edited",
                format!(
                    r#""path":"src/{n}.rs","lines_added":{n},"lines_removed":{}"#,
                    n / 3
                ),
            ),
        };
        let text = self.text(&id, kind, &data);
        Sent {
            id,
            text,
            expected: Expected::Sound,
        }
    }

    /// An event of a working hour of twelve days in March 2026, at one of three offsets.
    fn text(&mut self, id: &str, kind: &str, data: &str) -> String {
        let day = self.rng.u8(1..=12);
        let hour = self.rng.u8(8..18);
        let minute = self.rng.u8(..60);
        let second = self.rng.u8(..60);
        let milli = self.rng.u16(..1000);
        let offset = ["Z", "+01:00", "-05:30"][self.rng.usize(..3)];
        let at = format!("2026-03-{day:02}T{hour:02}:{minute:02}:{second:02}.{milli:03}{offset}");
        format!(
            r#"{{"id":"{id}","type":"{kind}","occurred_at":"{at}","data":{{{data},"project":"demo"}}}}"#
        )
    }
}

/// The body of one attempt, and its headers: `sent_at` is new each time, the format any.
pub fn request(
    batch: &Batch,
    sent_at: &str,
    ndjson: bool,
) -> (Vec<(&'static str, String)>, String) {
    let events: Vec<&str> = batch
        .events
        .iter()
        .map(|event| event.text.as_str())
        .collect();
    if ndjson {
        let headers = vec![
            ("content-type", "application/x-ndjson".to_owned()),
            ("devtrail-batch-id", batch.id.clone()),
            ("devtrail-sent-at", sent_at.to_owned()),
            ("devtrail-schema-version", "1.0".to_owned()),
        ];
        return (headers, events.join("\n"));
    }
    let id = &batch.id;
    let events = events.join(",");
    let body = format!(
        r#"{{"batch_id":"{id}","sent_at":"{sent_at}","schema_version":"1.0","events":[{events}]}}"#
    );
    (vec![("content-type", "application/json".to_owned())], body)
}
