//! Reading a developer's alerts from the stream ALERTS, past those of all others.

use async_nats::connection::State;
use async_nats::jetstream;
use bus::api::ApiError;
use bus::direct_get::{self, PageBounds};
use bus::stored_messages::{self, StoredMessage};
use bus::{ALERTS, ResourceName};
use http_server::{ErrorCode, Problem};
use serde_json::{Map, Value};
use tokio::sync::Semaphore;
use types::id::DeveloperId;
use types::time::rfc3339;

use crate::query_client::QUERY_TIMEOUT;

/// Reads of ALERTS at once: when a collector has started again, everybody catches up.
const READS: usize = 64;

/// A revision of an alert.
#[derive(Debug, Clone, PartialEq)]
pub struct AlertEntry {
    /// Its sequence in ALERTS.
    pub sequence: u64,
    /// `raised` or `retracted`.
    pub state: &'static str,
    /// Whether it is news: if not, it is listed and not pushed.
    pub push: bool,
    /// The alert as JSON, with `sequence` and `published_at` beside what the message has.
    pub alert: Map<String, Value>,
}

/// Why ALERTS was not read.
#[derive(Debug, thiserror::Error)]
pub enum AlertLogError {
    #[error("NATS is not connected")]
    NotConnected,
    #[error("the stream ALERTS was not read yet: this collector is starting")]
    NotFollowed,
    #[error("the stream ALERTS was not read in time")]
    Slow,
    #[error(transparent)]
    Api(#[from] ApiError),
}

/// Reads ALERTS.
pub struct AlertLog {
    js: jetstream::Context,
    reads: Semaphore,
}

impl AlertLog {
    #[must_use]
    pub fn new(js: jetstream::Context) -> Self {
        Self {
            js,
            reads: Semaphore::new(READS),
        }
    }

    /// The messages of a developer after this sequence, in the stream's order. A replica that lags may give fewer than
    /// there are; it leaves none out in between.
    ///
    /// # Errors
    /// Returns [`AlertLogError`] if the stream cannot be read now.
    pub async fn page(
        &self,
        developer: &DeveloperId,
        after: u64,
        bounds: PageBounds,
    ) -> Result<Vec<StoredMessage>, AlertLogError> {
        let subject = subject(developer);
        let from = after.saturating_add(1);
        self.read(direct_get::page(&self.js, ALERTS, &subject, from, bounds))
            .await
    }

    /// The same, where the stream is known to go up to a sequence: if no replica gives anything, its leader is asked.
    /// Empty: the developer has nothing from `after` to there.
    ///
    /// # Errors
    /// Returns [`AlertLogError`] if the stream cannot be read now.
    pub async fn page_surely(
        &self,
        developer: &DeveloperId,
        after: u64,
        bounds: PageBounds,
    ) -> Result<Vec<StoredMessage>, AlertLogError> {
        let page = self.page(developer, after, bounds).await?;
        if !page.is_empty() {
            return Ok(page);
        }
        let subject = subject(developer);
        let from = after.saturating_add(1);
        let first = stored_messages::first_from(&self.js, ALERTS, from, &subject);
        Ok(self.read(first).await?.into_iter().collect())
    }

    /// The sequence to read on from for somebody who has read up to `after`, in a stream that was `seen` up to there.
    ///
    /// A sequence that the stream has not reached is one of another stream: it was recreated, or restored to an older
    /// state. Then all that it has is new.
    ///
    /// # Errors
    /// Returns [`AlertLogError`] if the stream cannot be read now.
    pub async fn resume(&self, after: u64, seen: u64) -> Result<u64, AlertLogError> {
        if after <= seen {
            return Ok(after);
        }
        let name = ResourceName::stream(ALERTS);
        let info = self.read(bus::api::info(&self.js, &name)).await?;
        let last = info.and_then(|info| info["state"]["last_seq"].as_u64());
        Ok(if after <= last.unwrap_or_default() {
            after
        } else {
            0
        })
    }

    async fn read<T>(
        &self,
        reading: impl Future<Output = Result<T, ApiError>>,
    ) -> Result<T, AlertLogError> {
        // The client would hold the request back until its timeout.
        if self.js.client().connection_state() != State::Connected {
            return Err(AlertLogError::NotConnected);
        }
        let in_turn = async {
            let _turn = self.reads.acquire().await.expect("nothing closes it");
            reading.await
        };
        match tokio::time::timeout(QUERY_TIMEOUT, in_turn).await {
            Ok(read) => Ok(read?),
            Err(_) => Err(AlertLogError::Slow),
        }
    }
}

/// A developer's alerts of every severity.
fn subject(developer: &DeveloperId) -> String {
    format!("alerts.*.{developer}")
}

impl AlertEntry {
    /// Reads a message of ALERTS; `None`, and a line in the log, if it is none.
    #[must_use]
    pub fn read(message: &StoredMessage) -> Option<Self> {
        let sequence = message.seq;
        let parsed: Result<Map<String, Value>, _> = serde_json::from_slice(&message.payload);
        let mut alert = parsed
            .inspect_err(
                |error| tracing::warn!(sequence, %error, "a message in ALERTS is no alert"),
            )
            .ok()?;
        let state = match alert.get("state").and_then(Value::as_str) {
            Some("raised") => "raised",
            Some("retracted") => "retracted",
            other => {
                tracing::warn!(sequence, state = ?other, "a message in ALERTS has no known state");
                return None;
            }
        };
        let push = alert.get("push") == Some(&Value::Bool(true));
        alert.insert("sequence".to_owned(), sequence.into());
        alert.insert("published_at".to_owned(), rfc3339(message.at).into());
        Some(Self {
            sequence,
            state,
            push,
            alert,
        })
    }
}

impl From<AlertLogError> for Problem {
    fn from(error: AlertLogError) -> Self {
        tracing::warn!(%error, "alerts were not read");
        // What a server says of itself is for the log.
        let reason = match error {
            AlertLogError::Slow | AlertLogError::Api(_) => {
                format!("the stream {ALERTS} does not answer")
            }
            error => error.to_string(),
        };
        let detail = format!("Alerts cannot be read now: {reason}. Ask again later.");
        Self::new(ErrorCode::StreamUnavailable, detail)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn message(payload: &str) -> StoredMessage {
        StoredMessage {
            seq: 7,
            at: 1_000_000,
            subject: "alerts.high.ada".to_owned(),
            headers: async_nats::HeaderMap::new(),
            undecodable: None,
            payload: payload.to_owned().into(),
        }
    }

    #[test]
    fn a_revision_is_its_message_with_its_place_in_the_stream() {
        let read = AlertEntry::read(&message(
            r#"{"alert_id": "a1", "state": "retracted", "push": true, "sequence": 1, "more": [1]}"#,
        ))
        .unwrap();
        assert_eq!(
            (read.sequence, read.state, read.push),
            (7, "retracted", true)
        );
        let expected = json!({
            "alert_id": "a1", "state": "retracted", "push": true, "more": [1],
            "sequence": 7, "published_at": "1970-01-01T00:00:01.000000Z",
        });
        assert_eq!(Value::Object(read.alert), expected);
    }

    #[test]
    fn what_says_not_that_it_is_news_is_none_and_what_is_no_alert_is_left_out() {
        let push = |text: &str| AlertEntry::read(&message(text)).map(|read| read.push);
        assert_eq!(push(r#"{"state": "raised"}"#), Some(false));
        for other in ["", "[]", "{}", r#"{"state": "lost"}"#] {
            assert_eq!(push(other), None, "{other}");
        }
    }
}
