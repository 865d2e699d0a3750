//! Settling messages: acknowledged, or back to the server; and what is remembered of them meanwhile.

use std::time::Duration;

use async_nats::jetstream::AckKind;

use super::InHand;
use crate::pull::delivery::{Failure, Role};
use crate::pull::delivery_state::{DeliveryState, Place, PriorAttempts};
use crate::pull::policy;
use crate::pull::{Loop, Unsettled, lock};
use runtime::clock;
use runtime::metrics;

impl<R: Role, M: DeliveryState> Loop<R, M> {
    /// An attempt of a message that stands alone has failed, nobody knows why.
    pub(super) async fn attempt(&self, one: InHand, failure: Failure, unsettled: &Unsettled) {
        let place = self.place(one.delivery.seq);
        let max_attempts = self.settings.retry.max_attempts;
        metrics::attempt_failed(self.name());
        match self
            .delivery_state
            .failed(place, &failure.reason, clock::now())
            .await
        {
            Ok(used) => {
                let (seq, reason) = (one.delivery.seq, failure.reason);
                let tries = PriorAttempts {
                    used,
                    reason: Some(reason.clone()),
                    ..PriorAttempts::default()
                };
                if let Some(given_up) = policy::spent(&tries, max_attempts) {
                    return self.bury(one, &given_up, unsettled).await;
                }
                let (stream, consumer) = self.name();
                tracing::error!(
                    stream,
                    consumer,
                    seq,
                    used,
                    max_attempts,
                    reason,
                    "a message failed; trying again"
                );
                self.nak(
                    one,
                    self.settings.retry.policy().delay(used.saturating_sub(1)),
                    unsettled,
                )
                .await;
            }
            Err(error) => self.back(one, &error, unsettled).await,
        }
    }

    /// Back to the server with a pause; no attempt is used.
    pub(super) async fn back(&self, one: InHand, failure: &Failure, unsettled: &Unsettled) {
        let (seq, delivered, reason) = (one.delivery.seq, one.delivery.delivered, &failure.reason);
        let (stream, consumer) = self.name();
        tracing::error!(
            stream,
            consumer,
            seq,
            delivered,
            reason,
            "a message is left for later; trying again"
        );
        let after = self.settings.retry.policy().delay(one.retries());
        self.nak(one, after, unsettled).await;
    }

    /// The process stops: the messages are free for others at once.
    pub(super) async fn give_back(&self, members: Vec<InHand>, unsettled: &Unsettled) {
        for one in members {
            self.nak(one, Duration::ZERO, unsettled).await;
        }
    }

    pub(super) async fn nak(&self, mut one: InHand, after: Duration, unsettled: &Unsettled) {
        self.unmark(&mut one).await;
        let sent = one.message.ack_with(AckKind::Nak(Some(after))).await;
        metrics::settled(self.name(), "retry", 1);
        settled(&one, sent, unsettled);
    }

    /// What was remembered is forgotten first: once acknowledged, a message never comes again to do it.
    pub(super) async fn done(&self, members: Vec<InHand>, unsettled: &Unsettled) {
        let members = self.recovered(members, unsettled).await;
        let may_have_failed = |one: &&InHand| one.delivery.delivered > 1 || one.marked;
        let seqs: Vec<u64> = members
            .iter()
            .filter(may_have_failed)
            .map(|one| one.delivery.seq)
            .collect();
        self.forget(&seqs).await;
        metrics::settled(self.name(), "ack", members.len());
        for one in &members {
            settled(one, one.message.ack().await, unsettled);
        }
    }

    /// Leaves a trace of the attempts that failed before; gives those that are to be acknowledged. Where the
    /// trace cannot be left now, the message comes again: it is done, and its next handling finds that.
    async fn recovered(&self, members: Vec<InHand>, unsettled: &Unsettled) -> Vec<InHand> {
        let mut done = Vec::with_capacity(members.len());
        for one in members {
            let place = self.place(one.delivery.seq);
            let traced = match one.failed_before {
                false => Ok(()),
                true => match self.about(&one.delivery).await {
                    Ok(about) => {
                        self.delivery_state
                            .recovered(place, &about, clock::now())
                            .await
                    }
                    Err(failure) => Err(failure),
                },
            };
            match traced {
                Ok(()) => done.push(one),
                Err(failure) => self.back(one, &failure, unsettled).await,
            }
        }
        done
    }

    pub(in crate::pull) async fn forget(&self, seqs: &[u64]) {
        if seqs.is_empty() {
            return;
        }
        if let Err(error) = self
            .delivery_state
            .settled(&self.incarnation, &self.consumer, seqs)
            .await
        {
            tracing::warn!(
                error = error.reason,
                "what is remembered of messages that are done stays for now"
            );
        }
    }

    /// Takes the mark back. Where that fails it stays this worker's, and is not set again.
    pub(super) async fn unmark(&self, one: &mut InHand) {
        if !one.marked {
            return;
        }
        match self
            .delivery_state
            .unmark(self.place(one.delivery.seq))
            .await
        {
            Ok(()) => one.marked = false,
            Err(error) => {
                tracing::warn!(
                    seq = one.delivery.seq,
                    error = error.reason,
                    "a mark stays for now"
                );
            }
        }
    }

    /// Its stream and consumer.
    pub(in crate::pull) fn name(&self) -> (&str, &str) {
        (&self.incarnation.name, &self.consumer)
    }

    pub(super) fn place(&self, seq: u64) -> Place<'_> {
        Place {
            incarnation: &self.incarnation,
            consumer: &self.consumer,
            seq,
        }
    }
}

pub(super) fn settled(one: &InHand, sent: Result<(), async_nats::Error>, unsettled: &Unsettled) {
    if let Err(error) = sent {
        // At-least-once: it comes again when its ack_wait has run out.
        tracing::warn!(seq = one.delivery.seq, %error, "a message could not be settled");
    }
    lock(unsettled).remove(&one.delivery.seq);
}
