//! What the commands do with dead letters: read what the event streams hold of them, have the workers record decisions,
//! publish, and delete.

use std::time::Duration;

use anyhow::{Context as _, bail};
use async_nats::jetstream::message::PublishMessage;
use async_nats::jetstream::stream::Stream;
use async_nats::{HeaderMap, RequestErrorKind, jetstream};
use bus::{DEAD, stored_messages};
use runtime::clock;
use runtime::process::Process;
use store::VerifyReads;
use tokio::time::timeout;
use types::batch::{CORRELATION_ID, TRACEPARENT};
use types::dead_letter::DEAD_LETTER_HEADERS;
use types::id::{BatchRef, Src};
use types::query::{DecisionRecorded, DecisionRequest, QueryReply};
use types::replay_pointer;
use types::stream::StreamIncarnation;

use super::message::{DeadMessage, is_event_stream};
use super::plan::{self, EventsView, RedrivePlan};
use crate::administrator::administrator;
use crate::target::open_stream;

/// How long a worker may take to record a decision: longer than it waits for a lock of its store (5 s).
const NOTE: Duration = Duration::from_secs(10);
/// How long a stream may take to confirm.
const CONFIRM: Duration = Duration::from_secs(30);

/// The error if a worker has the request and its reply does not come.
const UNANSWERED: &str = "The dead letter stays in DEAD, but no worker answered whether the decision about it was \
     written to the audit. See that the persist workers and the database are well, and run the command again: nothing \
     is written twice";

/// The streams that an administrator works on.
pub struct DeadLetterSession {
    pub js: jetstream::Context,
    dead: Stream,
    /// By partition.
    events: Vec<SessionStream>,
    actor: String,
}

/// An event stream.
pub struct SessionStream {
    stream: Stream,
    /// The present incarnation.
    pub incarnation: StreamIncarnation,
    /// Its number in the store; `None` if the store has not seen it.
    src: Option<Src>,
}

/// What was published for a dead letter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PublishedRedrive {
    pub message_id: String,
    /// The stream that holds it.
    pub stream: String,
    /// Its sequence in that stream.
    pub sequence: u64,
}

impl DeadLetterSession {
    /// Binds the event streams and opens DEAD.
    ///
    /// # Errors
    /// Returns an error if one is missing or unsafe, or server or store do not answer.
    pub async fn open(
        js: jetstream::Context,
        store: &impl VerifyReads,
        process: &Process,
    ) -> anyhow::Result<Self> {
        let mut events = Vec::new();
        for stream in bus::event_streams(&js).await?.all() {
            let name = stream.to_string();
            let incarnation = bus::bind_stream(&js, &name).await?;
            events.push(SessionStream {
                stream: open_stream(&js, &name).await?,
                src: store.known_source(&incarnation).await?,
                incarnation,
            });
        }
        Ok(Self {
            dead: open_stream(&js, DEAD).await?,
            events,
            js,
            actor: process.actor.to_string(),
        })
    }

    /// The event stream of the dead letter's message, as its pointer, batch or stream names it; the first one if it is
    /// of none that is there now.
    ///
    /// # Panics
    /// Never: there is at least one.
    #[must_use]
    pub fn events_of(&self, dead: &DeadMessage) -> &SessionStream {
        let src = dead.batch().map(|at| at.src);
        let is_named = |one: &&SessionStream| one.incarnation.name == dead.letter.stream;
        let is_numbered = |one: &&SessionStream| src.is_some() && one.src == src;
        let found = self.events.iter().find(is_named);
        found
            .or_else(|| self.events.iter().find(is_numbered))
            .unwrap_or(&self.events[0])
    }

    /// The event stream with this number; `None` if none has it now.
    #[must_use]
    pub fn events_numbered(&self, src: Src) -> Option<&SessionStream> {
        self.events.iter().find(|one| one.src == Some(src))
    }

    /// What its event stream holds of the dead letter's message.
    ///
    /// # Errors
    /// Returns an error if it cannot be read.
    pub async fn events_view(&self, dead: &DeadMessage) -> anyhow::Result<EventsView> {
        let events = self.events_of(dead);
        let stream = events.incarnation.name.clone();
        let message = match plan::events_sequence(dead) {
            None => None,
            Some(seq) => stored_messages::get(&self.js, &stream, seq)
                .await?
                .map(|message| message.payload),
        };
        Ok(EventsView {
            stream,
            src: events.src,
            message,
        })
    }

    /// Has a worker record what is decided about the dead letter, before it is done.
    ///
    /// # Errors
    /// Returns an error if no worker answers, or it cannot write.
    pub async fn note(
        &self,
        subject: &'static str,
        dead: &DeadMessage,
        job_id: Option<String>,
        reason: Option<&str>,
    ) -> anyhow::Result<DecisionRecorded> {
        let seq = dead.origin().unwrap_or_default();
        // One that names no incarnation is of the present one.
        let batch = dead
            .batch()
            .or_else(|| dead.src().map(|src| BatchRef { src, seq }));
        // Only what names no batch is found by its stream's incarnation.
        let incarnation = match dead.letter.stream.as_str() {
            other if batch.is_none() && !is_event_stream(other) => {
                bus::bind_stream(&self.js, other).await?
            }
            _ => self.events_of(dead).incarnation.clone(),
        };
        let note = DecisionRequest {
            dead_sequence: dead.sequence,
            dead_at: dead.letter.at,
            incarnation,
            seq,
            batch,
            message: dead.identity(),
            developer: dead.developer(),
            job_id,
            by: administrator(),
            reason: reason.map(str::to_owned),
            dead_reason: dead.reason().to_owned(),
            at: clock::now(),
            actor: self.actor.clone(),
        };
        let payload = serde_json::to_vec(&note)?.into();
        let nothing = "Nothing was done with this dead letter";
        let answered = timeout(NOTE, self.js.client().request(subject, payload)).await;
        let message = match answered {
            Ok(Ok(message)) => message,
            Ok(Err(error)) if error.kind() == RequestErrorKind::NoResponders => bail!(
                "{nothing}: no persist worker answers, which writes decisions to the audit. Start one (`devtrail up`, \
                 or devtrail-worker persist), and run the command again."
            ),
            // It may have been written, and the reply lost.
            Ok(Err(error)) => return Err(error).context(UNANSWERED),
            Err(late) => return Err(late).context(UNANSWERED),
        };
        match serde_json::from_slice(&message.payload).context("A worker's reply cannot be read")? {
            QueryReply::Ok(noted) => Ok(noted),
            QueryReply::Unavailable(why) => {
                bail!("{nothing}: the audit cannot be written: {why}. Run the command again.")
            }
        }
    }

    /// Publishes what the plan says, and awaits the PubAck.
    ///
    /// # Errors
    /// Returns an error if the stream does not confirm.
    pub async fn publish(
        &self,
        dead: &DeadMessage,
        plan: &RedrivePlan,
    ) -> anyhow::Result<PublishedRedrive> {
        let message_id = plan::message_id(dead, plan);
        let (subject, headers, payload) = match plan {
            RedrivePlan::Pointer(pointer) => (
                replay_pointer::SUBJECT.to_owned(),
                tracing_headers(dead),
                serde_json::to_vec(pointer)?.into(),
            ),
            RedrivePlan::Job(job) => (
                job.subject(),
                tracing_headers(dead),
                serde_json::to_vec(job)?.into(),
            ),
            RedrivePlan::Unchanged(subject) => {
                (subject.clone(), own_headers(dead), dead.payload.clone())
            }
        };
        let message = PublishMessage::build()
            .payload(payload)
            .headers(headers)
            .message_id(&message_id);
        let published = async {
            let ack = self.js.send_publish(subject, message).await?;
            timeout(CONFIRM, ack)
                .await
                .context("the stream does not confirm")?
                .map_err(anyhow::Error::from)
        };
        let ack = published.await.with_context(|| {
            format!(
                "Dead letter {} was perhaps not published, and stays in DEAD; \
                 run the command again, nothing is done twice",
                dead.sequence
            )
        })?;
        Ok(PublishedRedrive {
            message_id,
            stream: ack.stream,
            sequence: ack.sequence,
        })
    }

    /// Deletes the dead letter from DEAD.
    ///
    /// # Errors
    /// Returns an error if the stream does not delete it.
    pub async fn delete_dead(&self, dead: &DeadMessage) -> anyhow::Result<()> {
        self.delete(&self.dead, dead.sequence).await
    }

    /// Deletes a message of an event stream.
    ///
    /// # Errors
    /// Returns an error if the stream does not delete it.
    pub async fn delete_event_message(
        &self,
        events: &SessionStream,
        seq: u64,
    ) -> anyhow::Result<()> {
        self.delete(&events.stream, seq).await
    }

    /// Deletes a message securely; one that is gone already is no error.
    async fn delete(&self, stream: &Stream, seq: u64) -> anyhow::Result<()> {
        // The server overwrites what is deleted unless it is asked not to (`no_erase`).
        let Err(error) = stream.delete_message(seq).await else {
            return Ok(());
        };
        let name = &stream.cached_info().config.name;
        match stored_messages::get(&self.js, name, seq).await {
            Ok(None) => Ok(()),
            _ => Err(error).with_context(|| {
                format!("Message {seq} of {name} cannot be deleted; run the command again")
            }),
        }
    }

    /// Whether its stream still holds what was published.
    ///
    /// # Errors
    /// Returns an error if the stream cannot be read.
    pub async fn holds(&self, published: &PublishedRedrive) -> anyhow::Result<bool> {
        let message = stored_messages::get(&self.js, &published.stream, published.sequence).await?;
        Ok(message.is_some())
    }
}

/// The message's own headers, as it had them before it was dead-lettered.
fn own_headers(dead: &DeadMessage) -> HeaderMap {
    let mut own = HeaderMap::new();
    for (name, values) in dead.headers.iter() {
        let text: &str = name.as_ref();
        if !DEAD_LETTER_HEADERS.contains(&text) && !text.starts_with("Nats-") {
            values
                .iter()
                .for_each(|value| own.append(name.clone(), value.clone()));
        }
    }
    own
}

/// Its headers that follow a batch everywhere.
fn tracing_headers(dead: &DeadMessage) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for name in [CORRELATION_ID, TRACEPARENT] {
        if let Some(value) = dead.headers.get(name) {
            headers.insert(name, value.clone());
        }
    }
    headers
}
