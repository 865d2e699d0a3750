//! `GET /metrics`, and the layer that measures requests.

use std::sync::Arc;

use axum::extract::{MatchedPath, Request, State};
use axum::http::Method;
use axum::middleware::Next;
use axum::response::Response;
use http_server::health;
use runtime::metrics::HttpRequest;

use crate::app_state::AppState;
use crate::openapi::ScrapeRefusals;
use http_server::{ErrorCode, Problem};

/// What the process has measured, for Prometheus.
#[utoipa::path(
    get, path = "/metrics", operation_id = "getPrometheusMetrics", tag = "health",
    responses(
        (status = 200, description = "Counters, gauges and histograms in Prometheus's text format. With \
            `--admin-listen` they are served on that address instead.", body = String, content_type = "text/plain"),
        ScrapeRefusals,
    )
)]
pub async fn get(State(app): State<Arc<AppState>>) -> Result<Response, Problem> {
    if app.hides_metrics {
        let elsewhere = "Metrics are not served here, but on the address of --admin-listen.";
        return Err(Problem::new(ErrorCode::NotFound, elsewhere));
    }
    Ok(health::metrics(&app.process).await)
}

/// Measures each request. Inside of what writes problems out: there they still have their code.
pub async fn measured(request: Request, next: Next) -> Response {
    let route = request
        .extensions()
        .get::<MatchedPath>()
        .map_or("none", MatchedPath::as_str);
    let measured = HttpRequest::begins(route, method(request.method()));
    let response = next.run(request).await;
    let code = response
        .extensions()
        .get::<Problem>()
        .map_or("ok", |problem| problem.code.as_str());
    measured.ends(response.status().as_u16(), code);
    response
}

/// The name of a usual method; of others none, since a client must not make series at will.
fn method(method: &Method) -> &str {
    let usual = [
        Method::GET,
        Method::HEAD,
        Method::POST,
        Method::PUT,
        Method::PATCH,
        Method::DELETE,
        Method::OPTIONS,
    ];
    if usual.contains(method) {
        method.as_str()
    } else {
        "other"
    }
}
