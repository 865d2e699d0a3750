//! The workers' settings.

use bus::NatsSettings;
use http_server::admin_listener::AdminListenSettings;
use runtime::breaker::BreakerSettings;
use runtime::retry::RetrySettings;
use runtime::settings::Address;

use crate::database::DatabaseSettings;
use crate::retention::RetentionSettings;
use crate::watch::WatchSettings;

/// What `devtrail-worker` takes on the command line or from the environment.
#[derive(Debug, Clone, clap::Args)]
pub struct WorkerSettings {
    #[command(flatten)]
    pub nats: NatsSettings,
    /// Addresses of the nats-server's monitor, of a cluster each node's, with commas between: so that its disk is
    /// watched
    #[arg(
        long, env = "DEVTRAIL_NATS_MONITOR_URL", value_name = "URL", value_delimiter = ',',
        value_parser = runtime::settings::HTTP_ADDRESSES
    )]
    pub nats_monitor_url: Vec<Address>,
    #[command(flatten)]
    pub database: DatabaseSettings,
    #[command(flatten)]
    pub retry: RetrySettings,
    #[command(flatten)]
    pub breakers: BreakerSettings,
    #[command(flatten)]
    pub watch: WatchSettings,
    #[command(flatten)]
    pub retention: RetentionSettings,
    #[command(flatten)]
    pub admin: AdminListenSettings,
}
