//! The stream ADMIN: read in whole, and written by one watcher at a time.

use async_nats::jetstream::{self, message::PublishMessage};
use futures_util::stream::{StreamExt as _, TryStreamExt as _};

use crate::names::ADMIN;
use crate::stored_messages::{self, StoredMessage};
use types::admin_alert::AdminAlert;

/// Messages requested at once.
const CONCURRENCY: usize = 64;
/// A PubAck that has not come by then is not waited for.
const ACK_TIMEOUT: std::time::Duration = std::time::Duration::from_secs(5);

/// Alerts in ADMIN, and how far the stream was read.
#[derive(Debug)]
pub struct AdminAlertLog {
    /// Oldest first.
    pub alerts: Vec<AdminAlert>,
    /// The stream's last sequence then.
    pub last_sequence: u64,
}

/// The alerts in ADMIN from sequence `from` on. What is no alert of a form that this program knows is left out, and
/// logged.
///
/// # Errors
/// Returns an error if the stream cannot be read.
pub async fn admin_alerts(
    js: &jetstream::Context,
    from: u64,
) -> Result<AdminAlertLog, async_nats::Error> {
    let stream = js.get_stream(ADMIN).await?;
    let state = &stream.cached_info().state;
    let first = state.first_sequence.max(from);
    let last = state.last_sequence;
    // Of the leader: a replica that lags would hide an alert, and it would be raised again.
    let read = |seq| stored_messages::get(js, ADMIN, seq);
    let messages = futures_util::stream::iter(first..=last)
        .map(read)
        .buffered(CONCURRENCY);
    let alert = |message: StoredMessage| {
        let read = serde_json::from_slice(&message.payload);
        read.inspect_err(
            |error| tracing::warn!(message.seq, %error, "a message in ADMIN is no alert"),
        )
        .ok()
    };
    let alerts = messages.try_filter_map(|found| std::future::ready(Ok(found.and_then(alert))));
    Ok(AdminAlertLog {
        alerts: alerts.try_collect().await?,
        last_sequence: last,
    })
}

/// Publishes an alert if `last` is still the stream's last sequence, and awaits its PubAck; returns
/// its sequence. So of two watchers that both hold their lease by their own account one is refused, and so is a
/// message that was taken for lost and arrives late.
///
/// # Errors
/// Returns an error if another message came in between, or the stream does not confirm: read it again then.
pub async fn publish_admin_alert(
    js: &jetstream::Context,
    alert: &AdminAlert,
    last: u64,
) -> Result<u64, async_nats::Error> {
    let message = PublishMessage::build()
        .payload(serde_json::to_vec(alert)?.into())
        .message_id(alert.message_id())
        .expected_last_sequence(last);
    let ack = js.send_publish(alert.kind.nats_subject(), message).await?;
    Ok(tokio::time::timeout(ACK_TIMEOUT, ack.into_future())
        .await??
        .sequence)
}
