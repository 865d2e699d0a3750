//! Rows of `refused`: events that are kept whole, but not among the events. Pure.

use types::id::EventRef;
use types::verdict::Code;

use crate::decoded_batch::{DecodedBatch, RefusedEvent};
use crate::dedup::{DisplacedEvent, Displacement};

/// A row of `refused`. Its verdict is its code's.
pub struct RefusedRow<'a> {
    pub at: EventRef,
    pub developer: &'a str,
    /// Its id, if usable.
    pub event_id: Option<&'a str>,
    /// Why it is refused.
    pub code: Code,
    /// JSON pointer into the event.
    pub pointer: Option<&'a str>,
    /// For people.
    pub detail: Option<&'a str>,
    /// Its exact bytes.
    pub body: &'a [u8],
    /// Their BLAKE3.
    pub hash: &'a [u8; 32],
}

impl<'a> RefusedRow<'a> {
    /// Refused at admission.
    pub fn at_admission(batch: &'a DecodedBatch, refused: &'a RefusedEvent) -> Self {
        Self {
            at: batch.at.event(refused.ordinal),
            developer: batch.header.developer.as_str(),
            event_id: refused.id.as_deref(),
            code: refused.code,
            pointer: refused.pointer.as_deref(),
            detail: refused.detail.as_deref(),
            body: &refused.body,
            hash: &refused.hash,
        }
    }

    /// In conflict with the owner of its id; `None` for a duplicate.
    pub fn conflict(event: &DisplacedEvent<'a>) -> Option<Self> {
        (event.displaced == Displacement::Conflict).then_some(Self {
            at: event.candidate.at,
            developer: event.developer,
            event_id: Some(event.id),
            code: Code::IdConflict,
            pointer: Some("/id"),
            detail: Some("the id is taken by an event with other content"),
            body: event.candidate.body,
            hash: event.candidate.hash,
        })
    }
}
