//! Batches of the size that the targets name: 50 events, about 20 kB, no two alike.

use std::fmt::Write;

/// Events in a batch.
pub const EVENTS: usize = 50;
/// Developers who send in turns, where it matters whose a batch is.
pub const DEVELOPERS: usize = 32;

/// The body of batch `number` of the run `name`.
pub fn body(name: &str, number: usize) -> Vec<u8> {
    let mut text = format!(
        r#"{{"batch_id":"{name}-{number}","sent_at":"2026-03-01T12:00:00Z","schema_version":"1.0","client":{{"name":"bench","version":"1","time_zone":"Europe/Berlin"}},"events":["#
    );
    for index in 0..EVENTS {
        let comma = if index == 0 { "" } else { "," };
        // Each developer's batches go through the days of a month, an hour or so each.
        let turn = number / DEVELOPERS;
        let (day, minute) = (1 + turn % 28, (turn / 28 * EVENTS + index) % 1440);
        let written = write!(
            text,
            r#"{comma}{{"id":"{name}-{number}-{index}","type":"file.edited","occurred_at":"2026-02-{day:02}T{:02}:{:02}:{:02}.{:03}+01:00","data":{{"path":"src/components/editor/module_{}/view_{index}.rs","language":"rust","project":"devtrail","branch":"feature/measure-what-we-claim","editor":"vscode","workspace":"/projects/devtrail","lines_added":{},"lines_removed":{},"chars_added":{},"chars_removed":{},"note":"an unknown field is kept as it is, byte for byte"}}}}"#,
            minute / 60,
            minute % 60,
            index,
            number % 1000,
            number % 7,
            index % 5,
            index % 3,
            index * 7,
            index * 3
        );
        debug_assert!(written.is_ok(), "writing to a String cannot fail");
    }
    text.push_str("]}");
    text.into_bytes()
}
