//! Batches that come one after the other, each when the one before is completed: what a single one costs.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use async_nats::jetstream;
use harness::Deployment;
use types::schema::Schemas;

use crate::encode::{Body, encode, publish};
use crate::stats::millis;
use crate::usage::{Meter, Usage, workers_cpu};
use crate::watch::StoreWatch;

/// What some batches used.
pub struct BatchCost {
    batches: f64,
    took: Duration,
    used: BTreeMap<String, Usage>,
}

impl BatchCost {
    /// From published to completed, in ms a batch.
    #[must_use]
    pub fn took(&self) -> f64 {
        millis(self.took) / self.batches
    }

    /// CPU of a process, in ms a batch.
    #[must_use]
    pub fn cpu(&self, process: &str) -> f64 {
        millis(self.used[process].cpu) / self.batches
    }

    /// CPU of all workers, in ms a batch.
    #[must_use]
    pub fn workers_cpu(&self) -> f64 {
        millis(workers_cpu(&self.used)) / self.batches
    }

    /// The names of the processes.
    pub fn processes(&self) -> impl Iterator<Item = &String> {
        self.used.keys()
    }
}

/// Publishes batches one by one into a deployment where `completed` batches are completed, and no others are stored.
///
/// # Errors
/// The refusal of the stream, or a store that does not get on.
pub async fn complete_each(
    deployment: &Deployment,
    js: &jetstream::Context,
    watch: &StoreWatch,
    mut completed: u64,
    bodies: impl ExactSizeIterator<Item = Body>,
) -> anyhow::Result<BatchCost> {
    let schemas = Schemas::builtin();
    let batches = bodies.len() as f64;
    let meter = Meter::start(deployment).await?;
    let start = Instant::now();
    for body in bodies {
        publish(js, encode(&schemas, &body)?).await?;
        completed += 1;
        watch
            .completed(completed, Instant::now(), |_| Ok(()))
            .await?;
    }
    Ok(BatchCost {
        batches,
        took: start.elapsed(),
        used: meter.read()?,
    })
}
