//! Health of a process: the checks that must hold for it to be ready, and the sources that are read when its
//! metrics are scraped. Parts register both; a check runs only when asked for, and at most once a second.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::future::{BoxFuture, join_all};
use tokio::time::{Instant, timeout};

/// A check that takes longer fails.
const CHECK_TIMEOUT: Duration = Duration::from_secs(2);
/// A source that takes longer is unknown. Less than the timeout of a check, so that it can be reported.
const SOURCE_TIMEOUT: Duration = Duration::from_millis(1_500);
/// How long the result of a check is reused, so that many requests cost one check.
const CHECK_TTL: Duration = Duration::from_secs(1);

/// Why a process is not ready.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NotReady {
    /// As in the contract: `stream_unavailable`, `store_unavailable`, `circuit_open` or `shutting_down`.
    pub code: &'static str,
    /// A part of a sentence: what does not hold.
    pub reason: String,
}

impl NotReady {
    /// NATS, a stream or a consumer cannot be used.
    #[must_use]
    pub fn stream(reason: impl Into<String>) -> Self {
        Self {
            code: "stream_unavailable",
            reason: reason.into(),
        }
    }

    /// The store cannot be used.
    #[must_use]
    pub fn store(reason: impl Into<String>) -> Self {
        Self {
            code: "store_unavailable",
            reason: reason.into(),
        }
    }
}

/// Whether a check holds.
type CheckResult = Result<(), NotReady>;

/// A probe that runs at most once in `every`; those who ask meanwhile share its result.
struct CachedProbe<T> {
    name: String,
    every: Duration,
    probe: Box<dyn Fn() -> BoxFuture<'static, T> + Send + Sync>,
    last: tokio::sync::Mutex<Option<(Instant, T)>>,
}

impl<T: Clone> CachedProbe<T> {
    async fn get(&self, overdue: T) -> T {
        let mut last = self.last.lock().await;
        if let Some((_, result)) = last.as_ref().filter(|(at, _)| at.elapsed() < self.every) {
            return result.clone();
        }
        let result = timeout(CHECK_TIMEOUT, (self.probe)())
            .await
            .unwrap_or(overdue);
        *last = Some((Instant::now(), result.clone()));
        result
    }
}

/// The checks and sources of a process. Cheap to clone; all clones are one.
#[derive(Clone, Default)]
pub struct HealthRegistry(Arc<Inner>);

#[derive(Default)]
struct Inner {
    checks: Mutex<Vec<Arc<CachedProbe<CheckResult>>>>,
    sources: Mutex<Vec<Arc<CachedProbe<()>>>>,
}

impl HealthRegistry {
    /// The process is ready only if this holds. Replaces an earlier check of this name.
    pub fn check<F>(&self, name: &str, probe: impl Fn() -> F + Send + Sync + 'static)
    where
        F: Future<Output = CheckResult> + Send + 'static,
    {
        register(&self.0.checks, name, CHECK_TTL, probe);
    }

    /// Before metrics are rendered, `read` sets some gauges, at most once in `every`. If it takes too long,
    /// `unknown` sets them to say so: an old number would be wrong.
    pub fn source<F>(
        &self,
        name: &str,
        every: Duration,
        read: impl Fn() -> F + Send + Sync + 'static,
        unknown: impl Fn() + Send + Sync + 'static,
    ) where
        F: Future<Output = ()> + Send + 'static,
    {
        let unknown = Arc::new(unknown);
        register(&self.0.sources, name, every, move || {
            let reading = read();
            let unknown = unknown.clone();
            async move {
                if timeout(SOURCE_TIMEOUT, reading).await.is_err() {
                    unknown();
                }
            }
        });
    }

    /// Each check's name and result.
    pub(crate) async fn checked(&self) -> Vec<(String, CheckResult)> {
        let checks = lock(&self.0.checks).clone();
        let results = checks.iter().map(|check| async {
            let overdue = format!(
                "the check {} took longer than {CHECK_TIMEOUT:?}",
                check.name
            );
            let code = if check.name == "store" {
                NotReady::store(overdue)
            } else {
                NotReady::stream(overdue)
            };
            (check.name.clone(), check.get(Err(code)).await)
        });
        join_all(results).await
    }

    pub(crate) async fn read(&self) {
        let sources = lock(&self.0.sources).clone();
        join_all(sources.iter().map(|source| source.get(()))).await;
    }
}

fn register<T, F>(
    list: &Mutex<Vec<Arc<CachedProbe<T>>>>,
    name: &str,
    every: Duration,
    probe: impl Fn() -> F + Send + Sync + 'static,
) where
    F: Future<Output = T> + Send + 'static,
{
    let probe = CachedProbe {
        name: name.to_owned(),
        every,
        probe: Box::new(move || -> BoxFuture<'static, T> { Box::pin(probe()) }),
        last: tokio::sync::Mutex::new(None),
    };
    let mut list = lock(list);
    list.retain(|other| other.name != name);
    list.push(Arc::new(probe));
}

fn lock<T>(list: &Mutex<T>) -> MutexGuard<'_, T> {
    // A list that is only pushed to and thinned out cannot be left half-changed.
    list.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_source_that_hangs_is_reported_as_unknown() {
        let health = HealthRegistry::default();
        let unknown = Arc::new(AtomicU32::new(0));
        let counted = unknown.clone();
        health.source("streams", CHECK_TTL, std::future::pending, move || {
            counted.fetch_add(1, Ordering::Relaxed);
        });
        health.read().await;
        assert_eq!(unknown.load(Ordering::Relaxed), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn many_requests_cost_one_check_a_second() {
        let health = HealthRegistry::default();
        let runs = Arc::new(AtomicU32::new(0));
        let counted = runs.clone();
        health.check("nats", move || {
            counted.fetch_add(1, Ordering::Relaxed);
            async { Ok(()) }
        });
        for _ in 0..20 {
            health.checked().await;
        }
        assert_eq!(runs.load(Ordering::Relaxed), 1);
        tokio::time::advance(CHECK_TTL).await;
        health.checked().await;
        assert_eq!(runs.load(Ordering::Relaxed), 2);
    }
}
