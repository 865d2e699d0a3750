//! `devtrail up`: nats-server, collector and workers on one folder.

mod disk_watch;
mod folder;
mod nats_server;
mod next_steps;
mod stream_bounds;

use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context as _;
use bus::{NatsAccess, NatsAddress, NatsLoginArgs, NatsSettings, sync::SyncSettings, topology};
use clap::Args;
use collector::{ClientSettings, CollectorSettings, RequestLimits};
use http_server::admin_listener::{AdminListenSettings, AdminListener};
use runtime::breaker::BreakerSettings;
use runtime::metrics;
use runtime::private_files;
use runtime::process::Process;
use runtime::retry::RetrySettings;
use runtime::schema_folder::SchemaSettings;
use runtime::settings::{Address, UsageError};
use store::{Identity, VerifyReads};
use tokio::time::timeout;
use types::event_streams::EventStreams;
use workers::ownership::{self, Adoption};
use workers::{
    DatabaseSettings, DatabaseUrl, OpenedStore, RetentionSettings, WatchSettings, WorkerRole,
    WorkerSettings,
};

use crate::administrator::administrator;
use crate::keys::{self, Grant};
use crate::streams::EventStreamsArgs;
use crate::target::Addresses;
use crate::{output, streams};
use folder::Folder;
use nats_server::Server;
use next_steps::NextSteps;

/// How long what to do next may take to be printed.
const PRINTING: Duration = Duration::from_secs(1);

/// What to start, and on which folder and ports.
#[derive(Debug, Args)]
#[command(after_long_help = "Examples:
  devtrail up
  devtrail up --data /var/lib/devtrail --listen 0.0.0.0:8787
  devtrail up --data /tmp/try --listen 127.0.0.1:0 --nats-port 0
  devtrail up --event-streams 3                 on a new folder: three streams share the developers")]
pub struct UpSettings {
    /// The folder that keeps everything
    #[arg(
        long,
        env = "DEVTRAIL_DATA",
        default_value = "devtrail-data",
        value_name = "DIR"
    )]
    data: PathBuf,
    /// Address to serve HTTP on; port 0 takes a free one
    #[arg(
        long, env = "DEVTRAIL_LISTEN", default_value = "127.0.0.1:8787", value_name = "ADDR",
        value_parser = runtime::settings::parse_address
    )]
    listen: String,
    /// Port of the nats-server on 127.0.0.1; 0 takes a free one
    #[arg(
        long,
        env = "DEVTRAIL_NATS_PORT",
        default_value_t = 4222,
        value_name = "PORT"
    )]
    nats_port: u16,
    /// The database [default: sqlite:DIR/devtrail.db]
    #[arg(
        long,
        env = "DEVTRAIL_DATABASE_URL",
        hide_env_values = true,
        value_name = "URL"
    )]
    database_url: Option<DatabaseUrl>,
    /// Let this database take the streams over from another one, for this reason (`devtrail streams adopt`); one that
    /// is empty and in the folder needs no word
    #[arg(long, value_name = "TEXT")]
    adopt: Option<String>,
    /// The nats-server to start [default: .tools/nats-server, then PATH]
    #[arg(long, env = "DEVTRAIL_NATS_SERVER", value_name = "PATH")]
    nats_server: Option<PathBuf>,
    #[command(flatten)]
    event_streams: EventStreamsArgs,
    #[command(flatten)]
    limits: RequestLimits,
    #[command(flatten)]
    clients: ClientSettings,
    #[command(flatten)]
    breakers: BreakerSettings,
    #[command(flatten)]
    schemas: SchemaSettings,
    #[command(flatten)]
    retry: RetrySettings,
    #[command(flatten)]
    retention: RetentionSettings,
    #[command(flatten)]
    admin: AdminListenSettings,
    #[command(flatten)]
    watch: WatchSettings,
}

impl UpSettings {
    fn database(&self, folder: &Folder) -> DatabaseUrl {
        let own = || DatabaseUrl::Sqlite(folder.path().join("devtrail.db"));
        self.database_url.clone().unwrap_or_else(own)
    }
}

/// Runs until the process stops.
///
/// # Errors
/// Returns an error if the folder is in use, no nats-server is found, or a part cannot start.
pub async fn run(settings: UpSettings, process: Process) -> anyhow::Result<()> {
    private_files::begin();
    // The collector reads them too, but a bad schema is reported before anything is started.
    settings.schemas.load()?;
    let folder = Folder::open(&settings.data)?;
    let mut has_data = HasData(false);
    let result = start(&settings, &folder, &process, &mut has_data).await;
    // A start that failed leaves no folder behind, unless it may hold what was acknowledged.
    if result.is_err() && !has_data.0 {
        folder.discard_if_new();
    }
    result
}

/// Whether the folder may hold events that were acknowledged, or a key that somebody has.
struct HasData(bool);

/// Starts nats-server and all services on the folder.
async fn start(
    settings: &UpSettings,
    folder: &Folder,
    process: &Process,
    has_data: &mut HasData,
) -> anyhow::Result<()> {
    let program = nats_server::find(settings.nats_server.as_deref()).await?;
    let listener = collector::listen(&settings.listen).await?;
    let admin = AdminListener::bind(&settings.admin).await?;
    metrics::install(metrics::Program::Every);
    nats_server::stop_leftover(folder.path()).await?;
    let mapped = settings.event_streams.event_streams;
    let mut server = Server::start(
        &program,
        folder.path(),
        settings.nats_port,
        mapped.unwrap_or(EventStreams::ONE),
    )
    .await?;
    let ports = server.ports();
    let addresses = Addresses {
        collector: format!("http://{}", listener.local_addr()?),
        nats: ports.nats.clone(),
        monitor: ports.monitor.clone(),
        database: settings.database(folder).to_string(),
        admin: admin.address().map(|address| format!("http://{address}")),
    };
    let work = run_services(settings, folder, listener, &addresses, &mut server, process);
    let result = admin.serve_during(process, work).await;
    // They are written once it is ready: from then on somebody may have the key.
    let was_ready = folder.has_addresses();
    folder.remove_addresses();
    has_data.0 = result.is_ok() || was_ready || has_events(&addresses).await;
    // The stream is stopped last: what was in flight has been acked or returned.
    server
        .stop()
        .await
        .context("nats-server could not be stopped")?;
    result
}

/// Whether an event stream ever took a message. Of a server that does not answer it is not known: it may have.
async fn has_events(addresses: &Addresses) -> bool {
    let has_batches = async {
        let client = bus::connect_once(&NatsAccess::open(addresses.nats()?), "devtrail").await?;
        streams::has_batches(&async_nats::jetstream::new(client)).await
    };
    has_batches.await.unwrap_or(true)
}

/// Runs collector and workers in one process, beside the nats-server.
async fn run_services(
    settings: &UpSettings,
    folder: &Folder,
    listener: tokio::net::TcpListener,
    addresses: &Addresses,
    server: &mut Server,
    process: &Process,
) -> anyhow::Result<()> {
    map_events(settings, addresses.nats()?, server, process).await?;
    let first_key = prepare(settings, folder, addresses.nats()?, process).await?;
    let nats = NatsSettings {
        nats_url: addresses.nats()?,
        login: NatsLoginArgs::default(),
    };
    let collector = CollectorSettings {
        listen: settings.listen.clone(),
        nats: nats.clone(),
        sync: SyncSettings {
            nats_monitor_url: vec![Address::new(addresses.monitor.as_str())],
            allow_unsafe_sync: false,
        },
        limits: settings.limits.clone(),
        clients: settings.clients.clone(),
        retry: settings.retry.backoff,
        breakers: settings.breakers,
        schemas: settings.schemas.clone(),
        admin: settings.admin.clone(),
    };
    let database = DatabaseSettings {
        database_url: settings.database(folder),
    };
    adopt_streams(settings, &database, &nats.nats_url, process).await?;
    let workers = WorkerSettings {
        nats,
        nats_monitor_url: vec![Address::new(addresses.monitor.as_str())],
        database,
        retry: settings.retry,
        breakers: settings.breakers,
        retention: settings.retention,
        admin: settings.admin.clone(),
        watch: settings.watch.clone(),
    };
    let tasks = async {
        // On the heap: together they are larger than a thread's stack, which a debug build copies them on.
        let collector = Box::pin(collector::run(
            collector,
            listener,
            process.part("collector"),
        ));
        let workers = Box::pin(workers::run(
            WorkerRole::All,
            workers,
            process.part("worker"),
        ));
        let ready = print_next_steps(addresses, folder, first_key.as_deref());
        // A shutdown before it is ready prints nothing.
        let ready = async {
            tokio::select! { result = ready => result, () = process.shutdown.draining() => Ok(()) }
        };
        // One part that fails stops the others in order, and is named when it does.
        let stopping = |part: &str, result: anyhow::Result<()>| {
            result.inspect_err(|error| {
                // The first one's error ends the program, which prints it; others may be logged nowhere else.
                if process.shutdown.is_draining() {
                    tracing::error!(
                        part,
                        error = format!("{error:#}"),
                        "a part failed while it stopped"
                    );
                } else {
                    tracing::info!(part, "a part failed; stopping the others");
                }
                process.shutdown.begin();
            })
        };
        let (collector, workers, ready) = tokio::join!(
            async { stopping("collector", collector.await) },
            async { stopping("workers", workers.await) },
            async { stopping("start", ready.await) }
        );
        collector.and(workers).and(ready)
    };
    tokio::select! {
        result = tasks => result,
        never = server.keep_alive() => never,
    }
}

/// Has the server map batches to the event streams that the folder has, or gets.
async fn map_events(
    settings: &UpSettings,
    nats: NatsAddress,
    server: &mut Server,
    process: &Process,
) -> anyhow::Result<()> {
    let client = bus::connect_once(&NatsAccess::open(nats), &process.actor.to_string()).await?;
    let js = async_nats::jetstream::new(client);
    let streams = streams::wanted(&js, settings.event_streams).await?;
    server.map_to(streams).await
}

/// Makes streams, consumers and the first key; returns the key if it was made now.
async fn prepare(
    settings: &UpSettings,
    folder: &Folder,
    nats: NatsAddress,
    process: &Process,
) -> anyhow::Result<Option<String>> {
    let client = bus::connect_once(&NatsAccess::open(nats), &process.actor.to_string()).await?;
    let js = async_nats::jetstream::new(client);
    let event_streams = streams::wanted(&js, settings.event_streams).await?;
    let mut declared = topology::declared(event_streams);
    let free = disk_watch::free_bytes(folder.path())?;
    if bus::existing_event_streams(&js).await?.is_none() {
        stream_bounds::ensure_enough(free).with_context(|| folder.path().display().to_string())?;
    }
    stream_bounds::fit(&mut declared, free);
    let changes = streams::make(&js, &declared).await?;
    tracing::debug!(?changes, "streams and consumers are as declared");
    let bucket = keys::stored::bucket(&js).await?;
    folder
        .first_key(async || keys::create(&bucket, "me".parse()?, &Grant::default()).await)
        .await
}

/// An empty database in the folder takes the streams over by itself: NATS and database are one here, so the file was
/// removed, or lost. What was acknowledged is all in EVENTS, and is read again. Any other database needs `--adopt`.
async fn adopt_streams(
    settings: &UpSettings,
    database: &DatabaseSettings,
    nats_url: &NatsAddress,
    process: &Process,
) -> anyhow::Result<()> {
    let client = bus::connect_once(
        &NatsAccess::open(nats_url.clone()),
        &process.actor.to_string(),
    )
    .await?;
    let js = async_nats::jetstream::new(client);
    match database.open().await? {
        OpenedStore::Sqlite { store, lock: _held } => {
            let is_lost = settings.database_url.is_none() && store.is_empty().await?;
            adopt_with(&js, &store, settings, database, is_lost, process).await
        }
        OpenedStore::Postgres(store) => {
            adopt_with(&js, &store, settings, database, false, process).await
        }
    }
}

async fn adopt_with<S: Identity + VerifyReads>(
    js: &async_nats::jetstream::Context,
    store: &S,
    settings: &UpSettings,
    database: &DatabaseSettings,
    is_lost: bool,
    process: &Process,
) -> anyhow::Result<()> {
    let own = ownership::owner_of(store, &database.database_url).await?;
    let event_streams = bus::event_streams(js).await?;
    let Err(refusal) = ownership::claim(js, event_streams, store, &own).await else {
        return Ok(());
    };
    let shown = own.database.clone();
    let reason = match &settings.adopt {
        Some(reason) => reason.clone(),
        None if is_lost && refusal.is::<UsageError>() => {
            tracing::warn!(
                database = shown,
                "the database is gone, and a new one takes its place: EVENTS is read into it again from its first \
                 message. If the old one exists, stop `devtrail up` and put it back"
            );
            format!("the database {shown} was gone when `devtrail up` started")
        }
        None if refusal.is::<UsageError>() => {
            return Err(UsageError(format!(
                "{refusal} Under `devtrail up`, start it with --adopt TEXT instead."
            ))
            .into());
        }
        None => return Err(refusal),
    };
    let adoption = Adoption {
        by: administrator(),
        reason,
        actor: process.actor.to_string(),
    };
    ownership::adopt(js, event_streams, store, own, adoption).await?;
    Ok(())
}

/// Prints what a person may do next, once a batch would be accepted.
async fn print_next_steps(
    addresses: &Addresses,
    folder: &Folder,
    first_key: Option<&str>,
) -> anyhow::Result<()> {
    let url = &addresses.collector;
    folder.wait_until_ready(url).await?;
    folder.write_addresses(addresses)?;
    tracing::info!(url, "ready");
    let steps = NextSteps {
        url,
        folder: folder.path(),
        key_is_new: first_key.is_some(),
    };
    // A path is made absolute, so that it can be pasted in any folder; a name is looked up on PATH.
    let called = std::env::args().next().unwrap_or_default();
    let absolute = || Some(std::path::absolute(&called).ok()?.display().to_string());
    let program = if called.contains('/') {
        absolute().unwrap_or(called)
    } else {
        called
    };
    show(steps.text(&program)).await;
    Ok(())
}

/// Prints for a person what may be nobody's: a stdout that is full, closed or read by nobody stops no service.
async fn show(text: String) {
    let printing = tokio::task::spawn_blocking(move || output::line(text));
    match timeout(PRINTING, printing).await {
        Ok(Ok(Ok(()))) => {}
        Ok(Ok(Err(error))) => tracing::warn!(%error, "what to do next could not be shown"),
        Ok(Err(error)) => tracing::warn!(%error, "what to do next could not be shown"),
        Err(_) => tracing::warn!("what to do next could not be shown: nobody reads stdout"),
    }
}
