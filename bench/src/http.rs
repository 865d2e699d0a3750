//! A lean HTTP client: what it costs is taken from the cores of what it measures.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::TcpStream;

use crate::watch::STALLED;

/// Connections to one collector that are kept open between requests.
pub struct HttpPool {
    address: String,
    idle: Mutex<Vec<TcpStream>>,
}

impl HttpPool {
    /// Of the collector at `url`.
    #[must_use]
    pub fn new(url: &str) -> Self {
        Self {
            address: url.trim_start_matches("http://").to_owned(),
            idle: Mutex::default(),
        }
    }

    /// Posts a batch until the reply has the status that is expected. As an editor does, it waits as long as a 503
    /// says, and sends the same batch again.
    ///
    /// # Errors
    /// If a connection breaks, the status is another, or none comes.
    pub async fn post(&self, request: &BatchPost<'_>) -> anyhow::Result<()> {
        tokio::time::timeout(STALLED, self.post_until_taken(request))
            .await
            .with_context(|| format!("the collector did not take a batch for {STALLED:?}"))?
    }

    async fn post_until_taken(&self, request: &BatchPost<'_>) -> anyhow::Result<()> {
        let bytes = request.bytes(&self.address);
        loop {
            let reply = self.exchange(&bytes).await?;
            if reply.status == request.expect {
                return Ok(());
            }
            let text = String::from_utf8_lossy(&reply.body);
            ensure!(
                reply.status == 503,
                "the collector answered {}: {text}",
                reply.status
            );
            let problem: serde_json::Value = serde_json::from_str(&text)?;
            let after = problem["retry_after_ms"].as_u64().unwrap_or(1000);
            tokio::time::sleep(Duration::from_millis(after)).await; // sleep: the reply says for how long
        }
    }

    /// Gets a path, whose reply must be 200; gives the length of its body.
    ///
    /// # Errors
    /// If the connection breaks, or the status is another.
    pub async fn get(&self, path: &str, key: &str) -> anyhow::Result<usize> {
        let request = format!(
            "GET {path} HTTP/1.1\r\nHost: {}\r\nAuthorization: Bearer {key}\r\n\r\n",
            self.address
        );
        let reply = self.exchange(request.as_bytes()).await?;
        let text = || String::from_utf8_lossy(&reply.body).into_owned();
        ensure!(reply.status == 200, "{path}: {} {}", reply.status, text());
        Ok(reply.body.len())
    }

    /// Reads a body of lines to its end, without holding it; gives how many of them begin so.
    ///
    /// # Errors
    /// If the reply is no 200, or has no line that begins with `last`.
    pub async fn count_lines(
        &self,
        path: &str,
        key: &str,
        counted: &str,
        last: &str,
    ) -> anyhow::Result<u64> {
        let request = format!(
            "GET {path} HTTP/1.1\r\nHost: {}\r\nAuthorization: Bearer {key}\r\nConnection: close\r\n\r\n",
            self.address
        );
        let mut stream = BufReader::new(TcpStream::connect(&self.address).await?);
        stream.write_all(request.as_bytes()).await?;
        let mut line = Vec::new();
        stream.read_until(b'\n', &mut line).await?;
        let status = String::from_utf8_lossy(&line).into_owned();
        ensure!(status.contains(" 200 "), "{path}: {status}");
        let (mut count, mut is_whole) = (0, false);
        loop {
            line.clear();
            if stream.read_until(b'\n', &mut line).await? == 0 {
                ensure!(is_whole, "{path}: the body was cut off");
                return Ok(count);
            }
            // Lines of the framing begin otherwise.
            count += u64::from(line.starts_with(counted.as_bytes()));
            is_whole |= line.starts_with(last.as_bytes());
        }
    }

    /// Sends a request, and reads the reply.
    async fn exchange(&self, request: &[u8]) -> anyhow::Result<Reply> {
        while let Some(kept) = self.take_idle() {
            // The collector closes what is idle for long. A batch that it may have taken is kept once.
            if let Ok(reply) = self.exchange_over(kept, request).await {
                return Ok(reply);
            }
        }
        let fresh = TcpStream::connect(&self.address).await?;
        fresh.set_nodelay(true)?;
        self.exchange_over(fresh, request).await
    }

    async fn exchange_over(&self, mut stream: TcpStream, request: &[u8]) -> anyhow::Result<Reply> {
        stream.write_all(request).await?;
        let reply = read_reply(&mut stream).await?;
        self.idle().push(stream);
        Ok(reply)
    }

    fn take_idle(&self) -> Option<TcpStream> {
        self.idle().pop()
    }

    fn idle(&self) -> std::sync::MutexGuard<'_, Vec<TcpStream>> {
        // A list is whole whoever panicked while holding it.
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One request with a batch.
pub struct BatchPost<'a> {
    pub key: &'a str,
    pub body: &'a [u8],
    /// Wait up to 30 s until the batch is stored.
    pub wait: bool,
    /// The status that the reply must have.
    pub expect: u16,
}

impl BatchPost<'_> {
    fn bytes(&self, host: &str) -> Vec<u8> {
        let Self { key, body, .. } = self;
        let prefer = if self.wait { "Prefer: wait=30\r\n" } else { "" };
        let head = format!(
            "POST /v1/events HTTP/1.1\r\nHost: {host}\r\nAuthorization: Bearer {key}\r\n\
             Content-Type: application/json\r\n{prefer}Content-Length: {}\r\n\r\n",
            body.len()
        );
        [head.as_bytes(), body].concat()
    }
}

struct Reply {
    status: u16,
    body: Vec<u8>,
}

async fn read_reply(stream: &mut TcpStream) -> anyhow::Result<Reply> {
    let mut came = Vec::with_capacity(1024);
    loop {
        ensure!(
            stream.read_buf(&mut came).await? > 0,
            "the collector closed the connection"
        );
        if let Some(head) = Head::parse(&came)?
            && came.len() >= head.end + head.body
        {
            return Ok(Reply {
                status: head.status,
                body: came.split_off(head.end),
            });
        }
    }
}

/// What is needed of a reply's head.
#[derive(Debug, PartialEq, Eq)]
struct Head {
    status: u16,
    /// Where the body begins, and its length.
    end: usize,
    body: usize,
}

impl Head {
    /// Nothing until the head is whole.
    fn parse(came: &[u8]) -> anyhow::Result<Option<Self>> {
        let Some(end) = came.windows(4).position(|four| four == b"\r\n\r\n") else {
            return Ok(None);
        };
        let text = std::str::from_utf8(&came[..end])?;
        let mut lines = text.split("\r\n");
        let status = lines.next().and_then(|line| line.split(' ').nth(1));
        let mut fields = lines.filter_map(|line| line.split_once(':'));
        let length = fields.find(|(name, _)| name.eq_ignore_ascii_case("content-length"));
        let (Some(status), Some((_, length))) = (status, length) else {
            bail!("a reply without status or length: {text}");
        };
        Ok(Some(Self {
            status: status.parse().context("a status")?,
            end: end + 4,
            body: length.trim().parse().context("a length")?,
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reply_is_read_when_its_head_is_whole() {
        let reply =
            b"HTTP/1.1 202 Accepted\r\ncontent-type: x\r\nContent-Length: 7\r\n\r\n{\"a\":1}";
        assert_eq!(Head::parse(&reply[..40]).expect("a part"), None);
        let head = Head {
            status: 202,
            end: reply.len() - 7,
            body: 7,
        };
        assert_eq!(Head::parse(reply).expect("a head"), Some(head));
        assert!(Head::parse(b"HTTP/1.1 202 Accepted\r\n\r\n").is_err());
    }
}
