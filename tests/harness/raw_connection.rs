//! A connection in bytes: what no HTTP client would send, and exactly what comes back.

use std::fmt;
use std::net::Ipv4Addr;
use std::time::Duration;

use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::timeout;

/// A reply that takes longer has failed.
const PATIENCE: Duration = Duration::from_secs(60);

/// One reply.
#[derive(Clone)]
pub struct Answer {
    pub status: u16,
    headers: Vec<(String, String)>,
    /// The body, as it came.
    pub body: Vec<u8>,
}

impl fmt::Debug for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} {:?} {}",
            self.status,
            self.headers,
            String::from_utf8_lossy(&self.body)
        )
    }
}

impl Answer {
    /// An answer that came by other ways.
    #[must_use]
    pub fn new(status: u16, headers: Vec<(String, String)>, body: Vec<u8>) -> Self {
        Self {
            status,
            headers,
            body,
        }
    }

    /// A header's value, if there is exactly one of the name.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        let mut values = self
            .headers
            .iter()
            .filter(|(header, _)| header.eq_ignore_ascii_case(name));
        let (_, value) = values.next()?;
        values.next().is_none().then_some(value)
    }

    /// Its body, read as JSON.
    ///
    /// # Panics
    /// If it is none.
    #[must_use]
    pub fn json(&self) -> Value {
        let text = String::from_utf8_lossy(&self.body);
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|error| panic!("{error}: {} {text}", self.status))
    }
}

/// One connection.
pub struct RawConnection {
    stream: TcpStream,
    /// What came and has not been taken.
    came: Vec<u8>,
}

impl RawConnection {
    /// A connection to the collector at `url`.
    ///
    /// # Panics
    /// If there is none.
    pub async fn open(url: &str) -> Self {
        let stream = TcpStream::connect(url.trim_start_matches("http://"))
            .await
            .expect("a connection");
        Self {
            stream,
            came: Vec::new(),
        }
    }

    /// The same over a connection that is there, such as one with buffers of its own.
    #[must_use]
    pub fn over(stream: TcpStream) -> Self {
        Self {
            stream,
            came: Vec::new(),
        }
    }

    /// The same from another address of this machine, such as 127.0.0.2.
    ///
    /// # Errors
    /// If there is none, such as when the collector's backlog is full.
    pub async fn open_from(address: Ipv4Addr, url: &str) -> std::io::Result<Self> {
        let socket = TcpSocket::new_v4()?;
        socket.bind((address, 0).into())?;
        let to = url.trim_start_matches("http://").parse();
        let stream = socket.connect(to.expect("an address with a port")).await?;
        Ok(Self {
            stream,
            came: Vec::new(),
        })
    }

    /// Sends bytes.
    ///
    /// # Panics
    /// If they cannot be sent.
    pub async fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.offer(bytes).await.expect("bytes can be sent");
    }

    /// Sends bytes to who may have closed already.
    ///
    /// # Errors
    /// If it has.
    pub async fn offer(&mut self, bytes: impl AsRef<[u8]>) -> std::io::Result<()> {
        timeout(PATIENCE, self.stream.write_all(bytes.as_ref()))
            .await
            .expect("bytes are taken in time")
    }

    /// Says that nothing more will be sent.
    ///
    /// # Panics
    /// If the connection is gone.
    pub async fn end(&mut self) {
        self.stream.shutdown().await.expect("an end can be sent");
    }

    /// The next reply.
    ///
    /// # Panics
    /// If none comes.
    pub async fn answer(&mut self) -> Answer {
        self.next_answer(true)
            .await
            .expect("an answer before the connection is closed")
    }

    /// The next reply to a HEAD request: it names a body's length, and has none.
    ///
    /// # Panics
    /// If none comes.
    pub async fn answer_to_head(&mut self) -> Answer {
        self.next_answer(false)
            .await
            .expect("an answer before the connection is closed")
    }

    /// The next reply, or `None` if the connection is closed without one.
    pub async fn answer_or_end(&mut self) -> Option<Answer> {
        self.next_answer(true).await
    }

    async fn next_answer(&mut self, with_body: bool) -> Option<Answer> {
        let head_end = loop {
            match self.came.windows(4).position(|four| four == b"\r\n\r\n") {
                Some(at) => break at + 4,
                None if self.more().await == 0 => {
                    let left = String::from_utf8_lossy(&self.came);
                    assert!(left.is_empty(), "closed within an answer: {left}");
                    return None;
                }
                None => {}
            }
        };
        let head: Vec<u8> = self.came.drain(..head_end).collect();
        let head = String::from_utf8(head).expect("a head is text");
        let mut lines = head.lines();
        let status = lines
            .next()
            .and_then(|line| line.strip_prefix("HTTP/1.")?.get(2..5)?.parse().ok());
        let status = status.unwrap_or_else(|| panic!("no status line: {head:?}"));
        let headers = lines.filter_map(|line| line.split_once(':'));
        let headers = headers
            .map(|(name, value)| (name.to_owned(), value.trim().to_owned()))
            .collect();
        let mut answer = Answer {
            status,
            headers,
            body: Vec::new(),
        };
        // An interim answer (RFC 9110, section 15.2) has no body.
        if with_body && status >= 200 {
            let length: usize = answer
                .header("content-length")
                .map_or(0, |length| length.parse().expect("a length"));
            while self.came.len() < length {
                assert!(
                    self.more().await > 0,
                    "closed within a body of {length}: {head}"
                );
            }
            answer.body = self.came.drain(..length).collect();
        }
        Some(answer)
    }

    /// Reads what there is; 0 if the other side has closed.
    async fn more(&mut self) -> usize {
        let read = timeout(PATIENCE, self.stream.read_buf(&mut self.came))
            .await
            .expect("something in time");
        // A reset is an end, too.
        read.unwrap_or(0)
    }

    /// Everything that comes until the other side closes.
    pub async fn rest(&mut self) -> Vec<u8> {
        while self.more().await > 0 {}
        std::mem::take(&mut self.came)
    }

    /// Takes exactly so many bytes; `None` if the other side closes before.
    pub async fn take(&mut self, count: usize) -> Option<Vec<u8>> {
        while self.came.len() < count {
            if self.more().await == 0 {
                return None;
            }
        }
        Some(self.came.drain(..count).collect())
    }
}
