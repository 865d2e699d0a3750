//! Connecting to NATS, and following a client's connection.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_nats::client::FlushErrorKind;
use async_nats::{AuthError, ClientError, ConnectErrorKind, ConnectOptions, Event, ServerError};
use futures_util::FutureExt as _;
use tokio::sync::watch;
use tokio::time::Instant;

use runtime::retry::RetryPolicy;
use runtime::settings::UsageError;
use runtime::shutdown::Shutdown;

use crate::address::{NATS_ADDRESS, NatsAddress};
use crate::connect_failure::{ConnectFailure, is_refusal};
use crate::login::{NatsAccess, NatsLoginArgs};

/// How to reach NATS.
#[derive(Debug, Clone, clap::Args)]
pub struct NatsSettings {
    /// Address of the nats-server, or several with commas between; a user and password, or a token, may stand before
    /// an @
    #[arg(
        long, env = "DEVTRAIL_NATS_URL", default_value = "nats://127.0.0.1:4222", value_name = "URL",
        value_parser = NATS_ADDRESS, help_heading = "Connection"
    )]
    pub nats_url: NatsAddress,
    #[command(flatten)]
    pub login: NatsLoginArgs,
}

impl NatsSettings {
    /// All that it takes to connect.
    ///
    /// # Errors
    /// Returns [`UsageError`] if the login is given twice or by half.
    pub fn access(&self) -> Result<NatsAccess, UsageError> {
        self.login.access(&self.nats_url)
    }
}

/// How often it is checked whether the client has reconnected; the client reports that to one callback alone.
const RECONNECTED_POLL: Duration = Duration::from_millis(200);
/// What goes on, such as a refused login, is logged at most this often.
const REPEAT: Duration = Duration::from_secs(30);

fn options(access: &NatsAccess, name: &str) -> ConnectOptions {
    let options = match access.login.clone() {
        None => ConnectOptions::new(),
        // Called at each attempt, also of a reconnect: a file is read anew.
        Some(login) => ConnectOptions::with_auth_callback(move |nonce| {
            let login = login.clone();
            async move { login.auth(&nonce).await.map_err(AuthError::new) }
        }),
    };
    // The client reads these files at each attempt too. Who names one wants TLS: no server may talk him out of it.
    let options = match access.ca.clone() {
        None => options,
        Some(ca) => options.add_root_certificates(ca).require_tls(true),
    };
    let options = match access.certificate.clone() {
        None => options,
        Some(own) => options
            .add_client_certificate(own.certificate, own.key)
            .require_tls(true),
    };
    options
        .name(name)
        .connection_timeout(Duration::from_secs(2))
        .reconnect_delay_callback(reconnect_delays())
}

/// The delay before each attempt to connect. A server that comes back is found at once: the client's own delays grow to
/// seconds. The client asks before its very first attempt too, which waits for nothing.
fn reconnect_delays() -> impl Fn(usize) -> Duration + Send + Sync + 'static {
    let policy = RetryPolicy {
        cap: Duration::from_secs(1),
        ..RetryPolicy::DEFAULT
    };
    let is_first = AtomicBool::new(true);
    move |attempt| match is_first.swap(false, Ordering::Relaxed) {
        true => Duration::ZERO,
        false => policy.bound(u32::try_from(attempt).unwrap_or(u32::MAX)),
    }
}

/// Connects once, for a command that a person waits for.
///
/// # Errors
/// Returns [`ConnectFailure`] if no server answers within two seconds, or one refuses the login.
pub async fn connect_once(
    access: &NatsAccess,
    name: &str,
) -> Result<async_nats::Client, ConnectFailure> {
    access.warn_of_shared_files();
    try_once(access, options(access, name)).await
}

async fn try_once(
    access: &NatsAccess,
    options: ConnectOptions,
) -> Result<async_nats::Client, ConnectFailure> {
    access.check_files().await?;
    match options.connect(access.address.servers()).await {
        Ok(client) => Ok(client),
        Err(error) => Err(ConnectFailure::of(access, error).await),
    }
}

/// How a service connects.
#[derive(Debug)]
pub struct ConnectionSettings<'a> {
    /// The nats-servers, and how to log in.
    pub access: &'a NatsAccess,
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
    pub fn new(access: &'a NatsAccess, name: &'a str) -> Self {
        Self {
            access,
            name,
            retry: RetryPolicy::DEFAULT,
            connected: None,
        }
    }
}

/// Connects for a service: retries until a server takes the login or the process shuts down (`None`).
///
/// Afterwards the client reconnects on its own, without limit. A login that is refused is tried again as well: its
/// file may be renewed meanwhile.
pub async fn connect(
    settings: ConnectionSettings<'_>,
    shutdown: &Shutdown,
) -> Option<async_nats::Client> {
    let ConnectionSettings {
        access,
        name,
        retry,
        connected,
    } = settings;
    access.warn_of_shared_files();
    let reporter = Arc::new(Reporter::new(access.clone(), connected, shutdown.clone()));
    let mut backoff = retry.backoff(shutdown);
    loop {
        let attempt = backoff.attempt();
        let reporter = reporter.clone();
        let options =
            options(access, name).event_callback(move |event| reporter.clone().report(event));
        tokio::select! {
            connected = try_once(access, options) => match connected {
                Ok(client) => return Some(client),
                Err(error) => tracing::warn!(%error, attempt, "waiting for NATS; trying again"),
            },
            () = shutdown.draining() => return None,
        }
        if !backoff.wait().await {
            return None;
        }
    }
}

/// Logs what becomes of a client's connection, and notifies of each new one.
struct Reporter {
    access: NatsAccess,
    connected: Option<watch::Sender<()>>,
    shutdown: Shutdown,
    is_broken: AtomicBool,
    last: Mutex<Option<Reported>>,
}

/// The last trouble that was logged.
struct Reported {
    what: String,
    at: Instant,
}

impl Reporter {
    fn new(access: NatsAccess, connected: Option<watch::Sender<()>>, shutdown: Shutdown) -> Self {
        Self {
            access,
            connected,
            shutdown,
            is_broken: AtomicBool::new(false),
            last: Mutex::default(),
        }
    }

    async fn report(self: Arc<Self>, event: Event) {
        match event {
            Event::Connected => {
                if self.is_broken.swap(false, Ordering::Relaxed) {
                    tracing::info!("connected to NATS again");
                }
                *self.last.lock().unwrap_or_else(PoisonError::into_inner) = None;
                if let Some(connected) = &self.connected {
                    connected.send_replace(());
                }
            }
            // In a shutdown the server may stop before its clients: `devtrail up` stops both.
            Event::Disconnected if self.shutdown.is_draining() => {
                tracing::debug!("the connection to NATS ended");
            }
            // Logged once, however many attempts it takes.
            Event::Disconnected if !self.is_broken.swap(true, Ordering::Relaxed) => {
                tracing::warn!("the connection to NATS broke; connecting again");
            }
            Event::ServerError(error) => self.server_error(error).await,
            Event::ClientError(ClientError::Other(text)) => self.attempt_failed(text).await,
            _ => {}
        }
    }

    /// What a server says on a connection: that it ends it, or that something is not permitted.
    async fn server_error(&self, error: ServerError) {
        let said = match error {
            ServerError::AuthorizationViolation => {
                ConnectErrorKind::AuthorizationViolation.to_string()
            }
            ServerError::Other(said) => said,
            ServerError::SlowConsumer(_) => return,
        };
        if is_refusal(&said) {
            self.refused(said).await;
        } else if self.is_news(&said) {
            tracing::warn!(said, "nats-server reports an error");
        }
    }

    /// An attempt to reconnect failed; the client tells only of what kind.
    async fn attempt_failed(&self, kind: String) {
        if kind == ConnectErrorKind::AuthorizationViolation.to_string() {
            self.refused(kind).await;
        } else if let Err(error) = self.access.check_files().await
            && self.is_news(&error.to_string())
        {
            tracing::warn!(%error, "cannot log in to NATS; trying again");
        }
    }

    async fn refused(&self, said: String) {
        if self.is_news(&said) {
            let error = ConnectFailure::refused(&self.access, said).await;
            tracing::warn!(%error, "logged out of NATS; trying again, with what the file of the login holds by then");
        }
    }

    /// Whether this was not logged a moment ago.
    fn is_news(&self, what: &str) -> bool {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        let is_known = last
            .as_ref()
            .is_some_and(|last| last.what == what && last.at.elapsed() < REPEAT);
        if !is_known {
            *last = Some(Reported {
                what: what.to_owned(),
                at: Instant::now(),
            });
        }
        !is_known
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_attempt_waits_for_nothing_and_later_ones_for_a_second_at_most() {
        let delay_before = reconnect_delays();
        assert_eq!(delay_before(1), Duration::ZERO);
        // Connected, and lost again: the client counts from 1.
        assert_eq!(delay_before(1), Duration::from_millis(100));
        assert_eq!(delay_before(2), Duration::from_millis(200));
        assert_eq!(delay_before(usize::MAX), Duration::from_secs(1));
    }
}
