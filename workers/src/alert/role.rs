//! The alert role: rules on the windows that jobs touched; what they find goes out after T3.

use std::collections::BTreeMap;

use async_nats::jetstream;
use runtime::clock;
use store::{AlertOutbox, AlertRevision, Effects, EventSelection, Jobs, StoreError};
use types::admin_alert::{NOTE_RULE_FAILED, RuleFailed};
use types::job::{JobKind, JobMessage};

use super::{Engine, Evaluation, Rule, RuleError, Touched, builtin, publish, ranges};
use crate::jobs::Work;

/// Evaluates the rules; knows nothing of NATS.
pub struct Evaluating<S> {
    store: S,
    rules: Vec<Rule>,
    engine: Engine,
}

impl<S: Jobs> Evaluating<S> {
    /// With the rules this program was built with.
    pub fn new(store: S) -> Self {
        Self {
            store,
            rules: builtin(),
            engine: Engine::default(),
        }
    }

    async fn developer(
        &self,
        developer: &str,
        jobs: &[&JobMessage],
    ) -> Result<Evaluation, StoreError> {
        let touched = Touched::by(jobs.iter().copied())
            .map_err(|error| StoreError::Refused(format!("windows of {developer}: {error}")))?;
        let ranges = ranges(&self.rules, &touched);
        let snapshot = self
            .store
            .snapshot(developer.to_owned(), ranges, EventSelection::All)
            .await?;
        let now = clock::now();
        let evaluation = self
            .engine
            .evaluate(&self.rules, developer, &touched, &snapshot, now);
        for (rule, error) in &evaluation.failed {
            // The other rules, and the job, go on.
            tracing::error!(rule, developer, %error, "a rule could not be evaluated");
        }
        Ok(evaluation)
    }

    /// What the rules find in the windows of these jobs, and which of them failed.
    async fn evaluate(&self, jobs: &[JobMessage]) -> Result<Evaluation, StoreError> {
        let mut by_developer: BTreeMap<&str, Vec<&JobMessage>> = BTreeMap::new();
        for job in jobs {
            by_developer
                .entry(&job.body.developer)
                .or_default()
                .push(job);
        }
        let mut all = Evaluation::default();
        for (developer, jobs) in by_developer {
            let one = self.developer(developer, &jobs).await?;
            all.windows.extend(one.windows);
            all.failed.extend(one.failed);
        }
        Ok(all)
    }
}

impl<S: Jobs> Work for Evaluating<S> {
    const KIND: JobKind = JobKind::Alert;

    async fn compute(&self, jobs: &[JobMessage]) -> Result<Effects, StoreError> {
        Ok(Effects::Rules(self.evaluate(jobs).await?.windows))
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
        Self {
            js,
            evaluating: Evaluating::new(store.clone()),
            store,
        }
    }

    /// The same with this engine, which a test may have replaced.
    #[must_use]
    pub fn with_engine(mut self, engine: Engine) -> Self {
        self.evaluating.engine = engine;
        self
    }
}

/// Notes for the watchers, who tell administrators (R4.4). The log has it too, and a rule that is broken
/// fails again: a note that gets lost is not sent again.
async fn tell_failed(client: &async_nats::Client, failed: &[(String, RuleError)]) {
    for (rule, error) in failed {
        let note = RuleFailed {
            rule: rule.clone(),
            error: error.to_string(),
        };
        let note = serde_json::to_vec(&note).expect("texts become JSON");
        if let Err(error) = client.publish(NOTE_RULE_FAILED, note.into()).await {
            tracing::warn!(rule, %error, "the note that a rule failed could not be sent");
        }
    }
}

impl<S: Jobs + AlertOutbox> Work for Alerting<S> {
    const KIND: JobKind = JobKind::Alert;

    async fn compute(&self, jobs: &[JobMessage]) -> Result<Effects, StoreError> {
        let evaluation = self.evaluating.evaluate(jobs).await?;
        tell_failed(&self.js.client(), &evaluation.failed).await;
        Ok(Effects::Rules(evaluation.windows))
    }

    async fn committed(&self, revisions: Vec<AlertRevision>) {
        // The rows are the outbox: what does not go out now, the sweep publishes.
        if let Err(error) = publish(&self.js, &self.store, revisions).await {
            tracing::warn!(%error, "alerts were published but not marked; the sweep publishes them again");
        }
    }
}
