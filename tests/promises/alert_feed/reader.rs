//! An open stream of alerts, read by the specification and not by the product's own client.

use std::time::Duration;

use harness::Client;
use reqwest::Response;
use serde_json::Value;
use tokio::time::timeout;

/// What takes longer does not come: the machines are slow, not that slow.
const PATIENCE: Duration = Duration::from_secs(60);

/// A stream that was opened.
pub struct AlertReader {
    response: Response,
    /// What came of a block that is not complete.
    rest: String,
    /// The last `id:`.
    pub last_id: Option<u64>,
}

/// An event of the stream.
#[derive(Debug, Clone, PartialEq)]
pub struct StreamedAlert {
    pub id: u64,
    /// The kind of event.
    pub event: String,
    pub alert: Value,
}

impl AlertReader {
    /// The reply to a request for the stream.
    pub async fn request(client: &Client, last_id: Option<&str>) -> Response {
        let http = reqwest::Client::builder().no_proxy().build().unwrap();
        let mut request = http
            .get(format!("{}/v1/alerts/stream", client.url()))
            .bearer_auth(client.key());
        if let Some(last_id) = last_id {
            request = request.header("Last-Event-ID", last_id);
        }
        timeout(PATIENCE, request.send()).await.unwrap().unwrap()
    }

    /// Opens it after a sequence, or from now on; its first block is read, which names where it begins.
    pub async fn open(client: &Client, after: Option<u64>) -> Self {
        let last_id = after.map(|after| after.to_string());
        let response = Self::request(client, last_id.as_deref()).await;
        assert_eq!(response.status(), 200);
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        assert_eq!(response.headers()["cache-control"], "no-store");
        let mut reader = Self {
            response,
            rest: String::new(),
            last_id: None,
        };
        let first = reader.block().await.unwrap().unwrap();
        assert!(first.starts_with("retry: "), "{first}");
        assert!(reader.last_id.is_some(), "{first}");
        reader
    }

    /// The lines up to the next empty one; `None` at the end of the stream.
    pub async fn block(&mut self) -> reqwest::Result<Option<String>> {
        loop {
            if let Some((block, rest)) = self.rest.split_once("\n\n") {
                let (block, rest) = (block.to_owned(), rest.to_owned());
                self.rest = rest;
                let id = block.lines().find_map(|line| line.strip_prefix("id: "));
                if let Some(id) = id {
                    self.last_id = Some(id.parse().unwrap());
                }
                return Ok(Some(block));
            }
            let chunk = timeout(PATIENCE, self.response.chunk()).await;
            let Some(chunk) = chunk.expect("something comes in time")? else {
                assert_eq!(self.rest, "", "it ends within a block");
                return Ok(None);
            };
            self.rest.push_str(std::str::from_utf8(&chunk).unwrap());
        }
    }

    /// The next alert; `None` at the end of the stream.
    pub async fn alert(&mut self) -> reqwest::Result<Option<StreamedAlert>> {
        while let Some(block) = self.block().await? {
            let field = |name: &str| {
                let mut values = block.lines().filter_map(|line| line.strip_prefix(name));
                let value = values.next()?.strip_prefix(": ").unwrap().to_owned();
                assert_eq!(values.next(), None, "{block}");
                Some(value)
            };
            if let Some(data) = field("data") {
                return Ok(Some(StreamedAlert {
                    id: field("id").unwrap().parse().unwrap(),
                    event: field("event").unwrap(),
                    alert: serde_json::from_str(&data).unwrap(),
                }));
            }
        }
        Ok(None)
    }

    /// The next alert, which must come.
    pub async fn next(&mut self) -> StreamedAlert {
        self.alert().await.unwrap().expect("the stream goes on")
    }

    /// The next alert that this rule found, past those of other rules.
    pub async fn next_of(&mut self, rule: &str) -> StreamedAlert {
        loop {
            let next = self.next().await;
            if next.alert["rule"] == rule {
                return next;
            }
        }
    }

    /// The ids of the next alerts.
    pub async fn ids(&mut self, count: usize) -> Vec<u64> {
        let mut ids = Vec::new();
        for _ in 0..count {
            ids.push(self.next().await.id);
        }
        ids
    }
}
