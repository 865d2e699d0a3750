//! The first line of an EVENTS message: the batch's metadata and each event's.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::id::{BatchRef, DeveloperId};
use crate::stream::StreamIncarnation;
use crate::time::Micros;
use crate::verdict::{Code, Counts, Verdict};

/// The first line of a message.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Header {
    /// [`super::FORMAT`].
    pub format: u8,
    /// The developer that the API key belongs to.
    pub developer: DeveloperId,
    /// The developer's epoch when the batch was sent. It rises when the developer is forgotten.
    pub epoch: u64,
    /// The client's batch id.
    pub batch_id: String,
    /// Identifies the batch in logs, audit and replies.
    pub correlation_id: String,
    /// W3C trace context.
    pub traceparent: String,
    /// The envelope's schema version.
    pub schema_version: String,
    /// The envelope's `sent_at`, as written.
    pub sent_at: String,
    /// When the collector had the whole request.
    pub received_at: Micros,
    /// When every event had its verdict.
    pub validated_at: Micros,
    /// The collector's executable and instance.
    pub collector: String,
    /// How far the client's clock is ahead; 0 if it is not fast. Effective times are moved back by it.
    pub skew: Micros,
    /// The envelope's members other than `events`, unknown ones too, as their exact text.
    pub envelope: BTreeMap<String, Box<RawValue>>,
    /// The developer's zone by their settings when the batch was received; absent if its client named one, or there is
    /// no such setting.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub zone: Option<String>,
    /// The verdicts' counts, as replied.
    pub counts: Counts,
    /// The events' metadata, in the order they were sent.
    pub events: Vec<EventMetadata>,
    /// The batch in which these events were quarantined, if they are readmitted; absent if a client sent them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub origin: Option<BatchOrigin>,
}

/// The message in which a readmitted batch's events were first sent.
///
/// It names the stream's incarnation, not the incarnation's number in a store: a store that is rebuilt from the stream
/// may number incarnations in another order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BatchOrigin {
    /// The stream's incarnation.
    pub incarnation: StreamIncarnation,
    /// Its sequence in that stream.
    pub seq: u64,
    /// The client's batch id.
    pub batch_id: String,
    /// The collector that received it.
    pub collector: String,
    /// The indexes of these events in that batch, in the same order.
    pub ordinals: Vec<u32>,
}

/// The batch id under which quarantined events of the message `at` are readmitted (contract).
#[must_use]
pub fn readmit_id(at: BatchRef) -> String {
    format!("readmit-{}-{}", at.src, at.seq)
}

/// What admission found for one event.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct EventMetadata {
    /// Length of its exact bytes.
    pub len: u32,
    /// Effective time; absent if the event was refused before it had one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at: Option<Micros>,
    /// Local day, `YYYY-MM-DD`; present with `at`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub day: Option<String>,
    /// Why it was not accepted as a new event; absent if it was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<Code>,
    /// JSON Pointer to the fault in the event, if one member is at fault.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pointer: Option<String>,
    /// A sentence for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
    /// The index of the earlier event of the same batch that has this id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub original: Option<u32>,
}

impl EventMetadata {
    /// The event's verdict.
    #[must_use]
    pub fn verdict(&self) -> Verdict {
        self.code.map_or(Verdict::Accepted, Code::verdict)
    }

    /// Whether the event is a candidate for its id in the store: it was accepted, or an earlier event of the same batch
    /// has the id. The store resolves these by (src, seq, ordinal).
    #[must_use]
    pub fn competes(&self) -> bool {
        matches!(self.code, None | Some(Code::DuplicateId | Code::IdConflict))
    }
}
