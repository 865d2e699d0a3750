//! `devtrail quarantine list`.

use store::Quarantine;

use super::report::Entry;
use super::wanted::{Filter, Walk, Wanted};
use crate::output;
use crate::target::{Target, with_store};

/// What to list.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  devtrail quarantine list
  devtrail quarantine list --developer ada --code type_unknown --since 2026-03-01
  devtrail quarantine list --all --json")]
pub struct ListSettings {
    #[command(flatten)]
    target: Target,
    #[command(flatten)]
    filter: Filter,
    /// Show at most so many events
    #[arg(long, default_value_t = 100, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    limit: u32,
    /// Also those of which the same event is stored
    #[arg(long)]
    all: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Runs the command.
///
/// # Errors
/// Where the database cannot be read.
pub async fn run(settings: &ListSettings) -> anyhow::Result<()> {
    let limit = settings.limit as usize;
    let mut entries = with_store!(settings.target, |store| read(&store, settings).await?);
    let more = entries.len() > limit;
    entries.truncate(limit);
    if settings.json {
        return Ok(output::json(&entries)?);
    }
    if entries.is_empty() {
        return Ok(output::line("No quarantined event fits.")?);
    }
    let row = |entry: &Entry| {
        let (id, kind) = (
            entry.id.clone().unwrap_or_default(),
            entry.r#type.clone().unwrap_or_default(),
        );
        let state = entry
            .stored_as
            .as_ref()
            .map(|at| format!("stored as {at}"))
            .unwrap_or_default();
        let received = entry.received_at.clone();
        [
            entry.r#ref.clone(),
            entry.developer.clone(),
            id,
            kind,
            entry.code.to_owned(),
            received,
            state,
        ]
    };
    let head = [
        "EVENT",
        "DEVELOPER",
        "ID",
        "TYPE",
        "CODE",
        "RECEIVED (UTC)",
        "",
    ];
    output::table(head, entries.iter().map(row).collect())?;
    if more {
        output::line(format!(
            "\nThere are more than {limit} events; --limit or a filter chooses others."
        ))?;
    }
    Ok(())
}

/// One more than the limit, where there are more.
async fn read(store: &impl Quarantine, settings: &ListSettings) -> anyhow::Result<Vec<Entry>> {
    let mut walk = Walk::new(store, Wanted::Fitting(settings.filter.clone()));
    let mut entries = Vec::new();
    while let Some(batch) = walk.next().await? {
        let open = batch
            .events
            .iter()
            .filter(|event| settings.all || !event.owner.is_some_and(|held| held.same));
        entries.extend(open.map(|event| Entry::of(&batch, event)));
        if entries.len() > settings.limit as usize {
            break;
        }
    }
    Ok(entries)
}
