//! `GET …/durations`: the stretches of a day.

use std::collections::HashMap;
use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use http_server::Problem;
use jiff::civil::Date;
use serde::Serialize;
use types::query::{DayExplained, DayPart, EXPLAIN, ExplainQuery, PlaceNames};
use types::time::parse_rfc3339;
use utoipa::ToSchema;

use super::super::query_string::{invalid, only_if_named, single};
use super::calendar::{Calendar, DaySpan};
use super::request::WakaTimeRead;
use super::shapes::seconds;
use super::summaries::days;
use crate::app_state::AppState;
use crate::openapi::{DurationsParameters, WakaTimeRefusals};
use crate::query_client::QUERY_TIMEOUT;

/// The stretches of a day.
#[derive(Debug, Serialize, ToSchema)]
pub struct Durations {
    data: Vec<Stretch>,
    start: String,
    end: String,
    timezone: String,
}

/// A stretch of work, in one project, language or editor.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct Stretch {
    /// When it begins, in seconds since 1970.
    time: f64,
    /// How long it is, in seconds.
    duration: f64,
    #[serde(flatten)]
    what: Option<Sliced>,
}

/// What a stretch is of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Sliced {
    Project(String),
    Language(String),
    Editor(String),
}

/// The stretches of a day.
#[utoipa::path(
    get, path = "/api/v1/users/{user}/durations", operation_id = "getDurations", tag = "wakatime",
    params(DurationsParameters),
    responses((status = 200, description = "The stretches, in their order.", body = Durations), WakaTimeRefusals)
)]
pub async fn durations(
    request: WakaTimeRead,
    State(app): State<Arc<AppState>>,
) -> Result<Json<Durations>, Problem> {
    let WakaTimeRead {
        caller,
        query,
        calendar,
    } = &request;
    let date = required_date(query, calendar)?;
    let slice = Slice::parse(query)?;
    let project = only_if_named(query, "project")?;
    let explain = ExplainQuery {
        developer: caller.developer.to_string(),
        day: date.to_string(),
    };
    let explained = async {
        let found: Result<Option<DayExplained>, Problem> =
            app.query(caller, EXPLAIN, &explain, QUERY_TIMEOUT).await;
        found
    };
    // Names are those of the metrics; a project that is asked for is found there by any of its spellings.
    let named = async {
        match slice == Slice::Project || project.is_some() {
            true => days(&app, caller, DaySpan::of(date), project.clone()).await,
            false => Ok(Vec::new()),
        }
    };
    let (explained, mut named) = tokio::try_join!(explained, named)?;
    let projects = named.pop().map_or_else(Vec::new, |day| day.times.projects);
    let names: HashMap<String, String> = projects
        .into_iter()
        .map(|share| (share.key.unwrap_or_default(), share.name))
        .collect();
    let parts = explained.map_or_else(Vec::new, |explained| explained.parts);
    let is_wanted = |part: &DayPart| {
        let key = part.place.as_ref().map(|place| &place.project);
        project.is_none() || key.is_some_and(|key| names.contains_key(key))
    };
    Ok(Json(Durations {
        data: stretches(parts.into_iter().filter(is_wanted), slice, &names),
        start: calendar.start_of(date),
        end: calendar.end_of(date),
        timezone: calendar.name.clone(),
    }))
}

/// The day under `date`.
///
/// # Errors
/// Returns `invalid_parameter` if there is none.
pub fn required_date(query: &str, calendar: &Calendar) -> Result<Date, Problem> {
    calendar.named_day(query, "date")?.ok_or_else(|| {
        let detail = "date is missing: write a day as YYYY-MM-DD, or \"today\".";
        invalid("date", detail.to_owned())
    })
}

/// By what a day is cut into stretches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Slice {
    Project,
    Language,
    Editor,
}

impl Slice {
    fn parse(query: &str) -> Result<Self, Problem> {
        match single(query, "slice_by")?.as_deref().map(str::trim) {
            None | Some("project") => Ok(Self::Project),
            Some("language") => Ok(Self::Language),
            Some("editor") => Ok(Self::Editor),
            Some(other) => {
                let other = types::json::shorten(other, 40);
                let detail = format!("slice_by is {other:?}: write project, language or editor.");
                Err(invalid("slice_by", detail))
            }
        }
    }

    fn of(self, place: PlaceNames, names: &HashMap<String, String>) -> Sliced {
        match self {
            Self::Project => {
                let name = names.get(&place.project).cloned();
                Sliced::Project(name.unwrap_or(place.project))
            }
            Self::Language => Sliced::Language(place.language),
            Self::Editor => Sliced::Editor(place.editor),
        }
    }
}

/// What counts, in its order; parts that follow each other and are of the same are one stretch.
fn stretches(
    parts: impl Iterator<Item = DayPart>,
    slice: Slice,
    names: &HashMap<String, String>,
) -> Vec<Stretch> {
    let mut found: Vec<(i64, i64, Option<Sliced>)> = Vec::new();
    for part in parts.filter(|part| part.counted_ms > 0) {
        let from = part.counted_from.as_ref().unwrap_or(&part.from);
        let at = parse_rfc3339(from).and_then(|written| written.at);
        let start = at.unwrap_or_default().div_euclid(1000);
        let what = part.place.map(|place| slice.of(place, names));
        match found.last_mut() {
            Some((before, ms, same)) if *before + *ms == start && *same == what => {
                *ms += part.counted_ms;
            }
            _ => found.push((start, part.counted_ms, what)),
        }
    }
    let stretch = |(start, ms, what)| Stretch {
        time: seconds(start),
        duration: seconds(ms),
        what,
    };
    found.into_iter().map(stretch).collect()
}

#[cfg(test)]
mod tests {
    use types::query::Why;

    use super::*;

    fn part(from: &str, counted_from: Option<&str>, counted_ms: i64, place: [&str; 2]) -> DayPart {
        let time = |time: &str| format!("2026-03-01T{time}Z");
        let [project, language] = place.map(str::to_owned);
        DayPart {
            from: time(from),
            to: time("23:59:59"),
            counted_ms,
            counted_from: counted_from.map(time),
            why: Why::WithinTimeout,
            place: Some(PlaceNames {
                project,
                language,
                editor: "vim".to_owned(),
            }),
            events: 2,
            event_ids: Vec::new(),
        }
    }

    #[test]
    fn parts_of_the_same_are_one_stretch() {
        let parts = [
            part("00:00:00", Some("00:00:01"), 9_000, ["a", "rust"]),
            part("00:00:10.000999", None, 5_500, ["a", "go"]),
            part("00:00:15.5", None, 500, ["b", "go"]),
            part("00:00:16", None, 0, ["b", "go"]),
            part("00:10:00", None, 1_000, ["b", "go"]),
        ];
        let names = HashMap::from([("a".to_owned(), "A".to_owned())]);
        let of = |slice| {
            let found = stretches(parts.clone().into_iter(), slice, &names);
            let each = found.into_iter().map(|stretch| {
                let start = (stretch.time - 1_772_323_200.0) * 1000.0;
                let what = match stretch.what.unwrap() {
                    Sliced::Project(name) | Sliced::Language(name) | Sliced::Editor(name) => name,
                };
                (
                    start.round() as i64,
                    (stretch.duration * 1000.0) as i64,
                    what,
                )
            });
            each.collect::<Vec<(i64, i64, String)>>()
        };
        let text = str::to_owned;
        assert_eq!(
            of(Slice::Project),
            [
                (1_000, 14_500, text("A")),
                (15_500, 500, text("b")),
                (600_000, 1_000, text("b"))
            ]
        );
        assert_eq!(
            of(Slice::Language),
            [
                (1_000, 9_000, text("rust")),
                (10_000, 6_000, text("go")),
                (600_000, 1_000, text("go"))
            ]
        );
        assert_eq!(of(Slice::Editor).len(), 2);
    }
}
