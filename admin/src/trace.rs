//! `devtrail trace`: what happened to a batch or event, step by step, from the audit (R7.1).

mod audit_detail;
mod query;
mod timeline;

use anyhow::bail;
use store::{DeadLetters, History, StoreError, StreamNames, VerifyReads};
use types::id::DeveloperId;

use crate::developer::ensure_known;
use crate::output::{self, OUTPUT, Page, SELECTION};
use crate::target::{Target, with_store};
use query::TraceQuery;
use timeline::{Shown, TracedBatch, UnstoredMessage};

/// What to follow.
#[derive(Debug, clap::Args)]
#[command(after_long_help = "Examples:
  devtrail trace 0198c0de-7c1e-7000-8000-000000000001   a batch id, event id or correlation id
  devtrail trace git-4f2a9c --developer ada
  devtrail trace seq:4711                               a stream sequence of EVENTS
  devtrail trace seq:EVENTS-0-of-3:4711                 the same of one of three event streams
  devtrail trace job:1:4711:alert                       the batch of a job
  devtrail trace alert:9f3c                             the batch whose job found the alert last
  devtrail trace id:seq:5                               an id that looks like one of the above")]
pub struct TraceSettings {
    /// A batch, event or correlation id, seq:N, job:ID or alert:ID
    #[arg(value_name = "BATCH|EVENT|CORRELATION|seq:N|job:ID|alert:ID")]
    what: String,
    /// Only batches of this developer
    #[arg(long, value_name = "DEVELOPER", help_heading = SELECTION)]
    developer: Option<DeveloperId>,
    /// Show at most so many batches
    #[arg(
        long,
        default_value_t = 20,
        value_name = "N",
        value_parser = clap::value_parser!(u32).range(1..),
        help_heading = SELECTION
    )]
    limit: u32,
    #[command(flatten)]
    target: Target,
    /// Print JSON
    #[arg(long, help_heading = OUTPUT)]
    json: bool,
}

/// Most batches that are read if they are filtered here: one sequence has one batch in each incarnation of the stream.
const INCARNATIONS: u32 = 1000;

/// Runs the command.
///
/// # Errors
/// Returns an error if nothing is found, or the database cannot be read.
pub async fn run(settings: TraceSettings) -> anyhow::Result<()> {
    let developer = settings.developer.as_ref().map(ToString::to_string);
    let query = TraceQuery::parse(&settings.what, developer.as_deref());
    let Traced {
        batches: Page { entries, has_more },
        unstored,
    } = with_store!(settings.target, |store| Traced {
        batches: find_batches(&store, &query, settings.limit).await?,
        unstored: find_unstored(&store, &query, developer.as_deref()).await?,
    });
    if entries.is_empty() && unstored.is_empty() {
        ensure_known(&settings.target, settings.developer.as_ref()).await?;
        bail!(query.not_found());
    }
    if settings.json {
        let all = entries
            .iter()
            .map(timeline::as_json)
            .chain(unstored.iter().map(timeline::unstored_as_json));
        return Ok(output::json(&all.collect::<Vec<_>>())?);
    }
    let shown = Shown {
        wanted: query.id(),
        width: output::terminal_width(),
    };
    let texts = entries.iter().map(|traced| timeline::text(traced, shown));
    for (index, text) in texts
        .chain(unstored.iter().map(|one| timeline::unstored(one, shown)))
        .enumerate()
    {
        if index > 0 {
            output::line("")?;
        }
        output::line(text)?;
    }
    if has_more {
        output::line(format!(
            "\nThere are more than {}; --limit shows more, --developer narrows them.",
            output::count(settings.limit, "batch")
        ))?;
    }
    Ok(())
}

/// What the store knows of the query.
struct Traced {
    batches: Page<TracedBatch>,
    unstored: Vec<UnstoredMessage>,
}

/// The batches that fit the query, with their steps.
async fn find_batches(
    store: &(impl History + VerifyReads),
    query: &TraceQuery,
    limit: u32,
) -> Result<Page<TracedBatch>, StoreError> {
    let asked = if query.is_narrowed_here() {
        INCARNATIONS
    } else {
        limit.saturating_add(1)
    };
    let mut batches = store.find(query.clue(), asked).await?;
    batches.retain(|batch| query.fits(batch));
    let mut names = StreamNames::default();
    let mut fitting = Vec::new();
    for batch in batches {
        let stream = names.of(store, batch.at.src).await?.to_owned();
        if query.fits_stream(&stream) {
            let steps = Vec::new();
            fitting.push(TracedBatch {
                batch,
                stream,
                steps,
            });
        }
    }
    let page = Page::new(fitting, limit);
    let mut entries = page.entries;
    for traced in &mut entries {
        traced.steps = store.audit(traced.batch.at).await?;
    }
    Ok(Page {
        entries,
        has_more: page.has_more,
    })
}

/// Messages of this sequence that were never stored, and of which the audit has rows.
async fn find_unstored(
    store: &(impl History + DeadLetters + VerifyReads),
    query: &TraceQuery,
    developer: Option<&str>,
) -> Result<Vec<UnstoredMessage>, StoreError> {
    let Some(seq) = query.sequence() else {
        return Ok(Vec::new());
    };
    let mut names = StreamNames::default();
    let mut found = Vec::new();
    for at in store
        .unstored(seq, INCARNATIONS)
        .await?
        .into_iter()
        .filter(|at| query.fits_incarnation(at.src))
    {
        let stream = names.of(store, at.src).await?.to_owned();
        if !query.fits_stream(&stream) {
            continue;
        }
        let mut steps = store.audit(at).await?;
        steps.retain(|step| developer.is_none_or(|name| step.developer.as_deref() == Some(name)));
        if !steps.is_empty() {
            found.push(UnstoredMessage { at, stream, steps });
        }
    }
    Ok(found)
}
