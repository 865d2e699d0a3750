//! `devtrail dead list`.

use super::letter::Entry;
use super::walk::{Filter, Found, Walk, Wanted};
use crate::output;
use crate::target::Target;

/// What to list.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  devtrail dead list
  devtrail dead list --stream JOBS --consumer alert --since 2026-03-01
  devtrail dead list --developer ada --reason panic --json")]
pub struct ListSettings {
    #[command(flatten)]
    target: Target,
    #[command(flatten)]
    filter: Filter,
    /// Show at most so many letters
    #[arg(long, default_value_t = 100, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    limit: u32,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Longest reason in the table, in bytes; `dead show` and `--json` have all of it.
const REASON: usize = 100;

/// Runs the command.
///
/// # Errors
/// Where DEAD cannot be read.
pub async fn run(settings: &ListSettings) -> anyhow::Result<()> {
    let (_, js) = settings.target.connect().await?;
    let wanted = Wanted::Fitting(settings.filter.clone());
    let mut walk = Walk::new(&js, wanted).await?;
    let (limit, mut entries, mut more) = (settings.limit as usize, Vec::new(), false);
    while let Some(Found::Letter(letter)) = walk.next().await? {
        if entries.len() == limit {
            more = true;
            break;
        }
        entries.push(Entry::of(&letter));
    }
    if settings.json {
        return Ok(output::json(&entries)?);
    }
    if entries.is_empty() {
        return Ok(output::line("No dead letter fits.")?);
    }
    let head = [
        "LETTER",
        "GAVE UP (UTC)",
        "FROM",
        "BATCH",
        "DEVELOPER",
        "TRIES",
        "REASON",
    ];
    output::table(head, entries.iter().map(row).collect())?;
    if more {
        output::line(format!(
            "\nThere are more than {limit} letters; --limit or a filter chooses others."
        ))?;
    }
    Ok(())
}

fn row(entry: &Entry) -> [String; 7] {
    let text = |text: &Option<String>| text.clone().unwrap_or_default();
    let sequence = entry
        .stream_sequence
        .map(|seq| format!(" {seq}"))
        .unwrap_or_default();
    [
        entry.sequence.to_string(),
        entry.dead_at.clone(),
        format!("{}/{}{sequence}", entry.stream, entry.consumer),
        entry.job_id.clone().unwrap_or_else(|| text(&entry.batch)),
        text(&entry.developer),
        entry
            .attempts
            .map(|attempts| attempts.to_string())
            .unwrap_or_default(),
        types::json::shorten(&entry.reason.replace('\n', " "), REASON),
    ]
}
