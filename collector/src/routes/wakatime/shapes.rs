//! Times as WakaTime's interface writes them (<https://wakatime.com/developers#summaries>).

use serde::Serialize;
use types::query::TotalReply;
use utoipa::ToSchema;

const MINUTE: i64 = 60 * 1000;
const HOUR: i64 = 60 * MINUTE;

/// Active time in its several forms.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct Spent {
    pub total_seconds: f64,
    /// `1:05`: hours and minutes.
    pub digital: String,
    /// `1.08`: hours.
    pub decimal: String,
    /// `1 hr 5 mins`.
    pub text: String,
    pub hours: i64,
    /// Of the last hour.
    pub minutes: i64,
    /// Of the last minute.
    pub seconds: i64,
}

/// The active time of a project, language or the like.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct TimeRow {
    pub name: String,
    /// What the list's time has of all of it, with two decimals.
    pub percent: f64,
    /// Of a machine: what heartbeats know it by.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub machine_name_id: Option<String>,
    #[serde(flatten)]
    pub spent: Spent,
}

impl Spent {
    /// Of so many milliseconds.
    pub fn of(ms: i64) -> Self {
        let (hours, minutes) = (ms / HOUR, ms % HOUR / MINUTE);
        Self {
            total_seconds: seconds(ms),
            digital: format!("{hours}:{minutes:02}"),
            decimal: format!("{:.2}", ms as f64 / HOUR as f64),
            text: text(ms),
            hours,
            minutes,
            seconds: ms % MINUTE / 1000,
        }
    }
}

/// Seconds with their fraction.
pub fn seconds(ms: i64) -> f64 {
    ms as f64 / 1000.0
}

/// `2 hrs 1 min`; under a minute `10 secs`.
pub fn text(ms: i64) -> String {
    let counted = |number: i64, unit: &str| {
        let plural = if number == 1 { "" } else { "s" };
        format!("{number} {unit}{plural}")
    };
    match (ms / HOUR, ms % HOUR / MINUTE) {
        (0, 0) => counted(ms / 1000, "sec"),
        (0, minutes) => counted(minutes, "min"),
        (hours, 0) => counted(hours, "hr"),
        (hours, minutes) => format!("{} {}", counted(hours, "hr"), counted(minutes, "min")),
    }
}

/// A row for each time, in their order.
pub fn rows<'a>(times: impl IntoIterator<Item = (&'a str, i64)> + Clone) -> Vec<TimeRow> {
    let whole: i64 = times.clone().into_iter().map(|(_, ms)| ms).sum();
    let row = |(name, ms): (&str, i64)| TimeRow {
        name: name.to_owned(),
        percent: (ms as f64 / whole as f64 * 10_000.0).round() / 100.0,
        machine_name_id: None,
        spent: Spent::of(ms),
    };
    let some = times.into_iter().filter(|(_, ms)| *ms > 0);
    some.map(row).collect()
}

/// The rows of machines.
pub fn machines<'a>(times: impl IntoIterator<Item = (&'a str, i64)> + Clone) -> Vec<TimeRow> {
    let mut rows = rows(times);
    for row in &mut rows {
        row.machine_name_id = Some(row.name.clone());
    }
    rows
}

/// Totals as [`rows`] takes them.
pub fn times(totals: &[TotalReply]) -> impl Iterator<Item = (&str, i64)> + Clone {
    totals.iter().map(|total| (total.name.as_str(), total.ms))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_written_as_clients_show_them() {
        for (ms, digital, decimal, text) in [
            (0, "0:00", "0.00", "0 secs"),
            (1_999, "0:00", "0.00", "1 sec"),
            (59_999, "0:00", "0.02", "59 secs"),
            (60_000, "0:01", "0.02", "1 min"),
            (180_000, "0:03", "0.05", "3 mins"),
            (3_600_000, "1:00", "1.00", "1 hr"),
            (3_660_000, "1:01", "1.02", "1 hr 1 min"),
            (7_384_500, "2:03", "2.05", "2 hrs 3 mins"),
            (360_000_000, "100:00", "100.00", "100 hrs"),
        ] {
            let spent = Spent::of(ms);
            let written = [&spent.digital, &spent.decimal, &spent.text];
            assert_eq!(written, [digital, decimal, text], "{ms}");
        }
        let spent = Spent::of(7_384_500);
        assert_eq!((spent.hours, spent.minutes, spent.seconds), (2, 3, 4));
        assert!((spent.total_seconds - 7384.5).abs() < f64::EPSILON);
    }

    #[test]
    fn percents_are_of_the_list_and_what_has_no_time_is_left_out() {
        let rows = rows([("a", 2_000), ("b", 1_000), ("c", 0)]);
        let percents: Vec<(&str, f64)> = rows
            .iter()
            .map(|row| (row.name.as_str(), row.percent))
            .collect();
        assert_eq!(percents, [("a", 66.67), ("b", 33.33)]);
        assert_eq!(super::rows([("a", 0)]), []);
    }
}
