//! `GET /api/v1/users/{user}`: the developer.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use http_server::Problem;
use serde::Serialize;
use utoipa::ToSchema;

use super::request::WakaTimeRead;
use crate::app_state::AppState;
use crate::openapi::{WakaTimeParameters, WakaTimeRefusals};

/// The developer.
#[derive(Debug, Serialize, ToSchema)]
pub struct UserReply {
    data: User,
}

/// The developer.
#[derive(Debug, Serialize, ToSchema)]
pub struct User {
    id: String,
    username: String,
    display_name: String,
    /// The zone that days are shown in.
    timezone: String,
    /// The developer's timeout, in minutes, rounded up.
    timeout: u64,
    /// Always false: reads count as well as writes.
    writes_only: bool,
}

/// The developer whose key it is.
#[utoipa::path(
    get, path = "/api/v1/users/{user}", operation_id = "getUser", tag = "wakatime",
    params(WakaTimeParameters),
    responses((status = 200, description = "The developer.", body = UserReply), WakaTimeRefusals)
)]
pub async fn user(
    request: WakaTimeRead,
    State(app): State<Arc<AppState>>,
) -> Result<Json<UserReply>, Problem> {
    let developer = &request.caller.developer;
    let name = developer.to_string();
    Ok(Json(UserReply {
        data: User {
            id: name.clone(),
            username: name.clone(),
            display_name: name,
            timezone: request.calendar.name,
            timeout: app.settings.idle_seconds(developer).div_ceil(60),
            writes_only: false,
        },
    }))
}
