//! Reading single messages of a stream by the JetStream API (`STREAM.MSG.GET`), from its leader: a replica that lags
//! would report one as gone.
//!
//! They come as JSON, headers and payload in base64. Delivered, a message whose headers a client cannot read
//! would break its connection; read so, it does no harm.

use async_nats::header::HeaderName;
use async_nats::{HeaderMap, HeaderValue, jetstream};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use bytes::Bytes;
use serde_json::{Value, json};

use crate::api::{self, ApiError};
use crate::names::ResourceName;
use types::dead_letter::DeadLetter;
use types::json::shorten;
use types::time::{self, Micros, parse_rfc3339};

/// Longest part of undecodable headers that is quoted, in bytes.
const MAX_EXCERPT: usize = 256;

/// "no message found" (NATS ADR-7 error codes).
const NO_MESSAGE_FOUND: u64 = 10037;

/// A message of a stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredMessage {
    pub seq: u64,
    /// When the stream took it.
    pub at: Micros,
    pub subject: String,
    /// Its headers; none if they cannot be read.
    pub headers: HeaderMap,
    /// Why no client can read it when it is delivered, if that is so.
    pub undecodable: Option<String>,
    pub payload: Bytes,
}

impl StoredMessage {
    /// What a message of DEAD says of itself; `None` if its subject is not `dead.<stream>.<consumer>`.
    #[must_use]
    pub fn dead_letter(&self) -> Option<DeadLetter> {
        let header = |name: &str| self.headers.get(name).map(HeaderValue::as_str);
        DeadLetter::read(self.at, &self.subject, header)
    }
}

/// A message that was delivered. It owns what it holds: a slice of the connection's buffer would keep the messages
/// beside it in memory for as long.
impl TryFrom<jetstream::Message> for StoredMessage {
    type Error = async_nats::Error;

    fn try_from(message: jetstream::Message) -> Result<Self, Self::Error> {
        let info = message.info()?;
        let seq = info.stream_sequence;
        let at = time::of_nanos(info.published.unix_timestamp_nanos());
        let (message, _) = message.split();
        Ok(Self {
            seq,
            at,
            subject: message.subject.to_string(),
            headers: message.headers.unwrap_or_default(),
            undecodable: None,
            payload: Bytes::copy_from_slice(&message.payload),
        })
    }
}

/// The message at a sequence; `None` if there is none.
///
/// # Errors
/// Returns [`ApiError`] if the stream is missing, or the server does not answer or refuses.
pub async fn get(
    js: &jetstream::Context,
    stream: &str,
    seq: u64,
) -> Result<Option<StoredMessage>, ApiError> {
    request(js, stream, json!({"seq": seq})).await
}

/// The first message at or above `seq` with a subject that `subject` matches; `None` if there is none.
///
/// # Errors
/// Returns [`ApiError`] if the stream is missing, or the server does not answer or refuses.
pub async fn first_from(
    js: &jetstream::Context,
    stream: &str,
    seq: u64,
    subject: &str,
) -> Result<Option<StoredMessage>, ApiError> {
    request(js, stream, json!({"seq": seq, "next_by_subj": subject})).await
}

/// The newest message of a subject, from the stream's leader; `None` if there is none.
///
/// # Errors
/// Returns [`ApiError`] if the stream is missing, or the server does not answer or refuses.
pub async fn newest_of(
    js: &jetstream::Context,
    stream: &str,
    subject: &str,
) -> Result<Option<StoredMessage>, ApiError> {
    request(js, stream, json!({"last_by_subj": subject})).await
}

async fn request(
    js: &jetstream::Context,
    stream: &str,
    which: Value,
) -> Result<Option<StoredMessage>, ApiError> {
    let name = ResourceName::stream(stream);
    let found = api::request_unless(js, &name, "MSG.GET", which, &[NO_MESSAGE_FOUND]).await?;
    let Some(found) = found else {
        return Ok(None);
    };
    let read = read(&found["message"]);
    read.map(Some)
        .ok_or_else(|| ApiError::new(name, "the server's answer holds no message".to_owned()))
}

/// A message as the API returns it (NATS ADR-31, `JSApiMsgGetResponse`).
fn read(reply: &Value) -> Option<StoredMessage> {
    let decoded = |field: &str| match reply.get(field) {
        None => Some(Vec::new()),
        Some(text) => BASE64_STANDARD.decode(text.as_str()?).ok(),
    };
    let subject = reply["subject"].as_str()?;
    let block = decoded("hdrs")?;
    let (headers, undecodable) = match check_subject(subject).and_then(|()| headers(&block)) {
        Ok(headers) => (headers, None),
        Err(why) => (HeaderMap::new(), Some(why)),
    };
    Some(StoredMessage {
        seq: reply["seq"].as_u64()?,
        at: parse_rfc3339(reply["time"].as_str()?)?.at?,
        subject: subject.to_owned(),
        headers,
        undecodable,
        payload: decoded("data")?.into(),
    })
}

/// A client takes a delivery's first line for UTF-8, and splits it at every white space of Unicode; the server splits
/// it at blanks alone. The server's JSON shows what is no UTF-8 as U+FFFD.
fn check_subject(subject: &str) -> Result<(), String> {
    match subject.contains(|c: char| c == char::REPLACEMENT_CHARACTER || c.is_whitespace()) {
        true => Err(format!(
            "the subject cannot be read: {:?}",
            shorten(subject, MAX_EXCERPT)
        )),
        false => Ok(()),
    }
}

/// Headers as leniently read as a client does (NATS ADR-4): what is refused here breaks a connection, or
/// passes for a message of the server's own, which has a status in the first line.
fn headers(block: &[u8]) -> Result<HeaderMap, String> {
    let mut headers = HeaderMap::new();
    if block.is_empty() {
        return Ok(headers);
    }
    let unfit = |line: &str| {
        format!(
            "the headers cannot be read: {:?}",
            shorten(line, MAX_EXCERPT)
        )
    };
    let Ok(text) = std::str::from_utf8(block) else {
        return Err(unfit(&String::from_utf8_lossy(block)));
    };
    let mut lines = text.lines().peekable();
    let version = lines.next().unwrap_or_default();
    let status = version
        .strip_prefix("NATS/1.0")
        .ok_or_else(|| unfit(version))?;
    // 200 is what no status means.
    if !matches!(status.split_whitespace().next(), None | Some("200")) {
        return Err(unfit(version));
    }
    while let Some(line) = lines.next() {
        if line.is_empty() {
            continue;
        }
        let (name, value) = line.split_once(':').ok_or_else(|| unfit(line))?;
        let name: HeaderName = name.parse().map_err(|_| unfit(line))?;
        let mut value = value.trim_start().to_owned();
        while let Some(more) = lines.next_if(|line| line.starts_with(char::is_whitespace)) {
            value.push_str(more);
        }
        // A lone carriage return panics the client, and ends its connection for good.
        let value: HeaderValue = value.trim_end().parse().map_err(|_| unfit(line))?;
        headers.append(name, value);
    }
    Ok(headers)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_read_whole() {
        let reply = json!({
            "subject": "events.batch.ada", "seq": 7, "time": "1970-01-01T00:00:00.000001Z",
            "hdrs": BASE64_STANDARD.encode("NATS/1.0\r\nA: 1\r\nb:  x\r\n y \r\nA:2\r\n\r\n"),
            "data": BASE64_STANDARD.encode([0, 255]),
        });
        let message = read(&reply).unwrap();
        let values: Vec<&str> = message
            .headers
            .get_all("A")
            .map(|value| value.as_str())
            .collect();
        assert_eq!(
            (values, message.headers.get("b").unwrap().as_str()),
            (vec!["1", "2"], "x y")
        );
        assert_eq!(
            (message.seq, message.at, message.subject.as_str()),
            (7, 1, "events.batch.ada")
        );
        assert_eq!(
            (message.undecodable, &message.payload[..]),
            (None, &[0, 255][..])
        );
        let bare =
            read(&json!({"subject": "s", "seq": 1, "time": "1970-01-01T00:00:00Z"})).unwrap();
        assert_eq!(
            (bare.headers.len(), bare.payload.len(), bare.undecodable),
            (0, 0, None)
        );
        assert_eq!(read(&json!({"seq": 1})), None);
    }

    #[test]
    fn undecodable_headers_leave_the_rest_of_a_message() {
        let unfit: [&[u8]; 7] = [
            b"NATS/1.0\r\nno colon here\r\n\r\n",
            b"NATS/1.0\r\nno name: x\r\n\r\n",
            b"NATS/1.0 503\r\nA: 1\r\n\r\n",
            b"NATS/1.0 100 Idle Heartbeat\r\n\r\n",
            b"HTTP/1.1\r\nA: 1\r\n\r\n",
            b"NATS/1.0\r\nA: \xff\r\n\r\n",
            b"NATS/1.0\r\nA: x\ry\r\n\r\n",
        ];
        for block in unfit {
            let reply = json!({
                "subject": "s", "seq": 1, "time": "1970-01-01T00:00:00Z",
                "hdrs": BASE64_STANDARD.encode(block), "data": BASE64_STANDARD.encode("kept"),
            });
            let message = read(&reply).unwrap();
            let why = message
                .undecodable
                .unwrap_or_else(|| panic!("{}", block.escape_ascii()));
            assert!(why.starts_with("the headers cannot be read: \""), "{why}");
            assert_eq!(
                (message.headers.len(), &message.payload[..]),
                (0, &b"kept"[..])
            );
        }
        for subject in ["events.batch.\u{fffd}", "events.batch.a\u{a0}b"] {
            let reply = json!({"subject": subject, "seq": 1, "time": "1970-01-01T00:00:00Z"});
            assert!(
                read(&reply)
                    .unwrap()
                    .undecodable
                    .unwrap()
                    .starts_with("the subject cannot be read")
            );
        }
        assert_eq!(headers(b"NATS/1.0 200\r\nA: 1\r\n\r\n").unwrap().len(), 1);
        let long = format!("NATS/1.0\r\n{}\r\n\r\n", "x".repeat(9999));
        assert!(headers(long.as_bytes()).unwrap_err().len() < MAX_EXCERPT + 64);
    }
}
