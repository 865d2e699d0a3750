//! `devtrail alerts`: the alerts of developers, raised and withdrawn, and those of administrators.

mod admin;
mod watch;

use anyhow::bail;
use runtime::shutdown::Shutdown;
use serde_json::{Value, json};
use store::{Listings, QueryReads, StoredAlert};

use crate::developer::{OnlyDeveloper, ensure_known};
use crate::interrupt::until_shutdown;
use crate::output::{self, OUTPUT, Page, SELECTION};
use crate::target::{Target, with_store};

/// What to do with alerts.
#[derive(Debug, clap::Subcommand)]
pub enum AlertsCommand {
    /// List alerts, those of the newest windows first
    List(AlertsListSettings),
    /// Show an alert with what led to it
    Show(AlertsShowSettings),
    /// Show one's own alerts as they come, until Ctrl-C
    ///
    /// It reads them from a collector, with a key that has the scope alerts:read. After an outage it goes on where it
    /// was.
    Watch(watch::AlertsWatchSettings),
    /// List alerts to administrators: what is wrong with Devtrail, and what to do
    Admin(admin::AlertsAdminSettings),
}

/// Which ones.
#[derive(Debug, clap::Args)]
#[command(after_long_help = "Examples:
  devtrail alerts list
  devtrail alerts list --developer ada --limit 10
  devtrail alerts list --json")]
pub struct AlertsListSettings {
    #[command(flatten)]
    developer: OnlyDeveloper,
    /// Show at most so many
    #[arg(
        long,
        default_value_t = 50,
        value_name = "N",
        value_parser = clap::value_parser!(u32).range(1..),
        help_heading = SELECTION
    )]
    limit: u32,
    #[command(flatten)]
    target: Target,
    /// Print JSON
    #[arg(long, help_heading = OUTPUT)]
    json: bool,
}

/// Which one.
#[derive(Debug, clap::Args)]
#[command(after_long_help = "Examples:
  devtrail alerts show 9f3c2a41
  devtrail alerts show 9f3c2a41 --json | jq .body")]
pub struct AlertsShowSettings {
    /// The alert's id, as `alerts list` shows it
    #[arg(value_name = "ID")]
    alert: String,
    #[command(flatten)]
    target: Target,
    /// Print JSON
    #[arg(long, help_heading = OUTPUT)]
    json: bool,
}

/// Runs the command.
///
/// # Errors
/// Returns an error if the database cannot be read, or nobody knows the developer or the alert.
pub async fn run(command: AlertsCommand, shutdown: &Shutdown) -> anyhow::Result<()> {
    match command {
        AlertsCommand::List(settings) => {
            let listed =
                async { with_store!(settings.target, |store| list(&store, &settings).await) };
            until_shutdown(listed, shutdown).await
        }
        AlertsCommand::Show(settings) => {
            let shown =
                async { with_store!(settings.target, |store| show(&store, &settings).await) };
            until_shutdown(shown, shutdown).await
        }
        AlertsCommand::Admin(settings) => until_shutdown(admin::run(&settings), shutdown).await,
        AlertsCommand::Watch(settings) => watch::run(&settings, shutdown).await,
    }
}

async fn list(store: &impl QueryReads, settings: &AlertsListSettings) -> anyhow::Result<()> {
    let alerts = store
        .alerts(settings.developer.text(), settings.limit.saturating_add(1))
        .await?;
    let page = Page::new(alerts, settings.limit);
    if page.entries.is_empty() {
        ensure_known(&settings.target, settings.developer.name()).await?;
    }
    if settings.json {
        let alerts: Vec<Value> = page.entries.iter().map(as_json).collect();
        return Ok(output::json(&alerts)?);
    }
    output::line(text(&page.entries, output::terminal_width()))?;
    if page.has_more {
        output::line(format!(
            "There are more than {}; --limit shows more.",
            output::count(settings.limit, "alert")
        ))?;
    }
    Ok(())
}

async fn show(store: &impl Listings, settings: &AlertsShowSettings) -> anyhow::Result<()> {
    let Some(alert) = store.alert(settings.alert.clone()).await? else {
        bail!(
            "There is no alert {:?}. `devtrail alerts list` shows the ids of those that are.",
            settings.alert
        );
    };
    if settings.json {
        Ok(output::json(&as_json(&alert))?)
    } else {
        Ok(output::line(details(&alert))?)
    }
}

/// An alert for people: what happened, why it matters, what to do, and what led to it. Pure.
fn details(alert: &StoredAlert) -> String {
    let body = &as_json(alert)["body"];
    let text = |value: &Value| {
        value
            .as_str()
            .map_or_else(|| value.to_string(), str::to_owned)
    };
    let mut lines = vec![
        alert.title.replace('\n', " "),
        format!(
            "{} · rule {} · window from {} · {}, revision {}",
            alert.severity, alert.rule, alert.window_start, alert.state, alert.revision
        ),
        format!("alert {} of {}", alert.alert_id, alert.developer),
    ];
    let mut paragraph = |title: &str, paragraph: Vec<String>| {
        if !paragraph.is_empty() {
            lines.extend([String::new(), title.to_owned()]);
            lines.extend(paragraph.into_iter().map(|line| format!("  {line}")));
        }
    };
    let why = [&body["why"], &body["source"]]
        .into_iter()
        .filter(|value| value.is_string());
    paragraph("Why it matters", why.map(text).collect());
    let actions = body["actions"].as_array().into_iter().flatten();
    paragraph(
        "What to do",
        actions
            .map(|action| format!("- {}", text(action)))
            .collect(),
    );
    let evidence = &body["evidence"];
    let members = |name: &str| {
        let members = evidence[name].as_object().into_iter().flatten();
        members
            .map(|(name, value)| format!("{name}: {}", text(value)))
            .collect::<Vec<_>>()
    };
    let mut led = [members("measured"), members("repeated")].concat();
    if evidence["events"].is_number() {
        let (first, last) = (text(&evidence["first"]), text(&evidence["last"]));
        led.push(format!(
            "events: {}, from {first} to {last}",
            evidence["events"]
        ));
    }
    let ids = evidence["event_ids"].as_array().into_iter().flatten();
    led.extend(ids.map(|id| format!("event {}", text(id))));
    paragraph("What led to it", led);
    // What is none of ours is shown as it is.
    if !body.is_object() {
        paragraph("What is stored", vec![text(body)]);
    }
    output::plain(&lines.join("\n"))
}

/// The list for people. Pure.
fn text(alerts: &[StoredAlert], width: Option<u16>) -> String {
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
            &alert.alert_id,
        ]
        .map(String::clone)
    };
    output::as_table(
        [
            "SEVERITY",
            "DEVELOPER",
            "WINDOW",
            "RULE",
            "TITLE",
            "STATE",
            "ID",
        ],
        alerts.iter().map(row).collect(),
        width,
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
        let text = text(
            &[
                alert("high", "Seven failed builds"),
                alert("info", "two\nlines \u{1b}[31m"),
            ],
            None,
        );
        let expected = "
 SEVERITY  DEVELOPER  WINDOW      RULE        TITLE                STATE   ID
 high      ada        2026-03-01  red-builds  Seven failed builds  raised  a1
 info      ada        2026-03-01  red-builds  two lines �[31m      raised  a1
";
        assert_eq!(text, expected.trim_matches('\n'));
    }

    #[test]
    fn an_alert_is_shown_with_what_led_to_it() {
        let body = json!({"why": "It matters.", "actions": ["Rest.", "Read."], "evidence": {
            "measured": {"failed": 7}, "repeated": {"failed": "a\u{1b}[31m"}, "events": 7,
            "first": "09:00", "last": "10:00", "event_ids": ["e1"]}});
        let alert = StoredAlert {
            body: body.to_string(),
            ..alert("high", "Seven failed\nbuilds")
        };
        let expected = "Seven failed builds
high · rule red-builds · window from 2026-03-01 · raised, revision 0
alert a1 of ada

Why it matters
  It matters.

What to do
  - Rest.
  - Read.

What led to it
  failed: 7
  failed: a�[31m
  events: 7, from 09:00 to 10:00
  event e1";
        assert_eq!(details(&alert), expected);
        let damaged = StoredAlert {
            body: "{".to_owned(),
            ..alert.clone()
        };
        assert!(details(&damaged).ends_with("What is stored\n  {"));
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
