//! The stored events of a day, an hour at a time: it may have more of them than fit into memory at once.

use std::collections::BTreeMap;

use store::{Hour, HourRange, Jobs, ReadPlan, Snapshot, SnapshotRequest, StoreError, StoredEvent};
use types::job::JobKind;

/// The UTC hours of a range that ever had events of the developer, rising.
///
/// # Errors
/// Returns whatever the store cannot read.
pub async fn hours_with_events<S: Jobs>(
    store: &S,
    developer: &str,
    range: HourRange,
) -> Result<Vec<i64>, StoreError> {
    Ok(read(store, developer, range, false).await?.plan)
}

/// The developer's events of a UTC hour, in no order.
///
/// # Errors
/// Returns whatever the store cannot read.
pub async fn events_of_hour<S: Jobs>(
    store: &S,
    developer: &str,
    hour: i64,
) -> Result<Vec<StoredEvent>, StoreError> {
    Ok(read(store, developer, only(hour), true).await?.events)
}

async fn read<S: Jobs>(
    store: &S,
    developer: &str,
    range: HourRange,
    with_events: bool,
) -> Result<Snapshot<Vec<i64>>, StoreError> {
    let request = SnapshotRequest {
        developer: developer.to_owned(),
        kind: JobKind::Aggregate,
        ranges: vec![range],
    };
    let plan = move |hours: BTreeMap<i64, Hour>| ReadPlan {
        spans: if with_events {
            hours.keys().map(|hour| only(*hour).span()).collect()
        } else {
            Vec::new()
        },
        plan: hours.into_keys().collect(),
    };
    store.snapshot(request, plan).await
}

/// One hour.
fn only(hour: i64) -> HourRange {
    HourRange {
        first: hour,
        last: hour,
    }
}
