//! `devtrail metrics`: the days of a developer, or of everyone.

mod day;
mod table;

use anyhow::bail;
use runtime::settings::UsageError;
use serde_json::{Map, Value};
use store::QueryReads;

use crate::output;
use crate::target::{Target, with_store};
use crate::time_args::parse_day;
use day::Day;

/// What to do with metrics.
#[derive(Debug, clap::Subcommand)]
pub enum MetricsCommand {
    /// Show the days of a developer
    #[command(after_help = "Examples:
  devtrail metrics show ada
  devtrail metrics show ada --from 2026-03-01 --to 2026-03-31
  devtrail metrics show --all --json")]
    Show(MetricsShowSettings),
}

/// Which days, of which developers.
#[derive(Debug, clap::Args)]
pub struct MetricsShowSettings {
    #[command(flatten)]
    target: Target,
    /// The developer
    #[arg(required_unless_present = "all", conflicts_with = "all")]
    developer: Option<String>,
    /// Everyone's
    #[arg(long)]
    all: bool,
    /// First day, YYYY-MM-DD [default: with neither --from nor --to the newest 14 days that have
    /// events, in JSON all of them]
    #[arg(long, value_name = "DAY", value_parser = parse_day)]
    from: Option<String>,
    /// Last day, YYYY-MM-DD
    #[arg(long, value_name = "DAY", value_parser = parse_day)]
    to: Option<String>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Before every day that an event can have.
const FIRST_DAY: &str = "0000-01-01";
/// After every day that an event can have.
const LAST_DAY: &str = "9999-12-31";
/// Days shown if no range is given: about what fits on a screen.
const NEWEST: usize = 14;
/// Most developers named in the error if the given one has no days.
const NAMED: usize = 10;

/// Runs the command.
///
/// # Errors
/// Returns an error if the database cannot be read, or the developer has no metrics.
pub async fn run(command: MetricsCommand) -> anyhow::Result<()> {
    let MetricsCommand::Show(settings) = command;
    with_store!(settings.target, |store| show(&store, &settings).await)
}

async fn show(store: &impl QueryReads, settings: &MetricsShowSettings) -> anyhow::Result<()> {
    let people = match &settings.developer {
        Some(developer) => vec![developer.clone()],
        None => store.developers().await?,
    };
    let from = settings.from.as_deref();
    let to = settings.to.as_deref();
    if let Some(from) = from
        && let Some(to) = to
        && from > to
    {
        let reason =
            format!("There is no day from {from} to {to}: --from is after --to; exchange them.");
        return Err(UsageError(reason).into());
    }
    let mut list = Vec::new();
    for (index, developer) in people.iter().enumerate() {
        // All days are few: one row a day.
        let all = days(store, developer).await?;
        if settings.developer.is_some() && all.is_empty() {
            bail!(unknown(developer, &store.developers().await?));
        }
        let chosen = choose(
            &all,
            from,
            to,
            if settings.json { usize::MAX } else { NEWEST },
        );
        if settings.json {
            list.extend(chosen.iter().map(|day| as_json(developer, day)));
            continue;
        }
        if index > 0 {
            output::line("")?;
        }
        output::line(table::text(developer, &chosen, &all))?;
    }
    if settings.json {
        return Ok(output::json(&list)?);
    }
    if people.is_empty() {
        Ok(output::line("No developer has metrics yet.")?)
    } else {
        Ok(())
    }
}

/// The days from `from` to `to`; with neither, the `newest` so many.
fn choose<'a>(all: &'a [Day], from: Option<&str>, to: Option<&str>, newest: usize) -> Vec<&'a Day> {
    if from.is_none() && to.is_none() {
        return all[all.len() - newest.min(all.len())..].iter().collect();
    }
    let from = from.unwrap_or(FIRST_DAY);
    let to = to.unwrap_or(LAST_DAY);
    all.iter()
        .filter(|day| (from..=to).contains(&day.day.as_str()))
        .collect()
}

async fn days(store: &impl QueryReads, developer: &str) -> anyhow::Result<Vec<Day>> {
    let days = store
        .days(
            developer.to_owned(),
            FIRST_DAY.to_owned(),
            LAST_DAY.to_owned(),
        )
        .await?;
    let days = days
        .into_iter()
        .map(|stored| Day::read(stored.day, &stored.metrics.body));
    // A day that lost its events is like one that never had any.
    days.filter(|day| day.as_ref().map_or(true, |day| !day.is_empty()))
        .collect()
}

fn as_json(developer: &str, day: &Day) -> Map<String, Value> {
    let names = [("developer", developer), ("day", day.day.as_str())];
    let names = names.map(|(key, value)| (key.to_owned(), Value::from(value)));
    names.into_iter().chain(day.body.clone()).collect()
}

/// What to tell who asks for somebody without days.
fn unknown(developer: &str, people: &[String]) -> String {
    let known = match people {
        [] => {
            "Nobody has metrics yet; `devtrail import git .` makes some of your commits.".to_owned()
        }
        few if few.len() <= NAMED => format!("There are metrics of {}.", few.join(", ")),
        many => format!(
            "There are metrics of {} developers; --all shows them.",
            many.len()
        ),
    };
    format!(
        "There are no metrics of {developer:?}. {known} Metrics appear once a batch's aggregate job is done; \
         `devtrail status` shows the jobs that wait."
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_developer_is_answered_with_the_known_ones() {
        let people = ["ada".to_owned(), "bob".to_owned()];
        assert!(unknown("adda", &people).contains("\"adda\". There are metrics of ada, bob."));
        assert!(unknown("ada", &[]).contains("Nobody has metrics yet"));
    }

    #[test]
    fn without_a_range_the_newest_days_are_chosen() {
        let day = |number: u32| Day::read(format!("2026-03-{number:02}"), "{}").unwrap();
        let all: Vec<Day> = (1..=20).map(day).collect();
        let numbers = |from, to, newest| {
            let chosen = choose(&all, from, to, newest);
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
        assert!(choose(&[], None, None, NEWEST).is_empty());
    }

    #[test]
    fn programs_get_the_whole_day_with_its_names() {
        let day = Day::read("2026-03-01".to_owned(), r#"{"edits": 3, "new_key": [1]}"#).unwrap();
        let json = Value::from(as_json("ada", &day));
        let expected = serde_json::json!({"developer": "ada", "day": "2026-03-01", "edits": 3, "new_key": [1]});
        assert_eq!(json, expected);
    }
}
