//! The collector: admit a batch, publish it, answer once it is on disk.
//!
//! A request meets, in this order: [`serve`] (connection), `routes::events` (checks and reply), `auth`
//! (who), `body` (bytes within limits), [`types::formats`] (what it says; pure), [`types::admission`] (verdicts; pure), `rate`
//! (events of the key), [`publish`] (PubAck); where the client prefers it, `wait` (until it is stored). What is
//! stored is asked of the workers, by `ask`. `openapi` describes the routes.

mod app;
mod ask;
mod auth;
mod body;
mod descriptors;
pub mod incarnation;
mod notes;
mod openapi;
mod prefer;
pub mod publish;
mod rate;
mod recover;
mod room;
mod routes;
mod wait;

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use async_nats::jetstream;
use bus::stream_metrics::Streams;
use bus::worker_registry::{self, COLLECTOR, WorkerEntry};
use bus::{BindError, NatsSettings, sync::SyncSettings};
use http_server::admin_listener::AdminListenSettings;
use runtime::breaker::BreakerSettings;
use runtime::clock;
use runtime::metrics::{self, Program};
use runtime::retry::RetryPolicy;
use runtime::schema_folder::SchemaSettings;
use runtime::{
    process::Process,
    settings::{parse_duration, parse_rate},
};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use types::stream::StreamIncarnation;

pub use openapi::document as openapi;
pub use room::RoomSettings;

use app::{App, Stream};
use ask::Asker;
use http_server::serve::{ServeOptions, serve};
use incarnation::SeenIncarnation;
use publish::Publisher;
use wait::Hints;

/// The collector's settings.
#[derive(Debug, Clone, clap::Args)]
pub struct CollectorSettings {
    /// Address to serve HTTP on; port 0 takes a free one
    #[arg(
        long, env = "DEVTRAIL_LISTEN", default_value = "127.0.0.1:8787", value_name = "ADDR",
        value_parser = runtime::settings::parse_address
    )]
    pub listen: String,
    /// Where NATS is.
    #[command(flatten)]
    pub nats: NatsSettings,
    /// Whether NATS keeps its promises.
    #[command(flatten)]
    pub sync: SyncSettings,
    /// The bounds of a request.
    #[command(flatten)]
    pub limits: Limits,
    /// The pauses before what failed is tried again.
    #[command(flatten)]
    pub pauses: RetryPolicy,
    /// When the stream is left alone.
    #[command(flatten)]
    pub breakers: BreakerSettings,
    /// What events may look like.
    #[command(flatten)]
    pub schemas: SchemaSettings,
    /// Where administrators ask.
    #[command(flatten)]
    pub admin: AdminListenSettings,
}

/// The bounds of a request.
#[derive(Debug, Clone, clap::Args)]
#[command(next_help_heading = "Limits")]
pub struct Limits {
    /// Most events in a batch
    #[arg(
        long,
        env = "DEVTRAIL_MAX_EVENTS",
        default_value_t = 1000,
        value_name = "N"
    )]
    pub max_events: usize,
    /// Most events a second for each key that has no rate of its own, in this process; 0: no limit
    #[arg(long, env = "DEVTRAIL_RATE", default_value = "50000", value_name = "N", value_parser = parse_rate)]
    pub rate: u32,
    /// Most bytes in a body, inflated
    #[arg(long, env = "DEVTRAIL_MAX_BODY", default_value_t = 4 * 1024 * 1024, value_name = "BYTES")]
    pub max_body: usize,
    /// A body may inflate to this many times its size
    #[arg(
        long,
        env = "DEVTRAIL_MAX_RATIO",
        default_value_t = 100,
        value_name = "N"
    )]
    pub max_ratio: usize,
    /// How long a request's header may take to arrive
    #[arg(long, env = "DEVTRAIL_HEADER_TIMEOUT", default_value = "10s", value_name = "TIME", value_parser = parse_duration)]
    pub header_timeout: Duration,
    /// How long a request's body may take to arrive
    #[arg(long, env = "DEVTRAIL_BODY_TIMEOUT", default_value = "30s", value_name = "TIME", value_parser = parse_duration)]
    pub body_timeout: Duration,
    /// How long the stream may take to confirm a batch
    #[arg(long, env = "DEVTRAIL_PUBLISH_TIMEOUT", default_value = "10s", value_name = "TIME", value_parser = parse_duration)]
    pub publish_timeout: Duration,
    /// What is taken in hand at once.
    #[command(flatten)]
    pub room: RoomSettings,
}

/// Takes the address to serve on.
///
/// # Errors
/// Where it is taken or not this machine's.
pub async fn listen(address: &str) -> anyhow::Result<TcpListener> {
    TcpListener::bind(address).await.with_context(|| {
        format!(
            "The address {address} cannot be listened on; choose another with --listen, such as 127.0.0.1:0"
        )
    })
}

/// Serves until the process stops.
///
/// # Errors
/// Where a setting or a schema file is not usable, the stream is missing or unsafe, or the server does not sync always.
pub async fn run(
    settings: CollectorSettings,
    listener: TcpListener,
    process: Process,
) -> anyhow::Result<()> {
    settings
        .limits
        .room
        .expect_room_for(settings.limits.max_body)?;
    let schemas = settings.schemas.load()?;
    let (loaded, keys_loaded) = watch::channel(false);
    metrics::install(Program::Collector);
    let app = App::new(
        settings.limits.clone(),
        settings.breakers,
        schemas,
        keys_loaded,
        &process,
    );
    let app = Arc::new(App {
        hides_metrics: settings.admin.admin_listen.is_some(),
        ..app
    });
    let asked = app.clone();
    process
        .health
        .check("collector", move || std::future::ready(asked.check()));
    let options = ServeOptions {
        header_timeout: app.limits.header_timeout,
        max_connections: descriptors::connections(app.limits.room.max_connections),
        ..ServeOptions::default()
    };
    let (drain, abort) = (
        process.shutdown.drain_token(),
        process.shutdown.abort_token(),
    );
    tracing::info!(address = %listener.local_addr()?, "collector listens");
    let served = serve(listener, routes::router(app.clone()), options, drain, abort);
    tokio::pin!(served);
    // Served from the start, not ready: whoever looks at /health sees what is missing.
    let connected = tokio::select! {
        () = &mut served => return Ok(()),
        connected = connect(&settings, &process) => connected?,
    };
    let Some((client, js, incarnation, reconnected)) = connected else {
        served.await;
        return Ok(());
    };
    Streams(js.clone()).follow(&process.health);
    let incarnation = Arc::new(SeenIncarnation::new(js.clone(), incarnation));
    let hints = Arc::new(Hints::new(process.actor.instance()));
    // Before the first publish on this connection: no hint can be missed.
    let hinted = hints
        .subscribe(&client)
        .await
        .context("Hints from the workers cannot be subscribed")?;
    let (notes, left) = notes::channel();
    let finished = CancellationToken::new();
    let pauses = settings.pauses;
    let follow_keys = app
        .keys
        .clone()
        .follow(js.clone(), loaded, pauses, process.shutdown.clone());
    let recover = recover::run(
        js.clone(),
        app.breaker.clone(),
        reconnected,
        pauses,
        process.shutdown.clone(),
    );
    let follow_hints = hints.follow(hinted, finished.clone());
    let send_notes = notes::run(left, client.clone(), incarnation.clone(), finished.clone());
    let (deadline, asker) = (app.limits.publish_timeout, Asker::new(client.clone()));
    let publisher = Publisher::new(
        js.clone(),
        incarnation.clone(),
        app.breaker.clone(),
        (deadline, pauses),
    );
    let entry = WorkerEntry::of(&process.actor, COLLECTOR, clock::now());
    let announced = worker_registry::keep_registered(
        js.clone(),
        entry,
        process.breakers.clone(),
        process.shutdown.clone(),
    );
    app.stream.get_or_init(|| Stream {
        client,
        js,
        incarnation,
        publisher,
        hints: hints.clone(),
        notes,
        asker,
    });
    // Requests in flight still need hints and leave notes, so these end after them.
    let serve_all = async {
        served.await;
        finished.cancel();
    };
    tokio::join!(
        serve_all,
        follow_keys,
        follow_hints,
        send_notes,
        announced,
        recover
    );
    Ok(())
}

/// What the collector works with, and each connection from now on.
type Connected = (
    async_nats::Client,
    jetstream::Context,
    StreamIncarnation,
    watch::Receiver<()>,
);

async fn connect(
    settings: &CollectorSettings,
    process: &Process,
) -> anyhow::Result<Option<Connected>> {
    let (url, actor, pauses) = (
        &settings.nats.nats_url,
        process.actor.to_string(),
        settings.pauses,
    );
    let (tell, connected) = watch::channel(());
    let Some(client) = bus::connect_telling(url, &actor, (pauses, tell), &process.shutdown).await
    else {
        return Ok(None);
    };
    bus::sync::check(&client, url, &settings.sync).await?;
    let js = jetstream::new(client.clone());
    for attempt in 0.. {
        match bus::bind_stream(&js, bus::EVENTS).await {
            Ok(incarnation) => return Ok(Some((client, js, incarnation, connected))),
            // Such as a cluster that elects its leader: over in a moment.
            Err(BindError::Api(error)) => {
                tracing::warn!(%error, attempt, "cannot bind; trying again")
            }
            Err(error) => return Err(error.into()),
        }
        tokio::select! {
            () = pauses.pause(attempt) => {}
            () = process.shutdown.draining() => return Ok(None),
        }
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_pauses_it_makes_is_the_administrators() {
        #[derive(clap::Parser)]
        struct Program {
            #[command(flatten)]
            settings: CollectorSettings,
        }
        let own = ["x", "--retry-base", "70ms", "--retry-cap", "3s"];
        let of = |given: &[&str]| <Program as clap::Parser>::parse_from(given).settings.pauses;
        assert_eq!(
            of(&own),
            RetryPolicy {
                base: Duration::from_millis(70),
                cap: Duration::from_secs(3)
            }
        );
        assert_eq!(of(&own[..1]), RetryPolicy::DEFAULT);
    }
}
