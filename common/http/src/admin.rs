//! `--admin-listen`: health and metrics of a process, for its administrators, on an address of its own.
//!
//! Small on purpose: HTTP/1.1, `GET`, one request a connection, bounded in connections and time.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use bytes::Bytes;
use http::header::{ALLOW, CONTENT_TYPE, RETRY_AFTER};
use http::{HeaderValue, Method, Request, Response, StatusCode};
use http_body_util::Full;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use serde_json::json;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::time::timeout;

use runtime::health::NotReady;
use runtime::process::Process;
use runtime::settings::parse_address;
use types::id;

/// Connections served at once; more wait to be accepted.
const CONNECTIONS: usize = 16;
/// How long a request's header may take to arrive.
const HEADER_TIMEOUT: Duration = Duration::from_secs(5);
/// How long a connection lives, its reply read included.
const CONNECTION_TIMEOUT: Duration = Duration::from_secs(15);
/// The pause after an accept that failed, such as for lack of file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// Bytes of a request's header.
const MAX_HEADER: usize = 16 * 1024;

/// The media type of Prometheus's text format.
pub const TEXT: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Where administrators ask.
#[derive(Debug, Clone, Default, clap::Args)]
pub struct AdminSettings {
    /// Address for administrators: /health/live, /health/ready, /metrics; port 0 takes a free one [default: none]
    #[arg(
        long, env = "DEVTRAIL_ADMIN_LISTEN", value_name = "ADDR", help_heading = "Settings and logs",
        value_parser = parse_address
    )]
    pub admin_listen: Option<String>,
}

/// The address, where one is wanted, taken.
pub struct Admin(Option<TcpListener>);

impl Admin {
    /// Takes the address that the settings name.
    ///
    /// # Errors
    /// Where it is taken or not this machine's.
    pub async fn listen(settings: &AdminSettings) -> anyhow::Result<Self> {
        let Some(address) = &settings.admin_listen else {
            return Ok(Self(None));
        };
        let listener = TcpListener::bind(address).await.with_context(|| {
            format!("The address {address} cannot be listened on; choose another with --admin-listen, such as 127.0.0.1:0")
        })?;
        Ok(Self(Some(listener)))
    }

    /// The address in use, where there is one.
    #[must_use]
    pub fn address(&self) -> Option<SocketAddr> {
        self.0.as_ref()?.local_addr().ok()
    }

    /// Answers for `process` as long as `work` goes on, its last steps included.
    ///
    /// # Errors
    /// Those of `work`.
    pub async fn beside<T>(
        self,
        process: &Process,
        work: impl Future<Output = anyhow::Result<T>>,
    ) -> anyhow::Result<T> {
        if let Some(address) = self.address() {
            tracing::info!(%address, "health and metrics are served");
        }
        let Some(listener) = self.0 else {
            return work.await;
        };
        tokio::select! {
            result = work => result,
            never = serve(listener, process) => match never {},
        }
    }
}

async fn serve(listener: TcpListener, process: &Process) -> Infallible {
    let places = Arc::new(Semaphore::new(CONNECTIONS));
    loop {
        let place = places
            .clone()
            .acquire_owned()
            .await
            .expect("nobody closes the semaphore");
        match listener.accept().await {
            Ok((stream, _)) => {
                let process = process.clone();
                tokio::spawn(async move {
                    let _held = place;
                    if timeout(CONNECTION_TIMEOUT, connection(stream, process))
                        .await
                        .is_err()
                    {
                        tracing::debug!(
                            "a connection for administrators took longer than {CONNECTION_TIMEOUT:?}"
                        );
                    }
                });
            }
            Err(error) => {
                tracing::warn!(%error, "no connection for administrators can be accepted, trying again");
                tokio::time::sleep(ACCEPT_PAUSE).await; // sleep: nothing tells when descriptors are free again
            }
        }
    }
}

async fn connection(stream: TcpStream, process: Process) {
    let service = service_fn(move |request| {
        let process = process.clone();
        async move { Ok::<_, Infallible>(answer(&request, &process).await) }
    });
    let served = hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADER_TIMEOUT)
        .max_buf_size(MAX_HEADER)
        .keep_alive(false)
        .serve_connection(TokioIo::new(stream), service)
        .await;
    if let Err(error) = served {
        tracing::debug!(%error, "a connection for administrators broke off");
    }
}

async fn answer<B>(request: &Request<B>, process: &Process) -> Response<Full<Bytes>> {
    let path = request.uri().path();
    if !["/health/live", "/health/ready", "/metrics"].contains(&path) {
        let detail =
            "There is nothing at this path; there are /health/live, /health/ready and /metrics.";
        return problem(
            StatusCode::NOT_FOUND,
            "not_found",
            "There is nothing here",
            detail,
        );
    }
    if request.method() != Method::GET && request.method() != Method::HEAD {
        let title = "The method is not allowed here";
        let detail = "This path takes GET only.";
        let mut refusal = problem(
            StatusCode::METHOD_NOT_ALLOWED,
            "method_not_allowed",
            title,
            detail,
        );
        refusal
            .headers_mut()
            .insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
        return refusal;
    }
    match path {
        "/metrics" => respond(StatusCode::OK, TEXT, process.metrics().await),
        "/health/live" => respond(
            StatusCode::OK,
            "application/json",
            json!({"status": "live"}).to_string(),
        ),
        _ => match process.ready().await {
            Ok(()) => respond(
                StatusCode::OK,
                "application/json",
                json!({"status": "ready"}).to_string(),
            ),
            Err(NotReady { code, reason }) => {
                let detail = format!("Not ready: {reason}.");
                problem(
                    StatusCode::SERVICE_UNAVAILABLE,
                    code,
                    "The process is not ready",
                    &detail,
                )
            }
        },
    }
}

fn respond(status: StatusCode, media: &'static str, body: String) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(body)));
    *response.status_mut() = status;
    response
        .headers_mut()
        .insert(CONTENT_TYPE, HeaderValue::from_static(media));
    response
}

/// A refusal as the collector makes them (RFC 9457).
fn problem(status: StatusCode, code: &str, title: &str, detail: &str) -> Response<Full<Bytes>> {
    let is_unavailable = status == StatusCode::SERVICE_UNAVAILABLE;
    let mut body = json!({
        "type": format!("https://devtrail.dev/problems/{code}"),
        "title": title,
        "status": status.as_u16(),
        "detail": detail,
        "code": code,
        "retryable": is_unavailable,
        "correlation_id": id::correlation_id(None),
    });
    if is_unavailable {
        body["retry_after_ms"] = json!(1000);
    }
    let mut response = respond(status, "application/problem+json", body.to_string());
    if is_unavailable {
        response
            .headers_mut()
            .insert(RETRY_AFTER, HeaderValue::from_static("1"));
    }
    response
}
