//! Bodies that are JSON from their first byte to their last.

use serde_json::value::RawValue;

use super::{BadEnvelope, Request, invalid};

/// The body as text.
pub fn text(body: &[u8]) -> Result<&str, BadEnvelope> {
    std::str::from_utf8(body)
        .map_err(|error| BadEnvelope::Malformed(format!("The body is not UTF-8: {error}.")))
}

/// Why `serde_json` could not read a body: no JSON, or JSON of another shape than `wanted`.
pub fn unreadable(error: &serde_json::Error, wanted: &str) -> BadEnvelope {
    match error.classify() {
        serde_json::error::Category::Data => invalid("", format!("The body must be {wanted}.")),
        _ => BadEnvelope::Malformed(format!("The body is no JSON: {error}.")),
    }
}

/// A body that is an object.
pub fn object<'a>(request: &Request<'_, 'a>, wanted: &str) -> Result<&'a RawValue, BadEnvelope> {
    let one: &RawValue =
        serde_json::from_str(text(request.body)?).map_err(|error| unreadable(&error, wanted))?;
    match one.get().starts_with('{') {
        true => Ok(one),
        false => Err(invalid("", format!("The body must be {wanted}."))),
    }
}

/// The elements of a body that is an array, at least one and not more than are taken.
pub fn elements<'a>(request: &Request<'_, 'a>, wanted: &str) -> Result<Vec<&'a RawValue>, BadEnvelope> {
    let elements: Vec<&RawValue> =
        serde_json::from_str(text(request.body)?).map_err(|error| unreadable(&error, wanted))?;
    match elements.len() {
        0 => Err(invalid("", "The body must hold at least one event.")),
        count if count > request.max_events => Err(BadEnvelope::TooManyEvents(count)),
        _ => Ok(elements),
    }
}

/// `text` as JSON text.
pub fn quoted(text: &str) -> Box<RawValue> {
    RawValue::from_string(serde_json::Value::from(text).to_string()).expect("a string's JSON text is JSON")
}
