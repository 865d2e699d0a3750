//! `GET …/stats`, `…/stats/{range}` and `…/all_time_since_today`: sums over many days.

use std::sync::Arc;

use axum::Json;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use http_server::Problem;
use jiff::civil::Date;
use runtime::clock;
use serde::Serialize;
use types::query::{SHOWN_UNKNOWN, TOTALS, TotalReply, TotalsQuery, TotalsReply};
use types::time::rfc3339;
use utoipa::ToSchema;

use super::super::query_string::{invalid, only_if_named};
use super::calendar::{Calendar, DaySpan, day_text, snake_case};
use super::request::WakaTimeRead;
use super::shapes::{Spent, TimeRow, machines, rows, seconds, text, times};
use super::summaries::Average;
use crate::app_state::AppState;
use crate::openapi::{StatsParameters, StatsRangeParameters, TotalParameters, WakaTimeRefusals};
use crate::query_client::QUERY_TIMEOUT;

/// The range of `…/stats` alone.
const DEFAULT_RANGE: &str = "last_7_days";
/// All days that there are, up to today.
const ALL_TIME: &str = "all_time";

/// The sums of a range of days.
#[derive(Debug, Serialize, ToSchema)]
pub struct StatsReply {
    data: Stats,
}

/// The sums of a range of days.
#[derive(Debug, Serialize, ToSchema)]
pub struct Stats {
    user_id: String,
    username: String,
    range: String,
    human_readable_range: String,
    /// When the first day begins.
    start: String,
    /// The last second of the last day.
    end: String,
    timezone: String,
    /// The developer's timeout, in minutes, rounded up.
    timeout: u64,
    /// Always false: reads count as well as writes.
    writes_only: bool,
    status: &'static str,
    is_up_to_date: bool,
    is_already_updating: bool,
    is_stuck: bool,
    is_including_today: bool,
    percent_calculated: u8,
    /// Always false, as the four that follow: nothing of a developer is public.
    is_coding_activity_visible: bool,
    is_language_usage_visible: bool,
    is_editor_usage_visible: bool,
    is_category_usage_visible: bool,
    is_os_usage_visible: bool,
    /// Without time in no known language.
    total_seconds: f64,
    human_readable_total: String,
    total_seconds_including_other_language: f64,
    human_readable_total_including_other_language: String,
    /// Of the days that have time, without time in no known language, in seconds.
    daily_average: f64,
    human_readable_daily_average: String,
    daily_average_including_other_language: f64,
    human_readable_daily_average_including_other_language: String,
    /// Days without time.
    holidays: i64,
    days_including_holidays: i64,
    days_minus_holidays: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    best_day: Option<StatsBestDay>,
    projects: Vec<TimeRow>,
    languages: Vec<TimeRow>,
    editors: Vec<TimeRow>,
    /// This and what follows is of all work: empty if the request is for a project.
    machines: Vec<TimeRow>,
    operating_systems: Vec<TimeRow>,
    categories: Vec<TimeRow>,
    /// Empty: Devtrail counts no time by dependency.
    dependencies: Vec<TimeRow>,
    modified_at: String,
}

/// The day with the most time.
#[derive(Debug, Serialize, ToSchema)]
pub struct StatsBestDay {
    /// `YYYY-MM-DD`.
    date: String,
    text: String,
    total_seconds: f64,
}

/// The sum of all time.
#[derive(Debug, Serialize, ToSchema)]
pub struct AllTimeReply {
    data: AllTime,
}

/// The sum of all time.
#[derive(Debug, Serialize, ToSchema)]
pub struct AllTime {
    total_seconds: f64,
    text: String,
    decimal: String,
    digital: String,
    /// Of the days that have time, in seconds.
    daily_average: f64,
    is_up_to_date: bool,
    percent_calculated: u8,
    range: AllTimeRange,
    /// The developer's timeout, in minutes, rounded up.
    timeout: u64,
}

/// From the first day with time to today.
#[derive(Debug, Serialize, ToSchema)]
pub struct AllTimeRange {
    start: String,
    start_date: String,
    start_text: String,
    end: String,
    end_date: String,
    end_text: String,
    timezone: String,
}

/// The sums of the last seven days, up to yesterday.
#[utoipa::path(
    get, path = "/api/v1/users/{user}/stats", operation_id = "getStats", tag = "wakatime",
    params(StatsParameters),
    responses((status = 200, description = "The sums.", body = StatsReply), WakaTimeRefusals)
)]
pub async fn stats(
    request: WakaTimeRead,
    State(app): State<Arc<AppState>>,
) -> Result<Json<StatsReply>, Problem> {
    stats_of(&app, &request, DEFAULT_RANGE).await
}

/// The sums of a range of days.
#[utoipa::path(
    get, path = "/api/v1/users/{user}/stats/{range}", operation_id = "getStatsOfRange", tag = "wakatime",
    params(StatsRangeParameters),
    responses((status = 200, description = "The sums.", body = StatsReply), WakaTimeRefusals)
)]
pub async fn stats_range(
    request: WakaTimeRead,
    State(app): State<Arc<AppState>>,
    path: Result<Path<(String, String)>, PathRejection>,
) -> Result<Json<StatsReply>, Problem> {
    let range = path.map(|Path((_, range))| range).unwrap_or_default();
    stats_of(&app, &request, &range).await
}

/// The sum of all time, from the first day to today.
#[utoipa::path(
    get, path = "/api/v1/users/{user}/all_time_since_today", operation_id = "getAllTimeSinceToday", tag = "wakatime",
    params(TotalParameters),
    responses((status = 200, description = "The sum.", body = AllTimeReply), WakaTimeRefusals)
)]
pub async fn all_time(
    request: WakaTimeRead,
    State(app): State<Arc<AppState>>,
) -> Result<Json<AllTimeReply>, Problem> {
    let calendar = &request.calendar;
    let totals = totals(&app, &request, None).await?;
    let first = first_day(&totals, calendar);
    let average = average(&totals, 0, 0);
    let Spent {
        total_seconds,
        digital,
        decimal,
        text,
        ..
    } = Spent::of(totals.active_ms);
    Ok(Json(AllTimeReply {
        data: AllTime {
            total_seconds,
            text,
            decimal,
            digital,
            daily_average: seconds(average.all()),
            is_up_to_date: true,
            percent_calculated: 100,
            range: AllTimeRange {
                start: calendar.start_of(first),
                start_date: first.to_string(),
                start_text: day_text(first),
                end: calendar.end_of(calendar.today),
                end_date: calendar.today.to_string(),
                end_text: day_text(calendar.today),
                timezone: calendar.name.clone(),
            },
            timeout: timeout(&app, &request),
        },
    }))
}

async fn stats_of(
    app: &AppState,
    request: &WakaTimeRead,
    range: &str,
) -> Result<Json<StatsReply>, Problem> {
    let calendar = &request.calendar;
    let is_all = snake_case(range) == ALL_TIME;
    let asked = calendar.stats_range(range);
    if asked.is_none() && !is_all {
        let range = types::json::shorten(range, 40);
        let detail = format!(
            "The range is {range:?}: write last_7_days, last_30_days, last_6_months, last_year or all_time, a year as \
                YYYY, or a month as YYYY-MM."
        );
        return Err(invalid("range", detail));
    }
    let totals = totals(app, request, asked).await?;
    let span = asked.unwrap_or(DaySpan {
        first: first_day(&totals, calendar),
        last: calendar.today,
    });
    let unknown = totals
        .languages
        .iter()
        .find(|total| total.name == SHOWN_UNKNOWN);
    let other = unknown.map_or(0, |total: &TotalReply| total.ms);
    let average = average(&totals, other, span.days());
    let known = totals.active_ms - other;
    let TotalsReply { best_day, days, .. } = &totals;
    let developer = request.caller.developer.to_string();
    Ok(Json(StatsReply {
        data: Stats {
            user_id: developer.clone(),
            username: developer,
            range: snake_case(range),
            human_readable_range: format!("{} to {}", day_text(span.first), day_text(span.last)),
            start: calendar.start_of(span.first),
            end: calendar.end_of(span.last),
            timezone: calendar.name.clone(),
            timeout: timeout(app, request),
            writes_only: false,
            status: "ok",
            is_up_to_date: true,
            is_already_updating: false,
            is_stuck: false,
            is_including_today: (span.first..=span.last).contains(&calendar.today),
            percent_calculated: 100,
            is_coding_activity_visible: false,
            is_language_usage_visible: false,
            is_editor_usage_visible: false,
            is_category_usage_visible: false,
            is_os_usage_visible: false,
            total_seconds: seconds(known),
            human_readable_total: text(known),
            total_seconds_including_other_language: seconds(totals.active_ms),
            human_readable_total_including_other_language: text(totals.active_ms),
            daily_average: seconds(average.known()),
            human_readable_daily_average: text(average.known()),
            daily_average_including_other_language: seconds(average.all()),
            human_readable_daily_average_including_other_language: text(average.all()),
            holidays: average.holidays(),
            days_including_holidays: i64::from(span.days()),
            days_minus_holidays: i64::from(*days),
            best_day: best_day.as_ref().map(|best| StatsBestDay {
                date: best.day.clone(),
                text: text(best.active_ms),
                total_seconds: seconds(best.active_ms),
            }),
            projects: rows(times(&totals.projects)),
            languages: rows(times(&totals.languages)),
            editors: rows(times(&totals.editors)),
            machines: machines(times(&totals.machines)),
            operating_systems: rows(times(&totals.operating_systems)),
            categories: rows(times(&totals.categories)),
            dependencies: Vec::new(),
            modified_at: rfc3339(clock::now()),
        },
    }))
}

/// Asks the workers for sums of these days; `None`: of all.
async fn totals(
    app: &AppState,
    request: &WakaTimeRead,
    span: Option<DaySpan>,
) -> Result<TotalsReply, Problem> {
    let query = TotalsQuery {
        developer: request.caller.developer.to_string(),
        from: span.map(|span| span.first.to_string()),
        to: span.map(|span| span.last.to_string()),
        project: only_if_named(&request.query, "project")?,
    };
    app.query(&request.caller, TOTALS, &query, QUERY_TIMEOUT)
        .await
}

fn average(totals: &TotalsReply, other: i64, days: i32) -> Average {
    Average::of(totals.active_ms, other, days.into(), totals.days.into())
}

/// The first day with time; without any, today.
fn first_day(totals: &TotalsReply, calendar: &Calendar) -> Date {
    let first = totals.first_day.as_ref().and_then(|day| day.parse().ok());
    first.map_or(calendar.today, |first: Date| first.min(calendar.today))
}

fn timeout(app: &AppState, request: &WakaTimeRead) -> u64 {
    let seconds = app.settings.idle_seconds(&request.caller.developer);
    seconds.div_ceil(60)
}
