//! Giving a message up: into DEAD, into the audit, and only then out of its stream.

use std::panic::AssertUnwindSafe;
use std::time::Duration;

use async_nats::{Request, Subject, header};
use futures_util::FutureExt;

use super::settle::settled;
use super::{InHand, Part, told};
use crate::dead;
use crate::pull::delivery::{Delivery, Failure, Role};
use crate::pull::delivery_state::DeliveryState;
use crate::pull::policy::DeadLetterCause;
use crate::pull::{Loop, Unsettled};
use runtime::clock;
use runtime::crash;
use runtime::metrics;
use types::dead_letter::{DeadLetter, MessageContext};

/// How often the server is asked to terminate a message, and how long its answer may take.
const TERM_TRIES: u32 = 3;
const TERM_TIMEOUT: Duration = Duration::from_secs(2);

impl<R: Role, M: DeliveryState> Loop<R, M> {
    /// Gives up on all of a part, which is one message.
    pub(super) async fn bury_all(
        &self,
        part: Part,
        given_up: &DeadLetterCause,
        unsettled: &Unsettled,
    ) {
        for one in part.members {
            self.bury(one, given_up, unsettled).await;
        }
    }

    /// Moves the message to DEAD. Where that cannot be done now, it comes again later.
    pub(super) async fn bury(
        &self,
        one: InHand,
        given_up: &DeadLetterCause,
        unsettled: &Unsettled,
    ) {
        match self.to_dead(&one.delivery, given_up).await {
            Ok(()) => self.end(&one, unsettled).await,
            Err(error) => {
                let (stream, consumer) = self.name();
                tracing::error!(
                    stream, consumer, one.delivery.seq, %error, given_up.reason,
                    "a message that is given up cannot be moved to DEAD; trying again later"
                );
                self.nak(one, self.settings.retry.policy().cap, unsettled)
                    .await;
            }
        }
    }

    /// Published, with the PubAck awaited, and recorded: it only needs to be terminated.
    pub(in crate::pull) async fn to_dead(
        &self,
        message: &Delivery,
        given_up: &DeadLetterCause,
    ) -> Result<(), async_nats::Error> {
        let failed = |failure: Failure| failure.reason;
        let src = self
            .delivery_state
            .source(&self.incarnation)
            .await
            .map_err(failed)?;
        let (stream, consumer) = self.name();
        let DeadLetterCause {
            class,
            reason,
            attempts,
        } = given_up;
        let message_id = message.headers.get(header::NATS_MESSAGE_ID);
        let letter = DeadLetter {
            at: clock::now(),
            stream: stream.to_owned(),
            consumer: consumer.to_owned(),
            src: Some(src),
            stream_sequence: Some(message.seq),
            subject: Some(message.subject.clone()),
            message_id: message_id.map(|id| id.as_str().to_owned()),
            delivered: Some(message.delivered),
            attempts: Some(*attempts),
            error_class: Some(*class),
            reason: Some(reason.clone()),
            actor: Some(self.settings.actor.clone()),
            context: self.about(message).await.map_err(failed)?,
        };
        dead::publish(&self.js, message, &letter).await?;
        crash::point("dead.after_puback");
        self.delivery_state
            .dead_lettered(self.place(message.seq), letter)
            .await
            .map_err(failed)?;
        metrics::dead_letter(stream, consumer);
        tracing::error!(
            stream,
            consumer,
            message.seq,
            error_class = class.as_str(),
            attempts,
            reason,
            "a message was given up: it is in DEAD"
        );
        crash::point("dead.after_record");
        Ok(())
    }

    /// What is known of the message; nothing of one that nobody can even look at.
    pub(super) async fn about(&self, message: &Delivery) -> Result<MessageContext, Failure> {
        let looked = AssertUnwindSafe(self.role.about(&self.incarnation, message))
            .catch_unwind()
            .await;
        looked.unwrap_or_else(|panic| {
            let seq = message.seq;
            tracing::error!(
                seq,
                panic = told(&*panic),
                "nothing can be told of a message"
            );
            Ok(MessageContext::default())
        })
    }

    /// Terminates the message: in a work queue that deletes it, so DEAD has it before. What is
    /// remembered goes last: it says that DEAD has it.
    pub(super) async fn end(&self, one: &InHand, unsettled: &Unsettled) {
        let sent = match &one.message.reply {
            Some(acknowledgement) => self.terminate(acknowledgement).await,
            None => Err("it was not delivered by a consumer".into()),
        };
        let is_sent = sent.is_ok();
        metrics::settled(self.name(), "dead_letter", 1);
        settled(one, sent, unsettled);
        if is_sent {
            self.forget(&[one.delivery.seq]).await;
        }
    }

    /// Terminates what is acknowledged on this subject, and awaits the server's word that it did. A connection that
    /// breaks may take the word with it: it is asked again.
    pub(in crate::pull) async fn terminate(
        &self,
        acknowledgement: &Subject,
    ) -> Result<(), async_nats::Error> {
        let mut sent = Ok(());
        for _ in 0..TERM_TRIES {
            let term = Request::new()
                .payload("+TERM".into())
                .timeout(Some(TERM_TIMEOUT));
            match self
                .js
                .client()
                .send_request(acknowledgement.clone(), term)
                .await
            {
                Ok(_) => return Ok(()),
                Err(error) => sent = Err(error.into()),
            }
        }
        sent
    }
}
