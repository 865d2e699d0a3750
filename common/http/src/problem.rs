//! What a request is refused with: RFC 9457 problem details, as a response or as raw HTTP/1.1 bytes.

use std::fmt;
use std::time::Duration;

use axum::response::{IntoResponse, Response};
use http::header::{
    ACCEPT_ENCODING, CONNECTION, CONTENT_LENGTH, CONTENT_TYPE, HeaderName, RETRY_AFTER,
    WWW_AUTHENTICATE,
};
use http::{HeaderMap, HeaderValue, StatusCode};
use serde_json::json;

use crate::error_code::ErrorCode;

pub(crate) const CORRELATION_ID: HeaderName = HeaderName::from_static("x-correlation-id");

/// One refusal. As a response it also carries itself as an extension, so that a layer can complete it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    pub code: ErrorCode,
    /// What is wrong with this very request, in a sentence, and if possible what to do.
    pub detail: Box<str>,
    /// After how long to try again; 1 s unless set, if its code [`ErrorCode::names_retry_after`].
    pub retry_after: Option<Duration>,
    pub location: Option<ProblemLocation>,
    /// The limit that was passed: bytes, events or a factor, as the detail says.
    pub limit: Option<u64>,
    /// What was sent, in the limit's unit, if that is known.
    pub actual: Option<u64>,
    /// Headers beside those that follow from the other members.
    pub headers: Option<Box<HeaderMap>>,
    pub correlation_id: Option<Box<str>>,
}

/// The place of a problem in its request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ProblemLocation {
    /// In the body, as a JSON pointer.
    Pointer(Box<str>),
    /// The parameter of path or query, or the header, of this name.
    Parameter(&'static str),
}

impl Problem {
    /// A problem with what its code implies; the methods below add to it.
    pub fn new(code: ErrorCode, detail: impl Into<Box<str>>) -> Self {
        Self {
            code,
            detail: detail.into(),
            retry_after: code.names_retry_after().then_some(Duration::from_secs(1)),
            location: None,
            limit: None,
            actual: None,
            headers: None,
            correlation_id: None,
        }
    }

    /// Names the place in the body, as a JSON pointer.
    #[must_use]
    pub fn pointer(self, pointer: impl Into<Box<str>>) -> Self {
        Self {
            location: Some(ProblemLocation::Pointer(pointer.into())),
            ..self
        }
    }

    /// Names the parameter of path or query, or the header.
    #[must_use]
    pub fn parameter(self, name: &'static str) -> Self {
        Self {
            location: Some(ProblemLocation::Parameter(name)),
            ..self
        }
    }

    /// Names the limit that was passed, in the unit that the detail names.
    #[must_use]
    pub fn limit(self, limit: u64) -> Self {
        Self {
            limit: Some(limit),
            ..self
        }
    }

    /// Names what was sent, in the limit's unit.
    #[must_use]
    pub fn actual(self, actual: u64) -> Self {
        Self {
            actual: Some(actual),
            ..self
        }
    }

    /// Says after how long to try again. The header has whole seconds, rounded up, at least one.
    #[must_use]
    pub fn retry_after(self, after: Duration) -> Self {
        Self {
            retry_after: Some(after),
            ..self
        }
    }

    /// Adds headers to the response.
    #[must_use]
    pub fn headers(self, headers: impl IntoIterator<Item = (HeaderName, HeaderValue)>) -> Self {
        let mut all = self.headers.unwrap_or_default();
        all.extend(headers);
        Self {
            headers: Some(all),
            ..self
        }
    }

    /// Names the request in the body.
    #[must_use]
    pub fn correlation_id(self, id: impl Into<Box<str>>) -> Self {
        Self {
            correlation_id: Some(id.into()),
            ..self
        }
    }

    fn body(&self) -> Vec<u8> {
        let code = self.code;
        let mut body = json!({
            "type": format!("https://devtrail.dev/problems/{}", code.as_str()),
            "title": code.title(),
            "status": code.status().as_u16(),
            "detail": self.detail,
            "code": code.as_str(),
            "retryable": code.retryable(),
        });
        if let Some(after) = self.retry_after {
            body["retry_after_ms"] = json!(u64::try_from(after.as_millis()).ok());
        }
        match &self.location {
            Some(ProblemLocation::Pointer(pointer)) => body["pointer"] = json!(pointer),
            Some(ProblemLocation::Parameter(name)) => body["parameter"] = json!(name),
            None => {}
        }
        let numbers = [("limit", self.limit), ("actual", self.actual)];
        for (name, number) in numbers {
            if let Some(number) = number {
                body[name] = json!(number);
            }
        }
        if let Some(id) = &self.correlation_id {
            body["correlation_id"] = json!(id);
        }
        body.to_string().into_bytes()
    }

    fn all_headers(&self) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert(
            CONTENT_TYPE,
            HeaderValue::from_static("application/problem+json"),
        );
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
        if let Some(own) = &self.headers {
            headers.extend(
                own.iter()
                    .map(|(name, value)| (name.clone(), value.clone())),
            );
        }
        // An id that no header can carry stays in the body only.
        if let Some(Ok(id)) = self.correlation_id.as_deref().map(HeaderValue::from_str) {
            headers.insert(CORRELATION_ID, id);
        }
        headers
    }

    /// The whole HTTP/1.1 response, which closes the connection: for a connection without a request to answer yet.
    pub fn to_raw_http1(&self) -> Vec<u8> {
        let status = self.code.status();
        let body = self.body();
        let mut headers = self.all_headers();
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
        let mut response = (self.code.status(), self.all_headers(), self.body()).into_response();
        response.extensions_mut().insert(self);
        response
    }
}

#[cfg(test)]
mod tests;
