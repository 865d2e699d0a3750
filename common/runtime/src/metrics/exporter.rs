//! The recorder of this process, and what it has recorded as text.

use std::sync::OnceLock;
use std::time::Duration;

use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};

use super::table::{ALL, Metric, MetricKind};

/// The recorder of the process; programs that serve no metrics have none.
static RECORDER: OnceLock<Option<PrometheusHandle>> = OnceLock::new();
/// How often observations are moved into their buckets: between two times each takes 8 bytes.
const UPKEEP: Duration = Duration::from_secs(5);

/// Records from now on. Later calls change nothing.
pub fn start() {
    RECORDER.get_or_init(|| match recorder() {
        Ok(handle) => Some(handle),
        // The work goes on without it.
        Err(reason) => {
            tracing::error!(reason, "metrics cannot be recorded");
            None
        }
    });
}

/// Whether anything is recorded.
pub fn is_recording() -> bool {
    RECORDER.get().is_some_and(Option::is_some)
}

fn recorder() -> Result<PrometheusHandle, String> {
    let mut builder = PrometheusBuilder::new();
    for Metric { name, kind, .. } in ALL {
        if let MetricKind::Histogram(bounds) = kind {
            let full = Matcher::Full((*name).to_owned());
            builder = builder
                .set_buckets_for_metric(full, bounds)
                .map_err(|error| error.to_string())?;
        }
    }
    let handle = builder
        .install_recorder()
        .map_err(|error| error.to_string())?;
    for Metric {
        name, kind, help, ..
    } in ALL
    {
        match kind {
            MetricKind::Counter => metrics::describe_counter!(*name, *help),
            MetricKind::Gauge => metrics::describe_gauge!(*name, *help),
            MetricKind::Histogram(_) => metrics::describe_histogram!(*name, *help),
        }
    }
    let kept = handle.clone();
    // A thread: the recorder belongs to the process, not to a runtime.
    let upkeep = move || {
        loop {
            std::thread::sleep(UPKEEP); // sleep: the time between two upkeeps
            kept.run_upkeep();
        }
    };
    std::thread::Builder::new()
        .name("metrics-upkeep".to_owned())
        .spawn(upkeep)
        .map_err(|error| error.to_string())?;
    Ok(handle)
}

/// What was recorded, in Prometheus's text format 0.0.4; empty if nothing is.
#[must_use]
pub fn render() -> String {
    RECORDER
        .get()
        .and_then(Option::as_ref)
        .map(PrometheusHandle::render)
        .unwrap_or_default()
}
