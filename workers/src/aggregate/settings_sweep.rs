//! Following developers' settings, and computing days again that were computed with older ones.

use std::time::Duration;

use async_nats::jetstream;
use bus::bucket_mirror;
use bus::lease::Lease;
use runtime::process::Process;
use runtime::retry::RetryPolicy;
use store::{Jobs, StoreError};
use tokio::sync::watch;

use super::role::AggregateWork;

/// Days that are computed again in one transaction.
const AT_ONCE: u32 = 16;
/// How often it is looked for days that were computed with older settings: another process may have read the settings
/// later than this one.
const SWEEP: Duration = Duration::from_secs(5);

/// Follows the settings, and computes days again that were computed with older ones, until the process stops. The
/// holder of the lease does it for all.
pub async fn follow<S: Jobs + Clone>(
    work: AggregateWork<S>,
    js: jetstream::Context,
    retry: RetryPolicy,
    process: Process,
) {
    let (loaded, is_loaded) = watch::channel(false);
    let following = bucket_mirror::follow(
        work.timeouts.clone(),
        js.clone(),
        loaded,
        retry,
        process.shutdown.clone(),
    );
    tokio::join!(following, sweep(work, js, is_loaded, process));
}

async fn sweep<S: Jobs + Clone>(
    work: AggregateWork<S>,
    js: jetstream::Context,
    mut is_loaded: watch::Receiver<bool>,
    process: Process,
) {
    let loaded = tokio::select! {
        loaded = is_loaded.wait_for(|is_loaded| *is_loaded) => loaded.is_ok(),
        () = process.shutdown.draining() => false,
    };
    if !loaded {
        return;
    }
    let lease = Lease::hold(js, "settings-sweep", &process.actor.to_string());
    let mut ticks = tokio::time::interval(SWEEP);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut failure: Option<String> = None;
    loop {
        tokio::select! {
            _ = ticks.tick() => {}
            () = process.shutdown.draining() => break,
        }
        if !lease.is_held() {
            continue;
        }
        let error = sweep_once(&work, &process)
            .await
            .err()
            .map(|error| error.to_string());
        if let Some(error) = &error
            && failure.as_ref() != Some(error)
        {
            tracing::warn!(
                error,
                "days cannot be computed with new settings now; trying again"
            );
        }
        failure = error;
    }
    lease.release().await;
}

/// Computes all days that were computed with older settings.
async fn sweep_once<S: Jobs + Clone>(
    work: &AggregateWork<S>,
    process: &Process,
) -> Result<(), StoreError> {
    for developer in work.timeouts.developers() {
        let mut swept = 0;
        loop {
            let revision = work.timeouts.of(&developer).revision;
            let days = work
                .store
                .days_before_settings(developer.clone(), revision, AT_ONCE)
                .await?;
            if days.is_empty() || process.shutdown.is_draining() {
                break;
            }
            swept += days.len();
            let effects = work
                .developer(developer.clone(), days.into_iter().collect())
                .await?;
            work.store.finish_jobs(effects, Vec::new()).await?;
        }
        if swept > 0 {
            tracing::info!(
                developer,
                days = swept,
                "days were computed again with new settings"
            );
        }
    }
    Ok(())
}
