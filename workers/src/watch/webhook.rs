//! The administrators' webhook: the messages of the stream ADMIN.

use std::time::Duration;

use async_nats::jetstream;
use bus::{ADMIN, WEBHOOK_ADMIN};
use runtime::breaker::BreakerSettings;
use runtime::metrics::webhook_post;
use runtime::process::Process;
use runtime::retry::RetrySettings;

use super::settings::WatchSettings;
use crate::webhook::{self, ConsumerName, Webhook, WebhookSender};

/// An open alert is sent again each day; a message that is older than two is no news.
const EXPIRES_AFTER: Duration = Duration::from_secs(2 * 24 * 3600);

/// Posts the messages of ADMIN to the webhook until the process stops; without a webhook, returns at once.
///
/// # Errors
/// Returns a `BindError` if the stream or its consumer is missing or unsafe at the start, and a `reqwest::Error` if no
/// HTTP client can be made.
pub async fn deliver(
    js: jetstream::Context,
    settings: WatchSettings,
    retry: RetrySettings,
    breaker: BreakerSettings,
    process: Process,
) -> anyhow::Result<()> {
    let Some(url) = settings.admin_webhook_url else {
        return Ok(());
    };
    let secret = settings.admin_webhook_secret;
    let webhook = Webhook {
        name: "admin",
        sender: WebhookSender::new(url, secret, "Devtrail-Alert-Id")?,
        skip_after: settings.admin_webhook_patience,
        expires_after: EXPIRES_AFTER,
        remedy: "set the right --admin-webhook-url and --admin-webhook-secret",
        count: webhook_post,
    };
    let consumer = ConsumerName {
        stream: ADMIN,
        consumer: WEBHOOK_ADMIN,
    };
    webhook::deliver(js, consumer, webhook, retry, breaker, process).await?;
    Ok(())
}
