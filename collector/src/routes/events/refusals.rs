//! The problems of a batch that is not taken.

use std::time::Duration;

use http_server::{ErrorCode, Problem};
use types::formats::BadEnvelope;

use crate::api_keys::Caller;
use crate::app_state::{AppState, NotAccepting};
use crate::publisher::NotPublished;

/// A full stream does not empty in a second.
const FULL_RETRY_AFTER: Duration = Duration::from_secs(5);
/// While a few probes decide whether the stream works again.
const PROBED_RETRY_AFTER: Duration = Duration::from_secs(1);

/// No batch can be accepted now. A connection that is lost counts as a failed attempt at the stream.
pub fn not_accepting(app: &AppState, caller: &Caller, reason: NotAccepting) -> Problem {
    if let Some(stream) = app.stream.get()
        && reason == NotAccepting::NotConnected
    {
        match stream.partitions.of(&caller.developer).breaker.acquire() {
            Ok(permit) => permit.failed(&reason.to_string()),
            Err(left) => return circuit_open(left, false),
        }
    }
    let detail = format!("Batches cannot be taken now: {reason}.");
    Problem::new(ErrorCode::StreamUnavailable, detail)
}

/// The stream's circuit breaker is open; `sent` if the batch was published before, without an answer.
pub fn circuit_open(left: Duration, sent: bool) -> Problem {
    let detail = if sent {
        "It is unknown whether the batch was stored, and the stream is not tried for a while: it failed again and \
         again. Send the same batch again then: it is kept once."
    } else {
        "Nothing was stored: the stream failed again and again, so it is not tried for a while. Send the batch again \
         then."
    };
    // Zero if the end of another request's probe decides: soon.
    let after = if left.is_zero() {
        PROBED_RETRY_AFTER
    } else {
        left
    };
    Problem::new(ErrorCode::CircuitOpen, detail).retry_after(after)
}

/// The stream did not confirm the batch.
pub fn not_published(error: &NotPublished) -> Problem {
    match error {
        NotPublished::Full(_) => Problem::new(
            ErrorCode::StreamFull,
            "The stream is full: nothing was stored. Keep the batch and send it later.",
        )
        .retry_after(FULL_RETRY_AFTER),
        NotPublished::TooLarge(reason) => Problem::new(
            ErrorCode::BatchTooLarge,
            format!(
                "The stream takes no message as large as this batch ({reason}): send it in parts."
            ),
        ),
        NotPublished::CircuitOpen { left, sent } => circuit_open(*left, *sent),
        NotPublished::Unavailable(reason) => Problem::new(
            ErrorCode::StreamUnavailable,
            format!(
                "It is unknown whether the batch was stored ({reason}). Send the same batch again: it is kept once."
            ),
        ),
    }
}

/// The body is no batch that is taken.
pub fn bad_envelope(error: BadEnvelope, max_events: usize) -> Problem {
    match error {
        BadEnvelope::Malformed(detail) => Problem::new(ErrorCode::MalformedJson, detail),
        BadEnvelope::Invalid { pointer, detail } => {
            Problem::new(ErrorCode::InvalidEnvelope, detail).pointer(pointer)
        }
        BadEnvelope::Header { name, detail } => {
            Problem::new(ErrorCode::InvalidEnvelope, detail).parameter(name)
        }
        BadEnvelope::WrongDeveloper(named) => {
            let detail = format!(
                "developer_id names {:?}, whose key this is not: leave developer_id out, or use that developer's key.",
                types::json::shorten(&named, 128)
            );
            Problem::new(ErrorCode::WrongDeveloper, detail).pointer("/developer_id")
        }
        BadEnvelope::TooManyEvents(sent) => {
            let detail = format!(
                "The batch has {sent} events, the limit is {max_events}: send it in parts."
            );
            Problem::new(ErrorCode::TooManyEvents, detail)
                .limit(max_events as u64)
                .actual(sent as u64)
        }
    }
}
