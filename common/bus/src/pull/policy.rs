//! What is done with messages, decided in one place from how handling them ended. Pure.
//!
//! A group that fails because of a message is split until the culprit is handled alone. A group that fails
//! transiently is held, and handled again.

use crate::pull::delivery::{DeliveryOutcome, ErrorClass, Failure};
use crate::pull::delivery_state::PriorAttempts;
use runtime::breaker;
use types::dead_letter::DeadLetterClass;

/// A message delivered this often is handled alone: its worker may have died of it
/// (`docs/protocol.md`, Persist).
pub const ALONE_FROM: u64 = 3;

/// How often a message that is handled alone is held for a transient failure. Then others get their turn: it may be
/// the only one that fails. Fewer than the failures in a row that open a breaker by default, so that one message
/// does not open it while others are done.
const HOLDS_ALONE: u32 = 3;

/// What is done with one message of a group that was handled.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MessageDisposition {
    Ack,
    /// Held, and handled again after a pause with the others that are held.
    Hold,
    /// Returned to the server, to be delivered again after a pause: it must not hold up others.
    Return,
    /// Handled again at once in the sub-batch of this number. Every sub-batch is smaller than the group.
    Retry(usize),
    /// It was handled alone and the cause is not known: an attempt is used.
    UseAttempt,
    /// It was handled alone and is at fault: to DEAD.
    DeadLetter,
}

/// The disposition of each message of a group, in order.
pub fn dispositions(outcomes: &[DeliveryOutcome]) -> Vec<MessageDisposition> {
    let transient = outcomes.iter().filter(|outcome| is_transient(outcome));
    // One alone may be at fault itself. With more of them it is the store that went away, half-way through the group.
    let is_the_only_one = transient.count() == 1 && outcomes.contains(&DeliveryOutcome::Ack);
    let at_fault = outcomes
        .iter()
        .filter(|outcome| is_splitting(outcome))
        .count();
    let mut seen = 0;
    let mut retry = || {
        seen += 1;
        // The failed ones together, if that is fewer; else in halves.
        let is_first = at_fault < outcomes.len() || 2 * (seen - 1) < at_fault;
        MessageDisposition::Retry(if is_first { 0 } else { 1 })
    };
    let disposition = |outcome: &DeliveryOutcome| {
        let DeliveryOutcome::Failed(Failure { error_class, .. }) = outcome else {
            return MessageDisposition::Ack;
        };
        match (error_class, outcomes.len()) {
            (ErrorClass::Transient, _) if is_the_only_one => MessageDisposition::Return,
            (ErrorClass::Transient, _) => MessageDisposition::Hold,
            (ErrorClass::Stream | ErrorClass::Early, _) => MessageDisposition::Return,
            (ErrorClass::Administrator, 1) => MessageDisposition::Return,
            (ErrorClass::Permanent, 1) => MessageDisposition::DeadLetter,
            (ErrorClass::Unknown, 1) => MessageDisposition::UseAttempt,
            _ => retry(),
        }
    };
    outcomes.iter().map(disposition).collect()
}

fn is_transient(outcome: &DeliveryOutcome) -> bool {
    matches!(outcome, DeliveryOutcome::Failed(failure) if failure.error_class == ErrorClass::Transient)
}

/// Whether a group with this outcome in it is split.
fn is_splitting(outcome: &DeliveryOutcome) -> bool {
    matches!(
        outcome,
        DeliveryOutcome::Failed(failure)
            if !matches!(
                failure.error_class,
                ErrorClass::Transient | ErrorClass::Stream | ErrorClass::Early
            )
    )
}

/// Whether a sub-batch of so many messages, which failed transiently so often before, is returned to the server
/// instead of being held.
pub fn is_returned(messages: usize, failures: u32) -> bool {
    messages == 1 && failures >= HOLDS_ALONE
}

/// The transient failure of a group, if it had one: a failure to the store's breaker.
pub fn outage(outcomes: &[DeliveryOutcome]) -> Option<&Failure> {
    outcomes.iter().find_map(|outcome| match outcome {
        DeliveryOutcome::Failed(failure) if failure.error_class == ErrorClass::Transient => {
            Some(failure)
        }
        _ => None,
    })
}

/// What the store's breaker learns from a group without a transient failure: that the store is well, or nothing.
pub fn sample(outcomes: &[DeliveryOutcome]) -> breaker::CallOutcome {
    if outcomes.contains(&DeliveryOutcome::Ack) {
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

/// Why a message that is delivered again is dead-lettered without being handled; `None` if it has attempts left.
pub fn exhausted(prior: &PriorAttempts, max_attempts: u32) -> Option<DeadLetterCause> {
    if prior.died >= max_attempts {
        let workers = prior.died;
        return Some(DeadLetterCause {
            class: DeadLetterClass::Died,
            reason: format!("{workers} workers died while they handled this message alone"),
            attempts: workers,
        });
    }
    let no_reason = || "it failed again and again".to_owned();
    (prior.used >= max_attempts).then(|| DeadLetterCause {
        class: DeadLetterClass::Unknown,
        reason: prior.reason.clone().unwrap_or_else(no_reason),
        attempts: prior.used,
    })
}

#[cfg(test)]
mod tests;
