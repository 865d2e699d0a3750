//! A dead letter: a message that its consumer could not handle, as the stream DEAD holds it.
//!
//! The pull loop writes it into the headers of a message of DEAD, the store into the audit, and the commands read it
//! back from the headers (`docs/contract.md`, "In NATS").

use std::str::FromStr;

use crate::id::{BatchRef, Src};
use crate::job::{BatchState, JobMessage};
use crate::json::shorten;
use crate::time::Micros;

/// Longest reason in a header, in bytes: the headers are bounded, the payload is not.
const MAX_REASON: usize = 1024;
/// Longest list of event ids in a header, in bytes.
const MAX_EVENT_IDS: usize = 4096;
/// What the header of the batch's state says if the batch is not stored.
const NOT_STORED: &str = "none";

const MESSAGE_ID: &str = "Devtrail-Msg-Id";
const REASON: &str = "Devtrail-Reason";
const STREAM_SEQUENCE: &str = "Devtrail-Stream-Sequence";
const SUBJECT: &str = "Devtrail-Subject";
const ATTEMPTS: &str = "Devtrail-Attempts";
const DELIVERED: &str = "Devtrail-Delivered";
const ERROR_CLASS: &str = "Devtrail-Error-Class";
const STATE: &str = "Devtrail-State";
const SRC: &str = "Devtrail-Src";
const BATCH: &str = "Devtrail-Batch";
const DEVELOPER: &str = "Devtrail-Developer";
const EVENT_IDS: &str = "Devtrail-Event-Ids";
const ACTOR: &str = "Devtrail-Actor";

/// The headers that a message gets when it is dead-lettered; all others are its own.
pub const DEAD_LETTER_HEADERS: [&str; 13] = [
    MESSAGE_ID,
    REASON,
    STREAM_SEQUENCE,
    SUBJECT,
    ATTEMPTS,
    DELIVERED,
    ERROR_CLASS,
    STATE,
    SRC,
    BATCH,
    DEVELOPER,
    EVENT_IDS,
    ACTOR,
];

/// Why a message cannot be handled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DeadLetterClass {
    /// The message itself is at fault: each attempt would fail.
    Message,
    /// It used up its attempts, and the cause is not known.
    Unknown,
    /// Its workers died while they handled it alone.
    Died,
}

impl DeadLetterClass {
    const ALL: [Self; 3] = [Self::Message, Self::Unknown, Self::Died];

    /// The name on the wire and in the audit.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Message => "message",
            Self::Unknown => "unknown",
            Self::Died => "died",
        }
    }

    fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|class| class.as_str() == name)
    }
}

/// What is known of the content of a message.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct MessageContext {
    /// The batch that the message is or is about.
    pub batch: Option<BatchRef>,
    /// The state of that batch; `None` if it is not stored.
    pub state: Option<BatchState>,
    /// The developer whose events it is about.
    pub developer: Option<String>,
    /// The client's batch id. No header carries it.
    pub batch_id: Option<String>,
    /// The batch's correlation id. No header of a dead letter carries it.
    pub correlation_id: Option<String>,
    /// The events that it holds or is about, as far as they can be read.
    pub event_ids: Vec<String>,
    /// The job, if it is one. No header carries it: the payload does.
    pub job: Option<JobMessage>,
}

/// A message that its consumer could not handle.
///
/// Whoever dead-letters a message knows every field. A message of DEAD may name fewer of them: then they are `None`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeadLetter {
    /// When it was dead-lettered.
    pub at: Micros,
    /// The stream that it was delivered from.
    pub stream: String,
    /// The consumer that it was delivered to.
    pub consumer: String,
    /// The number of its stream's incarnation in the store.
    pub src: Option<Src>,
    /// Its sequence in its stream.
    pub stream_sequence: Option<u64>,
    /// Its subject in its stream.
    pub subject: Option<String>,
    /// Its `Nats-Msg-Id` in its stream.
    pub message_id: Option<String>,
    /// How often it was delivered; 0 if no client could read it.
    pub delivered: Option<u64>,
    /// How many attempts were used.
    pub attempts: Option<u32>,
    pub error_class: Option<DeadLetterClass>,
    /// The error chain.
    pub reason: Option<String>,
    /// Executable and instance that dead-lettered it.
    pub actor: Option<String>,
    pub context: MessageContext,
}

/// The subject in DEAD of what `consumer` of `stream` could not handle.
#[must_use]
pub fn dead_subject(stream: &str, consumer: &str) -> String {
    format!("dead.{stream}.{consumer}")
}

impl DeadLetter {
    /// The subject that it has in DEAD.
    #[must_use]
    pub fn dead_subject(&self) -> String {
        dead_subject(&self.stream, &self.consumer)
    }

    /// The headers that say what is known of it, as names and values of one line each.
    #[must_use]
    pub fn headers(&self) -> Vec<(&'static str, String)> {
        let context = &self.context;
        let state = context.state.map_or(NOT_STORED, BatchState::as_str);
        let event_ids = (!context.event_ids.is_empty()).then(|| join_ids(&context.event_ids));
        let reason = self.reason.as_deref();
        let headers = [
            (MESSAGE_ID, self.message_id.clone()),
            (REASON, reason.map(|reason| shorten(reason, MAX_REASON))),
            (
                STREAM_SEQUENCE,
                self.stream_sequence.map(|seq| seq.to_string()),
            ),
            (SUBJECT, self.subject.clone()),
            (ATTEMPTS, self.attempts.map(|attempts| attempts.to_string())),
            (
                DELIVERED,
                self.delivered.map(|delivered| delivered.to_string()),
            ),
            (
                ERROR_CLASS,
                self.error_class.map(|class| class.as_str().to_owned()),
            ),
            (STATE, Some(state.to_owned())),
            (SRC, self.src.map(|src| src.to_string())),
            (BATCH, context.batch.map(|batch| batch.to_string())),
            (DEVELOPER, context.developer.clone()),
            (EVENT_IDS, event_ids),
            (ACTOR, self.actor.clone()),
        ];
        let present = headers
            .into_iter()
            .filter_map(|(name, value)| Some((name, value?)));
        present
            .map(|(name, value)| (name, one_line(&value)))
            .collect()
    }

    /// Reads the message of DEAD with this subject, of which `header` gives the value of a name; `None` if the
    /// subject is not `dead.<stream>.<consumer>`.
    #[must_use]
    pub fn read<'a>(
        at: Micros,
        subject: &str,
        header: impl Fn(&str) -> Option<&'a str>,
    ) -> Option<Self> {
        fn parsed<T: FromStr>(value: Option<&str>) -> Option<T> {
            value?.parse().ok()
        }
        let mut tokens = subject.split('.');
        let ("dead", stream, consumer) = (tokens.next()?, tokens.next()?, tokens.next()?) else {
            return None;
        };
        let text = |name: &str| header(name).map(str::to_owned);
        Some(Self {
            at,
            stream: stream.to_owned(),
            consumer: consumer.to_owned(),
            src: parsed(header(SRC)),
            stream_sequence: parsed(header(STREAM_SEQUENCE)),
            subject: text(SUBJECT),
            message_id: text(MESSAGE_ID),
            delivered: parsed(header(DELIVERED)),
            attempts: parsed(header(ATTEMPTS)),
            error_class: header(ERROR_CLASS).and_then(DeadLetterClass::named),
            reason: text(REASON),
            actor: text(ACTOR),
            context: MessageContext {
                batch: header(BATCH).and_then(batch_ref),
                state: header(STATE).and_then(BatchState::named),
                developer: text(DEVELOPER).filter(|name| !name.is_empty()),
                event_ids: split_ids(header(EVENT_IDS).unwrap_or_default()),
                ..MessageContext::default()
            },
        })
    }
}

/// Reads `SRC:SEQ`.
fn batch_ref(text: &str) -> Option<BatchRef> {
    let (src, seq) = text.split_once(':')?;
    Some(BatchRef {
        src: src.parse().ok()?,
        seq: seq.parse().ok()?,
    })
}

/// The ids with commas between. A comma within an id is `%2C`, and `%` is `%25`. The list ends with `…` if it would
/// exceed its bound.
fn join_ids(ids: &[String]) -> String {
    let mut list = String::new();
    for id in ids {
        let id = id.replace('%', "%25").replace(',', "%2C");
        if list.len() + id.len() + ",…".len() >= MAX_EVENT_IDS {
            list.push('…');
            break;
        }
        list.push_str(&id);
        list.push(',');
    }
    list.strip_suffix(',').map_or(list.clone(), str::to_owned)
}

/// The ids of a list that [`join_ids`] made; a last `…` says that there are more.
fn split_ids(list: &str) -> Vec<String> {
    let ids = list.split(',').map(str::trim).filter(|id| !id.is_empty());
    ids.map(|id| id.replace("%2C", ",").replace("%25", "%"))
        .collect()
}

/// A header is one line.
fn one_line(text: &str) -> String {
    text.chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn letter(context: MessageContext) -> DeadLetter {
        DeadLetter {
            at: 9,
            stream: "JOBS".to_owned(),
            consumer: "alert".to_owned(),
            src: Some(2),
            stream_sequence: Some(5),
            subject: Some("jobs.alert.live.ada".to_owned()),
            message_id: Some("1:2:alert".to_owned()),
            delivered: Some(9),
            attempts: Some(8),
            error_class: Some(DeadLetterClass::Unknown),
            reason: Some("event 3: \"no\r\nNats-Rollup: all\"".to_owned()),
            actor: Some("worker/1".to_owned()),
            context,
        }
    }

    fn context() -> MessageContext {
        MessageContext {
            batch: Some(BatchRef { src: 1, seq: 7 }),
            state: Some(BatchState::Triggered),
            developer: Some("ada".to_owned()),
            event_ids: vec!["a,1".to_owned(), "b%2C".to_owned()],
            ..MessageContext::default()
        }
    }

    fn value<'a>(headers: &'a [(&str, String)], name: &str) -> Option<&'a str> {
        let header = headers.iter().find(|(one, _)| *one == name);
        header.map(|(_, value)| value.as_str())
    }

    #[test]
    fn headers_say_what_is_known_on_one_line_each() {
        let headers = letter(context()).headers();
        let expected = [
            ("Devtrail-Msg-Id", "1:2:alert"),
            ("Devtrail-Reason", "event 3: \"no  Nats-Rollup: all\""),
            ("Devtrail-Stream-Sequence", "5"),
            ("Devtrail-Subject", "jobs.alert.live.ada"),
            ("Devtrail-Attempts", "8"),
            ("Devtrail-Delivered", "9"),
            ("Devtrail-Error-Class", "unknown"),
            ("Devtrail-State", "triggered"),
            ("Devtrail-Src", "2"),
            ("Devtrail-Batch", "1:7"),
            ("Devtrail-Developer", "ada"),
            ("Devtrail-Event-Ids", "a%2C1,b%252C"),
            ("Devtrail-Actor", "worker/1"),
        ];
        assert_eq!(
            headers,
            expected.map(|(name, value)| (name, value.to_owned()))
        );
        let names: Vec<&str> = headers.iter().map(|(name, _)| *name).collect();
        assert_eq!(
            names, DEAD_LETTER_HEADERS,
            "a header that is not listed would be republished as the message's own"
        );
    }

    #[test]
    fn a_dead_letter_is_read_as_it_was_written() {
        let written = DeadLetter {
            reason: Some("no line feed".to_owned()),
            ..letter(context())
        };
        let headers = written.headers();
        let subject = written.dead_subject();
        let read = DeadLetter::read(9, &subject, |name| value(&headers, name));
        assert_eq!(read, Some(written));
        for strange in ["dead.EVENTS", "alive.EVENTS.persist"] {
            assert_eq!(DeadLetter::read(9, strange, |_| None), None, "{strange}");
        }
    }

    #[test]
    fn what_is_not_known_is_left_out_and_what_is_long_is_cut() {
        let headers = letter(MessageContext::default()).headers();
        assert_eq!(value(&headers, "Devtrail-State"), Some("none"));
        assert_eq!(value(&headers, "Devtrail-Batch"), None);
        let headers = letter(MessageContext {
            event_ids: vec!["x".repeat(128); 100],
            ..MessageContext::default()
        })
        .headers();
        let ids = value(&headers, "Devtrail-Event-Ids").unwrap();
        assert!(
            ids.len() <= MAX_EVENT_IDS && ids.ends_with(",…"),
            "{}",
            ids.len()
        );
        assert_eq!(ids.matches(',').count(), 31);
    }
}
