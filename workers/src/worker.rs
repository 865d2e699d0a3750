//! One worker process: opens what its role needs and runs the role's parts beside each other.

use anyhow::Context as _;
use async_nats::{Client, jetstream};
use bus::api::ApiError;
use bus::lease::Lease;
use bus::pull::PullSettings;
use bus::store_owner::StoreOwner;
use bus::worker_registry::{self, WorkerEntry};
use bus::{BindError, ConnectionSettings, stream_metrics};
use runtime::clock;
use runtime::process::Process;
use runtime::retry::RetrySettings;
use runtime::settings::UsageError;
use store::{Store, StoreError};
use tokio::task::JoinSet;
use types::event_streams::EventStreams;

use crate::alert::AlertsToPublish;
use crate::database::{DatabaseSettings, DatabaseUrl, OpenedStore};
use crate::jobs::Work;
use crate::outbox_relay::OutboxRelay;
use crate::role::WorkerRole;
use crate::settings::WorkerSettings;
use crate::watch::{self, Watch};
use crate::{
    aggregate, alert, delivery_state, health, jobs, normalize, ownership, persist, query_responder,
    retention,
};

/// Runs a role until the process stops.
///
/// # Errors
/// Returns an error if the login to NATS is given by half, if the database is in use or unusable, or if a stream or
/// consumer is missing or unsafe.
pub async fn run(
    role: WorkerRole,
    settings: WorkerSettings,
    process: Process,
) -> anyhow::Result<()> {
    let is_sqlite = matches!(settings.database.database_url, DatabaseUrl::Sqlite(_));
    if is_sqlite && role != WorkerRole::All {
        return Err(UsageError(format!(
            "On SQLite one process runs every role: start `devtrail-worker all`. For `devtrail-worker {}` as a \
             process of its own, give a --database-url postgres://….",
            role.as_str()
        ))
        .into());
    }
    let access = settings.nats.access()?;
    health::starting(&process);
    let Some(opened) = open(&settings.database, settings.retry, &process).await? else {
        return Ok(());
    };
    let actor = process.actor.to_string();
    let connection = ConnectionSettings::new(&access, &actor);
    let Some(client) = bus::connect(connection, &process.shutdown).await else {
        return Ok(());
    };
    match opened {
        OpenedStore::Sqlite { store, lock: _held } => {
            run_on(client, store, settings, process, role).await
        }
        OpenedStore::Postgres(store) => run_on(client, store, settings, process, role).await,
    }
}

/// Opens the store. A Postgres server that is away is waited for, as NATS is; a SQLite file that cannot be opened is an
/// error. Returns `None` if the process stops meanwhile.
async fn open(
    database: &DatabaseSettings,
    retry: RetrySettings,
    process: &Process,
) -> anyhow::Result<Option<OpenedStore>> {
    let is_postgres = matches!(database.database_url, DatabaseUrl::Postgres(_));
    let is_away = |error: &anyhow::Error| {
        is_postgres && error.downcast_ref().is_some_and(StoreError::is_transient)
    };
    let open = |_| async {
        match database.open().await {
            Err(error) if is_away(&error) => Err(format!("{error:#}")),
            opened => Ok(opened),
        }
    };
    let what = "the database cannot be opened";
    let opened = retry.policy().retry(what, &process.shutdown, open).await;
    opened.transpose()
}

/// Whether NATS or the store is away: worth a retry.
fn is_away(error: &anyhow::Error) -> bool {
    error.chain().any(|cause| {
        let bind = cause.downcast_ref::<BindError>();
        let store = cause.downcast_ref::<StoreError>();
        matches!(bind, Some(BindError::Api(_)))
            || cause.is::<ApiError>()
            || store.is_some_and(StoreError::is_transient)
    })
}

/// Runs the role on this store, once the streams are known to belong to it.
async fn run_on<S: Store>(
    client: Client,
    store: S,
    settings: WorkerSettings,
    process: Process,
    role: WorkerRole,
) -> anyhow::Result<()> {
    let js = jetstream::new(client.clone());
    let Some(owned) = take_streams(&js, &store, &settings, &process, role).await? else {
        return Ok(());
    };
    stream_metrics::begin_consumers(owned.streams);
    let worker = Worker {
        client,
        js,
        store,
        settings,
        process,
        owned,
        parts: JoinSet::new(),
    };
    worker.run(role).await
}

/// The streams of a store.
struct OwnedStreams {
    /// The store as their owner.
    own: StoreOwner,
    /// How many of them hold batches.
    streams: EventStreams,
}

/// Makes sure that the streams belong to this store, and that it has what was acked. What is away is waited for;
/// `None` if the process stops meanwhile.
async fn take_streams<S: Store>(
    js: &jetstream::Context,
    store: &S,
    settings: &WorkerSettings,
    process: &Process,
    role: WorkerRole,
) -> anyhow::Result<Option<OwnedStreams>> {
    let take = async || {
        let streams = bus::event_streams(js).await?;
        let own = ownership::owner_of(store, &settings.database.database_url).await?;
        ownership::claim(js, streams, store, &own).await?;
        ownership::number(js, streams, store).await?;
        if role.includes(WorkerRole::Persist) {
            let actor = process.actor.to_string();
            ownership::read_again_if_behind(js, streams, store, &actor).await?;
        }
        anyhow::Ok(OwnedStreams { own, streams })
    };
    let attempt = |_| async {
        match take().await {
            Err(error) if is_away(&error) => Err(format!("{error:#}")),
            taken => Ok(taken),
        }
    };
    let what = "whose the streams are cannot be found out";
    let policy = settings.retry.policy();
    let taken = policy.retry(what, &process.shutdown, attempt).await;
    taken.transpose()
}

/// The parts of a worker process, and what they share.
struct Worker<S> {
    client: Client,
    js: jetstream::Context,
    store: S,
    settings: WorkerSettings,
    process: Process,
    owned: OwnedStreams,
    parts: JoinSet<anyhow::Result<()>>,
}

impl<S: Store> Worker<S> {
    async fn run(mut self, role: WorkerRole) -> anyhow::Result<()> {
        let streams = self.owned.streams;
        health::running(role, streams, &self.client, &self.store, &self.process);
        if role.includes(WorkerRole::Persist) {
            self.add_persist();
        }
        if role.includes(WorkerRole::Aggregate) {
            self.add_aggregate();
        }
        if role.includes(WorkerRole::Normalize) {
            let work = normalize::NormalizeWork {
                store: self.store.clone(),
            };
            self.add_jobs(work);
        }
        if role.includes(WorkerRole::Alert) {
            self.add_alert();
        }
        self.add_watcher();
        self.add(bound(
            ownership::until_taken_over(
                self.js.clone(),
                self.owned.own.clone(),
                self.process.shutdown.clone(),
            ),
            role.as_str(),
        ));
        let entry = WorkerEntry::of(&self.process.actor, role.as_str(), clock::now());
        self.add(until_shutdown(worker_registry::send_heartbeats(
            self.js.clone(),
            entry,
            self.process.breakers.clone(),
            self.process.shutdown.clone(),
        )));
        self.until_ended().await
    }

    fn add(&mut self, part: impl Future<Output = anyhow::Result<()>> + Send + 'static) {
        self.parts.spawn(part);
    }

    fn pulling(&self) -> PullSettings {
        let settings = &self.settings;
        PullSettings {
            store: Some(self.owned.own.clone()),
            ..delivery_state::pulling(settings.retry, settings.breakers, &self.process)
        }
    }

    fn add_persist(&mut self) {
        let retry = self.settings.retry.policy();
        let shutdown = self.process.shutdown.clone();
        self.add(until_shutdown(query_responder::batches(
            self.client.clone(),
            self.store.clone(),
            self.process.actor.to_string(),
            retry,
            shutdown.clone(),
        )));
        self.add(until_shutdown(query_responder::dead_letters(
            self.client.clone(),
            self.store.clone(),
            retry,
            shutdown,
        )));
        let pulling = self.pulling();
        self.add(bound(
            persist::run(
                self.client.clone(),
                self.owned.streams,
                self.store.clone(),
                pulling,
                self.process.clone(),
            ),
            "persist",
        ));
        self.add(until_shutdown(retention::run(
            self.js.clone(),
            self.owned.streams,
            self.store.clone(),
            self.settings.retention,
            retry,
            self.process.clone(),
        )));
    }

    fn add_aggregate(&mut self) {
        self.add(until_shutdown(query_responder::metrics(
            self.client.clone(),
            self.store.clone(),
            self.settings.retry.policy(),
            self.process.shutdown.clone(),
        )));
        self.add(until_shutdown(query_responder::long_queries(
            self.client.clone(),
            self.store.clone(),
            self.settings.retry.policy(),
            self.process.shutdown.clone(),
        )));
        self.add(until_shutdown(query_responder::exports(
            self.client.clone(),
            self.store.clone(),
            self.settings.retry.policy(),
            self.process.shutdown.clone(),
        )));
        let (loaded, is_loaded) = tokio::sync::watch::channel(false);
        let work = aggregate::AggregateWork {
            store: self.store.clone(),
            timeouts: aggregate::IdleTimeouts::followed(is_loaded),
        };
        let following = aggregate::follow_settings(
            work.clone(),
            loaded,
            self.js.clone(),
            self.settings.retry.policy(),
            self.process.clone(),
        );
        self.add(until_shutdown(following));
        self.add_jobs(work);
    }

    fn add_alert(&mut self) {
        let relay = || {
            let outbox = AlertsToPublish {
                js: self.js.clone(),
                store: self.store.clone(),
            };
            let retry = self.settings.retry.policy();
            OutboxRelay::new(outbox, retry, self.process.shutdown.clone())
        };
        let work = alert::AlertWork::new(self.client.clone(), self.store.clone(), relay());
        let sweeping = sweep_alerts(relay(), self.js.clone(), self.process.actor.to_string());
        self.add(until_shutdown(sweeping));
        self.add_jobs(work);
    }

    fn add_jobs<W: Work>(&mut self, work: W) {
        let pulling = self.pulling();
        let role = jobs::run(
            self.js.clone(),
            self.owned.streams,
            self.store.clone(),
            work,
            pulling,
            self.process.clone(),
        );
        self.add(bound(role, W::KIND.as_str()));
    }

    /// Alerts to administrators: every worker process watches, the holder of the lease publishes.
    fn add_watcher(&mut self) {
        let watch = Watch {
            client: self.client.clone(),
            streams: self.owned.streams,
            store: self.store.clone(),
            folder: self.settings.database.folder(),
            monitors: self.settings.nats_monitor_url.clone(),
            ca: self.settings.nats.login.nats_ca.clone(),
            settings: self.settings.watch.clone(),
            retry: self.settings.retry.policy(),
            process: self.process.clone(),
        };
        self.add(bound(watch::run(watch), "watch"));
        let delivering = watch::deliver(
            self.js.clone(),
            self.settings.watch.clone(),
            self.settings.retry,
            self.settings.breakers,
            self.process.clone(),
        );
        self.add(async move {
            delivering
                .await
                .context("the admin webhook cannot be served")
        });
    }

    /// Waits for all parts. The first that fails stops the others in order.
    async fn until_ended(mut self) -> anyhow::Result<()> {
        let mut result = Ok(());
        while let Some(ended) = self.parts.join_next().await {
            let ended = ended.unwrap_or_else(|panic| Err(anyhow::Error::from(panic)));
            if let Err(error) = ended {
                tracing::error!(
                    error = format!("{error:#}"),
                    "a part of the worker failed; stopping the others"
                );
                self.process.shutdown.begin();
                result = result.and(Err(error));
            }
        }
        result
    }
}

/// A part that ends only when the process stops.
async fn until_shutdown(part: impl Future<Output = ()> + Send) -> anyhow::Result<()> {
    part.await;
    Ok(())
}

/// A part that fails if its stream or consumer cannot be bound.
async fn bound(
    part: impl Future<Output = Result<(), BindError>> + Send,
    role: &str,
) -> anyhow::Result<()> {
    let context = format!("the {role} role cannot start");
    Box::pin(part).await.context(context)
}

/// Publishes alerts that were left behind. A lease keeps it to one process at a time.
async fn sweep_alerts<S: Store>(
    relay: OutboxRelay<AlertsToPublish<S>>,
    js: jetstream::Context,
    actor: String,
) {
    let lease = Lease::hold(js, "alert-sweep", &actor);
    relay.sweep_until_shutdown(|| lease.is_held()).await;
    lease.release().await;
}
