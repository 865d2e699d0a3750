//! `GET /v1/batches/{batch_id}`: how far the caller's submissions under a batch id are.

use std::sync::Arc;

use axum::Json;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use serde::Serialize;
use types::id::{MAX_ID, is_id};
use types::query::{BATCH, BatchQuery, SubmissionReply};
use utoipa::ToSchema;

use crate::app_state::AppState;
use crate::authorized::{Authorized, EventsWrite};
use crate::openapi::{BatchId, BatchRefusals};
use crate::query_client::QUERY_TIMEOUT;
use http_server::{ErrorCode, Problem};

/// The submissions under a batch id.
#[derive(Debug, Serialize, ToSchema)]
pub struct Submissions {
    /// The newest one, its members at the top level.
    #[serde(flatten)]
    newest: SubmissionReply,
    /// All of them, newest first.
    submissions: Vec<SubmissionReply>,
}

/// How far a batch is.
#[utoipa::path(
    get, path = "/v1/batches/{batch_id}", operation_id = "getBatch", tag = "stored",
    params(BatchId),
    responses((status = 200, description = "Its submissions.", body = Submissions), BatchRefusals)
)]
pub async fn get(
    Authorized { caller, .. }: Authorized<EventsWrite>,
    State(app): State<Arc<AppState>>,
    batch_id: Result<Path<String>, PathRejection>,
) -> Result<Json<Submissions>, Problem> {
    let batch_id = batch_id.ok().map(|Path(id)| id).filter(|id| is_id(id)).ok_or_else(|| {
        let detail = format!(
            "A batch id has 1 to {MAX_ID} characters from 0x21 to 0x7E, percent-encoded in the path."
        );
        Problem::new(ErrorCode::InvalidParameter, detail).parameter("batch_id")
    })?;
    // The developer is the key's, never the request's.
    let developer = caller.developer.to_string();
    let query = BatchQuery::Submissions {
        developer,
        batch_id: batch_id.clone(),
    };
    let oldest_first = app.query(&caller, BATCH, &query, QUERY_TIMEOUT).await?;
    reply(oldest_first).map(Json).ok_or_else(|| {
        let detail = format!(
            "You have no stored batch with the id {batch_id}. If you sent it just now, ask again: it is stored soon."
        );
        Problem::new(ErrorCode::BatchUnknown, detail)
    })
}

/// The reply; `None` if there is no submission.
fn reply(oldest_first: Vec<SubmissionReply>) -> Option<Submissions> {
    let submissions: Vec<SubmissionReply> = oldest_first.into_iter().rev().collect();
    Some(Submissions {
        newest: submissions.first()?.clone(),
        submissions,
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use types::event_streams::StreamSequence;
    use types::job::{BatchState, JobKind};
    use types::verdict::Counts;

    use super::*;

    #[test]
    fn the_newest_submission_is_at_the_top_and_all_are_listed() {
        let submission = |stream_sequence, state| SubmissionReply {
            batch_id: "b1".to_owned(),
            correlation_id: "c1".to_owned(),
            stream_sequence: StreamSequence::new("EVENTS", stream_sequence),
            state,
            counts: Counts::default(),
            need: vec![JobKind::Aggregate],
            done: Vec::new(),
            failed: Vec::new(),
            received_at: String::new(),
            published_at: String::new(),
            persisted_at: String::new(),
        };
        let oldest_first = vec![
            submission(3, BatchState::Completed),
            submission(8, BatchState::Persisted),
        ];
        let body = serde_json::to_value(reply(oldest_first).unwrap()).unwrap();
        assert_eq!(
            (&body["state"], &body["stream_sequence"]),
            (&json!("persisted"), &json!(8))
        );
        assert_eq!(body["submissions"][0]["stream_sequence"], 8);
        assert_eq!(body["submissions"][1]["state"], "completed");
        assert!(reply(Vec::new()).is_none());
    }
}
