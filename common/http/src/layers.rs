//! What holds for every route: a reply carries the request's ids, and a handler that panics replies as well.

use std::panic::AssertUnwindSafe;

use axum::extract::{MatchedPath, Request};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use futures_util::FutureExt;
use http::{HeaderMap, HeaderName, HeaderValue};
use tracing::Instrument;
use types::id;

use crate::client_address::ClientAddress;
use crate::error_code::ErrorCode;
use crate::problem::{CORRELATION_ID, Problem};
use crate::refusal_log::{self, RefusedRequest};

const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");

/// A request's ids: the client's if they are well formed, else fresh ones. An extension of each request.
#[derive(Debug, Clone)]
pub struct RequestIds {
    pub correlation_id: String,
    pub traceparent: String,
}

impl RequestIds {
    fn of(headers: &HeaderMap) -> Self {
        let header = |name: &HeaderName| headers.get(name).and_then(|value| value.to_str().ok());
        Self {
            correlation_id: id::correlation_id(header(&CORRELATION_ID)),
            traceparent: id::traceparent(header(&TRACEPARENT)),
        }
    }
}

/// Whoever asks again and again whether a process is ready is answered, not refused.
const READY: &str = "/health/ready";

/// Takes the client's correlation id and trace context, or makes them. The reply carries both.
/// A refusal leaves a line in the log.
pub async fn with_request_ids(mut request: Request, next: Next) -> Response {
    let ids = RequestIds::of(request.headers());
    request.extensions_mut().insert(ids.clone());
    let route = request.extensions().get::<MatchedPath>().cloned();
    let method = request.method().clone();
    let address = request.extensions().get::<ClientAddress>().copied();
    let span = tracing::info_span!("request", correlation_id = ids.correlation_id);
    let mut response = next.run(request).instrument(span).await;
    // A problem is written out here, so that none can lack its correlation id.
    if let Some(problem) = response.extensions_mut().remove::<Problem>() {
        let problem = problem.correlation_id(ids.correlation_id.clone());
        let route = route.as_ref().map_or("none", MatchedPath::as_str);
        if route != READY {
            let method = method.as_str();
            refusal_log::log(
                &problem,
                RefusedRequest {
                    route,
                    method,
                    address,
                },
            );
        }
        response = problem.into_response();
    }
    for (name, value) in [
        (CORRELATION_ID, ids.correlation_id),
        (TRACEPARENT, ids.traceparent),
    ] {
        if let Ok(value) = HeaderValue::from_str(&value) {
            response.headers_mut().insert(name, value);
        }
    }
    response
}

/// Answers `internal` if a handler panics. A panic is a defect: it is logged, and costs this request only.
pub async fn catch_panics(request: Request, next: Next) -> Response {
    let answer = AssertUnwindSafe(next.run(request)).catch_unwind().await;
    answer.unwrap_or_else(|panic| {
        tracing::error!(panic = %runtime::panic_text(&*panic), "a request's handler panicked");
        let detail = "The collector failed at this request; what was sent may be stored. Send the same again.";
        Problem::new(ErrorCode::Internal, detail).into_response()
    })
}
