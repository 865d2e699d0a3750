//! The states of a batch, and how the transactions of `docs/protocol.md` lead it through them. Pure.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::kind::{JobKind, Mask};

/// How far a stored batch has come.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, ToSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum BatchState {
    /// Stored; its jobs are not all published: the row is their outbox.
    Persisted,
    /// All needed jobs are published.
    Triggered,
    /// All needed jobs are done.
    Completed,
    /// A job of it is in DEAD.
    Failed,
}

impl BatchState {
    /// The name on the wire and in the store.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Persisted => "persisted",
            Self::Triggered => "triggered",
            Self::Completed => "completed",
            Self::Failed => "failed",
        }
    }

    /// Every state, in the order a batch goes through them.
    pub const ALL: [Self; 4] = [
        Self::Persisted,
        Self::Triggered,
        Self::Completed,
        Self::Failed,
    ];

    /// The state of this name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.as_str() == name)
    }

    /// The state T1 gives a batch: one that needs no job is complete.
    #[must_use]
    pub fn stored(need: Mask) -> Self {
        if need == Mask::NONE {
            Self::Completed
        } else {
            Self::Persisted
        }
    }
}

/// How far a batch's jobs are: the part of its row that T2b, T3 and T3f change.
///
/// The three methods are the transition table of `docs/protocol.md`; the stores' SQL says the same,
/// and a contract test holds it to this for every state and mask. Masks, not counts: two jobs that
/// finish at once must not both see the other one missing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct JobProgress {
    /// The batch's state.
    pub state: BatchState,
    /// Jobs it needs.
    pub need: Mask,
    /// Jobs that are done.
    pub done: Mask,
    /// Jobs that are in DEAD.
    pub failed: Mask,
}

impl JobProgress {
    /// T2b: all needed jobs have their PubAcks. `None` if the row is left alone.
    #[must_use]
    pub fn triggered(self) -> Option<Self> {
        let state = match self.state {
            BatchState::Persisted if self.is_done() => BatchState::Completed,
            BatchState::Persisted if self.failed != Mask::NONE => BatchState::Failed,
            BatchState::Persisted => BatchState::Triggered,
            _ => return None,
        };
        Some(Self { state, ..self })
    }

    /// T3: the job of this kind is done, whatever it was before.
    #[must_use]
    pub fn job_done(self, kind: JobKind) -> Self {
        let after = Self {
            done: Mask(self.done.0 | kind.bit().0),
            failed: Mask(self.failed.0 & !kind.bit().0),
            ..self
        };
        let state = match self.state {
            BatchState::Persisted | BatchState::Completed => self.state,
            _ if after.is_done() => BatchState::Completed,
            _ if after.failed == Mask::NONE => BatchState::Triggered,
            _ => BatchState::Failed,
        };
        Self { state, ..after }
    }

    /// T3f: the job of this kind is in DEAD. `None` if it was done before: the row is left alone.
    #[must_use]
    pub fn job_failed(self, kind: JobKind) -> Option<Self> {
        if self.done.0 & kind.bit().0 != 0 {
            return None;
        }
        let failed = Mask(self.failed.0 | kind.bit().0);
        let state = if self.state == BatchState::Triggered {
            BatchState::Failed
        } else {
            self.state
        };
        Some(Self {
            state,
            failed,
            ..self
        })
    }

    fn is_done(self) -> bool {
        self.done.0 & self.need.0 == self.need.0
    }
}
