//! `devtrail trace`: what happened to a batch or event, step by step, from the audit (R7.1).

mod audit_detail;
mod query;
mod timeline;

use anyhow::bail;
use store::{DeadLetters, History};

use crate::output;
use crate::target::{Target, with_store};
use query::TraceQuery;
use timeline::{TracedBatch, UnstoredMessage};

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

/// Of batches that are narrowed down here, so many are asked for: one sequence has one in each life
/// of the stream.
const LIVES: u32 = 1000;

/// Runs the command.
///
/// # Errors
/// Where nothing is found, or the database cannot be read.
pub async fn run(settings: TraceSettings) -> anyhow::Result<()> {
    let wanted = TraceQuery::parse(&settings.what, settings.developer.as_deref());
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
            .map(timeline::as_json)
            .chain(unstored.iter().map(timeline::unstored_as_json));
        return Ok(output::json(&all.collect::<Vec<_>>())?);
    }
    let texts = found
        .iter()
        .map(|traced| timeline::text(traced, wanted.id()));
    for (index, text) in texts
        .chain(unstored.iter().map(timeline::unstored))
        .enumerate()
    {
        if index > 0 {
            output::line("")?;
        }
        output::line(text)?;
    }
    if more {
        let limit = settings.limit;
        output::line(format!(
            "\nThere are more than {limit} batches; --limit or --developer chooses others."
        ))?;
    }
    Ok(())
}

/// The batches that are wanted, and whether there are more of them than `limit`.
async fn follow(
    store: &impl History,
    wanted: &TraceQuery,
    limit: u32,
) -> Result<(Vec<TracedBatch>, bool), store::StoreError> {
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
        found.push(TracedBatch { batch, steps });
    }
    Ok((found, more))
}

/// Messages of this sequence that were never stored, and of which the audit tells.
async fn never_stored(
    store: &(impl History + DeadLetters),
    wanted: &TraceQuery,
    developer: Option<&str>,
) -> Result<Vec<UnstoredMessage>, store::StoreError> {
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
            found.push(UnstoredMessage { at, steps });
        }
    }
    Ok(found)
}
