//! `devtrail alerts`: the alerts of developers, raised and withdrawn, and those of administrators.

mod admin;

use serde_json::{Value, json};
use store::{QueryReads, StoredAlert};

use crate::output::{self, Page};
use crate::target::{Target, with_store};

/// What to do with alerts.
#[derive(Debug, clap::Subcommand)]
pub enum AlertsCommand {
    /// List alerts, those of the newest windows first
    #[command(after_help = "Examples:
  devtrail alerts list
  devtrail alerts list --developer ada --limit 10
  devtrail alerts list --json")]
    List(AlertsListSettings),
    /// List alerts to administrators: what is wrong with Devtrail, and what to do
    #[command(after_help = "Examples:
  devtrail alerts admin
  devtrail alerts admin --all --json
  devtrail alerts admin --follow")]
    Admin(admin::AlertsAdminSettings),
}

/// Which ones.
#[derive(Debug, clap::Args)]
pub struct AlertsListSettings {
    #[command(flatten)]
    target: Target,
    /// Only this developer's
    #[arg(long)]
    developer: Option<String>,
    /// Show at most so many
    #[arg(long, default_value_t = 50, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    limit: u32,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Runs the command.
///
/// # Errors
/// Returns an error if the database cannot be read.
pub async fn run(command: AlertsCommand) -> anyhow::Result<()> {
    match command {
        AlertsCommand::List(settings) => {
            with_store!(settings.target, |store| list(&store, &settings).await)
        }
        AlertsCommand::Admin(settings) => admin::run(&settings).await,
    }
}

async fn list(store: &impl QueryReads, settings: &AlertsListSettings) -> anyhow::Result<()> {
    let alerts = store
        .alerts(settings.developer.clone(), settings.limit.saturating_add(1))
        .await?;
    let page = Page::new(alerts, settings.limit);
    if settings.json {
        let alerts: Vec<Value> = page.entries.iter().map(as_json).collect();
        return Ok(output::json(&alerts)?);
    }
    output::line(text(&page.entries))?;
    if page.has_more {
        output::line(format!(
            "There are more than {}; --limit shows them.",
            settings.limit
        ))?;
    }
    Ok(())
}

/// The list for people. Pure.
fn text(alerts: &[StoredAlert]) -> String {
    if alerts.is_empty() {
        return "No alerts.".to_owned();
    }
    let row = |alert: &StoredAlert| {
        [
            &alert.severity,
            &alert.developer,
            &alert.window_start,
            &alert.rule,
            &alert.title,
            &alert.state,
        ]
        .map(|field| field.replace('\n', " "))
    };
    output::as_table(
        ["SEVERITY", "DEVELOPER", "WINDOW", "RULE", "TITLE", "STATE"],
        alerts.iter().map(row).collect(),
    )
}

/// An alert as programs get it.
fn as_json(alert: &StoredAlert) -> Value {
    json!({
        "alert_id": alert.alert_id, "developer": alert.developer, "rule": alert.rule,
        "severity": alert.severity, "window_start": alert.window_start, "title": alert.title,
        "state": alert.state, "revision": alert.revision, "push": alert.push,
        // What is no JSON is shown as the text it is.
        "body": serde_json::from_str(&alert.body).unwrap_or_else(|_| json!(alert.body)),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn alert(severity: &str, title: &str) -> StoredAlert {
        StoredAlert {
            alert_id: "a1".to_owned(),
            developer: "ada".to_owned(),
            rule: "red-builds".to_owned(),
            severity: severity.to_owned(),
            window_start: "2026-03-01".to_owned(),
            title: title.to_owned(),
            state: "raised".to_owned(),
            revision: 0,
            push: true,
            body: r#"{"failed":7}"#.to_owned(),
        }
    }

    #[test]
    fn a_line_an_alert_and_nothing_in_it_steers_a_terminal() {
        let text = text(&[
            alert("high", "Seven failed builds"),
            alert("info", "two\nlines \u{1b}[31m"),
        ]);
        let expected = "
 SEVERITY  DEVELOPER  WINDOW      RULE        TITLE                STATE
 high      ada        2026-03-01  red-builds  Seven failed builds  raised
 info      ada        2026-03-01  red-builds  two lines �[31m      raised
";
        assert_eq!(text, expected.trim_matches('\n'));
    }

    #[test]
    fn programs_get_the_body_as_json() {
        let json = as_json(&alert("high", "t"));
        assert_eq!(
            (&json["body"]["failed"], &json["revision"]),
            (&json!(7), &json!(0))
        );
    }
}
