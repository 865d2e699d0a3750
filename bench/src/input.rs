//! Batches of the size that the targets of the collector name: 50 events, about 20 kB, no two alike.

use std::fmt::Write;

/// Events in a batch.
pub const EVENTS: usize = 50;
/// Whose batches follow one another, if it matters who owns a batch.
pub const DEVELOPERS: usize = 32;

/// The body of batch `number` of the run `name`.
pub fn body(name: &str, number: usize) -> Vec<u8> {
    let mut text = format!(
        r#"{{"batch_id":"{name}-{number}","sent_at":"2026-03-01T12:00:00Z","schema_version":"1.0","#
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
            r#"{comma}{{"id":"{name}-{number}-{index}","type":"file.edited","occurred_at":"{time}","data":{{"#
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
