//! The formats that batches come in: each turns headers and body into a [`ParsedBatch`]. Pure.
//!
//! Only a body that is no batch is an error. What is wrong with single events is their verdict, most
//! of it found by [`admission`](crate::admission), the same for all formats; a format refuses what it cannot translate.

mod cloudevents;
mod envelope;
mod fields;
mod json;
mod ndjson;
mod submission;
pub mod wakatime;

use http::HeaderMap;
use http::header::CONTENT_TYPE;

pub use submission::{
    BadEnvelope, BatchRequest, Format, ParsedBatch, ParsedEvent, Refusal, SentAt,
};

/// What some programs, most of them on Windows, begin a text with. It is no part of it.
const BYTE_ORDER_MARK: &[u8] = b"\xEF\xBB\xBF";

/// The body's format is none of those that are known; a sentence that names what was sent and what would be taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct UnsupportedMediaType(pub String);

impl Format {
    /// The format that the headers of a `POST /v1/events` announce.
    ///
    /// # Errors
    /// Returns [`UnsupportedMediaType`] for any other.
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
                    "Content-Type is {sent:?}; send application/json, application/x-ndjson, \
                     application/cloudevents+json, \
                     application/cloudevents-batch+json, or a CloudEvent in headers with JSON data."
                );
                Err(UnsupportedMediaType(crate::json::shorten(&detail, 400)))
            }
        }
    }

    /// Reads a request.
    ///
    /// # Errors
    /// Returns [`BadEnvelope`] if the body is not a batch.
    pub fn read<'a>(self, request: &BatchRequest<'_, 'a>) -> Result<ParsedBatch<'a>, BadEnvelope> {
        let body = request.body;
        let request = &BatchRequest {
            body: body.strip_prefix(BYTE_ORDER_MARK).unwrap_or(body),
            ..*request
        };
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
