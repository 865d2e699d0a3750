//! An HTTP client as an editor would have one, and the batches it sends.

use std::time::Duration;

use reqwest::{Response, StatusCode};
use serde_json::{Value, json};

/// A client with one key.
#[derive(Clone)]
pub struct Client {
    http: reqwest::Client,
    url: String,
    key: String,
}

/// The reply to a client that waits.
#[derive(Debug)]
pub struct WaitReply {
    pub status: u16,
    /// The header `Preference-Applied`.
    pub applied: Option<String>,
    pub body: Value,
}

/// An event of a given id, at a plausible time.
#[must_use]
pub fn event(id: &str) -> Value {
    json!({
        "id": id,
        "type": "file.saved",
        "occurred_at": "2026-03-01T09:14:58.001+01:00",
        "data": {"path": "src/main.rs"},
    })
}

/// An envelope around events.
#[must_use]
pub fn envelope(batch_id: &str, events: &[Value]) -> Value {
    json!({"batch_id": batch_id, "sent_at": "2026-03-01T09:15:02.120+01:00", "schema_version": "1.0", "events": events})
}

impl Client {
    /// A client of the collector at `url`.
    ///
    /// # Panics
    /// If no HTTP client can be made.
    #[must_use]
    pub fn new(url: &str, key: &str) -> Self {
        runtime::process::install_tls();
        let http = reqwest::Client::builder()
            .no_proxy()
            .timeout(Duration::from_secs(30))
            .build()
            .expect("a client");
        Self {
            http,
            url: url.to_owned(),
            key: key.to_owned(),
        }
    }

    /// Posts a body once.
    ///
    /// # Errors
    /// If there is no reply.
    pub async fn post(&self, body: &Value) -> reqwest::Result<Response> {
        let request = self
            .http
            .post(format!("{}/v1/events", self.url))
            .bearer_auth(&self.key);
        request.json(body).send().await
    }

    /// Posts an envelope that must be acknowledged; gives the reply.
    ///
    /// # Panics
    /// If it is not.
    pub async fn send(&self, envelope: &Value) -> Value {
        let response = self.post(envelope).await.expect("a reply");
        let status = response.status();
        let body = response.text().await.expect("a body");
        assert_eq!(status, StatusCode::ACCEPTED, "{body}");
        serde_json::from_str(&body).expect("a reply is JSON")
    }

    /// Posts an envelope with `Prefer: wait=SECONDS` and gives what came.
    ///
    /// # Panics
    /// If there is no reply, or none in JSON.
    pub async fn send_waiting(&self, envelope: &Value, seconds: u32) -> WaitReply {
        let request = self
            .http
            .post(format!("{}/v1/events", self.url))
            .bearer_auth(&self.key);
        let request = request
            .header("Prefer", format!("wait={seconds}"))
            .json(envelope);
        let response = request
            .timeout(Duration::from_secs(60))
            .send()
            .await
            .expect("a reply");
        let applied = response
            .headers()
            .get("preference-applied")
            .and_then(|value| value.to_str().ok());
        let status = response.status().as_u16();
        let applied = applied.map(str::to_owned);
        WaitReply {
            status,
            applied,
            body: response.json().await.expect("a reply is JSON"),
        }
    }

    /// Gets a path with the key.
    ///
    /// # Panics
    /// If there is no reply.
    pub async fn get_with_key(&self, path: &str) -> Response {
        let request = self
            .http
            .get(format!("{}{path}", self.url))
            .bearer_auth(&self.key);
        request.send().await.expect("a reply")
    }

    /// The collector's URL.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Gets a path.
    ///
    /// # Panics
    /// If there is no reply.
    pub async fn get(&self, path: &str) -> Response {
        self.http
            .get(format!("{}{path}", self.url))
            .send()
            .await
            .expect("a reply")
    }

    /// Gets a path with the key and headers of the caller's.
    ///
    /// # Panics
    /// If there is no reply.
    pub async fn get_as(&self, headers: &[(&str, &str)], path: &str) -> Response {
        let request = self.http.get(format!("{}{path}", self.url));
        let mut request = request.bearer_auth(&self.key);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        request.send().await.expect("a reply")
    }

    /// Posts raw bytes with headers of the caller's.
    ///
    /// # Panics
    /// If there is no reply.
    pub async fn raw(&self, headers: &[(&str, &str)], body: Vec<u8>) -> Response {
        self.raw_at("/v1/events", headers, body).await
    }

    /// Posts raw bytes with headers of the caller's to a path.
    ///
    /// # Panics
    /// If there is no reply.
    pub async fn raw_at(&self, path: &str, headers: &[(&str, &str)], body: Vec<u8>) -> Response {
        let mut request = self.http.post(format!("{}{path}", self.url));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        request.body(body).send().await.expect("a reply")
    }

    /// Posts a batch in a format of the caller's, with the key; gives status and body.
    ///
    /// # Panics
    /// If there is no reply, or none in JSON.
    pub async fn send_as(&self, headers: &[(&str, &str)], body: impl AsRef<[u8]>) -> (u16, Value) {
        let bearer = format!("Bearer {}", self.key);
        let headers: Vec<(&str, &str)> = headers
            .iter()
            .copied()
            .chain([("authorization", &*bearer)])
            .collect();
        let reply = self.raw(&headers, body.as_ref().to_vec()).await;
        (
            reply.status().as_u16(),
            reply.json().await.expect("a reply is JSON"),
        )
    }

    /// The same, and waits until it is stored; gives the reply.
    ///
    /// # Panics
    /// If it is not stored.
    pub async fn store_as(&self, headers: &[(&str, &str)], body: impl AsRef<[u8]>) -> Value {
        let headers: Vec<(&str, &str)> = headers
            .iter()
            .copied()
            .chain([("prefer", "wait=30")])
            .collect();
        let (status, reply) = self.send_as(&headers, body).await;
        assert_eq!(
            (status, reply["durability"].as_str()),
            (200, Some("stored")),
            "{reply}"
        );
        reply
    }

    /// The key it uses.
    #[must_use]
    pub fn key(&self) -> &str {
        &self.key
    }
}
