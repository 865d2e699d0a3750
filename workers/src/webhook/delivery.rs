//! The messages of a durable consumer, posted one at a time.
//!
//! The stream is the outbox, and the consumer's ack floor says what was delivered: a webhook that is away holds up
//! nothing but itself.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use async_nats::jetstream;
use bus::BindError;
use bus::ConsumerRef;
use bus::pull::{
    Delivery, DeliveryOutcome, DeliveryState, ErrorClass, Failure, GroupBounds, PullLoop,
};
use bus::pull::{MessageHandler, MessagePosition, PriorAttempts, PullSettings};
use runtime::breaker::BreakerSettings;
use runtime::clock;
use runtime::process::Process;
use runtime::retry::RetrySettings;
use types::dead_letter::{DeadLetter, MessageContext};
use types::id::Src;
use types::stream::StreamIncarnation;
use types::time::{Micros, micros};

use super::sender::{PostOutcome, WebhookSender};

/// Attempts before a message may be skipped.
const ATTEMPTS: u64 = 5;

/// A webhook, and how long a message is worth a post.
pub struct Webhook {
    /// Names it in the log and its breaker (`webhook:<name>`).
    pub name: &'static str,
    pub sender: WebhookSender,
    /// A message that the receiver cannot take is skipped at this age.
    pub skip_after: Duration,
    /// A message of this age is not posted any more.
    pub expires_after: Duration,
    /// How to set the right address and secret.
    pub remedy: &'static str,
    /// Counts a post by its outcome.
    pub count: fn(&'static str),
}

/// The consumer whose messages are posted.
pub struct ConsumerName<'a> {
    /// The stream.
    pub stream: &'a str,
    /// A durable consumer of it.
    pub consumer: &'a str,
}

/// Posts the messages of `consumer` until the process stops. Any number of processes may: the consumer
/// gives out one message at a time.
///
/// # Errors
/// Returns a `BindError` if the stream or its consumer is missing or unsafe at the start.
pub async fn deliver(
    js: jetstream::Context,
    consumer: ConsumerName<'_>,
    webhook: Webhook,
    retry: RetrySettings,
    breaker: BreakerSettings,
    process: Process,
) -> Result<(), BindError> {
    // One message at a time, so one probe decides: there may be no second message for long.
    let breaker = BreakerSettings {
        probes: 1,
        ..breaker
    };
    let guard = process
        .breakers
        .guard(&format!("webhook:{}", webhook.name), breaker);
    let settings = PullSettings {
        group: GroupBounds::messages(1),
        holds: false,
        ..PullSettings::new(retry, guard, process.actor.to_string())
    };
    let handler = Arc::new(WebhookRole { webhook });
    let pull = PullLoop {
        js,
        consumer: ConsumerRef::new(consumer.stream, consumer.consumer),
        handler,
        delivery_state: Arc::new(NoDeliveryState),
        settings,
        shutdown: process.shutdown,
    };
    pull.run().await
}

struct WebhookRole {
    webhook: Webhook,
}

impl MessageHandler for WebhookRole {
    async fn handle(
        &self,
        _incarnation: &StreamIncarnation,
        group: &[Delivery],
    ) -> Vec<DeliveryOutcome> {
        let mut outcomes = Vec::with_capacity(group.len());
        for delivery in group {
            outcomes.push(self.post(delivery).await);
        }
        outcomes
    }

    async fn context(
        &self,
        _incarnation: &StreamIncarnation,
        _delivery: &Delivery,
    ) -> Result<MessageContext, Failure> {
        Ok(MessageContext::default())
    }
}

impl WebhookRole {
    async fn post(&self, delivery: &Delivery) -> DeliveryOutcome {
        let Webhook {
            name,
            remedy,
            count,
            ..
        } = self.webhook;
        let now = clock::now();
        let age = now.saturating_sub(delivery.published_at);
        let seq = delivery.seq;
        if age > micros(self.webhook.expires_after) {
            tracing::info!(
                seq,
                "a message is too old to be posted to the {name} webhook"
            );
            return DeliveryOutcome::Ack;
        }
        let id = delivery
            .headers
            .get(async_nats::header::NATS_MESSAGE_ID)
            .map_or("", |id| id.as_str());
        let body = delivery.payload.clone();
        let post = self.webhook.sender.post(name, id, body, now).await;
        let reason = post.reason;
        match post.outcome {
            PostOutcome::Accepted => {
                count("taken");
                DeliveryOutcome::Ack
            }
            PostOutcome::Rejected => {
                count("refused");
                tracing::error!(
                    seq,
                    reason,
                    "a message was rejected: it is not posted again"
                );
                DeliveryOutcome::Ack
            }
            // Nothing would arrive before an administrator fixes it; what still waits arrives then.
            PostOutcome::Denied => {
                count("denied");
                tracing::error!(
                    seq,
                    reason,
                    "the {name} webhook takes no messages: {remedy}"
                );
                DeliveryOutcome::failed(ErrorClass::Transient, reason)
            }
            // A message that the receiver fails again and again must not hold up all others indefinitely.
            PostOutcome::Unavailable
                if post.status.is_some()
                    && delivery.delivered >= ATTEMPTS
                    && age > micros(self.webhook.skip_after) =>
            {
                count("skipped");
                tracing::error!(
                    seq,
                    reason,
                    "a message is skipped: the {name} webhook has failed it for too long"
                );
                DeliveryOutcome::Ack
            }
            // It is returned, for this or another worker to try; the receiver is at fault, not the message.
            PostOutcome::Unavailable => {
                count("not_now");
                DeliveryOutcome::failed(ErrorClass::Transient, reason)
            }
        }
    }
}

/// No delivery state is kept: a failed post is never the message's fault. An undecodable message is found in DEAD by
/// its message id.
struct NoDeliveryState;

impl DeliveryState for NoDeliveryState {
    async fn source(&self, _incarnation: &StreamIncarnation) -> Result<Src, Failure> {
        Ok(0)
    }

    /// Only a post tells.
    async fn probe(&self, _nobodys: MessagePosition<'_>) -> Result<bool, Failure> {
        Ok(false)
    }

    async fn load(
        &self,
        _incarnation: &StreamIncarnation,
        _consumer: &str,
        _seqs: &[u64],
    ) -> Result<BTreeMap<u64, PriorAttempts>, Failure> {
        Ok(BTreeMap::new())
    }

    async fn begin_attempt(
        &self,
        _place: MessagePosition<'_>,
        _now: Micros,
    ) -> Result<PriorAttempts, Failure> {
        Ok(PriorAttempts::default())
    }

    async fn clear_attempt(&self, _place: MessagePosition<'_>) -> Result<(), Failure> {
        Ok(())
    }

    async fn record_failure(
        &self,
        _place: MessagePosition<'_>,
        _reason: &str,
        _now: Micros,
    ) -> Result<u32, Failure> {
        Ok(0)
    }

    async fn record_dead_letter(
        &self,
        _place: MessagePosition<'_>,
        _letter: DeadLetter,
    ) -> Result<(), Failure> {
        Ok(())
    }

    async fn record_recovery(
        &self,
        _place: MessagePosition<'_>,
        _about: &MessageContext,
        _now: Micros,
    ) -> Result<(), Failure> {
        Ok(())
    }

    async fn forget(
        &self,
        _incarnation: &StreamIncarnation,
        _consumer: &str,
        _seqs: &[u64],
    ) -> Result<(), Failure> {
        Ok(())
    }
}
