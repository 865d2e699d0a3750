//! A day's heartbeats, a page at a time.

use serde_json::{Map, Value};
use store::{Jobs, StoredEvent};
use types::query::{HeartbeatCursor, HeartbeatReply, HeartbeatsQuery, HeartbeatsReply};
use types::time::utc_hour;

use super::responder::QueryFailure;
use crate::aggregate::{events_of_hour, hours_of_day, hours_with_events};
use crate::normalize::{ClientProgram, category};

/// Bytes of events after which a page ends.
const PAGE: usize = 512 * 1024;

/// The page after `query.after`.
///
/// # Errors
/// Returns whatever the store cannot read.
pub async fn heartbeats<S: Jobs>(
    store: &S,
    query: HeartbeatsQuery,
) -> Result<HeartbeatsReply, QueryFailure> {
    let HeartbeatsQuery {
        developer,
        day,
        after,
    } = query;
    // Beyond the first and the last of all times no event has a day.
    let Ok(mut range) = hours_of_day(&day) else {
        return Ok(HeartbeatsReply::default());
    };
    if let Some(after) = &after {
        range.first = utc_hour(after.at).clamp(range.first, range.last);
    }
    let mut page = HeartbeatsReply::default();
    let mut bytes = 0;
    for hour in hours_with_events(store, &developer, range).await? {
        for event in of_day(events_of_hour(store, &developer, hour).await?, &day) {
            let at = cursor(&event);
            if after.as_ref().is_some_and(|after| at <= *after) {
                continue;
            }
            bytes += event.body.len();
            page.heartbeats.push(reply(event));
            if bytes >= PAGE {
                page.next = Some(at);
                return Ok(page);
            }
        }
    }
    Ok(page)
}

fn cursor(event: &StoredEvent) -> HeartbeatCursor {
    HeartbeatCursor {
        at: event.effective_at,
        id: event.id.clone(),
    }
}

/// The heartbeats of the day among an hour's events, in their order.
fn of_day(mut events: Vec<StoredEvent>, day: &str) -> Vec<StoredEvent> {
    events.retain(|event| event.kind == "heartbeat" && event.local_day == day);
    events.sort_by(|one, other| (one.effective_at, &one.id).cmp(&(other.effective_at, &other.id)));
    events
}

fn reply(event: StoredEvent) -> HeartbeatReply {
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
        editor: program.editor,
        machine: program.machine,
        data,
    }
}
