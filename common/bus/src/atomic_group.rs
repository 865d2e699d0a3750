//! Publishing a group of messages as one JetStream atomic batch (NATS ADR-50): the stream stores all of them or none.
//!
//! A group costs the server four fsyncs, however many messages are in it. Single messages cost one each.
//! Whatever is not [`CommittedGroup`] leaves one way: publish the members singly, with the same message ids.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_nats::client::RequestErrorKind;
use async_nats::header::NATS_MESSAGE_ID;
use async_nats::header::{
    NATS_BATCH_COMMIT, NATS_BATCH_COMMIT_FINAL, NATS_BATCH_ID, NATS_BATCH_SEQUENCE,
};
use async_nats::{Client, HeaderMap, Request};
use bytes::Bytes;
use runtime::crash;
use serde::Deserialize;
use tokio::time::{Instant, timeout};
use uuid::Uuid;

/// The most messages that the server takes as one group.
pub const MAX_MESSAGES: usize = 1000;
/// Fewer messages cost less as single publishes, which make one fsync each.
pub const MIN_MESSAGES: usize = 5;

/// The stream was made without `allow_atomic`.
const ATOMIC_DISABLED: u64 = 10174;
/// A member has a message id that the stream knows.
const CONTAINS_DUPLICATE: u64 = 10201;

/// A message of a group.
#[derive(Debug, Clone)]
pub struct GroupMessage {
    pub subject: String,
    /// Its `Nats-Msg-Id`.
    pub message_id: String,
    /// Its other headers.
    pub headers: HeaderMap,
    pub payload: Bytes,
}

/// A group that the stream has stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CommittedGroup {
    /// The sequence of the last member.
    last: u64,
    members: u64,
}

impl CommittedGroup {
    /// The sequences of the members, in their order.
    pub fn sequences(self) -> impl Iterator<Item = u64> {
        let first = self.last + 1 - self.members;
        (0..self.members).map(move |member| first + member)
    }
}

/// The group was not confirmed. Its members are to be published singly, with the same message ids.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum GroupError {
    /// The stream takes no groups. Nothing was stored as one.
    #[error("the stream takes no atomic batches: {0}")]
    Unsupported(String),
    /// The stream knows the message id of a member. Nothing was stored.
    #[error("the group has a message that the stream knows")]
    Duplicate,
    /// The server refused the group. Nothing was stored.
    #[error("the server refused the group: {0}")]
    Refused(String),
    /// No usable answer. The group may be stored all the same.
    #[error("the server did not confirm the group: {0}")]
    Unconfirmed(String),
}

/// From the refusal of groups by the stream to the next try: an administrator may allow them meanwhile.
pub const UNSUPPORTED: Duration = Duration::from_secs(30);

/// Whether a stream takes groups: told once when that changes, and asked again after [`UNSUPPORTED`].
#[derive(Debug)]
pub struct GroupSupport {
    stream: String,
    /// It takes none, until it is asked again.
    refused_until: Mutex<Option<Instant>>,
}

impl GroupSupport {
    /// Of a stream that has not been asked.
    #[must_use]
    pub fn of(stream: impl Into<String>) -> Self {
        Self {
            stream: stream.into(),
            refused_until: Mutex::new(None),
        }
    }

    /// Whether a group may be tried now.
    #[must_use]
    pub fn may_try(&self) -> bool {
        self.refused_until()
            .is_none_or(|until| until <= Instant::now())
    }

    /// The stream has taken a group.
    pub fn takes(&self) {
        if self.refused_until().take().is_some() {
            tracing::info!("the stream {} takes atomic batches again", self.stream);
        }
    }

    /// A group of so many messages was not confirmed: they go singly.
    pub fn refused(&self, error: &GroupError, members: usize) {
        let is_unsupported = matches!(error, GroupError::Unsupported(_));
        let until = Instant::now() + UNSUPPORTED;
        if is_unsupported && self.refused_until().replace(until).is_none() {
            tracing::warn!(
                %error,
                "the stream {} takes no atomic batches: its messages are published singly, which is slower on a slow \
                 disk; `devtrail streams apply` lets it take them",
                self.stream
            );
        } else {
            tracing::debug!(%error, members, "a group is published singly");
        }
    }

    fn refused_until(&self) -> MutexGuard<'_, Option<Instant>> {
        // Nothing panics with it.
        self.refused_until
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

/// Publishes 1 to [`MAX_MESSAGES`] messages as one group and awaits its PubAck, at most `limit`.
///
/// # Errors
/// Returns [`GroupError`] for every other end.
pub async fn publish(
    client: &Client,
    messages: Vec<GroupMessage>,
    limit: Duration,
) -> Result<CommittedGroup, GroupError> {
    let Ok(published) = timeout(limit, send(client, messages)).await else {
        return Err(GroupError::Unconfirmed(format!(
            "no PubAck within {limit:?}"
        )));
    };
    published
}

async fn send(client: &Client, messages: Vec<GroupMessage>) -> Result<CommittedGroup, GroupError> {
    let members = messages.len();
    let id = Uuid::now_v7().simple().to_string();
    for (message, sequence) in messages.into_iter().zip(1_usize..) {
        let GroupMessage {
            subject,
            message_id,
            mut headers,
            payload,
        } = message;
        headers.insert(NATS_MESSAGE_ID, message_id);
        headers.insert(NATS_BATCH_ID, id.as_str());
        headers.insert(NATS_BATCH_SEQUENCE, sequence.to_string());
        if sequence < members {
            let sent = client.publish_with_headers(subject, headers, payload).await;
            sent.map_err(|error| GroupError::Refused(error.to_string()))?;
            continue;
        }
        crash::point("group.before_commit");
        headers.insert(NATS_BATCH_COMMIT, NATS_BATCH_COMMIT_FINAL);
        // The caller's limit holds, not the client's.
        let request = Request::new()
            .headers(headers)
            .payload(payload)
            .timeout(None);
        let reply = client.send_request(subject, request).await;
        let reply = reply.map_err(|error| match error.kind() {
            RequestErrorKind::InvalidSubject | RequestErrorKind::MaxPayloadExceeded => {
                GroupError::Refused(error.to_string())
            }
            _ => GroupError::Unconfirmed(error.to_string()),
        })?;
        crash::point("group.after_commit");
        return committed(&reply.payload, &id, members as u64);
    }
    Err(GroupError::Refused("it has no messages".to_owned()))
}

/// A PubAck or a refusal, as the server sends it.
#[derive(Deserialize)]
struct Reply<'a> {
    seq: Option<u64>,
    #[serde(borrow)]
    batch: Option<&'a str>,
    count: Option<u64>,
    error: Option<Refusal>,
}

#[derive(Deserialize)]
struct Refusal {
    #[serde(default)]
    err_code: u64,
    #[serde(default)]
    description: String,
}

/// What the reply to the group `id` of so many members means.
fn committed(reply: &[u8], id: &str, members: u64) -> Result<CommittedGroup, GroupError> {
    let reply: Reply<'_> = serde_json::from_slice(reply)
        .map_err(|error| GroupError::Unconfirmed(format!("no PubAck: {error}")))?;
    if let Some(Refusal {
        err_code,
        description,
    }) = reply.error
    {
        return Err(match err_code {
            ATOMIC_DISABLED => GroupError::Unsupported(description),
            CONTAINS_DUPLICATE => GroupError::Duplicate,
            _ => GroupError::Refused(format!("{description} ({err_code})")),
        });
    }
    match (reply.seq, reply.batch, reply.count) {
        (Some(last), Some(batch), Some(count))
            if batch == id && count == members && last >= count =>
        {
            Ok(CommittedGroup { last, members })
        }
        // A server that does not know groups stores each member for itself, and tells of the last alone.
        (Some(_), None, None) => Err(GroupError::Unsupported(
            "the server does not know them".to_owned(),
        )),
        (last, batch, count) => Err(GroupError::Unconfirmed(format!(
            "the PubAck is of {count:?} messages up to {last:?} of the group {batch:?}, not of {members} of {id}"
        ))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(reply: &str) -> Result<CommittedGroup, GroupError> {
        committed(reply.as_bytes(), "g1", 3)
    }

    #[test]
    fn each_member_has_its_sequence_in_the_order_of_sending() {
        let group = of(r#"{"stream":"EVENTS","seq":12,"batch":"g1","count":3}"#).unwrap();
        assert_eq!(group.sequences().collect::<Vec<_>>(), [10, 11, 12]);
        let first = of(r#"{"stream":"EVENTS","seq":3,"batch":"g1","count":3}"#).unwrap();
        assert_eq!(first.sequences().next(), Some(1));
    }

    #[test]
    fn nothing_but_the_whole_group_is_a_commit() {
        for unconfirmed in [
            r#"{"stream":"EVENTS","seq":12,"batch":"g1","count":2}"#,
            r#"{"stream":"EVENTS","seq":12,"batch":"g2","count":3}"#,
            r#"{"stream":"EVENTS","seq":2,"batch":"g1","count":3}"#,
            r#"{"stream":"EVENTS","batch":"g1","count":3}"#,
            "",
            "[]",
        ] {
            assert!(
                matches!(of(unconfirmed), Err(GroupError::Unconfirmed(_))),
                "{unconfirmed}"
            );
        }
        let plain = of(r#"{"stream":"EVENTS","seq":12}"#);
        assert!(matches!(plain, Err(GroupError::Unsupported(_))));
    }

    #[test]
    fn a_refusal_says_why() {
        let refusal = |code: u64| {
            of(&format!(
                r#"{{"error":{{"code":400,"err_code":{code},"description":"why"}},"stream":"EVENTS","seq":0}}"#
            ))
        };
        assert_eq!(refusal(10201), Err(GroupError::Duplicate));
        assert_eq!(
            refusal(10174),
            Err(GroupError::Unsupported("why".to_owned()))
        );
        for code in [10199, 10210, 10077, 10176] {
            assert_eq!(
                refusal(code),
                Err(GroupError::Refused(format!("why ({code})")))
            );
        }
    }
}
