//! What every format reads and makes: a request in, a batch or the reason why it is none out.

use std::borrow::Cow;
use std::collections::BTreeMap;

use http::HeaderMap;
use serde_json::value::RawValue;

use crate::reference::json::quoted;
use crate::reference::time::{Micros, rfc3339};
use types::id::DeveloperId;
use types::verdict::Code;

/// How a batch is written down.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Format {
    /// Devtrail's own envelope.
    Envelope,
    /// One event a line, the envelope's members in headers.
    Ndjson,
    /// One CloudEvent, whole in the body (structured mode).
    CloudEvent,
    /// An array of CloudEvents.
    CloudEvents,
    /// One CloudEvent, its attributes in headers, its data in the body (binary mode).
    BinaryCloudEvent,
    /// An array of WakaTime heartbeats. What announces it may be one alone: see [`ParsedBatch::format`].
    Heartbeats,
    /// One WakaTime heartbeat.
    Heartbeat,
}

/// What a format reads.
#[derive(Debug, Clone, Copy)]
pub(crate) struct BatchRequest<'r, 'a> {
    /// The request's headers.
    pub(crate) headers: &'r HeaderMap,
    /// Its body, inflated.
    pub(crate) body: &'a [u8],
    /// The key's developer.
    pub(crate) developer: &'r DeveloperId,
    /// When the whole request had arrived.
    pub(crate) received_at: Micros,
    /// Most events in a batch.
    pub(crate) max_events: usize,
}

/// An instant, and the text that gave it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SentAt {
    pub(crate) at: Micros,
    pub(crate) text: String,
}

impl SentAt {
    /// The instant as a client would write it.
    pub(super) fn new(at: Micros) -> Self {
        Self {
            at,
            text: rfc3339(at),
        }
    }
}

/// A batch, whatever it was written in.
#[derive(Debug)]
pub(crate) struct ParsedBatch<'a> {
    /// What it was written in.
    pub(crate) format: Format,
    /// The client's id, or one made of the events.
    pub(crate) batch_id: String,
    /// When the client sent it, by its own clock.
    pub(crate) sent_at: SentAt,
    /// Of every event that names no other.
    pub(crate) schema_version: String,
    /// The envelope's members other than `events`, unknown ones too.
    pub(crate) members: BTreeMap<String, Box<RawValue>>,
    /// In the order they were sent; at least one.
    pub(crate) events: Vec<ParsedEvent<'a>>,
}

impl<'a> ParsedBatch<'a> {
    /// A batch without an envelope of its own: these values become its members.
    pub(super) fn without_envelope(
        format: Format,
        batch_id: String,
        sent_at: SentAt,
        schema_version: String,
        events: Vec<ParsedEvent<'a>>,
    ) -> Self {
        let named = [
            ("batch_id", &batch_id),
            ("sent_at", &sent_at.text),
            ("schema_version", &schema_version),
        ];
        let members = named
            .into_iter()
            .map(|(name, text)| (name.to_owned(), quoted(text)))
            .collect();
        Self {
            format,
            batch_id,
            sent_at,
            schema_version,
            members,
            events,
        }
    }
}

/// One event of a submission.
#[derive(Debug)]
pub(crate) enum ParsedEvent<'a> {
    /// To be validated: a Devtrail event, as far as its format can tell.
    Text(Cow<'a, str>),
    /// No Devtrail event can be made of it: its bytes as they were sent, and why.
    Refused(Cow<'a, [u8]>, Refusal),
}

impl ParsedEvent<'_> {
    /// The bytes that are kept.
    pub(crate) fn bytes(&self) -> &[u8] {
        match self {
            Self::Text(text) => text.as_bytes(),
            Self::Refused(bytes, _) => bytes,
        }
    }
}

/// Why an event is refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Refusal {
    /// The reason.
    pub(crate) code: Code,
    /// JSON Pointer to the member at fault.
    pub(crate) pointer: String,
    /// A sentence for people.
    pub(crate) detail: String,
}

impl Refusal {
    /// A refusal.
    pub(crate) fn new(code: Code, pointer: &str, detail: impl Into<String>) -> Self {
        Self {
            code,
            pointer: pointer.to_owned(),
            detail: detail.into(),
        }
    }
}

/// A body that is no batch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum BadEnvelope {
    /// No JSON.
    Malformed(String),
    /// Readable, but no batch.
    Invalid {
        /// JSON Pointer to the member at fault.
        pointer: &'static str,
        /// What is wrong with it.
        detail: String,
    },
    /// A header that carries a member of the envelope is missing or wrong.
    Header {
        /// The header.
        name: &'static str,
        /// What is wrong with it.
        detail: String,
    },
    /// `developer_id` names somebody else than the key does.
    WrongDeveloper(String),
    /// More events than are taken at once.
    TooManyEvents(usize),
}

/// A body that is readable, but no batch.
pub(super) fn invalid(pointer: &'static str, detail: impl Into<String>) -> BadEnvelope {
    BadEnvelope::Invalid {
        pointer,
        detail: detail.into(),
    }
}
