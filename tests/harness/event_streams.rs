//! How many event streams the tests' deployments have: one, or as many as `DEVTRAIL_TEST_EVENT_STREAMS` says.

use serde_json::Value;
use types::event_streams::{EventStream, EventStreams, StreamSequence};

/// The number of event streams of every deployment in this process.
///
/// # Panics
/// If the variable holds no number of streams.
#[must_use]
pub fn event_streams() -> EventStreams {
    match std::env::var("DEVTRAIL_TEST_EVENT_STREAMS") {
        Ok(number) => number.parse().expect("DEVTRAIL_TEST_EVENT_STREAMS"),
        Err(_) => EventStreams::ONE,
    }
}

/// The stream of a developer's batches.
///
/// # Panics
/// If the name is none of a developer.
#[must_use]
pub fn stream_of(developer: &str) -> EventStream {
    event_streams().of(&developer.parse().expect("a developer"))
}

/// The name of the stream of a developer's batches.
#[must_use]
pub fn events_of(developer: &str) -> String {
    stream_of(developer).to_string()
}

/// The number of a developer's stream in a store whose workers found all streams as they are: they number them by
/// partition.
#[must_use]
pub fn src_of(developer: &str) -> i64 {
    i64::from(stream_of(developer).partition()) + 1
}

/// The place that a reply names.
///
/// # Panics
/// If it names none.
#[must_use]
pub fn written_sequence(reply: &Value) -> StreamSequence {
    let named = reply["stream_sequence"].clone();
    serde_json::from_value(named).expect("a stream sequence")
}

/// The sequence in its stream that a reply names.
///
/// # Panics
/// If it names none.
#[must_use]
pub fn sequence_of(reply: &Value) -> u64 {
    written_sequence(reply).seq
}
