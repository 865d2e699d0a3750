//! `GET …/summaries`, `…/statusbar/today` and `…/status_bar/today`: days with their projects, languages and editors.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use http_server::Problem;
use jiff::ToSpan;
use jiff::civil::Date;
use runtime::clock;
use serde::{Deserialize, Serialize};
use types::query::{DayTimes, METRICS, MetricsQuery, NamedTime, Period, SHOWN_UNKNOWN};
use types::time::rfc3339;
use utoipa::ToSchema;

use super::super::query_string::{invalid, only_if_named, single};
use super::calendar::{Calendar, DaySpan, day_text};
use super::request::WakaTimeRead;
use super::shapes::{Spent, TimeRow, machines, rows, seconds, text};
use crate::api_keys::Caller;
use crate::app_state::AppState;
use crate::openapi::{SummariesParameters, WakaTimeParameters, WakaTimeRefusals};
use crate::query_client::QUERY_TIMEOUT;

/// Most days in one reply.
const MAX_DAYS: i32 = 366;

/// Days of a developer, and their sum.
#[derive(Debug, Serialize, ToSchema)]
pub struct Summaries {
    data: Vec<DaySummary>,
    cumulative_total: CumulativeTotal,
    daily_average: DailyAverage,
    /// When the first day begins.
    start: String,
    /// The last second of the last day.
    end: String,
}

/// A developer's day.
#[derive(Debug, Serialize, ToSchema)]
pub struct DaySummary {
    grand_total: Spent,
    projects: Vec<TimeRow>,
    languages: Vec<TimeRow>,
    editors: Vec<TimeRow>,
    /// This and what follows is of all work: empty if the request is for a project.
    machines: Vec<TimeRow>,
    operating_systems: Vec<TimeRow>,
    categories: Vec<TimeRow>,
    /// Only if the request is for branches.
    #[serde(skip_serializing_if = "Option::is_none")]
    branches: Option<Vec<TimeRow>>,
    /// Empty: Devtrail counts no time by dependency.
    dependencies: Vec<TimeRow>,
    range: DayRange,
}

/// Which day, on which clock.
#[derive(Debug, Serialize, ToSchema)]
pub struct DayRange {
    /// `YYYY-MM-DD`.
    date: String,
    start: String,
    end: String,
    /// For people.
    text: String,
    timezone: String,
}

/// The sum of all days.
#[derive(Debug, Serialize, ToSchema)]
pub struct CumulativeTotal {
    seconds: f64,
    text: String,
    decimal: String,
    digital: String,
}

/// The mean of the days that have time.
#[derive(Debug, Serialize, ToSchema)]
pub struct DailyAverage {
    /// Days without time.
    holidays: i64,
    days_including_holidays: i64,
    days_minus_holidays: i64,
    /// Without time in no known language.
    seconds: f64,
    text: String,
    seconds_including_other_language: f64,
    text_including_other_language: String,
}

/// Today, for a status bar.
#[derive(Debug, Serialize, ToSchema)]
pub struct StatusBar {
    /// When it was computed.
    cached_at: String,
    data: DaySummary,
}

/// A day's active time.
#[derive(Debug, Clone, Default, Deserialize)]
pub struct WorkDay {
    day: String,
    #[serde(flatten)]
    pub times: DayTimes,
}

/// What days are asked for, and what of them.
struct Asked {
    span: DaySpan,
    project: Option<String>,
    branches: Option<Vec<String>>,
}

/// Days with their projects, languages and editors.
#[utoipa::path(
    get, path = "/api/v1/users/{user}/summaries", operation_id = "getSummaries", tag = "wakatime",
    params(SummariesParameters),
    responses((status = 200, description = "Each of the days, also those without time.", body = Summaries),
        WakaTimeRefusals)
)]
pub async fn summaries(
    request: WakaTimeRead,
    State(app): State<Arc<AppState>>,
) -> Result<Json<Summaries>, Problem> {
    let asked = Asked::parse(&request.query, &request.calendar)?;
    let days = days(&app, &request.caller, asked.span, asked.project.clone()).await?;
    Ok(Json(Summaries::of(&days, &asked, &request.calendar)))
}

/// Today's time, for the status bar of an editor.
#[utoipa::path(
    get, path = "/api/v1/users/{user}/statusbar/today", operation_id = "getStatusbarToday", tag = "wakatime",
    params(WakaTimeParameters),
    responses((status = 200, description = "Today.", body = StatusBar), WakaTimeRefusals)
)]
pub async fn statusbar(
    request: WakaTimeRead,
    State(app): State<Arc<AppState>>,
) -> Result<Json<StatusBar>, Problem> {
    today(&app, &request).await
}

/// Today's time, under its other name.
#[utoipa::path(
    get, path = "/api/v1/users/{user}/status_bar/today", operation_id = "getStatusBarToday", tag = "wakatime",
    params(WakaTimeParameters),
    responses((status = 200, description = "Today.", body = StatusBar), WakaTimeRefusals)
)]
pub async fn status_bar(
    request: WakaTimeRead,
    State(app): State<Arc<AppState>>,
) -> Result<Json<StatusBar>, Problem> {
    today(&app, &request).await
}

async fn today(app: &AppState, request: &WakaTimeRead) -> Result<Json<StatusBar>, Problem> {
    let WakaTimeRead {
        caller, calendar, ..
    } = request;
    let today = calendar.today;
    let found = days(app, caller, DaySpan::of(today), None).await?.pop();
    let cached_at = rfc3339(clock::now());
    let data = DaySummary::of(&found.unwrap_or_default(), None, today, calendar);
    Ok(Json(StatusBar { cached_at, data }))
}

/// The days of a span that have events.
pub async fn days(
    app: &AppState,
    caller: &Caller,
    span: DaySpan,
    project: Option<String>,
) -> Result<Vec<WorkDay>, Problem> {
    let query = MetricsQuery {
        developer: caller.developer.to_string(),
        from: span.first.to_string(),
        to: span.last.to_string(),
        period: Period::Day,
        project,
        ..MetricsQuery::default()
    };
    app.query(caller, METRICS, &query, QUERY_TIMEOUT).await
}

impl Asked {
    fn parse(query: &str, calendar: &Calendar) -> Result<Self, Problem> {
        let span = span(query, calendar)?;
        if span.days() < 1 {
            let DaySpan { first, last } = span;
            let detail = format!("start ({first}) lies after end ({last}): exchange them.");
            return Err(invalid("start", detail));
        }
        if span.days() > MAX_DAYS {
            let days = span.days();
            let detail = format!(
                "{} to {} are {days} days, the limit is {MAX_DAYS}: ask in parts, or for stats.",
                span.first, span.last
            );
            return Err(invalid("start", detail)
                .limit(MAX_DAYS.unsigned_abs().into())
                .actual(days.unsigned_abs().into()));
        }
        let project = only_if_named(query, "project")?;
        let branches = only_if_named(query, "branches")?;
        if project.is_some() && branches.is_some() {
            let detail = "Branches are counted over all projects: leave out project, or branches.";
            return Err(invalid("branches", detail.to_owned()));
        }
        let each = |text: String| text.split(',').map(|name| name.trim().to_owned()).collect();
        Ok(Self {
            span,
            project,
            branches: branches.map(each),
        })
    }
}

/// The days from `start` to `end`, or those of `range`.
fn span(query: &str, calendar: &Calendar) -> Result<DaySpan, Problem> {
    let day = |name| calendar.named_day(query, name);
    match (day("start")?, day("end")?, single(query, "range")?) {
        (Some(first), last, _) => Ok(DaySpan {
            first,
            last: last.unwrap_or(calendar.today),
        }),
        (None, _, Some(range)) => calendar.range(&range).ok_or_else(|| {
            let range = types::json::shorten(&range, 40);
            let detail = format!(
                "range is {range:?}: write today, yesterday, last_7_days, last_7_days_from_yesterday, last_14_days, \
                    last_30_days, this_week, last_week, this_month or last_month; or name start and end."
            );
            invalid("range", detail)
        }),
        (None, _, None) => {
            let detail = "Name start and end, each as YYYY-MM-DD, or a range such as last_7_days.";
            Err(invalid("start", detail.to_owned()))
        }
    }
}

impl Summaries {
    fn of(days: &[WorkDay], asked: &Asked, calendar: &Calendar) -> Self {
        let DaySpan { first, last } = asked.span;
        let none = WorkDay::default();
        let mut found = days.iter().peekable();
        let branches = asked.branches.as_deref();
        let dates = first.series(1.day()).take_while(|date| *date <= last);
        let mut total = Average::default();
        let data = dates
            .map(|date| {
                let name = date.to_string();
                let day = found.next_if(|day| day.day == name).unwrap_or(&none);
                total.add(day.ms(branches), day.without_language(branches));
                DaySummary::of(day, branches, date, calendar)
            })
            .collect();
        let spent = Spent::of(total.ms);
        Self {
            data,
            cumulative_total: CumulativeTotal {
                seconds: spent.total_seconds,
                text: spent.text,
                decimal: spent.decimal,
                digital: spent.digital,
            },
            daily_average: total.into_daily(),
            start: calendar.start_of(first),
            end: calendar.end_of(last),
        }
    }
}

impl DaySummary {
    fn of(day: &WorkDay, branches: Option<&[String]>, date: Date, calendar: &Calendar) -> Self {
        // What is asked for by branch is known of nothing else.
        let rows_of = |shares: &[NamedTime]| match branches {
            None => rows(times(shares)),
            Some(_) => Vec::new(),
        };
        let name = date.to_string();
        let text = if date == calendar.today {
            "Today".to_owned()
        } else {
            day_text(date)
        };
        Self {
            grand_total: Spent::of(day.ms(branches)),
            projects: rows_of(&day.times.projects),
            languages: rows_of(&day.times.languages),
            editors: rows_of(&day.times.editors),
            machines: match branches {
                None => machines(times(&day.times.machines)),
                Some(_) => Vec::new(),
            },
            operating_systems: rows_of(&day.times.operating_systems),
            categories: rows_of(&day.times.categories),
            branches: branches.map(|wanted| {
                rows(times(&day.times.branches).filter(|(name, _)| is_wanted(wanted, name)))
            }),
            dependencies: Vec::new(),
            range: DayRange {
                date: name,
                start: calendar.start_of(date),
                end: calendar.end_of(date),
                text,
                timezone: calendar.name.clone(),
            },
        }
    }
}

impl WorkDay {
    /// The active time, or that in these branches.
    fn ms(&self, branches: Option<&[String]>) -> i64 {
        match branches {
            None => self.times.active_ms,
            Some(wanted) => times(&self.times.branches)
                .filter(|(name, _)| is_wanted(wanted, name))
                .map(|(_, ms)| ms)
                .sum(),
        }
    }

    /// What of it is in no known language. That of branches is not known.
    fn without_language(&self, branches: Option<&[String]>) -> i64 {
        let unknown = times(&self.times.languages).find(|(name, _)| *name == SHOWN_UNKNOWN);
        match branches {
            None => unknown.map_or(0, |(_, ms)| ms),
            Some(_) => 0,
        }
    }
}

fn is_wanted(wanted: &[String], name: &str) -> bool {
    wanted.iter().any(|one| one == name)
}

fn times(shares: &[NamedTime]) -> impl Iterator<Item = (&str, i64)> + Clone {
    shares.iter().map(|share| (share.name.as_str(), share.ms))
}

/// Days added up for their mean.
#[derive(Debug, Clone, Copy, Default)]
pub struct Average {
    pub ms: i64,
    /// What of it is in no known language.
    other: i64,
    days: i64,
    /// Days with time.
    worked: i64,
}

impl Average {
    /// Of a range of so many days, of which so many have time.
    pub fn of(ms: i64, other: i64, days: i64, worked: i64) -> Self {
        Self {
            ms,
            other,
            days,
            worked,
        }
    }

    fn add(&mut self, ms: i64, other: i64) {
        self.ms += ms;
        self.other += other;
        self.days += 1;
        self.worked += i64::from(ms > 0);
    }

    /// The mean of the days that have time, without time in no known language, in milliseconds.
    pub fn known(self) -> i64 {
        (self.ms - self.other) / self.worked.max(1)
    }

    /// The mean of the days that have time, in milliseconds.
    pub fn all(self) -> i64 {
        self.ms / self.worked.max(1)
    }

    /// Days without time.
    pub fn holidays(self) -> i64 {
        self.days - self.worked
    }

    fn into_daily(self) -> DailyAverage {
        DailyAverage {
            holidays: self.holidays(),
            days_including_holidays: self.days,
            days_minus_holidays: self.worked,
            seconds: seconds(self.known()),
            text: text(self.known()),
            seconds_including_other_language: seconds(self.all()),
            text_including_other_language: text(self.all()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(query: &str) -> Result<(String, String), &'static str> {
        let calendar = Calendar::utc_at(1_772_366_400_000_000);
        match Asked::parse(query, &calendar) {
            Ok(Asked { span, .. }) => Ok((span.first.to_string(), span.last.to_string())),
            Err(problem) => match problem.location {
                Some(http_server::ProblemLocation::Parameter(name)) => Err(name),
                other => panic!("{query}: {other:?}"),
            },
        }
    }

    #[test]
    fn days_are_those_of_start_and_end_or_of_a_range() {
        let days = |first: &str, last: &str| Ok((first.to_owned(), last.to_owned()));
        for (query, expected) in [
            ("start=today&end=today", days("2026-03-01", "2026-03-01")),
            (
                "start=2026-02-01&end=2026-02-28",
                days("2026-02-01", "2026-02-28"),
            ),
            ("start=2026-02-01", days("2026-02-01", "2026-03-01")),
            ("range=Last+7+Days", days("2026-02-23", "2026-03-01")),
            (
                "start=2025-03-01&end=2026-03-01",
                days("2025-03-01", "2026-03-01"),
            ),
            ("", Err("start")),
            ("end=2026-03-01", Err("start")),
            ("range=all_time", Err("range")),
            ("start=soon", Err("start")),
            ("start=today&end=2026-02-30", Err("end")),
            ("start=today&start=today", Err("start")),
            ("start=2026-03-02&end=2026-03-01", Err("start")),
            ("start=2025-02-28&end=2026-03-01", Err("start")),
            ("start=0001-01-01&end=9998-12-31", Err("start")),
            ("range=today&project=a&branches=main", Err("branches")),
            (
                "range=today&project=&branches=",
                days("2026-03-01", "2026-03-01"),
            ),
        ] {
            assert_eq!(asked(query), expected, "{query}");
        }
    }
}
