//! `devtrail alerts watch`: one's own alerts in a terminal, as they come.

mod command;
mod event_stream;
mod shown;

use std::collections::HashSet;
use std::io::IsTerminal as _;
use std::time::Duration;

use anyhow::{Context as _, bail};
use reqwest::{Response, StatusCode};
use runtime::retry::RetryPolicy;
use runtime::settings::Address;
use runtime::shutdown::Shutdown;
use runtime::wants_colour;
use serde_json::Value;

use crate::output::{self, OUTPUT, SELECTION};
use crate::send::client::{self, ProblemReply};
use crate::send::collector_args::CollectorArgs;
use event_stream::{EventParser, ServerEvent};
use shown::ShownAlert;

/// What to show, and what to run.
#[derive(Debug, clap::Args)]
#[command(after_long_help = "Examples:
  devtrail alerts watch
  devtrail alerts watch --after 0                        those that are kept first
  devtrail alerts watch --json | jq .title
  devtrail alerts watch --exec 'notify-send \"$DEVTRAIL_ALERT_TITLE\"'
  devtrail alerts watch --url https://devtrail.example --key-file my-key")]
pub struct AlertsWatchSettings {
    /// Begin after this sequence in ALERTS, as --json shows it; 0: with the oldest that is kept [default: what comes
    /// from now on]
    #[arg(long, value_name = "SEQ", help_heading = SELECTION)]
    after: Option<u64>,
    /// Run this by sh for each alert that is raised, one after the other, a minute at most. It has the alert as JSON on
    /// stdin, and DEVTRAIL_ALERT_TITLE, DEVTRAIL_ALERT_SEVERITY and DEVTRAIL_ALERT_ID. What it prints goes to stderr
    #[arg(long, value_name = "CMD", help_heading = OUTPUT)]
    exec: Option<String>,
    /// Print JSON, a line an alert
    #[arg(long, help_heading = OUTPUT)]
    json: bool,
    #[command(flatten)]
    collector: CollectorArgs,
}

/// A collector says something every 15 s unless it is set otherwise. After this silence the connection is taken for
/// dead.
const SILENCE: Duration = Duration::from_secs(90);
/// How long a connection may take to be made.
const CONNECT: Duration = Duration::from_secs(10);
/// The pauses between attempts to connect, on top of what the collector asks for.
const RECONNECT: RetryPolicy = RetryPolicy {
    base: Duration::from_millis(500),
    cap: Duration::from_secs(15),
};
/// Revisions that are remembered, so that one that comes twice is shown once.
const REMEMBERED: usize = 10_000;

/// Runs the command until a signal ends it, or nobody reads its output any more.
///
/// # Errors
/// Returns an error if no collector or no key is named, the collector refuses the key, or the output cannot be written.
pub async fn run(settings: &AlertsWatchSettings, shutdown: &Shutdown) -> anyhow::Result<()> {
    let keys = settings.collector.keys()?;
    let mut watch = AlertWatch {
        settings,
        key: keys.only()?,
        last_id: settings.after.map(|after| after.to_string()),
        reconnect: Duration::ZERO,
        seen: HashSet::new(),
        in_colour: std::io::stdout().is_terminal() && wants_colour(),
    };
    // Named once before: a mistake is no outage.
    let url = settings.collector.url()?;
    tokio::select! {
        ended = watch.run(url) => ended,
        () = shutdown.draining() => Ok(()),
    }
}

/// What is watched, and how far it was read.
struct AlertWatch<'a> {
    settings: &'a AlertsWatchSettings,
    key: &'a str,
    /// The last `id:`, to go on after.
    last_id: Option<String>,
    /// How long the collector asks to wait before connecting again.
    reconnect: Duration,
    /// Alert ids and revisions.
    seen: HashSet<(String, u64)>,
    in_colour: bool,
}

/// A stream that is to be opened again.
struct Lost {
    reason: String,
    /// At least after this pause, if the collector names one.
    after: Option<Duration>,
}

/// Why a stream is not read any more.
enum StreamEnd {
    /// Nobody reads what is printed.
    Unread,
    Lost(Lost),
}

impl AlertWatch<'_> {
    async fn run(&mut self, mut url: Address) -> anyhow::Result<()> {
        let mut failures = 0;
        loop {
            let Lost { reason, after } = match self.open(&url).await? {
                Ok(stream) => {
                    if std::mem::take(&mut failures) > 0 {
                        output::note(&format!("Connected to {url} again."));
                    }
                    match self.read(stream).await? {
                        StreamEnd::Unread => return Ok(()),
                        StreamEnd::Lost(lost) => lost,
                    }
                }
                Err(lost) => lost,
            };
            // Said once an outage.
            if failures == 0 {
                output::note(&format!(
                    "No alerts from {url}: {reason}. Connecting again until it answers; {}.",
                    self.position()
                ));
            }
            let asked = after.unwrap_or(self.reconnect);
            let pause = asked + RECONNECT.delay(failures);
            failures = failures.saturating_add(1);
            tokio::time::sleep(pause).await; // sleep: the retry policy's delay
            // `devtrail up` may have another address when it is back; while it is away it has none.
            if let Ok(current) = self.settings.collector.url() {
                url = current;
            }
        }
    }

    /// What is known of the place in the stream, for people.
    fn position(&self) -> String {
        match &self.last_id {
            Some(id) => format!("alerts after {id} come then"),
            None => "alerts come from then on".to_owned(),
        }
    }

    /// Opens the stream after what was read.
    ///
    /// # Errors
    /// Returns an error if the collector refuses it for good.
    async fn open(&self, url: &Address) -> anyhow::Result<Result<Response, Lost>> {
        let http = client::builder(url)
            .connect_timeout(CONNECT)
            .read_timeout(SILENCE)
            .build()?;
        let request = http
            .get(format!("{}/v1/alerts/stream", url.expose()))
            .bearer_auth(self.key);
        let request = match self.last_id.as_ref().filter(|id| !id.is_empty()) {
            Some(id) => request.header("Last-Event-ID", id),
            None => request,
        };
        let reply = match request.send().await {
            Ok(reply) => reply,
            Err(error) => return Ok(Err(lost(client::innermost(&error)))),
        };
        let status = reply.status();
        if status == StatusCode::OK {
            return Ok(Ok(reply));
        }
        let text = reply.text().await.unwrap_or_default();
        match serde_json::from_str::<ProblemReply>(&text) {
            Ok(problem) if problem.retryable => Ok(Err(Lost {
                reason: format!("{status} {}", problem.code),
                after: problem.retry_after_ms.map(Duration::from_millis),
            })),
            Ok(problem) => {
                let remedy = client::remedy(status);
                bail!(
                    "{url} refuses: {}: {}{remedy}",
                    problem.code,
                    problem.detail
                )
            }
            // Not the collector's own words: a proxy on the way.
            Err(_) if status.is_server_error() => Ok(Err(lost(status))),
            Err(_) => bail!("{url} refuses: {status}.{}", client::remedy(status)),
        }
    }

    /// Shows what comes until the stream ends.
    async fn read(&mut self, mut stream: Response) -> anyhow::Result<StreamEnd> {
        let mut parser = EventParser::default();
        loop {
            let chunk = match stream.chunk().await {
                Ok(Some(chunk)) => chunk,
                Ok(None) => return Ok(StreamEnd::Lost(lost("the collector has ended the stream"))),
                Err(error) => return Ok(StreamEnd::Lost(lost(client::innermost(&error)))),
            };
            for event in parser.feed(&chunk) {
                if !self.take(&event).await? {
                    return Ok(StreamEnd::Unread);
                }
                // Only now: what was not shown comes again.
                self.last_id = event.id;
            }
            self.reconnect = parser.reconnect().unwrap_or(self.reconnect);
        }
    }

    /// Shows an event; returns whether anybody reads it.
    async fn take(&mut self, event: &ServerEvent) -> anyhow::Result<bool> {
        if event.data.is_empty() {
            return Ok(true);
        }
        let alert: Value = serde_json::from_str(&event.data)
            .context("What came is no alert. Is it the collector's address?")?;
        let shown = ShownAlert(&alert);
        if self.seen.len() >= REMEMBERED {
            self.seen.clear();
        }
        if !self.seen.insert(shown.revision()) {
            return Ok(true);
        }
        let text = match self.settings.json {
            true => event.data.clone(),
            false => shown.text(self.in_colour),
        };
        if !output::still_read(&text)? {
            return Ok(false);
        }
        if let Some(exec) = self.settings.exec.as_deref().filter(|_| shown.is_raised()) {
            command::run(exec, shown, &event.data).await;
        }
        Ok(true)
    }
}

fn lost(reason: impl std::fmt::Display) -> Lost {
    Lost {
        reason: reason.to_string(),
        after: None,
    }
}
