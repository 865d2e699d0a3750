//! A developer's days as the store has them, and what to tell who asks for somebody without any.

use store::QueryReads;

use super::day::Day;
use crate::output;

/// Most developers named in the error if the given one has no days.
const NAMED: usize = 10;

/// Before every day that an event can have.
const FIRST_DAY: &str = "0000-01-01";
/// After every day that an event can have.
const LAST_DAY: &str = "9999-12-31";

/// Every day of the developer that has events, rising.
///
/// # Errors
/// Returns an error if the store cannot be read, or a day is not of this version.
pub async fn days(store: &impl QueryReads, developer: &str) -> anyhow::Result<Vec<Day>> {
    let days = store
        .days(
            developer.to_owned(),
            FIRST_DAY.to_owned(),
            LAST_DAY.to_owned(),
        )
        .await?;
    let days = days
        .into_iter()
        .map(|stored| Day::read(stored.day, &stored.metrics.body));
    // A day that lost its events is like one that never had any.
    days.filter(|day| day.as_ref().map_or(true, |day| !day.is_empty()))
        .collect()
}

/// What to tell who asks for somebody without days.
pub fn without_days(developer: &str, people: &[String]) -> String {
    let known = match people {
        [] => {
            "Nobody has metrics yet; `devtrail import git .` makes some of your commits.".to_owned()
        }
        few if few.len() <= NAMED => format!("There are metrics of {}.", few.join(", ")),
        many => format!(
            "There are metrics of {}; --all shows them.",
            output::count(many.len(), "developer")
        ),
    };
    format!(
        "There are no metrics of {developer:?}. {known} Metrics appear once a batch's aggregate job is done; \
         `devtrail status` shows the jobs that wait."
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_developer_without_days_is_answered_with_those_who_have() {
        let people = ["ada".to_owned(), "bob".to_owned()];
        assert!(without_days("adda", &people).contains("\"adda\". There are metrics of ada, bob."));
        assert!(without_days("ada", &[]).contains("Nobody has metrics yet"));
    }
}
