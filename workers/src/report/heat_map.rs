//! Active time by day and hour of the local clock. Pure.

use maud::{Markup, html};

use super::table::{DataRow, DataTable};
use super::week_counts::{ReportedDay, WeekCounts};
use super::words::{clock, duration, long_day, offset, short_day, weekday};

/// Where the hours begin, and how wide all of them are, in percent of the plot's width: so the plot fits any width, and
/// its texts keep their size.
pub const LEFT: f64 = 14.5;
/// Width of a day of 24 hours, in percent.
pub const DAY_WIDTH: f64 = 85.0;
/// Height of a day's row, in pixels.
pub const ROW: u32 = 28;
/// Room above the rows for the hours' labels.
pub const TOP: u32 = 22;
const CELL: f64 = 24.0;
const HOUR_MS: i64 = 3_600_000;
/// Least height of what is filled: a minute must be seen.
const LEAST: f64 = 3.0;

/// The labels of the hours above the rows, with lines through them if they are `ruled`.
pub fn hour_labels(ruled: bool) -> Markup {
    let bottom = TOP + 7 * ROW;
    html! {
        @for hour in (0..24).step_by(3) {
            @let x = at(f64::from(hour));
            @if ruled {
                line class="rule" x1=(x) x2=(x) y1=(TOP) y2=(bottom) {}
            }
            text class="label" x=(x) y=(TOP - 8) { (format!("{hour:02}")) }
        }
    }
}

/// The labels of the days before their rows.
pub fn day_labels(week: &WeekCounts) -> Markup {
    html! {
        @for (row, day) in (0..).zip(&week.days) {
            text class="label end" x=(percent(LEFT - 1.0)) y=(TOP + row * ROW + 17) { (short_day(day.date)) }
        }
    }
}

/// Where this hour of the day is; parts of an hour count as well.
pub fn at(hour: f64) -> String {
    percent(LEFT + hour * DAY_WIDTH / 24.0)
}

/// A part of the plot's width.
pub fn percent(part: f64) -> String {
    let text = format!("{part:.2}");
    format!("{}%", text.trim_end_matches('0').trim_end_matches('.'))
}

/// The plot, with one tile for each hour: filled from below by the part that was active, the darker the more.
pub fn plot(week: &WeekCounts) -> Markup {
    let width = percent(DAY_WIDTH / 24.0 - 0.35);
    html! {
        svg class="plot" width="100%" height=(TOP + 7 * ROW) role="img"
            aria-labelledby="hours-title" aria-describedby="hours-says" {
            title id="hours-title" { "Active time by day and hour" }
            (hour_labels(false))
            (day_labels(week))
            @for (row, day) in (0..).zip(&week.days) {
                @let y = f64::from(TOP + row * ROW);
                @for (hour, active) in (0..24).zip(day.active_by_hour()) {
                    @let x = at(f64::from(hour));
                    rect class="tile" x=(x) y=(y) width=(width) height=(CELL) rx="3" {}
                    @if active > 0 {
                        @let height = filled(active);
                        rect class={ "heat-" (level(active)) } x=(x) y=(round(y + CELL - height)) width=(width)
                            height=(round(height)) rx="3" {
                            title { (tip(day, i64::from(hour), active)) }
                        }
                    }
                }
            }
        }
        ul class="legend" {
            li { (swatch("tile")) "no time" }
            @for (level, text) in (1..).zip(["under 15 min", "15 to 29 min", "30 to 44 min", "45 min and more"]) {
                li { (swatch(&format!("heat-{level}"))) (text) }
            }
        }
    }
}

/// A small square of a legend, in the style of this class.
pub fn swatch(class: &str) -> Markup {
    html! {
        svg class="swatch" width="14" height="14" aria-hidden="true" {
            rect class=(class) width="14" height="14" rx="3" {}
        }
    }
}

fn tip(day: &ReportedDay, hour: i64, active: i64) -> String {
    format!(
        "{}, {}: {}",
        long_day(day.date),
        hour_range(hour),
        duration(active)
    )
}

fn hour_range(hour: i64) -> String {
    format!("{} to {}", clock(hour * 60), clock((hour + 1) * 60))
}

fn filled(active: i64) -> f64 {
    let part = active.min(HOUR_MS) as f64 / HOUR_MS as f64;
    (part * CELL).max(LEAST)
}

fn round(pixels: f64) -> f64 {
    (pixels * 10.0).round() / 10.0
}

/// From 1 to 4, by quarters of an hour.
fn level(active: i64) -> i64 {
    (active / (HOUR_MS / 4)).clamp(0, 3) + 1
}

/// What the plot shows, in a sentence or two.
pub fn says(week: &WeekCounts) -> String {
    let days = week.days.iter();
    let Some(busiest) = days.max_by_key(|day| (day.active(), std::cmp::Reverse(day.date))) else {
        return String::new();
    };
    let hours = week.days.iter().flat_map(|day| {
        let hours = (0..).zip(day.active_by_hour());
        hours.map(move |(hour, active)| (active, day, hour))
    });
    let Some((active, day, hour)) =
        hours.reduce(|one, next| if next.0 > one.0 { next } else { one })
    else {
        return String::new();
    };
    format!(
        "The busiest day was {}, with {}. The busiest hour was {} {}, with {}.",
        weekday(busiest.date),
        duration(busiest.active()),
        weekday(day.date),
        hour_range(hour),
        duration(active),
    )
}

/// How days are shown on which the clock was changed, a sentence for each.
pub fn clock_changes(week: &WeekCounts) -> Vec<String> {
    let changed = week.days.iter().filter_map(|day| {
        let offsets = day.offsets();
        let shown: Vec<String> = offsets.iter().map(|seconds| offset(*seconds)).collect();
        (offsets.len() > 1).then(|| {
            format!(
                "On {} the clock went from {}: an hour that came twice is one tile with the time of both, and an hour \
                 that the clock skipped has none.",
                long_day(day.date),
                shown.join(" to "),
            )
        })
    });
    changed.collect()
}

/// The hours that have any time, by day.
pub fn table(week: &WeekCounts) -> DataTable {
    let by_hour = week.days.each_ref().map(ReportedDay::active_by_hour);
    let row = |hour: usize| DataRow {
        header: clock(hour as i64 * 60),
        cells: by_hour.iter().map(|day| or_nothing(day[hour])).collect(),
    };
    let has_time = |hour: &usize| by_hour.iter().any(|day| day[*hour] > 0);
    DataTable {
        caption: "active time by hour and day".to_owned(),
        columns: day_columns("Hour", week),
        rows: (0..24).filter(has_time).map(row).collect(),
        last: Some(DataRow {
            header: "Day".to_owned(),
            cells: week
                .days
                .iter()
                .map(|day| or_nothing(day.active()))
                .collect(),
        }),
        note: Some(format!(
            "Hours without any time are left out. Times are rounded down. {}",
            clock_changes(week).join(" ")
        ))
        .map(|note| note.trim_end().to_owned()),
    }
}

/// The heads of a table that has a column for each day.
pub fn day_columns(first: &str, week: &WeekCounts) -> Vec<String> {
    let days = week.days.iter().map(|day| short_day(day.date));
    [first.to_owned()].into_iter().chain(days).collect()
}

fn or_nothing(active: i64) -> String {
    if active > 0 {
        duration(active)
    } else {
        super::table::NOTHING.to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tiles_are_filled_by_the_part_of_their_hour() {
        let minute = 60_000;
        let of = |minutes: i64| (level(minutes * minute), filled(minutes * minute));
        assert_eq!(of(1), (1, LEAST));
        assert_eq!(of(15), (2, CELL / 4.0));
        assert_eq!(of(30), (3, CELL / 2.0));
        assert_eq!(of(60), (4, CELL));
        assert_eq!(of(120), (4, CELL), "an hour that came twice");
        assert_eq!(at(0.0), "14.5%");
        assert_eq!(at(24.0), "99.5%");
    }
}
