//! Quarantined events: kept whole until they are admitted after all, or for ever.

use types::id::{BatchRef, EventRef};
use types::stream::StreamIncarnation;
use types::time::Micros;
use types::verdict::Code;

use crate::StoreError;
use crate::contest::{Loser, Submission, beside};

/// A message with quarantined events: what admission went by, and these events whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QuarantinedBatch {
    /// The batch.
    pub at: BatchRef,
    /// The stream's life.
    pub incarnation: StreamIncarnation,
    /// Whose.
    pub developer: String,
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
    /// How far the client's clock was ahead.
    pub skew: Micros,
    /// When the collector had it.
    pub received_at: Micros,
    /// That collector.
    pub collector: String,
    /// The envelope's `client`, as its exact text.
    pub client: Option<Vec<u8>>,
    /// Its quarantined events, by ordinal.
    pub events: Vec<QuarantinedEvent>,
}

/// A quarantined event, whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QuarantinedEvent {
    /// Its index in the batch.
    pub ordinal: u32,
    /// Its id.
    pub id: Option<String>,
    /// Why it is quarantined.
    pub code: Code,
    /// Where in the event.
    pub pointer: Option<String>,
    /// For people.
    pub detail: Option<String>,
    /// Its exact bytes.
    pub body: Vec<u8>,
    /// Their BLAKE3.
    pub hash: [u8; 32],
    /// Who holds its id now.
    pub owner: Option<IdOwner>,
}

/// The stored event that holds a quarantined one's id.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct IdOwner {
    /// Where it came from.
    pub by: EventRef,
    /// Whether it says the same: then the quarantined event is stored after all.
    pub same: bool,
}

/// Which batches to list. Everything that is given must fit.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct QuarantineFilter {
    /// Only this developer's.
    pub developer: Option<String>,
    /// Only those with an event that is quarantined for this.
    pub code: Option<Code>,
    /// Only those received at or after this.
    pub since: Option<Micros>,
}

/// Reading quarantined events. Those of a past that its developer had forgotten are not among them.
pub trait Quarantine: Send + Sync + 'static {
    /// Batches with quarantined events that fit, rising from after `after`; at most `limit`.
    fn quarantined(
        &self,
        filter: QuarantineFilter,
        after: Option<BatchRef>,
        limit: u32,
    ) -> impl Future<Output = Result<Vec<BatchRef>, StoreError>> + Send;

    /// The batch with its quarantined events; `None` where it has none.
    fn quarantined_batch(
        &self,
        at: BatchRef,
    ) -> impl Future<Output = Result<Option<QuarantinedBatch>, StoreError>> + Send;

    /// Quarantined events of this id, of one developer or all, rising; at most `limit`.
    fn quarantined_as(
        &self,
        event_id: String,
        developer: Option<String>,
        limit: u32,
    ) -> impl Future<Output = Result<Vec<EventRef>, StoreError>> + Send;

    /// The highest sequence of `src` that is stored, 0 where none is. What lies beyond it in the stream
    /// is still to be stored; below it there may be gaps.
    fn newest(&self, src: types::id::Src) -> impl Future<Output = Result<u64, StoreError>> + Send;
}

impl IdOwner {
    /// What the holder at `by` is to the quarantined event.
    pub(crate) fn new(
        by: EventRef,
        holder: (&[u8; 32], &[u8]),
        (at, hash, body): (EventRef, &[u8; 32], &[u8]),
    ) -> Self {
        let holder = Submission {
            at: by,
            hash: holder.0,
            body: holder.1,
        };
        let same = match beside(holder, Submission { at, hash, body }) {
            Loser::Duplicate { .. } => true,
            Loser::Conflict => false,
        };
        Self { by, same }
    }
}
