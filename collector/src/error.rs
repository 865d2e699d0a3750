//! What a request is refused with: RFC 9457 problem details, as a response or as raw HTTP/1.1 bytes.

use std::fmt;
use std::time::Duration;

use axum::response::{IntoResponse, Response};
use http::header::{ACCEPT_ENCODING, CONNECTION, CONTENT_LENGTH, CONTENT_TYPE, HeaderName, RETRY_AFTER, WWW_AUTHENTICATE};
use http::{HeaderMap, HeaderValue, StatusCode};
use serde::Serialize;

const CORRELATION_ID: HeaderName = HeaderName::from_static("x-correlation-id");

/// The closed list of reasons for which the collector refuses a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "each is described by its title, in `row`")]
pub enum ErrorCode {
    MalformedRequest,
    MalformedJson,
    InvalidEnvelope,
    Unauthenticated,
    WrongDeveloper,
    NotFound,
    MethodNotAllowed,
    HeaderTimeout,
    BodyTimeout,
    LengthRequired,
    BodyTooLarge,
    TooManyEvents,
    BatchTooLarge,
    UnsupportedMediaType,
    UnsupportedEncoding,
    HeadersTooLarge,
    Internal,
    StreamUnavailable,
    StreamFull,
    ShuttingDown,
}

impl ErrorCode {
    /// Status, `code`, whether the same request may succeed later, title.
    const fn row(self) -> (StatusCode, &'static str, bool, &'static str) {
        use StatusCode as S;
        match self {
            Self::MalformedRequest => (S::BAD_REQUEST, "malformed_request", false, "The request is not HTTP"),
            Self::MalformedJson => (S::BAD_REQUEST, "malformed_json", false, "The body cannot be parsed"),
            Self::InvalidEnvelope => (S::BAD_REQUEST, "invalid_envelope", false, "The envelope is invalid"),
            Self::Unauthenticated => (S::UNAUTHORIZED, "unauthenticated", false, "A valid API key is required"),
            Self::WrongDeveloper => (S::FORBIDDEN, "wrong_developer", false, "The key is another developer's"),
            Self::NotFound => (S::NOT_FOUND, "not_found", false, "There is nothing here"),
            Self::MethodNotAllowed => {
                (S::METHOD_NOT_ALLOWED, "method_not_allowed", false, "The method is not allowed here")
            }
            Self::HeaderTimeout => (S::REQUEST_TIMEOUT, "header_timeout", true, "The header came too slowly"),
            Self::BodyTimeout => (S::REQUEST_TIMEOUT, "body_timeout", true, "The body came too slowly"),
            Self::LengthRequired => (S::LENGTH_REQUIRED, "length_required", false, "A length is required"),
            Self::BodyTooLarge => (S::PAYLOAD_TOO_LARGE, "body_too_large", false, "The body is too large"),
            Self::TooManyEvents => (S::PAYLOAD_TOO_LARGE, "too_many_events", false, "Too many events in a batch"),
            Self::BatchTooLarge => (S::PAYLOAD_TOO_LARGE, "batch_too_large", false, "The batch is too large"),
            Self::UnsupportedMediaType => {
                (S::UNSUPPORTED_MEDIA_TYPE, "unsupported_media_type", false, "The media type is not supported")
            }
            Self::UnsupportedEncoding => {
                (S::UNSUPPORTED_MEDIA_TYPE, "unsupported_encoding", false, "The content encoding is not supported")
            }
            Self::HeadersTooLarge => {
                (S::REQUEST_HEADER_FIELDS_TOO_LARGE, "headers_too_large", false, "The header is too large")
            }
            Self::Internal => (S::INTERNAL_SERVER_ERROR, "internal", true, "The collector failed"),
            Self::StreamUnavailable => {
                (S::SERVICE_UNAVAILABLE, "stream_unavailable", true, "The stream cannot be reached")
            }
            Self::StreamFull => (S::SERVICE_UNAVAILABLE, "stream_full", true, "The stream is full"),
            Self::ShuttingDown => (S::SERVICE_UNAVAILABLE, "shutting_down", true, "The collector is shutting down"),
        }
    }

    /// The HTTP status it is answered with.
    pub const fn status(self) -> StatusCode {
        self.row().0
    }

    /// Its stable name, as in the contract: the body's `code`.
    pub const fn as_str(self) -> &'static str {
        self.row().1
    }

    /// Whether the same request may succeed later.
    pub const fn retryable(self) -> bool {
        self.row().2
    }

    /// What it means, the same for every occurrence.
    pub const fn title(self) -> &'static str {
        self.row().3
    }
}

/// One refusal. As a response it also carries itself as an extension, so that a layer can complete it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// Why.
    pub code: ErrorCode,
    /// What is wrong with this very request, in a sentence, and where possible what to do.
    pub detail: Box<str>,
    /// After how long to try again; 1 s unless set where the status is 503.
    pub retry_after: Option<Duration>,
    /// Where in the body it is, as a JSON pointer.
    pub pointer: Option<Box<str>>,
    /// The limit that was passed: bytes, events or a factor, as the detail says.
    pub limit: Option<u64>,
    /// What was sent, in the limit's unit, where that is known.
    pub actual: Option<u64>,
    /// The request's correlation id.
    pub correlation_id: Option<Box<str>>,
}

#[derive(Serialize)]
struct Members<'a> {
    r#type: String,
    title: &'a str,
    status: u16,
    detail: &'a str,
    code: &'a str,
    retryable: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    retry_after_ms: Option<u128>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pointer: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    limit: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    actual: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    correlation_id: Option<&'a str>,
}

impl Problem {
    /// A problem with what its code implies; the methods below add to it.
    pub fn new(code: ErrorCode, detail: impl Into<Box<str>>) -> Self {
        let retry_after = (code.status() == StatusCode::SERVICE_UNAVAILABLE).then_some(Duration::from_secs(1));
        let detail = detail.into();
        Self { code, detail, retry_after, pointer: None, limit: None, actual: None, correlation_id: None }
    }

    /// Names the place in the body, as a JSON pointer.
    #[must_use]
    pub fn pointer(self, pointer: impl Into<Box<str>>) -> Self {
        Self { pointer: Some(pointer.into()), ..self }
    }

    /// Names the limit that was passed, in the unit that the detail names.
    #[must_use]
    pub fn limit(self, limit: u64) -> Self {
        Self { limit: Some(limit), ..self }
    }

    /// Names what was sent, in the limit's unit.
    #[must_use]
    pub fn actual(self, actual: u64) -> Self {
        Self { actual: Some(actual), ..self }
    }

    /// Says after how long to try again. The header has whole seconds, rounded up, at least one.
    #[must_use]
    pub fn retry_after(self, after: Duration) -> Self {
        Self { retry_after: Some(after), ..self }
    }

    /// Names the request's correlation id.
    #[must_use]
    pub fn correlation_id(self, id: impl Into<Box<str>>) -> Self {
        Self { correlation_id: Some(id.into()), ..self }
    }

    fn body(&self) -> Vec<u8> {
        let members = Members {
            r#type: format!("https://devtrail.dev/problems/{}", self.code.as_str()),
            title: self.code.title(),
            status: self.code.status().as_u16(),
            detail: &self.detail,
            code: self.code.as_str(),
            retryable: self.code.retryable(),
            retry_after_ms: self.retry_after.map(|after| after.as_millis()),
            pointer: self.pointer.as_deref(),
            limit: self.limit,
            actual: self.actual,
            correlation_id: self.correlation_id.as_deref(),
        };
        serde_json::to_vec(&members).expect("strings and numbers always serialize")
    }

    fn headers(&self) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        if self.code.status() == StatusCode::UNAUTHORIZED {
            headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        if self.code == ErrorCode::UnsupportedEncoding {
            headers.insert(ACCEPT_ENCODING, HeaderValue::from_static("gzip, zstd"));
        }
        if let Some(after) = self.retry_after {
            let seconds = after.as_secs() + u64::from(after.subsec_nanos() > 0);
            headers.insert(RETRY_AFTER, seconds.max(1).into());
        }
        // An id that no header can carry stays in the body only.
        if let Some(Ok(id)) = self.correlation_id.as_deref().map(HeaderValue::from_str) {
            headers.insert(CORRELATION_ID, id);
        }
        headers
    }

    /// The whole HTTP/1.1 response, which closes the connection: for when there is no request to answer yet.
    pub fn to_raw_http1(&self) -> Vec<u8> {
        let (status, body, mut headers) = (self.code.status(), self.body(), self.headers());
        headers.insert(CONTENT_LENGTH, body.len().into());
        headers.insert(CONNECTION, HeaderValue::from_static("close"));
        let reason = status.canonical_reason().unwrap_or_default();
        let mut raw = format!("HTTP/1.1 {} {reason}\r\n", status.as_u16()).into_bytes();
        for (name, value) in &headers {
            raw.extend([name.as_str().as_bytes(), b": ", value.as_bytes(), b"\r\n"].concat());
        }
        raw.extend(b"\r\n");
        raw.extend(body);
        raw
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.code.as_str(), self.detail)
    }
}

impl std::error::Error for Problem {}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let mut response = (self.code.status(), self.headers(), self.body()).into_response();
        response.extensions_mut().insert(self);
        response
    }
}

#[cfg(test)]
#[path = "error_tests.rs"]
mod tests;
