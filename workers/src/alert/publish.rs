//! Alerts on their way into the stream ALERTS. The alert row is the outbox: what is not marked as
//! published is published again, under the same message id.

use std::time::Duration;

use async_nats::HeaderMap;
use async_nats::jetstream::{self, message::PublishMessage};
use runtime::crash;
use runtime::retry::RetryPolicy;
use runtime::shutdown::Shutdown;
use serde_json::{Map, Value};
use store::{AlertOutbox, AlertRevision, StoreError};
use tokio::time::{Instant, MissedTickBehavior, interval, timeout_at};
use types::batch::CORRELATION_ID;

use types::severity::Severity;

/// How often the sweep looks for what was left.
const SWEEP: Duration = Duration::from_secs(5);
/// How many revisions the sweep publishes together.
const PAGE: u32 = 500;
/// PubAcks of one page that have not come by then are not waited for: the sweep publishes again.
const ACK_TIMEOUT: Duration = Duration::from_secs(5);

/// What became of the revisions that were to be published.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Published {
    /// In the stream, and marked so.
    pub done: usize,
    /// Left for the sweep.
    pub left: usize,
}

/// Publishes revisions to `alerts.<severity>.<developer>`, the worst first, and marks those that have
/// their PubAck. What the stream does not take is left for the sweep, and said aloud.
///
/// The message id `<alert id>:<revision>` makes publishing twice harmless: the server drops the second
/// inside its window, and receivers do so by (alert id, revision) after it.
///
/// # Errors
/// Where the store cannot mark them: they are in the stream, and are published again later.
pub async fn publish(
    js: &jetstream::Context,
    store: &impl AlertOutbox,
    mut revisions: Vec<AlertRevision>,
) -> Result<Published, StoreError> {
    if revisions.is_empty() {
        return Ok(Published::default());
    }
    // Stable: of one severity, the oldest stays first.
    revisions.sort_by_key(|revision| Severity::rank(&revision.severity));
    crash::point("alert.before_publish");
    // All are sent before the first PubAck is awaited, over one connection, which keeps their order.
    let mut sent = Vec::with_capacity(revisions.len());
    for revision in &revisions {
        match js.send_publish(subject(revision), message(revision)).await {
            Ok(ack) => sent.push((revision, ack)),
            Err(error) => left(revision, &error),
        }
    }
    let deadline = Instant::now() + ACK_TIMEOUT;
    let mut done = Vec::with_capacity(sent.len());
    for (revision, ack) in sent {
        match timeout_at(deadline, ack.into_future()).await {
            Ok(Ok(_)) => done.push((revision.alert_id.clone(), revision.revision)),
            Ok(Err(error)) => left(revision, &error),
            Err(elapsed) => left(revision, &elapsed),
        }
    }
    crash::point("alert.after_publish");
    let published = Published {
        done: done.len(),
        left: revisions.len() - done.len(),
    };
    if !done.is_empty() {
        store.mark_published(done).await?;
    }
    Ok(published)
}

fn left(revision: &AlertRevision, error: &dyn std::error::Error) {
    let (alert, number) = (&revision.alert_id, revision.revision);
    tracing::warn!(alert, revision = number, correlation_id = revision.correlation_id, %error, "an alert was not published; the sweep will try again");
}

/// The subject of a revision: severity and developer are one token each.
fn subject(revision: &AlertRevision) -> String {
    format!("alerts.{}.{}", revision.severity, revision.developer)
}

fn message(revision: &AlertRevision) -> PublishMessage {
    let mut headers = HeaderMap::new();
    headers.insert(CORRELATION_ID, revision.correlation_id.as_str());
    PublishMessage::build()
        .payload(payload(revision).into())
        .headers(headers)
        .message_id(format!("{}:{}", revision.alert_id, revision.revision))
}

/// The alert as its rule found it, and what the store says of this revision.
fn payload(revision: &AlertRevision) -> Vec<u8> {
    let mut alert: Map<String, Value> = match serde_json::from_str(&revision.body) {
        Ok(Value::Object(body)) => body,
        // Ours are objects. One that is none still goes out: it must not stand in the way of others.
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

/// Every 5 s until the process stops, publishes what was left; only where `lease` says that this
/// process is the one that sweeps (asked each time). Troubles of the store or stream are said aloud
/// and tried again.
pub async fn sweep<L, F>(
    js: &jetstream::Context,
    store: &impl AlertOutbox,
    retry: RetryPolicy,
    shutdown: &Shutdown,
    lease: L,
) where
    L: Fn() -> F + Send,
    F: Future<Output = bool> + Send,
{
    let mut turns = interval(SWEEP);
    turns.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut failures = 0;
    loop {
        tokio::select! { _ = turns.tick() => {}, () = shutdown.draining() => return }
        if !lease().await {
            continue;
        }
        match sweep_once(js, store, shutdown).await {
            Ok(()) => failures = 0,
            Err(error) => {
                tracing::warn!(%error, failures, "alerts could not be swept; trying again");
                turns.reset_after(SWEEP + retry.delay(failures));
                failures += 1;
            }
        }
    }
}

/// One turn of the sweep: page after page, until nothing is left or the stream takes no more.
async fn sweep_once(
    js: &jetstream::Context,
    store: &impl AlertOutbox,
    shutdown: &Shutdown,
) -> Result<(), StoreError> {
    while !shutdown.is_draining() {
        let page = store.unpublished(PAGE).await?;
        let whole = page.len() == PAGE as usize;
        let published = publish(js, store, page).await?;
        if published.done > 0 {
            tracing::info!(
                count = published.done,
                "alerts that were left were published"
            );
        }
        if !whole || published.left > 0 {
            break;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn the_payload_is_the_alert_with_its_revision_whatever_the_body_is() {
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
