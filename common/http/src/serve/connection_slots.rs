//! How many connections there may be at once, in all and from one address.

use std::net::IpAddr;
use std::sync::Arc;

use runtime::metrics;

use super::options::ServeOptions;
use crate::client_address::{ClientAddress, TrustedProxies};
use crate::error_code::ErrorCode;
use crate::problem::Problem;
use crate::quota::{Claim, Over, Place, QuotaShare, Refused, SharedQuota};

/// The places of a server.
pub(super) struct ConnectionSlots {
    served: Arc<SharedQuota<ClientAddress>>,
    /// Connections that are told why they are refused.
    turned_away: Arc<SharedQuota<ClientAddress>>,
    share: QuotaShare,
    proxies: TrustedProxies,
}

/// How a connection is treated. Its place is free again when this is dropped.
pub(super) enum ConnectionSlot {
    Served(Place<ClientAddress>),
    /// It is told why, then closed.
    TurnedAway(Place<ClientAddress>, Problem),
    /// It is closed at once: even those that are told are too many.
    Dropped,
}

impl ConnectionSlots {
    pub(super) fn new(options: &ServeOptions) -> Self {
        Self {
            served: SharedQuota::new(options.max_connections, 1),
            turned_away: SharedQuota::new(options.max_turned_away, 1),
            share: options.address_share,
            proxies: options.trusted_proxies.clone(),
        }
    }

    /// What becomes of the next connection. Never waits: whoever floods the listener must not hold up others.
    ///
    /// A refusal is better than silence: the client can go elsewhere.
    pub(super) fn next(&self, peer: IpAddr) -> ConnectionSlot {
        let tenant = ClientAddress::of(peer);
        let share = self.share;
        // Behind a trusted proxy there are many clients: its connections count in all only.
        let claims: Arc<[Claim<ClientAddress>]> = match self.proxies.trusts(peer) {
            true => Arc::default(),
            false => Arc::new([Claim { tenant, share }]),
        };
        match self.served.take(&claims, 1) {
            Ok(place) => ConnectionSlot::Served(place),
            Err(refused) => {
                let problem = refusal(&refused);
                match self.turned_away.take(&claims, 1) {
                    Ok(place) => ConnectionSlot::TurnedAway(place, problem),
                    Err(_) => ConnectionSlot::Dropped,
                }
            }
        }
    }
}

/// The refusal of a connection, counted, and logged if it is the first of many.
fn refusal(refused: &Refused<ClientAddress>) -> Problem {
    let Refused {
        over,
        bound,
        is_first,
    } = refused;
    let limit = *bound as u64;
    match over {
        Over::Tenant(address) => {
            metrics::quota_refused("connections", "address");
            if *is_first {
                tracing::warn!(%address, bound, "an address has its share of connections: more are closed");
            }
            let detail = format!(
                "Your address may have {bound} connections at once, its share of --max-connections (--address-share), \
                    and fewer while there are many. Send again later."
            );
            Problem::new(ErrorCode::RateLimited, detail).limit(limit)
        }
        Over::Total => {
            metrics::quota_refused("connections", "all");
            if *is_first {
                tracing::warn!(
                    bound,
                    "there are too many connections: more are answered 503 overloaded"
                );
            }
            let detail = format!(
                "This collector has {bound} connections, its limit (--max-connections). Send again later, or to \
                    another one."
            );
            Problem::new(ErrorCode::Overloaded, detail).limit(limit)
        }
    }
}
