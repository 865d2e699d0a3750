//! Binary mode (HTTP binding, section 3.1): attributes in headers, the body is the data.

use std::borrow::Cow;
use std::collections::BTreeMap;

use http::header::CONTENT_TYPE;
use percent_encoding::percent_decode;

use super::members::{Member, json_text, translated, written};
use crate::reference::formats::submission::{BadEnvelope, BatchRequest, ParsedEvent, Refusal};
use crate::reference::json::quoted;
use types::verdict::Code;

/// What an attribute's header begins with.
const PREFIX: &str = "ce-";

/// Reads the one event.
///
/// # Errors
/// Returns `BadEnvelope::Malformed` if the body is neither empty nor JSON.
pub(crate) fn read(request: &BatchRequest<'_, '_>) -> Result<ParsedEvent<'static>, BadEnvelope> {
    let Attributes { values, garbled } = attributes(request);
    let value = |text: String| Cow::Owned(quoted(&text).get().to_owned());
    // Sorted by name: proxies may turn headers round, and a resend shall have the same bytes.
    let mut members: Vec<Member<'static>> = values
        .into_iter()
        .flat_map(|(name, texts)| {
            texts
                .into_iter()
                .map(move |text| (name.clone(), value(text)))
        })
        .collect();
    if !request.body.is_empty() {
        let data = json_text(request.body).ok_or_else(|| {
            BadEnvelope::Malformed(
                "The body, the data of a CloudEvent in binary mode, is no JSON.".to_owned(),
            )
        })?;
        members.push(("data".to_owned(), Cow::Owned(data.to_owned())));
    }
    let kept = written(&members).into_bytes();
    let event = match garbled {
        Some(name) => {
            let detail = format!("the header {PREFIX}{name} is no percent-encoded UTF-8");
            Err(Refusal::new(
                Code::SchemaInvalid,
                &format!("/{name}"),
                detail,
            ))
        }
        None => translated(members),
    };
    Ok(match event {
        Ok(text) => ParsedEvent::Text(Cow::Owned(text)),
        Err(refusal) => ParsedEvent::Refused(Cow::Owned(kept), refusal),
    })
}

/// The attributes of a binary CloudEvent.
#[derive(Default)]
struct Attributes {
    /// The values of each name, in the order of their headers.
    values: BTreeMap<String, Vec<String>>,
    /// The name of one that is no text.
    garbled: Option<String>,
}

fn attributes(request: &BatchRequest<'_, '_>) -> Attributes {
    let mut attributes = Attributes::default();
    for (header, value) in request.headers {
        let name = match header.as_str().strip_prefix(PREFIX) {
            Some(name) => name,
            None if header == CONTENT_TYPE => "datacontenttype",
            None => continue,
        };
        let bytes = match header == CONTENT_TYPE {
            true => value.as_bytes().to_vec(),
            false => percent_decode(&unquoted(value.as_bytes())).collect(),
        };
        let text = String::from_utf8(bytes).unwrap_or_else(|error| {
            attributes.garbled = Some(name.to_owned());
            String::from_utf8_lossy(error.as_bytes()).into_owned()
        });
        let values = attributes.values.entry(name.to_owned()).or_default();
        values.push(text);
    }
    attributes
}

/// A quoted string without its quotes and backslashes (RFC 9110, section 5.6.4), as older senders write values.
fn unquoted(value: &[u8]) -> Cow<'_, [u8]> {
    let [b'"', inner @ .., b'"'] = value else {
        return Cow::Borrowed(value);
    };
    let mut plain = Vec::with_capacity(inner.len());
    let mut bytes = inner.iter();
    while let Some(byte) = bytes.next() {
        let escaped = if *byte == b'\\' { bytes.next() } else { None };
        plain.push(*escaped.unwrap_or(byte));
    }
    Cow::Owned(plain)
}
