//! The formats that batches come in: each turns headers and body into a [`Submission`]. Pure.
//!
//! Only a body that is no batch is an error. What is wrong with single events is their verdict, most
//! of it found by `admit`, the same for all formats; a format refuses what it cannot even translate.

mod cloudevents;
mod envelope;
mod fields;
mod json;
mod ndjson;
pub mod wakatime;

use std::borrow::Cow;
use std::collections::BTreeMap;

use crate::id::DeveloperId;
use crate::time::Micros;
use crate::verdict::Code;
use http::HeaderMap;
use http::header::CONTENT_TYPE;
use serde_json::value::RawValue;

use json::quoted;

/// The body's format is none of those that are known; a sentence that names what was sent and what would be taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct UnsupportedMediaType(pub String);

/// How a batch is written down.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
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
    /// An array of WakaTime heartbeats. What announces it may be one alone: see [`Submission::format`].
    Heartbeats,
    /// One WakaTime heartbeat.
    Heartbeat,
}

/// What a format reads.
#[derive(Debug, Clone, Copy)]
pub struct Request<'r, 'a> {
    /// The request's headers.
    pub headers: &'r HeaderMap,
    /// Its body, inflated.
    pub body: &'a [u8],
    /// The key's developer.
    pub developer: &'r DeveloperId,
    /// When the whole request was there.
    pub received_at: Micros,
    /// Most events in a batch.
    pub max_events: usize,
}

/// A batch, whatever it was written in.
#[derive(Debug)]
pub struct Submission<'a> {
    /// What it was written in.
    pub format: Format,
    /// The client's id, or one made of the events.
    pub batch_id: String,
    /// When the client sent it, by its own clock.
    pub sent_at: Micros,
    /// The same as it was written.
    pub sent_at_text: String,
    /// Of every event that names no other.
    pub schema_version: String,
    /// The envelope's members other than `events`, unknown ones too.
    pub members: BTreeMap<String, Box<RawValue>>,
    /// In the order they were sent; at least one.
    pub events: Vec<Event<'a>>,
}

impl<'a> Submission<'a> {
    /// A batch without an envelope of its own: these stand for its members, and are kept as such.
    fn without_envelope(
        format: Format,
        batch_id: String,
        (sent_at, sent_at_text): (Micros, String),
        schema_version: String,
        events: Vec<Event<'a>>,
    ) -> Self {
        let named = [
            ("batch_id", &batch_id),
            ("sent_at", &sent_at_text),
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
            sent_at_text,
            schema_version,
            members,
            events,
        }
    }
}

/// One event of a submission.
#[derive(Debug)]
pub enum Event<'a> {
    /// To be judged: a Devtrail event, as far as its format can tell.
    Text(Cow<'a, str>),
    /// What no Devtrail event can be made of: its bytes as they were sent, and why.
    Refused(Cow<'a, [u8]>, Refusal),
}

impl Event<'_> {
    /// The bytes that are kept.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        match self {
            Self::Text(text) => text.as_bytes(),
            Self::Refused(bytes, _) => bytes,
        }
    }
}

/// Why an event is refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// The reason.
    pub code: Code,
    /// JSON Pointer to the member at fault.
    pub pointer: String,
    /// A sentence for people.
    pub detail: String,
}

impl Refusal {
    /// A refusal.
    #[must_use]
    pub fn new(code: Code, pointer: &str, detail: impl Into<String>) -> Self {
        Self {
            code,
            pointer: pointer.to_owned(),
            detail: detail.into(),
        }
    }
}

/// A body that is no batch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BadEnvelope {
    /// No JSON.
    Malformed(String),
    /// Readable, but no batch.
    Invalid {
        /// JSON Pointer to the member at fault.
        pointer: &'static str,
        /// What is wrong with it.
        detail: String,
    },
    /// A header that stands for a member of the envelope is missing or wrong.
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

fn invalid(pointer: &'static str, detail: impl Into<String>) -> BadEnvelope {
    BadEnvelope::Invalid {
        pointer,
        detail: detail.into(),
    }
}

impl Format {
    /// The format that the headers of a `POST /v1/events` announce.
    ///
    /// # Errors
    /// [`UnsupportedMediaType`] for any other.
    pub fn of(headers: &HeaderMap) -> Result<Self, UnsupportedMediaType> {
        let sent = headers
            .get(CONTENT_TYPE)
            .map(|value| String::from_utf8_lossy(value.as_bytes()));
        let sent = sent.unwrap_or_default();
        let essence = sent
            .split(';')
            .next()
            .unwrap_or_default()
            .trim()
            .to_ascii_lowercase();
        let is_json = essence == "application/json" || essence.ends_with("+json");
        let is_binary = headers.contains_key("ce-specversion") || headers.contains_key("ce-id");
        match essence.as_str() {
            "application/cloudevents+json" => Ok(Self::CloudEvent),
            "application/cloudevents-batch+json" => Ok(Self::CloudEvents),
            // A CloudEvent without data has nothing whose type it could name.
            _ if is_binary
                && !essence.starts_with("application/cloudevents")
                && (is_json || sent.is_empty()) =>
            {
                Ok(Self::BinaryCloudEvent)
            }
            "application/json" => Ok(Self::Envelope),
            "application/x-ndjson" => Ok(Self::Ndjson),
            _ => {
                let detail = format!(
                    "Content-Type is {sent:?}; send application/json, application/x-ndjson, application/cloudevents+json, \
                     application/cloudevents-batch+json, or a CloudEvent in headers with JSON data."
                );
                Err(UnsupportedMediaType(crate::json::shorten(&detail, 400)))
            }
        }
    }

    /// Reads a request.
    ///
    /// # Errors
    /// Where it is no batch: see [`BadEnvelope`].
    pub fn read<'a>(self, request: &Request<'_, 'a>) -> Result<Submission<'a>, BadEnvelope> {
        match self {
            Self::Envelope => envelope::read(request),
            Self::Ndjson => ndjson::read(request),
            Self::CloudEvent | Self::CloudEvents | Self::BinaryCloudEvent => {
                cloudevents::read(self, request)
            }
            Self::Heartbeat | Self::Heartbeats => wakatime::read(request),
        }
    }

    /// A pointer into a Devtrail event as a pointer into what the sender wrote.
    #[must_use]
    pub fn as_sent(self, pointer: String) -> String {
        match self {
            Self::Envelope | Self::Ndjson => pointer,
            Self::CloudEvent | Self::CloudEvents | Self::BinaryCloudEvent => {
                cloudevents::as_sent(pointer)
            }
            Self::Heartbeat | Self::Heartbeats => wakatime::as_sent(pointer),
        }
    }
}

#[cfg(test)]
mod tests;
