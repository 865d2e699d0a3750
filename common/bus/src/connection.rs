//! Connecting to NATS, and following a client's connection.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_nats::client::FlushErrorKind;
use futures_util::FutureExt as _;
use tokio::sync::watch;

use runtime::retry::RetryPolicy;
use runtime::shutdown::Shutdown;

use crate::address::{NATS_ADDRESS, NatsAddress, UrlLogin};

/// How to reach NATS.
#[derive(Debug, Clone, clap::Args)]
pub struct NatsSettings {
    /// Address of the nats-server
    #[arg(
        long, env = "DEVTRAIL_NATS_URL", default_value = "nats://127.0.0.1:4222", value_name = "URL",
        value_parser = NATS_ADDRESS
    )]
    pub nats_url: NatsAddress,
}

/// NATS cannot be reached.
#[derive(Debug, thiserror::Error)]
#[error(
    "No nats-server answers at {url}: {reason}. If one runs there, see in its log whether it hangs; else start one \
     (`devtrail up` does), or name another with --nats-url."
)]
pub struct Unreachable {
    url: NatsAddress,
    reason: String,
}

/// How often it is checked whether the client has reconnected; the client reports that to one callback alone.
const RECONNECTED_POLL: Duration = Duration::from_millis(200);

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

/// Connects once, for a command that a person waits for.
///
/// # Errors
/// Returns [`Unreachable`] if no server answers within two seconds.
pub async fn connect_once(
    address: &NatsAddress,
    name: &str,
) -> Result<async_nats::Client, Unreachable> {
    try_once(options(name), address).await
}

async fn try_once(
    options: async_nats::ConnectOptions,
    address: &NatsAddress,
) -> Result<async_nats::Client, Unreachable> {
    let options = match address.login().cloned() {
        None => options,
        Some(UrlLogin::User { name, password }) => options.user_and_password(name, password),
        Some(UrlLogin::Token(token)) => options.token(token),
    };
    let connected = options.connect(address.servers()).await;
    connected.map_err(|error| Unreachable {
        url: address.clone(),
        reason: error.to_string(),
    })
}

/// How a service connects.
#[derive(Debug)]
pub struct ConnectionSettings<'a> {
    /// Address of the nats-server, or several with commas between.
    pub address: &'a NatsAddress,
    /// The name of the client.
    pub name: &'a str,
    /// The pauses between attempts.
    pub retry: RetryPolicy,
    /// Notified of each connection, the first one and all later ones.
    pub connected: Option<watch::Sender<()>>,
}

impl<'a> ConnectionSettings<'a> {
    /// The default pauses, and nobody to notify.
    #[must_use]
    pub fn new(address: &'a NatsAddress, name: &'a str) -> Self {
        Self {
            address,
            name,
            retry: RetryPolicy::DEFAULT,
            connected: None,
        }
    }
}

/// Connects for a service: retries until a server answers or the process shuts down (`None`).
///
/// Afterwards the client reconnects on its own, without limit.
pub async fn connect(
    settings: ConnectionSettings<'_>,
    shutdown: &Shutdown,
) -> Option<async_nats::Client> {
    let ConnectionSettings {
        address,
        name,
        retry,
        connected,
    } = settings;
    let report = reporter(connected);
    let mut backoff = retry.backoff(shutdown);
    loop {
        let attempt = backoff.attempt();
        tokio::select! {
            connected = try_once(options(name).event_callback(report.clone()), address) => match connected {
                Ok(client) => return Some(client),
                Err(error) => tracing::warn!(%error, attempt, "waiting for NATS"),
            },
            () = shutdown.draining() => return None,
        }
        if !backoff.wait().await {
            return None;
        }
    }
}

/// Logs when a connection breaks and when there is one again, and notifies `connected` of each.
fn reporter(
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
            // Logged once, however many attempts it takes.
            async_nats::Event::Disconnected if !is_broken.swap(true, Ordering::Relaxed) => {
                tracing::warn!("the connection to NATS broke; connecting again");
            }
            _ => {}
        }
        std::future::ready(())
    }
}

/// How often the client has connected.
#[must_use]
pub fn connects(client: &async_nats::Client) -> u64 {
    client.statistics().connects.load(Ordering::Relaxed)
}

/// Whether the client has ended for good: its task panicked, and nothing connects again.
pub(crate) fn has_ended(client: &async_nats::Client) -> bool {
    // It is sent at once or cannot be sent: the answer is not awaited.
    let flushed = client.flush().now_or_never();
    flushed.is_some_and(|flushed| {
        flushed.is_err_and(|error| error.kind() == FlushErrorKind::SendError)
    })
}

/// Waits until the client has connected more often than `before`: of what the server was to send over the
/// connection of before, hardly anything comes any more.
pub async fn reconnected(client: &async_nats::Client, before: u64) {
    let mut polls = tokio::time::interval(RECONNECTED_POLL);
    while connects(client) == before {
        polls.tick().await;
    }
}
