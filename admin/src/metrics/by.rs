//! `devtrail metrics show --by`: the time of some days by project, language and the like, with bars. Pure.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use clap::ValueEnum;
use serde::Serialize;
use serde_json::Value;

use super::day::Day;
use super::table::hours;
use crate::output::{SHORTEST, as_table, count, fit_table, shorten};

/// What time is told by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum By {
    Project,
    Language,
    Editor,
    Machine,
    OperatingSystem,
    Category,
    Branch,
}

impl By {
    /// The member of a day's metrics that lists it.
    fn member(self) -> &'static str {
        match self {
            Self::Project => "projects",
            Self::Language => "languages",
            Self::Editor => "editors",
            Self::Machine => "machines",
            Self::OperatingSystem => "operating_systems",
            Self::Category => "categories",
            Self::Branch => "branches",
        }
    }
}

/// Time under one name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct TimeOf {
    /// As it is shown: a project in its latest spelling.
    pub name: String,
    /// What filters know a project by.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// On all of the days.
    pub ms: i64,
    /// On each of the days that were asked for and have events, in their order.
    pub days: Vec<i64>,
}

/// The names with time on these days, the longest first.
pub fn times(days: &[&Day], by: By) -> Vec<TimeOf> {
    let mut times: BTreeMap<String, TimeOf> = BTreeMap::new();
    for (number, day) in days.iter().enumerate() {
        let shares = day.body.get(by.member()).and_then(Value::as_array);
        for share in shares.into_iter().flatten() {
            let text = |member: &str| share.get(member).and_then(Value::as_str);
            let Some(name) = text("name") else { continue };
            let key = text("key");
            let ms = share.get("ms").and_then(Value::as_i64).unwrap_or(0);
            let time = times
                .entry(key.unwrap_or(name).to_owned())
                .or_insert_with(|| TimeOf {
                    name: String::new(),
                    key: key.map(str::to_owned),
                    ms: 0,
                    days: vec![0; days.len()],
                });
            // Days come in their order: the latest spelling is shown.
            name.clone_into(&mut time.name);
            time.ms += ms;
            time.days[number] += ms;
        }
    }
    let mut times: Vec<TimeOf> = times.into_values().filter(|time| time.ms > 0).collect();
    times.sort_by(|one, other| (Reverse(one.ms), &one.name).cmp(&(Reverse(other.ms), &other.name)));
    times
}

/// Columns of the longest bar.
const BAR: usize = 20;
/// Most days that are a line of their own in a row.
const SPARKED: usize = 31;
/// Longer names are cut to this many columns of a terminal.
const NAME: u16 = 32;

/// The table of these times, with a bar for each and its course over the days.
pub fn text(developer: &str, days: &[&Day], by: By, width: Option<u16>) -> String {
    let times = times(days, by);
    let (Some(first), Some(last)) = (days.first(), days.last()) else {
        return format!("{developer}: no events on the days asked for.");
    };
    let title = format!(
        "{developer}, {} with events from {} to {}",
        count(days.len(), "day"),
        first.day,
        last.day
    );
    let Some(longest) = times.first().map(|time| time.ms) else {
        return format!("{title}: no active time is known by {}.", word(by));
    };
    let all: i64 = times.iter().map(|time| time.ms).sum();
    let head = [
        word(by).to_uppercase(),
        "TIME".to_owned(),
        "SHARE".to_owned(),
        String::new(),
        "DAYS".to_owned(),
    ];
    let head: [&str; 5] = std::array::from_fn(|column| head[column].as_str());
    let row = |time: &TimeOf| {
        [
            shorten(&time.name, NAME),
            hours(u64::try_from(time.ms / 1000).unwrap_or(0)),
            format!("{} %", (100 * time.ms + all / 2) / all),
            bar(time.ms, longest),
            sparkline(&time.days),
        ]
    };
    let rows: Vec<[String; 5]> = times.iter().map(row).collect();
    let table = fit_table(head, rows.clone(), width, SHORTEST)
        .unwrap_or_else(|| as_table(head, rows, width));
    format!("{title}\n{table}")
}

/// What a name of this kind is called.
fn word(by: By) -> &'static str {
    match by {
        By::Project => "project",
        By::Language => "language",
        By::Editor => "editor",
        By::Machine => "machine",
        By::OperatingSystem => "system",
        By::Category => "category",
        By::Branch => "branch",
    }
}

/// Blocks of eighths: a bar of [`BAR`] columns for the longest time.
fn bar(ms: i64, longest: i64) -> String {
    const EIGHTHS: [&str; 8] = ["", "▏", "▎", "▍", "▌", "▋", "▊", "▉"];
    let eighths = usize::try_from(ms * 8 * BAR as i64 / longest.max(1)).unwrap_or(0);
    let bar = format!("{}{}", "█".repeat(eighths / 8), EIGHTHS[eighths % 8]);
    if bar.is_empty() {
        EIGHTHS[1].to_owned()
    } else {
        bar
    }
}

/// A block for each day, as high as its time; a dot for none. Of many days only the newest.
fn sparkline(days: &[i64]) -> String {
    const BLOCKS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
    let days = &days[days.len().saturating_sub(SPARKED)..];
    let most = days.iter().copied().max().unwrap_or(0).max(1);
    let block = |ms: &i64| match *ms {
        0 => '·',
        ms => BLOCKS[usize::try_from((ms * 8 - 1) / most).unwrap_or(0).min(7)],
    };
    days.iter().map(block).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn day(day: &str, body: &str) -> Day {
        Day::read(day.to_owned(), body).unwrap()
    }

    fn week() -> [Day; 3] {
        [
            day(
                "2026-03-01",
                r#"{"projects": [{"name": "devtrail", "key": "devtrail", "seconds": 3600, "ms": 3600000}]}"#,
            ),
            day(
                "2026-03-02",
                r#"{"projects": [{"name": "my-app", "key": "my-app", "seconds": 900, "ms": 900000},
                                 {"name": "devtrail", "key": "devtrail", "seconds": 1800, "ms": 1800000}]}"#,
            ),
            day(
                "2026-03-04",
                r#"{"projects": [{"name": "My App", "key": "my-app", "seconds": 0, "ms": 500},
                                 {"name": "only commits", "key": "only-commits", "seconds": 0, "ms": 0}]}"#,
            ),
        ]
    }

    #[test]
    fn each_name_has_its_time_share_bar_and_days() {
        let week = week();
        let days: Vec<&Day> = week.iter().collect();
        let expected = "
ada, 3 days with events from 2026-03-01 to 2026-03-04
 PROJECT   TIME  SHARE                        DAYS
 devtrail  1:30  86 %   ████████████████████  █▄·
 My App    0:15  14 %   ███▎                  ·█▁";
        assert_eq!(
            text("ada", &days, By::Project, None),
            expected.trim_matches('\n')
        );
        let times = times(&days, By::Project);
        assert_eq!(times[1].key.as_deref(), Some("my-app"));
        assert_eq!(times[1].days, [0, 900_000, 500]);
        assert_eq!(
            text("ada", &days, By::Branch, None),
            "ada, 3 days with events from 2026-03-01 to 2026-03-04: no active time is known by branch."
        );
        assert!(text("ada", &[], By::Branch, None).contains("no events on the days asked for"));
    }
}
