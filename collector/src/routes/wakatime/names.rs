//! `GET …/projects`, `…/user_agents` and `…/machine_names`: what there ever was time in.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use http_server::Problem;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Serialize;
use types::query::{TOTALS, TotalReply, TotalsQuery, TotalsReply};
use utoipa::ToSchema;

use super::super::query_string::only_if_named;
use super::request::WakaTimeRead;
use crate::app_state::AppState;
use crate::openapi::{ProjectsParameters, WakaTimeParameters, WakaTimeRefusals};
use crate::query_client::QUERY_TIMEOUT;

/// A list, which is always one page.
#[derive(Debug, Serialize, ToSchema)]
pub struct NamesPage<T> {
    data: Vec<T>,
    page: u32,
    total: usize,
    total_pages: u32,
}

/// A project with time.
#[derive(Debug, Serialize, ToSchema)]
pub struct ProjectReply {
    /// Its key: what filters know it by.
    id: String,
    name: String,
    urlencoded_name: String,
    /// The first local day with time in it.
    first_day: String,
    /// The last local day with time in it.
    last_day: String,
}

/// An editor with time.
#[derive(Debug, Serialize, ToSchema)]
pub struct UserAgent {
    /// What heartbeats know it by.
    id: String,
    editor: String,
    /// The first local day with time in it.
    first_day: String,
    /// The last local day with time in it.
    last_day: String,
}

/// A machine with time.
#[derive(Debug, Serialize, ToSchema)]
pub struct MachineName {
    /// What heartbeats and rows know it by.
    id: String,
    name: String,
    value: String,
    /// The first local day with time on it.
    first_day: String,
    /// The last local day with time on it.
    last_day: String,
}

/// Projects with time, the most first.
#[utoipa::path(
    get, path = "/api/v1/users/{user}/projects", operation_id = "getProjects", tag = "wakatime",
    params(ProjectsParameters),
    responses((status = 200, description = "The projects.", body = NamesPage<ProjectReply>), WakaTimeRefusals)
)]
pub async fn projects(
    request: WakaTimeRead,
    State(app): State<Arc<AppState>>,
) -> Result<Json<NamesPage<ProjectReply>>, Problem> {
    let wanted = only_if_named(&request.query, "q")?.map(|text| text.to_lowercase());
    let mut projects = all(&app, &request).await?.projects;
    projects.retain(|project| {
        let name = project.name.to_lowercase();
        wanted.as_ref().is_none_or(|wanted| name.contains(wanted))
    });
    Ok(page(projects, |project| ProjectReply {
        urlencoded_name: utf8_percent_encode(&project.name, NON_ALPHANUMERIC).to_string(),
        id: project.key.unwrap_or_else(|| project.name.clone()),
        name: project.name,
        first_day: project.first_day,
        last_day: project.last_day,
    }))
}

/// Editors with time, the most first.
#[utoipa::path(
    get, path = "/api/v1/users/{user}/user_agents", operation_id = "getUserAgents", tag = "wakatime",
    params(WakaTimeParameters),
    responses((status = 200, description = "The editors.", body = NamesPage<UserAgent>), WakaTimeRefusals)
)]
pub async fn user_agents(
    request: WakaTimeRead,
    State(app): State<Arc<AppState>>,
) -> Result<Json<NamesPage<UserAgent>>, Problem> {
    let editors = all(&app, &request).await?.editors;
    Ok(page(editors, |editor| UserAgent {
        id: editor.name.clone(),
        editor: editor.name,
        first_day: editor.first_day,
        last_day: editor.last_day,
    }))
}

/// Machines with time, the most first.
#[utoipa::path(
    get, path = "/api/v1/users/{user}/machine_names", operation_id = "getMachineNames", tag = "wakatime",
    params(WakaTimeParameters),
    responses((status = 200, description = "The machines.", body = NamesPage<MachineName>), WakaTimeRefusals)
)]
pub async fn machine_names(
    request: WakaTimeRead,
    State(app): State<Arc<AppState>>,
) -> Result<Json<NamesPage<MachineName>>, Problem> {
    let machines = all(&app, &request).await?.machines;
    Ok(page(machines, |machine| MachineName {
        id: machine.name.clone(),
        value: machine.name.clone(),
        name: machine.name,
        first_day: machine.first_day,
        last_day: machine.last_day,
    }))
}

/// The sums of all days.
async fn all(app: &AppState, request: &WakaTimeRead) -> Result<TotalsReply, Problem> {
    let query = TotalsQuery {
        developer: request.caller.developer.to_string(),
        ..TotalsQuery::default()
    };
    app.query(&request.caller, TOTALS, &query, QUERY_TIMEOUT)
        .await
}

fn page<T>(totals: Vec<TotalReply>, entry: impl Fn(TotalReply) -> T) -> Json<NamesPage<T>> {
    Json(NamesPage {
        page: 1,
        total: totals.len(),
        total_pages: 1,
        data: totals.into_iter().map(entry).collect(),
    })
}
