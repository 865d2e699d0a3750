//! A day's heartbeats, a page at a time.

use serde_json::{Map, Value};
use store::{ExportReads, ExportedEvent, PageLimits};
use types::export::{EventPosition, ExportRange};
use types::query::{HeartbeatReply, HeartbeatsQuery, HeartbeatsReply};

use super::responder::QueryFailure;
use crate::normalize::{ClientProgram, category};

/// What is read at once; a page ends with it. Of a day of other events a page may be empty, and there is a next one.
const PAGE: PageLimits = PageLimits {
    rows: 2000,
    bytes: 512 * 1024,
};

/// The page after `query.after`.
///
/// # Errors
/// Returns whatever the store cannot read.
pub async fn heartbeats<S: ExportReads>(
    store: &S,
    query: HeartbeatsQuery,
) -> Result<HeartbeatsReply, QueryFailure> {
    let HeartbeatsQuery {
        developer,
        day,
        after,
    } = query;
    let range = ExportRange {
        from: Some(day.clone()),
        to: Some(day),
    };
    let read = store.export_events(developer, range, after, PAGE).await?;
    let next = read.last().map(|last| EventPosition {
        at: last.event.effective_at,
        id: last.event.id.clone(),
    });
    let is_heartbeat = |read: &ExportedEvent| read.event.kind == "heartbeat";
    let heartbeats = read.into_iter().filter(is_heartbeat).map(reply);
    Ok(HeartbeatsReply {
        heartbeats: heartbeats.collect(),
        next,
    })
}

fn reply(read: ExportedEvent) -> HeartbeatReply {
    let ExportedEvent {
        event, received_at, ..
    } = read;
    let text = std::str::from_utf8(&event.body).ok();
    let body = text.and_then(|text| types::json::value(text).ok());
    let data = match body.and_then(|mut body| Some(body.get_mut("data")?.take())) {
        Some(Value::Object(data)) => data,
        // No event is stored without; what cannot be read is left out.
        _ => Map::new(),
    };
    let program = ClientProgram::of(&event, &data);
    HeartbeatReply {
        category: category(&event.kind, &data),
        id: event.id,
        at: event.effective_at,
        received_at,
        editor: program.editor,
        machine: program.machine,
        data,
    }
}
