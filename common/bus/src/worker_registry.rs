//! The bucket `workers`: who is alive, and leases that one process holds at a time.
//!
//! The server drops an entry that was not renewed for the bucket's `max_age`: a process that dies
//! is gone from the list, and its leases are free, without anyone doing anything.

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

/// An entry is renewed this often in its life, so that one lost renewal does no harm.
pub(crate) const RENEWALS: u32 = 3;
/// The life of an entry where the bucket sets none: as `nats/streams/KV_workers.json` has it.
const USUAL_LIFE: Duration = Duration::from_secs(15);
/// A server that does not take the farewell in this time is not waited for: the entry expires.
pub(crate) const FAREWELL: Duration = Duration::from_secs(1);

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
    /// The version of its program.
    pub version: String,
    /// Its circuit breakers, by name.
    #[serde(default)]
    pub breakers: Vec<BreakerReport>,
}

impl WorkerEntry {
    /// The entry of this process.
    #[must_use]
    pub fn of(actor: &Actor, role: &str, started_at: Micros) -> Self {
        let host = nix::unistd::gethostname().map(|host| host.to_string_lossy().into_owned());
        Self {
            role: role.to_owned(),
            instance: actor.instance().to_owned(),
            actor: actor.to_string(),
            host: host.unwrap_or_else(|_| "unknown".to_owned()),
            pid: std::process::id(),
            started_at: rfc3339(started_at),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            breakers: Vec::new(),
        }
    }

    /// Whether it is one of the workers.
    #[must_use]
    pub fn is_worker(&self) -> bool {
        self.role != COLLECTOR
    }

    /// With the role, for the collector and the workers of `devtrail up` are one instance.
    fn key(&self) -> String {
        format!("worker.{}.{}", self.instance, self.role)
    }
}

/// The bucket cannot be read or written.
#[derive(Debug, thiserror::Error)]
#[error("The bucket {BUCKET} cannot be used: {0}. If it is missing, run `devtrail streams apply`.")]
pub struct RegistryError(String);

pub(crate) fn failed(error: impl std::fmt::Display) -> RegistryError {
    RegistryError(error.to_string())
}

/// The bucket as it is now, and how long its entries live.
pub(crate) async fn open(js: &jetstream::Context) -> Result<(kv::Store, Duration), RegistryError> {
    let bucket = js.get_key_value(BUCKET).await.map_err(failed)?;
    let incarnation = bucket.stream.cached_info().config.max_age;
    Ok((
        bucket,
        if incarnation.is_zero() {
            USUAL_LIFE
        } else {
            incarnation
        },
    ))
}

/// Failed turns in a row: the next one comes after a backoff.
#[derive(Default)]
pub(crate) struct Failures(u32);

impl Failures {
    /// How long to wait after a turn: what it says, or the backoff where it failed.
    pub(crate) fn pause_after(
        &mut self,
        turn: Result<Duration, RegistryError>,
        what: &str,
    ) -> Duration {
        match turn {
            Ok(pause) => {
                self.0 = 0;
                pause
            }
            Err(error) => {
                // Once a trouble, not once a try.
                if self.0 == 0 {
                    tracing::warn!(%error, "{what} cannot be renewed; trying again");
                }
                self.0 += 1;
                RetryPolicy::DEFAULT.delay(self.0)
            }
        }
    }
}

/// Says that the process is alive, and how its breakers are, until it is asked to stop; then takes the entry away.
///
/// What it says of the breakers is renewed at once when one changes.
pub async fn keep_registered(
    js: jetstream::Context,
    mut entry: WorkerEntry,
    breakers: Breakers,
    shutdown: Shutdown,
) {
    let key = entry.key();
    let (stopping, mut failures, mut changes) = (
        shutdown.drain_token(),
        Failures::default(),
        breakers.changes(),
    );
    loop {
        // Before the look, so that no change between the two is missed.
        changes.mark_unchanged();
        entry.breakers = breakers.own_reports();
        let value = serde_json::to_vec(&entry).expect("texts and a number become JSON");
        let renewed = async {
            let (bucket, incarnation) = open(&js).await?;
            bucket.put(&key, value.into()).await.map_err(failed)?;
            Ok(incarnation / RENEWALS)
        };
        let Some(turn) = stopping.run_until_cancelled(renewed).await else {
            break;
        };
        let was_renewed = turn.is_ok();
        let pause = failures.pause_after(turn, "the entry in the list of processes");
        let changed = async {
            match was_renewed {
                // The sender lives as long as `breakers`.
                true => drop(changes.changed().await),
                // The next try tells it; a change is no reason to press a server that does not answer.
                false => std::future::pending().await,
            }
        };
        let next = async {
            tokio::select! {
                () = tokio::time::sleep(pause) => {} // sleep: the time between two signs of life
                () = changed => {}
            }
        };
        stopping.run_until_cancelled(next).await;
    }
    let farewell = async {
        let (bucket, _) = open(&js).await?;
        bucket.purge(&key).await.map_err(failed)
    };
    match tokio::time::timeout(FAREWELL, farewell).await {
        Ok(Ok(())) => {}
        not_taken => tracing::debug!(
            ?not_taken,
            "the entry in the list of processes is left to expire"
        ),
    }
}

/// The processes that are alive, by role and instance.
///
/// # Errors
/// Where the bucket is missing or the server does not answer.
pub async fn alive(js: &jetstream::Context) -> Result<Vec<WorkerEntry>, RegistryError> {
    let (bucket, _) = open(js).await?;
    let keys: Vec<String> = bucket
        .keys()
        .await
        .map_err(failed)?
        .try_collect()
        .await
        .map_err(failed)?;
    let mut alive = Vec::new();
    for key in keys.iter().filter(|key| key.starts_with("worker.")) {
        // Gone between the listing and now: not alive any more.
        let Some(value) = bucket.get(key.as_str()).await.map_err(failed)? else {
            continue;
        };
        alive.push(serde_json::from_slice::<WorkerEntry>(&value).map_err(failed)?);
    }
    alive.sort_by(|a, b| (&a.role, &a.instance).cmp(&(&b.role, &b.instance)));
    Ok(alive)
}
