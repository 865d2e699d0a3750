//! `--admin-listen`: health and metrics of a process, for its administrators, on an address of its own.
//!
//! Small on purpose: one request a connection, bounded in connections and time.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::Context as _;
use axum::extract::State;
use axum::routing::get;
use axum::{Json, Router, middleware};
use runtime::process::Process;
use runtime::settings::parse_address;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::error_code::ErrorCode;
use crate::health::{self, Health};
use crate::layers::with_request_ids;
use crate::problem::Problem;
use crate::quota::QuotaShare;
use crate::serve::{ServeOptions, serve};

/// The address for administrators.
#[derive(Debug, Clone, Default, clap::Args)]
pub struct AdminListenSettings {
    /// Address for administrators: /health/live, /health/ready, /metrics; port 0 takes a free one [default: none]
    #[arg(
        long, env = "DEVTRAIL_ADMIN_LISTEN", value_name = "ADDR", help_heading = "Health and metrics",
        value_parser = parse_address
    )]
    pub admin_listen: Option<String>,
}

/// The bound address, if the settings name one.
pub struct AdminListener(Option<TcpListener>);

impl AdminListener {
    /// Binds the address that the settings name.
    ///
    /// # Errors
    /// Returns the system's error if the address is in use or not this machine's.
    pub async fn bind(settings: &AdminListenSettings) -> anyhow::Result<Self> {
        let Some(address) = &settings.admin_listen else {
            return Ok(Self(None));
        };
        let listener = TcpListener::bind(address).await.with_context(|| {
            format!("The address {address} cannot be listened on; choose another with --admin-listen, such as \
                127.0.0.1:0")
        })?;
        Ok(Self(Some(listener)))
    }

    /// The address in use, if there is one.
    #[must_use]
    pub fn address(&self) -> Option<SocketAddr> {
        self.0.as_ref()?.local_addr().ok()
    }

    /// Answers for `process` as long as `work` goes on, its last steps included.
    ///
    /// # Errors
    /// Returns the error of `work`.
    pub async fn serve_during<T>(
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
        // Neither is ever cancelled: a process is looked at while it shuts down, too.
        let drain = CancellationToken::new();
        let abort = CancellationToken::new();
        let served = serve(listener, router(process.clone()), options(), drain, abort);
        tokio::pin!(work);
        tokio::select! {
            result = &mut work => result,
            () = served => work.await,
        }
    }
}

fn options() -> ServeOptions {
    ServeOptions {
        header_timeout: Duration::from_secs(5),
        connection_timeout: Some(Duration::from_secs(15)),
        keep_alive: false,
        max_header: 16 * 1024,
        max_connections: 16,
        // All who look may do so from one machine.
        address_share: QuotaShare::ALL,
        max_turned_away: 4,
        ..ServeOptions::default()
    }
}

fn router(process: Process) -> Router {
    Router::new()
        .route("/health/live", get(async || Health::LIVE))
        .route("/health/ready", get(ready))
        .route("/metrics", get(async |State(process): State<Process>| health::metrics(&process).await))
        .fallback(async || {
            let detail = "There is nothing at this path; there are /health/live, /health/ready and /metrics.";
            Problem::new(ErrorCode::NotFound, detail)
        })
        .method_not_allowed_fallback(async || {
            Problem::new(ErrorCode::MethodNotAllowed, "This path takes GET only.")
        })
        .layer(middleware::from_fn(with_request_ids))
        .with_state(process)
}

async fn ready(State(process): State<Process>) -> Result<Json<Health>, Problem> {
    match process.ready().await {
        Ok(()) => Ok(Health::READY),
        Err(reason) => Err(health::not_ready(&reason)),
    }
}
