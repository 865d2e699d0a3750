//! The EVENTS message: the whole truth of one HTTP batch, from which the store can be rebuilt.
//!
//! ```text
//! {"format":1,"developer":"ada","batch_id":"…","events":[{"len":181,"at":…,"day":"2026-03-01"}, …], …}\n
//! <exact bytes of event 0><exact bytes of event 1>…
//! ```
//!
//! A JSON object and a line feed, then the events one after the other as they were sent, whatever
//! their verdict; the header's `len`s say where each ends. So a person can read a message, a
//! program finds an event without scanning, and no event is ever serialised anew. (Line feeds may
//! also stand inside the object, where a client wrote its envelope over several lines.)

mod header;

use std::ops::Range;

use bytes::Bytes;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::value::RawValue;

use crate::event::Head;
use crate::verdict::{Code, Exception, Original};

pub use header::{Header, Note, Origin, readmit_id};

/// The format this program writes; it reads this one only.
pub const FORMAT: u8 = 1;

/// NATS header: the client's batch id.
pub const BATCH_ID: &str = "Devtrail-Batch-Id";
/// NATS header: the correlation id.
pub const CORRELATION_ID: &str = "Devtrail-Correlation-Id";
/// NATS header: W3C trace context.
pub const TRACEPARENT: &str = "traceparent";

/// A message taken apart.
#[derive(Debug, Clone)]
pub struct Batch {
    /// The first line.
    pub header: Header,
    message: Bytes,
    events: Vec<Range<usize>>,
}

/// A message that is no batch: the fault of the message, not of its surroundings.
#[derive(Debug, thiserror::Error)]
pub enum BadMessage {
    /// There is no line feed after the header.
    #[error("no line feed ends the message's header")]
    NoHeader,
    /// The header does not parse.
    #[error("the message's header does not parse: {0}")]
    Header(#[from] serde_json::Error),
    /// Written by a program that knows more.
    #[error("the message has format {0}; this program reads format {FORMAT}: update it")]
    Format(u8),
    /// The lengths do not add up.
    #[error("the header promises {promised} bytes of events, the message holds {held}")]
    Length {
        /// Sum of the header's lengths.
        promised: usize,
        /// What follows the header.
        held: usize,
    },
    /// An event is not UTF-8.
    #[error("event {0} of the message is not UTF-8")]
    NotUtf8(usize),
}

/// Writes a message.
///
/// # Errors
/// Never for headers made by this program; kept as an error rather than a panic on the request path.
pub fn encode(header: &Header, events: &[&RawValue]) -> Result<Bytes, serde_json::Error> {
    let body: usize = events.iter().map(|event| event.get().len()).sum();
    let mut message = Vec::with_capacity(body + 512 + events.len() * 64);
    serde_json::to_writer(&mut message, header)?;
    message.push(b'\n');
    events.iter().for_each(|event| message.extend_from_slice(event.get().as_bytes()));
    Ok(message.into())
}

/// Reads a message.
///
/// # Errors
/// Where it is none: see [`BadMessage`].
pub fn decode(message: Bytes) -> Result<Batch, BadMessage> {
    #[derive(Deserialize)]
    struct Format {
        format: u8,
    }
    let (Format { format }, _) = first_value(&message)?;
    if format != FORMAT {
        return Err(BadMessage::Format(format));
    }
    let (header, line): (Header, usize) = first_value(&message)?;
    if message.get(line) != Some(&b'\n') {
        return Err(BadMessage::NoHeader);
    }
    let mut end = line + 1;
    let mut events = Vec::with_capacity(header.events.len());
    for note in &header.events {
        let start = end;
        end += note.len as usize;
        events.push(start..end);
    }
    if end != message.len() {
        return Err(BadMessage::Length { promised: end - line - 1, held: message.len() - line - 1 });
    }
    if let Some(at) = events.iter().position(|event| std::str::from_utf8(&message[event.clone()]).is_err()) {
        return Err(BadMessage::NotUtf8(at));
    }
    Ok(Batch { header, message, events })
}

/// The JSON value that `message` begins with, and where it ends.
fn first_value<T: DeserializeOwned>(message: &[u8]) -> Result<(T, usize), BadMessage> {
    let mut values = serde_json::Deserializer::from_slice(message).into_iter();
    let value = values.next().ok_or(BadMessage::NoHeader)??;
    Ok((value, values.byte_offset()))
}

impl Batch {
    /// The events' notes and exact text, in their order.
    pub fn events(&self) -> impl ExactSizeIterator<Item = (&Note, &str)> {
        self.header.events.iter().zip(&self.events).map(|(note, range)| {
            let text = std::str::from_utf8(&self.message[range.clone()]);
            (note, text.expect("decode checked that every event is UTF-8"))
        })
    }

    /// The events that were not simply accepted, as the first reply listed them.
    #[must_use]
    pub fn exceptions(&self, supported: &[String]) -> Vec<Exception> {
        exceptions(self.events(), supported)
    }
}

/// Whether an exception of this code names the supported versions: another one may know the event.
#[must_use]
pub fn names_supported(code: Code) -> bool {
    matches!(code, Code::SchemaVersionUnsupported | Code::TypeUnknown)
}

/// Lists the events that were not simply accepted.
pub fn exceptions<'a>(
    events: impl Iterator<Item = (&'a Note, &'a str)>,
    supported: &[String],
) -> Vec<Exception> {
    let refused =
        events.enumerate().filter_map(|(index, (note, text))| Some((index, note, note.code?, text)));
    let list = refused.map(|(index, note, code, text)| Exception {
        index: index as u32,
        id: Head::parse(text).ok().and_then(|head| head.id()),
        verdict: code.verdict(),
        code,
        pointer: note.pointer.clone(),
        detail: note.detail.clone(),
        supported: names_supported(code).then(|| supported.to_vec()),
        original: note.original.map(|index| Original::SameBatch { index }),
    });
    list.collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::verdict::Counts;

    fn message(events: &[&str]) -> Bytes {
        let raw: Vec<Box<RawValue>> =
            events.iter().map(|text| RawValue::from_string((*text).to_owned()).unwrap()).collect();
        let notes = events.iter().map(|text| Note { len: text.len() as u32, at: Some(0), ..Note::default() });
        let header = Header {
            format: FORMAT,
            developer: "ada".parse().unwrap(),
            epoch: 0,
            batch_id: "b".into(),
            correlation_id: "c".into(),
            traceparent: String::new(),
            schema_version: "1.0".into(),
            sent_at: "2026-03-01T00:00:00Z".into(),
            received_at: 0,
            validated_at: 0,
            collector: "test/1".into(),
            skew: 0,
            envelope: BTreeMap::from([("x".into(), RawValue::from_string("[\n1.0\n]".into()).unwrap())]),
            counts: Counts::default(),
            events: notes.collect(),
            origin: None,
        };
        encode(&header, &raw.iter().map(AsRef::as_ref).collect::<Vec<_>>()).unwrap()
    }

    #[test]
    fn events_come_back_byte_for_byte_whatever_they_hold() {
        let sent = ["{ \"a\" : 1.0 }", "\"line\\nend\"", "[1,\n2]", "null", "{\"ü\":\"\\u0000\"}"];
        let batch = decode(message(&sent)).unwrap();
        assert_eq!(batch.events().map(|(_, text)| text).collect::<Vec<_>>(), sent);
        assert_eq!(batch.header.envelope["x"].get(), "[\n1.0\n]");
    }

    #[test]
    fn a_damaged_message_is_an_error_and_never_a_panic() {
        let whole = message(&["{}", "{\"id\":\"é\"}"]);
        for cut in 0..whole.len() {
            assert!(decode(whole.slice(..cut)).is_err(), "cut at {cut}");
        }
        let other = String::from_utf8(whole.to_vec()).unwrap().replace("\"format\":1", "\"format\":2");
        assert!(matches!(decode(Bytes::from(other)), Err(BadMessage::Format(2))));
    }
}
