//! The EVENTS message: all that is known of one HTTP batch, so that the store can be rebuilt from it.
//!
//! ```text
//! {"format":1,"developer":"ada","batch_id":"…","events":[{"len":181,"at":…,"day":"2026-03-01"}, …], …}\n
//! <exact bytes of event 0><exact bytes of event 1>…
//! ```
//!
//! A message is a JSON object and a line feed, then the exact bytes of every event, whatever its verdict. The header's
//! `len`s give the events' lengths. A person can read a message, a program finds an event without scanning, and no
//! event is ever serialised again. The object itself may contain line feeds, if a client wrote its envelope over
//! several lines.

mod header;

use std::ops::Range;

use bytes::Bytes;
use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::event::EventHead;
use crate::id::MessageIdentity;
use crate::verdict::{Code, Exception, Original, Verdict};

pub use header::{BatchOrigin, EventMetadata, Header, readmit_id};

/// The format this program writes; it reads this one only.
pub const FORMAT: u8 = 1;

/// NATS header: the client's batch id.
pub const BATCH_ID: &str = "Devtrail-Batch-Id";
/// NATS header: the correlation id.
pub const CORRELATION_ID: &str = "Devtrail-Correlation-Id";
/// NATS header: W3C trace context.
pub const TRACEPARENT: &str = "traceparent";

/// A decoded message.
#[derive(Debug, Clone)]
pub struct Batch {
    /// The first line.
    pub header: Header,
    message: Bytes,
    events: Vec<Range<usize>>,
}

/// Why a message is not a batch. The message itself is at fault: reading it again fails again.
#[derive(Debug, thiserror::Error)]
pub enum BadMessage {
    /// There is no line feed after the header.
    #[error("no line feed ends the message's header")]
    NoHeader,
    /// The header does not parse.
    #[error("the message's header does not parse: {0}")]
    Header(#[from] serde_json::Error),
    /// A newer program wrote it.
    #[error("the message has format {0}; this program reads format {FORMAT}: update it")]
    Format(u8),
    /// The header's lengths do not add up to the bytes that follow it.
    #[error("the header promises {promised} bytes of events, the message holds {held}")]
    Length {
        /// Sum of the header's lengths.
        promised: usize,
        /// Bytes after the header.
        held: usize,
    },
    /// An event that was not rejected is not UTF-8.
    #[error("event {0} of the message is not UTF-8, and was not rejected for it")]
    NotUtf8(usize),
}

/// Writes a message.
///
/// # Errors
/// Returns a [`serde_json::Error`] if the header cannot be serialised. No header that this program makes is such a one:
/// the error only avoids a panic on the request path.
pub fn encode(header: &Header, events: &[impl AsRef<[u8]>]) -> Result<Bytes, serde_json::Error> {
    let body: usize = events.iter().map(|event| event.as_ref().len()).sum();
    let mut message = Vec::with_capacity(body + 512 + events.len() * 64);
    serde_json::to_writer(&mut message, header)?;
    message.push(b'\n');
    events
        .iter()
        .for_each(|event| message.extend_from_slice(event.as_ref()));
    Ok(message.into())
}

/// Reads a message.
///
/// # Errors
/// Returns [`BadMessage`] if the message is not a batch of format [`FORMAT`].
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
    for metadata in &header.events {
        let start = end;
        end += metadata.len as usize;
        events.push(start..end);
    }
    if end != message.len() {
        return Err(BadMessage::Length {
            promised: end - line - 1,
            held: message.len() - line - 1,
        });
    }
    // Only a rejected event may hold arbitrary bytes: they are kept for audit.
    let mut with_bytes = header.events.iter().zip(&events);
    let is_garbage = |(metadata, range): (&EventMetadata, &Range<usize>)| {
        metadata.verdict() != Verdict::Rejected
            && std::str::from_utf8(&message[range.clone()]).is_err()
    };
    if let Some(at) = with_bytes.position(is_garbage) {
        return Err(BadMessage::NotUtf8(at));
    }
    Ok(Batch {
        header,
        message,
        events,
    })
}

/// The JSON value that `message` begins with, and the offset of its end.
fn first_value<T: DeserializeOwned>(message: &[u8]) -> Result<(T, usize), BadMessage> {
    let mut values = serde_json::Deserializer::from_slice(message).into_iter();
    let value = values.next().ok_or(BadMessage::NoHeader)??;
    Ok((value, values.byte_offset()))
}

impl Batch {
    /// The events' metadata and exact bytes, in their order. The bytes of a rejected event may be neither JSON nor
    /// text.
    pub fn events(&self) -> impl ExactSizeIterator<Item = (&EventMetadata, &[u8])> {
        self.header
            .events
            .iter()
            .zip(&self.events)
            .map(|(metadata, range)| (metadata, &self.message[range.clone()]))
    }

    /// What the message says of itself.
    #[must_use]
    pub fn identity(&self) -> MessageIdentity {
        let header = &self.header;
        let events = self.events().map(|(_, bytes)| bytes);
        MessageIdentity::new(&header.developer, header.epoch, &header.batch_id, events)
    }

    /// The events with a code, as the first reply listed them.
    #[must_use]
    pub fn exceptions(&self, supported: &[String]) -> Vec<Exception> {
        exceptions(self.events(), supported)
    }
}

/// Whether an exception of this code lists the supported versions: the event may be valid in another version.
#[must_use]
pub fn names_supported(code: Code) -> bool {
    matches!(code, Code::SchemaVersionUnsupported | Code::TypeUnknown)
}

/// Lists the events that have a code: duplicates, and events that were rejected or quarantined.
pub fn exceptions<'a>(
    events: impl Iterator<Item = (&'a EventMetadata, &'a [u8])>,
    supported: &[String],
) -> Vec<Exception> {
    let refused = events
        .enumerate()
        .filter_map(|(index, (metadata, bytes))| Some((index, metadata, metadata.code?, bytes)));
    let list = refused.map(|(index, metadata, code, bytes)| Exception {
        index: index as u32,
        id: EventHead::of(bytes).and_then(|head| head.id()),
        verdict: code.verdict(),
        code,
        pointer: metadata.pointer.clone(),
        detail: metadata.detail.clone(),
        supported: names_supported(code).then(|| supported.to_vec()),
        original: metadata.original.map(|index| Original::SameBatch { index }),
    });
    list.collect()
}

#[cfg(test)]
mod tests;
