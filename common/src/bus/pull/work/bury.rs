//! Giving a message up: into DEAD, into the audit, and only then out of its stream.

use std::panic::AssertUnwindSafe;

use async_nats::jetstream::AckKind;
use futures_util::FutureExt;

use super::settle::settled;
use super::{InHand, Part, told};
use crate::bus::dead::{self, Context};
use crate::bus::pull::delivery::{About, Failure, Role};
use crate::bus::pull::memory::{Buried, Memory};
use crate::bus::pull::policy::GivenUp;
use crate::bus::pull::{Loop, Unsettled};
use crate::clock::{Clock, SystemClock};
use crate::crash;
use crate::metrics;

impl<R: Role, M: Memory> Loop<R, M> {
    /// Gives up on all of a part, which is one message.
    pub(super) async fn bury_all(&self, part: Part, given_up: &GivenUp, unsettled: &Unsettled) {
        for one in part.members {
            self.bury(one, given_up, unsettled).await;
        }
    }

    /// Moves the message to DEAD. Where that cannot be done now, it comes again later.
    pub(super) async fn bury(&self, one: InHand, given_up: &GivenUp, unsettled: &Unsettled) {
        let (stream, consumer, seq) = (&self.life.name, &self.consumer, one.delivery.seq);
        let GivenUp { blame, reason, attempts } = given_up;
        match self.to_dead(&one, given_up).await {
            Ok(()) => {
                metrics::dead_letter(stream, consumer);
                tracing::error!(
                    stream,
                    consumer,
                    seq,
                    blame,
                    attempts,
                    reason,
                    "a message was given up: it is in DEAD"
                );
                crash::point("dead.after_record");
                self.end(&one, unsettled).await;
            }
            Err(error) => {
                tracing::error!(
                    stream, consumer, seq, %error, reason,
                    "a message that is given up cannot be moved to DEAD; trying again later"
                );
                self.nak(one, self.settings.retry.policy().cap, unsettled).await;
            }
        }
    }

    /// Published, with the PubAck awaited, and recorded.
    async fn to_dead(&self, one: &InHand, given_up: &GivenUp) -> Result<(), async_nats::Error> {
        let failed = |failure: Failure| failure.reason;
        let src = self.memory.source(&self.life).await.map_err(failed)?;
        let about = self.about(one).await.map_err(failed)?;
        let actor = self.settings.actor.as_str();
        let delivered = one.delivery.delivered;
        dead::publish(&self.js, &one.message, &Context { src, about: &about, given_up, delivered, actor })
            .await?;
        crash::point("dead.after_puback");
        let buried = Buried {
            subject: dead::dead_subject(&self.life.name, &self.consumer),
            about: &about,
            blame: given_up.blame,
            reason: &given_up.reason,
            attempts: given_up.attempts,
            delivered,
        };
        let place = self.place(one.delivery.seq);
        Ok(self.memory.buried(place, buried, SystemClock.now()).await.map_err(failed)?)
    }

    /// What is known of the message; nothing of one that nobody can even look at.
    pub(super) async fn about(&self, one: &InHand) -> Result<About, Failure> {
        let looked = AssertUnwindSafe(self.role.about(&self.life, &one.delivery)).catch_unwind().await;
        looked.unwrap_or_else(|panic| {
            let seq = one.delivery.seq;
            tracing::error!(seq, panic = told(&*panic), "nothing can be told of a message");
            Ok(About::default())
        })
    }

    /// Terminates the message: in a work queue that deletes it, so DEAD has it before. What is
    /// remembered goes last: it says that DEAD has it.
    pub(super) async fn end(&self, one: &InHand, unsettled: &Unsettled) {
        let sent = one.message.double_ack_with(AckKind::Term).await;
        let is_sent = sent.is_ok();
        metrics::settled(self.name(), "dead_letter", 1);
        settled(one, sent, unsettled);
        if is_sent {
            self.forget(&[one.delivery.seq]).await;
        }
    }
}
