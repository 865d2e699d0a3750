//! `docs/metrics-prometheus.md` is generated from the table of metrics, and is up to date.
//!
//! To renew it: `DEVTRAIL_WRITE_DOCS=1 cargo test -p devtrail-runtime --test prometheus`

use std::fmt::Write as _;
use std::path::Path;
use std::{env, fs};

use runtime::metrics::{ALL, Metric, MetricKind, Program};

const HOW: &str = "DEVTRAIL_WRITE_DOCS=1 cargo test -p devtrail-runtime --test prometheus";

const HEAD: &str = "# Metrics for Prometheus

`GET /metrics` replies in Prometheus's text format 0.0.4.
The collector serves it on `--listen`, any process on its `--admin-listen`, and `devtrail up` everything at one address.
See [how to set it up](operations.md#health-and-metrics) and [what to do about it](runbook.md).

Units are seconds and bytes.
Counters begin at 0 when a process starts: use `rate()` or `increase()`.
No label names a developer or a batch.
Gauges of streams and consumers are the server's, so every process reports the same: use `max by (stream, consumer)`.
A gauge that could not be read is `NaN`, not an old number.
";

fn page() -> String {
    let mut page = String::from(HEAD);
    for (title, program) in [
        ("Collector", Program::Collector),
        ("Worker", Program::Worker),
        ("Every process", Program::Every),
    ] {
        let _ = writeln!(
            page,
            "\n## {title}\n\n| name | kind | labels | meaning |\n|---|---|---|---|"
        );
        for Metric {
            name,
            kind,
            labels,
            help,
            ..
        } in ALL.iter().filter(|one| one.program == program)
        {
            let kind = match kind {
                MetricKind::Counter => "counter",
                MetricKind::Gauge => "gauge",
                MetricKind::Histogram(_) => "histogram",
            };
            let labels: Vec<String> = labels.iter().map(|label| format!("`{label}`")).collect();
            let _ = writeln!(
                page,
                "| `{name}` | {kind} | {} | {help} |",
                labels.join(", ")
            );
        }
    }
    let _ = writeln!(
        page,
        "\nThis page is generated from `common/runtime/src/metrics/table.rs`:\n`{HOW}`"
    );
    page
}

#[test]
fn the_page_of_metrics_says_what_the_table_says() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/metrics-prometheus.md");
    if env::var_os("DEVTRAIL_WRITE_DOCS").is_some() {
        fs::write(&file, page()).expect("docs/metrics-prometheus.md can be written");
    }
    let written = fs::read_to_string(&file).unwrap_or_default();
    assert!(
        written == page(),
        "docs/metrics-prometheus.md is out of date: renew it with `{HOW}`"
    );
}

/// Prometheus, "Metric and label naming": a prefix, base units, `_total` for what only counts.
#[test]
fn names_keep_to_prometheuss_conventions() {
    for Metric {
        name,
        kind,
        labels,
        help,
        ..
    } in ALL
    {
        let plain = |text: &str| text.chars().all(|c| c.is_ascii_lowercase() || c == '_');
        assert!(
            plain(name) && labels.iter().all(|label| plain(label)),
            "{name}"
        );
        assert!(
            name.starts_with("devtrail_") || name.starts_with("process_"),
            "{name}"
        );
        assert_eq!(
            matches!(kind, MetricKind::Counter),
            name.ends_with("_total"),
            "{name}"
        );
        let foreign = [
            "_ms", "_millis", "_minutes", "_kib", "_mib", "_percent", "_count", "_sum", "_bucket",
        ];
        assert!(!foreign.iter().any(|unit| name.contains(unit)), "{name}");
        assert!(help.ends_with('.') && !help.contains('|'), "{name}: {help}");
        assert!(
            !labels
                .iter()
                .any(|label| ["le", "developer", "batch", "quantile"].contains(label)),
            "{name}"
        );
    }
    let mut names: Vec<&str> = ALL.iter().map(|metric| metric.name).collect();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), ALL.len(), "a name is given twice");
}
