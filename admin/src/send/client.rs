//! One HTTP client as the contract wants it: the same batch again until it is acknowledged.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::Context as _;
use reqwest::{StatusCode, header};
use runtime::clock;
use runtime::retry::RetryPolicy;
use runtime::settings::Address;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use tokio::time::Instant;
use types::job::BatchState;
use types::time::rfc3339;
use types::verdict::{Counts, Exception};

use super::input::{BatchContent, OutgoingBatch};

/// Sends batches to one collector.
pub struct Client {
    name: &'static str,
    waits: AtomicBool,
    has_warned: AtomicBool,
    http: reqwest::Client,
    url: Address,
    give_up_after: Duration,
}

/// Why a batch was not acknowledged.
#[derive(Debug, thiserror::Error)]
pub enum SendError {
    /// The collector will never take it as it is.
    #[error("Batch {batch_id} was refused: {status}{reason}")]
    Refused {
        batch_id: String,
        status: StatusCode,
        /// The problem's code and detail, or the reply's text.
        reason: String,
    },
    /// It was not acknowledged in time, or there is no collector at the address.
    #[error(transparent)]
    Failed(#[from] anyhow::Error),
}

/// What a collector answered with 2xx.
#[derive(Debug, Deserialize)]
pub struct Acknowledged {
    /// How durable the batch is: in the `stream`, or `stored`.
    pub durability: String,
    /// The batch was there already.
    pub duplicate_batch: bool,
    /// Its events by verdict.
    pub counts: Counts,
    /// Its events that were not simply accepted.
    pub exceptions: Vec<Exception>,
    /// Attempts before this one.
    #[serde(skip)]
    pub retries: u32,
}

/// What a collector refuses a request with.
#[derive(Debug, Deserialize)]
pub struct ProblemReply {
    pub code: String,
    pub detail: String,
    pub retryable: bool,
    pub retry_after_ms: Option<u64>,
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
/// RFC 7240; the contract's `Prefer: wait`. Storing takes milliseconds if a worker runs.
const WAIT: &str = "wait=10";
/// How often a batch's state is asked for.
const POLL: Duration = Duration::from_millis(50);
/// Retries of a client are slower than those between servers.
const POLICY: RetryPolicy = RetryPolicy {
    base: Duration::from_millis(200),
    cap: Duration::from_secs(10),
};

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
    /// A client called `name` of the collector at `url` that tries each batch for `give_up_after`.
    ///
    /// # Errors
    /// Returns an error if no HTTP client can be made.
    pub fn new(name: &'static str, url: &Address, give_up_after: Duration) -> anyhow::Result<Self> {
        let http = builder(url).timeout(REQUEST_TIMEOUT).build()?;
        Ok(Self {
            name,
            waits: AtomicBool::new(false),
            has_warned: AtomicBool::new(false),
            http,
            url: Address::new(format!("{}/v1/events", url.expose())),
            give_up_after,
        })
    }

    /// The same client, asking to wait until the store has each batch and says what of it is new. It stops
    /// to ask at the first batch that is not stored in time.
    #[must_use]
    pub fn waiting(self) -> Self {
        Self {
            waits: AtomicBool::new(true),
            ..self
        }
    }

    /// Sends a batch until it is acknowledged.
    ///
    /// # Errors
    /// Returns [`SendError::Refused`] if the collector refuses it permanently, [`SendError::Failed`] if it does not
    /// acknowledge it in time.
    pub async fn send(&self, batch: &OutgoingBatch) -> Result<Acknowledged, SendError> {
        let mut deadline = Instant::now() + self.give_up_after;
        let mut retries = 0;
        let mut failures = 0;
        loop {
            // Full jitter on top of what the collector asked for.
            let (reason, pause) = match self.attempt(batch).await? {
                Attempt::Done(done) => return Ok(Acknowledged { retries, ..done }),
                Attempt::Again { reason, after } => {
                    failures += 1;
                    (
                        reason,
                        after.unwrap_or_default() + POLICY.delay(failures - 1),
                    )
                }
                Attempt::Limited { reason, after } => {
                    let pause = after + POLICY.delay(0);
                    // The collector works, and others use the same key: its turn comes.
                    deadline = Instant::now() + pause + self.give_up_after;
                    (reason, pause)
                }
            };
            if Instant::now() + pause > deadline {
                return Err(SendError::Failed(anyhow::anyhow!(
                    "Batch {} was not acknowledged within {:?}: {reason}. See whether `devtrail up` runs, then send \
                     the same input again: nothing is stored twice.",
                    batch.batch_id,
                    self.give_up_after
                )));
            }
            // Logged once as a warning: it explains the wait.
            if self.has_warned.swap(true, Ordering::Relaxed) {
                tracing::debug!(batch_id = batch.batch_id, retries, reason, "sending again");
            } else {
                tracing::warn!(
                    reason,
                    "not acknowledged yet; trying again for up to {:?}",
                    self.give_up_after
                );
            }
            tokio::time::sleep(pause).await; // sleep: the retry policy's delay
            retries += 1;
        }
    }

    async fn attempt(&self, batch: &OutgoingBatch) -> Result<Attempt, SendError> {
        let request = self
            .http
            .post(self.url.expose())
            .bearer_auth(&batch.key)
            .header(header::CONTENT_TYPE, "application/json");
        let request = match self.waits.load(Ordering::Relaxed) {
            true => request.header("Prefer", WAIT),
            false => request,
        };
        let body = self
            .body(batch)
            .context("The batch cannot be written as JSON")?;
        let sent = request.body(body).send().await;
        let reply = match sent {
            Ok(reply) => reply,
            Err(error) if self.speaks_no_tls(&error) => {
                return Err(SendError::Failed(anyhow::anyhow!(
                    "{}: it does not speak TLS. Write http:// instead of https:// in --url.",
                    self.no_answer(&error)
                )));
            }
            Err(error) => {
                return Ok(Attempt::Again {
                    reason: self.no_answer(&error),
                    after: None,
                });
            }
        };
        let status = reply.status();
        let seconds = reply
            .headers()
            .get(header::RETRY_AFTER)
            .and_then(|value| value.to_str().ok()?.parse().ok());
        let asked = seconds.map(Duration::from_secs);
        let text = match reply.text().await {
            Ok(text) => text,
            // Cut off: the outcome is unknown, and the same batch again is safe.
            Err(error) => {
                return Ok(Attempt::Again {
                    reason: self.no_answer(&error),
                    after: None,
                });
            }
        };
        if status.is_success() {
            let done: Acknowledged = serde_json::from_str(&text).with_context(|| {
                format!(
                    "{} answers, but not as a collector does. {WRONG_ADDRESS}",
                    self.url
                )
            })?;
            if done.durability != "stored" {
                self.waits.store(false, Ordering::Relaxed);
            }
            return Ok(Attempt::Done(done));
        }
        match serde_json::from_str::<ProblemReply>(&text) {
            Ok(problem) if status == StatusCode::TOO_MANY_REQUESTS => Ok(Attempt::Limited {
                reason: format!("{status} {}", problem.code),
                after: problem
                    .retry_after_ms
                    .map(Duration::from_millis)
                    .or(asked)
                    .unwrap_or(UNNAMED_PAUSE),
            }),
            Ok(problem) if problem.retryable => Ok(Attempt::Again {
                reason: format!("{status} {}", problem.code),
                after: problem.retry_after_ms.map(Duration::from_millis),
            }),
            Ok(problem) => Err(SendError::Refused {
                batch_id: batch.batch_id.clone(),
                status,
                reason: format!(" {}: {}{}", problem.code, problem.detail, remedy(status)),
            }),
            // Not the collector's own words: a proxy on the way.
            Err(_) if status.is_server_error() || status == StatusCode::TOO_MANY_REQUESTS => {
                Ok(Attempt::Again {
                    reason: status.to_string(),
                    after: asked,
                })
            }
            Err(_) => Err(SendError::Refused {
                batch_id: batch.batch_id.clone(),
                status,
                reason: format!(
                    ": {}{}",
                    types::json::shorten(&crate::output::plain(&text), 200),
                    remedy(status)
                ),
            }),
        }
    }

    /// Whether the address is one of `https` and plain HTTP is spoken there.
    fn speaks_no_tls(&self, error: &reqwest::Error) -> bool {
        self.url.expose().starts_with("https:")
            && innermost(error).to_string().contains("InvalidContentType")
    }

    /// Whether the jobs of an acknowledged batch, such as its metrics, are done or dead-lettered within `timeout`.
    ///
    /// # Errors
    /// Returns an error if the URL of the collector takes no path.
    pub async fn is_completed(
        &self,
        key: &str,
        batch_id: &str,
        timeout: Duration,
    ) -> anyhow::Result<bool> {
        #[derive(Deserialize)]
        struct OutgoingBatch {
            state: BatchState,
        }
        let mut url = reqwest::Url::parse(self.url.expose())?;
        let root = url.path().trim_end_matches("/events").to_owned();
        url.set_path(&root);
        url.path_segments_mut()
            .map_err(|()| anyhow::anyhow!("{} has no path", self.url))?
            .extend(["batches", batch_id]);
        let asked = async {
            let mut polls = tokio::time::interval(POLL);
            loop {
                polls.tick().await;
                // Not stored yet, or no answer: asked again.
                let Ok(reply) = self.http.get(url.clone()).bearer_auth(key).send().await else {
                    continue;
                };
                let Ok(batch) = reply.json::<OutgoingBatch>().await else {
                    continue;
                };
                if matches!(batch.state, BatchState::Completed | BatchState::Failed) {
                    return;
                }
            }
        };
        Ok(tokio::time::timeout(timeout, asked).await.is_ok())
    }

    fn no_answer(&self, error: &reqwest::Error) -> String {
        format!("no answer from {}: {}", self.url, innermost(error))
    }

    fn body(&self, batch: &OutgoingBatch) -> serde_json::Result<Vec<u8>> {
        match &batch.content {
            BatchContent::Envelope { text, .. } => Ok(text.get().as_bytes().to_vec()),
            BatchContent::Events(events) => serde_json::to_vec(&Envelope {
                batch_id: &batch.batch_id,
                // Set at each attempt: the collector tells a fast clock by it.
                sent_at: rfc3339(clock::now()),
                schema_version: "1.0",
                client: ClientName {
                    name: self.name,
                    version: env!("CARGO_PKG_VERSION"),
                },
                events,
            }),
        }
    }
}

/// What to look at if no collector answers.
const WRONG_ADDRESS: &str =
    "Is it the collector's address? `devtrail up` prints it, such as http://127.0.0.1:8787.";

/// What helps against a refusal that is the address's.
#[must_use]
pub fn remedy(status: StatusCode) -> String {
    match status {
        StatusCode::NOT_FOUND | StatusCode::METHOD_NOT_ALLOWED => format!(" {WRONG_ADDRESS}"),
        _ => String::new(),
    }
}

/// An HTTP client for the collector at `url`.
pub fn builder(url: &Address) -> reqwest::ClientBuilder {
    let http = reqwest::Client::builder();
    // The environment's proxy is for the outside.
    match is_loopback(url.expose()) {
        true => http.no_proxy(),
        false => http,
    }
}

/// The innermost cause: the errors above it only say that a request failed.
#[must_use]
pub fn innermost(error: &reqwest::Error) -> &dyn std::error::Error {
    let mut cause: &dyn std::error::Error = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    cause
}

fn is_loopback(url: &str) -> bool {
    let url = reqwest::Url::parse(url).ok();
    let host = url
        .as_ref()
        .and_then(|url| url.host_str())
        .unwrap_or_default();
    let ip = host.trim_matches(['[', ']']).parse::<std::net::IpAddr>();
    host == "localhost" || ip.is_ok_and(|ip| ip.is_loopback())
}
