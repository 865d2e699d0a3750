//! `docs/benchmarks.md`, `docs/benchmarks.json` and `docs/plots/`. Rows that this run did not measure stay as they are.

use std::fmt::Write as _;
use std::path::Path;

use anyhow::Context as _;
use serde::{Deserialize, Serialize};

use crate::report::{Report, Section};
use crate::row::{BenchRow, spread};

const HEAD: &str = include_str!("benchmarks_head.md");
/// Every plot that some family makes, in the order of the page.
const PLOTS: [&str; 5] = [
    "throughput-against-concurrency",
    "latency-against-load",
    "cost-against-history",
    "memory-against-backlog",
    "memory-against-ten-million",
];

/// What `docs/benchmarks.json` holds.
#[derive(Debug, Default, PartialEq, Serialize, Deserialize)]
struct Results {
    /// Cores of the machine of the latest run.
    cores: usize,
    sections: Vec<Section>,
}

impl Results {
    /// With each section that was measured now in the place of the old one of its title.
    /// A title that a whole family no longer has goes; a family measured in part keeps the rest of its sections.
    fn merge(mut self, report: &Report) -> Self {
        self.sections.retain(|old| {
            let mut now = report.sections.iter();
            let is_measured = now.any(|new| new.family == old.family && new.title == old.title);
            is_measured || !report.is_whole(old.family)
        });
        for new in &report.sections {
            let mut before = self.sections.iter_mut();
            match before.find(|old| old.family == new.family && old.title == new.title) {
                Some(old) => old.clone_from(new),
                None => self.sections.push(new.clone()),
            }
        }
        // Stable: the sections of a family stay in their order.
        self.sections.sort_by_key(|section| section.family);
        self
    }

    fn markdown(&self, plots: &[&str]) -> String {
        let mut text = HEAD.to_owned();
        for plot in plots {
            let name = plot.replace('-', " ");
            text += &format!("\n![{name}](plots/{plot}.svg)\n");
        }
        for section in &self.sections {
            text += &format!("\n## {}\n\n", section.title);
            if let Some(reason) = &section.skipped {
                text += &format!("Not measured: {reason}.\n");
                continue;
            }
            text += &format!(
                "Measured {}.\n\n| what | unit | measured | beside | ratio | to reach | reached |\n\
                 |---|---|---|---|---|---|---|\n",
                section.measured_at
            );
            for row in &section.rows {
                text += &line(row);
            }
        }
        text
    }
}

fn line(row: &BenchRow) -> String {
    let or_empty = |value: Option<crate::stats::Spread>| value.map(spread).unwrap_or_default();
    let reached = match row.is_reached() {
        None => "",
        Some(true) => "yes",
        Some(false) => "**no**",
    };
    let mut line = String::new();
    let written = writeln!(
        line,
        "| {} | {} | {} | {} | {} | {} | {reached} |",
        row.what,
        row.unit,
        spread(row.ours),
        or_empty(row.ceiling),
        or_empty(row.ratio),
        row.reach.map(crate::row::Reach::text).unwrap_or_default(),
    );
    debug_assert!(written.is_ok(), "writing to a String cannot fail");
    line
}

/// Writes what was measured beside the docs.
///
/// # Errors
/// The error of a file that cannot be read or written.
pub fn publish(report: &Report) -> anyhow::Result<()> {
    let docs = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs");
    publish_into(&docs, report)
}

fn publish_into(docs: &Path, report: &Report) -> anyhow::Result<()> {
    let json = docs.join("benchmarks.json");
    let before: Results = match std::fs::read(&json) {
        Ok(bytes) => serde_json::from_slice(&bytes).with_context(|| said(&json))?,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Results::default(),
        Err(error) => return Err(error).with_context(|| said(&json)),
    };
    let mut results = before.merge(report);
    results.cores = std::thread::available_parallelism().map_or(0, usize::from);
    let plots = docs.join("plots");
    std::fs::create_dir_all(&plots).with_context(|| said(&plots))?;
    for plot in &report.plots {
        write(&plots.join(plot.file).with_extension("svg"), plot.svg())?;
    }
    let drawn = |plot: &&str| plots.join(plot).with_extension("svg").exists();
    let drawn: Vec<&str> = PLOTS.into_iter().filter(drawn).collect();
    write(&json, serde_json::to_string_pretty(&results)? + "\n")?;
    write(&docs.join("benchmarks.md"), results.markdown(&drawn))
}

fn write(path: &Path, text: String) -> anyhow::Result<()> {
    std::fs::write(path, text).with_context(|| said(path))
}

fn said(path: &Path) -> String {
    path.display().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::family::Family;
    use crate::plot::{Plot, Series};
    use crate::report::Coverage;
    use crate::row::Reach;
    use crate::stats::Spread;

    fn row(figure: f64) -> Vec<BenchRow> {
        vec![BenchRow::new("CPU", "µs", Spread::of([figure])).reach(Reach::AtMost(3.0))]
    }

    fn report(families: &[Family], figure: f64) -> Report {
        let mut report = Report::default();
        for family in families {
            report.begin(*family, Coverage::Whole);
            report.add(&format!("{family:?}"), row(figure));
        }
        report
    }

    fn plot() -> Plot {
        let mut series = Series::new("one");
        series.add(1.0, 1.0);
        Plot {
            file: PLOTS[1],
            title: "Title",
            x: "x",
            y: "y",
            is_x_log: false,
            series: vec![series],
        }
    }

    #[test]
    fn a_part_of_the_rows_can_be_measured_again() {
        let docs = tempfile::tempdir().expect("a folder");
        let mut all = report(&[Family::Admission, Family::Drain, Family::Keys], 2.0);
        all.plot(plot());
        publish_into(docs.path(), &all).expect("it is written");
        publish_into(docs.path(), &report(&[Family::Drain], 4.0)).expect("it is written");
        let page = std::fs::read_to_string(docs.path().join("benchmarks.md")).expect("a page");
        let lines: Vec<&str> = page
            .lines()
            .filter(|line| {
                line.starts_with("## A") || line.starts_with("## D") || line.starts_with("| CPU |")
            })
            .collect();
        let expected = [
            "## Admission",
            "| CPU | µs | 2 |  |  | ≤ 3 | yes |",
            "## Drain",
            "| CPU | µs | 4 |  |  | ≤ 3 | **no** |",
            "| CPU | µs | 2 |  |  | ≤ 3 | yes |",
        ];
        assert_eq!(lines, expected);
        assert!(page.contains("![latency against load](plots/latency-against-load.svg)"));
        assert!(!page.contains("plots/cost-against-history.svg"));
    }

    /// Each section's title and figure.
    fn figures(results: &Results) -> Vec<String> {
        let figure =
            |section: &Section| format!("{} {}", section.title, section.rows[0].ours.median);
        results.sections.iter().map(figure).collect()
    }

    #[test]
    fn one_store_leaves_the_rows_of_the_other() {
        let both = |figure: f64, titles: &[&str]| {
            let mut report = Report::default();
            report.begin(Family::Drain, Coverage::Whole);
            for title in titles {
                report.add(title, row(figure));
            }
            report.begin(Family::Keys, Coverage::Whole);
            report.add("Keys", row(figure));
            report
        };
        let old = Results::default().merge(&both(1.0, &["On SQLite", "On Postgres"]));
        let mut part = Report::default();
        part.begin(Family::Drain, Coverage::Part);
        part.add("On SQLite", row(2.0));
        part.add("On SQLite, small", row(2.0));
        part.plot(plot());
        assert!(
            part.plots.is_empty(),
            "it would lack the other store's line"
        );
        let old = old.merge(&part);
        let expected = [
            "On SQLite 2",
            "On Postgres 1",
            "On SQLite, small 2",
            "Keys 1",
        ];
        assert_eq!(figures(&old), expected);
        // Measured whole again, the family has these titles only.
        let new = old.merge(&both(3.0, &["On SQLite", "On Postgres"]));
        assert_eq!(figures(&new), ["On SQLite 3", "On Postgres 3", "Keys 3"]);
    }

    #[test]
    fn a_damaged_file_is_not_overwritten() {
        let docs = tempfile::tempdir().expect("a folder");
        std::fs::write(docs.path().join("benchmarks.json"), "{").expect("a file");
        assert!(publish_into(docs.path(), &report(&[Family::Keys], 1.0)).is_err());
    }
}
