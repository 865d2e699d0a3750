//! Does the server sync always? Only then is a PubAck a promise (R2.3).

use futures_util::future::join_all;

use crate::monitor::{self, JetStream};

/// Where the server's monitor is, and whether its word is needed.
#[derive(Debug, Clone, clap::Args)]
pub struct SyncSettings {
    /// Address of the nats-server's monitor; of a cluster, each node's, with commas between [default: port 8222 on each host of --nats-url]
    #[arg(
        long, env = "DEVTRAIL_NATS_MONITOR_URL", value_name = "URL", value_delimiter = ',',
        value_parser = runtime::settings::parse_http_url
    )]
    pub nats_monitor_url: Vec<String>,
    /// Accept a nats-server that does not sync every message to disk (acknowledged events can be lost)
    #[arg(
        long, env = "DEVTRAIL_ALLOW_UNSAFE_SYNC",
        value_parser = clap::builder::BoolishValueParser::new()
    )]
    pub allow_unsafe_sync: bool,
}

/// The server may acknowledge what is not on disk.
#[derive(Debug, thiserror::Error)]
pub enum UnsafeSync {
    /// The monitor says so.
    #[error(
        "The nats-server at {0} does not sync every message: set `jetstream {{ sync_interval: always }}` (nats/server.conf), or accept the loss with --allow-unsafe-sync."
    )]
    NotAlways(String),
    /// The monitor is another server's.
    #[error(
        "The monitor at {0} belongs to another nats-server than --nats-url: name the right one with --nats-monitor-url."
    )]
    OtherServer(String),
    /// The monitor cannot be read.
    #[error(
        "The nats-server's monitor at {url} cannot be read ({reason}), so nothing shows that it syncs every message. Start the server with `-m 8222`, name the monitor with --nats-monitor-url, or accept the risk with --allow-unsafe-sync."
    )]
    Unreadable {
        /// The address tried.
        url: String,
        /// What went wrong.
        reason: String,
    },
}

/// Asks the monitor (`/jsz`) of the server that `client` is connected to, and those of the other nodes of
/// its cluster: a message counts as stored once most of them have it.
///
/// # Errors
/// Where one does not sync always, or the connected server's is not among them or cannot be read, unless
/// unsafe sync is allowed. A node that is down says nothing.
pub async fn check(
    client: &async_nats::Client,
    nats_url: &str,
    settings: &SyncSettings,
) -> Result<(), UnsafeSync> {
    let monitors = match &settings.nats_monitor_url[..] {
        [] => nats_url.split(',').map(default_monitor).collect(),
        given => given.to_vec(),
    };
    // At once: each node that is down takes its two seconds.
    let said = join_all(
        monitors
            .into_iter()
            .map(|url: String| async move { (read(&url).await, url) }),
    )
    .await;
    match judge(said, &client.server_info().server_id) {
        Err(error) if settings.allow_unsafe_sync => {
            tracing::warn!(%error, "acknowledged events can be lost: --allow-unsafe-sync is set");
            Ok(())
        }
        checked => checked,
    }
}

/// What the monitors' words come to for a client of the server `connected`.
fn judge(
    said: Vec<(Result<JetStream, UnsafeSync>, String)>,
    connected: &str,
) -> Result<(), UnsafeSync> {
    let (mut own, mut trouble) = (false, None);
    for (jsz, url) in said {
        match jsz {
            Ok(jsz) if !jsz.config.sync_always => return Err(UnsafeSync::NotAlways(url)),
            Ok(jsz) if jsz.server_id == connected => own = true,
            Ok(_) => trouble = trouble.or(Some(UnsafeSync::OtherServer(url))),
            Err(error) => trouble = trouble.or(Some(error)),
        }
    }
    trouble.filter(|_| !own).map_or(Ok(()), Err)
}

async fn read(url: &str) -> Result<JetStream, UnsafeSync> {
    let failed = |error: reqwest::Error| UnsafeSync::Unreadable {
        url: url.to_owned(),
        reason: error.to_string(),
    };
    monitor::jetstream(url).await.map_err(failed)
}

/// Port 8222 on the host of one `nats_url`, without its credentials.
fn default_monitor(nats_url: &str) -> String {
    let authority = nats_url
        .split_once("://")
        .map_or(nats_url, |(_, rest)| rest);
    let host = authority
        .rsplit_once('@')
        .map_or(authority, |(_, host)| host);
    let host = match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
        _ => host,
    };
    format!("http://{host}:8222")
}

#[cfg(test)]
mod tests {
    use super::{JetStream, UnsafeSync, default_monitor, judge};
    use crate::monitor::Setup;

    #[test]
    fn the_monitor_is_on_the_servers_host_by_default() {
        assert_eq!(
            default_monitor("nats://127.0.0.1:4222"),
            "http://127.0.0.1:8222"
        );
        assert_eq!(
            default_monitor("tls://ada:pw@nats.example"),
            "http://nats.example:8222"
        );
        assert_eq!(default_monitor("nats://[::1]:4222"), "http://[::1]:8222");
    }

    #[test]
    fn of_a_cluster_every_node_that_answers_syncs_and_the_connected_one_answers() {
        let says = |id: &str, sync_always| {
            Ok(JetStream {
                server_id: id.to_owned(),
                storage: 0,
                config: Setup {
                    sync_always,
                    ..Setup::default()
                },
            })
        };
        let down = || {
            Err(UnsafeSync::Unreadable {
                url: "c".to_owned(),
                reason: "refused".to_owned(),
            })
        };
        let judged = |said: Vec<Result<JetStream, UnsafeSync>>| {
            judge(
                said.into_iter()
                    .map(|said| (said, "url".to_owned()))
                    .collect(),
                "n1",
            )
        };
        assert!(judged(vec![says("n2", true), says("n1", true), down()]).is_ok());
        assert!(matches!(
            judged(vec![says("n1", true), says("n2", false)]),
            Err(UnsafeSync::NotAlways(_))
        ));
        assert!(matches!(
            judged(vec![says("n2", true), down()]),
            Err(UnsafeSync::OtherServer(_))
        ));
        assert!(matches!(
            judged(vec![down()]),
            Err(UnsafeSync::Unreadable { .. })
        ));
    }
}
