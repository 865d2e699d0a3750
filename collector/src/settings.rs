//! The collector's settings.

use std::time::Duration;

use bus::{NatsSettings, sync::SyncSettings};
use http_server::admin_listener::AdminListenSettings;
use http_server::client_address::Network;
use runtime::breaker::BreakerSettings;
use runtime::retry::{RetryPolicy, parse_delay};
use runtime::schema_folder::SchemaSettings;
use runtime::settings::{parse_duration, parse_origin, parse_rate};

use crate::admission_control::OverloadSettings;

/// The settings of the collector alone, without those that every program has.
#[derive(Debug, Clone, clap::Args)]
pub struct CollectorSettings {
    /// Address to serve HTTP on; port 0 takes a free one
    #[arg(
        long, env = "DEVTRAIL_LISTEN", default_value = "127.0.0.1:8787", value_name = "ADDR",
        value_parser = runtime::settings::parse_address
    )]
    pub listen: String,
    #[command(flatten)]
    pub nats: NatsSettings,
    #[command(flatten)]
    pub sync: SyncSettings,
    #[command(flatten)]
    pub limits: RequestLimits,
    #[command(flatten)]
    pub clients: ClientSettings,
    #[command(flatten)]
    pub retry: RetryPolicy,
    #[command(flatten)]
    pub breakers: BreakerSettings,
    #[command(flatten)]
    pub schemas: SchemaSettings,
    #[command(flatten)]
    pub admin: AdminListenSettings,
}

/// Where clients are, and what is believed of it.
#[derive(Debug, Clone, Default, clap::Args)]
#[command(next_help_heading = "Clients")]
pub struct ClientSettings {
    /// Origin whose pages may send and read, such as https://app.example or chrome-extension://ID; several with commas
    /// between, or the flag again [default: none]
    #[arg(
        long, env = "DEVTRAIL_CORS_ORIGIN", value_name = "ORIGIN", value_delimiter = ',', value_parser = parse_origin
    )]
    pub cors_origin: Vec<String>,
    /// Proxy whose X-Forwarded-For tells the client's address, as 10.0.0.1 or 10.0.0.0/8; several with commas between,
    /// or the flag again [default: none]
    #[arg(
        long, env = "DEVTRAIL_TRUSTED_PROXY", value_name = "ADDR", value_delimiter = ',',
        value_parser = str::parse::<Network>
    )]
    pub trusted_proxy: Vec<Network>,
}

/// The bounds of a request.
#[derive(Debug, Clone, clap::Args)]
#[command(next_help_heading = "Limits")]
pub struct RequestLimits {
    /// Most events in a batch
    #[arg(
        long,
        env = "DEVTRAIL_MAX_EVENTS",
        default_value_t = 1000,
        value_name = "N"
    )]
    pub max_events: usize,
    /// Most events a second for each key that has no rate of its own, in this process; 0: no limit
    #[arg(long, env = "DEVTRAIL_RATE", default_value = "50000", value_name = "N", value_parser = parse_rate)]
    pub rate: u32,
    /// Most bytes in a body, inflated
    #[arg(long, env = "DEVTRAIL_MAX_BODY", default_value_t = 4 * 1024 * 1024, value_name = "BYTES")]
    pub max_body: usize,
    /// A body may inflate to this many times its size
    #[arg(
        long,
        env = "DEVTRAIL_MAX_RATIO",
        default_value_t = 100,
        value_name = "N"
    )]
    pub max_ratio: usize,
    /// How long a request's header may take to arrive
    #[arg(
        long, env = "DEVTRAIL_HEADER_TIMEOUT", default_value = "10s", value_name = "TIME",
        value_parser = parse_duration
    )]
    pub header_timeout: Duration,
    /// How long a request's body may take to arrive
    #[arg(
        long, env = "DEVTRAIL_BODY_TIMEOUT", default_value = "30s", value_name = "TIME",
        value_parser = parse_duration
    )]
    pub body_timeout: Duration,
    /// How long the stream may take to confirm a batch
    #[arg(
        long, env = "DEVTRAIL_PUBLISH_TIMEOUT", default_value = "10s", value_name = "TIME",
        value_parser = parse_duration
    )]
    pub publish_timeout: Duration,
    /// How long a client may read nothing of a reply; then its connection is closed
    #[arg(
        long, env = "DEVTRAIL_WRITE_TIMEOUT", default_value = "60s", value_name = "TIME",
        value_parser = parse_duration
    )]
    pub write_timeout: Duration,
    /// How often a stream of alerts has a line of comment while there are no alerts
    #[arg(
        long, env = "DEVTRAIL_ALERT_KEEP_ALIVE", default_value = "15s", value_name = "TIME",
        value_parser = parse_delay
    )]
    pub alert_keep_alive: Duration,
    #[command(flatten)]
    pub overload: OverloadSettings,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_administrator_sets_the_pauses_of_retries() {
        #[derive(clap::Parser)]
        struct Program {
            #[command(flatten)]
            settings: CollectorSettings,
        }
        let own = ["x", "--retry-base", "70ms", "--retry-cap", "3s"];
        let of = |given: &[&str]| <Program as clap::Parser>::parse_from(given).settings.retry;
        assert_eq!(
            of(&own),
            RetryPolicy {
                base: Duration::from_millis(70),
                cap: Duration::from_secs(3)
            }
        );
        assert_eq!(of(&own[..1]), RetryPolicy::DEFAULT);
    }
}
