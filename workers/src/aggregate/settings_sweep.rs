//! Following developers' settings, and computing days again that were computed with another timeout.

use std::collections::BTreeMap;
use std::time::Duration;

use async_nats::jetstream;
use bus::bucket_mirror;
use bus::lease::Lease;
use runtime::process::Process;
use runtime::retry::RetryPolicy;
use store::{Jobs, StoreError};
use tokio::sync::watch;

use super::idle_timeouts::IdleTimeout;
use super::role::AggregateWork;

/// How often it is looked for timeouts that have changed.
const SWEEP: Duration = Duration::from_secs(2);
/// How often the days of a developer are looked at after a change: another process may have read the settings later,
/// and written a day with the old ones meanwhile.
const LOOKS: u32 = 5;

/// Follows the settings, and computes days again that were computed with another timeout, until the process stops. The
/// holder of the lease does it for all. `loaded` is told when the settings are known.
pub async fn follow<S: Jobs + Clone>(
    work: AggregateWork<S>,
    loaded: watch::Sender<bool>,
    js: jetstream::Context,
    retry: RetryPolicy,
    process: Process,
) {
    let following = bucket_mirror::follow(
        work.timeouts.clone(),
        js.clone(),
        loaded,
        retry,
        process.shutdown.clone(),
    );
    tokio::join!(following, sweep(work, js, process));
}

async fn sweep<S: Jobs + Clone>(work: AggregateWork<S>, js: jetstream::Context, process: Process) {
    tokio::select! {
        () = work.timeouts.loaded() => {}
        () = process.shutdown.draining() => return,
    }
    let lease = Lease::hold(js, "settings-sweep", &process.actor.to_string());
    let mut ticks = tokio::time::interval(SWEEP);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut looked: BTreeMap<String, Looked> = BTreeMap::new();
    let mut failure: Option<String> = None;
    loop {
        tokio::select! {
            _ = ticks.tick() => {}
            () = process.shutdown.draining() => break,
        }
        if !lease.is_held() {
            // Whoever holds it next looks at everything.
            looked.clear();
            continue;
        }
        let mut failed = None;
        for (developer, timeout) in work.timeouts.all() {
            let looked = looked.entry(developer.clone()).or_default();
            if !looked.is_due(timeout) {
                continue;
            }
            // One developer's failure keeps nobody else's days from being computed.
            match sweep_developer(&work, &developer, timeout, &process).await {
                Ok(()) => looked.times += 1,
                Err(error) => failed = Some(format!("{developer}: {error}")),
            }
        }
        if let Some(error) = &failed
            && failure.as_ref() != Some(error)
        {
            tracing::warn!(
                error,
                "days cannot be computed with a new timeout now; trying again"
            );
        }
        failure = failed;
    }
    lease.release().await;
}

/// How often a developer's days were looked at, with which timeout.
#[derive(Debug, Default)]
struct Looked {
    timeout: Option<IdleTimeout>,
    times: u32,
}

impl Looked {
    /// Whether they must be looked at again.
    fn is_due(&mut self, timeout: IdleTimeout) -> bool {
        if self.timeout != Some(timeout) {
            *self = Self {
                timeout: Some(timeout),
                times: 0,
            };
        }
        self.times < LOOKS
    }
}

/// Computes the developer's days that have another timeout, one after the other: of the events of each, most were read
/// for the day before it.
async fn sweep_developer<S: Jobs + Clone>(
    work: &AggregateWork<S>,
    developer: &str,
    timeout: IdleTimeout,
    process: &Process,
) -> Result<(), StoreError> {
    let mut swept = 0;
    // A day is tried once: newer code may keep its row.
    let mut after = String::new();
    while !process.shutdown.is_draining() {
        let next = work
            .store
            .day_of_other_timeout(developer.to_owned(), timeout.ms, after);
        let Some(day) = next.await? else {
            break;
        };
        after = day.clone();
        let effects = work.day_alone(developer.to_owned(), day).await?;
        work.store.finish_jobs(effects, Vec::new()).await?;
        swept += 1;
    }
    if swept > 0 {
        tracing::info!(
            developer,
            days = swept,
            "days were computed again with another timeout"
        );
    }
    Ok(())
}
