//! The Devtrail that the tests of this program share, and the client they use.

use std::ops::Deref;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};

use harness::{Answer, Client, DevtrailUp, RawConnection, event, until};
use serde_json::{Value, json};
use tokio::sync::Mutex;

use crate::problem::problem;

/// The running one, as long as a test holds it.
static SHARED: Mutex<Weak<Shared>> = Mutex::const_new(Weak::new());
static COUNT: AtomicU64 = AtomicU64::new(0);

/// Verified when the last test is done with it, then stopped.
pub struct Shared(DevtrailUp);

impl Deref for Shared {
    type Target = DevtrailUp;

    fn deref(&self) -> &DevtrailUp {
        &self.0
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            let report = self.0.verify();
            assert_eq!(report["findings"], json!([]));
        }
    }
}

/// The `devtrail up` of the tests that run at the same time.
pub async fn shared() -> Arc<Shared> {
    let mut running = SHARED.lock().await;
    match running.upgrade() {
        Some(up) => up,
        None => {
            let up = Arc::new(Shared(started().await));
            *running = Arc::downgrade(&up);
            up
        }
    }
}

/// A `devtrail up` whose workers answer questions.
pub async fn started() -> DevtrailUp {
    let up = DevtrailUp::start().await;
    let client = RawClient::to(&up);
    let answered = async || (client.get("/v1/batches/none").await.status != 503).then_some(());
    until("the workers answer", answered).await;
    up
}

/// A name that no other test of this program uses.
pub fn fresh(kind: &str) -> String {
    format!("{kind}-{}", COUNT.fetch_add(1, Ordering::Relaxed))
}

/// A body of an envelope around the text of its events.
pub fn body_of(batch_id: &str, events: &str) -> String {
    let sent_at = "2026-03-01T09:15:02.120+01:00";
    format!(
        r#"{{"batch_id":"{batch_id}","sent_at":"{sent_at}","schema_version":"1.0","events":{events}}}"#
    )
}

/// A good batch.
pub fn good() -> String {
    let event = event(&fresh("e"));
    body_of(&fresh("b"), &format!("[{event}]"))
}

/// Who talks to a collector, with a key.
#[derive(Clone)]
pub struct RawClient {
    /// The collector's URL.
    pub url: String,
    /// The key.
    pub key: String,
}

impl RawClient {
    /// With the first key of a running `devtrail up`.
    pub fn to(up: &DevtrailUp) -> Self {
        Self::with(&up.client())
    }

    /// As a client would.
    pub fn with(client: &Client) -> Self {
        Self {
            url: client.url().to_owned(),
            key: client.key().to_owned(),
        }
    }

    /// A whole POST of a body; `headers` stand in for those of the same name.
    pub fn post(&self, headers: &[(&str, &str)], body: impl AsRef<[u8]>) -> Vec<u8> {
        let body = body.as_ref();
        let mut request = self.post_head(headers, &[("content-length", &body.len().to_string())]);
        request.extend(body);
        request
    }

    /// The head of a POST; of `headers`, empty ones are left out.
    pub fn post_head(&self, headers: &[(&str, &str)], more: &[(&str, &str)]) -> Vec<u8> {
        let bearer = format!("Bearer {}", self.key);
        let usual = [
            ("host", "x"),
            ("authorization", bearer.as_str()),
            ("content-type", "application/json"),
        ];
        let replaced = |name: &str| headers.iter().any(|(header, _)| *header == name);
        let usual = usual.iter().chain(more).filter(|(name, _)| !replaced(name));
        let lines = usual.chain(headers).filter(|(_, value)| !value.is_empty());
        let lines: String = lines
            .map(|(name, value)| format!("{name}: {value}\r\n"))
            .collect();
        format!("POST /v1/events HTTP/1.1\r\n{lines}\r\n").into_bytes()
    }

    /// A request without a body, with the key.
    pub fn request(&self, method: &str, target: &str) -> String {
        format!(
            "{method} {target} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {}\r\n\r\n",
            self.key
        )
    }

    /// A connection of its own.
    pub async fn wire(&self) -> RawConnection {
        RawConnection::open(&self.url).await
    }

    /// The answer to a request on a connection of its own.
    pub async fn ask(&self, request: impl AsRef<[u8]>) -> Answer {
        let mut wire = self.wire().await;
        wire.send(request).await;
        wire.answer().await
    }

    /// Gets a path with the key.
    pub async fn get(&self, target: &str) -> Answer {
        self.ask(self.request("GET", target)).await
    }

    /// A request that must be refused with this code; gives the body.
    pub async fn refused(&self, request: impl AsRef<[u8]>, code: &str) -> Value {
        problem(&self.ask(request).await, code)
    }

    /// Posts a body that must be refused with this code.
    pub async fn body_refused(&self, body: impl AsRef<[u8]>, code: &str) -> Value {
        self.refused(self.post(&[], body), code).await
    }

    /// Posts a body that must be taken.
    pub async fn taken(&self, body: impl AsRef<[u8]>) -> Value {
        let answer = self.ask(self.post(&[], body)).await;
        let reply = answer.json();
        assert_eq!(answer.status, 202, "{reply}");
        assert_eq!(
            answer.header("x-correlation-id"),
            reply["correlation_id"].as_str(),
            "{reply}"
        );
        let counts = &reply["counts"];
        let parts = ["accepted", "duplicate", "rejected", "quarantined"];
        let sum: u64 = parts
            .iter()
            .map(|part| counts[part].as_u64().unwrap())
            .sum();
        assert_eq!(counts["received"], json!(sum), "{reply}");
        let exceptions = reply["exceptions"].as_array().unwrap().len() as u64;
        assert_eq!(counts["accepted"], json!(sum - exceptions), "{reply}");
        reply
    }

    /// The verdicts on events given as text, in one batch; the reply's exceptions, or the one verdict.
    pub async fn validated(&self, events: &[String]) -> Value {
        self.taken(body_of(&fresh("b"), &format!("[{}]", events.join(","))))
            .await
    }

    /// The code of the only event's exception; empty if it is accepted.
    pub async fn verdict(&self, event: &str) -> String {
        let reply = self.validated(&[event.to_owned()]).await;
        reply["exceptions"][0]["code"]
            .as_str()
            .unwrap_or_default()
            .to_owned()
    }

    /// The next good batch is accepted.
    pub async fn still_fine(&self) {
        let reply = self.taken(good()).await;
        assert_eq!(reply["counts"]["accepted"], 1, "{reply}");
    }
}
