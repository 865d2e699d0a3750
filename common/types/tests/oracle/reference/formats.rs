//! The formats that batches come in: each turns headers and body into a [`ParsedBatch`]. Pure.
//!
//! Only a body that is no batch is an error. What is wrong with single events is their verdict, most
//! of it found by [`admission`](crate::reference::admission), the same for all formats; a format refuses what it
//! cannot translate.

mod cloudevents;
mod envelope;
mod fields;
mod json;
mod ndjson;
mod submission;
pub(crate) mod wakatime;

pub(crate) use submission::{BadEnvelope, BatchRequest, Format, ParsedBatch, ParsedEvent, Refusal};

/// What some programs, most of them on Windows, begin a text with. It is no part of it.
const BYTE_ORDER_MARK: &[u8] = b"\xEF\xBB\xBF";

impl Format {
    /// Reads a request.
    ///
    /// # Errors
    /// Returns [`BadEnvelope`] if the body is not a batch.
    pub(crate) fn read<'a>(
        self,
        request: &BatchRequest<'_, 'a>,
    ) -> Result<ParsedBatch<'a>, BadEnvelope> {
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
    pub(crate) fn as_sent(self, pointer: String) -> String {
        match self {
            Self::Envelope | Self::Ndjson => pointer,
            Self::CloudEvent | Self::CloudEvents | Self::BinaryCloudEvent => {
                cloudevents::as_sent(pointer)
            }
            Self::Heartbeat | Self::Heartbeats => wakatime::as_sent(pointer),
        }
    }
}
