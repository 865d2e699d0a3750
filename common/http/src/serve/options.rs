//! The bounds that a server sets to its connections.

use std::time::Duration;

use crate::client_address::TrustedProxies;
use crate::quota::QuotaShare;

/// Connections beyond the bound that the collector answers at once.
pub const MAX_TURNED_AWAY: usize = 64;

/// The bounds of a server's connections.
#[derive(Debug, Clone)]
pub struct ServeOptions {
    /// How long a request's header may take: from the accept for a connection's first, else from its first byte.
    pub header_timeout: Duration,
    /// How long a connection may wait for its next request.
    pub idle_timeout: Duration,
    /// How long a client may read nothing of a reply that is being written.
    pub write_timeout: Duration,
    /// How long a connection may live, its last reply read included; `None`: indefinitely.
    pub connection_timeout: Option<Duration>,
    /// Whether a connection may carry more than one request.
    pub keep_alive: bool,
    /// Bytes of a request's header, at least 8 KiB.
    pub max_header: usize,
    /// Connections served at once.
    pub max_connections: usize,
    /// The share of `max_connections` that one address may have.
    pub address_share: QuotaShare,
    /// Proxies that tell whose request they pass on; their connections have no share of their own.
    pub trusted_proxies: TrustedProxies,
    /// Connections beyond the bounds that are told so at once. Further ones are closed without a word.
    pub max_turned_away: usize,
}

impl Default for ServeOptions {
    fn default() -> Self {
        Self {
            header_timeout: Duration::from_secs(10),
            idle_timeout: Duration::from_secs(75),
            write_timeout: Duration::from_secs(60),
            connection_timeout: None,
            keep_alive: true,
            max_header: 64 * 1024,
            max_connections: 4096,
            address_share: QuotaShare::QUARTER,
            trusted_proxies: TrustedProxies::default(),
            max_turned_away: MAX_TURNED_AWAY,
        }
    }
}
