//! What became of a batch and its events, for checking the store against the stream.

use std::collections::BTreeMap;

use types::event;
use types::id::{BatchRef, EventRef};
use types::job::{BatchState, Mask};
use types::time::Micros;
use types::verdict::Verdict;

/// Where an event of a message is in the store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StoredPlacement {
    /// In `events`, with the hash of its bytes.
    Event([u8; 32]),
    /// Dropped as a duplicate of this event.
    Duplicate {
        /// The original; `None` where there is none, which is a fault.
        original: Option<EventRef>,
    },
    /// Kept whole among the refused.
    Refused(Verdict, [u8; 32]),
    /// In `events` or among the refused, with bytes that their own hash does not fit.
    Altered,
}

/// How far a stored batch is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BatchStatus {
    /// Its state.
    pub state: BatchState,
    /// Jobs it needs.
    pub need: Mask,
    /// Jobs that are done.
    pub done: Mask,
    /// Jobs that are in DEAD.
    pub failed: Mask,
    /// Whether its developer is known, not forgotten.
    pub is_known: bool,
    /// When the store had it.
    pub persisted_at: Micros,
}

/// A row of the audit about a batch: what tells whether its trail is whole.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct AuditStep {
    /// The step's name (`types::audit::Step`).
    pub step: String,
    /// The replay it belongs to.
    pub replay_id: Option<String>,
    /// The job it is about, where it is about one and its developer is known.
    pub job_id: Option<String>,
}

/// A stored batch and all that came of it, for checking it against its message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Account {
    /// The batch.
    pub at: BatchRef,
    /// Its row; an account without one that holds events is a fault.
    pub row: Option<BatchStatus>,
    /// Every place an ordinal is kept in; one each, where all is well.
    pub kept: Vec<(u32, StoredPlacement)>,
    /// Its steps in the audit, but those of single events.
    pub steps: Vec<AuditStep>,
}

impl Account {
    /// Whether the store holds anything but a trail of it.
    #[must_use]
    pub fn is_stored(&self) -> bool {
        self.row.is_some() || !self.kept.is_empty()
    }
}

/// Accounts while rows are read, in any order.
#[derive(Default)]
pub struct Accounts(BTreeMap<BatchRef, Account>);

impl Accounts {
    /// The batch has its row.
    pub fn stands(&mut self, at: BatchRef, row: BatchStatus) {
        self.of(at).row = Some(row);
    }

    /// One of its ordinals is kept here.
    pub fn keep(&mut self, at: EventRef, kept: StoredPlacement) {
        self.of(at.batch()).kept.push((at.ordinal, kept));
    }

    /// The audit says so of it; `detail` is the row's, where it names a job.
    pub fn step(
        &mut self,
        at: BatchRef,
        step: String,
        replay_id: Option<String>,
        detail: Option<&str>,
    ) {
        let detail = detail.and_then(|text| serde_json::from_str::<serde_json::Value>(text).ok());
        let job_id = detail.and_then(|detail| detail["job_id"].as_str().map(str::to_owned));
        self.of(at).steps.push(AuditStep {
            step,
            replay_id,
            job_id,
        });
    }

    /// By (src, seq).
    pub fn into_vec(self) -> Vec<Account> {
        self.0.into_values().collect()
    }

    fn of(&mut self, at: BatchRef) -> &mut Account {
        let empty = Account {
            at,
            row: None,
            kept: Vec::new(),
            steps: Vec::new(),
        };
        self.0.entry(at).or_insert(empty)
    }
}

impl StoredPlacement {
    /// In `events`.
    pub(crate) fn event(hash: [u8; 32], body: &[u8]) -> Self {
        if event::hash(body) == hash {
            Self::Event(hash)
        } else {
            Self::Altered
        }
    }

    /// Among the refused, under the verdict of this name.
    pub(crate) fn refused(verdict: &str, hash: [u8; 32], body: &[u8]) -> Self {
        let is_quarantined = verdict == Verdict::Quarantined.as_str();
        let verdict = if is_quarantined {
            Verdict::Quarantined
        } else {
            Verdict::Rejected
        };
        if event::hash(body) == hash {
            Self::Refused(verdict, hash)
        } else {
            Self::Altered
        }
    }
}
