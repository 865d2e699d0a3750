//! What all job roles share: decode, ask the ledger, compute without a lock, T3, ack.
//!
//! A role only says what a group of its jobs computes ([`Work`]). Jobs that were pulled together are
//! computed and written together, so that jobs which touch the same window are one computation.

use std::sync::Arc;

use async_nats::jetstream;
use common::bus::pull::{self, Delivery, Outcome, PullSettings, Role};
use common::bus::{BindError, JOBS, StreamLife};
use common::clock::{Clock, SystemClock};
use common::crash;
use common::job::{JobKind, JobMessage};
use common::process::Process;
use store::{AlertRevision, Effects, JobDone, JobFailed, Jobs, StoreError};

use crate::setback;

/// What one kind of job does.
pub trait Work: Send + Sync + 'static {
    /// The kind.
    const KIND: JobKind;

    /// Computes what these jobs write, from a snapshot, with no lock held. Depends only on what is
    /// stored: a job that runs twice gives the same.
    fn compute(&self, jobs: &[JobMessage]) -> impl Future<Output = Result<Effects, StoreError>> + Send;

    /// Goes on after T3 has committed, before the jobs are acked.
    fn committed(&self, revisions: Vec<AlertRevision>) -> impl Future<Output = ()> + Send;
}

/// Most jobs in one group: enough to share snapshots and a commit, few enough to keep T3 short.
const GROUP: usize = 64;
const NOT_DONE: &str = "a job could not be done";

/// Pulls the kind's live and replay jobs until the process stops.
///
/// # Errors
/// Where the stream or a consumer is missing or unsafe at the start.
pub async fn run<S: Jobs, W: Work>(
    js: jetstream::Context,
    store: S,
    work: W,
    process: Process,
) -> Result<(), BindError> {
    let role = Arc::new(JobRole { store, work, actor: process.actor.to_string() });
    let settings = PullSettings { group: GROUP, ..PullSettings::default() };
    let live = W::KIND.as_str();
    let replay = format!("{live}-replay");
    // Lanes of their own: a replay's jobs never queue before live ones.
    let one = pull::run(js.clone(), (JOBS, live), role.clone(), settings, process.stop.clone());
    let two = pull::run(js, (JOBS, &replay), role, settings, process.stop);
    let (one, two) = tokio::join!(one, two);
    one.and(two)
}

/// Does jobs of one kind.
pub struct JobRole<S, W> {
    store: S,
    work: W,
    actor: String,
}

impl<S: Jobs, W: Work> Role for JobRole<S, W> {
    async fn handle(&self, _life: &StreamLife, group: &[Delivery]) -> Vec<Outcome> {
        let mut outcomes = vec![Outcome::Ack; group.len()];
        let mut sound = Vec::with_capacity(group.len());
        for (index, delivery) in group.iter().enumerate() {
            match serde_json::from_slice::<JobMessage>(&delivery.payload) {
                Ok(job) if job.kind == W::KIND => sound.push((index, job)),
                Ok(job) => outcomes[index] = self.misplaced(job, delivery).await,
                Err(error) => {
                    outcomes[index] =
                        Outcome::DeadLetter { reason: format!("the message is no job: {error}") };
                }
            }
        }
        let jobs = |members: &[(usize, JobMessage)]| members.iter().map(|(_, job)| job.clone()).collect();
        let Err(error) = self.run(jobs(&sound)).await else { return outcomes };
        let alone = setback::is_one_at_fault(&error, sound.len());
        for (index, job) in sound {
            let result = if alone { self.run(vec![job]).await } else { Err(error.clone()) };
            if let Err(error) = result {
                outcomes[index] = setback::again(&group[index], NOT_DONE, &error);
            }
        }
        outcomes
    }
}

impl<S: Jobs, W: Work> JobRole<S, W> {
    /// Does what the ledger does not know yet, all in one T3.
    async fn run(&self, mut jobs: Vec<JobMessage>) -> Result<(), StoreError> {
        let started_at = SystemClock.now();
        let done = self.store.done(jobs.iter().map(|job| job.job_id.clone()).collect()).await?;
        jobs.retain(|job| !done.contains(&job.job_id));
        if jobs.is_empty() {
            return Ok(());
        }
        let effects = self.work.compute(&jobs).await?;
        let finished_at = SystemClock.now();
        let entry = |job| JobDone { job, started_at, finished_at, actor: self.actor.clone() };
        let revisions = self.store.finish(effects, jobs.into_iter().map(entry).collect()).await?;
        crash::point("job.after_commit");
        self.work.committed(revisions).await;
        Ok(())
    }

    /// A job of another kind in this role's lane can never be done here: T3f, then DEAD.
    async fn misplaced(&self, job: JobMessage, delivery: &Delivery) -> Outcome {
        let reason =
            format!("a job of kind {} came to the consumer of kind {}", job.kind.as_str(), W::KIND.as_str());
        let failure =
            JobFailed { job, at: SystemClock.now(), actor: self.actor.clone(), reason: reason.clone() };
        match self.store.fail(failure).await {
            Ok(()) => Outcome::DeadLetter { reason },
            Err(error) => setback::again(delivery, NOT_DONE, &error),
        }
    }
}
