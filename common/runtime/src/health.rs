//! Vital signs of a process: what must hold for it to be ready, and what is read when its metrics are asked
//! for. Parts register both; nothing is looked at unless someone asks, and then at most once a second.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::future::{BoxFuture, join_all};
use tokio::time::{Instant, timeout};

/// A check that takes longer does not hold.
const PATIENCE: Duration = Duration::from_secs(2);
/// A source that takes longer is not known. Less than that, so that it can be said.
const READ_FOR: Duration = Duration::from_millis(1_500);
/// The answer to a check holds this long, so that many who ask cost one look.
const CHECK_FOR: Duration = Duration::from_secs(1);
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

type Answer = Result<(), NotReady>;

/// Looked at when asked, at most once in a while; those who ask meanwhile share the look.
struct Look<T> {
    name: String,
    every: Duration,
    look: Box<dyn Fn() -> BoxFuture<'static, T> + Send + Sync>,
    last: tokio::sync::Mutex<Option<(Instant, T)>>,
}

impl<T: Clone> Look<T> {
    async fn now(&self, overdue: T) -> T {
        let mut last = self.last.lock().await;
        if let Some((_, answer)) = last.as_ref().filter(|(at, _)| at.elapsed() < self.every) {
            return answer.clone();
        }
        let answer = timeout(PATIENCE, (self.look)()).await.unwrap_or(overdue);
        *last = Some((Instant::now(), answer.clone()));
        answer
    }
}

/// The vital signs of a process. Cheap to clone; all clones are one.
#[derive(Clone, Default)]
pub struct HealthRegistry(Arc<Inner>);

#[derive(Default)]
struct Inner {
    checks: Mutex<Vec<Arc<Look<Answer>>>>,
    sources: Mutex<Vec<Arc<Look<()>>>>,
}

impl HealthRegistry {
    /// The process is ready only where this holds. Takes the place of an earlier check of this name.
    pub fn check<F>(&self, name: &str, look: impl Fn() -> F + Send + Sync + 'static)
    where
        F: Future<Output = Answer> + Send + 'static,
    {
        register(&self.0.checks, name, CHECK_FOR, look);
    }

    /// Before metrics are told, `read` sets some gauges; once in `every` at most. Where it takes too long,
    /// `unknown` sets them to say so: a number from before would lie.
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
            let (reading, unknown) = (read(), unknown.clone());
            async move {
                if timeout(READ_FOR, reading).await.is_err() {
                    unknown();
                }
            }
        });
    }

    /// Each check's name and answer.
    pub(crate) async fn checked(&self) -> Vec<(String, Answer)> {
        let checks = lock(&self.0.checks).clone();
        let answers = checks.iter().map(|check| async {
            let overdue = format!("the check {} took longer than {PATIENCE:?}", check.name);
            let code = if check.name == "store" {
                NotReady::store(overdue)
            } else {
                NotReady::stream(overdue)
            };
            (check.name.clone(), check.now(Err(code)).await)
        });
        join_all(answers).await
    }

    pub(crate) async fn read(&self) {
        let sources = lock(&self.0.sources).clone();
        join_all(sources.iter().map(|source| source.now(()))).await;
    }
}

fn register<T, F>(
    list: &Mutex<Vec<Arc<Look<T>>>>,
    name: &str,
    every: Duration,
    look: impl Fn() -> F + Send + Sync + 'static,
) where
    F: Future<Output = T> + Send + 'static,
{
    let look = Look {
        name: name.to_owned(),
        every,
        look: Box::new(move || -> BoxFuture<'static, T> { Box::pin(look()) }),
        last: tokio::sync::Mutex::new(None),
    };
    let mut list = lock(list);
    list.retain(|other| other.name != name);
    list.push(Arc::new(look));
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
    async fn a_source_that_hangs_is_said_to_be_unknown() {
        let (health, unknown) = (HealthRegistry::default(), Arc::new(AtomicU32::new(0)));
        let counted = unknown.clone();
        health.source("streams", CHECK_FOR, std::future::pending, move || {
            counted.fetch_add(1, Ordering::Relaxed);
        });
        health.read().await;
        assert_eq!(unknown.load(Ordering::Relaxed), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn many_who_ask_cost_one_look_a_second() {
        let health = HealthRegistry::default();
        let looks = Arc::new(AtomicU32::new(0));
        let counted = looks.clone();
        health.check("nats", move || {
            counted.fetch_add(1, Ordering::Relaxed);
            async { Ok(()) }
        });
        for _ in 0..20 {
            health.checked().await;
        }
        assert_eq!(looks.load(Ordering::Relaxed), 1);
        tokio::time::advance(CHECK_FOR).await;
        health.checked().await;
        assert_eq!(looks.load(Ordering::Relaxed), 2);
    }
}
