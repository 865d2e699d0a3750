//! What the loop remembers of messages across processes and restarts: a worker keeps it in its store.

use std::collections::BTreeMap;

use super::delivery::Failure;
use types::dead_letter::{DeadLetter, MessageContext};
use types::id::Src;
use types::stream::StreamIncarnation;
use types::time::Micros;

/// A message as one consumer sees it.
#[derive(Debug, Clone, Copy)]
pub struct Place<'a> {
    /// The life of its stream.
    pub incarnation: &'a StreamIncarnation,
    /// The consumer's name.
    pub consumer: &'a str,
    /// Its stream sequence.
    pub seq: u64,
}

/// What is remembered of a message; nothing of one that never failed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PriorAttempts {
    /// Attempts that failed for a reason nobody knows.
    pub used: u32,
    /// Workers that died while they handled it alone.
    pub died: u32,
    /// Why the last attempt failed.
    pub reason: Option<String>,
    /// DEAD has it; it only needs to be terminated.
    pub is_in_dead: bool,
}

/// Remembers. An error of it is blamed as one of the role is.
pub trait DeliveryState: Send + Sync + 'static {
    /// The number that this life of a stream has in the store.
    ///
    /// # Errors
    /// Where the store cannot tell now.
    fn source(
        &self,
        incarnation: &StreamIncarnation,
    ) -> impl Future<Output = Result<Src, Failure>> + Send;

    /// Asks for no message's sake whether what messages need is there: no message has the sequence of `nobodys`.
    /// `false` where only a message can find out.
    ///
    /// # Errors
    /// Where it is not well.
    fn probe(&self, nobodys: Place<'_>) -> impl Future<Output = Result<bool, Failure>> + Send;

    /// What is remembered of these messages of the consumer; those that never failed are left out.
    ///
    /// # Errors
    /// Where it cannot be read now.
    fn recall(
        &self,
        incarnation: &StreamIncarnation,
        consumer: &str,
        seqs: &[u64],
    ) -> impl Future<Output = Result<BTreeMap<u64, PriorAttempts>, Failure>> + Send;

    /// The message is about to be handled alone: written down before. Gives what was remembered until
    /// then; a mark that nobody took back counts as a worker that died.
    ///
    /// # Errors
    /// Where it cannot be written now.
    fn mark(
        &self,
        place: Place<'_>,
        now: Micros,
    ) -> impl Future<Output = Result<PriorAttempts, Failure>> + Send;

    /// Takes the mark back: this worker lives.
    ///
    /// # Errors
    /// Where it cannot be written now.
    fn unmark(&self, place: Place<'_>) -> impl Future<Output = Result<(), Failure>> + Send;

    /// Counts a failed attempt; gives how many are used now.
    ///
    /// # Errors
    /// Where it cannot be written now.
    fn failed(
        &self,
        place: Place<'_>,
        reason: &str,
        now: Micros,
    ) -> impl Future<Output = Result<u32, Failure>> + Send;

    /// DEAD has the message: leaves its trace, once.
    ///
    /// # Errors
    /// Where it cannot be written now; the message is not terminated.
    fn dead_lettered(
        &self,
        place: Place<'_>,
        letter: DeadLetter,
    ) -> impl Future<Output = Result<(), Failure>> + Send;

    /// The message is done, after attempts that failed: leaves their trace, once, and nothing else is remembered.
    ///
    /// # Errors
    /// Where it cannot be written now; the message is not acknowledged.
    fn recovered(
        &self,
        place: Place<'_>,
        about: &MessageContext,
        now: Micros,
    ) -> impl Future<Output = Result<(), Failure>> + Send;

    /// These messages of the consumer are done with: nothing need be remembered.
    ///
    /// # Errors
    /// Where it cannot be written now; a row that stays does no harm.
    fn settled(
        &self,
        incarnation: &StreamIncarnation,
        consumer: &str,
        seqs: &[u64],
    ) -> impl Future<Output = Result<(), Failure>> + Send;
}
