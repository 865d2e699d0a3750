//! The outbox of alerts: the alert rows whose last revision is not marked as published.

use std::time::Duration;

use async_nats::HeaderMap;
use async_nats::jetstream::{self, message::PublishMessage};
use runtime::crash;
use serde_json::{Map, Value};
use store::{AlertOutbox, AlertRevision, PublishedRevision, StoreError};
use tokio::time::{Instant, timeout_at};
use types::batch::CORRELATION_ID;
use types::severity::Severity;

use crate::outbox_relay::{PublishFailure, RelayedOutbox};

/// PubAcks of one group that have not come by then are not waited for: the sweep publishes again.
const ACK_TIMEOUT: Duration = Duration::from_secs(5);

/// Publishes revisions to `alerts.<severity>.<developer>`, the most severe first.
///
/// The message id `<alert id>:<revision>` makes publishing twice harmless: the server drops the second within its
/// duplicate window, and receivers drop it by (alert id, revision) after that.
pub struct AlertsToPublish<S> {
    pub js: jetstream::Context,
    pub store: S,
}

impl<S: AlertOutbox> RelayedOutbox for AlertsToPublish<S> {
    type Row = AlertRevision;
    type Mark = PublishedRevision;

    const ROWS: &'static str = "alerts";
    const GROUP: usize = 500;

    async fn claim(&self, limit: u32) -> Result<Vec<AlertRevision>, StoreError> {
        self.store.unpublished(limit).await
    }

    async fn publish(
        &self,
        mut revisions: Vec<AlertRevision>,
    ) -> Vec<Result<Self::Mark, PublishFailure>> {
        // Stable: of one severity, the oldest stays first.
        revisions.sort_by_key(|revision| Severity::rank(&revision.severity));
        crash::point("alert.before_publish");
        // All are sent before the first PubAck is awaited, over one connection, which keeps their order.
        let mut acks = Vec::with_capacity(revisions.len());
        for revision in &revisions {
            acks.push(
                self.js
                    .send_publish(subject(revision), message(revision))
                    .await,
            );
        }
        let deadline = Instant::now() + ACK_TIMEOUT;
        let mut published = Vec::with_capacity(revisions.len());
        for (revision, ack) in revisions.into_iter().zip(acks) {
            let acked = match ack {
                Ok(ack) => match timeout_at(deadline, ack.into_future()).await {
                    Ok(acked) => acked.map(drop).map_err(|error| error.to_string()),
                    Err(elapsed) => Err(elapsed.to_string()),
                },
                Err(error) => Err(error.to_string()),
            };
            published.push(match acked {
                Ok(()) => Ok(PublishedRevision {
                    alert_id: revision.alert_id,
                    revision: revision.revision,
                }),
                Err(reason) => Err(PublishFailure {
                    message_id: message_id(&revision),
                    correlation_id: revision.correlation_id,
                    reason,
                }),
            });
        }
        crash::point("alert.after_publish");
        published
    }

    async fn mark(&self, published: Vec<Self::Mark>) -> Result<(), StoreError> {
        self.store.mark_published(published).await
    }
}

/// The subject of a revision: severity and developer are one token each.
fn subject(revision: &AlertRevision) -> String {
    format!("alerts.{}.{}", revision.severity, revision.developer)
}

fn message_id(revision: &AlertRevision) -> String {
    format!("{}:{}", revision.alert_id, revision.revision)
}

fn message(revision: &AlertRevision) -> PublishMessage {
    let mut headers = HeaderMap::new();
    headers.insert(CORRELATION_ID, revision.correlation_id.as_str());
    PublishMessage::build()
        .payload(payload(revision).into())
        .headers(headers)
        .message_id(message_id(revision))
}

/// The alert as its rule found it, and what the store adds of this revision.
fn payload(revision: &AlertRevision) -> Vec<u8> {
    let mut alert: Map<String, Value> = match serde_json::from_str(&revision.body) {
        Ok(Value::Object(body)) => body,
        // Ours are objects. One that is none still goes out: it must not hold up others.
        _ => [("body".to_owned(), Value::from(revision.body.as_str()))]
            .into_iter()
            .collect(),
    };
    alert.insert("alert_id".to_owned(), revision.alert_id.as_str().into());
    alert.insert("revision".to_owned(), revision.revision.into());
    alert.insert("state".to_owned(), revision.state.as_str().into());
    alert.insert("push".to_owned(), revision.push.into());
    Value::Object(alert).to_string().into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn the_payload_is_the_alert_with_its_revision() {
        let payload_of = |body: &str| {
            let revision = AlertRevision {
                alert_id: "a1".to_owned(),
                revision: 1,
                developer: "ada".to_owned(),
                severity: "high".to_owned(),
                state: "retracted".to_owned(),
                push: false,
                body: body.to_owned(),
                correlation_id: "c1".to_owned(),
            };
            serde_json::from_slice::<Value>(&payload(&revision)).unwrap()
        };
        let wanted = json!({"alert_id": "a1", "revision": 1, "state": "retracted", "push": false, "title": "t"});
        assert_eq!(
            payload_of(r#"{"title": "t", "alert_id": "a1", "push": true}"#),
            wanted
        );
        assert_eq!(payload_of("[1]")["body"], "[1]");
    }
}
