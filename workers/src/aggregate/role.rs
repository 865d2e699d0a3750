//! The aggregate role: the windows that a group of jobs touched, computed once for all of them.

use std::collections::{BTreeMap, BTreeSet};

use futures_util::{StreamExt, TryStreamExt, stream};
use store::{AlertRevision, Effects, EventSelection, Jobs, StoreError};
use types::job::{JobKind, JobMessage};

use super::plan::{InvalidDate, ranges};
use super::windows::{Error, VERSION, windows, windows_from_events};
use crate::jobs::Work;

/// Developers whose windows are computed at once: reads overlap, and the store is not flooded.
const AT_ONCE: usize = 4;

/// Computes the windows that jobs touched.
pub struct AggregateWork<S> {
    /// Where events and partials are read.
    pub store: S,
}

impl<S: Jobs> Work for AggregateWork<S> {
    const KIND: JobKind = JobKind::Aggregate;

    async fn compute(&self, jobs: &[JobMessage]) -> Result<Effects, StoreError> {
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
    async fn developer(
        &self,
        developer: String,
        days: BTreeSet<String>,
    ) -> Result<Effects, StoreError> {
        let failed = |error: Error| StoreError::Failed(format!("metrics of {developer}: {error}"));
        let refused =
            |error: InvalidDate| StoreError::Refused(format!("metrics of {developer}: {error}"));
        let ranges = ranges(&days).map_err(refused)?;
        let stale = self
            .store
            .snapshot(
                developer.clone(),
                ranges.clone(),
                EventSelection::Stale(VERSION),
            )
            .await?;
        match windows(&developer, &days, &stale) {
            Err(error @ Error::Unreadable { .. }) => {
                tracing::warn!(developer, %error, "computing from all events");
                let all = self
                    .store
                    .snapshot(developer.clone(), ranges, EventSelection::All)
                    .await?;
                windows_from_events(&developer, &days, &all).map_err(failed)
            }
            other => other.map_err(failed),
        }
    }
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
