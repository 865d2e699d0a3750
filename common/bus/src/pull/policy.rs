//! What becomes of messages, decided in one place from how handling them ended. Pure.
//!
//! A group that fails for a message's sake is split until the culprit stands alone; what the
//! surroundings did to a whole group is waited for with the messages in hand.

use super::delivery::{ErrorClass, Failure, Outcome};
use super::delivery_state::PriorAttempts;
use runtime::breaker;
use types::dead_letter::DeadLetterClass;

/// A message delivered this often is handled alone: its worker may have died of it
/// (`docs/protocol.md`, Persist).
pub const ALONE_FROM: u64 = 3;

/// Pauses in hand of a message that stands alone while the surroundings fail it. Then others get their turn: it
/// may be the only one that they fail. Fewer than the failures in a row that open a breaker by default, so that
/// one message does not open it while others are done.
const PAUSES_ALONE: u32 = 3;

/// What becomes of one message of a group that was handled.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fate {
    /// Acknowledged.
    Done,
    /// Kept in hand, and handled again after a pause with the others that wait.
    Wait,
    /// Back to the server, to be delivered again after a pause: it must not hold up others.
    Back,
    /// Handled again at once in the part of this number. Every part is smaller than the group.
    Again(usize),
    /// It stands alone, nobody knows why it fails: an attempt is used.
    Attempt,
    /// It stands alone and is at fault: to DEAD.
    Dead,
}

/// Decides about each message of a group, in order.
pub fn fates(outcomes: &[Outcome]) -> Vec<Fate> {
    let some_are_done = outcomes.contains(&Outcome::Ack);
    let at_fault = outcomes
        .iter()
        .filter(|outcome| is_splitting(outcome))
        .count();
    let mut met = 0;
    let mut again = |all: usize| {
        met += 1;
        // The failed ones alone, where that is fewer; else in halves.
        Fate::Again(if all < outcomes.len() || 2 * (met - 1) < all {
            0
        } else {
            1
        })
    };
    let fate = |outcome: &Outcome| match outcome {
        Outcome::Ack => Fate::Done,
        Outcome::Failed(Failure {
            error_class: ErrorClass::Transient,
            ..
        }) if some_are_done => Fate::Back,
        Outcome::Failed(Failure {
            error_class: ErrorClass::Transient,
            ..
        }) => Fate::Wait,
        Outcome::Failed(Failure {
            error_class: ErrorClass::Stream,
            ..
        }) => Fate::Back,
        Outcome::Failed(Failure { error_class, .. }) => match (outcomes.len(), error_class) {
            (1, ErrorClass::Administrator) => Fate::Back,
            (1, ErrorClass::Permanent) => Fate::Dead,
            (1, _) => Fate::Attempt,
            _ => again(at_fault),
        },
    };
    outcomes.iter().map(fate).collect()
}

/// Whether a group with this outcome in it is split.
fn is_splitting(outcome: &Outcome) -> bool {
    matches!(outcome, Outcome::Failed(failure) if !matches!(failure.error_class, ErrorClass::Transient | ErrorClass::Stream))
}

/// Whether a part of so many messages, which the surroundings failed so often before, goes back to the server
/// instead of being kept in hand.
pub fn is_left_for_later(messages: usize, failures: u32) -> bool {
    messages == 1 && failures >= PAUSES_ALONE
}

/// What the surroundings did to a group, where they did: a failure to the store's breaker.
pub fn outage(outcomes: &[Outcome]) -> Option<&Failure> {
    outcomes.iter().find_map(|outcome| match outcome {
        Outcome::Failed(failure) if failure.error_class == ErrorClass::Transient => Some(failure),
        _ => None,
    })
}

/// What the store's breaker learns from a group without an outage: that the store is well, or nothing.
pub fn sample(outcomes: &[Outcome]) -> breaker::CallOutcome {
    if outcomes.contains(&Outcome::Ack) {
        breaker::CallOutcome::Ok
    } else {
        breaker::CallOutcome::Ignored
    }
}

/// Why a message is dead-lettered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeadLetterCause {
    pub class: DeadLetterClass,
    /// The error chain.
    pub reason: String,
    /// Attempts that were used.
    pub attempts: u32,
}

/// Whether a message that comes again has used up what it had, and need not be handled once more.
pub fn spent(tries: &PriorAttempts, max_attempts: u32) -> Option<DeadLetterCause> {
    let cause = |class, reason, attempts| {
        Some(DeadLetterCause {
            class,
            reason,
            attempts,
        })
    };
    if tries.died >= max_attempts {
        let workers = tries.died;
        let reason = format!("{workers} workers died while they handled this message alone");
        return cause(DeadLetterClass::Died, reason, workers);
    }
    if tries.used >= max_attempts {
        let reason = tries
            .reason
            .clone()
            .unwrap_or_else(|| "it failed again and again".to_owned());
        return cause(DeadLetterClass::Unknown, reason, tries.used);
    }
    None
}

#[cfg(test)]
mod tests;
