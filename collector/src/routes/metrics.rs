//! `GET /v1/metrics/daily|hourly|weekly` and `/v1/sessions`: the caller's own work.

use std::sync::Arc;

use axum::Json;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, RawQuery, State};
use jiff::civil::Date;
use jiff::{Timestamp, ToSpan, tz::TimeZone};
use runtime::clock;
use serde::Serialize;
use serde::de::DeserializeOwned;
use types::query::{
    DayExplained, DayReply, EXPLAIN, ExplainQuery, HourReply, METRICS, MetricsQuery, Period,
    SESSIONS, SessionReply, SessionsQuery, WeekReply,
};
use types::time::Micros;
use utoipa::ToSchema;

use super::query_string::{day, invalid, only, parse_day};
use crate::api_keys::Caller;
use crate::app_state::AppState;
use crate::authorized::{Authorized, MetricsRead};
use crate::openapi::{
    ExplainRefusals, ExplainedDay, MetricsParameters, MetricsRefusals, SessionParameters,
};
use crate::query_client::QUERY_TIMEOUT;
use http_server::{ErrorCode, Problem};

/// The days of a reply unless the request names others.
const DEFAULT_DAYS: i32 = 30;
/// Most days in one reply.
const MAX_DAYS: i32 = 366;
/// Most days in a reply that has each of their sessions: the reply must fit into a message of NATS.
const MAX_DAYS_OF_SESSIONS: i32 = 92;
/// Most days in a reply that has each of their hours.
const MAX_DAYS_OF_HOURS: i32 = 31;

/// The days of a developer.
#[derive(Debug, Serialize, ToSchema)]
pub struct Daily {
    from: String,
    to: String,
    days: Vec<DayReply>,
}

/// The hours of a developer.
#[derive(Debug, Serialize, ToSchema)]
pub struct Hourly {
    from: String,
    to: String,
    hours: Vec<HourReply>,
}

/// The weeks of a developer.
#[derive(Debug, Serialize, ToSchema)]
pub struct Weekly {
    from: String,
    to: String,
    weeks: Vec<WeekReply>,
}

/// The sessions of a developer.
#[derive(Debug, Serialize, ToSchema)]
pub struct Sessions {
    from: String,
    to: String,
    sessions: Vec<SessionReply>,
}

/// The metrics of one's own local days.
#[utoipa::path(
    get, path = "/v1/metrics/daily", operation_id = "getDailyMetrics", tag = "stored",
    params(MetricsParameters),
    responses((status = 200, description = "The days that have events.", body = Daily), MetricsRefusals)
)]
pub async fn daily(
    Authorized { caller, .. }: Authorized<MetricsRead>,
    State(app): State<Arc<AppState>>,
    RawQuery(query): RawQuery,
) -> Result<Json<Daily>, Problem> {
    let (query, days) = metrics(&app, &caller, query, Period::Day).await?;
    let MetricsQuery { from, to, .. } = query;
    Ok(Json(Daily { from, to, days }))
}

/// The metrics of the hours of one's own local days.
#[utoipa::path(
    get, path = "/v1/metrics/hourly", operation_id = "getHourlyMetrics", tag = "stored",
    params(MetricsParameters),
    responses((status = 200, description = "The hours that have events.", body = Hourly), MetricsRefusals)
)]
pub async fn hourly(
    Authorized { caller, .. }: Authorized<MetricsRead>,
    State(app): State<Arc<AppState>>,
    RawQuery(query): RawQuery,
) -> Result<Json<Hourly>, Problem> {
    let (query, hours) = metrics(&app, &caller, query, Period::Hour).await?;
    let MetricsQuery { from, to, .. } = query;
    Ok(Json(Hourly { from, to, hours }))
}

/// The metrics of one's own weeks, from Monday to Sunday.
#[utoipa::path(
    get, path = "/v1/metrics/weekly", operation_id = "getWeeklyMetrics", tag = "stored",
    params(MetricsParameters),
    responses((status = 200, description = "The weeks that have events.", body = Weekly), MetricsRefusals)
)]
pub async fn weekly(
    Authorized { caller, .. }: Authorized<MetricsRead>,
    State(app): State<Arc<AppState>>,
    RawQuery(query): RawQuery,
) -> Result<Json<Weekly>, Problem> {
    let (query, weeks) = metrics(&app, &caller, query, Period::Week).await?;
    let MetricsQuery { from, to, .. } = query;
    Ok(Json(Weekly { from, to, weeks }))
}

/// One's own sessions: work without a pause longer than the timeout.
#[utoipa::path(
    get, path = "/v1/sessions", operation_id = "getSessions", tag = "stored",
    params(SessionParameters),
    responses((status = 200, description = "The sessions that began on these days.", body = Sessions), MetricsRefusals)
)]
pub async fn sessions(
    Authorized { caller, .. }: Authorized<MetricsRead>,
    State(app): State<Arc<AppState>>,
    RawQuery(query): RawQuery,
) -> Result<Json<Sessions>, Problem> {
    let query = query.unwrap_or_default();
    let range = DayRange::parse(&query, clock::now(), MAX_DAYS_OF_SESSIONS)?;
    let query = SessionsQuery {
        developer: caller.developer.to_string(),
        from: range.from.to_string(),
        to: range.to.to_string(),
        project: only(&query, "project")?,
    };
    let sessions = app.query(&caller, SESSIONS, &query, QUERY_TIMEOUT).await?;
    let SessionsQuery { from, to, .. } = query;
    Ok(Json(Sessions { from, to, sessions }))
}

/// What one's own day is made of: each stretch that counts with its events, each pause that does not, and why.
#[utoipa::path(
    get, path = "/v1/metrics/daily/{day}/explain", operation_id = "explainDay", tag = "stored",
    params(ExplainedDay),
    responses((status = 200, description = "The day.", body = DayExplained), ExplainRefusals)
)]
pub async fn explain(
    Authorized { caller, .. }: Authorized<MetricsRead>,
    State(app): State<Arc<AppState>>,
    day: Result<Path<String>, PathRejection>,
) -> Result<Json<DayExplained>, Problem> {
    let day = day.map(|Path(day)| day).unwrap_or_default();
    let Some(date) = parse_day(&day) else {
        let day = types::json::shorten(&day, 40);
        let detail = format!("The day is {day:?}: write it as YYYY-MM-DD, such as 2026-03-01.");
        return Err(invalid("day", detail));
    };
    let query = ExplainQuery {
        developer: caller.developer.to_string(),
        day: date.to_string(),
    };
    let explained: Option<DayExplained> =
        app.query(&caller, EXPLAIN, &query, QUERY_TIMEOUT).await?;
    explained.map(Json).ok_or_else(|| {
        let detail = format!("{date} has no metrics: no event of that day is aggregated yet.");
        Problem::new(ErrorCode::NotFound, detail)
    })
}

/// Asks the workers for metrics of each such period; gives what was asked as well.
async fn metrics<T: DeserializeOwned>(
    app: &AppState,
    caller: &Caller,
    query: Option<String>,
    period: Period,
) -> Result<(MetricsQuery, T), Problem> {
    let query = query.unwrap_or_default();
    let max = match period {
        Period::Hour => MAX_DAYS_OF_HOURS,
        Period::Day | Period::Week => MAX_DAYS,
    };
    let range = DayRange::parse(&query, clock::now(), max)?;
    let query = MetricsQuery {
        developer: caller.developer.to_string(),
        from: range.from.to_string(),
        to: range.to.to_string(),
        period,
        project: only(&query, "project")?,
        language: only(&query, "language")?,
        editor: only(&query, "editor")?,
    };
    let found = app.query(caller, METRICS, &query, QUERY_TIMEOUT).await?;
    Ok((query, found))
}

/// The first and the last day that a query string names.
struct DayRange {
    from: Date,
    to: Date,
}

impl DayRange {
    fn parse(query: &str, now: Micros, max: i32) -> Result<Self, Problem> {
        let to = day(query, "to")?.unwrap_or_else(|| latest(now));
        let from = match day(query, "from")? {
            Some(from) => from,
            None => to.saturating_sub((DEFAULT_DAYS - 1).days()),
        };
        let days = from
            .until(to)
            .map_or(i32::MAX, |span| span.get_days().saturating_add(1));
        if days < 1 {
            let detail =
                format!("from ({from}) lies after to ({to}): exchange them, or leave one out.");
            return Err(invalid("from", detail));
        }
        if days > max {
            let detail =
                format!("{from} to {to} are {days} days, the limit is {max}: ask in parts.");
            return Err(invalid("from", detail)
                .limit(max.unsigned_abs().into())
                .actual(days.unsigned_abs().into()));
        }
        Ok(Self { from, to })
    }
}

/// The latest day that anyone's clock can show: east of Greenwich it is tomorrow before it is in UTC.
fn latest(now: Micros) -> Date {
    let now = Timestamp::from_microsecond(now).unwrap_or(Timestamp::UNIX_EPOCH);
    TimeZone::UTC
        .to_datetime(now)
        .date()
        .saturating_add(1.day())
}

#[cfg(test)]
mod tests {
    use super::*;
    use http_server::ProblemLocation;

    /// 2026-03-01T23:59:59Z.
    const NOW: Micros = 1_772_409_599_000_000;

    fn days(query: &str) -> Result<(String, String), &'static str> {
        match DayRange::parse(query, NOW, MAX_DAYS) {
            Ok(range) => Ok((range.from.to_string(), range.to.to_string())),
            Err(problem) => {
                assert_eq!(problem.code, ErrorCode::InvalidParameter);
                let Some(ProblemLocation::Parameter(name)) = problem.location else {
                    panic!("{query}: no parameter")
                };
                Err(name)
            }
        }
    }

    #[test]
    fn without_days_the_last_30_are_meant() {
        let expected = |from: &str, to: &str| Ok((from.to_owned(), to.to_owned()));
        assert_eq!(days(""), expected("2026-02-01", "2026-03-02"));
        assert_eq!(days("to=2026-01-30"), expected("2026-01-01", "2026-01-30"));
        assert_eq!(
            days("from=2026-02-28&x=%FF"),
            expected("2026-02-28", "2026-03-02")
        );
        assert_eq!(
            days("from=2026%2D01-05&to=2026-01-05"),
            expected("2026-01-05", "2026-01-05")
        );
        assert_eq!(
            days("from=2024-01-01&to=2024-12-31"),
            expected("2024-01-01", "2024-12-31")
        );
    }

    #[test]
    fn what_is_no_range_of_days_is_named() {
        for (query, parameter) in [
            ("from=yesterday", "from"),
            ("from=", "from"),
            ("to=2026-02-30", "to"),
            ("to=20260201", "to"),
            ("to=2026-02-01T00:00:00", "to"),
            ("to=2026-2-1", "to"),
            ("from=2026-01-01&from=2026-01-02", "from"),
            ("from=2026-03-03", "from"),
            ("from=2026-01-02&to=2026-01-01", "from"),
            ("from=2025-01-01&to=2026-01-02", "from"),
            ("from=2020-01-01", "from"),
            ("from=0000-01-01&to=9999-12-31", "from"),
            ("to=-00001-01-01", "to"),
        ] {
            assert_eq!(days(query), Err(parameter), "{query}");
        }
    }
}
