//! `devtrail metrics`, `today` and `stats`: the days of a developer, or of everyone.

mod by;
mod csv;
mod day;
mod explained;
mod report;
mod stored_days;
mod table;

use anyhow::bail;
use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde_json::{Value, json};
use store::{Jobs, Listings, QueryReads};
use types::id::DeveloperId;
use workers::aggregate::explain_stored;

use crate::developer::{self, OwnDeveloper};
use crate::output::{self, OUTPUT, SELECTION};
use crate::target::{Target, with_store};
use crate::time_args::{DayRangeArgs, parse_day};
use by::By;
use day::Day;
use report::ReportSettings;
use stored_days::{days, without_days};

/// What to do with metrics.
#[derive(Debug, clap::Subcommand)]
pub enum MetricsCommand {
    /// Show the days of a developer, or of everyone
    ///
    /// With neither --from nor --to it shows the newest 14 days that have events, in JSON all of them.
    Show(MetricsShowSettings),
    /// Show what a day's active time is made of: what counts, from which events, and why a pause does not
    Explain(MetricsExplainSettings),
    /// Write a week as a page to look at: one HTML file with plots, which needs no other file and no network
    ///
    /// The file is replaced if it is an earlier report; any other file is left alone.
    Report(ReportSettings),
}

/// Which days, of which developers.
#[derive(Debug, clap::Args)]
#[command(after_long_help = "Examples:
  devtrail metrics show ada
  devtrail metrics show ada --from 2026-03-01 --to 2026-03-31
  devtrail metrics show ada --by project
  devtrail metrics show ada --by language --csv > languages.csv
  devtrail metrics show --all --json")]
pub struct MetricsShowSettings {
    /// The developer
    #[arg(
        value_name = "DEVELOPER",
        required_unless_present_any = ["all", "named"],
        conflicts_with_all = ["all", "named"]
    )]
    developer: Option<DeveloperId>,
    #[arg(
        long = "developer",
        id = "named",
        value_name = "DEVELOPER",
        hide = true,
        conflicts_with = "all"
    )]
    named: Option<DeveloperId>,
    /// Everyone's
    #[arg(long, help_heading = SELECTION)]
    all: bool,
    #[command(flatten)]
    range: DayRangeArgs,
    /// Show the active time of all days by this
    #[arg(long, value_enum, help_heading = SELECTION)]
    by: Option<By>,
    #[command(flatten)]
    target: Target,
    /// Print JSON
    #[arg(long, help_heading = OUTPUT)]
    json: bool,
    /// Print comma-separated values (RFC 4180)
    #[arg(long, help_heading = OUTPUT, conflicts_with = "json")]
    csv: bool,
}

/// Which day.
#[derive(Debug, clap::Args)]
#[command(after_long_help = "Examples:
  devtrail metrics explain ada 2026-03-01
  devtrail metrics explain ada 2026-03-01 --json")]
pub struct MetricsExplainSettings {
    /// The developer
    developer: DeveloperId,
    /// The local day, YYYY-MM-DD
    #[arg(value_name = "DAY", value_parser = parse_day)]
    day: String,
    #[command(flatten)]
    target: Target,
    /// Print JSON
    #[arg(long, help_heading = OUTPUT)]
    json: bool,
}

/// Whose day.
#[derive(Debug, clap::Args)]
#[command(after_long_help = "Examples:
  devtrail today
  devtrail today ada --json")]
pub struct TodaySettings {
    #[command(flatten)]
    developer: OwnDeveloper,
    #[command(flatten)]
    target: Target,
    /// Print JSON
    #[arg(long, help_heading = OUTPUT)]
    json: bool,
}

/// Whose days.
#[derive(Debug, clap::Args)]
#[command(after_long_help = "Examples:
  devtrail stats
  devtrail stats ada --from 2026-03-01")]
pub struct StatsSettings {
    #[command(flatten)]
    developer: OwnDeveloper,
    #[command(flatten)]
    range: DayRangeArgs,
    #[command(flatten)]
    target: Target,
    /// Print JSON
    #[arg(long, help_heading = OUTPUT)]
    json: bool,
}

/// What to show.
struct Asked {
    target: Target,
    /// `None`: everyone.
    developer: Option<DeveloperId>,
    range: DayRangeArgs,
    by: Option<By>,
    format: Format,
}

/// How it is printed.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Format {
    Table,
    Json,
    Csv,
}

impl Format {
    fn of(json: bool, csv: bool) -> Self {
        match (json, csv) {
            (true, _) => Self::Json,
            (_, true) => Self::Csv,
            _ => Self::Table,
        }
    }
}

/// Days shown if no range is given: about what fits on a screen.
const NEWEST: usize = 14;
/// Runs the command.
///
/// # Errors
/// Returns an error if the database cannot be read, or the developer has no metrics.
pub async fn run(command: MetricsCommand) -> anyhow::Result<()> {
    let settings = match command {
        MetricsCommand::Show(settings) => settings,
        MetricsCommand::Explain(settings) => return explain(&settings).await,
        MetricsCommand::Report(settings) => return report::run(&settings).await,
    };
    show(&Asked {
        target: settings.target,
        developer: settings.developer.or(settings.named),
        range: settings.range,
        by: settings.by,
        format: Format::of(settings.json, settings.csv),
    })
    .await
}

async fn explain(settings: &MetricsExplainSettings) -> anyhow::Result<()> {
    with_store!(settings.target, |store| explain_from(&store, settings)
        .await)
}

async fn explain_from(
    store: &(impl QueryReads + Jobs),
    settings: &MetricsExplainSettings,
) -> anyhow::Result<()> {
    let MetricsExplainSettings { developer, day, .. } = settings;
    let explained = explain_stored(store, developer.to_string(), day.clone()).await?;
    let Some(explained) = explained else {
        developer::ensure_known(&settings.target, Some(developer)).await?;
        bail!(
            "{developer} has no metrics on {day}. `devtrail metrics show {developer}` lists the days that have some."
        );
    };
    if settings.json {
        return Ok(output::json(&explained)?);
    }
    Ok(output::line(explained::text(
        developer.as_str(),
        &explained,
        output::terminal_width(),
    ))?)
}

/// Runs `devtrail today`.
///
/// # Errors
/// Returns an error if the database cannot be read, or the developer has no metrics.
pub async fn today(settings: TodaySettings) -> anyhow::Result<()> {
    let day = TimeZone::to_datetime(&here()?, Timestamp::now()).date();
    show(&Asked {
        target: settings.target,
        developer: Some(settings.developer.name()),
        range: DayRangeArgs::of(day.to_string()),
        by: None,
        format: Format::of(settings.json, false),
    })
    .await
}

/// Runs `devtrail stats`.
///
/// # Errors
/// Returns an error if the database cannot be read, or the developer has no metrics.
pub async fn stats(settings: StatsSettings) -> anyhow::Result<()> {
    show(&Asked {
        target: settings.target,
        developer: Some(settings.developer.name()),
        range: settings.range,
        by: None,
        format: Format::of(settings.json, false),
    })
    .await
}

/// This machine's time zone.
fn here() -> anyhow::Result<TimeZone> {
    let named = std::env::var("TZ").ok().filter(|name| !name.is_empty());
    if let Some(name) = named {
        return Ok(TimeZone::get(name.trim_start_matches(':'))?);
    }
    Ok(std::fs::read("/etc/localtime")
        .ok()
        .and_then(|rules| TimeZone::tzif("local", &rules).ok())
        .unwrap_or(TimeZone::UTC))
}

async fn show(asked: &Asked) -> anyhow::Result<()> {
    asked.range.check()?;
    with_store!(asked.target, |store| show_from(&store, asked).await)
}

async fn show_from(store: &(impl QueryReads + Listings), asked: &Asked) -> anyhow::Result<()> {
    let people = match &asked.developer {
        Some(developer) => vec![developer.to_string()],
        None => store.developers().await?,
    };
    let mut list = Vec::new();
    let mut lines = vec![csv::head(asked.by)];
    for (index, developer) in people.iter().enumerate() {
        // All days are few: one row a day.
        let all = days(store, developer).await?;
        if asked.developer.is_some() && all.is_empty() {
            developer::ensure_known(&asked.target, asked.developer.as_ref()).await?;
            bail!(without_days(developer, &store.developers().await?));
        }
        let newest = match asked.format {
            Format::Table => NEWEST,
            Format::Json | Format::Csv => usize::MAX,
        };
        let chosen = choose(&all, &asked.range, newest);
        match asked.format {
            Format::Json => list.extend(as_json(developer, &chosen, asked.by)),
            Format::Csv => lines.extend(csv::lines(developer, &chosen, asked.by)),
            Format::Table => {
                if index > 0 {
                    output::line("")?;
                }
                let width = output::terminal_width();
                output::line(match asked.by {
                    Some(by) => by::text(developer, &chosen, by, width),
                    None => table::text(developer, &chosen, &all, width),
                })?;
            }
        }
    }
    match asked.format {
        Format::Json => Ok(output::json(&list)?),
        Format::Csv => Ok(output::csv(&lines)?),
        Format::Table if people.is_empty() => Ok(output::line("No developer has metrics yet.")?),
        Format::Table => Ok(()),
    }
}

/// The days of the range; with neither end, the `newest` so many.
fn choose<'a>(all: &'a [Day], range: &DayRangeArgs, newest: usize) -> Vec<&'a Day> {
    if range.is_open() {
        return all[all.len() - newest.min(all.len())..].iter().collect();
    }
    all.iter().filter(|day| range.contains(&day.day)).collect()
}

/// Each day with its names, or what `by` asks for.
fn as_json(developer: &str, days: &[&Day], by: Option<By>) -> Vec<Value> {
    let of_day = |day: &&Day| {
        let names = [("developer", developer), ("day", day.day.as_str())];
        let names = names.map(|(key, value)| (key.to_owned(), Value::from(value)));
        Value::Object(names.into_iter().chain(day.body.clone()).collect())
    };
    match by {
        None => days.iter().map(of_day).collect(),
        Some(by) => {
            let names: Vec<&str> = days.iter().map(|day| day.day.as_str()).collect();
            vec![json!({"developer": developer, "days": names, "by": by::times(days, by)})]
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_a_range_the_newest_days_are_chosen() {
        let day = |number: u32| Day::read(format!("2026-03-{number:02}"), "{}").unwrap();
        let all: Vec<Day> = (1..=20).map(day).collect();
        let numbers = |from: Option<&str>, to: Option<&str>, newest| {
            let range = DayRangeArgs {
                from: from.map(str::to_owned),
                to: to.map(str::to_owned),
            };
            let chosen = choose(&all, &range, newest);
            chosen
                .iter()
                .map(|day| day.day[8..].parse().unwrap())
                .collect::<Vec<u32>>()
        };
        assert_eq!(numbers(None, None, NEWEST), (7..=20).collect::<Vec<u32>>());
        assert_eq!(numbers(None, None, usize::MAX).len(), 20);
        assert_eq!(
            numbers(Some("2026-03-02"), Some("2026-03-03"), NEWEST),
            [2, 3]
        );
        assert_eq!(numbers(Some("2026-03-02"), None, NEWEST).len(), 19);
        assert!(numbers(None, Some("2026-02-28"), NEWEST).is_empty());
        assert!(choose(&[], &DayRangeArgs::default(), NEWEST).is_empty());
    }

    #[test]
    fn programs_get_the_whole_day_with_its_names() {
        let day = Day::read("2026-03-01".to_owned(), r#"{"edits": 3, "new_key": [1]}"#).unwrap();
        let expected = json!({"developer": "ada", "day": "2026-03-01", "edits": 3, "new_key": [1]});
        assert_eq!(as_json("ada", &[&day], None), [expected]);
    }
}
