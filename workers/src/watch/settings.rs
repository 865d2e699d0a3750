//! When a condition raises an alert, how often it is sent, and to which address.

use std::time::Duration;

use clap::builder::RangedU64ValueParser;
use runtime::settings::Address;

/// What the watcher probes for, and the administrators' webhook.
#[derive(Debug, Clone, clap::Args)]
pub struct WatchSettings {
    /// Time between two rounds of probes
    #[arg(
        long, env = "DEVTRAIL_ALERT_EVERY", default_value = "5s", value_name = "TIME",
        value_parser = parse_interval, help_heading = HEADING
    )]
    pub alert_every: Duration,
    /// Alert when more messages than this wait for a consumer
    #[arg(long, env = "DEVTRAIL_ALERT_LAG", default_value_t = 10_000, value_name = "N", help_heading = HEADING)]
    pub alert_lag: u64,
    /// Alert when a batch is not completed this long after it was stored
    #[arg(
        long, env = "DEVTRAIL_ALERT_OVERDUE", default_value = "10m", value_name = "TIME",
        value_parser = runtime::settings::parse_duration, help_heading = HEADING
    )]
    pub alert_overdue: Duration,
    /// Alert when a role has no live process for this long
    #[arg(
        long, env = "DEVTRAIL_ALERT_SILENT", default_value = "30s", value_name = "TIME",
        value_parser = runtime::settings::parse_duration, help_heading = HEADING
    )]
    pub alert_silent: Duration,
    /// Alert when a stream is this full, in percent
    #[arg(
        long, env = "DEVTRAIL_ALERT_STREAM", default_value = "80", value_name = "PERCENT",
        value_parser = RangedU64ValueParser::<u64>::new().range(1..=100), help_heading = HEADING
    )]
    pub alert_stream: u64,
    /// Alert when a disk is this full, in percent
    #[arg(
        long, env = "DEVTRAIL_ALERT_DISK", default_value = "90", value_name = "PERCENT",
        value_parser = RangedU64ValueParser::<u64>::new().range(0..=100), help_heading = HEADING
    )]
    pub alert_disk: u64,
    /// An alert is resolved when its condition was over for this long
    #[arg(
        long, env = "DEVTRAIL_ALERT_SETTLE", default_value = "30s", value_name = "TIME",
        value_parser = runtime::settings::parse_duration, help_heading = HEADING
    )]
    pub alert_settle: Duration,
    /// An alert that a rule failed is resolved when it did not fail for this long
    #[arg(
        long, env = "DEVTRAIL_ALERT_QUIET", default_value = "10m", value_name = "TIME",
        value_parser = runtime::settings::parse_duration, help_heading = HEADING
    )]
    pub alert_quiet: Duration,
    /// An alert whose count rises is sent again at most this often
    #[arg(
        long, env = "DEVTRAIL_ALERT_REPEAT", default_value = "5m", value_name = "TIME",
        value_parser = runtime::settings::parse_duration, help_heading = HEADING
    )]
    pub alert_repeat: Duration,
    /// Most messages a minute about one kind of condition
    #[arg(
        long, env = "DEVTRAIL_ALERT_RATE", default_value = "20", value_name = "N",
        value_parser = RangedU64ValueParser::<u32>::new().range(1..), help_heading = HEADING
    )]
    pub alert_rate: u32,
    /// The address that alerts are posted to: http:// or https://
    #[arg(
        long, env = "DEVTRAIL_ADMIN_WEBHOOK_URL", hide_env_values = true, value_name = "ADDRESS",
        value_parser = runtime::settings::HTTP_ADDRESS, help_heading = HEADING
    )]
    pub admin_webhook_url: Option<Address>,
    /// An alert that the webhook answers with 408, 429 or 5xx is skipped when it is this old
    #[arg(
        long, env = "DEVTRAIL_ADMIN_WEBHOOK_PATIENCE", default_value = "1h", value_name = "TIME",
        value_parser = runtime::settings::parse_duration, help_heading = HEADING
    )]
    pub admin_webhook_patience: Duration,
    /// What the posts are signed with; its receiver knows it too
    #[arg(
        long, env = "DEVTRAIL_ADMIN_WEBHOOK_SECRET", hide_env_values = true, value_name = "SECRET",
        help_heading = HEADING
    )]
    pub admin_webhook_secret: Option<String>,
}

const HEADING: &str = "Admin alerts";

/// A time span that may lie between two rounds of probes.
fn parse_interval(text: &str) -> Result<Duration, String> {
    let span = runtime::settings::parse_duration(text)?;
    let long_enough = span >= Duration::from_millis(10);
    long_enough
        .then_some(span)
        .ok_or_else(|| format!("{text:?} is too short; write at least 10ms"))
}
