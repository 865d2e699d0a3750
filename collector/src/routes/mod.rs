//! The routes, one file a resource.

mod alerts;
mod batches;
mod events;
mod export;
mod health;
mod metrics;
mod near_miss;
mod openapi_document;
mod prometheus;
mod query_string;
mod reports;
mod schemas;
mod wakatime;

use std::sync::{Arc, LazyLock};

use axum::extract::Request;
use axum::middleware;
use axum::{Extension, Router};
use http_server::layers::{catch_panics, with_request_ids};
use tower::ServiceExt;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::app_state::AppState;
use crate::authorized::with_security;
use crate::cors::{self, CorsOrigins};
use crate::openapi::{self, Document};
use http_server::{ErrorCode, Problem};

/// A handler's route with its description, the security taken from its extractors.
macro_rules! route {
    ($module:ident::$handler:ident) => {
        with_security(routes!($module::$handler), $module::$handler)
    };
}

/// The routes, each with its description: `routes!` takes no handler without one.
fn routes() -> OpenApiRouter<Arc<AppState>> {
    OpenApiRouter::new()
        .routes(route!(events::post))
        .routes(route!(wakatime::heartbeat))
        .routes(route!(wakatime::heartbeats))
        .routes(route!(wakatime::day_heartbeats))
        .routes(route!(wakatime::user))
        .routes(route!(wakatime::statusbar))
        .routes(route!(wakatime::status_bar))
        .routes(route!(wakatime::summaries))
        .routes(route!(wakatime::stats))
        .routes(route!(wakatime::stats_range))
        .routes(route!(wakatime::all_time))
        .routes(route!(wakatime::durations))
        .routes(route!(wakatime::projects))
        .routes(route!(wakatime::user_agents))
        .routes(route!(wakatime::machine_names))
        .routes(route!(wakatime::plugin_errors))
        .routes(route!(wakatime::user_plugin_errors))
        .routes(route!(batches::get))
        .routes(route!(metrics::daily))
        .routes(route!(metrics::hourly))
        .routes(route!(metrics::weekly))
        .routes(route!(metrics::sessions))
        .routes(route!(metrics::explain))
        .routes(route!(reports::week))
        .routes(route!(export::get))
        .routes(route!(alerts::list))
        .routes(route!(alerts::stream))
        .routes(route!(schemas::list))
        .routes(route!(schemas::one))
        .routes(route!(openapi_document::get))
        .routes(route!(health::live))
        .routes(route!(health::ready))
        .routes(route!(prometheus::get))
}

/// The OpenAPI description of the routes, as `GET /openapi.json` serves it. Made once.
pub fn document() -> &'static str {
    static DOCUMENT: LazyLock<String> = LazyLock::new(|| openapi::to_json(routes().into_openapi()));
    &DOCUMENT
}

/// All routes, with what holds for every one of them.
pub fn router(app: Arc<AppState>, origins: CorsOrigins) -> Router {
    let (routes, _) = routes().split_for_parts();
    let routes = routes
        .fallback(async |request: Request| near_miss::not_found(request.uri().path()))
        .method_not_allowed_fallback(|| async {
            Problem::new(
                ErrorCode::MethodNotAllowed,
                "This path does not take this method; see the Allow header.",
            )
        })
        .layer(Extension(Document(document)))
        .with_state(app);
    let routes = guarded(routes, origins);
    // Before a route is looked for.
    let tidied = move |request| {
        routes
            .clone()
            .oneshot(near_miss::without_extra_slashes(request))
    };
    Router::new().fallback_service(tower::service_fn(tidied))
}

/// Every reply carries ids, and a handler that panics answers as well.
fn guarded(routes: Router, origins: CorsOrigins) -> Router {
    routes
        .layer(middleware::from_fn(catch_panics))
        .layer(middleware::from_fn_with_state(
            origins.clone(),
            cors::answer_preflight,
        ))
        .layer(middleware::from_fn(prometheus::measured))
        .layer(middleware::from_fn(with_request_ids))
        .layer(middleware::from_fn_with_state(origins, cors::with_origin))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use axum::body::Body;
    use axum::extract::Request;
    use clap::Parser;
    use runtime::{
        process::{Actor, Process},
        shutdown::Shutdown,
    };
    use tower::ServiceExt;
    use types::schema::Schemas;

    use super::*;
    use crate::app_state::LoadedBuckets;
    use crate::settings::RequestLimits;

    #[derive(Parser)]
    struct Defaults {
        #[command(flatten)]
        limits: RequestLimits,
    }

    async fn code(router: &Router, method: &str, path: &str) -> (u16, String) {
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header("authorization", "Bearer x");
        let request = request.body(Body::empty()).unwrap();
        let response = router.clone().oneshot(request).await.unwrap();
        let status = response.status().as_u16();
        let body = axum::body::to_bytes(response.into_body(), 1 << 20)
            .await
            .unwrap();
        let body: serde_json::Value = serde_json::from_slice(&body).unwrap();
        (status, body["code"].as_str().unwrap_or_default().to_owned())
    }

    #[tokio::test]
    async fn a_collector_without_a_stream_or_draining_says_so() {
        let process = Process::new(
            Actor::new("collector"),
            Shutdown::manual(Duration::from_secs(10)),
        );
        let (_, receiver) = tokio::sync::watch::channel(false);
        let loaded = LoadedBuckets {
            keys: receiver.clone(),
            settings: receiver,
        };
        let limits = Defaults::parse_from(["collector"]).limits;
        let app = AppState::new(limits, Schemas::builtin(), loaded, &process);
        let router = router(Arc::new(app), CorsOrigins::default());
        let unavailable = (503, "stream_unavailable".to_owned());
        assert_eq!(code(&router, "GET", "/health/ready").await, unavailable);
        // Keys that are not loaded are not revoked: a client must not discard its own.
        assert_eq!(code(&router, "POST", "/v1/events").await, unavailable);
        assert_eq!(code(&router, "GET", "/v1/batches/b1").await, unavailable);
        assert_eq!(code(&router, "GET", "/health/live").await.0, 200);
        // What is no UTF-8 is refused by the framework, but in the one form of refusals.
        assert_eq!(
            code(&router, "GET", "/v1/schemas/%FF/x").await,
            (404, "not_found".to_owned())
        );
        process.shutdown.begin();
        let stopping = (503, "shutting_down".to_owned());
        assert_eq!(code(&router, "POST", "/v1/events").await, stopping);
        assert_eq!(code(&router, "GET", "/health/ready").await, stopping);
    }

    #[tokio::test]
    async fn a_panic_in_a_handler_is_a_problem_with_the_requests_id() {
        async fn defect() -> &'static str {
            panic!("a defect")
        }
        let router = guarded(
            Router::new().route("/defect", axum::routing::get(defect)),
            CorsOrigins::default(),
        );
        let request = Request::builder()
            .uri("/defect")
            .header("x-correlation-id", "c-1")
            .body(Body::empty())
            .unwrap();
        let response = router.oneshot(request).await.unwrap();
        assert_eq!(
            (
                response.status().as_u16(),
                &response.headers()["x-correlation-id"]
            ),
            (500, &"c-1".parse().unwrap())
        );
        let body = axum::body::to_bytes(response.into_body(), 1 << 20)
            .await
            .unwrap();
        let body: serde_json::Value = serde_json::from_slice(&body).unwrap();
        assert_eq!(
            (&body["code"], &body["correlation_id"]),
            (&"internal".into(), &"c-1".into())
        );
    }
}
