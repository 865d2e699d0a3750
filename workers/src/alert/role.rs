//! The alert role: rules on the windows that jobs touched; what they find goes out after T3.

use std::collections::BTreeMap;

use async_nats::jetstream;
use common::clock::{Clock, SystemClock};
use common::job::{JobKind, JobMessage};
use store::{AlertOutbox, AlertRevision, Effects, Jobs, RuleWindow, StoreError, Want};

use super::{Rule, Touched, builtin, evaluate, publish, ranges};
use crate::jobs::Work;

/// Evaluates the rules; knows nothing of NATS.
pub struct Evaluating<S> {
    store: S,
    rules: Vec<Rule>,
}

impl<S: Jobs> Evaluating<S> {
    /// With the rules this program was built with.
    pub fn new(store: S) -> Self {
        Self { store, rules: builtin() }
    }

    async fn developer(&self, developer: &str, jobs: &[&JobMessage]) -> Result<Vec<RuleWindow>, StoreError> {
        let touched = Touched::by(jobs.iter().copied())
            .map_err(|error| StoreError::Refused(format!("windows of {developer}: {error}")))?;
        let ranges = ranges(&self.rules, &touched);
        let snapshot = self.store.snapshot(developer.to_owned(), ranges, Want::All).await?;
        let evaluation = evaluate(&self.rules, developer, &touched, &snapshot, SystemClock.now());
        for (rule, error) in &evaluation.failed {
            // The other rules, and the job, go on.
            tracing::error!(rule, developer, %error, "a rule could not be evaluated");
        }
        Ok(evaluation.windows)
    }
}

impl<S: Jobs> Work for Evaluating<S> {
    const KIND: JobKind = JobKind::Alert;

    async fn compute(&self, jobs: &[JobMessage]) -> Result<Effects, StoreError> {
        let mut by_developer: BTreeMap<&str, Vec<&JobMessage>> = BTreeMap::new();
        for job in jobs {
            by_developer.entry(&job.body.developer).or_default().push(job);
        }
        let mut windows = Vec::new();
        for (developer, jobs) in by_developer {
            windows.extend(self.developer(developer, &jobs).await?);
        }
        Ok(Effects::Rules(windows))
    }

    async fn committed(&self, _revisions: Vec<AlertRevision>) {}
}

/// Evaluates the rules and publishes what they find.
pub struct Alerting<S> {
    js: jetstream::Context,
    store: S,
    evaluating: Evaluating<S>,
}

impl<S: Jobs + Clone> Alerting<S> {
    /// Publishes by way of `js`.
    pub fn new(js: jetstream::Context, store: S) -> Self {
        Self { js, evaluating: Evaluating::new(store.clone()), store }
    }
}

impl<S: Jobs + AlertOutbox> Work for Alerting<S> {
    const KIND: JobKind = JobKind::Alert;

    async fn compute(&self, jobs: &[JobMessage]) -> Result<Effects, StoreError> {
        self.evaluating.compute(jobs).await
    }

    async fn committed(&self, revisions: Vec<AlertRevision>) {
        // The rows are the outbox: what does not go out now, the sweep publishes.
        if let Err(error) = publish(&self.js, &self.store, revisions).await {
            tracing::warn!(%error, "alerts were published but not marked; the sweep publishes them again");
        }
    }
}
