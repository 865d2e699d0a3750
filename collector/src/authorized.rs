//! Who sends a request, and whether its key may: the extractor in a route's signature names the scope.
//!
//! The OpenAPI description takes each route's security from the same types, see [`Security`].

use std::marker::PhantomData;
use std::net::Ipv4Addr;
use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Extension, FromRequestParts, RawQuery, State};
use axum::handler::Handler;
use axum::http::request::Parts;
use axum::http::{HeaderMap, header};
use base64::Engine;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use http_server::client_address::ClientAddress;
use http_server::{ErrorCode, Problem};
use types::api_key::Scope;
use utoipa::openapi::path::Operation;
use utoipa::openapi::security::SecurityRequirement;
use utoipa_axum::router::UtoipaMethodRouter;

use crate::api_keys::Caller;
use crate::app_state::AppState;

/// A scope as a type.
pub trait RequiredScope: Send + 'static {
    const SCOPE: Scope;
}

/// The scope `events:write`.
pub enum EventsWrite {}

impl RequiredScope for EventsWrite {
    const SCOPE: Scope = Scope::EventsWrite;
}

/// The scope `metrics:read`.
pub enum MetricsRead {}

impl RequiredScope for MetricsRead {
    const SCOPE: Scope = Scope::MetricsRead;
}

/// The scope `alerts:read`.
pub enum AlertsRead {}

impl RequiredScope for AlertsRead {
    const SCOPE: Scope = Scope::AlertsRead;
}

/// How a request carries its key.
pub trait KeyScheme: Send + 'static {
    /// The names of the description's security schemes, and whether their requirement names scopes.
    const SCHEMES: &'static [(&'static str, bool)];

    /// What the key may be: the first that is known counts.
    ///
    /// # Errors
    /// Returns `unauthenticated` if there is none, or none of this form.
    fn keys(parts: &Parts) -> Result<Vec<String>, Problem>;
}

/// `Authorization: Bearer <key>`.
pub enum Bearer {}

impl KeyScheme for Bearer {
    const SCHEMES: &'static [(&'static str, bool)] = &[("key", true)];

    fn keys(parts: &Parts) -> Result<Vec<String>, Problem> {
        let Authorization {
            scheme,
            credentials,
        } = Authorization::of(&parts.headers).ok_or_else(|| {
            unauthenticated(
                "The header Authorization: Bearer <key> is missing. `devtrail keys create` makes a key.",
            )
        })?;
        if !scheme.eq_ignore_ascii_case("bearer") {
            return Err(unauthenticated(
                "Authorization must have the form Bearer <key>.",
            ));
        }
        Ok(vec![credentials.trim().to_owned()])
    }
}

/// As WakaTime's clients send it: the key as the user of HTTP's Basic scheme, with or without the colon (RFC 7617);
/// `Authorization: Bearer <key>`; or, without that header, the query's `api_key`.
pub enum WakaTimeKey {}

impl KeyScheme for WakaTimeKey {
    const SCHEMES: &'static [(&'static str, bool)] =
        &[("basic", false), ("key", true), ("api_key", false)];

    fn keys(parts: &Parts) -> Result<Vec<String>, Problem> {
        if !parts.headers.contains_key(header::AUTHORIZATION) {
            return in_query(parts.uri.query().unwrap_or_default()).ok_or_else(|| {
                unauthenticated(
                    "The key is missing: send it as Authorization: Basic or Bearer, or as ?api_key=. \
                        `devtrail keys create` makes a key.",
                )
            });
        }
        match Authorization::of(&parts.headers) {
            Some(Authorization {
                scheme,
                credentials,
            }) if scheme.eq_ignore_ascii_case("basic") => {
                let user = basic_user(credentials).ok_or_else(|| {
                    unauthenticated(
                        "Authorization must be Basic with the Base64 of the API key, or Bearer <key>.",
                    )
                })?;
                Ok(vec![user])
            }
            _ => Bearer::keys(parts),
        }
    }
}

/// The header `Authorization`.
struct Authorization<'a> {
    scheme: &'a str,
    credentials: &'a str,
}

impl<'a> Authorization<'a> {
    fn of(headers: &'a HeaderMap) -> Option<Self> {
        let value = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
        let (scheme, credentials) = value.split_once(' ')?;
        Some(Self {
            scheme,
            credentials,
        })
    }
}

/// What the key of a query may be: `api_key` as it is, or what it is the Base64 of, as some clients have it.
fn in_query(query: &str) -> Option<Vec<String>> {
    let mut values = form_urlencoded::parse(query.as_bytes());
    let (_, plain) = values.find(|(name, value)| name == "api_key" && !value.trim().is_empty())?;
    // A plus sign that was not escaped is read as a space.
    let encoded = plain.replace(' ', "+");
    let plain = plain.trim().to_owned();
    let decoded = basic_user(&encoded).filter(|key| !key.is_empty());
    Some([plain].into_iter().chain(decoded).collect())
}

/// The user of Basic credentials, if it could be a header's value. The padding may be missing.
fn basic_user(encoded: &str) -> Option<String> {
    let encoded = encoded.trim().trim_end_matches('=');
    let text = String::from_utf8(STANDARD_NO_PAD.decode(encoded).ok()?).ok()?;
    let user = text.split_once(':').map_or(&*text, |(user, _)| user).trim();
    axum::http::HeaderValue::from_str(user).ok()?;
    Some(user.to_owned())
}

fn unauthenticated(detail: &str) -> Problem {
    Problem::new(ErrorCode::Unauthenticated, detail)
}

/// A request whose key is known and has the scope `S`.
///
/// It is refused with 401 without a valid key, with 403 without the scope, and with 503 while the keys are not
/// loaded: a good key must not look revoked then.
pub struct Authorized<S, K = Bearer> {
    pub caller: Caller,
    types: PhantomData<(S, K)>,
}

impl<S: RequiredScope, K: KeyScheme> FromRequestParts<Arc<AppState>> for Authorized<S, K> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<AppState>) -> Result<Self, Problem> {
        let keys = K::keys(parts)?;
        if !*app.loaded.keys.borrow() {
            let detail =
                "The API keys are not loaded yet: this collector is starting, or NATS is away.";
            return Err(Problem::new(ErrorCode::StreamUnavailable, detail));
        }
        // The server knows it of every request.
        let address = parts.extensions.get::<ClientAddress>().copied();
        let address = address.unwrap_or(ClientAddress::of(Ipv4Addr::UNSPECIFIED.into()));
        let caller = keys.iter().find_map(|key| app.keys.find(key, address));
        let caller = caller.ok_or_else(|| {
            unauthenticated(
                "The API key is unknown or revoked. `devtrail keys create` makes a new one.",
            )
        })?;
        if !caller.scopes.contains(&S::SCOPE) {
            let detail = format!(
                "The key lacks the scope {scope}: use a key that has it; `devtrail keys create` makes one.",
                scope = S::SCOPE.as_str()
            );
            return Err(Problem::new(ErrorCode::ScopeMissing, detail));
        }
        Ok(Self {
            caller,
            types: PhantomData,
        })
    }
}

/// A request that came while the collector accepts batches; it is refused `shutting_down` from the drain on.
/// Before [`Authorized`] in a signature, it is checked first.
pub struct NotDraining;

impl FromRequestParts<Arc<AppState>> for NotDraining {
    type Rejection = Problem;

    async fn from_request_parts(_: &mut Parts, app: &Arc<AppState>) -> Result<Self, Problem> {
        if app.shutdown.is_draining() {
            let detail = "This collector is shutting down; send again.";
            return Err(Problem::new(ErrorCode::ShuttingDown, detail));
        }
        Ok(Self)
    }
}

/// What an extractor, or a handler's list of them, requires of a request's key.
pub trait Security {
    /// One of these must be met; without any, no key is needed.
    #[must_use]
    fn requirements() -> Vec<SecurityRequirement> {
        Vec::new()
    }
}

impl<S: RequiredScope, K: KeyScheme> Security for Authorized<S, K> {
    fn requirements() -> Vec<SecurityRequirement> {
        let requirement = |(name, names_scope): &(&str, bool)| {
            SecurityRequirement::new(*name, names_scope.then(|| S::SCOPE.as_str()))
        };
        K::SCHEMES.iter().map(requirement).collect()
    }
}

impl Security for NotDraining {}
impl Security for HeaderMap {}
impl Security for RawQuery {}
impl Security for Body {}
impl<T> Security for State<T> {}
impl<T> Security for Extension<T> {}
impl<T, E> Security for Result<T, E> {}

/// The arguments of a handler, as axum lists them: a marker before them.
macro_rules! security_of_arguments {
    ($(($($argument:ident),*))+) => {$(
        impl<M, $($argument: Security),*> Security for (M, $($argument,)*) {
            fn requirements() -> Vec<SecurityRequirement> {
                let each: Vec<Vec<SecurityRequirement>> = vec![$($argument::requirements()),*];
                each.concat()
            }
        }
    )+};
}

security_of_arguments! { () (A) (A, B) (A, B, C) (A, B, C, D) (A, B, C, D, E) (A, B, C, D, E, F) }

/// Describes in `route` what the extractors of `handler` require.
pub fn with_security<H, T>(
    mut route: UtoipaMethodRouter<Arc<AppState>>,
    _handler: H,
) -> UtoipaMethodRouter<Arc<AppState>>
where
    H: Handler<T, Arc<AppState>>,
    T: Security,
{
    let requirements = T::requirements();
    if !requirements.is_empty() {
        let (_, paths, _) = &mut route;
        for item in paths.paths.values_mut() {
            let operations: [Option<&mut Operation>; 2] = [item.get.as_mut(), item.post.as_mut()];
            for operation in operations.into_iter().flatten() {
                operation.security = Some(requirements.clone());
            }
        }
    }
    route
}

#[cfg(test)]
mod tests {
    use axum::http::Request;
    use base64::engine::general_purpose::STANDARD;

    use super::*;

    fn keys(target: &str, authorization: Option<&str>) -> Result<Vec<String>, ErrorCode> {
        let mut request = Request::get(target);
        if let Some(value) = authorization {
            request = request.header(header::AUTHORIZATION, value);
        }
        let (parts, ()) = request.body(()).unwrap().into_parts();
        WakaTimeKey::keys(&parts).map_err(|problem| problem.code)
    }

    #[test]
    fn the_key_is_the_user_of_the_basic_scheme() {
        let sent = |value: &str| keys("/", Some(value));
        let own = Ok(vec!["key-1".to_owned()]);
        for text in ["key-1", "key-1:", "key-1:secret", " key-1\n"] {
            let value = format!("basic {}", STANDARD.encode(text));
            assert_eq!(sent(&value), own, "{text}");
        }
        assert_eq!(sent("Bearer key-1"), own);
        for bad in ["Basic key-1", "Basic /w==", "Basic AAo="] {
            assert_eq!(sent(bad), Err(ErrorCode::Unauthenticated), "{bad}");
        }
        assert_eq!(keys("/", None), Err(ErrorCode::Unauthenticated));
    }

    #[test]
    fn without_the_header_the_key_is_the_querys() {
        let unpadded = STANDARD_NO_PAD.encode("key-1");
        for query in [
            "api_key=key-1",
            "x=1&api_key=%6Bey%2D1&y",
            "api_key=&api_key=+key-1",
            &format!("api_key={}", STANDARD.encode("key-1")),
            &format!("api_key={}", STANDARD.encode("key-1").replace('=', "%3D")),
            &format!("api_key={unpadded}"),
            &format!("api_key={}", STANDARD.encode("key-1:")),
        ] {
            let found = keys(&format!("/?{query}"), None).unwrap();
            assert!(found.contains(&"key-1".to_owned()), "{query}: {found:?}");
        }
        // "~~~" has a plus sign as Base64.
        assert!(
            keys("/?api_key=fn5+", None)
                .unwrap()
                .contains(&"~~~".to_owned())
        );
        for none in [
            "",
            "api_key",
            "api_key=",
            "api_key=%20",
            "API_KEY=key-1",
            "key=key-1",
        ] {
            assert_eq!(
                keys(&format!("/?{none}"), None),
                Err(ErrorCode::Unauthenticated),
                "{none}"
            );
        }
        // The header counts, if there is one.
        assert_eq!(
            keys("/?api_key=a", Some("Bearer b")),
            Ok(vec!["b".to_owned()])
        );
        assert_eq!(
            keys("/?api_key=a", Some("b")),
            Err(ErrorCode::Unauthenticated)
        );
    }
}
