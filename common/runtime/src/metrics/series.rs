//! Counting, setting and observing a series; without a recorder each is one branch.

use metrics::{Label, counter, gauge, histogram};

use super::exporter::is_recording;
use super::table::Metric;

type Labels<'a> = [(&'static str, &'a str)];

fn labels(metric: &Metric, given: &Labels<'_>) -> Vec<Label> {
    debug_assert!(
        given.iter().map(|(name, _)| name).eq(metric.labels),
        "{} has other labels",
        metric.name
    );
    given
        .iter()
        .map(|(name, value)| Label::new(*name, (*value).to_owned()))
        .collect()
}

/// Adds to a counter.
pub fn add(metric: &Metric, given: &Labels<'_>, count: u64) {
    if is_recording() {
        counter!(metric.name, labels(metric, given)).increment(count);
    }
}

/// Records an observation of a histogram.
pub fn observe(metric: &Metric, given: &Labels<'_>, value: f64) {
    if is_recording() {
        histogram!(metric.name, labels(metric, given)).record(value);
    }
}

/// Sets a gauge.
pub fn set(metric: &Metric, given: &Labels<'_>, value: f64) {
    if is_recording() {
        gauge!(metric.name, labels(metric, given)).set(value);
    }
}
