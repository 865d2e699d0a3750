//! A week as one page: HTML that needs no other file, no script and no network. Pure, but for [`stored_page`].
//!
//! Each plot is SVG, and behind it is a table with the same numbers. What a week lacks, such as builds, is left out.
//! The page is bounded whatever the week holds, so that it fits into a message of NATS: the ten longest projects and
//! languages and one line for the others, the 200 longest sessions, names cut to a few dozen characters.

mod by_day;
mod by_name;
mod figures;
mod heat_map;
mod page;
mod ribbon;
mod table;
mod week_counts;
mod words;

use store::{QueryReads, StoreError};
use types::week::Week;

pub use page::{MARK, page};
pub use week_counts::WeekCounts;

/// The page of a developer's week as it is stored; `None` if the week has no metrics. `note` is shown at its top.
///
/// # Errors
/// Returns `StoreError::Failed` if what was computed cannot be read, and whatever the store cannot read.
pub async fn stored_page<S: QueryReads>(
    store: &S,
    developer: String,
    week: Week,
    note: Option<String>,
) -> Result<Option<String>, StoreError> {
    let (from, to) = (week.monday().to_string(), week.sunday().to_string());
    let stored = store.day_counts(developer.clone(), from, to).await?;
    // Where others wait for their turn on this thread, nothing is computed.
    let made = tokio::task::spawn_blocking(move || {
        let counts = WeekCounts::of(week, &stored)?;
        Ok(counts.map(|counts| page(&developer, &counts, note.as_deref())))
    });
    let made: Result<Option<String>, String> = made.await.map_err(|error| {
        StoreError::Failed(format!("the page of {week} cannot be made: {error}"))
    })?;
    made.map_err(StoreError::Failed)
}
