//! Active time of many days added up, some of them at a time: a history may have thousands.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use serde_json::Value;
use store::QueryReads;
use types::export::ExportRange;
use types::query::{
    BestDay, DayReply, DayTimes, MetricsQuery, NamedTime, TotalReply, TotalsQuery, TotalsReply,
};

use super::metrics::{days, whole_days};
use super::responder::QueryFailure;
use crate::aggregate::days_after;

/// Days read at once: some half a megabyte.
const AT_ONCE: i64 = 120;

/// Adds the developer's days up.
///
/// # Errors
/// Returns `QueryFailure::Damaged` if what was computed cannot be read, and whatever the store cannot read.
pub async fn totals<S: QueryReads>(
    store: &S,
    query: TotalsQuery,
) -> Result<TotalsReply, QueryFailure> {
    let range = ExportRange {
        from: query.from,
        to: query.to,
    };
    let to = range.last_day().to_owned();
    let mut next = Some(range.first_day().to_owned());
    let mut totals = Totals::default();
    while let Some(from) = next.take() {
        let first = store.first_day(query.developer.clone(), from).await?;
        let Some(first) = first.filter(|first| *first <= to) else {
            break;
        };
        let last =
            days_after(&first, AT_ONCE - 1).map_or_else(|| to.clone(), |last| last.min(to.clone()));
        next = days_after(&last, 1);
        let developer = query.developer.clone();
        let found = match &query.project {
            None => whole_days(store.days(developer, first, last).await?),
            Some(project) => {
                let filter = MetricsQuery {
                    project: Some(project.clone()),
                    ..MetricsQuery::default()
                };
                days(store.day_counts(developer, first, last).await?, &filter)
            }
        };
        for day in found.map_err(QueryFailure::Damaged)? {
            totals.add(day).map_err(QueryFailure::Damaged)?;
        }
    }
    Ok(totals.into_reply())
}

/// The sums so far. Days are added in their order.
#[derive(Debug, Default)]
struct Totals {
    reply: TotalsReply,
    projects: Sums,
    languages: Sums,
    editors: Sums,
    machines: Sums,
    operating_systems: Sums,
    categories: Sums,
}

/// The sum of each key or name.
#[derive(Debug, Default)]
struct Sums(BTreeMap<String, TotalReply>);

impl Totals {
    fn add(&mut self, day: DayReply) -> Result<(), String> {
        let DayReply { day, metrics } = day;
        let times: DayTimes = serde_json::from_value(Value::Object(metrics))
            .map_err(|error| format!("the metrics of {day} cannot be read: {error}"))?;
        if times.active_ms == 0 {
            return Ok(());
        }
        let reply = &mut self.reply;
        reply.days += 1;
        reply.active_ms += times.active_ms;
        reply.first_day.get_or_insert_with(|| day.clone());
        if (reply.best_day.as_ref()).is_none_or(|best| best.active_ms < times.active_ms) {
            reply.best_day = Some(BestDay {
                day: day.clone(),
                active_ms: times.active_ms,
            });
        }
        self.projects.add(&day, times.projects);
        self.languages.add(&day, times.languages);
        self.editors.add(&day, times.editors);
        self.machines.add(&day, times.machines);
        self.operating_systems.add(&day, times.operating_systems);
        self.categories.add(&day, times.categories);
        Ok(())
    }

    fn into_reply(self) -> TotalsReply {
        TotalsReply {
            projects: self.projects.list(),
            languages: self.languages.list(),
            editors: self.editors.list(),
            machines: self.machines.list(),
            operating_systems: self.operating_systems.list(),
            categories: self.categories.list(),
            ..self.reply
        }
    }
}

impl Sums {
    fn add(&mut self, day: &str, times: Vec<NamedTime>) {
        // What has commits alone has no time.
        for NamedTime { name, key, ms } in times.into_iter().filter(|time| time.ms > 0) {
            let known_by = key.clone().unwrap_or_else(|| name.clone());
            let total = self.0.entry(known_by).or_insert_with(|| TotalReply {
                name: String::new(),
                key,
                ms: 0,
                first_day: day.to_owned(),
                last_day: String::new(),
            });
            total.name = name;
            total.ms += ms;
            day.clone_into(&mut total.last_day);
        }
    }

    fn list(self) -> Vec<TotalReply> {
        let mut totals: Vec<TotalReply> = self.0.into_values().collect();
        totals.sort_by(|one, other| {
            (Reverse(one.ms), &one.name).cmp(&(Reverse(other.ms), &other.name))
        });
        totals
    }
}
