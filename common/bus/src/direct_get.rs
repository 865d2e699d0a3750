//! Reading the messages of a subject from a sequence on, many with one request: `DIRECT.GET` of NATS ADR-31 with
//! `batch` (nats-server 2.11 and newer).
//!
//! Any replica of the stream may answer, and costs its leader nothing. One that lags gives what it has, in order and
//! without a gap.

use std::time::Duration;

use async_nats::header::{self, HeaderName};
use async_nats::{Message, Subscriber, jetstream};
use bytes::Bytes;
use futures_util::StreamExt as _;
use serde_json::json;
use tokio::time::timeout;
use types::time::parse_rfc3339;

use crate::api::ApiError;
use crate::names::ResourceName;
use crate::stored_messages::StoredMessage;

/// A page that has not come by then is not waited for.
const TIMEOUT: Duration = Duration::from_secs(5);

/// "Message Not Found" (ADR-31): there is nothing at or above the sequence.
const NOT_FOUND: u16 = 404;
/// "EOB": the page ends.
const END_OF_BATCH: u16 = 204;

/// How long a page may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PageBounds {
    /// Most messages.
    pub messages: usize,
    /// The page ends with the message that brings it to so many bytes.
    pub bytes: usize,
}

/// The messages at or above the sequence `from` of subjects that `subject` matches, in order, up to the page's bounds.
/// Empty: the replica that answered has none.
///
/// # Errors
/// Returns [`ApiError`] if the stream is missing, or no replica of it answers.
pub async fn page(
    js: &jetstream::Context,
    stream: &str,
    subject: &str,
    from: u64,
    bounds: PageBounds,
) -> Result<Vec<StoredMessage>, ApiError> {
    let failed = |reason: String| ApiError::new(ResourceName::stream(stream), reason);
    let client = js.client();
    let inbox = client.new_inbox();
    let replies = client.subscribe(inbox.clone()).await;
    let replies = replies.map_err(|error| failed(error.to_string()))?;
    let request = json!({
        "seq": from, "next_by_subj": subject, "batch": bounds.messages, "max_bytes": bounds.bytes,
    });
    client
        .publish_with_reply(
            format!("$JS.API.DIRECT.GET.{stream}"),
            inbox,
            request.to_string().into(),
        )
        .await
        .map_err(|error| failed(error.to_string()))?;
    match timeout(TIMEOUT, collect(replies)).await {
        Ok(page) => page.map_err(failed),
        Err(_) => Err(failed(format!("no page came within {TIMEOUT:?}"))),
    }
}

/// The messages of a page up to its end. Each reply names the sequence before it, so that one that a broken connection
/// has swallowed is missed.
async fn collect(mut replies: Subscriber) -> Result<Vec<StoredMessage>, String> {
    let mut page: Vec<StoredMessage> = Vec::new();
    while let Some(reply) = replies.next().await {
        let last = page.last().map_or(0, |message| message.seq);
        match reply.status.map(u16::from) {
            None | Some(END_OF_BATCH) if previous(&reply) != Some(last) => {
                return Err(format!(
                    "a part of the page after sequence {last} is missing"
                ));
            }
            None => {
                let message = read(&reply).ok_or("a message of the page names no sequence")?;
                page.push(message);
            }
            Some(END_OF_BATCH | NOT_FOUND) => return Ok(page),
            Some(status) => {
                let said = reply.description.unwrap_or_default();
                return Err(format!("the server answers {status} {said}"));
            }
        }
    }
    Err("the connection to the server ended".to_owned())
}

/// The sequence of the message before, in the page; 0 at its beginning.
fn previous(reply: &Message) -> Option<u64> {
    let value = reply.headers.as_ref()?.get(header::NATS_LAST_SEQUENCE)?;
    value.as_str().parse().ok()
}

/// A message as `DIRECT.GET` gives it: what the stream knows of it is in headers beside its own. It owns what it holds.
fn read(reply: &Message) -> Option<StoredMessage> {
    let headers = reply.headers.as_ref()?;
    let known = |name: HeaderName| Some(headers.get(name)?.as_str());
    Some(StoredMessage {
        seq: known(header::NATS_SEQUENCE)?.parse().ok()?,
        at: parse_rfc3339(known(header::NATS_TIME_STAMP)?)?.at?,
        subject: known(header::NATS_SUBJECT)?.to_owned(),
        headers: headers.clone(),
        undecodable: None,
        payload: Bytes::copy_from_slice(&reply.payload),
    })
}
