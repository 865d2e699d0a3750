//! `GET /v1/export`: everything stored about the caller, as NDJSON.
//!
//! The workers give pages. The next one is asked for when the client has taken the one before, so that an export of any
//! size takes the memory of a page.

use std::future::ready;
use std::io;
use std::sync::Arc;

use axum::body::Body;
use axum::extract::{RawQuery, State};
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use futures_util::{Stream, StreamExt as _, stream};
use http_server::{ErrorCode, Problem};
use runtime::clock;
use types::export::{ExportRange, ExportWalk, Head};
use types::query::EXPORT;

use super::query_string::{day, invalid};
use crate::api_keys::Caller;
use crate::app_state::AppState;
use crate::authorized::{Authorized, MetricsRead};
use crate::openapi::{ExportParameters, MetricsRefusals};
use crate::query_client::QUERY_TIMEOUT;

/// The media type of lines of JSON.
const NDJSON: &str = "application/x-ndjson";

/// Everything stored about oneself: events, records, metrics, alerts, settings.
///
/// The last line has the kind `end`. An export without it was cut off: then the connection is closed without an end of
/// the body as well.
#[utoipa::path(
    get, path = "/v1/export", operation_id = "getExport", tag = "stored",
    params(ExportParameters),
    responses(
        (status = 200, description = "One JSON object a line; docs/export.md says what they hold.", body = String,
            content_type = "application/x-ndjson"),
        MetricsRefusals,
    )
)]
pub async fn get(
    Authorized { caller, .. }: Authorized<MetricsRead>,
    State(app): State<Arc<AppState>>,
    RawQuery(query): RawQuery,
) -> Result<Response, Problem> {
    let range = range(&query.unwrap_or_default())?;
    if !*app.loaded.settings.borrow() {
        let detail = "The developers' settings are not loaded yet: this collector is starting, or NATS is away.";
        return Err(Problem::new(ErrorCode::StreamUnavailable, detail));
    }
    let head = Head {
        developer: caller.developer.to_string(),
        range,
        settings: app.settings.of(&caller.developer),
        program: concat!("devtrail-collector ", env!("CARGO_PKG_VERSION")).to_owned(),
        at: clock::now(),
    };
    let (mut walk, mut text) = ExportWalk::begin(head).map_err(|error| unwritable(&error))?;
    // What keeps the first page away is a problem with a code; later only the connection can be cut off.
    if let Some(query) = walk.query() {
        let page = app.query(&caller, EXPORT, &query, QUERY_TIMEOUT).await?;
        text.extend(walk.take(page).map_err(|error| unwritable(&error))?);
    }
    let export = Export { app, caller, walk };
    let body = Body::from_stream(export.rest(text.into()));
    Ok(([(CONTENT_TYPE, NDJSON)], body).into_response())
}

/// The days that a query string names; all of them, unless it names some.
fn range(query: &str) -> Result<ExportRange, Problem> {
    let (from, to) = (day(query, "from")?, day(query, "to")?);
    if let (Some(from), Some(to)) = (from, to)
        && from > to
    {
        let detail =
            format!("from ({from}) lies after to ({to}): exchange them, or leave one out.");
        return Err(invalid("from", detail));
    }
    Ok(ExportRange {
        from: from.map(|day| day.to_string()),
        to: to.map(|day| day.to_string()),
    })
}

fn unwritable(error: &serde_json::Error) -> Problem {
    tracing::error!(%error, "a line of an export cannot be written");
    Problem::new(
        ErrorCode::Internal,
        "A line of the export cannot be written.",
    )
}

/// An export that is being sent.
struct Export {
    app: Arc<AppState>,
    caller: Caller,
    walk: ExportWalk,
}

impl Export {
    /// The body: what is there already, then page by page. An error cuts the connection off.
    fn rest(self, first: Bytes) -> impl Stream<Item = io::Result<Bytes>> {
        let pages = stream::try_unfold(self, async |mut export| {
            let Self { app, caller, walk } = &mut export;
            let Some(query) = walk.query() else {
                return Ok(None);
            };
            let page = app.query_surely(caller, EXPORT, &query, QUERY_TIMEOUT);
            let page = page.await.map_err(broken_off)?;
            let text = walk.take(page).map_err(io::Error::other)?;
            Ok(Some((text.into(), export)))
        });
        stream::once(ready(Ok(first))).chain(pages)
    }
}

fn broken_off(problem: Problem) -> io::Error {
    tracing::warn!(
        code = problem.code.as_str(),
        problem = problem.detail,
        "an export breaks off"
    );
    io::Error::other(String::from(problem.detail))
}

#[cfg(test)]
mod tests {
    use super::*;
    use http_server::ProblemLocation;

    #[test]
    fn a_range_may_be_open_and_of_any_length_but_not_turned_round() {
        let ends = |query: &str| {
            let range = range(query).map_err(|problem| problem.location);
            range.map(|range| (range.from, range.to))
        };
        let day = |text: &str| Some(text.to_owned());
        assert_eq!(ends(""), Ok((None, None)));
        assert_eq!(ends("to=2026-03-01"), Ok((None, day("2026-03-01"))));
        assert_eq!(
            ends("from=1970-01-01&to=2070-01-01"),
            Ok((day("1970-01-01"), day("2070-01-01")))
        );
        for (query, parameter) in [
            ("from=yesterday", "from"),
            ("to=2026-02-30", "to"),
            ("from=2026-03-02&to=2026-03-01", "from"),
            ("from=2026-03-01&from=2026-03-02", "from"),
        ] {
            let refused = ends(query).unwrap_err();
            assert!(
                matches!(refused, Some(ProblemLocation::Parameter(name)) if name == parameter),
                "{query}: {refused:?}"
            );
        }
    }
}
