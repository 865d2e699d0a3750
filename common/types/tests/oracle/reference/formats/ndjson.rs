//! `application/x-ndjson`: one event a line, the envelope's members in headers.
//!
//! A line that is no JSON, or no text at all, is one rejected event and keeps its bytes: whoever wrote
//! the file gets the other lines in, and learns which one is bad.

use std::borrow::Cow;

use types::verdict::Code;

use super::fields::{BATCH_ID, Fields, SCHEMA_VERSION, SENT_AT};
use super::submission::{
    BadEnvelope, BatchRequest, Format, ParsedBatch, ParsedEvent, Refusal, invalid,
};

/// Reads lines.
pub(crate) fn read<'a>(request: &BatchRequest<'_, 'a>) -> Result<ParsedBatch<'a>, BadEnvelope> {
    let missing = |name| BadEnvelope::Header {
        name,
        detail: format!("The header {name} is missing."),
    };
    let fields = Fields::of(request.headers)?;
    let batch_id = fields.batch_id.ok_or_else(|| missing(BATCH_ID))?;
    let sent_at = fields.sent_at.ok_or_else(|| missing(SENT_AT))?;
    let schema_version = fields
        .schema_version
        .ok_or_else(|| missing(SCHEMA_VERSION))?;
    let lines = || lines(request.body);
    match lines().count() {
        0 => {
            return Err(invalid(
                "",
                "The body must hold at least one event, one a line.",
            ));
        }
        count if count > request.max_events => return Err(BadEnvelope::TooManyEvents(count)),
        _ => {}
    }
    let events = lines().map(event).collect();
    Ok(ParsedBatch::without_envelope(
        Format::Ndjson,
        batch_id,
        sent_at,
        schema_version,
        events,
    ))
}

/// The lines that hold anything, without the white space of JSON around them (RFC 8259, section 2).
fn lines(body: &[u8]) -> impl Iterator<Item = &[u8]> {
    body.split(|byte| *byte == b'\n')
        .map(trimmed)
        .filter(|line| !line.is_empty())
}

fn trimmed(line: &[u8]) -> &[u8] {
    let is_text = |byte: &u8| !b" \t\r".contains(byte);
    let start = line.iter().position(is_text).unwrap_or(line.len());
    let end = line
        .iter()
        .rposition(is_text)
        .map_or(start, |last| last + 1);
    &line[start..end]
}

fn event(line: &[u8]) -> ParsedEvent<'_> {
    match std::str::from_utf8(line) {
        Ok(text) => ParsedEvent::Text(Cow::Borrowed(text)),
        Err(error) => {
            let detail = format!("the line is not UTF-8: {error}");
            ParsedEvent::Refused(
                Cow::Borrowed(line),
                Refusal::new(Code::NotAnObject, "", detail),
            )
        }
    }
}
