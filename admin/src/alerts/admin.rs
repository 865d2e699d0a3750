//! `devtrail alerts admin`: what is wrong with Devtrail, and what to do.

use std::time::Duration;

use async_nats::jetstream;
use bus::{AdminAlertLog, admin_alerts};
use types::admin_alert::{AdminAlert, AlertState, newest};

use crate::output::{self, OUTPUT, SELECTION};
use crate::target::Target;

/// Which ones.
#[derive(Debug, clap::Args)]
#[command(after_long_help = "Examples:
  devtrail alerts admin
  devtrail alerts admin --all --json
  devtrail alerts admin --follow")]
pub struct AlertsAdminSettings {
    /// Those that are resolved as well, of the last 30 days
    #[arg(long, help_heading = SELECTION)]
    all: bool,
    /// Go on and show each message as it comes, until Ctrl-C
    #[arg(long, help_heading = OUTPUT)]
    follow: bool,
    #[command(flatten)]
    target: Target,
    /// Print JSON; with --follow a line a message
    #[arg(long, help_heading = OUTPUT)]
    json: bool,
}

/// The time between two looks of `--follow`.
const EVERY: Duration = Duration::from_secs(1);

/// Runs the command.
///
/// # Errors
/// Returns an error if NATS does not answer, or the stream ADMIN cannot be read.
pub async fn run(settings: &AlertsAdminSettings) -> anyhow::Result<()> {
    let js = settings.target.connect().await?;
    let log = read(&js, 1).await?;
    let mut alerts = newest(log.alerts);
    let all = alerts.len();
    alerts.retain(|alert| settings.all || alert.state == AlertState::Raised);
    if settings.follow {
        return follow(&js, alerts, log.last_sequence, settings.json).await;
    }
    if settings.json {
        Ok(output::json(&alerts)?)
    } else {
        output::line(text(&alerts))?;
        if alerts.len() < all {
            let resolved = output::count(all - alerts.len(), "resolved alert");
            output::line(format!("{resolved} more; --all shows all."))?;
        }
        Ok(())
    }
}

async fn read(js: &jetstream::Context, from: u64) -> anyhow::Result<AdminAlertLog> {
    let unreadable = |error: async_nats::Error| {
        anyhow::anyhow!(
            "The stream ADMIN cannot be read: {error}. If it is missing, run `devtrail streams apply`."
        )
    };
    admin_alerts(js, from).await.map_err(unreadable)
}

/// Shows the present alerts, then each message as it comes.
async fn follow(
    js: &jetstream::Context,
    mut messages: Vec<AdminAlert>,
    mut last: u64,
    as_json: bool,
) -> anyhow::Result<()> {
    let mut looks = tokio::time::interval(EVERY);
    loop {
        for alert in &messages {
            let line = if as_json {
                serde_json::to_string(alert)?
            } else {
                line(alert)
            };
            if !output::still_read(&line)? {
                return Ok(());
            }
        }
        looks.tick().await;
        let log = read(js, last + 1).await?;
        messages = log.alerts;
        last = log.last_sequence;
    }
}

/// The list for people. Pure.
fn text(alerts: &[AdminAlert]) -> String {
    if alerts.is_empty() {
        return "No alerts: all is well as far as the watcher sees.".to_owned();
    }
    let shown = |alert: &AdminAlert| {
        let advice = match alert.state {
            AlertState::Raised => format!("\n    {} ({})", alert.advice, alert.runbook),
            AlertState::Resolved => String::new(),
        };
        format!("{}{advice}", line(alert))
    };
    alerts.iter().map(shown).collect::<Vec<_>>().join("\n")
}

/// One message as a line.
fn line(alert: &AdminAlert) -> String {
    let AdminAlert {
        kind,
        severity,
        title,
        first_seen,
        ..
    } = alert;
    let severity = severity.as_str();
    let kind = kind.as_str();
    let state = match alert.state {
        AlertState::Raised => format!("since {}", output::time(*first_seen)),
        AlertState::Resolved => format!("resolved {}", output::time(alert.time)),
    };
    // One line each, whatever a title quotes.
    output::plain(&format!("{severity} {kind} {state}: {title}").replace('\n', " "))
}

#[cfg(test)]
mod tests {
    use types::admin_alert::{AlertKind, alert_id};

    use super::*;

    fn alert(state: AlertState) -> AdminAlert {
        let kind = AlertKind::Lag;
        AdminAlert {
            alert_id: alert_id(kind, "EVENTS/persist", 0),
            revision: 0,
            kind,
            subject: "EVENTS/persist".to_owned(),
            severity: kind.severity(),
            state,
            count: 1,
            title: "Two\nlines \u{1b}[31m".to_owned(),
            numbers: [].into(),
            advice: "Do this.".to_owned(),
            runbook: kind.runbook(),
            first_seen: 0,
            last_seen: 0,
            time: 1_000_000,
        }
    }

    #[test]
    fn an_alert_is_a_line_and_its_advice_and_nothing_in_it_steers_a_terminal() {
        let expected = "warning lag since 1970-01-01T00:00:00Z: Two lines \u{fffd}[31m
    Do this. (docs/runbook.md#lag)
warning lag resolved 1970-01-01T00:00:01Z: Two lines \u{fffd}[31m";
        assert_eq!(
            text(&[alert(AlertState::Raised), alert(AlertState::Resolved)]),
            expected
        );
    }
}
