//! `GET /v1/reports/week/{week}`: a week of the caller's own work as a page.

use std::sync::Arc;

use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use axum::http::header;
use axum::response::{IntoResponse, Response};
use types::query::{REPORT, ReportQuery};
use types::week::Week;

use crate::app_state::AppState;
use crate::authorized::{Authorized, MetricsRead};
use crate::openapi::{ReportRefusals, ReportedWeek};
use crate::query_client::QUERY_TIMEOUT;
use http_server::{ErrorCode, Problem};

/// What the page may load: nothing. Its style is in itself, and it may not be shown inside of another page.
const POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; \
    frame-ancestors 'none'";

/// One's own week as a page: plots with their tables, complete in itself, without scripts.
#[utoipa::path(
    get, path = "/v1/reports/week/{week}", operation_id = "getWeekReport", tag = "stored",
    params(ReportedWeek),
    responses(
        (status = 200, description = "The week, as HTML.", body = String, content_type = "text/html"),
        ReportRefusals,
    )
)]
pub async fn week(
    Authorized { caller, .. }: Authorized<MetricsRead>,
    State(app): State<Arc<AppState>>,
    week: Result<Path<String>, PathRejection>,
) -> Result<Response, Problem> {
    // A path that is no UTF-8 names no week.
    let named = week.map(|Path(week)| week).unwrap_or_default();
    let week: Week = named.parse().map_err(|error| {
        let detail = format!("The week cannot be read: {error}.");
        Problem::new(ErrorCode::InvalidParameter, detail).parameter("week")
    })?;
    let query = ReportQuery {
        developer: caller.developer.to_string(),
        week,
    };
    let page: Option<String> = app.query(&caller, REPORT, &query, QUERY_TIMEOUT).await?;
    let page = page.ok_or_else(|| {
        let detail = format!(
            "{week} ({} to {}) has no metrics: no event of it is aggregated yet. GET /v1/metrics/weekly lists the \
             weeks that have some.",
            week.monday(),
            week.sunday(),
        );
        Problem::new(ErrorCode::NotFound, detail)
    })?;
    let headers = [
        (header::CONTENT_TYPE, "text/html; charset=utf-8"),
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        // It is about a person, and changes with every event.
        (header::CACHE_CONTROL, "no-store"),
    ];
    Ok((headers, page).into_response())
}
