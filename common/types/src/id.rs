//! Identities of batches, events, developers and requests.
//!
//! A stream sequence alone is no identity: streams are recreated, restored and sourced. Everything stored is therefore
//! named by a *source*, a number for one incarnation of a stream, and the sequence.

use std::fmt;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

/// One incarnation of a stream: the store assigns a small integer to each (stream name, creation time).
pub type Src = i64;

/// A batch: the EVENTS message with sequence `seq` in the stream incarnation `src`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct BatchRef {
    /// The stream's incarnation.
    pub src: Src,
    /// The stream sequence, from 1.
    pub seq: u64,
}

/// An event of a batch. The order decides which of two events with one id came first.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, ToSchema,
)]
pub struct EventRef {
    /// The stream's incarnation.
    #[schema(value_type = i64)]
    pub src: Src,
    /// The stream sequence, from 1.
    pub seq: u64,
    /// The event's index in the batch, from 0.
    pub ordinal: u32,
}

impl BatchRef {
    /// The event at `ordinal` of this batch.
    #[must_use]
    pub fn event(self, ordinal: u32) -> EventRef {
        EventRef {
            src: self.src,
            seq: self.seq,
            ordinal,
        }
    }
}

impl EventRef {
    /// The batch the event came in.
    #[must_use]
    pub fn batch(self) -> BatchRef {
        BatchRef {
            src: self.src,
            seq: self.seq,
        }
    }
}

impl fmt::Display for BatchRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.src, self.seq)
    }
}

impl fmt::Display for EventRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}", self.src, self.seq, self.ordinal)
    }
}

/// Longest batch, event or correlation id, in characters.
pub const MAX_ID: usize = 128;

/// Whether `text` may be a batch, event or correlation id: 1 to 128 characters from 0x21 to 0x7E.
#[must_use]
pub fn is_id(text: &str) -> bool {
    (1..=MAX_ID).contains(&text.len()) && text.bytes().all(|byte| (0x21..=0x7E).contains(&byte))
}

/// A developer's id: 1 to 64 characters of `[A-Za-z0-9_-]`, so that it is one token of a NATS subject.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct DeveloperId(String);

/// A text that is not a developer id.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no developer id: use 1 to 64 characters of A-Z, a-z, 0-9, _ and -")]
pub struct BadDeveloperId(String);

impl DeveloperId {
    /// The id as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for DeveloperId {
    type Error = BadDeveloperId;

    fn try_from(text: String) -> Result<Self, BadDeveloperId> {
        let token = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-';
        if (1..=64).contains(&text.len()) && text.bytes().all(token) {
            Ok(Self(text))
        } else {
            Err(BadDeveloperId(text))
        }
    }
}

impl std::str::FromStr for DeveloperId {
    type Err = BadDeveloperId;

    fn from_str(text: &str) -> Result<Self, BadDeveloperId> {
        Self::try_from(text.to_owned())
    }
}

impl DeveloperId {
    /// The empty id, which no developer can have. It replaces the id of a forgotten developer.
    #[must_use]
    pub fn nobody() -> Self {
        Self(String::new())
    }
}

impl From<DeveloperId> for String {
    fn from(id: DeveloperId) -> Self {
        id.0
    }
}

impl fmt::Display for DeveloperId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What an EVENTS message says of itself, wherever it is in the stream.
///
/// A stream that is restored to an older state gives sequences out again: what is found at a sequence is another
/// message's if its identity differs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MessageIdentity {
    /// The developer who sent the batch.
    pub developer: String,
    /// The client's batch id.
    pub batch_id: String,
    /// The message's [`msg_id`].
    pub message_id: String,
}

impl MessageIdentity {
    /// The identity of a batch's message.
    #[must_use]
    pub fn new(
        developer: &DeveloperId,
        epoch: u64,
        batch_id: &str,
        events: impl Iterator<Item = impl AsRef<[u8]>>,
    ) -> Self {
        Self {
            developer: developer.to_string(),
            batch_id: batch_id.to_owned(),
            message_id: msg_id(developer, epoch, batch_id, events),
        }
    }
}

/// The `Nats-Msg-Id` of a batch: `<developer>:<epoch>:<batch_id>:<16 hex>`.
///
/// The last part is the first half of BLAKE3 over the events' exact bytes in their order. Each event is preceded by
/// its length as eight little-endian bytes, so that moving a border between two events changes the hash. `sent_at` and
/// `client` are not hashed: a retry is the same message.
#[must_use]
pub fn msg_id(
    developer: &DeveloperId,
    epoch: u64,
    batch_id: &str,
    events: impl Iterator<Item = impl AsRef<[u8]>>,
) -> String {
    let hash = hash_of(events).to_hex();
    format!("{developer}:{epoch}:{batch_id}:{}", &hash[..16])
}

/// An id derived from content: `<prefix>-` and 32 hex of BLAKE3 over the parts, each preceded by its length as in
/// [`msg_id`]. The same parts give the same id, so a client without ids can send again.
#[must_use]
pub fn made_of(prefix: &str, parts: impl Iterator<Item = impl AsRef<[u8]>>) -> String {
    format!("{prefix}-{}", &hash_of(parts).to_hex()[..32])
}

/// Bytes that are hashed at once. BLAKE3 takes several of its chunks of 1 KiB at a time, if it is given them.
const HASHED_AT_ONCE: usize = 64 * 1024;

fn hash_of(parts: impl Iterator<Item = impl AsRef<[u8]>>) -> blake3::Hash {
    let mut hasher = blake3::Hasher::new();
    let mut waiting: Vec<u8> = Vec::new();
    for part in parts {
        let part = part.as_ref();
        if waiting.len() + part.len() >= HASHED_AT_ONCE {
            hasher.update(&waiting);
            waiting.clear();
        }
        waiting.extend_from_slice(&(part.len() as u64).to_le_bytes());
        if part.len() < HASHED_AT_ONCE {
            waiting.extend_from_slice(part);
        } else {
            hasher.update(&waiting);
            waiting.clear();
            hasher.update(part);
        }
    }
    hasher.update(&waiting);
    hasher.finalize()
}

/// A correlation id: the client's if it is a valid id, else a fresh UUIDv7.
#[must_use]
pub fn correlation_id(sent: Option<&str>) -> String {
    match sent {
        Some(id) if is_id(id) => id.to_owned(),
        _ => Uuid::now_v7().to_string(),
    }
}

/// A W3C `traceparent`: the client's if it is well formed, else a fresh one, not sampled.
///
/// Version 00 is `00-<32 hex>-<16 hex>-<2 hex>`, lower case, neither id all zero
/// (W3C Trace Context, section 3.2).
#[must_use]
pub fn traceparent(sent: Option<&str>) -> String {
    match sent {
        Some(text) if is_traceparent(text) => text.to_owned(),
        _ => {
            let parent = Uuid::new_v4().simple().to_string();
            format!("00-{}-{}-00", Uuid::new_v4().simple(), &parent[..16])
        }
    }
}

fn is_traceparent(text: &str) -> bool {
    let hex = |part: &str, len: usize| {
        part.len() == len
            && part
                .bytes()
                .all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
    };
    let id = |part: &str, len: usize| hex(part, len) && part.bytes().any(|b| b != b'0');
    let parts: Vec<&str> = text.split('-').collect();
    matches!(parts[..], ["00", trace, parent, flags] if id(trace, 32) && id(parent, 16) && hex(flags, 2))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_have_1_to_128_printable_characters() {
        assert!(is_id("a") && is_id(&"x".repeat(128)) && is_id("!~"));
        assert!(
            !is_id("") && !is_id(&"x".repeat(129)) && !is_id("a b") && !is_id("ü") && !is_id("a\0")
        );
    }

    #[test]
    fn a_developer_id_is_one_subject_token() {
        assert!("ada_L-1".parse::<DeveloperId>().is_ok());
        for bad in ["", "a.b", "a>", "*", "a b", &"x".repeat(65)] {
            assert!(bad.parse::<DeveloperId>().is_err(), "{bad}");
        }
    }

    #[test]
    fn the_message_id_depends_on_events_order_and_borders_only() {
        let ada: DeveloperId = "ada".parse().unwrap();
        let id = |events: &[&str]| msg_id(&ada, 0, "b1", events.iter().copied());
        assert_eq!(id(&["{\"a\":1}", "{}"]), id(&["{\"a\":1}", "{}"]));
        assert_ne!(id(&["1", "2"]), id(&["2", "1"]));
        assert_ne!(id(&["12"]), id(&["1", "2"]));
        // Final: stored and sent since the first version (docs/protocol.md, Identity).
        let hash = blake3_of(b"\x02\0\0\0\0\0\0\0{}");
        assert_eq!(id(&["{}"]), format!("ada:0:b1:{}", &hash[..16]));
        // Final as well: an offline queue may send again after an update.
        assert_eq!(made_of("ce", ["{}"].iter()), format!("ce-{}", &hash[..32]));
    }

    fn blake3_of(bytes: &[u8]) -> String {
        blake3::hash(bytes).to_hex().to_string()
    }

    #[test]
    fn a_bad_traceparent_is_replaced() {
        let good = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
        assert_eq!(traceparent(Some(good)), good);
        for bad in [
            "",
            "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",
            "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
            "01-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
        ] {
            let made = traceparent(Some(bad));
            assert!(made != bad && is_traceparent(&made), "{made}");
        }
    }
}
