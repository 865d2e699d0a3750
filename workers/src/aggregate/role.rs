//! The aggregate role: the windows that a group of jobs touched, computed once for all of them.

use std::collections::{BTreeMap, BTreeSet};

use futures_util::{StreamExt, TryStreamExt, stream};
use store::{AlertRevision, Effects, Jobs, Snapshot, SnapshotRequest, StoreError};
use types::job::{JobKind, JobMessage};

use super::idle_timeouts::IdleTimeouts;
use super::plan::{Candidates, InvalidDate, plan};
use super::windows::{maker, windows};
use crate::hour_partials::MisplacedEvent;
use crate::jobs::Work;

/// Developers whose windows are computed at once: reads overlap, and the store is not flooded.
const AT_ONCE: usize = 4;

/// Computes the windows that jobs touched.
#[derive(Clone)]
pub struct AggregateWork<S> {
    /// Where events and partials are read.
    pub store: S,
    /// What the developers have set.
    pub timeouts: IdleTimeouts,
}

impl<S: Jobs> Work for AggregateWork<S> {
    const KIND: JobKind = JobKind::Aggregate;

    async fn compute(&self, jobs: &[JobMessage]) -> Result<Effects, StoreError> {
        self.timeouts.loaded().await;
        let computed = stream::iter(touched(jobs))
            .map(|(developer, days)| self.developer(developer, days))
            .buffer_unordered(AT_ONCE);
        let all: Vec<Effects> = computed.try_collect().await?;
        let mut partials = Vec::new();
        let mut days = Vec::new();
        for effects in all {
            if let Effects::Windows {
                partials: more_partials,
                days: more_days,
            } = effects
            {
                partials.extend(more_partials);
                days.extend(more_days);
            }
        }
        Ok(Effects::Windows { partials, days })
    }

    async fn committed(&self, _revisions: Vec<AlertRevision>) {}
}

impl<S: Jobs> AggregateWork<S> {
    /// What these days of a developer come to, and those that depend on them.
    async fn developer(
        &self,
        developer: String,
        days: BTreeSet<String>,
    ) -> Result<Effects, StoreError> {
        let candidates = Candidates::of(days).map_err(|error| refused(&developer, &error))?;
        self.computed(developer, candidates).await
    }

    /// What this day of a developer comes to.
    pub(super) async fn day_alone(
        &self,
        developer: String,
        day: String,
    ) -> Result<Effects, StoreError> {
        let candidates = Candidates::only(day).map_err(|error| refused(&developer, &error))?;
        self.computed(developer, candidates).await
    }

    async fn computed(
        &self,
        developer: String,
        candidates: Candidates,
    ) -> Result<Effects, StoreError> {
        let failed =
            |error: MisplacedEvent| StoreError::Failed(format!("metrics of {developer}: {error}"));
        let timeout = self.timeouts.of(&developer);
        let days = candidates.look_backs.keys().cloned().collect();
        let computed = self.store.computed_days(developer.clone(), days).await?;
        let request = SnapshotRequest {
            developer: developer.clone(),
            kind: JobKind::Aggregate,
            ranges: candidates.look_backs.values().copied().collect(),
        };
        let maker = maker(timeout);
        let making = maker.clone();
        let plan = move |hours| plan(&candidates, &computed, hours, &making, timeout);
        let Snapshot { plan, events } = self.store.snapshot(request, plan).await?;
        plan.hours.log_unusable(&developer);
        windows(&developer, plan, events, timeout, &maker).map_err(failed)
    }
}

fn refused(developer: &str, error: &InvalidDate) -> StoreError {
    StoreError::Refused(format!("metrics of {developer}: {error}"))
}

/// The local days that jobs touched, by developer: several jobs of one day are one computation.
fn touched(jobs: &[JobMessage]) -> BTreeMap<String, BTreeSet<String>> {
    let mut touched: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for job in jobs {
        touched
            .entry(job.body.developer.clone())
            .or_default()
            .extend(job.body.touched_days.iter().cloned());
    }
    touched
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;
    use store::Sqlite;
    use tokio::sync::watch;

    use super::*;

    #[tokio::test]
    async fn nothing_is_computed_before_the_timeouts_are_known() {
        let folder = tempfile::tempdir().unwrap();
        let (loaded, is_loaded) = watch::channel(false);
        let work = AggregateWork {
            store: Sqlite::open(&folder.path().join("devtrail.db")).unwrap(),
            timeouts: IdleTimeouts::followed(is_loaded),
        };
        // Without jobs there is nothing else to wait for.
        assert!(work.compute(&[]).now_or_never().is_none());
        loaded.send_replace(true);
        assert!(work.compute(&[]).now_or_never().is_some());
    }
}
