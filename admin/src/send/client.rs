//! One HTTP client as the contract wants it: the same batch again until it is acknowledged.

use std::time::Duration;

use anyhow::{Context as _, bail};
use common::clock::{Clock, SystemClock, rfc3339};
use common::retry::RetryPolicy;
use common::verdict::{Counts, Exception};
use reqwest::{StatusCode, header};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use tokio::time::Instant;

use super::input::{Batch, Content};

/// Sends batches to one collector.
pub struct Client {
    http: reqwest::Client,
    url: String,
    give_up_after: Duration,
}

/// What a collector answered with 2xx.
#[derive(Debug, Deserialize)]
pub struct Acknowledged {
    /// The stream already knew the batch.
    pub duplicate_batch: bool,
    /// Its events by verdict.
    pub counts: Counts,
    /// Its events that were not simply accepted.
    pub exceptions: Vec<Exception>,
    /// Attempts before this one.
    #[serde(skip)]
    pub retries: u32,
}

#[derive(Deserialize)]
struct Problem {
    code: String,
    detail: String,
    retryable: bool,
    retry_after_ms: Option<u64>,
}

#[derive(Serialize)]
struct Envelope<'a> {
    batch_id: &'a str,
    sent_at: String,
    schema_version: &'static str,
    client: ClientName,
    events: &'a [Box<RawValue>],
}

#[derive(Serialize)]
struct ClientName {
    name: &'static str,
    version: &'static str,
}

/// The collector's own limits end a request sooner; this only ends a hung one.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(60);
/// Retries of a client are slower than those between servers.
const POLICY: RetryPolicy = RetryPolicy { base: Duration::from_millis(200), cap: Duration::from_secs(10) };

/// The pause after a 429 that names none.
const UNNAMED_PAUSE: Duration = Duration::from_secs(1);

/// What an attempt came to.
enum Attempt {
    Done(Acknowledged),
    Again {
        reason: String,
        after: Option<Duration>,
    },
    /// The key's rate is used up: an answer, and no failure.
    Limited {
        reason: String,
        after: Duration,
    },
}

impl Client {
    /// A client of the collector at `url` that tries each batch for `give_up_after`.
    ///
    /// # Errors
    /// Where no HTTP client can be made.
    pub fn new(url: &str, give_up_after: Duration) -> anyhow::Result<Self> {
        let http = reqwest::Client::builder().timeout(REQUEST_TIMEOUT);
        // The environment's proxy is for the outside.
        let http = if is_loopback(url) { http.no_proxy() } else { http }.build()?;
        Ok(Self { http, url: format!("{url}/v1/events"), give_up_after })
    }

    /// Sends a batch until it is acknowledged.
    ///
    /// # Errors
    /// Where the collector refuses it for good, or does not acknowledge it in time.
    pub async fn send(&self, batch: &Batch) -> anyhow::Result<Acknowledged> {
        let mut deadline = Instant::now() + self.give_up_after;
        let (mut retries, mut failures) = (0, 0);
        loop {
            // Full jitter on top of what the collector asked for.
            let (reason, pause) = match self.attempt(batch).await? {
                Attempt::Done(done) => return Ok(Acknowledged { retries, ..done }),
                Attempt::Again { reason, after } => {
                    failures += 1;
                    (reason, after.unwrap_or_default() + POLICY.delay(failures - 1))
                }
                Attempt::Limited { reason, after } => {
                    let pause = after + POLICY.delay(0);
                    // The collector works, and others use the same key: its turn comes.
                    deadline = Instant::now() + pause + self.give_up_after;
                    (reason, pause)
                }
            };
            if Instant::now() + pause > deadline {
                bail!(
                    "Batch {} was not acknowledged within {:?}: {reason}. Send the same input again: nothing is stored twice.",
                    batch.batch_id,
                    self.give_up_after
                );
            }
            tracing::debug!(batch_id = batch.batch_id, retries, reason, "sending again");
            tokio::time::sleep(pause).await; // sleep: the retry policy's delay
            retries += 1;
        }
    }

    async fn attempt(&self, batch: &Batch) -> anyhow::Result<Attempt> {
        let request = self
            .http
            .post(&self.url)
            .bearer_auth(&batch.key)
            .header(header::CONTENT_TYPE, "application/json");
        let sent = request.body(body(batch)?).send().await;
        let reply = match sent {
            Ok(reply) => reply,
            Err(error) => return Ok(Attempt::Again { reason: format!("{error:#}"), after: None }),
        };
        let status = reply.status();
        let seconds =
            reply.headers().get(header::RETRY_AFTER).and_then(|value| value.to_str().ok()?.parse().ok());
        let asked = seconds.map(Duration::from_secs);
        let text = match reply.text().await {
            Ok(text) => text,
            // Cut off: the outcome is unknown, and the same batch again is safe.
            Err(error) => return Ok(Attempt::Again { reason: format!("{error:#}"), after: None }),
        };
        if status.is_success() {
            return Ok(Attempt::Done(
                serde_json::from_str(&text).context("The collector's reply cannot be read")?,
            ));
        }
        match serde_json::from_str::<Problem>(&text) {
            Ok(problem) if status == StatusCode::TOO_MANY_REQUESTS => Ok(Attempt::Limited {
                reason: format!("{status} {}", problem.code),
                after: problem.retry_after_ms.map(Duration::from_millis).or(asked).unwrap_or(UNNAMED_PAUSE),
            }),
            Ok(problem) if problem.retryable => Ok(Attempt::Again {
                reason: format!("{status} {}", problem.code),
                after: problem.retry_after_ms.map(Duration::from_millis),
            }),
            Ok(problem) => {
                bail!("Batch {} was refused: {status} {}: {}", batch.batch_id, problem.code, problem.detail)
            }
            // Not the collector's own words: a proxy on the way.
            Err(_) if status.is_server_error() || status == StatusCode::TOO_MANY_REQUESTS => {
                Ok(Attempt::Again { reason: status.to_string(), after: asked })
            }
            Err(_) => {
                bail!("Batch {} was refused: {status}: {}", batch.batch_id, common::json::shorten(&text, 200))
            }
        }
    }
}

fn is_loopback(url: &str) -> bool {
    let url = reqwest::Url::parse(url).ok();
    let host = url.as_ref().and_then(|url| url.host_str()).unwrap_or_default();
    let ip = host.trim_matches(['[', ']']).parse::<std::net::IpAddr>();
    host == "localhost" || ip.is_ok_and(|ip| ip.is_loopback())
}

fn body(batch: &Batch) -> serde_json::Result<Vec<u8>> {
    match &batch.content {
        Content::Envelope(envelope) => Ok(envelope.get().as_bytes().to_vec()),
        Content::Events(events) => serde_json::to_vec(&Envelope {
            batch_id: &batch.batch_id,
            // Set at each attempt: the collector tells a fast clock by it.
            sent_at: rfc3339(SystemClock.now()),
            schema_version: "1.0",
            client: ClientName { name: "devtrail-send", version: env!("CARGO_PKG_VERSION") },
            events,
        }),
    }
}
