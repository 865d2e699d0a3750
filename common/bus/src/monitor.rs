//! A nats-server's monitor: what it reports of itself beside the NATS protocol
//! (NATS documentation, "Monitoring", `/jsz`).

use std::time::Duration;

use runtime::settings::Address;
use serde::Deserialize;

const TIMEOUT: Duration = Duration::from_secs(2);

/// What `/jsz` reports of JetStream on one server.
#[derive(Debug, Clone, Deserialize)]
pub struct JetStreamStatus {
    pub server_id: String,
    /// Bytes that its streams take on disk.
    #[serde(default)]
    pub storage: u64,
    pub config: JetStreamConfig,
}

/// The configuration of JetStream on a server.
#[derive(Debug, Clone, Default, Deserialize)]
pub struct JetStreamConfig {
    /// Whether each message is synced to disk before its PubAck.
    #[serde(default)]
    pub sync_always: bool,
    /// The folder of its streams, on the server's own machine.
    #[serde(default)]
    pub store_dir: String,
    /// Bytes that its streams may take on disk; by default 75 % of what was free when it started.
    #[serde(default)]
    pub max_storage: u64,
}

/// Reads the monitor at `url`.
///
/// # Errors
/// Returns an error if it does not answer within two seconds, or not as a nats-server with JetStream does.
pub async fn jetstream(url: &Address) -> reqwest::Result<JetStreamStatus> {
    // The environment's proxy is for the outside.
    let client = reqwest::Client::builder()
        .no_proxy()
        .timeout(TIMEOUT)
        .build()?;
    let reply = client
        .get(format!("{}/jsz", url.expose().trim_end_matches('/')))
        .send()
        .await?;
    reply.error_for_status()?.json().await
}
