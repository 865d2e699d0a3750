//! The 2xx of a batch: from its own verdicts, from the first submission's, or from the store.

use axum::Json;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use bus::EVENTS;
use serde::Serialize;
use types::batch::{self, Header};
use types::query::StoredReply;
use types::verdict::{Counts, Exception};
use utoipa::ToSchema;

use crate::Stream;
use crate::prefer::{APPLIED, Wait};
use crate::publish::Published;
use crate::wait::Waited;
use types::admission::Admitted;

/// What a client is told of its batch.
#[derive(Serialize, ToSchema)]
pub struct Reply<'a> {
    batch_id: &'a str,
    correlation_id: &'a str,
    /// What the 2xx stands for: `stream`, on disk in JetStream; `stored`, in the store as well.
    #[schema(pattern = "^(stream|stored)$")]
    durability: &'static str,
    stream_sequence: u64,
    duplicate_batch: bool,
    counts: Counts,
    exceptions: &'a [Exception],
}

/// The message in the stream that a PubAck speaks of.
#[derive(Debug, PartialEq)]
pub enum First {
    /// This very submission, even where its publish was tried twice.
    Own,
    /// An earlier submission of the same events, with its counts and exceptions.
    Other(Counts, Vec<Exception>),
    /// An earlier submission that could not be read.
    Unread,
}

/// Looks up the first submission of a duplicate.
pub async fn first(stream: &Stream, sequence: u64, own: &Header, supported: &[String]) -> First {
    let read = async {
        let events = stream.js.get_stream_no_info(EVENTS).await?;
        let message = events.direct_get(sequence).await?;
        let first = batch::decode(message.payload)?;
        if is_same(&first.header, own) {
            return Ok(First::Own);
        }
        Ok::<_, async_nats::Error>(First::Other(
            first.header.counts,
            first.exceptions(supported),
        ))
    };
    read.await.unwrap_or_else(|error| {
        tracing::warn!(sequence, %error, "the first submission could not be read");
        First::Unread
    })
}

/// Whether both are of one request: its PubAck was lost, and the second try found the first.
fn is_same(one: &Header, other: &Header) -> bool {
    let request = |header: &Header| {
        (
            header.collector.clone(),
            header.received_at,
            header.validated_at,
            header.correlation_id.clone(),
        )
    };
    request(one) == request(other)
}

/// What can be told of a batch that is on disk.
pub struct Told {
    /// Whether the store has it, and so speaks.
    stored: bool,
    /// The wait that was applied.
    applied: Option<Wait>,
    duplicate_batch: bool,
    stream_sequence: u64,
    counts: Counts,
    /// Each event that was not simply accepted, in order.
    pub exceptions: Vec<Exception>,
}

impl Told {
    /// Puts it together: from the batch's own verdicts, the first submission's, or the store's.
    pub fn of(
        admitted: &Admitted<'_>,
        published: &Published,
        first: First,
        waited: Option<(Wait, Waited)>,
        supported: &[String],
    ) -> Self {
        let header = &admitted.header;
        let again = published.duplicate && first != First::Own;
        let (applied, stored) = match waited {
            Some((wait, Waited::Stored(stored))) => {
                (Some(wait), Some(with_supported(stored, supported)))
            }
            Some((wait, Waited::RanOut)) => (Some(wait), None),
            Some((_, Waited::BrokenOff)) | None => (None, None),
        };
        let is_stored = stored.is_some();
        let told = stored.unwrap_or_else(|| {
            // The same message id means the same events: this attempt's own counts differ from the first's
            // at most where time decides (implausible then, plausible now).
            let (counts, exceptions) = match first {
                First::Other(counts, exceptions) => (counts, exceptions),
                First::Own | First::Unread => {
                    let noted = header
                        .events
                        .iter()
                        .zip(admitted.events.iter().map(AsRef::as_ref));
                    (header.counts, batch::exceptions(noted, supported))
                }
            };
            StoredReply {
                stream_sequence: published.sequence,
                duplicate_batch: false,
                counts,
                exceptions,
            }
        });
        Self {
            stored: is_stored,
            applied,
            // The store knows resends that the server has forgotten.
            duplicate_batch: again || told.duplicate_batch,
            stream_sequence: told.stream_sequence,
            counts: told.counts,
            exceptions: told.exceptions,
        }
    }

    /// The 2xx of `POST /v1/events`: 200 where the store has the batch, else 202.
    pub fn response(&self, header: &Header) -> Response {
        let (status, durability) = match self.stored {
            true => (StatusCode::OK, "stored"),
            false => (StatusCode::ACCEPTED, "stream"),
        };
        let reply = Reply {
            batch_id: &header.batch_id,
            correlation_id: &header.correlation_id,
            durability,
            stream_sequence: self.stream_sequence,
            duplicate_batch: self.duplicate_batch,
            counts: self.counts,
            exceptions: &self.exceptions,
        };
        self.with_preference((status, Json(reply)).into_response())
    }

    /// Says of a response that the client's wait was applied, where it was.
    pub fn with_preference(&self, mut response: Response) -> Response {
        response
            .headers_mut()
            .extend(self.applied.as_ref().map(|wait| (APPLIED, wait.applied())));
        response
    }
}

/// What the store tells knows no schemas: which versions are supported is this collector's to say.
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

    fn wait() -> Wait {
        let mut headers = axum::http::HeaderMap::new();
        headers.insert("prefer", "wait=2".parse().unwrap());
        Wait::of(&headers).unwrap()
    }

    async fn told(
        duplicate: bool,
        first: First,
        waited: Option<Waited>,
    ) -> (u16, Option<String>, serde_json::Value) {
        let admitted = Admitted {
            header: header("c1", 7),
            format: Format::Envelope,
            events: Vec::new(),
        };
        let incarnation = types::stream::StreamIncarnation {
            name: EVENTS.to_owned(),
            created: 1,
        };
        let published = Published {
            incarnation,
            sequence: 9,
            duplicate,
            joined: false,
        };
        let waited = waited.map(|waited| (wait(), waited));
        let response =
            Told::of(&admitted, &published, first, waited, &[]).response(&admitted.header);
        let applied = response
            .headers()
            .get(APPLIED)
            .map(|value| value.to_str().unwrap().to_owned());
        let status = response.status().as_u16();
        let body = axum::body::to_bytes(response.into_body(), 9_999)
            .await
            .unwrap();
        (status, applied, serde_json::from_slice(&body).unwrap())
    }

    #[test]
    fn a_second_try_of_one_request_is_no_resend() {
        assert!(is_same(&header("c1", 7), &header("c1", 7)));
        assert!(!is_same(&header("c1", 7), &header("c1", 8)));
        assert!(!is_same(&header("c1", 7), &header("c2", 7)));
    }

    #[tokio::test]
    async fn without_a_wait_the_reply_speaks_of_the_stream() {
        let (status, applied, body) = told(false, First::Own, None).await;
        assert_eq!((status, applied), (202, None));
        assert_eq!(
            (&body["durability"], &body["duplicate_batch"]),
            (&"stream".into(), &false.into())
        );
        let (_, _, own) = told(true, First::Own, None).await;
        assert_eq!(own["duplicate_batch"], false);
        let first = First::Other(
            Counts {
                received: 2,
                duplicate: 2,
                ..Counts::default()
            },
            Vec::new(),
        );
        let (_, _, again) = told(true, first, None).await;
        assert_eq!(
            (&again["duplicate_batch"], &again["counts"]["duplicate"]),
            (&true.into(), &2.into())
        );
    }

    #[tokio::test]
    async fn a_wait_is_said_to_be_applied_only_where_it_was() {
        let counts = Counts {
            received: 2,
            duplicate: 1,
            accepted: 1,
            ..Counts::default()
        };
        let stored = StoredReply {
            stream_sequence: 3,
            duplicate_batch: true,
            counts,
            exceptions: Vec::new(),
        };
        let (status, applied, body) = told(false, First::Own, Some(Waited::Stored(stored))).await;
        assert_eq!((status, applied.as_deref()), (200, Some("wait=2")));
        assert_eq!(
            (&body["durability"], &body["stream_sequence"]),
            (&"stored".into(), &3.into())
        );
        assert_eq!(
            (&body["duplicate_batch"], &body["counts"]["duplicate"]),
            (&true.into(), &1.into())
        );
        let (status, applied, body) = told(false, First::Own, Some(Waited::RanOut)).await;
        assert_eq!(
            (status, applied.as_deref(), &body["stream_sequence"]),
            (202, Some("wait=2"), &9.into())
        );
        let (status, applied, _) = told(false, First::Own, Some(Waited::BrokenOff)).await;
        assert_eq!((status, applied), (202, None));
    }
}
