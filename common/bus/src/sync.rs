//! Whether the server syncs every message to disk: only then is a PubAck a promise (R2.3).

use futures_util::future::join_all;
use runtime::settings::Address;

use crate::login::NatsAccess;
use crate::monitor::{self, JetStreamStatus};

/// How to check that the server syncs every message.
#[derive(Debug, Clone, clap::Args)]
pub struct SyncSettings {
    /// Address of the nats-server's monitor; of a cluster, each node's, with commas between
    /// [default: port 8222 on each host of --nats-url]
    #[arg(
        long, env = "DEVTRAIL_NATS_MONITOR_URL", value_name = "URL", value_delimiter = ',',
        value_parser = runtime::settings::HTTP_ADDRESSES, help_heading = "Connection"
    )]
    pub nats_monitor_url: Vec<Address>,
    /// Accept a nats-server that does not sync every message to disk (acknowledged events can be lost)
    #[arg(
        long, env = "DEVTRAIL_ALLOW_UNSAFE_SYNC",
        value_parser = clap::builder::BoolishValueParser::new(), help_heading = "Connection"
    )]
    pub allow_unsafe_sync: bool,
}

/// The server may acknowledge what is not on disk.
#[derive(Debug, thiserror::Error)]
pub enum UnsafeSync {
    /// The monitor reports it.
    #[error(
        "The nats-server at {0} does not sync every message: set `jetstream {{ sync_interval: always }}` \
         (nats/server.conf), or accept the loss with --allow-unsafe-sync."
    )]
    NotAlways(Address),
    /// It is the monitor of another server.
    #[error(
        "The monitor at {0} belongs to another nats-server than --nats-url: name the right one with --nats-monitor-url."
    )]
    OtherServer(Address),
    /// The monitor cannot be read.
    #[error(
        "The nats-server's monitor at {url} cannot be read ({reason}), so nothing shows that it syncs every message. \
         Start the server with `-m 8222`, name the monitor with --nats-monitor-url, or accept the risk with \
         --allow-unsafe-sync."
    )]
    Unreadable {
        /// The address tried.
        url: Address,
        /// What went wrong.
        reason: String,
    },
}

/// Reads the monitor (`/jsz`) of the server that `client` is connected to, and those of the other nodes of
/// its cluster: a message counts as stored once most of them have it.
///
/// # Errors
/// Returns [`UnsafeSync`] if one does not sync always, or the connected server's is not among them or cannot be read,
/// unless unsafe sync is allowed. A node that is down is ignored.
pub async fn check(
    client: &async_nats::Client,
    access: &NatsAccess,
    settings: &SyncSettings,
) -> Result<(), UnsafeSync> {
    let monitors = match &settings.nats_monitor_url[..] {
        [] => access
            .address()
            .servers()
            .iter()
            .map(default_monitor)
            .collect(),
        given => given.to_vec(),
    };
    // At once: each node that is down takes its two seconds.
    let reports = join_all(monitors.into_iter().map(|url| read(url, access))).await;
    match evaluate(reports, &client.server_info().server_id) {
        Err(error) if settings.allow_unsafe_sync => {
            tracing::warn!(%error, "acknowledged events can be lost: --allow-unsafe-sync is set");
            Ok(())
        }
        checked => checked,
    }
}

/// What one monitor reported.
struct MonitorReport {
    url: Address,
    status: Result<JetStreamStatus, UnsafeSync>,
}

/// Evaluates the reports for a client of the server `connected`.
fn evaluate(reports: Vec<MonitorReport>, connected: &str) -> Result<(), UnsafeSync> {
    let mut has_own = false;
    let mut problem = None;
    for MonitorReport { url, status } in reports {
        match status {
            Ok(status) if !status.config.sync_always => return Err(UnsafeSync::NotAlways(url)),
            Ok(status) if status.server_id == connected => has_own = true,
            Ok(_) => problem = problem.or(Some(UnsafeSync::OtherServer(url))),
            Err(error) => problem = problem.or(Some(error)),
        }
    }
    problem.filter(|_| !has_own).map_or(Ok(()), Err)
}

async fn read(url: Address, access: &NatsAccess) -> MonitorReport {
    let status = monitor::jetstream(&url, access.ca()).await;
    let status = status.map_err(|error| UnsafeSync::Unreadable {
        url: url.clone(),
        reason: error.to_string(),
    });
    MonitorReport { url, status }
}

/// Port 8222 on the host of a server.
fn default_monitor(server: &async_nats::ServerAddr) -> Address {
    let host = server.host();
    let host = match host.contains(':') {
        true => format!("[{host}]"),
        false => host.to_owned(),
    };
    Address::new(format!("http://{host}:8222"))
}

#[cfg(test)]
mod tests {
    use super::{Address, JetStreamStatus, MonitorReport, UnsafeSync, default_monitor, evaluate};
    use crate::monitor::JetStreamConfig;

    #[test]
    fn the_monitor_is_on_the_servers_host_by_default() {
        let monitor = |server: &str| default_monitor(&server.parse().unwrap()).to_string();
        assert_eq!(monitor("nats://127.0.0.1:4222"), "http://127.0.0.1:8222");
        assert_eq!(monitor("tls://nats.example"), "http://nats.example:8222");
        assert_eq!(monitor("nats://[::1]:4222"), "http://[::1]:8222");
    }

    #[test]
    fn every_node_that_answers_syncs_and_the_connected_one_answers() {
        let reports = |id: &str, sync_always| {
            Ok(JetStreamStatus {
                server_id: id.to_owned(),
                storage: 0,
                config: JetStreamConfig {
                    sync_always,
                    ..JetStreamConfig::default()
                },
            })
        };
        let down = || {
            Err(UnsafeSync::Unreadable {
                url: Address::new("c"),
                reason: "refused".to_owned(),
            })
        };
        let evaluated = |statuses: Vec<Result<JetStreamStatus, UnsafeSync>>| {
            let report = |status| MonitorReport {
                url: Address::new("url"),
                status,
            };
            evaluate(statuses.into_iter().map(report).collect(), "n1")
        };
        assert!(evaluated(vec![reports("n2", true), reports("n1", true), down()]).is_ok());
        assert!(matches!(
            evaluated(vec![reports("n1", true), reports("n2", false)]),
            Err(UnsafeSync::NotAlways(_))
        ));
        assert!(matches!(
            evaluated(vec![reports("n2", true), down()]),
            Err(UnsafeSync::OtherServer(_))
        ));
        assert!(matches!(
            evaluated(vec![down()]),
            Err(UnsafeSync::Unreadable { .. })
        ));
    }
}
