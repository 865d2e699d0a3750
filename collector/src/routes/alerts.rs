//! `GET /v1/alerts` and `/v1/alerts/stream`: the caller's alerts, asked for or as they come.

mod event_stream;

use std::sync::Arc;

use axum::body::Body;
use axum::extract::rejection::ExtensionRejection;
use axum::extract::{RawQuery, State};
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use axum::http::{HeaderMap, HeaderName};
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use bus::direct_get::PageBounds;
use http_server::Problem;
use http_server::serve::ConnectionPlace;
use serde::Serialize;
use serde_json::{Map, Value};

use super::query_string::{invalid, number, parse_number};
use crate::alert_log::{AlertEntry, AlertLogError};
use crate::app_state::{AppState, EventsStream};
use crate::authorized::{AlertsRead, Authorized, NotDraining};
use crate::openapi::{AlertStreamHeaders, AlertStreamRefusals, AlertsParameters, AlertsRefusals};
use event_stream::OpenAlertStream;

/// Alerts of a reply unless the request says how many.
const DEFAULT_LIMIT: u64 = 100;
/// Most alerts in a reply.
const MAX_LIMIT: u64 = 1000;
/// The last sequence that every client can write as a number of JSON. No stream comes near it.
const MAX_SEQUENCE: u64 = (1 << 53) - 1;
/// A reply ends with the alert that brings it to so many bytes.
const MAX_BYTES: usize = 1024 * 1024;
/// Where a client goes on (<https://html.spec.whatwg.org/multipage/server-sent-events.html#the-last-event-id-header>).
const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");
/// Tells nginx, and others that follow it, to pass each alert on at once.
const UNBUFFERED: (HeaderName, &str) = (HeaderName::from_static("x-accel-buffering"), "no");

/// Alerts of a developer, in the order of their sequences.
#[derive(Debug, Serialize)]
pub struct Alerts {
    alerts: Vec<Map<String, Value>>,
    /// The sequence that was read up to.
    next: u64,
}

/// One's own alerts, each change of them, oldest first.
///
/// Ask again with `after` set to `next` until no alert comes. A reply of many large alerts may have fewer than `limit`.
#[utoipa::path(
    get, path = "/v1/alerts", operation_id = "getAlerts", tag = "alerts",
    params(AlertsParameters),
    responses((status = 200, description = "The alerts after `after`.",
        body = ref("#/components/schemas/Alerts")), AlertsRefusals)
)]
pub async fn list(
    Authorized { caller, .. }: Authorized<AlertsRead>,
    State(app): State<Arc<AppState>>,
    RawQuery(query): RawQuery,
) -> Result<Json<Alerts>, Problem> {
    let query = query.unwrap_or_default();
    let after = number(&query, "after", 0..=MAX_SEQUENCE)?.unwrap_or_default();
    let limit = number(&query, "limit", 1..=MAX_LIMIT)?.unwrap_or(DEFAULT_LIMIT);
    let _permit = app.admission.query(&caller)?;
    let (stream, seen) = followed(&app).await?;
    let after = stream.alert_log.resume(after, seen).await?;
    let bounds = PageBounds {
        messages: usize::try_from(limit).unwrap_or(usize::MAX),
        bytes: MAX_BYTES,
    };
    let page = stream.alert_log.page(&caller.developer, after, bounds);
    let page = page.await?;
    let alerts = page.iter().filter_map(AlertEntry::read);
    Ok(Json(Alerts {
        alerts: alerts.map(|entry| entry.alert).collect(),
        next: page.last().map_or(after, |last| last.seq),
    }))
}

/// One's own alerts as they come: an event stream (SSE).
///
/// `id:` is the alert's sequence, `event:` its state, `data:` the alert on one line. The header `Last-Event-ID` resumes
/// after a sequence; without it come those from now on. Alerts with `push` false do not come. Lines of comment keep the
/// connection alive. The stream ends when the collector stops: connect again, with the last `id:`.
#[utoipa::path(
    get, path = "/v1/alerts/stream", operation_id = "streamAlerts", tag = "alerts",
    params(AlertStreamHeaders),
    responses(
        (status = 200, description = "Events until either side ends it.", body = String,
            content_type = "text/event-stream"),
        AlertStreamRefusals,
    )
)]
pub async fn stream(
    _: NotDraining,
    Authorized { caller, .. }: Authorized<AlertsRead>,
    State(app): State<Arc<AppState>>,
    place: Result<Extension<ConnectionPlace>, ExtensionRejection>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let last = last_event_id(&headers)?;
    let slot = app.admission.alert_stream(&caller)?;
    let (stream, _) = followed(&app).await?;
    // Before the stream is read: nothing can come in between unannounced.
    let subscription = app.alert_feed.subscribe(&caller.developer);
    let subscription = subscription.ok_or(AlertLogError::NotFollowed)?;
    let seen = subscription.begun_at;
    let after = match last {
        Some(last) => stream.alert_log.resume(last, seen).await?,
        None => seen,
    };
    // It stays open for hours, and has a place of its own now.
    if let Ok(Extension(place)) = place {
        place.give_back();
    }
    let events = OpenAlertStream::new(app.clone(), &caller, subscription, slot, after);
    let headers = [
        (CONTENT_TYPE, "text/event-stream"),
        (CACHE_CONTROL, "no-store"),
        UNBUFFERED,
    ];
    Ok((headers, Body::from_stream(events.frames())).into_response())
}

/// The streams, and the last sequence of ALERTS, once it is followed.
async fn followed(app: &AppState) -> Result<(&EventsStream, u64), AlertLogError> {
    let stream = app.stream.get().ok_or(AlertLogError::NotConnected)?;
    let seen = app
        .alert_feed
        .seen()
        .await
        .ok_or(AlertLogError::NotFollowed)?;
    Ok((stream, seen))
}

/// The sequence that the client has read up to; `None` if it begins.
fn last_event_id(headers: &HeaderMap) -> Result<Option<u64>, Problem> {
    let mut sent = headers.get_all(&LAST_EVENT_ID).iter();
    let Some(value) = sent.next() else {
        return Ok(None);
    };
    let refused = |what: String| {
        let detail = format!(
            "Last-Event-ID {what}: send the last id: of the stream, a whole number, or leave it out to have what comes \
             from now on."
        );
        invalid("Last-Event-ID", detail)
    };
    if sent.next().is_some() {
        return Err(refused("is there more than once".to_owned()));
    }
    let value = String::from_utf8_lossy(value.as_bytes());
    let sequence = parse_number(&value).filter(|sequence| *sequence <= MAX_SEQUENCE);
    sequence.map(Some).ok_or_else(|| {
        let value = types::json::shorten(&value, 40);
        refused(format!("is {value:?}"))
    })
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;
    use http_server::{ErrorCode, ProblemLocation};

    use super::*;

    #[test]
    fn a_last_event_id_is_a_sequence() {
        let read = |sent: &[&'static str]| {
            let mut headers = HeaderMap::new();
            for value in sent {
                headers.append(LAST_EVENT_ID, HeaderValue::from_static(value));
            }
            last_event_id(&headers)
        };
        assert_eq!(read(&[]), Ok(None));
        assert_eq!(read(&["0"]), Ok(Some(0)));
        assert_eq!(read(&["9007199254740991"]), Ok(Some(MAX_SEQUENCE)));
        for bad in [
            &[""][..],
            &["+1"],
            &["-1"],
            &["1.0"],
            &["x"],
            &["9007199254740992"],
            &["18446744073709551616"],
            &["1", "1"],
        ] {
            let problem = read(bad).unwrap_err();
            let location = Some(ProblemLocation::Parameter("Last-Event-ID"));
            assert_eq!(
                (problem.code, problem.location),
                (ErrorCode::InvalidParameter, location),
                "{bad:?}"
            );
        }
    }
}
