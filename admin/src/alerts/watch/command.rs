//! The command that is run for an alert.

use std::io::{self, ErrorKind};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use tokio::io::AsyncWriteExt as _;
use tokio::process::Command;
use tokio::time::timeout;

use super::shown::ShownAlert;
use crate::output;

/// A command that takes longer is ended: it must not hold up further alerts.
const TIMEOUT: Duration = Duration::from_secs(60);

/// Runs a command with the alert on its stdin. What goes wrong with it is told on stderr, and harms nothing else.
pub async fn run(command: &str, alert: ShownAlert<'_>, json: &str) {
    let trouble = match timeout(TIMEOUT, once(command, alert, json)).await {
        Ok(Ok(status)) if status.success() => return,
        Ok(Ok(status)) => status.to_string(),
        Ok(Err(error)) => error.to_string(),
        Err(_) => format!("it was ended after {TIMEOUT:?}"),
    };
    output::note(&format!("The command of --exec failed: {trouble}."));
}

async fn once(command: &str, alert: ShownAlert<'_>, json: &str) -> io::Result<ExitStatus> {
    let mut child = Command::new("sh")
        .args(["-c", command])
        .env("DEVTRAIL_ALERT_TITLE", alert.member("title"))
        .env("DEVTRAIL_ALERT_SEVERITY", alert.member("severity"))
        .env("DEVTRAIL_ALERT_ID", alert.member("alert_id"))
        .stdin(Stdio::piped())
        .stdout(io::stderr())
        .kill_on_drop(true)
        .spawn()?;
    if let Some(mut stdin) = child.stdin.take() {
        let written = stdin.write_all(format!("{json}\n").as_bytes()).await;
        // A command need not read what it is given.
        written.or_else(|error| match error.kind() {
            ErrorKind::BrokenPipe => Ok(()),
            _ => Err(error),
        })?;
    }
    child.wait().await
}
