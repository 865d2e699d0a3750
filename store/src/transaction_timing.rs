//! What the metrics tell of transactions, the same for both engines.

use std::time::Instant;

use runtime::metrics;

use crate::alert_outbox::AlertRevision;
use crate::effects::JobDone;
use crate::error::StoreError;
use crate::outbox::Triggered;
use crate::persist::Stored;

/// Times a transaction; its kind is the label `kind` of the metric.
pub async fn timed<T>(
    kind: &'static str,
    work: impl Future<Output = Result<T, StoreError>>,
) -> Result<T, StoreError> {
    let started = Instant::now();
    let result = work.await;
    let outcome = match &result {
        Ok(_) => "ok",
        Err(error) if error.is_transient() => "unavailable",
        Err(_) => "failed",
    };
    metrics::store_transaction(kind, outcome, started.elapsed());
    result
}

/// `store_batches`: times it, and counts what it stored.
pub async fn store_batches(
    work: impl Future<Output = Result<Vec<Stored>, StoreError>>,
) -> Result<Vec<Stored>, StoreError> {
    let stored = timed("store_batches", work).await?;
    stored
        .iter()
        .for_each(|one| metrics::batch_stored((!one.already).then_some(&one.counts)));
    Ok(stored)
}

/// `mark_triggered` of these batches.
pub async fn mark_triggered(
    batches: Vec<Triggered>,
    work: impl AsyncFnOnce(Vec<Triggered>) -> Result<(), StoreError>,
) -> Result<(), StoreError> {
    let count = batches.len();
    timed("mark_triggered", work(batches)).await?;
    metrics::batches_triggered(count);
    Ok(())
}

/// `finish_jobs` of these jobs.
pub async fn finish_jobs(
    jobs: Vec<JobDone>,
    work: impl AsyncFnOnce(Vec<JobDone>) -> Result<Vec<AlertRevision>, StoreError>,
) -> Result<Vec<AlertRevision>, StoreError> {
    let kinds: Vec<_> = jobs.iter().map(|done| done.job.kind).collect();
    let revisions = timed("finish_jobs", work(jobs)).await?;
    kinds.into_iter().for_each(metrics::job_done);
    revisions
        .iter()
        .for_each(|revision| metrics::alert(&revision.state, &revision.severity));
    Ok(revisions)
}
