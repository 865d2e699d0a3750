//! The workers: durable pull consumers that turn the stream into stored data.
//!
//! [`persist`] stores batches and publishes their jobs; [`aggregate`], [`normalize`] and [`alert`]
//! do these jobs, by way of what they share in [`jobs`]. On Postgres each role is as many processes
//! as wanted; on SQLite one process runs them all.

pub mod aggregate;
pub mod alert;
pub mod answers;
mod database;
pub mod delivery_state;
mod error_class;
mod health;
pub mod jobs;
pub mod normalize;
pub mod persist;
mod trim;
pub mod watch;

use anyhow::Context as _;
use async_nats::{Client, jetstream};
use bus::{BindError, NatsSettings};
use bus::{
    lease::Lease,
    worker_registry::{self, WorkerEntry},
};
use clap::ValueEnum;
use http_server::admin_listener::AdminListenSettings;
use runtime::breaker::BreakerSettings;
use runtime::clock;
use runtime::retry::RetrySettings;
use runtime::{process::Process, settings::UsageError};
use store::{AlertOutbox, Store, StoreError};
use tokio::task::JoinSet;

pub use database::{DatabaseSettings, DatabaseUrl, Opened};
pub use trim::TrimSettings;
use watch::Watch;
pub use watch::WatchSettings;

/// The workers' settings.
#[derive(Debug, Clone, clap::Args)]
pub struct WorkerSettings {
    /// Where NATS is.
    #[command(flatten)]
    pub nats: NatsSettings,
    /// Addresses of the nats-server's monitor, of a cluster each node's, with commas between: so that its disk is watched
    #[arg(
        long, env = "DEVTRAIL_NATS_MONITOR_URL", value_name = "URL", value_delimiter = ',',
        value_parser = runtime::settings::parse_http_url
    )]
    pub nats_monitor_url: Vec<String>,
    /// Where the store is.
    #[command(flatten)]
    pub database: DatabaseSettings,
    /// How failed steps are tried again.
    #[command(flatten)]
    pub retry: RetrySettings,
    /// When what fails is left alone.
    #[command(flatten)]
    pub breakers: BreakerSettings,
    /// What administrators are told, and where.
    #[command(flatten)]
    pub watch: WatchSettings,
    /// How long raw messages are kept.
    #[command(flatten)]
    pub trim: TrimSettings,
    /// Where administrators ask.
    #[command(flatten)]
    pub admin: AdminListenSettings,
}

/// What a worker process does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Role {
    /// Every role: the only one on SQLite, where one process writes
    All,
    /// Store batches, publish their jobs, answer queries about them
    Persist,
    /// Compute metrics, answer queries about them
    Aggregate,
    /// Normalize events
    Normalize,
    /// Evaluate rules, deliver alerts
    Alert,
}

impl Role {
    fn includes(self, part: Self) -> bool {
        self == Self::All || self == part
    }

    /// The name on the command line and in the roster.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::All => "all",
            Self::Persist => "persist",
            Self::Aggregate => "aggregate",
            Self::Normalize => "normalize",
            Self::Alert => "alert",
        }
    }
}

/// Runs a role until the process stops.
///
/// # Errors
/// Where the database is in use or unusable, or a stream or consumer is missing or unsafe.
pub async fn run(role: Role, settings: WorkerSettings, process: Process) -> anyhow::Result<()> {
    if matches!(settings.database.database_url, DatabaseUrl::Sqlite(_)) && role != Role::All {
        return Err(UsageError(format!(
            "On SQLite one process runs every role: start `devtrail-worker all`. For `devtrail-worker {}` as a \
             process of its own, give a --database-url postgres://….",
            role.as_str()
        ))
        .into());
    }
    health::starting(&process);
    let Some(opened) = open(&settings.database, settings.retry, &process).await? else {
        return Ok(());
    };
    let Some(client) = bus::connect(
        &settings.nats.nats_url,
        &process.actor.to_string(),
        &process.shutdown,
    )
    .await
    else {
        return Ok(());
    };
    match opened {
        Opened::Sqlite { store, lock: _held } => {
            run_parts(role, &client, store, &settings, &process).await
        }
        Opened::Postgres(store) => run_parts(role, &client, store, &settings, &process).await,
    }
}

/// Opens the store. A Postgres server that is away is waited for, as NATS is: `None` where the
/// process stops meanwhile. A SQLite file that cannot be opened stays so.
async fn open(
    database: &DatabaseSettings,
    retry: RetrySettings,
    process: &Process,
) -> anyhow::Result<Option<Opened>> {
    let policy = retry.policy();
    let may_come = |error: &anyhow::Error| {
        let away = error.downcast_ref().is_some_and(StoreError::is_transient);
        away && matches!(database.database_url, DatabaseUrl::Postgres(_))
    };
    for attempt in 0.. {
        match database.open().await {
            Err(error) if may_come(&error) => {
                tracing::warn!(
                    error = format!("{error:#}"),
                    attempt,
                    "waiting for the database"
                );
            }
            opened => return opened.map(Some),
        }
        tokio::select! {
            () = policy.pause(attempt) => {}
            () = process.shutdown.draining() => return Ok(None),
        }
    }
    Ok(None)
}

/// Runs the role's parts beside each other; one that fails stops the others in order.
async fn run_parts<S: Store>(
    role: Role,
    client: &Client,
    store: S,
    settings: &WorkerSettings,
    process: &Process,
) -> anyhow::Result<()> {
    let (js, retry) = (jetstream::new(client.clone()), settings.retry);
    let pulling = || delivery_state::pulling(retry, settings.breakers, process);
    health::running(role, client, &store, process);
    let mut parts = Parts::default();
    if role.includes(Role::Persist) {
        let actor = process.actor.to_string();
        parts.add(forever(answers::batches(
            client.clone(),
            store.clone(),
            actor,
            retry.policy(),
            process.shutdown.clone(),
        )));
        parts.add(forever(answers::dead_letters(
            client.clone(),
            store.clone(),
            retry.policy(),
            process.shutdown.clone(),
        )));
        parts.add(bound(
            persist::run(client.clone(), store.clone(), pulling(), process.clone()),
            "persist",
        ));
        let trimming = trim::run(
            js.clone(),
            store.clone(),
            settings.trim,
            retry.policy(),
            process.clone(),
        );
        parts.add(forever(trimming));
    }
    if role.includes(Role::Aggregate) {
        parts.add(forever(answers::metrics(
            client.clone(),
            store.clone(),
            retry.policy(),
            process.shutdown.clone(),
        )));
        let work = aggregate::Aggregating {
            store: store.clone(),
        };
        parts.add(bound(
            jobs::run(js.clone(), store.clone(), work, pulling(), process.clone()),
            "aggregate",
        ));
    }
    if role.includes(Role::Normalize) {
        let work = normalize::Normalizing {
            store: store.clone(),
        };
        parts.add(bound(
            jobs::run(js.clone(), store.clone(), work, pulling(), process.clone()),
            "normalize",
        ));
    }
    if role.includes(Role::Alert) {
        parts.add(forever(sweep_alerts(
            js.clone(),
            store.clone(),
            retry,
            process.clone(),
        )));
        let work = alert::Alerting::new(js.clone(), store.clone());
        parts.add(bound(
            jobs::run(js.clone(), store.clone(), work, pulling(), process.clone()),
            "alert",
        ));
    }
    parts.watch(client, store, settings, process);
    let entry = WorkerEntry::of(&process.actor, role.as_str(), clock::now());
    parts.add(forever(worker_registry::keep_registered(
        js,
        entry,
        process.breakers.clone(),
        process.shutdown.clone(),
    )));
    parts.run(process).await
}

/// The parts of a worker process.
#[derive(Default)]
struct Parts(JoinSet<anyhow::Result<()>>);

impl Parts {
    fn add(&mut self, part: impl Future<Output = anyhow::Result<()>> + Send + 'static) {
        self.0.spawn(part);
    }

    /// Alerts to administrators: every worker has them, one at a time looks.
    fn watch<S: Store>(
        &mut self,
        client: &Client,
        store: S,
        settings: &WorkerSettings,
        process: &Process,
    ) {
        let (client, folder) = (client.clone(), settings.database.folder());
        let (js, webhook) = (jetstream::new(client.clone()), settings.watch.clone());
        let failing = (settings.retry, settings.breakers);
        let monitors = settings.nats_monitor_url.clone();
        let (settings, process) = (settings.watch.clone(), process.clone());
        let retry = failing.0.policy();
        let watch = Watch {
            client,
            store,
            folder,
            monitors,
            settings,
            retry,
            process: process.clone(),
        };
        self.add(bound(watch::run(watch), "watch"));
        self.add(async move {
            watch::deliver(js, &webhook, failing, process)
                .await
                .context("the admin webhook cannot be served")
        });
    }

    /// Waits for all of them. The first that fails stops the others in order.
    async fn run(mut self, process: &Process) -> anyhow::Result<()> {
        let mut result = Ok(());
        while let Some(ended) = self.0.join_next().await {
            let ended = ended.unwrap_or_else(|panic| Err(anyhow::Error::from(panic)));
            if let Err(error) = ended {
                tracing::error!(
                    error = format!("{error:#}"),
                    "a part of the worker failed; stopping the others"
                );
                process.shutdown.begin();
                result = result.and(Err(error));
            }
        }
        result
    }
}

/// A part that ends only when the process stops.
async fn forever(part: impl Future<Output = ()> + Send) -> anyhow::Result<()> {
    part.await;
    Ok(())
}

/// A part that must find its stream and consumer.
async fn bound(
    part: impl Future<Output = Result<(), BindError>> + Send,
    role: &str,
) -> anyhow::Result<()> {
    let context = format!("the {role} role cannot start");
    Box::pin(part).await.context(context)
}

/// Publishes alerts that were left behind, one process at a time for all.
async fn sweep_alerts<S: AlertOutbox>(
    js: jetstream::Context,
    store: S,
    retry: RetrySettings,
    process: Process,
) {
    let lease = Lease::hold(js.clone(), "alert-sweep", &process.actor.to_string());
    let is_mine = || std::future::ready(lease.is_held());
    alert::sweep(&js, &store, retry.policy(), &process.shutdown, is_mine).await;
    lease.release().await;
}
