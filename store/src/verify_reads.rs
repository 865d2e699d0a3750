//! Reading what is stored, page by page, beside writers: for `verify` and `status`.

use std::collections::BTreeMap;

use serde::Serialize;
use types::event;
use types::id::{BatchRef, EventRef, Src};
use types::job::{BatchState, Mask};
use types::stream::StreamIncarnation;
use types::time::Micros;
use types::verdict::Verdict;

use crate::decoded_batch::StoredFrom;
use crate::error::StoreError;
use crate::row::{Row, batch_ref, count, event_ref, hash, mask, optional_event_ref, state};
use crate::sql::shared_sql;

/// The place of an event of a message in the store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StoredPlacement {
    /// In `events`, with the hash of its bytes.
    Event([u8; 32]),
    /// Dropped as a duplicate of this event.
    Duplicate {
        /// The original; `None` if there is none, which is a fault.
        original: Option<EventRef>,
    },
    /// Stored whole among the refused.
    Refused(Verdict, [u8; 32]),
    /// In `events` or among the refused, with bytes that their own hash does not fit.
    Altered,
}

/// The status of a stored batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BatchStatus {
    pub state: BatchState,
    /// Jobs it needs.
    pub need: Mask,
    /// Jobs that are done.
    pub done: Mask,
    /// Jobs that are in DEAD.
    pub failed: Mask,
    /// False if its developer was forgotten.
    pub is_known: bool,
    /// When the store had it.
    pub persisted_at: Micros,
}

/// What the row of a stored event says of it, beside its bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EventColumns {
    /// Its index in its batch.
    pub ordinal: u32,
    pub developer: String,
    pub event_id: String,
    pub kind: String,
    pub schema_version: String,
    pub effective_at: Micros,
    /// `YYYY-MM-DD`.
    pub local_day: String,
}

/// A row of the audit about a batch: they tell whether its audit is whole.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct AuditStep {
    /// The step's name (`types::audit::Step`).
    pub step: String,
    /// The replay it belongs to.
    pub replay_id: Option<String>,
    /// The job it is about, if it is about one and its developer is known.
    pub job_id: Option<String>,
}

/// A stored batch and all that came of it, for checking it against its message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Account {
    pub at: BatchRef,
    /// Its row; an account without one that holds events is a fault.
    pub row: Option<BatchStatus>,
    /// The message that the row was stored from, and when the stream had it; empty texts if its developer was
    /// forgotten.
    pub stored_from: Option<StoredFrom>,
    /// The rows of its events in `events`.
    pub events: Vec<EventColumns>,
    /// Every place an ordinal is stored in; one each if all is well.
    pub kept: Vec<(u32, StoredPlacement)>,
    /// Its steps in the audit, but those of single events.
    pub steps: Vec<AuditStep>,
}

impl Account {
    /// Whether the store holds anything but audit rows of it.
    #[must_use]
    pub fn is_stored(&self) -> bool {
        self.row.is_some() || !self.kept.is_empty()
    }
}

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
    /// Alerts that are raised, not retracted.
    pub alerts: u64,
}

/// Reading what is stored, page by page, beside writers.
pub trait VerifyReads: Send + Sync + 'static {
    /// The number of a stream's incarnation; `None` if nothing of it was ever stored.
    fn known_source(
        &self,
        incarnation: &StreamIncarnation,
    ) -> impl Future<Output = Result<Option<Src>, StoreError>> + Send;

    /// The incarnation with this number; `None` if the store gave that number to none.
    fn incarnation(
        &self,
        src: Src,
    ) -> impl Future<Output = Result<Option<StreamIncarnation>, StoreError>> + Send;

    /// The accounts of `src` with sequences in `from..=to`, rising, of one moment; sequences without any
    /// are left out.
    fn accounts(
        &self,
        src: Src,
        from: u64,
        to: u64,
    ) -> impl Future<Output = Result<Vec<Account>, StoreError>> + Send;

    /// How many batches are not completed, by state; a state without any is left out. Cheap if few are.
    fn unfinished(&self) -> impl Future<Output = Result<BTreeMap<String, u64>, StoreError>> + Send;

    /// The sequences in `from..=to` of `src` that need no message: their batch is stored, or an administrator dropped
    /// the message. Rising.
    fn explained(
        &self,
        src: Src,
        from: u64,
        to: u64,
    ) -> impl Future<Output = Result<Vec<u64>, StoreError>> + Send;

    /// Whether the store began to read this incarnation when another one had read it: it never had what was purged
    /// then.
    fn is_adopted(&self, src: Src) -> impl Future<Output = Result<bool, StoreError>> + Send;

    /// Counts of everything.
    fn totals(&self) -> impl Future<Output = Result<Totals, StoreError>> + Send;
}

shared_sql! {
    SOURCE = "SELECT src FROM sources WHERE stream = $1 AND created_at = $2";
    INCARNATION = "SELECT stream, created_at FROM sources WHERE src = $1";
    ACCOUNT_BATCHES =
        "SELECT src, seq, state, need, done, failed, developer <> '', persisted_at,
          published_at, developer, batch_id, message_id FROM batches
        WHERE src = $1 AND seq BETWEEN $2 AND $3";
    ACCOUNT_EVENTS =
        "SELECT src, seq, ordinal, hash, body, developer, event_id, type, schema_version, effective_at, local_day
        FROM events WHERE src = $1 AND seq BETWEEN $2 AND $3";
    ACCOUNT_REFUSED = "SELECT src, seq, ordinal, hash, body, verdict FROM refused
        WHERE src = $1 AND seq BETWEEN $2 AND $3";
    ACCOUNT_DUPLICATES = "SELECT d.src, d.seq, d.ordinal, e.src, e.seq, e.ordinal
        FROM duplicates d LEFT JOIN events e ON e.developer = d.developer AND e.event_id = d.event_id
        WHERE d.src = $1 AND d.seq BETWEEN $2 AND $3";
    /// Of a batch: not those of its events.
    ACCOUNT_STEPS = "SELECT src, seq, step, replay_id,
          CASE WHEN step IN ('job_finished', 'failed', 'dead', 'redriven', 'dropped') THEN detail END
        FROM audit_steps
        WHERE src = $1 AND seq BETWEEN $2 AND $3 AND step IN ('received', 'validated', 'published',
          'persisted', 'triggered', 'job_finished', 'completed', 'failed', 'dead', 'redriven', 'dropped')";
    EXPLAINED = "SELECT seq FROM batches WHERE src = $1 AND seq BETWEEN $2 AND $3
        UNION SELECT seq FROM audit WHERE src = $1 AND seq BETWEEN $2 AND $3 AND step = 'dropped'
        ORDER BY seq";
    IS_ADOPTED = "SELECT 1 FROM audit WHERE src = $1 AND seq = 0 AND step = 'adopted' LIMIT 1";
    STATES = "SELECT state, count(*) FROM batches GROUP BY state";
    UNFINISHED = "SELECT state, count(*) FROM batches
        WHERE state IN ('persisted', 'triggered', 'failed') GROUP BY state";
    TOTALS = "SELECT (SELECT count(*) FROM events), (SELECT count(*) FROM duplicates),
        (SELECT count(*) FROM refused WHERE verdict = 'quarantined'),
        (SELECT count(*) FROM refused WHERE verdict = 'rejected'),
        (SELECT count(DISTINCT developer) FROM events),
        (SELECT count(*) FROM normalized_records), (SELECT count(*) FROM days),
        (SELECT count(*) FROM alerts WHERE state = 'raised')";
}

/// From the columns of [`INCARNATION`].
pub(crate) fn decode_incarnation(row: &impl Row) -> Result<StreamIncarnation, StoreError> {
    Ok(StreamIncarnation {
        name: row.value(0)?,
        created: row.value(1)?,
    })
}

/// Accounts while rows are read, in any order.
#[derive(Default)]
pub(crate) struct Accounts(BTreeMap<BatchRef, Account>);

impl Accounts {
    /// A row of [`ACCOUNT_BATCHES`].
    pub(crate) fn add_batch(&mut self, row: &impl Row) -> Result<(), StoreError> {
        let status = BatchStatus {
            state: state(row, 2)?,
            need: mask(row, 3)?,
            done: mask(row, 4)?,
            failed: mask(row, 5)?,
            is_known: row.value(6)?,
            persisted_at: row.value(7)?,
        };
        let stored_from = StoredFrom {
            published_at: row.value(8)?,
            developer: row.value(9)?,
            batch_id: row.value(10)?,
            message_id: row.value(11)?,
        };
        let account = self.of(batch_ref(row, 0)?);
        account.row = Some(status);
        account.stored_from = Some(stored_from);
        Ok(())
    }

    /// A row of [`ACCOUNT_EVENTS`].
    pub(crate) fn add_event(&mut self, row: &impl Row) -> Result<(), StoreError> {
        let hash = hash(row, 3)?;
        let is_whole = event::hash(row.bytes(4)?) == hash;
        let placement = if is_whole {
            StoredPlacement::Event(hash)
        } else {
            StoredPlacement::Altered
        };
        let at = event_ref(row, 0)?;
        let columns = EventColumns {
            ordinal: at.ordinal,
            developer: row.value(5)?,
            event_id: row.value(6)?,
            kind: row.value(7)?,
            schema_version: row.value(8)?,
            effective_at: row.value(9)?,
            local_day: row.value(10)?,
        };
        self.of(at.batch()).events.push(columns);
        self.place(at, placement);
        Ok(())
    }

    /// A row of [`ACCOUNT_REFUSED`].
    pub(crate) fn add_refused(&mut self, row: &impl Row) -> Result<(), StoreError> {
        let hash = hash(row, 3)?;
        let verdict = if row.text(5)? == Verdict::Quarantined.as_str() {
            Verdict::Quarantined
        } else {
            Verdict::Rejected
        };
        let is_whole = event::hash(row.bytes(4)?) == hash;
        let placement = if is_whole {
            StoredPlacement::Refused(verdict, hash)
        } else {
            StoredPlacement::Altered
        };
        self.place(event_ref(row, 0)?, placement);
        Ok(())
    }

    /// A row of [`ACCOUNT_DUPLICATES`].
    pub(crate) fn add_duplicate(&mut self, row: &impl Row) -> Result<(), StoreError> {
        let original = optional_event_ref(row, 3)?;
        self.place(event_ref(row, 0)?, StoredPlacement::Duplicate { original });
        Ok(())
    }

    /// A row of [`ACCOUNT_STEPS`].
    pub(crate) fn add_step(&mut self, row: &impl Row) -> Result<(), StoreError> {
        let detail: Option<String> = row.value(4)?;
        let detail = detail.and_then(|text| serde_json::from_str::<serde_json::Value>(&text).ok());
        let step = AuditStep {
            step: row.value(2)?,
            replay_id: row.value(3)?,
            job_id: detail.and_then(|detail| detail["job_id"].as_str().map(str::to_owned)),
        };
        self.of(batch_ref(row, 0)?).steps.push(step);
        Ok(())
    }

    /// By (src, seq).
    pub(crate) fn into_vec(self) -> Vec<Account> {
        self.0.into_values().collect()
    }

    fn place(&mut self, at: EventRef, placement: StoredPlacement) {
        self.of(at.batch()).kept.push((at.ordinal, placement));
    }

    fn of(&mut self, at: BatchRef) -> &mut Account {
        let empty = Account {
            at,
            row: None,
            stored_from: None,
            events: Vec::new(),
            kept: Vec::new(),
            steps: Vec::new(),
        };
        self.0.entry(at).or_insert(empty)
    }
}

/// A state and how many batches are in it, from the columns of [`STATES`].
pub(crate) fn decode_state_count(row: &impl Row) -> Result<(String, u64), StoreError> {
    Ok((row.value(0)?, count(row, 1)?))
}

impl Totals {
    /// From the columns of [`TOTALS`], without the batches.
    pub(crate) fn decode(row: &impl Row) -> Result<Self, StoreError> {
        Ok(Self {
            batches: BTreeMap::new(),
            events: count(row, 0)?,
            duplicates: count(row, 1)?,
            quarantined: count(row, 2)?,
            rejected: count(row, 3)?,
            developers: count(row, 4)?,
            normalized: count(row, 5)?,
            days: count(row, 6)?,
            alerts: count(row, 7)?,
        })
    }
}
