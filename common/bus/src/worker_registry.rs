//! The worker registry: which processes are alive, by their heartbeats in the bucket `workers`.
//!
//! The server drops an entry that was not renewed for the bucket's `max_age`: a process that dies
//! disappears from the registry by itself.

use std::time::Duration;

use async_nats::jetstream::{self, kv};
use futures_util::TryStreamExt as _;
use serde::{Deserialize, Serialize};

use runtime::breaker::{BreakerReport, Breakers};
use runtime::retry::RetryPolicy;
use runtime::{process::Actor, shutdown::Shutdown};
use types::time::{Micros, rfc3339};

/// The bucket's name.
pub const BUCKET: &str = "workers";

/// The role of a collector's entry.
pub const COLLECTOR: &str = "collector";

/// An entry is renewed this often within its lifetime, so that one lost renewal does no harm.
pub(crate) const RENEWALS: u32 = 3;
/// The lifetime of an entry if the bucket sets none: as `nats/streams/KV_workers.json` has it.
const DEFAULT_LIFETIME: Duration = Duration::from_secs(15);
/// How long an entry may take to be removed; else it is left to expire.
pub(crate) const REMOVE_TIMEOUT: Duration = Duration::from_secs(1);

/// A process that is alive: a worker or a collector. `devtrail up` is both, as two entries.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WorkerEntry {
    /// Its role: `persist`, `aggregate`, `normalize`, `alert` or `all`; of a collector [`COLLECTOR`].
    pub role: String,
    /// Its token, unique among all instances: characters 0-9 and a-f.
    pub instance: String,
    /// Executable and instance, as audit rows name it.
    pub actor: String,
    /// The machine it runs on.
    pub host: String,
    /// Its process id on that machine.
    pub pid: u32,
    /// When it started, RFC 3339.
    pub started_at: String,
    pub version: String,
    /// Its circuit breakers, by name.
    #[serde(default)]
    pub breakers: Vec<BreakerReport>,
}

impl WorkerEntry {
    /// The entry of this process.
    #[must_use]
    pub fn of(actor: &Actor, role: &str, started_at: Micros) -> Self {
        Self {
            role: role.to_owned(),
            instance: actor.instance().to_owned(),
            actor: actor.to_string(),
            host: host_name(),
            pid: std::process::id(),
            started_at: rfc3339(started_at),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            breakers: Vec::new(),
        }
    }

    /// Whether it is a worker; else it is a collector.
    #[must_use]
    pub fn is_worker(&self) -> bool {
        self.role != COLLECTOR
    }

    /// With the role, for the collector and the workers of `devtrail up` are one instance.
    fn key(&self) -> String {
        format!("worker.{}.{}", self.instance, self.role)
    }
}

/// The name of this machine.
pub(crate) fn host_name() -> String {
    let host = nix::unistd::gethostname().map(|host| host.to_string_lossy().into_owned());
    host.unwrap_or_else(|_| "unknown".to_owned())
}

/// The bucket cannot be read or written.
#[derive(Debug, thiserror::Error)]
#[error("The bucket {BUCKET} cannot be used: {0}. If it is missing, run `devtrail streams apply`.")]
pub struct RegistryError(String);

pub(crate) fn failed(error: impl std::fmt::Display) -> RegistryError {
    RegistryError(error.to_string())
}

/// The bucket as it is now.
pub(crate) struct Bucket {
    pub store: kv::Store,
    /// How long an entry lives that is not renewed.
    pub lifetime: Duration,
}

impl Bucket {
    /// Reads its configuration too: that may change while a process runs.
    ///
    /// # Errors
    /// Returns [`RegistryError`] if the bucket is missing or the server does not answer.
    pub async fn open(js: &jetstream::Context) -> Result<Self, RegistryError> {
        let store = js.get_key_value(BUCKET).await.map_err(failed)?;
        let max_age = store.stream.cached_info().config.max_age;
        let lifetime = match max_age.is_zero() {
            true => DEFAULT_LIFETIME,
            false => max_age,
        };
        Ok(Self { store, lifetime })
    }
}

/// The pauses between renewals, with a backoff after failures in a row.
#[derive(Default)]
pub(crate) struct RenewalPause {
    failures: u32,
}

impl RenewalPause {
    /// How long to wait after a renewal: the pause that it returned, or the backoff if it failed.
    pub fn after(&mut self, renewed: Result<Duration, RegistryError>, what: &str) -> Duration {
        match renewed {
            Ok(pause) => {
                self.failures = 0;
                pause
            }
            Err(error) => {
                // Once an outage, not once an attempt.
                if self.failures == 0 {
                    tracing::warn!(%error, "{what} cannot be renewed; trying again");
                }
                self.failures += 1;
                RetryPolicy::DEFAULT.delay(self.failures)
            }
        }
    }
}

/// Sends heartbeats with the state of the breakers until the process shuts down; then deregisters it.
///
/// A breaker that changes causes a heartbeat at once.
pub async fn send_heartbeats(
    js: jetstream::Context,
    mut entry: WorkerEntry,
    breakers: Breakers,
    shutdown: Shutdown,
) {
    let key = entry.key();
    let draining = shutdown.drain_token();
    let mut renewal_pause = RenewalPause::default();
    let mut changes = breakers.changes();
    loop {
        // Before the reports are read, so that no change between the two is missed.
        changes.mark_unchanged();
        entry.breakers = breakers.own_reports();
        let value = serde_json::to_vec(&entry).expect("texts and a number become JSON");
        let renewed = async {
            let Bucket { store, lifetime } = Bucket::open(&js).await?;
            store.put(&key, value.into()).await.map_err(failed)?;
            Ok(lifetime / RENEWALS)
        };
        let Some(renewed) = draining.run_until_cancelled(renewed).await else {
            break;
        };
        let was_renewed = renewed.is_ok();
        let pause = renewal_pause.after(renewed, "the entry in the worker registry");
        let changed = async {
            match was_renewed {
                // The sender lives as long as `breakers`.
                true => drop(changes.changed().await),
                // The next attempt reports it; a change is no reason to press a server that does not answer.
                false => std::future::pending().await,
            }
        };
        let next = async {
            tokio::select! {
                () = tokio::time::sleep(pause) => {} // sleep: the time between two heartbeats
                () = changed => {}
            }
        };
        draining.run_until_cancelled(next).await;
    }
    deregister(&js, &key).await;
}

async fn deregister(js: &jetstream::Context, key: &str) {
    let purged = async {
        let Bucket { store, .. } = Bucket::open(js).await?;
        store.purge(key).await.map_err(failed)
    };
    match tokio::time::timeout(REMOVE_TIMEOUT, purged).await {
        Ok(Ok(())) => {}
        failed => tracing::debug!(
            ?failed,
            "the entry in the worker registry is left to expire"
        ),
    }
}

/// The processes that are alive, by role and instance.
///
/// # Errors
/// Returns [`RegistryError`] if the bucket is missing or the server does not answer.
pub async fn alive(js: &jetstream::Context) -> Result<Vec<WorkerEntry>, RegistryError> {
    let Bucket { store, .. } = Bucket::open(js).await?;
    let keys: Vec<String> = store
        .keys()
        .await
        .map_err(failed)?
        .try_collect()
        .await
        .map_err(failed)?;
    let mut alive = Vec::new();
    for key in keys.iter().filter(|key| key.starts_with("worker.")) {
        // Gone between the listing and now: not alive any more.
        let Some(value) = store.get(key.as_str()).await.map_err(failed)? else {
            continue;
        };
        alive.push(serde_json::from_slice::<WorkerEntry>(&value).map_err(failed)?);
    }
    alive.sort_by(|a, b| (&a.role, &a.instance).cmp(&(&b.role, &b.instance)));
    Ok(alive)
}
