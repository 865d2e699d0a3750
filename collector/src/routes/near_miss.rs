//! Addresses that are nearly right: an extra slash is overlooked, others are told the right one.

use axum::extract::Request;
use axum::http::Uri;
use axum::http::uri::PathAndQuery;
use http_server::{ErrorCode, Problem};

/// The request without its extra slashes: doubled ones, and one at the end.
pub fn without_extra_slashes(mut request: Request) -> Request {
    let path = request.uri().path();
    if path.contains("//") || (path.len() > 1 && path.ends_with('/')) {
        let mut parts = request.uri().clone().into_parts();
        let query = request
            .uri()
            .query()
            .map_or(String::new(), |query| format!("?{query}"));
        let segments = path.split('/').filter(|segment| !segment.is_empty());
        let path: String = segments.flat_map(|segment| ["/", segment]).collect();
        let path = if path.is_empty() { "/" } else { &path };
        // Parts of a path make a path.
        if let Ok(target) = PathAndQuery::try_from(format!("{path}{query}")) {
            parts.path_and_query = Some(target);
            if let Ok(uri) = Uri::from_parts(parts) {
                *request.uri_mut() = uri;
            }
        }
    }
    request
}

/// The refusal of a path that no route has, whatever the method.
pub fn not_found(path: &str) -> Problem {
    let detail = match right_path(path) {
        Some(RightPath::WakaTime(route)) => format!(
            "WakaTime's clients call {route}: set api_url = …/api/v1, this collector's address with /api/v1 after \
                it."
        ),
        Some(RightPath::Other(route)) => {
            format!("There is nothing at this path; the right one is {route}.")
        }
        None => "There is nothing at this path. GET /openapi.json lists the routes.".to_owned(),
    };
    Problem::new(ErrorCode::NotFound, detail)
}

/// The route that was meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum RightPath {
    /// One that WakaTime's clients make of their `api_url`.
    WakaTime(&'static str),
    Other(&'static str),
}

/// What other servers have before the names of their routes.
const PREFIXES: [&str; 8] = [
    "api", "v1", "v2", "v3", "compat", "wakatime", "devtrail", "health",
];

/// What WakaTime's clients read of a developer, by the first name of it.
const READ: [(&str, &str); 9] = [
    ("statusbar", "/api/v1/users/current/statusbar/today"),
    ("status_bar", "/api/v1/users/current/status_bar/today"),
    ("summaries", "/api/v1/users/current/summaries"),
    ("stats", "/api/v1/users/current/stats"),
    (
        "all_time_since_today",
        "/api/v1/users/current/all_time_since_today",
    ),
    ("durations", "/api/v1/users/current/durations"),
    ("projects", "/api/v1/users/current/projects"),
    ("user_agents", "/api/v1/users/current/user_agents"),
    ("machine_names", "/api/v1/users/current/machine_names"),
];

fn right_path(path: &str) -> Option<RightPath> {
    use RightPath::{Other, WakaTime};
    let path = path.to_ascii_lowercase();
    let segments: Vec<&str> = path
        .split('/')
        .filter(|segment| !segment.is_empty())
        .skip_while(|segment| PREFIXES.contains(segment))
        .collect();
    let last = segments.last().copied().unwrap_or_default();
    let is_bulk = last == "bulk" || last.ends_with("bulk");
    let named = |name: &str| segments.iter().any(|segment| segment.starts_with(name));
    Some(match segments[..] {
        _ if named("heartbeat") && is_bulk => WakaTime("/api/v1/users/current/heartbeats.bulk"),
        _ if named("heartbeat") => WakaTime("/api/v1/users/current/heartbeats"),
        ["users", _] => WakaTime("/api/v1/users/current"),
        ["users", _, ref rest @ ..] => {
            let read = |(name, _): &&(&str, &str)| rest.first() == Some(name);
            WakaTime(READ.iter().find(read)?.1)
        }
        ["users"] => WakaTime("/api/v1/users/current"),
        ["plugins", "errors"] => WakaTime("/api/v1/plugins/errors"),
        ["event" | "events", ..] => Other("/v1/events"),
        ["batch" | "batches", _] => Other("/v1/batches/{batch_id}"),
        ["metric" | "metrics", "day" | "daily"] => Other("/v1/metrics/daily"),
        ["report" | "reports", "week" | "weekly" | "weeks", _] => Other("/v1/reports/week/{week}"),
        ["schema" | "schemas"] => Other("/v1/schemas"),
        ["schema" | "schemas", _, _] => Other("/v1/schemas/{version}/{type}"),
        ["live" | "livez" | "ping"] => Other("/health/live"),
        ["ready" | "readyz" | "healthz" | "status"] => Other("/health/ready"),
        ["openapi" | "openapi.json" | "openapi.yaml" | "swagger.json" | "docs"] => {
            Other("/openapi.json")
        }
        ["metric" | "metrics"] => Other("/metrics"),
        [] if path.trim_matches('/') == "health" => Other("/health/ready"),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tidied(target: &str) -> String {
        let request = Request::builder()
            .uri(target)
            .body(axum::body::Body::empty())
            .unwrap();
        without_extra_slashes(request).uri().to_string()
    }

    #[test]
    fn an_extra_slash_is_overlooked_and_the_query_is_kept() {
        for (sent, meant) in [
            ("/v1/events", "/v1/events"),
            ("/v1/events/", "/v1/events"),
            ("//v1///events//?a=//&b=/", "/v1/events?a=//&b=/"),
            ("http://x//v1/events/", "http://x/v1/events"),
            ("/", "/"),
            ("//", "/"),
            ("/v1/batches/a%2F%2Fb/", "/v1/batches/a%2F%2Fb"),
            ("*", "*"),
        ] {
            assert_eq!(tidied(sent), meant, "{sent}");
        }
    }

    #[test]
    fn a_near_miss_is_told_the_right_path() {
        let bulk = "/api/v1/users/current/heartbeats.bulk";
        let one = "/api/v1/users/current/heartbeats";
        for (path, route) in [
            ("/api/users/current/heartbeats.bulk", bulk),
            ("/v1/users/current/heartbeats.bulk", bulk),
            ("/users/current/heartbeats.bulk", bulk),
            ("/api/v1/api/v1/users/current/heartbeats.bulk", bulk),
            (
                "/api/v1/users/current/heartbeats.bulk/users/current/heartbeats.bulk",
                bulk,
            ),
            ("/heartbeats_bulk", bulk),
            ("/heartbeats/bulk", bulk),
            (
                "/users/current/statusbar/today",
                "/api/v1/users/current/statusbar/today",
            ),
            (
                "/api/compat/wakatime/v1/users/ada/stats/last_7_days",
                "/api/v1/users/current/stats",
            ),
            ("/api/v1/users", "/api/v1/users/current"),
            ("/plugins/errors", "/api/v1/plugins/errors"),
            ("/heartbeats", one),
            ("/api/heartbeat", one),
            ("/api/v1/Users/Current/Heartbeats", one),
            ("/api/compat/wakatime/v1/users/current/heartbeats", one),
        ] {
            assert_eq!(right_path(path), Some(RightPath::WakaTime(route)), "{path}");
            let detail = not_found(path).detail;
            assert!(
                detail.contains(&format!("{route}:")) && detail.contains("api_url"),
                "{detail}"
            );
        }
        for (path, route) in [
            ("/events", "/v1/events"),
            ("/event", "/v1/events"),
            ("/api/v1/events", "/v1/events"),
            ("/v1/event", "/v1/events"),
            ("/v2/events", "/v1/events"),
            ("/v1/EVENTS", "/v1/events"),
            ("/v1/events/batch", "/v1/events"),
            ("/batches/b1", "/v1/batches/{batch_id}"),
            ("/api/v1/metrics/daily", "/v1/metrics/daily"),
            ("/v1/metrics", "/metrics"),
            ("/schemas", "/v1/schemas"),
            ("/v1/report/week/2026-W10", "/v1/reports/week/{week}"),
            ("/reports/weekly/2026-W10", "/v1/reports/week/{week}"),
            ("/health", "/health/ready"),
            ("/healthz", "/health/ready"),
            ("/v1/openapi.json", "/openapi.json"),
        ] {
            assert_eq!(right_path(path), Some(RightPath::Other(route)), "{path}");
            assert!(not_found(path).detail.contains(route));
        }
        for none in [
            "/",
            "/nothing",
            "/v1",
            "*",
            "",
            "/v1/batches",
            "/favicon.ico",
        ] {
            assert_eq!(right_path(none), None, "{none}");
        }
    }
}
