//! Redrives: a pointer in REPLAY names a message of EVENTS that was dead-lettered. It is read from EVENTS and handled
//! by the same code as a live delivery.

use std::collections::BTreeMap;
use std::sync::Arc;

use async_nats::jetstream;
use bus::pull::{Delivery, DeliveryOutcome, ErrorClass, Failure, MessageHandler, PullSettings};
use bus::{EVENTS, bind_stream, stored_messages};
use store::Persist;
use types::dead_letter::MessageContext;
use types::id::{BatchRef, Src};
use types::replay_pointer::ReplayPointer;
use types::stream::StreamIncarnation;

use crate::error_class;

/// Messages that are read for one group: at most 64 MiB, as a message has at most 8.
const GROUP: usize = 8;

/// The bounds of pulling pointers: permits of their own, so that a redrive never takes live traffic's.
pub fn bounds(settings: PullSettings) -> PullSettings {
    PullSettings {
        group: GROUP,
        memory_kib: 1024,
        ..settings
    }
}

/// Hands the messages that pointers name to the role that stores live ones.
pub struct RedriveRole<R, S> {
    js: jetstream::Context,
    store: S,
    live: Arc<R>,
}

/// A failure of NATS, not of the store.
fn unreadable(what: impl std::fmt::Display, error: impl std::fmt::Display) -> Failure {
    Failure {
        error_class: ErrorClass::Stream,
        reason: format!("{what} cannot be read: {error}"),
    }
}

fn permanent(reason: String) -> Failure {
    Failure {
        error_class: ErrorClass::Permanent,
        reason,
    }
}

impl<R: MessageHandler, S: Persist> RedriveRole<R, S> {
    /// Pointers for `live`.
    pub fn new(js: jetstream::Context, store: S, live: Arc<R>) -> Self {
        Self { js, store, live }
    }

    /// The present incarnation of EVENTS, and its number.
    async fn present(&self) -> Result<(StreamIncarnation, Src), Failure> {
        let incarnation = bind_stream(&self.js, EVENTS)
            .await
            .map_err(|error| unreadable("EVENTS", error))?;
        let src = self
            .store
            .source(&incarnation)
            .await
            .map_err(|error| error_class::failure(&error))?;
        Ok((incarnation, src))
    }

    /// The message that a pointer names, as if it had been delivered just now.
    async fn follow(&self, pointer: &Delivery, present: Src) -> Result<Delivery, Failure> {
        let at = named(pointer)?;
        if at.src != present {
            return Err(permanent(format!(
                "the pointer names message {at} of an earlier incarnation of EVENTS; the present one is {present}"
            )));
        }
        let message = stored_messages::get(&self.js, EVENTS, at.seq)
            .await
            .map_err(|error| match error.is_refusal {
                true => permanent(format!(
                    "the pointer names message {at}, for which the server cannot look: {error}"
                )),
                false => unreadable(format!("message {at} of EVENTS"), error),
            })?;
        let gone = || {
            permanent(format!(
                "EVENTS no longer holds message {at}, which the pointer names"
            ))
        };
        Ok(Delivery {
            delivered: pointer.delivered,
            ..message.ok_or_else(gone)?.into()
        })
    }
}

impl<R: MessageHandler, S: Persist> MessageHandler for RedriveRole<R, S> {
    async fn handle(
        &self,
        _incarnation: &StreamIncarnation,
        group: &[Delivery],
    ) -> Vec<DeliveryOutcome> {
        let (incarnation, src) = match self.present().await {
            Ok(present) => present,
            Err(failure) => return vec![DeliveryOutcome::Failed(failure); group.len()],
        };
        let mut found = Vec::with_capacity(group.len());
        for one in group {
            found.push(self.follow(one, src).await);
        }
        // By sequence, each once: as the pull loop hands over live messages.
        let readable = found
            .iter()
            .flatten()
            .map(|message| (message.seq, message.clone()));
        let messages: Vec<Delivery> = readable.collect::<BTreeMap<_, _>>().into_values().collect();
        let outcomes = self.live.handle(&incarnation, &messages).await;
        let outcomes: BTreeMap<u64, DeliveryOutcome> = messages
            .iter()
            .map(|message| message.seq)
            .zip(outcomes)
            .collect();
        let outcome = |found: Result<Delivery, Failure>| match found {
            Ok(message) => outcomes[&message.seq].clone(),
            Err(failure) => DeliveryOutcome::Failed(failure),
        };
        found.into_iter().map(outcome).collect()
    }

    /// What is known of the message, not of the pointer.
    async fn context(
        &self,
        _incarnation: &StreamIncarnation,
        pointer: &Delivery,
    ) -> Result<MessageContext, Failure> {
        let (incarnation, src) = self.present().await?;
        match self.follow(pointer, src).await {
            Ok(message) => self.live.context(&incarnation, &message).await,
            Err(failure) if failure.error_class != ErrorClass::Permanent => Err(failure),
            Err(_) => Ok(MessageContext {
                batch: named(pointer).ok(),
                ..MessageContext::default()
            }),
        }
    }
}

/// The message of EVENTS that the pointer names.
fn named(one: &Delivery) -> Result<BatchRef, Failure> {
    let pointer: ReplayPointer = serde_json::from_slice(&one.payload)
        .map_err(|error| permanent(format!("the message is no pointer: {error}")))?;
    if pointer.at.seq == 0 {
        return Err(permanent(
            "the pointer names message 0; the sequences of a stream begin at 1".to_owned(),
        ));
    }
    if pointer.is_redrive() {
        return Ok(pointer.at);
    }
    Err(permanent(
        "the pointer is of a replay, which this program cannot do: update it".to_owned(),
    ))
}
