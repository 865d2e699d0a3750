//! `POST /api/v1/plugins/errors`: what went wrong in a plugin, for the log.

use std::sync::Arc;

use axum::Json;
use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use http_server::Problem;
use serde::Deserialize;
use serde_json::{Value, json};
use types::json::shorten;

use super::request::OwnCaller;
use crate::api_keys::Caller;
use crate::app_state::{AdmittedBody, AppState};
use crate::authorized::{Authorized, EventsWrite, NotDraining, WakaTimeKey};
use crate::openapi::{PluginErrorRefusals, WakaTimeUser};

/// Longest text of a report in the log, in bytes.
const MAX_TEXT: usize = 300;

/// Longest word of it, in bytes: a longer one may be a key.
const MAX_WORD: usize = 30;

/// What of a report goes into the log. Its log and stack trace stay out: they hold names of files, and may hold keys.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Report {
    plugin: Text,
    cli_version: Text,
    platform: Text,
    architecture: Text,
    editor: Text,
}

/// A text, if it was sent as one.
#[derive(Debug, Default, Deserialize)]
#[serde(from = "Value")]
struct Text(String);

impl From<Value> for Text {
    fn from(value: Value) -> Self {
        let text = value.as_str().unwrap_or_default();
        let words = text
            .split_whitespace()
            .filter(|word| word.len() <= MAX_WORD);
        let is_shown = |shown: &char| shown.is_ascii_graphic() || *shown == ' ';
        let shown = words.collect::<Vec<&str>>().join(" ");
        Self(shorten(
            &shown.chars().filter(is_shown).collect::<String>(),
            MAX_TEXT,
        ))
    }
}

/// Report an error of a plugin.
#[utoipa::path(
    post, path = "/api/v1/plugins/errors", operation_id = "reportPluginError", tag = "wakatime",
    request_body(content = ref("#/components/schemas/PluginError"), content_type = "application/json"),
    responses((status = 201, description = "It is logged."), PluginErrorRefusals)
)]
pub async fn plugin_errors(
    _: NotDraining,
    Authorized { caller, .. }: Authorized<EventsWrite, WakaTimeKey>,
    State(app): State<Arc<AppState>>,
    headers: HeaderMap,
    body: Body,
) -> Result<(StatusCode, Json<Value>), Problem> {
    log(&app, &caller, &headers, body).await
}

/// Report an error of a plugin, under the developer.
#[utoipa::path(
    post, path = "/api/v1/users/{user}/plugins/errors", operation_id = "reportPluginErrorOfUser", tag = "wakatime",
    params(WakaTimeUser),
    request_body(content = ref("#/components/schemas/PluginError"), content_type = "application/json"),
    responses((status = 201, description = "It is logged."), PluginErrorRefusals)
)]
pub async fn user_plugin_errors(
    _: NotDraining,
    OwnCaller { caller, .. }: OwnCaller<EventsWrite>,
    State(app): State<Arc<AppState>>,
    headers: HeaderMap,
    body: Body,
) -> Result<(StatusCode, Json<Value>), Problem> {
    log(&app, &caller, &headers, body).await
}

async fn log(
    app: &AppState,
    caller: &Caller,
    headers: &HeaderMap,
    body: Body,
) -> Result<(StatusCode, Json<Value>), Problem> {
    let AdmittedBody { bytes, .. } = app.read_body(caller, headers, body).await?;
    // One that cannot be read is as good as any: there is nothing for the client to do.
    let Report {
        plugin: Text(plugin),
        cli_version: Text(version),
        platform: Text(platform),
        architecture: Text(architecture),
        editor: Text(editor),
    } = serde_json::from_slice(&bytes).unwrap_or_default();
    tracing::warn!(
        developer = %caller.developer, plugin, version, platform, architecture, editor, bytes = bytes.len(),
        "a plugin reports an error"
    );
    Ok((StatusCode::CREATED, Json(json!({}))))
}
