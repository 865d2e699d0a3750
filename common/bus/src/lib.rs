//! NATS: connecting, what streams and consumers must be, binding to them, pulling from them.

mod admin;
pub mod api;
mod bind;
mod dead;
pub mod facts;
pub mod lease;
pub mod monitor;
pub mod pull;
pub mod stored;
pub mod stream_metrics;
pub mod sync;
pub mod topology;
pub mod worker_registry;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

pub use admin::{admin_alerts, publish_admin_alert};
use async_nats::client::FlushErrorKind;
pub use bind::{BindError, bind_consumer, bind_stream};
use futures_util::FutureExt as _;
use tokio::sync::watch;

use runtime::retry::RetryPolicy;
use runtime::shutdown::Shutdown;

/// The stream of batches.
pub const EVENTS: &str = "EVENTS";
/// The stream of jobs.
pub const JOBS: &str = "JOBS";
/// The stream of pointers to messages of EVENTS that are handled again.
pub const REPLAY: &str = "REPLAY";
/// The stream of alerts.
pub const ALERTS: &str = "ALERTS";
/// The stream of what gave up.
pub const DEAD: &str = "DEAD";
/// The stream of alerts to administrators.
pub const ADMIN: &str = "ADMIN";
/// The durable consumer that brings alerts to the administrators' webhook.
pub const WEBHOOK_ADMIN: &str = "webhook-admin";
/// The durable consumer of the persist workers.
pub const PERSIST: &str = "persist";
/// The durable consumer of the persist workers on REPLAY.
pub const PERSIST_REPLAY: &str = "persist-replay";

/// The subjects of all developers' batches.
pub const ALL_BATCHES: &str = "events.batch.*";

/// The subject that a developer's batches are published on.
#[must_use]
pub fn batch_subject(developer: &types::id::DeveloperId) -> String {
    format!("events.batch.{developer}")
}

/// Where NATS is.
#[derive(Debug, Clone, clap::Args)]
pub struct NatsSettings {
    /// Address of the nats-server
    #[arg(
        long, env = "DEVTRAIL_NATS_URL", default_value = "nats://127.0.0.1:4222", value_name = "URL",
        value_parser = parse_nats_url
    )]
    pub nats_url: String,
}

/// Reads the address of a nats-server, or several with commas between.
///
/// # Errors
/// Where one is no address of a nats-server.
pub fn parse_nats_url(text: &str) -> Result<String, String> {
    for one in text.split(',') {
        // Its own message would repeat a password.
        if one.is_empty() || one.parse::<async_nats::ServerAddr>().is_err() {
            return Err(
                "is no address of a nats-server; write nats://host:4222, or several with commas between"
                    .to_owned(),
            );
        }
    }
    Ok(text.to_owned())
}

/// NATS cannot be reached.
#[derive(Debug, thiserror::Error)]
#[error(
    "No nats-server answers at {url}: {reason}. If one runs there, see in its log whether it hangs; else start one \
     (`devtrail up` does), or name another with --nats-url."
)]
pub struct Unreachable {
    url: String,
    reason: String,
}

/// How often it is looked whether the client has connected anew; it tells only a callback, which knows no waiter.
const CONNECTED_LOOK: Duration = Duration::from_millis(200);

fn options(name: &str) -> async_nats::ConnectOptions {
    async_nats::ConnectOptions::new()
        .name(name)
        .connection_timeout(Duration::from_secs(2))
        // A server that comes back is found at once; the client's own delay grows to seconds.
        .reconnect_delay_callback(|attempts| {
            RetryPolicy {
                cap: Duration::from_secs(1),
                ..RetryPolicy::DEFAULT
            }
            .bound(attempts as u32)
        })
}

/// The addresses of a cluster's nodes, of a list with commas between; the client takes any that answers.
///
/// # Errors
/// Where one of them is no address.
pub fn addresses(url: &str) -> std::io::Result<Vec<async_nats::ServerAddr>> {
    url.split(',').map(str::parse).collect()
}

/// Connects once, for a command that a person waits for.
///
/// # Errors
/// Where no server answers within two seconds.
pub async fn connect_once(url: &str, name: &str) -> Result<async_nats::Client, Unreachable> {
    try_once(options(name), url).await
}

async fn try_once(
    options: async_nats::ConnectOptions,
    url: &str,
) -> Result<async_nats::Client, Unreachable> {
    let failed = |reason: String| Unreachable {
        url: url.to_owned(),
        reason,
    };
    let addresses = addresses(url).map_err(|error| failed(error.to_string()))?;
    options
        .connect(addresses)
        .await
        .map_err(|error| failed(error.to_string()))
}

/// Connects for a service: tries until a server answers or the process stops (`None`).
///
/// Afterwards the client reconnects on its own, without limit.
pub async fn connect(url: &str, name: &str, shutdown: &Shutdown) -> Option<async_nats::Client> {
    connect_with(url, name, (RetryPolicy::DEFAULT, None), shutdown).await
}

/// Logs when a connection breaks and when there is one again, and tells `connected` of each.
fn telling(
    connected: Option<watch::Sender<()>>,
) -> impl Fn(async_nats::Event) -> std::future::Ready<()> + Clone + Send + Sync + 'static {
    let is_broken = Arc::new(AtomicBool::new(false));
    move |event| {
        match event {
            async_nats::Event::Connected => {
                if is_broken.swap(false, Ordering::Relaxed) {
                    tracing::info!("connected to NATS again");
                }
                if let Some(connected) = &connected {
                    connected.send_replace(());
                }
            }
            // Told once, however many tries it takes.
            async_nats::Event::Disconnected if !is_broken.swap(true, Ordering::Relaxed) => {
                tracing::warn!("the connection to NATS broke; connecting again");
            }
            _ => {}
        }
        std::future::ready(())
    }
}

/// The same with pauses of its own; tells `connected` of each connection, the first one and all later ones.
pub async fn connect_telling(
    url: &str,
    name: &str,
    (pauses, connected): (RetryPolicy, watch::Sender<()>),
    shutdown: &Shutdown,
) -> Option<async_nats::Client> {
    connect_with(url, name, (pauses, Some(connected)), shutdown).await
}

/// How often the client has connected.
#[must_use]
pub fn connects(client: &async_nats::Client) -> u64 {
    client.statistics().connects.load(Ordering::Relaxed)
}

/// Whether the client has ended for good: its task panicked, and nothing connects again.
pub(crate) fn is_gone(client: &async_nats::Client) -> bool {
    // It is sent at once or cannot be sent: the answer is not awaited.
    let flushed = client.flush().now_or_never();
    flushed.is_some_and(|flushed| {
        flushed.is_err_and(|error| error.kind() == FlushErrorKind::SendError)
    })
}

/// Waits until the client has connected more often than `before`: of what the server was to send over the
/// connection of before, hardly anything comes any more.
pub async fn reconnected(client: &async_nats::Client, before: u64) {
    let mut looks = tokio::time::interval(CONNECTED_LOOK);
    while connects(client) == before {
        looks.tick().await;
    }
}

async fn connect_with(
    url: &str,
    name: &str,
    (pauses, connected): (RetryPolicy, Option<watch::Sender<()>>),
    shutdown: &Shutdown,
) -> Option<async_nats::Client> {
    let tell = telling(connected);
    for attempt in 0.. {
        tokio::select! {
            connected = try_once(options(name).event_callback(tell.clone()), url) => match connected {
                Ok(client) => return Some(client),
                Err(error) => tracing::warn!(%error, attempt, "waiting for NATS"),
            },
            () = shutdown.draining() => return None,
        }
        tokio::select! { () = pauses.pause(attempt) => {}, () = shutdown.draining() => return None }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_checked_and_told_without_their_passwords() {
        for good in ["nats://127.0.0.1:4222", "tls://u:p@a,b:1", "localhost"] {
            assert_eq!(parse_nats_url(good).as_deref(), Ok(good));
        }
        for bad in ["", "http://a", "nats://a,", "nats://u:secret@a:no"] {
            assert!(
                parse_nats_url(bad).is_err_and(|error| !error.contains("secret")),
                "{bad}"
            );
        }
    }

    #[test]
    fn several_addresses_are_several_servers() {
        let two = addresses("nats://127.0.0.1:4222,nats://[::1]:4223").unwrap();
        assert_eq!(
            two.iter()
                .map(async_nats::ServerAddr::port)
                .collect::<Vec<_>>(),
            [4222, 4223]
        );
        assert!(addresses("nats://a,nats://b:no").is_err());
    }
}
