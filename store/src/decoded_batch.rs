//! A decoded EVENTS message: the input of `store_batches` (T1).

use std::collections::BTreeMap;

use types::batch::{Batch, Header};
use types::event::{self, EventHead};
use types::id::{BatchRef, DeveloperId, MessageIdentity};
use types::json::replace_nul;
use types::time::{Micros, rfc3339};
use types::verdict::Code;

use crate::error::StoreError;

/// One EVENTS message, ready to be stored.
#[derive(Debug, Clone)]
pub struct DecodedBatch {
    pub at: BatchRef,
    pub header: Header,
    /// Its `Nats-Msg-Id`: a resend of the same events has it too, another batch under the same id does not.
    pub message_id: String,
    /// When the stream stored it.
    pub published_at: Micros,
    /// When the store transaction began.
    pub persisted_at: Micros,
    /// The worker that stores it.
    pub actor: String,
    /// Admitted events, by ordinal.
    pub admitted: Vec<AdmittedEvent>,
    /// Events refused at admission, by ordinal.
    pub refused: Vec<RefusedEvent>,
}

/// An admitted event: a candidate for its event id.
#[derive(Debug, Clone)]
pub struct AdmittedEvent {
    /// Its index in the batch.
    pub ordinal: u32,
    pub id: String,
    pub kind: String,
    /// Its own schema version, or the envelope's.
    pub schema_version: String,
    pub effective_at: Micros,
    /// Its local day, `YYYY-MM-DD`.
    pub local_day: String,
    /// Its exact bytes.
    pub body: Vec<u8>,
    /// Their BLAKE3.
    pub hash: [u8; 32],
}

/// A refused event, kept whole.
#[derive(Debug, Clone)]
pub struct RefusedEvent {
    /// Its index in the batch.
    pub ordinal: u32,
    /// Its id, if usable.
    pub id: Option<String>,
    /// Why. Its verdict is rejected or quarantined.
    pub code: Code,
    /// JSON pointer into the event.
    pub pointer: Option<String>,
    /// For people.
    pub detail: Option<String>,
    /// Its exact bytes.
    pub body: Vec<u8>,
    /// Their BLAKE3.
    pub hash: [u8; 32],
}

/// An admitted event lacks its id, type or time: the message is malformed. Holds the index of the event.
#[derive(Debug, thiserror::Error)]
#[error("event {0} of the message was admitted without an id, a type or a time")]
pub struct BadEvent(pub usize);

/// The message that an existing batch row was stored from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredFrom {
    /// When the stream stored the message.
    pub published_at: Micros,
    /// Empty if the developer was forgotten.
    pub developer: String,
    /// The client's batch id; empty if the developer was forgotten.
    pub batch_id: String,
    /// Its `Nats-Msg-Id`; empty if the developer was forgotten.
    pub message_id: String,
}

impl DecodedBatch {
    /// Checks that the row at this message's place was stored from this message.
    ///
    /// It is not if a stream was restored to an older state: its incarnation is the same, and it gives
    /// sequences out again that the store already has. Calling such a message stored would lose it.
    ///
    /// # Errors
    /// Returns `StoreError::StreamRestored` if the row is another message's; the message must not be acknowledged.
    pub fn expect_own(&self, row: &StoredFrom) -> Result<(), StoreError> {
        let header = &self.header;
        let forgotten = row.developer.is_empty();
        let is_same = row.developer == header.developer.as_str()
            && row.batch_id == header.batch_id
            && row.message_id == self.message_id;
        if row.published_at == self.published_at && (forgotten || is_same) {
            return Ok(());
        }
        Err(StoreError::StreamRestored(format!(
            "the store holds another message at {} (published {}, this one {}): the stream was restored to an \
             older state than the database. Nothing is lost and nothing is acknowledged; restore both together \
             (docs/operations.md, \"Restoring a backup\")",
            self.at,
            rfc3339(row.published_at),
            rfc3339(self.published_at)
        )))
    }

    /// What its message says of itself.
    #[must_use]
    pub fn identity(&self) -> MessageIdentity {
        MessageIdentity {
            developer: self.header.developer.to_string(),
            batch_id: self.header.batch_id.clone(),
            message_id: self.message_id.clone(),
        }
    }

    /// The batch without personal data, as it is stored of a forgotten developer: its place and its times.
    #[must_use]
    pub fn without_person(&self) -> Self {
        let header = Header {
            developer: DeveloperId::nobody(),
            batch_id: String::new(),
            correlation_id: String::new(),
            traceparent: String::new(),
            sent_at: String::new(),
            envelope: BTreeMap::new(),
            zone: None,
            events: Vec::new(),
            origin: None,
            ..self.header.clone()
        };
        Self {
            header,
            message_id: String::new(),
            actor: self.actor.clone(),
            admitted: Vec::new(),
            refused: Vec::new(),
            ..*self
        }
    }

    /// Splits a message into admitted and refused events.
    ///
    /// # Errors
    /// Returns `BadEvent` if an admitted event lacks its id, type or time.
    pub fn new(
        at: BatchRef,
        batch: &Batch,
        published_at: Micros,
        persisted_at: Micros,
        actor: String,
    ) -> Result<Self, BadEvent> {
        let header = batch.header.clone();
        let mut admitted = Vec::with_capacity(header.events.len());
        let mut refused = Vec::new();
        for (index, (note, bytes)) in batch.events().enumerate() {
            let ordinal = index as u32;
            let body = bytes.to_vec();
            let hash = event::hash(bytes);
            let head = EventHead::of(bytes);
            match (note.code, note.competes()) {
                (Some(code), false) => refused.push(RefusedEvent {
                    ordinal,
                    id: head.and_then(|head| head.id()),
                    code,
                    pointer: note.pointer.as_deref().map(replace_nul),
                    detail: note.detail.as_deref().map(replace_nul),
                    body,
                    hash,
                }),
                _ => {
                    let head = head.ok_or(BadEvent(index))?;
                    let own_version = head.schema_version().ok().flatten();
                    admitted.push(AdmittedEvent {
                        ordinal,
                        id: head.id().ok_or(BadEvent(index))?,
                        kind: head.kind().ok_or(BadEvent(index))?,
                        schema_version: own_version
                            .unwrap_or_else(|| header.schema_version.clone()),
                        effective_at: note.at.ok_or(BadEvent(index))?,
                        local_day: note.day.clone().ok_or(BadEvent(index))?,
                        body,
                        hash,
                    });
                }
            }
        }
        let message_id = batch.identity().message_id;
        Ok(Self {
            at,
            header,
            message_id,
            published_at,
            persisted_at,
            actor,
            admitted,
            refused,
        })
    }
}
