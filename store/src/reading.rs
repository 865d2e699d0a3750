//! Reading what is stored, page by page, beside writers: for `verify`, `status`, `trace` and queries.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use types::id::{BatchRef, EventRef, Src};
use types::job::{BatchState, Mask};
use types::stream::StreamIncarnation;
use types::time::Micros;
use types::verdict::{Code, Counts};

use crate::{Account, Computed, StoreError};

/// Batches, events and what was derived, in the store.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Totals {
    /// Batches by state.
    pub batches: BTreeMap<String, u64>,
    /// Events, each once.
    pub events: u64,
    /// Dropped duplicates.
    pub duplicates: u64,
    /// Quarantined events.
    pub quarantined: u64,
    /// Rejected events.
    pub rejected: u64,
    /// People with events.
    pub developers: u64,
    /// Normalized records.
    pub normalized: u64,
    /// Local days with metrics.
    pub days: u64,
    /// Alerts that stand (raised, not retracted).
    pub alerts: u64,
}

/// One submission of a batch id, as its batch row has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Submission {
    /// The batch.
    pub at: BatchRef,
    /// Whose.
    pub developer: String,
    /// The client's batch id.
    pub batch_id: String,
    /// Follows the batch everywhere.
    pub correlation_id: String,
    /// How far it is.
    pub state: BatchState,
    /// Jobs it needs, jobs done, jobs in DEAD.
    pub masks: [Mask; 3],
    /// Its events as the store classified them when the batch was stored.
    pub counts: Counts,
    /// When the collector had it.
    pub received_at: Micros,
    /// When the stream had it.
    pub published_at: Micros,
    /// When the store had it.
    pub persisted_at: Micros,
}

/// An event of a stored batch that was not simply accepted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NotAccepted {
    /// Where it came from.
    pub at: EventRef,
    /// Its id, where usable.
    pub event_id: Option<String>,
    /// Why.
    pub code: Code,
    /// Where in the event.
    pub pointer: Option<String>,
    /// For people.
    pub detail: Option<String>,
    /// Of a duplicate or conflict: the original, its batch id and receipt.
    pub original: Option<(EventRef, String, Micros)>,
}

/// What a row of the audit says, both parts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuditEntry {
    /// The batch.
    #[serde(flatten)]
    pub at: BatchRef,
    /// When the step happened.
    pub time: Micros,
    /// The step.
    pub step: String,
    /// How it ended.
    pub outcome: String,
    /// Which executable and instance did it.
    pub actor: String,
    /// The replay it belongs to.
    pub replay_id: Option<String>,
    /// Whose batch; `None` where it was forgotten.
    pub developer: Option<String>,
    /// The client's batch id.
    pub batch_id: Option<String>,
    /// The event, where one is meant.
    pub event_id: Option<String>,
    /// Follows the batch everywhere.
    pub correlation_id: Option<String>,
    /// More, as JSON.
    pub detail: Option<String>,
}

/// What `trace` looks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Clue {
    /// A batch id, an event id or a correlation id; of one developer, where one is named.
    Id {
        /// The id.
        id: String,
        /// The developer, to narrow it.
        developer: Option<String>,
    },
    /// A stream sequence of EVENTS, in any life of the stream.
    Sequence(u64),
    /// An alert: the batch whose job raised, found or retracted it last.
    Alert(String),
}

/// An alert as it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredAlert {
    /// The alert.
    pub alert_id: String,
    /// Whose.
    pub developer: String,
    /// The rule.
    pub rule: String,
    /// `critical`, `high`, `warning` or `info`.
    pub severity: String,
    /// First local day of the window.
    pub window_start: String,
    /// A sentence for the developer.
    pub title: String,
    /// `raised` or `retracted`.
    pub state: String,
    /// Rises with each change of the state, from 0.
    pub revision: i64,
    /// Whether it was news.
    pub push: bool,
    /// The alert as JSON.
    pub body: String,
}

/// Reading what is stored, page by page, beside writers.
pub trait VerifyReads: Send + Sync + 'static {
    /// The number of a stream's life; `None` where nothing of it was ever stored.
    fn known_source(
        &self,
        incarnation: &StreamIncarnation,
    ) -> impl Future<Output = Result<Option<Src>, StoreError>> + Send;

    /// The accounts of `src` with sequences in `from..=to`, rising, of one moment; sequences without any
    /// are left out.
    fn accounts(
        &self,
        src: Src,
        from: u64,
        to: u64,
    ) -> impl Future<Output = Result<Vec<Account>, StoreError>> + Send;

    /// How many batches are not completed, by state; a state without any is left out. Cheap where few are.
    fn unfinished(&self) -> impl Future<Output = Result<BTreeMap<String, u64>, StoreError>> + Send;

    /// Counts of everything.
    fn totals(&self) -> impl Future<Output = Result<Totals, StoreError>> + Send;
}

/// Answering questions about batches, days and alerts.
pub trait Answers: Send + Sync + 'static {
    /// Every submission of the developer under this batch id, oldest first.
    fn submissions(
        &self,
        developer: String,
        batch_id: String,
    ) -> impl Future<Output = Result<Vec<Submission>, StoreError>> + Send;

    /// Of the batch in this message: the first submission of the same events under the same batch id
    /// by the same developer (most often itself), with its events that were not simply accepted as
    /// the store has them now, by ordinal. `None` until it is stored.
    fn stored(
        &self,
        incarnation: StreamIncarnation,
        seq: u64,
    ) -> impl Future<Output = Result<Option<(Submission, Vec<NotAccepted>)>, StoreError>> + Send;

    /// The developer's days from `from` to `to` (`YYYY-MM-DD`, both included), rising.
    fn days(
        &self,
        developer: String,
        from: String,
        to: String,
    ) -> impl Future<Output = Result<Vec<(String, Computed)>, StoreError>> + Send;

    /// Everyone with days, by name.
    fn developers(&self) -> impl Future<Output = Result<Vec<String>, StoreError>> + Send;

    /// Alerts that stand or stood, newest window first, of one developer or all.
    fn alerts(
        &self,
        developer: Option<String>,
        limit: u32,
    ) -> impl Future<Output = Result<Vec<StoredAlert>, StoreError>> + Send;
}

/// Following what happened (R7.1).
pub trait History: Send + Sync + 'static {
    /// The batches that the clue leads to, by (src, seq); at most `limit`.
    fn find(
        &self,
        clue: Clue,
        limit: u32,
    ) -> impl Future<Output = Result<Vec<Submission>, StoreError>> + Send;

    /// The audit of one batch, by (time, id).
    fn audit(
        &self,
        at: BatchRef,
    ) -> impl Future<Output = Result<Vec<AuditEntry>, StoreError>> + Send;

    /// Writes that the stream dropped a resend of a batch: `correlation_id` is the resend's. Nothing
    /// is written, and the answer is false, for a batch that is not stored (yet). Of a forgotten
    /// developer's batch only the skeleton is written.
    fn record_resend(
        &self,
        incarnation: StreamIncarnation,
        seq: u64,
        correlation_id: String,
        time: Micros,
        actor: String,
    ) -> impl Future<Output = Result<bool, StoreError>> + Send;
}

/// Batches that should have been completed by now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Overdue {
    /// How many.
    pub count: u64,
    /// The one that was stored first.
    pub oldest: BatchRef,
    /// How far that one is.
    pub state: BatchState,
    /// When the store had it.
    pub persisted_at: Micros,
}

/// Watching over what is stored.
pub trait Monitoring: Send + Sync + 'static {
    /// The batches that were stored before `before` and are not completed; `None` where there are none.
    fn overdue(
        &self,
        before: Micros,
    ) -> impl Future<Output = Result<Option<Overdue>, StoreError>> + Send;
}
