//! `GET /v1/metrics/daily?from=&to=`: the caller's own days.

use std::sync::Arc;

use axum::Json;
use axum::extract::{RawQuery, State};
use jiff::civil::Date;
use jiff::{Timestamp, ToSpan, tz::TimeZone};
use runtime::clock;
use serde::Serialize;
use types::query::{DayReply, METRICS, MetricsQuery};
use types::time::Micros;
use utoipa::ToSchema;

use crate::app_state::AppState;
use crate::authorized::{Authorized, MetricsRead};
use crate::openapi::{Days, MetricsRefusals};
use crate::query_client::QUERY_TIMEOUT;
use http_server::{ErrorCode, Problem};

/// The days of a reply unless the request names others.
const DEFAULT_DAYS: i32 = 30;
/// Most days in one reply.
const MAX_DAYS: i32 = 366;

/// The days of a developer.
#[derive(Debug, Serialize, ToSchema)]
pub struct Daily {
    from: String,
    to: String,
    days: Vec<DayReply>,
}

/// The metrics of one's own local days.
#[utoipa::path(
    get, path = "/v1/metrics/daily", operation_id = "getDailyMetrics", tag = "stored",
    params(Days),
    responses((status = 200, description = "The days that have events.", body = Daily), MetricsRefusals)
)]
pub async fn daily(
    Authorized { caller, .. }: Authorized<MetricsRead>,
    State(app): State<Arc<AppState>>,
    RawQuery(query): RawQuery,
) -> Result<Json<Daily>, Problem> {
    let range = DayRange::parse(query.as_deref().unwrap_or_default(), clock::now())?;
    let query = MetricsQuery {
        developer: caller.developer.to_string(),
        from: range.from.to_string(),
        to: range.to.to_string(),
    };
    let days = app.query(&caller, METRICS, &query, QUERY_TIMEOUT).await?;
    Ok(Json(Daily {
        from: query.from,
        to: query.to,
        days,
    }))
}

/// The first and the last day that a query string names.
struct DayRange {
    from: Date,
    to: Date,
}

impl DayRange {
    fn parse(query: &str, now: Micros) -> Result<Self, Problem> {
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
        if days > MAX_DAYS {
            let detail =
                format!("{from} to {to} are {days} days, the limit is {MAX_DAYS}: ask in parts.");
            return Err(invalid("from", detail)
                .limit(MAX_DAYS.unsigned_abs().into())
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

/// The day under this name, if there is one.
fn day(query: &str, name: &'static str) -> Result<Option<Date>, Problem> {
    let mut values = form_urlencoded::parse(query.as_bytes()).filter(|(key, _)| key == name);
    let Some((_, value)) = values.next() else {
        return Ok(None);
    };
    if values.next().is_some() {
        return Err(invalid(
            name,
            format!("{name} is there more than once: name one day."),
        ));
    }
    parse(&value).map(Some).ok_or_else(|| {
        let value = types::json::shorten(&value, 40);
        invalid(
            name,
            format!("{name} is {value:?}: write a day as YYYY-MM-DD, such as 2026-03-01."),
        )
    })
}

/// Reads `YYYY-MM-DD` and nothing else: days are compared as they are written.
fn parse(text: &str) -> Option<Date> {
    text.parse::<Date>()
        .ok()
        .filter(|date| text.len() == 10 && date.to_string() == text)
}

fn invalid(parameter: &'static str, detail: String) -> Problem {
    Problem::new(ErrorCode::InvalidParameter, detail).parameter(parameter)
}

#[cfg(test)]
mod tests {
    use super::*;
    use http_server::ProblemLocation;

    /// 2026-03-01T23:59:59Z.
    const NOW: Micros = 1_772_409_599_000_000;

    fn days(query: &str) -> Result<(String, String), &'static str> {
        match DayRange::parse(query, NOW) {
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
