//! How the collector starts, runs and ends.

use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::Context as _;
use async_nats::jetstream;
use bus::stream_metrics::StreamMetrics;
use bus::worker_registry::{self, COLLECTOR, WorkerEntry};
use bus::{BindError, ConnectionSettings, NatsAccess};
use futures_util::future::join_all;
use http_server::serve::{ServeOptions, serve};
use runtime::clock;
use runtime::metrics::{self, Program};
use runtime::process::Process;
use tokio::net::{TcpListener, TcpSocket};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::alert_log::AlertLog;
use crate::app_state::{AppState, EventsStream, LoadedBuckets};
use crate::audit_notes::{AuditNoteSender, AuditNotes};
use crate::breaker_recovery::BreakerRecovery;
use crate::cors::CorsOrigins;
use crate::file_descriptors::{self, Sockets};
use crate::partitions::{PartitionSettings, Partitions};
use crate::publisher::PublishSettings;
use crate::query_client::QueryClient;
use crate::routes;
use crate::settings::CollectorSettings;
use crate::stored_wait::Notifications;
use bus::bucket_mirror;

/// Connections that wait to be accepted; the kernel allows no more than `net.core.somaxconn`. A flood of them is
/// refused one by one, so those behind it must find room meanwhile.
const BACKLOG: u32 = 65_535;

/// Binds the address to serve on.
///
/// # Errors
/// Returns the system's error if the address is in use or not this machine's.
pub async fn listen(address: &str) -> anyhow::Result<TcpListener> {
    bind(address).await.with_context(|| {
        format!(
            "The address {address} cannot be listened on; choose another with --listen, such as 127.0.0.1:0"
        )
    })
}

/// Binds the first address that `address` names and this machine has.
async fn bind(address: &str) -> std::io::Result<TcpListener> {
    let mut last = std::io::Error::from(std::io::ErrorKind::AddrNotAvailable);
    for address in tokio::net::lookup_host(address).await? {
        let socket = match address {
            SocketAddr::V4(_) => TcpSocket::new_v4()?,
            SocketAddr::V6(_) => TcpSocket::new_v6()?,
        };
        socket.set_reuseaddr(true)?;
        match socket.bind(address).and_then(|()| socket.listen(BACKLOG)) {
            Ok(listener) => return Ok(listener),
            Err(error) => last = error,
        }
    }
    Err(last)
}

/// Serves until the process shuts down.
///
/// # Errors
/// Returns an error if a setting or a schema file is not usable, if the stream is missing or unsafe, or if the server
/// does not sync always.
pub async fn run(
    settings: CollectorSettings,
    listener: TcpListener,
    process: Process,
) -> anyhow::Result<()> {
    settings
        .limits
        .overload
        .expect_fits(settings.limits.max_body)?;
    let access = settings.nats.access()?;
    let schemas = settings.schemas.load()?;
    let (keys_loaded, keys) = watch::channel(false);
    let (settings_loaded, settings_known) = watch::channel(false);
    let loaded = LoadedBuckets {
        keys,
        settings: settings_known,
    };
    metrics::install(Program::Collector);
    let mut limits = settings.limits.clone();
    let sockets = file_descriptors::sockets(Sockets {
        connections: limits.overload.max_connections,
        alert_streams: limits.overload.max_alert_streams,
    });
    limits.overload.max_alert_streams = sockets.alert_streams;
    let app = AppState::new(limits, schemas, loaded, &process);
    let app = Arc::new(AppState {
        hides_metrics: settings.admin.admin_listen.is_some(),
        ..app
    });
    let checked = app.clone();
    process
        .health
        .check("collector", move || std::future::ready(checked.check()));
    let options = ServeOptions {
        header_timeout: app.limits.header_timeout,
        write_timeout: app.limits.write_timeout,
        max_connections: sockets.connections,
        address_share: app.limits.overload.address_share,
        trusted_proxies: settings.clients.trusted_proxy.iter().copied().collect(),
        ..ServeOptions::default()
    };
    let drain = process.shutdown.drain_token();
    let abort = process.shutdown.abort_token();
    tracing::info!(address = %listener.local_addr()?, "collector listens");
    let origins = CorsOrigins::new(&settings.clients.cors_origin);
    let router = routes::router(app.clone(), origins);
    let served = serve(listener, router, options, drain, abort);
    tokio::pin!(served);
    // Served from the start, not ready: `/health/ready` names what is missing.
    let connected = tokio::select! {
        () = &mut served => return Ok(()),
        connected = NatsConnection::open(&access, &settings, &process) => connected?,
    };
    let Some(connection) = connected else {
        served.await;
        return Ok(());
    };
    let NatsConnection {
        client,
        js,
        partitions,
        connected,
    } = connection;
    StreamMetrics::new(js.clone(), partitions.streams()).follow(&process.health);
    let partitions = Arc::new(partitions);
    let notifications = Arc::new(Notifications::new(process.actor.instance()));
    // Before the first publish on this connection: no notification can be missed.
    let subscriber = notifications
        .subscribe(&client)
        .await
        .context("Notifications from the workers cannot be subscribed to")?;
    let (notes, queued) = AuditNotes::queue();
    // Ends what requests in flight still need.
    let finished = CancellationToken::new();
    let retry = settings.retry;
    let shutdown = &process.shutdown;
    // On the heap, like all that a debug build would copy on the stack.
    let follow_keys = Box::pin(bucket_mirror::follow(
        app.keys.clone(),
        js.clone(),
        keys_loaded,
        retry,
        shutdown.clone(),
    ));
    let follow_settings = Box::pin(bucket_mirror::follow(
        app.settings.clone(),
        js.clone(),
        settings_loaded,
        retry,
        shutdown.clone(),
    ));
    let follow_alerts = Box::pin(app.alert_feed.clone().follow(
        js.clone(),
        connected.clone(),
        retry,
        shutdown.clone(),
    ));
    let recoveries = partitions.all().iter().map(|partition| {
        let recovery = BreakerRecovery {
            js: js.clone(),
            stream: partition.stream,
            breaker: partition.breaker.clone(),
            connected: connected.clone(),
            retry,
            shutdown: shutdown.clone(),
        };
        recovery.run()
    });
    let recoveries = join_all(recoveries);
    let follow_notifications = notifications.follow(subscriber, finished.clone());
    let note_sender = AuditNoteSender {
        queued,
        client: client.clone(),
        partitions: partitions.clone(),
    };
    let entry = WorkerEntry::of(&process.actor, COLLECTOR, clock::now());
    let registered = worker_registry::send_heartbeats(
        js.clone(),
        entry,
        process.breakers.clone(),
        shutdown.clone(),
    );
    app.stream.get_or_init(|| EventsStream {
        queries: QueryClient::new(client.clone()),
        alert_log: AlertLog::new(js.clone()),
        client,
        js: js.clone(),
        partitions: partitions.clone(),
        notifications: notifications.clone(),
        notes,
    });
    let serve_to_the_end = async {
        served.await;
        finished.cancel();
    };
    tokio::join!(
        serve_to_the_end,
        follow_keys,
        follow_settings,
        follow_alerts,
        follow_notifications,
        note_sender.run(finished.clone()),
        registered,
        recoveries
    );
    Ok(())
}

/// A connection to NATS whose event streams were bound.
struct NatsConnection {
    client: async_nats::Client,
    js: jetstream::Context,
    partitions: Partitions,
    /// Changes with each further connection that the client makes.
    connected: watch::Receiver<()>,
}

impl NatsConnection {
    /// `None` if the process begins to shut down first.
    async fn open(
        access: &NatsAccess,
        settings: &CollectorSettings,
        process: &Process,
    ) -> anyhow::Result<Option<Self>> {
        let actor = process.actor.to_string();
        let (tell, connected) = watch::channel(());
        let connection = ConnectionSettings {
            retry: settings.retry,
            connected: Some(tell),
            ..ConnectionSettings::new(access, &actor)
        };
        let Some(client) = bus::connect(connection, &process.shutdown).await else {
            return Ok(None);
        };
        bus::sync::check(&client, access, &settings.sync).await?;
        let js = jetstream::new(client.clone());
        let publish = PartitionSettings {
            publish: PublishSettings {
                timeout: settings.limits.publish_timeout,
                retry: settings.retry,
            },
            breaker: settings.breakers,
        };
        let bind = |_| async {
            match Partitions::bind(&js, &process.breakers, publish).await {
                // Such as a cluster that elects its leader: over in a moment.
                Err(BindError::Api(error)) => Err(error),
                bound => Ok(bound),
            }
        };
        let what = "cannot bind to the stream";
        let bound = settings.retry.retry(what, &process.shutdown, bind).await;
        let Some(partitions) = bound.transpose()? else {
            return Ok(None);
        };
        Ok(Some(Self {
            partitions,
            client,
            js,
            connected,
        }))
    }
}
