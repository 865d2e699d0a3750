//! A dead letter: a message of DEAD, read from its headers and its payload. Pure.

use async_nats::HeaderMap;
use bus::stored::StoredMessage;
use bus::{EVENTS, JOBS, REPLAY};
use bytes::Bytes;
use serde::Serialize;
use types::batch::{self, Batch};
use types::id::{BatchRef, DeveloperId, Src};
use types::job::JobMessage;
use types::pointer::Pointer;
use types::time::{Micros, rfc3339};

/// A dead letter.
#[derive(Debug, Clone)]
pub struct Letter {
    /// Its sequence in DEAD.
    pub sequence: u64,
    /// When DEAD took it.
    pub at: Micros,
    /// The stream that the message came from.
    pub stream: String,
    /// The consumer that gave it up.
    pub consumer: String,
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
    Pointer(Pointer),
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
        let mut tokens = subject.split('.');
        let (Some("dead"), Some(stream), Some(consumer)) =
            (tokens.next(), tokens.next(), tokens.next())
        else {
            return None;
        };
        let (stream, consumer) = (stream.to_owned(), consumer.to_owned());
        let content = Content::of(&stream, &payload);
        Some(Self {
            sequence,
            at,
            stream,
            consumer,
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

    /// A header's text.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(async_nats::HeaderValue::as_str)
    }

    fn number<T: std::str::FromStr>(&self, name: &str) -> Option<T> {
        self.header(name)?.parse().ok()
    }

    /// The message's sequence in its stream.
    pub fn origin(&self) -> Option<u64> {
        self.number("Devtrail-Stream-Sequence")
    }

    /// The number of the message's stream life in the store, where the letter says it.
    pub fn src(&self) -> Option<Src> {
        self.number("Devtrail-Src")
    }

    /// What it gave up on.
    pub fn reason(&self) -> &str {
        self.header("Devtrail-Reason")
            .unwrap_or("the letter names no reason")
    }

    /// The batch that the message is or is about, where that is known.
    pub fn batch(&self) -> Option<BatchRef> {
        match &self.content {
            Content::Job(job) => Some(job.body.batch),
            Content::Pointer(pointer) => Some(pointer.at),
            Content::Batch(_) | Content::Raw(_) if self.stream == EVENTS => Some(BatchRef {
                src: self.src()?,
                seq: self.origin()?,
            }),
            Content::Batch(_) | Content::Raw(_) => {
                let (src, seq) = self.header("Devtrail-Batch")?.split_once(':')?;
                Some(BatchRef {
                    src: src.parse().ok()?,
                    seq: seq.parse().ok()?,
                })
            }
        }
    }

    /// Whose it is: as the letter says, else as the payload does, else as the subject does.
    pub fn developer(&self) -> Option<String> {
        let told = self
            .header("Devtrail-Developer")
            .filter(|name| !name.is_empty());
        let told = told.or(match &self.content {
            Content::Batch(batch) => Some(batch.header.developer.as_str()),
            Content::Job(job) => Some(&job.body.developer),
            Content::Pointer(_) | Content::Raw(_) => None,
        });
        told.map(str::to_owned)
            .or_else(|| of_subject(self.header("Devtrail-Subject")?))
    }

    /// Ids of the batch's events, as far as the letter names them. In the header a comma within an id is
    /// `%2C`, and `%` is `%25`.
    pub fn event_ids(&self) -> Vec<String> {
        let ids = self.header("Devtrail-Event-Ids").unwrap_or_default();
        let ids = ids.split(',').map(str::trim).filter(|id| !id.is_empty());
        ids.map(|id| id.replace("%2C", ",").replace("%25", "%"))
            .collect()
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
        let text = |name| letter.header(name).map(str::to_owned);
        Self {
            sequence: letter.sequence,
            dead_at: rfc3339(letter.at),
            stream: letter.stream.clone(),
            consumer: letter.consumer.clone(),
            stream_sequence: letter.origin(),
            batch: letter.batch().map(|at| at.to_string()),
            job_id: letter.job_id(),
            developer: letter.developer(),
            reason: letter.reason().to_owned(),
            attempts: letter.number("Devtrail-Attempts"),
            delivered: letter.number("Devtrail-Delivered"),
            error_class: text("Devtrail-Blame"),
            state: text("Devtrail-State"),
            actor: text("Devtrail-Actor"),
            event_ids: letter.event_ids(),
        }
    }
}

#[cfg(test)]
pub mod tests;
