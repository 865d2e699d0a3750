//! A consumer bound to one incarnation of its stream, and what its messages need whoever handles them.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use async_nats::client::PublishError;
use async_nats::jetstream::{self, AckKind, message::PublishMessage};
use async_nats::{HeaderMap, Request, Subject, header};
use futures_util::FutureExt;

use crate::bind::{BindError, bind_stream};
use crate::names::ConsumerRef;
use crate::pull::delivery::{Delivery, Failure, MessageHandler};
use crate::pull::delivery_state::{DeliveryState, MessagePosition};
use crate::pull::in_flight::InFlight;
use crate::pull::policy::DeadLetterCause;
use crate::pull::settings::PullSettings;
use crate::store_owner;
use runtime::shutdown::Shutdown;
use runtime::{clock, crash, metrics, panic_text};
use types::dead_letter::{DeadLetter, MessageContext};
use types::stream::StreamIncarnation;

/// How long DEAD may take to confirm a message.
const PUBLISH_TIMEOUT: Duration = Duration::from_secs(5);
/// How often the server is asked to terminate a message, and how long its answer may take.
const TERM_ATTEMPTS: u32 = 3;
const TERM_TIMEOUT: Duration = Duration::from_secs(2);

/// A consumer bound to one incarnation of its stream.
pub struct Binding<H, S> {
    pub js: jetstream::Context,
    pub incarnation: StreamIncarnation,
    pub consumer: ConsumerRef,
    pub handler: Arc<H>,
    pub delivery_state: Arc<S>,
    pub settings: PullSettings,
    pub shutdown: Shutdown,
}

impl<H: MessageHandler, S: DeliveryState> Binding<H, S> {
    /// The position of the message with this stream sequence.
    pub fn position(&self, seq: u64) -> MessagePosition<'_> {
        MessagePosition {
            incarnation: &self.incarnation,
            consumer: &self.consumer.consumer,
            seq,
        }
    }

    /// Fails if the stream is another incarnation than the bound one: a recreated stream counts from 1 again. Fails as
    /// well if another store took the streams over, whose consumer of the same name this is by now.
    ///
    /// While the server is away its answer is awaited: what is in flight need not be delivered again.
    pub async fn check_incarnation(&self) -> Result<(), async_nats::Error> {
        let policy = self.settings.retry.policy();
        for attempt in 0.. {
            let stream = bind_stream(&self.js, &self.incarnation.name);
            let owner = async {
                match &self.settings.store {
                    Some(own) => store_owner::check(&self.js, own).await,
                    None => Ok(()),
                }
            };
            match tokio::try_join!(stream, owner) {
                Ok((now, ())) if now == self.incarnation => return Ok(()),
                Ok(_) => return Err("the stream was recreated".into()),
                Err(BindError::Api(error)) => tracing::warn!(%error, attempt, "waiting for NATS"),
                Err(error) => return Err(error.into()),
            }
            // Until the second step of shutting down: what was handled can still be acked.
            tokio::select! {
                () = policy.pause(attempt) => {}
                () = self.shutdown.aborted() => return Err("shut down while NATS was away".into()),
            }
        }
        Ok(())
    }

    /// What is known of the message; nothing if the handler panics over it.
    pub async fn context(&self, message: &Delivery) -> Result<MessageContext, Failure> {
        let context = AssertUnwindSafe(self.handler.context(&self.incarnation, message))
            .catch_unwind()
            .await;
        context.unwrap_or_else(|panic| {
            tracing::error!(
                seq = message.seq,
                panic = panic_text(&*panic),
                "nothing is known of a message"
            );
            Ok(MessageContext::default())
        })
    }

    /// Moves the message to DEAD: published, with the PubAck awaited, and recorded. It only needs to be terminated
    /// then.
    pub async fn dead_letter(
        &self,
        message: &Delivery,
        cause: &DeadLetterCause,
    ) -> Result<(), async_nats::Error> {
        let failed = |failure: Failure| failure.reason;
        let source = self.delivery_state.source(&self.incarnation).await;
        let message_id = message.headers.get(header::NATS_MESSAGE_ID);
        let ConsumerRef { stream, consumer } = &self.consumer;
        let letter = DeadLetter {
            at: clock::now(),
            stream: stream.clone(),
            consumer: consumer.clone(),
            src: Some(source.map_err(failed)?),
            stream_sequence: Some(message.seq),
            subject: Some(message.subject.clone()),
            message_id: message_id.map(|id| id.as_str().to_owned()),
            delivered: Some(message.delivered),
            attempts: Some(cause.attempts),
            error_class: Some(cause.class),
            reason: Some(cause.reason.clone()),
            actor: Some(self.settings.actor.clone()),
            context: self.context(message).await.map_err(failed)?,
        };
        self.publish_to_dead(message, &letter).await?;
        crash::point("dead.after_puback");
        self.delivery_state
            .record_dead_letter(self.position(message.seq), letter)
            .await
            .map_err(failed)?;
        metrics::dead_letter(stream, consumer);
        tracing::error!(
            stream,
            consumer,
            seq = message.seq,
            error_class = cause.class.as_str(),
            attempts = cause.attempts,
            reason = cause.reason,
            "a message was dead-lettered: it is in DEAD"
        );
        crash::point("dead.after_record");
        Ok(())
    }

    /// Publishes the message to DEAD and awaits the PubAck. Only then may it be terminated: in a work queue that
    /// deletes it.
    async fn publish_to_dead(
        &self,
        message: &Delivery,
        letter: &DeadLetter,
    ) -> Result<(), async_nats::Error> {
        let mut headers = own_headers(&message.headers);
        for (name, value) in letter.headers() {
            headers.insert(name, value);
        }
        let DeadLetter {
            stream, consumer, ..
        } = letter;
        headers.insert(
            header::NATS_MESSAGE_ID,
            format!(
                "{stream}:{consumer}:{}:{}",
                message.seq, message.published_at
            ),
        );
        let publish = PublishMessage::build()
            .payload(message.payload.clone())
            .headers(headers);
        let ack = self.js.send_publish(letter.dead_subject(), publish).await?;
        tokio::time::timeout(PUBLISH_TIMEOUT, ack).await??;
        Ok(())
    }

    /// Tells the server what becomes of the message, without waiting for a confirmation.
    pub async fn tell(&self, one: &InFlight, kind: AckKind) -> Result<(), PublishError> {
        let client = self.js.client();
        client.publish(one.ack_subject.clone(), kind.into()).await
    }

    /// Terminates the message that is acked on this subject, and awaits the server's confirmation. A connection that
    /// breaks may lose the confirmation: then the server is asked again.
    pub async fn terminate(&self, ack_subject: &Subject) -> Result<(), async_nats::Error> {
        let mut sent = Ok(());
        for _ in 0..TERM_ATTEMPTS {
            let term = Request::new()
                .payload("+TERM".into())
                .timeout(Some(TERM_TIMEOUT));
            let client = self.js.client();
            match client.send_request(ack_subject.clone(), term).await {
                Ok(_) => return Ok(()),
                Err(error) => sent = Err(error.into()),
            }
        }
        sent
    }

    /// Drops what is recorded of messages that are acked or terminated.
    pub async fn forget(&self, seqs: &[u64]) {
        if seqs.is_empty() {
            return;
        }
        let forgotten =
            self.delivery_state
                .forget(&self.incarnation, &self.consumer.consumer, seqs);
        if let Err(error) = forgotten.await {
            tracing::warn!(
                error = error.reason,
                "the prior attempts of messages that are done stay for now"
            );
        }
    }
}

/// The message's own headers without those that the server would obey (`Nats-…`): DEAD has a deduplication of its
/// own, and the message id is kept under another name.
fn own_headers(headers: &HeaderMap) -> HeaderMap {
    let mut own = HeaderMap::new();
    for (name, values) in headers.iter() {
        if !name.to_string().to_ascii_lowercase().starts_with("nats-") {
            values
                .iter()
                .for_each(|value| own.append(name.clone(), value.clone()));
        }
    }
    own
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_order_to_the_server_is_carried_over() {
        let mut headers = HeaderMap::new();
        for (name, value) in [
            ("Nats-Msg-Id", "1:2:alert"),
            ("Nats-Rollup", "all"),
            ("nats-expected-stream", "EVENTS"),
            ("traceparent", "00-1"),
        ] {
            headers.append(name, value);
        }
        let own = own_headers(&headers);
        assert_eq!(own.len(), 1, "{own:?}");
        assert_eq!(own.get("traceparent").unwrap().as_str(), "00-1");
    }
}
