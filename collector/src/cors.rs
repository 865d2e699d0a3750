//! Requests of pages and browser extensions from other origins: CORS
//! (<https://fetch.spec.whatwg.org/#http-cors-protocol>).
//!
//! Only the origins that `--cors-origin` names are let in, never with a browser's own credentials: the key is all that
//! counts. Without the setting no reply has a header of this.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::header::{
    ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN,
    ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE, ACCESS_CONTROL_REQUEST_HEADERS,
    ACCESS_CONTROL_REQUEST_METHOD, ORIGIN, VARY,
};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

/// The methods of all routes.
const METHODS: HeaderValue = HeaderValue::from_static("GET, HEAD, POST");
/// What clients send if they do not say what.
const HEADERS: HeaderValue = HeaderValue::from_static(
    "Authorization, Content-Type, Last-Event-ID, X-Machine-Name, TimeZone",
);
/// What a page may read of a reply, beside its body.
const EXPOSED: HeaderValue = HeaderValue::from_static(
    "X-Correlation-Id, traceparent, Retry-After, RateLimit, RateLimit-Policy, Preference-Applied, Allow",
);
/// Two hours, the longest that browsers keep an answer.
const MAX_AGE: HeaderValue = HeaderValue::from_static("7200");
const VARIES: HeaderValue = HeaderValue::from_static("Origin");
/// A page on the internet asks for a collector on this machine (<https://wicg.github.io/private-network-access/>).
const REQUEST_PRIVATE: HeaderName =
    HeaderName::from_static("access-control-request-private-network");
const ALLOW_PRIVATE: HeaderName = HeaderName::from_static("access-control-allow-private-network");

/// The origins that are let in. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct CorsOrigins(Arc<[String]>);

impl CorsOrigins {
    /// These origins, each as a browser writes it.
    pub fn new(origins: &[String]) -> Self {
        Self(origins.into())
    }

    /// The request's origin, if it is let in: exactly one that was named.
    fn of(&self, headers: &HeaderMap) -> Option<HeaderValue> {
        let mut sent = headers.get_all(ORIGIN).iter();
        let origin = sent.next().filter(|_| sent.next().is_none())?;
        self.0
            .iter()
            .any(|known| known.as_bytes() == origin.as_bytes())
            .then(|| origin.clone())
    }
}

/// Names the origin in every reply to one that is let in, refusals as well: a page shall see why.
pub async fn with_origin(
    State(origins): State<CorsOrigins>,
    request: Request,
    next: Next,
) -> Response {
    if origins.0.is_empty() {
        return next.run(request).await;
    }
    let origin = origins.of(request.headers());
    let mut response = next.run(request).await;
    let headers = response.headers_mut();
    // A cache must not hand one origin's reply to another.
    headers.append(VARY, VARIES);
    if let Some(origin) = origin {
        headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin);
        headers.insert(ACCESS_CONTROL_EXPOSE_HEADERS, EXPOSED);
    }
    response
}

/// Answers a browser that asks beforehand whether it may send a request; for every path, since a page shall also see
/// that a path is wrong.
pub async fn answer_preflight(
    State(origins): State<CorsOrigins>,
    request: Request,
    next: Next,
) -> Response {
    let asks = request.method() == Method::OPTIONS
        && request
            .headers()
            .contains_key(ACCESS_CONTROL_REQUEST_METHOD);
    if !asks || origins.of(request.headers()).is_none() {
        return next.run(request).await;
    }
    let asked = request.headers();
    let mut allowed = HeaderMap::new();
    allowed.insert(ACCESS_CONTROL_ALLOW_METHODS, METHODS);
    // Whatever it is: the routes know what they read.
    let headers = asked.get(ACCESS_CONTROL_REQUEST_HEADERS);
    allowed.insert(
        ACCESS_CONTROL_ALLOW_HEADERS,
        headers.cloned().unwrap_or(HEADERS),
    );
    allowed.insert(ACCESS_CONTROL_MAX_AGE, MAX_AGE);
    if asked
        .get(REQUEST_PRIVATE)
        .is_some_and(|value| value == "true")
    {
        allowed.insert(ALLOW_PRIVATE, HeaderValue::from_static("true"));
    }
    (StatusCode::NO_CONTENT, allowed).into_response()
}
