//! The messages of DEAD, read from their headers and payloads. Pure.

use async_nats::HeaderMap;
use bus::stored_messages::StoredMessage;
use bus::{JOBS, REPLAY};
use bytes::Bytes;
use serde::Serialize;
use types::batch::{self, Batch};
use types::dead_letter::DeadLetter;
use types::event_streams::{self, EventStream};
use types::id::{BatchRef, DeveloperId, MessageIdentity, Src};
use types::job::{BatchState, JobMessage};
use types::replay_pointer::ReplayPointer;
use types::time::rfc3339;

/// A message of DEAD: a dead letter with the payload that it was about.
#[derive(Debug, Clone)]
pub struct DeadMessage {
    /// Its sequence in DEAD.
    pub sequence: u64,
    /// What its headers hold about it.
    pub letter: DeadLetter,
    pub headers: HeaderMap,
    /// The message's payload, whole.
    pub payload: Bytes,
    pub content: DeadPayload,
}

/// What a dead letter's payload is.
#[derive(Debug, Clone)]
pub enum DeadPayload {
    Batch(Box<Batch>),
    Job(Box<JobMessage>),
    /// A pointer to a batch's message.
    Pointer(ReplayPointer),
    /// None of these, for this reason.
    Raw(String),
}

impl DeadPayload {
    /// What a payload of this stream is.
    pub fn of(stream: &str, payload: &Bytes) -> Self {
        match stream {
            events if is_event_stream(events) => batch::decode(payload.clone()).map_or_else(
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

impl DeadMessage {
    /// Reads a message of DEAD; `None` if its subject is not `dead.<stream>.<consumer>`.
    pub fn read(message: StoredMessage) -> Option<Self> {
        let letter = message.dead_letter()?;
        let content = DeadPayload::of(&letter.stream, &message.payload);
        Some(Self {
            sequence: message.seq,
            letter,
            headers: message.headers,
            payload: message.payload,
            content,
        })
    }

    /// What the message says of itself, if it is a batch.
    pub fn identity(&self) -> Option<MessageIdentity> {
        match &self.content {
            DeadPayload::Batch(batch) => Some(batch.identity()),
            DeadPayload::Job(_) | DeadPayload::Pointer(_) | DeadPayload::Raw(_) => None,
        }
    }

    /// The job's id, if it is a job.
    pub fn job_id(&self) -> Option<String> {
        match &self.content {
            DeadPayload::Job(job) => Some(job.job_id.clone()),
            DeadPayload::Batch(_) | DeadPayload::Pointer(_) | DeadPayload::Raw(_) => None,
        }
    }

    /// The message's sequence in its stream.
    pub fn origin(&self) -> Option<u64> {
        self.letter.stream_sequence
    }

    /// The number of the incarnation of the message's stream in the store.
    pub fn src(&self) -> Option<Src> {
        self.letter.src
    }

    /// Why it was dead-lettered.
    pub fn reason(&self) -> &str {
        self.letter
            .reason
            .as_deref()
            .unwrap_or("the dead letter names no reason")
    }

    /// The batch that the message is or is about, if that is known.
    pub fn batch(&self) -> Option<BatchRef> {
        match &self.content {
            DeadPayload::Job(job) => Some(job.body.batch),
            DeadPayload::Pointer(pointer) => Some(pointer.at),
            DeadPayload::Batch(_) | DeadPayload::Raw(_) if is_event_stream(&self.letter.stream) => {
                Some(BatchRef {
                    src: self.src()?,
                    seq: self.origin()?,
                })
            }
            DeadPayload::Batch(_) | DeadPayload::Raw(_) => self.letter.context.batch,
        }
    }

    /// The developer that the headers name, else the payload, else the subject.
    pub fn developer(&self) -> Option<String> {
        let named = self.letter.context.developer.as_deref();
        let named = named.or(match &self.content {
            DeadPayload::Batch(batch) => Some(batch.header.developer.as_str()),
            DeadPayload::Job(job) => Some(&job.body.developer),
            DeadPayload::Pointer(_) | DeadPayload::Raw(_) => None,
        });
        named
            .map(str::to_owned)
            .or_else(|| developer_of_subject(self.letter.subject.as_deref()?))
    }
}

/// Whether the stream of this name holds batches.
pub fn is_event_stream(name: &str) -> bool {
    EventStream::named(name).is_some()
}

/// The developer whom a subject of a batch or job names.
fn developer_of_subject(subject: &str) -> Option<String> {
    let tokens: Vec<&str> = subject.split('.').collect();
    let name = match tokens[..] {
        ["jobs", _, _, name] => name,
        _ => event_streams::developer_of_subject(subject)?,
    };
    name.parse::<DeveloperId>().ok().map(String::from)
}

/// A dead letter as it is listed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct DeadLetterEntry {
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
    /// The state of the batch when it was dead-lettered.
    pub state: Option<String>,
    /// Executable and instance that dead-lettered it.
    pub actor: Option<String>,
    /// A last `…` means that there are more.
    pub event_ids: Vec<String>,
}

impl DeadLetterEntry {
    pub fn of(dead: &DeadMessage) -> Self {
        let letter = &dead.letter;
        let state = letter.context.state.map_or("none", BatchState::as_str);
        Self {
            sequence: dead.sequence,
            dead_at: rfc3339(letter.at),
            stream: letter.stream.clone(),
            consumer: letter.consumer.clone(),
            stream_sequence: dead.origin(),
            batch: dead.batch().map(|at| at.to_string()),
            job_id: dead.job_id(),
            developer: dead.developer(),
            reason: dead.reason().to_owned(),
            attempts: letter.attempts,
            delivered: letter.delivered,
            error_class: letter.error_class.map(|class| class.as_str().to_owned()),
            state: Some(state.to_owned()),
            actor: letter.actor.clone(),
            event_ids: letter.context.event_ids.clone(),
        }
    }
}

#[cfg(test)]
pub mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use types::job::{JobBody, JobKind};

    use super::*;

    fn stored_message(subject: &str, headers: HeaderMap, payload: &[u8]) -> StoredMessage {
        StoredMessage {
            seq: 7,
            at: 1_772_323_200_000_000,
            subject: subject.to_owned(),
            headers,
            undecodable: None,
            payload: Bytes::copy_from_slice(payload),
        }
    }

    /// The message of DEAD with sequence 7.
    pub fn dead_message(subject: &str, headers: &[(&str, &str)], payload: &[u8]) -> DeadMessage {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.insert(*name, *value);
        }
        DeadMessage::read(stored_message(subject, map, payload)).unwrap()
    }

    /// The live alert job of batch 2:5.
    pub fn job() -> JobMessage {
        let body = JobBody {
            batch_id: "b1".to_owned(),
            developer: "ada".to_owned(),
            correlation_id: "c1".to_owned(),
            traceparent: String::new(),
            batch: BatchRef { src: 2, seq: 5 },
            counts_by_type: BTreeMap::new(),
            first_occurred_at: None,
            last_occurred_at: None,
            touched_days: BTreeSet::new(),
            schema_versions: BTreeSet::new(),
        };
        JobMessage::live(JobKind::Alert, body)
    }

    #[test]
    fn a_dead_letter_names_its_message_developer_and_reason() {
        let headers = [
            ("Devtrail-Stream-Sequence", "5"),
            ("Devtrail-Subject", "events.batch.ada"),
            ("Devtrail-Reason", "no line feed"),
            ("Devtrail-Attempts", "8"),
            ("Devtrail-Error-Class", "unknown"),
            ("Devtrail-Src", "2"),
            ("Devtrail-Event-Ids", "e1,a%2Cb%252C,…"),
        ];
        let one = dead_message("dead.EVENTS.persist", &headers, b"garbage");
        let entry = DeadLetterEntry::of(&one);
        assert_eq!(
            (entry.stream.as_str(), entry.consumer.as_str()),
            ("EVENTS", "persist")
        );
        assert_eq!(
            (entry.batch.as_deref(), entry.developer.as_deref()),
            (Some("2:5"), Some("ada"))
        );
        assert_eq!(
            (entry.attempts, entry.error_class.as_deref()),
            (Some(8), Some("unknown"))
        );
        assert_eq!(
            (entry.reason.as_str(), &entry.event_ids[..]),
            (
                "no line feed",
                &["e1", "a,b%2C", "…"].map(str::to_owned)[..]
            )
        );
        assert!(
            matches!(&one.content, DeadPayload::Raw(why) if why.contains("header does not parse")),
            "{:?}",
            one.content
        );
    }

    #[test]
    fn a_job_names_its_batch_and_a_pointer_the_message() {
        let one = dead_message("dead.JOBS.alert", &[], &serde_json::to_vec(&job()).unwrap());
        let entry = DeadLetterEntry::of(&one);
        assert_eq!(
            (entry.batch.as_deref(), entry.job_id.as_deref()),
            (Some("2:5"), Some("2:5:alert"))
        );
        assert_eq!(entry.developer.as_deref(), Some("ada"));
        let payload =
            serde_json::to_vec(&ReplayPointer::redrive(BatchRef { src: 2, seq: 5 })).unwrap();
        let one = dead_message(
            "dead.REPLAY.persist-replay",
            &[("Devtrail-Developer", "ada")],
            &payload,
        );
        let entry = DeadLetterEntry::of(&one);
        assert_eq!(
            (entry.batch.as_deref(), entry.developer.as_deref()),
            (Some("2:5"), Some("ada"))
        );
    }

    #[test]
    fn a_dead_letter_with_few_headers_is_read_as_far_as_it_goes() {
        let one = dead_message(
            "dead.EVENTS.persist",
            &[("Devtrail-Stream-Sequence", "5")],
            b"garbage",
        );
        let entry = DeadLetterEntry::of(&one);
        assert_eq!(
            (
                entry.batch,
                entry.developer,
                entry.attempts,
                entry.error_class
            ),
            (None, None, None, None)
        );
        assert_eq!(entry.reason, "the dead letter names no reason");
        for strange in ["dead.EVENTS", "alive.EVENTS.persist"] {
            let message = stored_message(strange, HeaderMap::new(), b"");
            assert!(DeadMessage::read(message).is_none(), "{strange}");
        }
    }
}
