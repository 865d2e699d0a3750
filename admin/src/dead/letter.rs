//! A dead letter: a message of DEAD, read from its headers and its payload. Pure.

use async_nats::HeaderMap;
use bus::stored::StoredMessage;
use bus::{EVENTS, JOBS, REPLAY};
use bytes::Bytes;
use serde::Serialize;
use types::batch::{self, Batch};
use types::dead_letter::DeadLetter;
use types::id::{BatchRef, DeveloperId, Src};
use types::job::{BatchState, JobMessage};
use types::replay_pointer::ReplayPointer;
use types::time::{Micros, rfc3339};

/// A dead letter.
#[derive(Debug, Clone)]
pub struct Letter {
    /// Its sequence in DEAD.
    pub sequence: u64,
    /// What its headers say of it.
    pub dead: DeadLetter,
    /// All headers.
    pub headers: HeaderMap,
    /// The message's payload, whole.
    pub payload: Bytes,
    /// What the payload is.
    pub content: Content,
}

/// What a dead letter's payload is.
#[derive(Debug, Clone)]
pub enum Content {
    /// A batch.
    Batch(Box<Batch>),
    /// A job.
    Job(Box<JobMessage>),
    /// A pointer to a message of EVENTS.
    Pointer(ReplayPointer),
    /// None of these, for this reason.
    Raw(String),
}

impl Content {
    /// What a payload of this stream is.
    pub fn of(stream: &str, payload: &Bytes) -> Self {
        match stream {
            EVENTS => batch::decode(payload.clone()).map_or_else(
                |error| Self::Raw(error.to_string()),
                |batch| Self::Batch(Box::new(batch)),
            ),
            JOBS => {
                JobMessage::read(payload).map_or_else(Self::Raw, |job| Self::Job(Box::new(job)))
            }
            REPLAY => serde_json::from_slice(payload).map_or_else(
                |error| Self::Raw(format!("no pointer: {error}")),
                Self::Pointer,
            ),
            other => Self::Raw(format!("this program knows no messages of {other}")),
        }
    }
}

impl Letter {
    /// Reads a message of DEAD; `None` where its subject is not `dead.<stream>.<consumer>`.
    pub fn read(message: StoredMessage) -> Option<Self> {
        Self::of(
            &message.subject,
            (message.seq, message.at),
            message.headers,
            message.payload,
        )
    }

    fn of(
        subject: &str,
        (sequence, at): (u64, Micros),
        headers: HeaderMap,
        payload: Bytes,
    ) -> Option<Self> {
        let header = |name: &str| headers.get(name).map(async_nats::HeaderValue::as_str);
        let dead = DeadLetter::read(at, subject, header)?;
        let content = Content::of(&dead.stream, &payload);
        Some(Self {
            sequence,
            dead,
            headers,
            payload,
            content,
        })
    }

    /// Its id, where it is a job.
    pub fn job_id(&self) -> Option<String> {
        match &self.content {
            Content::Job(job) => Some(job.job_id.clone()),
            Content::Batch(_) | Content::Pointer(_) | Content::Raw(_) => None,
        }
    }

    /// The message's sequence in its stream.
    pub fn origin(&self) -> Option<u64> {
        self.dead.stream_sequence
    }

    /// The number of the message's stream incarnation in the store, if the letter says it.
    pub fn src(&self) -> Option<Src> {
        self.dead.src
    }

    /// Why it was dead-lettered.
    pub fn reason(&self) -> &str {
        self.dead
            .reason
            .as_deref()
            .unwrap_or("the letter names no reason")
    }

    /// The batch that the message is or is about, where that is known.
    pub fn batch(&self) -> Option<BatchRef> {
        match &self.content {
            Content::Job(job) => Some(job.body.batch),
            Content::Pointer(pointer) => Some(pointer.at),
            Content::Batch(_) | Content::Raw(_) if self.dead.stream == EVENTS => Some(BatchRef {
                src: self.src()?,
                seq: self.origin()?,
            }),
            Content::Batch(_) | Content::Raw(_) => self.dead.context.batch,
        }
    }

    /// Whose it is: as the letter says, else as the payload does, else as the subject does.
    pub fn developer(&self) -> Option<String> {
        let told = self.dead.context.developer.as_deref();
        let told = told.or(match &self.content {
            Content::Batch(batch) => Some(batch.header.developer.as_str()),
            Content::Job(job) => Some(&job.body.developer),
            Content::Pointer(_) | Content::Raw(_) => None,
        });
        told.map(str::to_owned)
            .or_else(|| of_subject(self.dead.subject.as_deref()?))
    }
}

/// The developer whom a subject of EVENTS or JOBS names.
fn of_subject(subject: &str) -> Option<String> {
    let tokens: Vec<&str> = subject.split('.').collect();
    let name = match tokens[..] {
        ["events", "batch", name] | ["jobs", _, _, name] => name,
        _ => return None,
    };
    name.parse::<DeveloperId>().ok().map(String::from)
}

/// A dead letter as it is listed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Entry {
    /// Its sequence in DEAD, as commands take it.
    pub sequence: u64,
    pub dead_at: String,
    pub stream: String,
    pub consumer: String,
    pub stream_sequence: Option<u64>,
    /// `SRC:SEQ` of the batch that it is about.
    pub batch: Option<String>,
    pub job_id: Option<String>,
    pub developer: Option<String>,
    pub reason: String,
    /// Attempts that were used.
    pub attempts: Option<u32>,
    /// How often it was delivered.
    pub delivered: Option<u64>,
    /// `message`, `unknown` or `died`.
    pub error_class: Option<String>,
    /// The state of the batch when it gave up.
    pub state: Option<String>,
    /// Who gave it up.
    pub actor: Option<String>,
    /// A last `…` says that there are more.
    pub event_ids: Vec<String>,
}

impl Entry {
    /// Of a letter.
    pub fn of(letter: &Letter) -> Self {
        let dead = &letter.dead;
        let state = dead.context.state.map_or("none", BatchState::as_str);
        Self {
            sequence: letter.sequence,
            dead_at: rfc3339(dead.at),
            stream: dead.stream.clone(),
            consumer: dead.consumer.clone(),
            stream_sequence: letter.origin(),
            batch: letter.batch().map(|at| at.to_string()),
            job_id: letter.job_id(),
            developer: letter.developer(),
            reason: letter.reason().to_owned(),
            attempts: dead.attempts,
            delivered: dead.delivered,
            error_class: dead.error_class.map(|class| class.as_str().to_owned()),
            state: Some(state.to_owned()),
            actor: dead.actor.clone(),
            event_ids: dead.context.event_ids.clone(),
        }
    }
}

#[cfg(test)]
pub mod tests;
