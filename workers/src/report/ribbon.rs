//! Sessions on the line of each day. Pure.

use std::cmp::Reverse;

use maud::{Markup, html};

use super::heat_map::{DAY_WIDTH, LEFT, ROW, TOP, at, day_labels, hour_labels, percent};
use super::table::{DataRow, DataTable};
use super::week_counts::WeekCounts;
use super::words::{clock, counted, duration, list, long_day, number, short_day, shorten, weekday};
use crate::aggregate::{Session, shown_name};

/// Sessions that are drawn and listed: the longest. Of shorter ones only the sum is told.
const SHOWN: usize = 200;
/// Projects that are named of a session.
const NAMED: usize = 3;
const NAME: usize = 40;
const DAY_MINUTES: i64 = 24 * 60;
const MINUTE_MS: i64 = 60_000;
/// Height of a session in its row.
const HEIGHT: u32 = 20;

/// A session that is shown.
#[derive(Debug)]
struct Shown<'a> {
    session: &'a Session,
    /// The index of the day that it began on.
    day: usize,
    /// Minutes from the midnight before it to its beginning.
    from: i64,
    /// Minutes from that midnight to its end.
    to: i64,
}

/// The sessions of a week.
#[derive(Debug)]
pub struct Ribbon<'a> {
    week: &'a WeekCounts,
    /// In the order of time.
    shown: Vec<Shown<'a>>,
    others: usize,
    /// Their time, in ms.
    others_ms: i64,
}

impl<'a> Ribbon<'a> {
    /// Those that began in this week.
    pub fn of(week: &'a WeekCounts) -> Self {
        let of_days = week.days.iter().enumerate();
        let mut shown: Vec<Shown<'a>> = of_days
            .flat_map(|(day, reported)| {
                let sessions = reported.counts.sessions.iter();
                sessions.map(move |session| Shown::of(session, day))
            })
            .collect();
        shown.sort_by_key(|shown| (Reverse(length(shown.session)), shown.session.start));
        let others = shown.split_off(shown.len().min(SHOWN));
        shown.sort_by_key(|shown| shown.session.start);
        Self {
            week,
            shown,
            others: others.len(),
            others_ms: others.iter().map(|other| length(other.session)).sum(),
        }
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.shown.is_empty()
    }

    /// The plot: a row for each day, a bar for each session.
    pub fn plot(&self) -> Markup {
        html! {
            svg class="plot" width="100%" height=(TOP + 7 * ROW) role="img"
                aria-labelledby="sessions-title" aria-describedby="sessions-says" {
                title id="sessions-title" { "Sessions on the line of each day" }
                @for row in 0..7 {
                    rect class="tile" x=(percent(LEFT)) y=(TOP + row * ROW) width=(percent(DAY_WIDTH))
                        height="24" rx="3" {}
                }
                (hour_labels(true))
                (day_labels(self.week))
                @for shown in &self.shown {
                    @for piece in shown.pieces() {
                        rect class="session" x=(at(piece.from as f64 / 60.0)) y=(TOP + piece.row * ROW + 2)
                            width=(percent(piece.width())) height=(HEIGHT) rx="2" {
                            title { (self.tip(shown)) }
                        }
                    }
                }
            }
        }
    }

    fn tip(&self, shown: &Shown<'_>) -> String {
        let day = self.week.days[shown.day].date;
        let Shown { session, .. } = shown;
        format!(
            "{}, {}: {}",
            long_day(day),
            shown.times(),
            duration(length(session))
        )
    }

    /// What the plot shows, in a sentence or two.
    pub fn says(&self) -> String {
        let Some(longest) = self.shown.iter().max_by_key(|shown| length(shown.session)) else {
            return String::new();
        };
        let all = self.shown.len() + self.others;
        let idle = self.week.days.iter().map(|day| day.counts.idle).max();
        let text = format!(
            "{}, each without a pause of more than {}. The longest was on {}, {}: {}.",
            counted(all as u64, "session"),
            duration(idle.unwrap_or_default()),
            weekday(self.week.days[longest.day].date),
            longest.times(),
            duration(length(longest.session)),
        );
        match self.others() {
            Some(others) => format!("{text} {others}"),
            None => text,
        }
    }

    fn others(&self) -> Option<String> {
        (self.others > 0).then(|| {
            format!(
                "Shown are the {} longest; left out: {}, {} together.",
                number(SHOWN as u64),
                counted(self.others as u64, "other"),
                duration(self.others_ms),
            )
        })
    }

    /// A row for each session.
    pub fn table(&self) -> DataTable {
        let columns = ["Day", "From", "To", "Length", "Events", "Projects"];
        let note = "A session that ends on the next day says so; it is counted on the day that it began on.";
        DataTable {
            caption: "sessions".to_owned(),
            columns: columns.map(str::to_owned).into(),
            rows: self.shown.iter().map(|shown| self.row(shown)).collect(),
            last: None,
            note: Some(
                [Some(note.to_owned()), self.others()]
                    .into_iter()
                    .flatten()
                    .collect::<Vec<_>>()
                    .join(" "),
            ),
        }
    }

    fn row(&self, shown: &Shown<'_>) -> DataRow {
        let day = &self.week.days[shown.day];
        let Shown { session, .. } = shown;
        let projects = session.longest_projects();
        let name = |(key, _): &(&str, i64)| {
            let name = day
                .counts
                .project_names
                .get(*key)
                .map_or(shown_name(key), String::as_str);
            shorten(name, NAME)
        };
        let mut names: Vec<String> = projects.iter().take(NAMED).map(name).collect();
        let more = projects.len().saturating_sub(NAMED);
        names.extend((more > 0).then(|| format!("{more} more")));
        let Shown { from, to, .. } = shown;
        DataRow {
            header: short_day(day.date),
            cells: vec![
                clock(*from),
                end(*to),
                duration(length(session)),
                number(session.events),
                list(&names),
            ],
        }
    }
}

/// A part of a session that lies on one day of the week.
#[derive(Debug, PartialEq, Eq)]
struct Piece {
    row: u32,
    /// In minutes since midnight.
    from: i64,
    to: i64,
}

impl Piece {
    /// In percent of the plot's width; at least what can be seen.
    fn width(&self) -> f64 {
        let width = (self.to - self.from) as f64 * DAY_WIDTH / DAY_MINUTES as f64;
        width.max(0.7)
    }
}

impl<'a> Shown<'a> {
    fn of(session: &'a Session, day: usize) -> Self {
        let local = |ms: i64| (ms + i64::from(session.offset) * 1000).div_euclid(MINUTE_MS);
        let midnight = local(session.start).div_euclid(DAY_MINUTES) * DAY_MINUTES;
        Self {
            session,
            day,
            from: local(session.start) - midnight,
            to: local(session.end) - midnight,
        }
    }

    /// Its parts on the days of this week; what lies beyond Sunday is not drawn.
    fn pieces(&self) -> Vec<Piece> {
        let rows = (self.day..7).zip(0..);
        let piece = |(row, after): (usize, i64)| {
            let midnight = after * DAY_MINUTES;
            let (from, to) = (self.from.max(midnight), self.to.min(midnight + DAY_MINUTES));
            let is_there = from < to || (from == to && after == 0);
            is_there.then(|| Piece {
                row: u32::try_from(row).unwrap_or_default(),
                from: from - midnight,
                to: to - midnight,
            })
        };
        rows.filter_map(piece).collect()
    }

    fn times(&self) -> String {
        format!("{} to {}", clock(self.from), end(self.to))
    }
}

/// When a session ends, in minutes since the midnight before it began.
fn end(minutes: i64) -> String {
    match minutes / DAY_MINUTES {
        0 => clock(minutes),
        1 => format!("{} the next day", clock(minutes % DAY_MINUTES)),
        days => format!("{} {days} days later", clock(minutes % DAY_MINUTES)),
    }
}

fn length(session: &Session) -> i64 {
    session.end - session.start
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[test]
    fn a_session_over_midnight_goes_on_in_the_next_row() {
        let hour = 60 * MINUTE_MS;
        // Monday, 2026-03-02, 23:30 to 01:15 in UTC+01:00.
        let start = 1_772_406_000_000 + 23 * hour + hour / 2;
        let session = |length: i64| Session {
            start,
            end: start + length,
            day: "2026-03-02".to_owned(),
            offset: 3600,
            events: 2,
            projects: BTreeMap::new(),
        };
        let long = session(hour * 7 / 4);
        let pieces = |day| Shown::of(&long, day).pieces();
        let first = |row| Piece {
            row,
            from: 1410,
            to: 1440,
        };
        let second = |row| Piece {
            row,
            from: 0,
            to: 75,
        };
        assert_eq!(pieces(0), [first(0), second(1)]);
        assert_eq!(pieces(6), [first(6)], "Sunday is the last row");
        assert_eq!(Shown::of(&long, 0).times(), "23:30 to 01:15 the next day");
        let short = session(1);
        assert_eq!(Shown::of(&short, 0).pieces().len(), 1);
        let longest = session(26 * hour);
        assert_eq!(
            Shown::of(&longest, 0).times(),
            "23:30 to 01:30 2 days later"
        );
        assert_eq!(Shown::of(&longest, 0).pieces().len(), 3);
    }
}
