//! `GET …/heartbeats?date=`: a day's heartbeats, page by page from the workers.

use std::io;
use std::sync::Arc;

use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use futures_util::stream;
use http_server::Problem;
use serde_json::{Map, Value, json};
use types::query::{HEARTBEATS, HeartbeatReply, HeartbeatsQuery, HeartbeatsReply};
use types::time::rfc3339;

use super::durations::required_date;
use super::request::WakaTimeRead;
use crate::api_keys::Caller;
use crate::app_state::AppState;
use crate::openapi::{HeartbeatsOfDayParameters, WakaTimeRefusals};
use crate::query_client::QUERY_TIMEOUT;

/// Members of a heartbeat that an event's data have under other names: ours, and WakaTime's.
const RENAMED: [(&str, &str); 3] = [
    ("entity_type", "type"),
    ("line", "lineno"),
    ("cursor", "cursorpos"),
];
/// Members that an event's data have under the same names.
const SAME: [&str; 6] = [
    "entity", "is_write", "lines", "project", "language", "branch",
];
/// The member that has all others that a client sent.
const OTHERS: &str = "wakatime";
/// Those of them that belong to heartbeats; others may be of any kind.
const KEPT: [&str; 4] = [
    "dependencies",
    "project_root_count",
    "ai_line_changes",
    "human_line_changes",
];

/// What is still to be written.
struct Pages {
    app: Arc<AppState>,
    caller: Caller,
    query: HeartbeatsQuery,
    /// The page that is there already.
    first: Option<HeartbeatsReply>,
    /// What follows the last heartbeat.
    end: String,
    has_begun: bool,
    is_done: bool,
}

/// A day's heartbeats, in the order of their times.
#[utoipa::path(
    get, path = "/api/v1/users/{user}/heartbeats", operation_id = "getHeartbeats", tag = "wakatime",
    params(HeartbeatsOfDayParameters),
    responses((status = 200, description = "The heartbeats.", body = ref("#/components/schemas/HeartbeatsOfDay")),
        WakaTimeRefusals)
)]
pub async fn day_heartbeats(
    request: WakaTimeRead,
    State(app): State<Arc<AppState>>,
) -> Result<Response, Problem> {
    let WakaTimeRead {
        caller,
        query,
        calendar,
    } = request;
    let date = required_date(&query, &calendar)?;
    let query = HeartbeatsQuery {
        developer: caller.developer.to_string(),
        day: date.to_string(),
        after: None,
    };
    let end = json!({"start": calendar.start_of(date), "end": calendar.end_of(date),
        "timezone": calendar.name});
    // The first page is there before the status is sent: a refusal is one.
    let page = app
        .query(&caller, HEARTBEATS, &query, QUERY_TIMEOUT)
        .await?;
    let pages = Pages {
        app,
        caller,
        query,
        first: Some(page),
        end: end.to_string(),
        has_begun: false,
        is_done: false,
    };
    let body = Body::from_stream(stream::try_unfold(pages, Pages::next));
    Ok(([(CONTENT_TYPE, "application/json")], body).into_response())
}

impl Pages {
    /// Writes the page, and asks for the next one only then: the client sets the pace.
    ///
    /// # Errors
    /// Returns the problem that ends the reply before its end, so that nobody takes it for whole.
    async fn next(mut self) -> io::Result<Option<(Bytes, Self)>> {
        if self.is_done {
            return Ok(None);
        }
        let (mut text, page) = match self.first.take() {
            Some(page) => (r#"{"data":["#.to_owned(), page),
            None => (String::new(), self.page().await?),
        };
        for one in page.heartbeats {
            if std::mem::replace(&mut self.has_begun, true) {
                text.push(',');
            }
            text += &heartbeat(one, &self.query.developer).to_string();
        }
        self.query.after = page.next;
        if self.query.after.is_none() {
            self.is_done = true;
            text += "],";
            text += self.end.trim_start_matches('{');
        }
        Ok(Some((text.into(), self)))
    }

    async fn page(&self) -> io::Result<HeartbeatsReply> {
        let Self {
            app, caller, query, ..
        } = self;
        let page = app.query_surely(caller, HEARTBEATS, query, QUERY_TIMEOUT);
        page.await
            .map_err(|problem| io::Error::other(String::from(problem.detail)))
    }
}

/// A heartbeat as WakaTime's interface has it. What was not sent is absent.
fn heartbeat(stored: HeartbeatReply, developer: &str) -> Value {
    let HeartbeatReply {
        id,
        at,
        received_at,
        mut data,
        editor,
        machine,
        category,
    } = stored;
    let mut members = Map::new();
    for name in SAME {
        members.extend(data.remove(name).map(|value| (name.to_owned(), value)));
    }
    if let Some(Value::Object(mut others)) = data.remove(OTHERS) {
        for name in KEPT {
            members.extend(others.remove(name).map(|value| (name.to_owned(), value)));
        }
    }
    for (ours, theirs) in RENAMED {
        members.extend(data.remove(ours).map(|value| (theirs.to_owned(), value)));
    }
    members.insert("id".to_owned(), id.into());
    members.insert("time".to_owned(), (at as f64 / 1e6).into());
    members.insert("user_id".to_owned(), developer.into());
    members.insert("created_at".to_owned(), rfc3339(received_at).into());
    members.extend(editor.map(|name| ("user_agent_id".to_owned(), name.into())));
    members.extend(category.map(|name| ("category".to_owned(), name.into())));
    members.extend(machine.map(|name| ("machine_name_id".to_owned(), name.into())));
    Value::Object(members)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_heartbeat_has_what_was_sent_under_wakatimes_names() {
        let data = json!({"entity": "/a.rs", "entity_type": "file", "line": 3, "cursor": 7, "is_write": true,
            "wakatime": {"x": 1, "dependencies": ["serde"]}});
        let Value::Object(data) = data else {
            unreachable!()
        };
        let stored = HeartbeatReply {
            id: "wakatime-1".to_owned(),
            at: 1_772_355_600_500_000,
            received_at: 1_772_355_601_000_000,
            data,
            editor: Some("vscode".to_owned()),
            machine: None,
            category: Some("coding".to_owned()),
        };
        assert_eq!(
            heartbeat(stored, "ada"),
            json!({"id": "wakatime-1", "entity": "/a.rs", "type": "file", "lineno": 3, "cursorpos": 7,
                "is_write": true, "dependencies": ["serde"], "time": 1_772_355_600.5, "user_id": "ada",
                "category": "coding", "created_at": "2026-03-01T09:00:01.000000Z",
                "user_agent_id": "vscode"})
        );
    }
}
