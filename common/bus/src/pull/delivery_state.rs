//! What is recorded of messages across processes and restarts: a worker keeps it in its store.

use std::collections::BTreeMap;

use crate::pull::delivery::Failure;
use types::dead_letter::{DeadLetter, MessageContext};
use types::id::Src;
use types::stream::StreamIncarnation;
use types::time::Micros;

/// A message as one consumer sees it.
#[derive(Debug, Clone, Copy)]
pub struct MessagePosition<'a> {
    /// The incarnation of its stream.
    pub incarnation: &'a StreamIncarnation,
    /// The consumer's name.
    pub consumer: &'a str,
    /// Its stream sequence.
    pub seq: u64,
}

/// The attempts of a message that were made before. A message that never failed has none.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PriorAttempts {
    /// Attempts that failed with an unknown cause.
    pub used: u32,
    /// Workers that died while they handled it alone.
    pub died: u32,
    /// Why the last attempt failed.
    pub reason: Option<String>,
    /// When DEAD had it, if it has.
    pub dead_at: Option<Micros>,
}

impl PriorAttempts {
    /// Whether DEAD has the message that was published at this time: then it only needs to be terminated. What was
    /// dead-lettered before was another message at the same sequence, in a stream that was restored to an older state.
    #[must_use]
    pub fn is_in_dead(&self, published_at: Micros) -> bool {
        self.dead_at.is_some_and(|dead_at| dead_at >= published_at)
    }
}

/// Records the state of deliveries. A failure of it is classified as one of the handler is.
pub trait DeliveryState: Send + Sync + 'static {
    /// The number of this incarnation of a stream in the store.
    ///
    /// # Errors
    /// Returns the failure if the store cannot be read now.
    fn source(
        &self,
        incarnation: &StreamIncarnation,
    ) -> impl Future<Output = Result<Src, Failure>> + Send;

    /// Checks without a message whether what messages need is available: no message has the sequence of `unused`.
    /// `false` if only a message can tell.
    ///
    /// # Errors
    /// Returns the failure if it is not available.
    fn probe(
        &self,
        unused: MessagePosition<'_>,
    ) -> impl Future<Output = Result<bool, Failure>> + Send;

    /// The prior attempts of these messages of the consumer; those that never failed are left out.
    ///
    /// # Errors
    /// Returns the failure if they cannot be read now.
    fn load(
        &self,
        incarnation: &StreamIncarnation,
        consumer: &str,
        seqs: &[u64],
    ) -> impl Future<Output = Result<BTreeMap<u64, PriorAttempts>, Failure>> + Send;

    /// Records that the message is about to be handled alone. Returns the prior attempts; an attempt that was begun
    /// and never cleared counts as a worker that died.
    ///
    /// # Errors
    /// Returns the failure if it cannot be written now.
    fn begin_attempt(
        &self,
        position: MessagePosition<'_>,
        now: Micros,
    ) -> impl Future<Output = Result<PriorAttempts, Failure>> + Send;

    /// Clears a begun attempt: this worker is alive.
    ///
    /// # Errors
    /// Returns the failure if it cannot be written now.
    fn clear_attempt(
        &self,
        position: MessagePosition<'_>,
    ) -> impl Future<Output = Result<(), Failure>> + Send;

    /// Counts a failed attempt; returns how many are used now.
    ///
    /// # Errors
    /// Returns the failure if it cannot be written now.
    fn record_failure(
        &self,
        position: MessagePosition<'_>,
        reason: &str,
        now: Micros,
    ) -> impl Future<Output = Result<u32, Failure>> + Send;

    /// Records, once, that DEAD has the message.
    ///
    /// # Errors
    /// Returns the failure if it cannot be written now; the message is not terminated.
    fn record_dead_letter(
        &self,
        position: MessagePosition<'_>,
        letter: DeadLetter,
    ) -> impl Future<Output = Result<(), Failure>> + Send;

    /// Records, once, that the message is done after failed attempts; drops all else that is recorded of it.
    ///
    /// # Errors
    /// Returns the failure if it cannot be written now; the message is not acked.
    fn record_recovery(
        &self,
        position: MessagePosition<'_>,
        context: &MessageContext,
        now: Micros,
    ) -> impl Future<Output = Result<(), Failure>> + Send;

    /// Drops what is recorded of these messages of the consumer: they are acked or terminated.
    ///
    /// # Errors
    /// Returns the failure if it cannot be written now; a row that stays does no harm.
    fn forget(
        &self,
        incarnation: &StreamIncarnation,
        consumer: &str,
        seqs: &[u64],
    ) -> impl Future<Output = Result<(), Failure>> + Send;
}
