//! `devtrail trace`: what happened to a batch or event, step by step, from the audit (R7.1).

mod detail;
mod layout;
mod wanted;

use anyhow::bail;
use serde_json::{Value, json};
use store::{AuditEntry, DeadLetters, History, Submission};
use types::id::BatchRef;
use types::job::Mask;
use types::time::rfc3339;

use crate::out;
use crate::target::{Target, with_store};
use wanted::Wanted;

/// What to follow.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  devtrail trace 0198c0de-7c1e-7000-8000-000000000001   a batch id, event id or correlation id
  devtrail trace git-4f2a9c --developer ada
  devtrail trace seq:4711                               a stream sequence of EVENTS
  devtrail trace job:1:4711:alert                       the batch of a job
  devtrail trace alert:9f3c                             the batch whose job found the alert last
  devtrail trace id:seq:5                               an id that looks like one of the above")]
pub struct TraceSettings {
    #[command(flatten)]
    target: Target,
    /// A batch, event or correlation id, seq:N, job:ID or alert:ID
    #[arg(value_name = "BATCH|EVENT|CORRELATION|seq:N|job:ID|alert:ID")]
    what: String,
    /// Only batches of this developer
    #[arg(long)]
    developer: Option<String>,
    /// Show at most so many batches
    #[arg(long, default_value_t = 20, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    limit: u32,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// A batch and everything that happened to it.
#[derive(Debug, Clone)]
struct Traced {
    batch: Submission,
    /// By time.
    steps: Vec<AuditEntry>,
}

/// A message that was never stored: what gave up, and what was decided about it.
#[derive(Debug, Clone)]
struct Unstored {
    /// Its place in its stream.
    at: BatchRef,
    /// By time.
    steps: Vec<AuditEntry>,
}

/// Of batches that are narrowed down here, so many are asked for: one sequence has one in each life
/// of the stream.
const LIVES: u32 = 1000;

/// Runs the command.
///
/// # Errors
/// Where nothing is found, or the database cannot be read.
pub async fn run(settings: TraceSettings) -> anyhow::Result<()> {
    let wanted = Wanted::parse(&settings.what, settings.developer.as_deref());
    let (found, more, unstored) = with_store!(settings.target, |store| {
        let (found, more) = follow(&store, &wanted, settings.limit).await?;
        (
            found,
            more,
            never_stored(&store, &wanted, settings.developer.as_deref()).await?,
        )
    });
    if found.is_empty() && unstored.is_empty() {
        bail!(wanted.not_found());
    }
    if settings.json {
        let all = found
            .iter()
            .map(as_json)
            .chain(unstored.iter().map(unstored_as_json));
        return Ok(out::json(&all.collect::<Vec<_>>())?);
    }
    let texts = found.iter().map(|traced| layout::text(traced, wanted.id()));
    for (index, text) in texts
        .chain(unstored.iter().map(layout::unstored))
        .enumerate()
    {
        if index > 0 {
            out::line("")?;
        }
        out::line(text)?;
    }
    if more {
        let limit = settings.limit;
        out::line(format!(
            "\nThere are more than {limit} batches; --limit or --developer chooses others."
        ))?;
    }
    Ok(())
}

/// The batches that are wanted, and whether there are more of them than `limit`.
async fn follow(
    store: &impl History,
    wanted: &Wanted,
    limit: u32,
) -> Result<(Vec<Traced>, bool), store::StoreError> {
    let asked = if wanted.is_narrowed_here() {
        LIVES
    } else {
        limit.saturating_add(1)
    };
    let mut batches = store.find(wanted.clue(), asked).await?;
    batches.retain(|batch| wanted.fits(batch));
    let more = batches.len() > limit as usize;
    batches.truncate(limit as usize);
    let mut found = Vec::new();
    for batch in batches {
        let steps = store.audit(batch.at).await?;
        found.push(Traced { batch, steps });
    }
    Ok((found, more))
}

/// Messages of this sequence that were never stored, and of which the audit tells.
async fn never_stored(
    store: &(impl History + DeadLetters),
    wanted: &Wanted,
    developer: Option<&str>,
) -> Result<Vec<Unstored>, store::StoreError> {
    let Some(seq) = wanted.sequence() else {
        return Ok(Vec::new());
    };
    let mut found = Vec::new();
    for at in store
        .unstored(seq, LIVES)
        .await?
        .into_iter()
        .filter(|at| wanted.fits_life(at.src))
    {
        let mut steps = store.audit(at).await?;
        steps.retain(|step| developer.is_none_or(|name| step.developer.as_deref() == Some(name)));
        if !steps.is_empty() {
            found.push(Unstored { at, steps });
        }
    }
    Ok(found)
}

/// What was never stored, as programs get it.
fn unstored_as_json(unstored: &Unstored) -> Value {
    json!({
        "src": unstored.at.src, "stream_sequence": unstored.at.seq, "state": null,
        "steps": steps_as_json(&unstored.steps),
    })
}

fn steps_as_json(steps: &[AuditEntry]) -> Vec<Value> {
    let first = steps.first().map_or(0, |step| step.time);
    let step = |step: &AuditEntry| {
        let detail = step.detail.as_deref();
        json!({
            "time": rfc3339(step.time), "offset_ms": (step.time - first) as f64 / 1000.0,
            "step": step.step, "outcome": step.outcome, "actor": step.actor,
            "replay_id": step.replay_id, "developer": step.developer, "batch_id": step.batch_id,
            "event_id": step.event_id, "correlation_id": step.correlation_id,
            // What is no JSON is shown as the text it is.
            "detail": detail.map(|text| serde_json::from_str(text).unwrap_or_else(|_| json!(text))),
        })
    };
    steps.iter().map(step).collect()
}

/// A traced batch as programs get it.
fn as_json(traced: &Traced) -> Value {
    let batch = &traced.batch;
    let kinds = |mask: Mask| mask.kinds().collect::<Vec<_>>();
    let [need, done, failed] = batch.masks.map(kinds);
    json!({
        "src": batch.at.src, "stream_sequence": batch.at.seq, "developer": batch.developer,
        "batch_id": batch.batch_id, "correlation_id": batch.correlation_id, "state": batch.state,
        "need": need, "done": done, "failed": failed, "counts": batch.counts,
        "received_at": rfc3339(batch.received_at), "published_at": rfc3339(batch.published_at),
        "persisted_at": rfc3339(batch.persisted_at),
        "steps": steps_as_json(&traced.steps),
    })
}
