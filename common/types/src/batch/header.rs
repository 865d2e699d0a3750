//! What the first line of an EVENTS message says: of the batch, and of each event.

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
    /// Whose batch: the key's developer.
    pub developer: DeveloperId,
    /// The developer's epoch when it was sent.
    pub epoch: u64,
    /// The client's batch id.
    pub batch_id: String,
    /// Follows the batch everywhere.
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
    /// How far the client's clock is ahead, 0 where it is not fast; effective times are moved back by it.
    pub skew: Micros,
    /// The envelope's members other than `events`, unknown ones too, as their exact text.
    pub envelope: BTreeMap<String, Box<RawValue>>,
    /// The verdicts' counts, as replied.
    pub counts: Counts,
    /// One note an event, in the order they were sent.
    pub events: Vec<EventMetadata>,
    /// Where these events were quarantined before; absent for what a client sent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub origin: Option<BatchOrigin>,
}

/// The message that a readmitted batch's events were sent in first.
///
/// It names the stream's life, not its number in a store: a store that is rebuilt from the stream may
/// count lives in another order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BatchOrigin {
    /// The stream's life.
    pub incarnation: StreamIncarnation,
    /// Its sequence there.
    pub seq: u64,
    /// The client's batch id.
    pub batch_id: String,
    /// The collector that received it.
    pub collector: String,
    /// Which of its events these are, by their index, in the same order.
    pub ordinals: Vec<u32>,
}

/// The batch id under which quarantined events of the message `at` are readmitted (contract).
#[must_use]
pub fn readmit_id(at: BatchRef) -> String {
    format!("readmit-{}-{}", at.src, at.seq)
}

/// What admission found out about one event.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct EventMetadata {
    /// Length of its exact bytes.
    pub len: u32,
    /// Effective time; absent where the event was refused before it had one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at: Option<Micros>,
    /// Local day, `YYYY-MM-DD`; present with `at`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub day: Option<String>,
    /// Why it was not simply accepted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<Code>,
    /// Where in the event.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pointer: Option<String>,
    /// A sentence for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
    /// The earlier event of the same batch that holds the id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub original: Option<u32>,
}

impl EventMetadata {
    /// The event's verdict.
    #[must_use]
    pub fn verdict(&self) -> Verdict {
        self.code.map_or(Verdict::Accepted, Code::verdict)
    }

    /// Whether the event competes for its id in the store: it was accepted, or an earlier event of
    /// the same batch held the id. The store decides these anew, by (src, seq, ordinal).
    #[must_use]
    pub fn competes(&self) -> bool {
        matches!(self.code, None | Some(Code::DuplicateId | Code::IdConflict))
    }
}
