//! A nats-server's monitor: what it reports of itself beside the NATS protocol
//! (NATS documentation, "Monitoring", `/jsz`).

use std::path::Path;
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

/// A monitor cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum MonitorError {
    /// It does not answer within two seconds, or not as a nats-server with JetStream does.
    #[error(transparent)]
    Http(#[from] reqwest::Error),
    /// The file of the authorities that its certificate is checked with cannot be used.
    #[error("the file {path} of --nats-ca cannot be used: {reason}")]
    Ca {
        /// The file.
        path: String,
        /// What is wrong with it.
        reason: String,
    },
}

/// Reads the monitor at `url`; `ca` is the file of authorities that its certificate is checked with, beside the
/// system's.
///
/// # Errors
/// Returns [`MonitorError`] if it does not answer within two seconds, or not as a nats-server with JetStream does.
pub async fn jetstream(url: &Address, ca: Option<&Path>) -> Result<JetStreamStatus, MonitorError> {
    // The environment's proxy is for the outside.
    let mut client = reqwest::Client::builder().no_proxy().timeout(TIMEOUT);
    let is_tls = url
        .expose()
        .get(..6)
        .is_some_and(|scheme| scheme.eq_ignore_ascii_case("https:"));
    if !is_tls {
        // The system's authorities are some 150 files to read, and there may be none.
        client = client.tls_certs_only([]);
    } else if let Some(path) = ca {
        let unusable = |reason: String| MonitorError::Ca {
            path: path.display().to_string(),
            reason,
        };
        let pem = tokio::fs::read(path)
            .await
            .map_err(|error| unusable(error.to_string()))?;
        let authorities = reqwest::Certificate::from_pem_bundle(&pem);
        client = client.tls_certs_merge(authorities.map_err(|error| unusable(error.to_string()))?);
    }
    let reply = client
        .build()?
        .get(format!("{}/jsz", url.expose().trim_end_matches('/')))
        .send()
        .await?;
    Ok(reply.error_for_status()?.json().await?)
}
