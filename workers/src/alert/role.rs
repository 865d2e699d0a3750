//! The alert role: evaluates rules on the windows that jobs touched; the findings are published after the commit.

use std::collections::BTreeMap;
use std::sync::Arc;

use async_nats::Client;
use runtime::clock;
use store::{AlertOutbox, AlertRevision, Effects, Jobs, SnapshotRequest, StoreError};
use types::admin_alert::{RULE_FAILURES, RuleFailed};
use types::job::{JobKind, JobMessage};

use super::evaluate::{Evaluation, RuleError, evaluate, plan};
use super::hour_rules::RuleSet;
use super::outbox::AlertsToPublish;
use super::rules::{Rule, builtin};
use super::windows::{TouchedDays, ranges};
use crate::jobs::Work;
use crate::outbox_relay::OutboxRelay;

/// Evaluates the rules; knows nothing of NATS.
pub struct EvaluateWork<S> {
    store: S,
    rules: Arc<RuleSet>,
}

impl<S: Jobs> EvaluateWork<S> {
    /// With the rules this program was built with.
    pub fn new(store: S) -> Self {
        Self {
            store,
            rules: Arc::new(RuleSet::new(builtin())),
        }
    }

    async fn evaluate_developer(
        &self,
        developer: &str,
        jobs: &[&JobMessage],
    ) -> Result<Evaluation, StoreError> {
        let touched = TouchedDays::by(jobs.iter().copied())
            .map_err(|error| StoreError::Refused(format!("windows of {developer}: {error}")))?;
        let rules = &self.rules.rules;
        let Some((first, last)) = touched.window_starts(rules) else {
            return Ok(Evaluation::default());
        };
        let ids = rules.iter().map(|rule| rule.id.clone()).collect();
        let evaluated = self
            .store
            .computed_rule_windows(
                developer.to_owned(),
                ids,
                first.to_string(),
                last.to_string(),
            )
            .await?;
        let request = SnapshotRequest {
            developer: developer.to_owned(),
            kind: JobKind::Alert,
            ranges: ranges(rules, &touched),
        };
        let touched = Arc::new(touched);
        let (rules, days) = (self.rules.clone(), touched.clone());
        let plan = move |hours| plan(&rules, &days, &evaluated, hours);
        let snapshot = self.store.snapshot(request, plan).await?;
        snapshot.plan.hours.log_unusable(developer);
        let failed = |error| StoreError::Failed(format!("windows of {developer}: {error}"));
        let evaluation = evaluate(
            &self.rules,
            developer,
            &touched,
            snapshot.plan,
            snapshot.events,
            clock::now(),
        )
        .map_err(failed)?;
        for (rule, error) in &evaluation.failed {
            // The other rules, and the job, go on.
            tracing::error!(rule, developer, %error, "a rule could not be evaluated");
        }
        Ok(evaluation)
    }

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
            let one = self.evaluate_developer(developer, &jobs).await?;
            all.partials.extend(one.partials);
            all.windows.extend(one.windows);
            all.failed.extend(one.failed);
        }
        Ok(all)
    }
}

impl<S: Jobs> Work for EvaluateWork<S> {
    const KIND: JobKind = JobKind::Alert;

    async fn compute(&self, jobs: &[JobMessage]) -> Result<Effects, StoreError> {
        Ok(self.evaluate(jobs).await?.effects())
    }

    async fn committed(&self, _revisions: Vec<AlertRevision>) {}
}

/// Evaluates the rules and publishes the findings.
pub struct AlertWork<S> {
    client: Client,
    evaluating: EvaluateWork<S>,
    relay: OutboxRelay<AlertsToPublish<S>>,
}

impl<S: Jobs + AlertOutbox> AlertWork<S> {
    /// With the rules this program was built with.
    pub fn new(client: Client, store: S, relay: OutboxRelay<AlertsToPublish<S>>) -> Self {
        Self {
            client,
            evaluating: EvaluateWork::new(store),
            relay,
        }
    }

    /// With other rules.
    #[must_use]
    pub fn with_rules(mut self, rules: Vec<Rule>) -> Self {
        self.evaluating.rules = Arc::new(RuleSet::new(rules));
        self
    }

    /// Reports failed rules to the watchers, which alert administrators (R4.4). The log has them too, and a rule with a
    /// defect fails again: a report that gets lost is not sent again.
    async fn report_failed(&self, failed: &[(String, RuleError)]) {
        for (rule, error) in failed {
            let report = RuleFailed {
                rule: rule.clone(),
                error: error.to_string(),
            };
            let report = serde_json::to_vec(&report).expect("texts become JSON");
            if let Err(error) = self.client.publish(RULE_FAILURES, report.into()).await {
                tracing::warn!(rule, %error, "the report of a failed rule could not be sent");
            }
        }
    }
}

impl<S: Jobs + AlertOutbox> Work for AlertWork<S> {
    const KIND: JobKind = JobKind::Alert;

    async fn compute(&self, jobs: &[JobMessage]) -> Result<Effects, StoreError> {
        let evaluation = self.evaluating.evaluate(jobs).await?;
        self.report_failed(&evaluation.failed).await;
        Ok(evaluation.effects())
    }

    async fn committed(&self, revisions: Vec<AlertRevision>) {
        // The rows are the outbox: what is not published now, the sweep publishes.
        if let Err(error) = self.relay.relay(revisions).await {
            tracing::warn!(%error, "alerts were published but not marked; the sweep publishes them again");
        }
    }
}
