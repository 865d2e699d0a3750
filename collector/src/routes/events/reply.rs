//! The 2xx of a batch: from its own verdicts, from the original's if it is a duplicate, or from the store.

use axum::Json;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use types::admission::Admitted;
use types::batch::{self, Header};
use types::event_streams::StreamSequence;
use types::query::StoredReply;
use types::verdict::{Counts, Exception};
use utoipa::ToSchema;

use crate::app_state::EventsStream;
use crate::prefer::{PREFERENCE_APPLIED, PreferWait};
use crate::publisher::PublishedMessage;
use crate::stored_wait::WaitOutcome;

/// The body of the 2xx.
#[derive(Serialize, ToSchema)]
pub struct ReplyBody<'a> {
    batch_id: &'a str,
    correlation_id: &'a str,
    /// What the 2xx means: `stream`, on disk in JetStream; `stored`, in the store as well.
    #[schema(pattern = "^(stream|stored)$")]
    durability: &'static str,
    /// A number, or `STREAM:N` if there are several event streams.
    stream_sequence: &'a StreamSequence,
    duplicate_batch: bool,
    counts: Counts,
    exceptions: &'a [Exception],
}

/// The message in the stream that a PubAck speaks of.
#[derive(Debug, PartialEq)]
pub enum DuplicateOf {
    /// The message of this very request, even if its publish was tried twice.
    SameRequest,
    /// An earlier submission of the same events.
    Earlier {
        counts: Counts,
        exceptions: Vec<Exception>,
    },
    /// An earlier submission that could not be read.
    Unreadable,
}

impl DuplicateOf {
    /// Looks up the original of a duplicate. A stream that was recreated or restored since the PubAck may have another
    /// message at its sequence, which is nothing to this client.
    pub async fn look_up(
        stream: &EventsStream,
        published: &PublishedMessage,
        own: &Header,
        supported: &[String],
    ) -> Self {
        let sequence = published.sequence;
        let read = async {
            let name = &published.incarnation.name;
            let events = stream.js.get_stream_no_info(name).await?;
            let message = events.direct_get(sequence).await?;
            let original = batch::decode(message.payload)?;
            if original.identity() != published.identity {
                return Err("the stream has another message at its sequence".into());
            }
            if is_same_request(&original.header, own) {
                return Ok(Self::SameRequest);
            }
            Ok::<_, async_nats::Error>(Self::Earlier {
                counts: original.header.counts,
                exceptions: original.exceptions(supported),
            })
        };
        read.await.unwrap_or_else(|error| {
            tracing::warn!(sequence, %error, "the original of a duplicate could not be read");
            Self::Unreadable
        })
    }
}

/// Whether both are of one request: its PubAck was lost, and the second attempt found the first.
fn is_same_request(one: &Header, other: &Header) -> bool {
    one.collector == other.collector
        && one.received_at == other.received_at
        && one.validated_at == other.validated_at
        && one.correlation_id == other.correlation_id
}

/// A wait for the store that was tried, and how it ended.
pub struct Wait {
    pub prefer: PreferWait,
    pub outcome: WaitOutcome,
}

/// The reply to a batch that is on disk.
pub struct BatchReply {
    /// The store has the batch, and the reply is its own.
    stored: bool,
    /// The wait that was applied.
    applied: Option<PreferWait>,
    duplicate_batch: bool,
    stream_sequence: StreamSequence,
    counts: Counts,
    /// Each event that was not simply accepted, in order.
    pub exceptions: Vec<Exception>,
}

impl BatchReply {
    /// Puts the reply together: from the batch's own verdicts, the original's, or the store's.
    pub fn new(
        admitted: &Admitted<'_>,
        published: &PublishedMessage,
        duplicate_of: DuplicateOf,
        wait: Option<Wait>,
        supported: &[String],
    ) -> Self {
        let is_resend = published.duplicate && duplicate_of != DuplicateOf::SameRequest;
        let applied = wait
            .as_ref()
            .filter(|wait| wait.outcome != WaitOutcome::Interrupted)
            .map(|wait| wait.prefer);
        if let Some(Wait {
            outcome: WaitOutcome::Stored(stored),
            ..
        }) = wait
        {
            let stored = with_supported(stored, supported);
            return Self {
                stored: true,
                applied,
                // The store knows resends that the server has forgotten.
                duplicate_batch: is_resend || stored.duplicate_batch,
                stream_sequence: stored.stream_sequence,
                counts: stored.counts,
                exceptions: stored.exceptions,
            };
        }
        // The same message id means the same events: this attempt's own counts differ from the original's at most
        // by what time decides (implausible then, plausible now).
        let (counts, exceptions) = match duplicate_of {
            DuplicateOf::Earlier { counts, exceptions } => (counts, exceptions),
            DuplicateOf::SameRequest | DuplicateOf::Unreadable => {
                let header = &admitted.header;
                let events = admitted.events.iter().map(AsRef::as_ref);
                let noted = header.events.iter().zip(events);
                (header.counts, batch::exceptions(noted, supported))
            }
        };
        Self {
            stored: false,
            applied,
            duplicate_batch: is_resend,
            stream_sequence: StreamSequence::new(&published.incarnation.name, published.sequence),
            counts,
            exceptions,
        }
    }

    /// The 2xx of `POST /v1/events`: 200 if the store has the batch, else 202.
    pub fn to_response(&self, header: &Header) -> Response {
        let (status, durability) = match self.stored {
            true => (StatusCode::OK, "stored"),
            false => (StatusCode::ACCEPTED, "stream"),
        };
        let body = ReplyBody {
            batch_id: &header.batch_id,
            correlation_id: &header.correlation_id,
            durability,
            stream_sequence: &self.stream_sequence,
            duplicate_batch: self.duplicate_batch,
            counts: self.counts,
            exceptions: &self.exceptions,
        };
        self.with_preference((status, Json(body)).into_response())
    }

    /// Names in a response the client's wait, if it was applied.
    pub fn with_preference(&self, mut response: Response) -> Response {
        let applied = self.applied.as_ref();
        let header = applied.map(|wait| (PREFERENCE_APPLIED, wait.applied()));
        response.headers_mut().extend(header);
        response
    }
}

/// The store's reply names no schema versions: which are supported, this collector says.
fn with_supported(mut stored: StoredReply, supported: &[String]) -> StoredReply {
    for exception in &mut stored.exceptions {
        exception.supported = batch::names_supported(exception.code).then(|| supported.to_vec());
    }
    stored
}

#[cfg(test)]
mod tests {
    use types::batch::FORMAT;

    use super::*;
    use types::formats::Format;

    fn header(correlation_id: &str, received_at: i64) -> Header {
        Header {
            format: FORMAT,
            developer: "ada".parse().unwrap(),
            epoch: 0,
            batch_id: "b1".to_owned(),
            correlation_id: correlation_id.to_owned(),
            traceparent: String::new(),
            schema_version: "1.0".to_owned(),
            sent_at: String::new(),
            received_at,
            validated_at: received_at,
            collector: "c/1".to_owned(),
            skew: 0,
            zone: None,
            envelope: std::collections::BTreeMap::new(),
            counts: Counts {
                received: 2,
                accepted: 2,
                ..Counts::default()
            },
            events: Vec::new(),
            origin: None,
        }
    }

    fn prefer() -> PreferWait {
        let mut headers = axum::http::HeaderMap::new();
        headers.insert("prefer", "wait=2".parse().unwrap());
        PreferWait::of(&headers).unwrap()
    }

    async fn reply(
        duplicate: bool,
        duplicate_of: DuplicateOf,
        outcome: Option<WaitOutcome>,
    ) -> (u16, Option<String>, serde_json::Value) {
        let admitted = Admitted {
            header: header("c1", 7),
            format: Format::Envelope,
            events: Vec::new(),
        };
        let incarnation = types::stream::StreamIncarnation {
            name: "EVENTS".to_owned(),
            created: 1,
        };
        let published = PublishedMessage {
            incarnation,
            identity: types::id::MessageIdentity {
                developer: "ada".to_owned(),
                batch_id: "b1".to_owned(),
                message_id: "ada:0:b1:0123456789abcdef".to_owned(),
            },
            sequence: 9,
            duplicate,
            joined: false,
        };
        let wait = outcome.map(|outcome| Wait {
            prefer: prefer(),
            outcome,
        });
        let response = BatchReply::new(&admitted, &published, duplicate_of, wait, &[])
            .to_response(&admitted.header);
        let applied = response
            .headers()
            .get(PREFERENCE_APPLIED)
            .map(|value| value.to_str().unwrap().to_owned());
        let status = response.status().as_u16();
        let body = axum::body::to_bytes(response.into_body(), 9_999)
            .await
            .unwrap();
        (status, applied, serde_json::from_slice(&body).unwrap())
    }

    #[test]
    fn a_second_attempt_of_one_request_is_no_resend() {
        assert!(is_same_request(&header("c1", 7), &header("c1", 7)));
        assert!(!is_same_request(&header("c1", 7), &header("c1", 8)));
        assert!(!is_same_request(&header("c1", 7), &header("c2", 7)));
    }

    #[tokio::test]
    async fn without_a_wait_the_reply_speaks_of_the_stream() {
        let (status, applied, body) = reply(false, DuplicateOf::SameRequest, None).await;
        assert_eq!((status, applied), (202, None));
        assert_eq!(
            (&body["durability"], &body["duplicate_batch"]),
            (&"stream".into(), &false.into())
        );
        let (_, _, own) = reply(true, DuplicateOf::SameRequest, None).await;
        assert_eq!(own["duplicate_batch"], false);
        let first = DuplicateOf::Earlier {
            counts: Counts {
                received: 2,
                duplicate: 2,
                ..Counts::default()
            },
            exceptions: Vec::new(),
        };
        let (_, _, again) = reply(true, first, None).await;
        assert_eq!(
            (&again["duplicate_batch"], &again["counts"]["duplicate"]),
            (&true.into(), &2.into())
        );
    }

    #[tokio::test]
    async fn a_wait_is_named_as_applied_only_if_it_was() {
        let counts = Counts {
            received: 2,
            duplicate: 1,
            accepted: 1,
            ..Counts::default()
        };
        let stored = StoredReply {
            stream_sequence: StreamSequence::new("EVENTS", 3),
            duplicate_batch: true,
            counts,
            exceptions: Vec::new(),
        };
        let (status, applied, body) = reply(
            false,
            DuplicateOf::SameRequest,
            Some(WaitOutcome::Stored(stored)),
        )
        .await;
        assert_eq!((status, applied.as_deref()), (200, Some("wait=2")));
        assert_eq!(
            (&body["durability"], &body["stream_sequence"]),
            (&"stored".into(), &3.into())
        );
        assert_eq!(
            (&body["duplicate_batch"], &body["counts"]["duplicate"]),
            (&true.into(), &1.into())
        );
        let (status, applied, body) =
            reply(false, DuplicateOf::SameRequest, Some(WaitOutcome::TimedOut)).await;
        assert_eq!(
            (status, applied.as_deref(), &body["stream_sequence"]),
            (202, Some("wait=2"), &9.into())
        );
        let (status, applied, _) = reply(
            false,
            DuplicateOf::SameRequest,
            Some(WaitOutcome::Interrupted),
        )
        .await;
        assert_eq!((status, applied), (202, None));
    }
}
