//! Redrives: a pointer in REPLAY names a message of EVENTS that was dead-lettered. It is read from EVENTS and handled
//! by the same code as a live delivery.

use std::collections::BTreeMap;
use std::sync::Arc;

use async_nats::jetstream;
use bus::pull::{
    Delivery, DeliveryOutcome, ErrorClass, Failure, GroupBounds, MessageHandler, PullSettings,
};
use bus::stored_messages;
use store::Persist;
use types::dead_letter::MessageContext;
use types::event_streams::EventStreams;
use types::id::{BatchRef, Src};
use types::replay_pointer::ReplayPointer;
use types::stream::StreamIncarnation;

use crate::error_class;
use crate::present_streams::{NotRead, PresentStreams};

/// Messages that are read for one group: at most 64 MiB, as a message has at most 8.
const GROUP: usize = 8;

/// The bounds of pulling pointers: permits of their own, so that a redrive never takes live traffic's.
pub fn bounds(settings: PullSettings) -> PullSettings {
    PullSettings {
        group: GroupBounds::messages(GROUP),
        memory_kib: 1024,
        ..settings
    }
}

/// Hands the messages that pointers name to the role that stores live ones.
pub struct RedriveRole<R, S> {
    js: jetstream::Context,
    streams: EventStreams,
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
    pub fn new(js: jetstream::Context, streams: EventStreams, store: S, live: Arc<R>) -> Self {
        Self {
            js,
            streams,
            store,
            live,
        }
    }

    /// The present incarnations of the event streams.
    async fn present(&self) -> Result<PresentStreams, Failure> {
        let present = PresentStreams::read(&self.js, self.streams, &self.store).await;
        present.map_err(|error| match error {
            NotRead::Store(error) => error_class::failure(&error),
            NotRead::Stream(error) => unreadable("EVENTS", error),
        })
    }

    /// The message that a pointer names, as if it had been delivered just now.
    async fn follow(
        &self,
        pointer: &Delivery,
        present: &PresentStreams,
    ) -> Result<PointedMessage, Failure> {
        let at = named(pointer)?;
        let Some(stream) = present.numbered(at.src) else {
            return Err(permanent(format!(
                "the pointer names message {at} of an earlier incarnation of EVENTS; {}",
                present.sentence()
            )));
        };
        let incarnation = stream.incarnation.clone();
        let name = &incarnation.name;
        let message = stored_messages::get(&self.js, name, at.seq)
            .await
            .map_err(|error| match error.is_refusal {
                true => permanent(format!(
                    "the pointer names message {at}, for which the server cannot look: {error}"
                )),
                false => unreadable(format!("message {at} of {name}"), error),
            })?;
        let gone = || {
            permanent(format!(
                "{name} no longer holds message {at}, which the pointer names"
            ))
        };
        Ok(PointedMessage {
            delivery: Delivery {
                delivered: pointer.delivered,
                ..message.ok_or_else(gone)?.into()
            },
            incarnation,
            at,
        })
    }

    /// Hands over the messages of one stream by sequence, each once: as the pull loop hands over live ones.
    async fn handle_stream(&self, messages: Vec<&PointedMessage>) -> Vec<HandledMessage> {
        let by_place: BTreeMap<BatchRef, &PointedMessage> =
            messages.into_iter().map(|one| (one.at, one)).collect();
        let Some(first) = by_place.values().next() else {
            return Vec::new();
        };
        let deliveries: Vec<Delivery> = by_place.values().map(|one| one.delivery.clone()).collect();
        let outcomes = self.live.handle(&first.incarnation, &deliveries).await;
        let places = by_place.into_keys();
        places
            .zip(outcomes)
            .map(|(at, outcome)| HandledMessage { at, outcome })
            .collect()
    }
}

/// The message that a pointer names.
struct PointedMessage {
    incarnation: StreamIncarnation,
    at: BatchRef,
    delivery: Delivery,
}

/// A message that was handled.
struct HandledMessage {
    at: BatchRef,
    outcome: DeliveryOutcome,
}

impl<R: MessageHandler, S: Persist> MessageHandler for RedriveRole<R, S> {
    async fn handle(
        &self,
        _incarnation: &StreamIncarnation,
        group: &[Delivery],
    ) -> Vec<DeliveryOutcome> {
        let present = match self.present().await {
            Ok(present) => present,
            Err(failure) => return vec![DeliveryOutcome::Failed(failure); group.len()],
        };
        let mut found = Vec::with_capacity(group.len());
        for one in group {
            found.push(self.follow(one, &present).await);
        }
        let mut by_stream: BTreeMap<Src, Vec<&PointedMessage>> = BTreeMap::new();
        for message in found.iter().flatten() {
            by_stream.entry(message.at.src).or_default().push(message);
        }
        let mut outcomes = BTreeMap::new();
        for messages in by_stream.into_values() {
            let handled = self.handle_stream(messages).await;
            outcomes.extend(handled.into_iter().map(|one| (one.at, one.outcome)));
        }
        let outcome = |found: Result<PointedMessage, Failure>| match found {
            Ok(message) => outcomes[&message.at].clone(),
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
        let present = self.present().await?;
        match self.follow(pointer, &present).await {
            Ok(message) => {
                self.live
                    .context(&message.incarnation, &message.delivery)
                    .await
            }
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
