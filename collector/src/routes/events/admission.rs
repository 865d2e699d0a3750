//! From a body to a judged batch, or the problem that the client is told instead.

use axum::http::HeaderMap;
use runtime::clock;

use crate::app::App;
use crate::auth::Caller;
use http_server::layers::RequestIds as Ids;
use http_server::{ErrorCode, Problem};
use types::admission::{self, Admitted};
use types::formats::{BadEnvelope, Format, Request};

/// What was sent.
pub struct Sent<'a> {
    pub format: Format,
    pub headers: &'a HeaderMap,
    pub body: &'a [u8],
}

/// Reads and judges it.
pub fn admit<'a>(
    app: &App,
    caller: Caller,
    ids: &Ids,
    sent: &Sent<'a>,
) -> Result<Admitted<'a>, Problem> {
    let received_at = clock::now();
    let request = Request {
        headers: sent.headers,
        body: sent.body,
        developer: &caller.developer,
        received_at,
        max_events: app.limits.max_events,
    };
    let submission = sent
        .format
        .read(&request)
        .map_err(|error| refuse(error, app.limits.max_events))?;
    let context = admission::Context {
        developer: caller.developer,
        epoch: caller.epoch,
        correlation_id: ids.correlation_id.clone(),
        traceparent: ids.traceparent.clone(),
        received_at,
        collector: app.actor.clone(),
    };
    let mut admitted = admission::admit(submission, &app.schemas, context);
    admitted.header.validated_at = clock::now();
    Ok(admitted)
}

fn refuse(error: BadEnvelope, max_events: usize) -> Problem {
    match error {
        BadEnvelope::Malformed(detail) => Problem::new(ErrorCode::MalformedJson, detail),
        BadEnvelope::Invalid { pointer, detail } => {
            Problem::new(ErrorCode::InvalidEnvelope, detail).pointer(pointer)
        }
        BadEnvelope::Header { name, detail } => {
            Problem::new(ErrorCode::InvalidEnvelope, detail).parameter(name)
        }
        BadEnvelope::WrongDeveloper(named) => {
            let detail = format!(
                "developer_id names {:?}, whose key this is not: leave developer_id out, or use that developer's key.",
                types::json::shorten(&named, 128)
            );
            Problem::new(ErrorCode::WrongDeveloper, detail).pointer("/developer_id")
        }
        BadEnvelope::TooManyEvents(sent) => {
            let detail = format!(
                "The batch has {sent} events, the limit is {max_events}: send it in parts."
            );
            Problem::new(ErrorCode::TooManyEvents, detail)
                .limit(max_events as u64)
                .actual(sent as u64)
        }
    }
}
