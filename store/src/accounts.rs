//! What became of a batch's events, for checking the store against the stream.

use std::collections::BTreeMap;

use common::id::{BatchRef, EventRef};
use common::verdict::Verdict;

/// Where an event of a message is in the store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Kept {
    /// In `events`, with the hash of its bytes.
    Event([u8; 32]),
    /// Dropped as a duplicate of this event.
    Duplicate {
        /// The original; `None` where there is none, which is a fault.
        original: Option<EventRef>,
    },
    /// Kept whole among the refused.
    Refused(Verdict, [u8; 32]),
}

/// A stored batch and all that came of its events, for checking it against its message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Account {
    /// The batch.
    pub at: BatchRef,
    /// Whether the batch has its row (an account without one is a fault).
    pub has_row: bool,
    /// Every place an ordinal is kept in; one each, where all is well.
    pub kept: Vec<(u32, Kept)>,
}

/// Accounts while rows are read, in any order.
#[derive(Default)]
pub struct Accounts(BTreeMap<BatchRef, Account>);

impl Accounts {
    /// The batch has its row.
    pub fn has_row(&mut self, at: BatchRef) {
        self.of(at).has_row = true;
    }

    /// One of its ordinals is kept here.
    pub fn keep(&mut self, at: EventRef, kept: Kept) {
        self.of(at.batch()).kept.push((at.ordinal, kept));
    }

    /// By (src, seq).
    pub fn into_vec(self) -> Vec<Account> {
        self.0.into_values().collect()
    }

    fn of(&mut self, at: BatchRef) -> &mut Account {
        self.0.entry(at).or_insert_with(|| Account { at, has_row: false, kept: Vec::new() })
    }
}

impl Kept {
    /// Among the refused, under the verdict of this name.
    pub(crate) fn refused(verdict: &str, hash: [u8; 32]) -> Self {
        let is_quarantined = verdict == Verdict::Quarantined.as_str();
        Self::Refused(if is_quarantined { Verdict::Quarantined } else { Verdict::Rejected }, hash)
    }
}
