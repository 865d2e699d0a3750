//! A request of a WakaTime client: whose it is, and on which clock its days are.

use std::marker::PhantomData;
use std::sync::Arc;

use axum::extract::{FromRequestParts, RawPathParams};
use axum::http::request::Parts;
use http_server::{ErrorCode, Problem};
use utoipa::openapi::security::SecurityRequirement;

use super::calendar::Calendar;
use crate::api_keys::Caller;
use crate::app_state::AppState;
use crate::authorized::{Authorized, MetricsRead, RequiredScope, Security, WakaTimeKey};

/// What clients write for the developer whose key they send.
const CURRENT: &str = "current";

/// A request whose path names the developer of its key.
///
/// It is refused as [`Authorized`] refuses, and with 403 if it names another developer.
pub struct OwnCaller<S> {
    pub caller: Caller,
    scope: PhantomData<S>,
}

impl<S: RequiredScope> FromRequestParts<Arc<AppState>> for OwnCaller<S> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<AppState>) -> Result<Self, Problem> {
        let Authorized { caller, .. } =
            Authorized::<S, WakaTimeKey>::from_request_parts(parts, app).await?;
        let names = RawPathParams::from_request_parts(parts, app).await;
        let user = names.ok().and_then(|names| {
            let mut names = names.iter();
            names.find_map(|(name, value)| (name == "user").then(|| value.to_owned()))
        });
        ensure_own(user.as_deref(), &caller)?;
        let scope = PhantomData;
        Ok(Self { caller, scope })
    }
}

impl<S: RequiredScope> Security for OwnCaller<S> {
    fn requirements() -> Vec<SecurityRequirement> {
        Authorized::<S, WakaTimeKey>::requirements()
    }
}

/// A request of a client that reads: who sends it, for which query, and on which clock its days are.
///
/// It is refused as [`OwnCaller`] refuses, and with 400 if it names a zone that does not exist.
pub struct WakaTimeRead {
    pub caller: Caller,
    /// The query string.
    pub query: String,
    pub calendar: Calendar,
}

impl FromRequestParts<Arc<AppState>> for WakaTimeRead {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<AppState>) -> Result<Self, Problem> {
        let OwnCaller { caller, .. } =
            OwnCaller::<MetricsRead>::from_request_parts(parts, app).await?;
        let query = parts.uri.query().unwrap_or_default().to_owned();
        let calendar = Calendar::of(&query, &parts.headers, &caller)?;
        Ok(Self {
            caller,
            query,
            calendar,
        })
    }
}

impl Security for WakaTimeRead {
    fn requirements() -> Vec<SecurityRequirement> {
        OwnCaller::<MetricsRead>::requirements()
    }
}

/// Checks the developer in a path.
///
/// # Errors
/// Returns `wrong_developer` unless it is the caller, by name or as `current`.
fn ensure_own(user: Option<&str>, caller: &Caller) -> Result<(), Problem> {
    let own = caller.developer.as_str();
    match user {
        Some(user) if user == CURRENT || user == own => Ok(()),
        other => {
            let other = types::json::shorten(other.unwrap_or_default(), 64);
            let detail = format!(
                "The path is of the developer {other:?}, the key is of {own:?}: write {CURRENT} in the path, or send \
                    {other:?}'s key."
            );
            Err(Problem::new(ErrorCode::WrongDeveloper, detail))
        }
    }
}
