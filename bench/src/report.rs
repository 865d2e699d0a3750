//! The table: printed as it grows, and written to `docs/benchmarks.md`.

use std::io::Write;
use std::path::Path;
use std::time::Duration;

use anyhow::Context as _;
use runtime::clock;
use types::time::rfc3339;

/// What was measured, and its ceiling of the same run.
pub struct Measured {
    pub ours: String,
    /// Empty if there is none.
    pub ceiling: String,
    pub ratio: Option<f64>,
}

impl Measured {
    /// A figure without a ceiling.
    pub fn alone(ours: String) -> Self {
        Self {
            ours,
            ceiling: String::new(),
            ratio: None,
        }
    }
}

/// One row of the table.
struct Row {
    what: String,
    ours: String,
    ceiling: String,
    ratio: String,
    reach: String,
}

/// The rows so far.
#[derive(Default)]
pub struct BenchTable(Vec<Row>);

const HEAD: &str = "# Benchmarks

`make bench` measures this table and writes it.
Every figure is beside its ceiling, measured in the same run on the same machine.
Absolute times depend on the machine, ratios much less.

- fsync is on everywhere: nats-server with `sync_interval: always`, SQLite with `synchronous=FULL`,
  Postgres with `fsync` and `synchronous_commit`.
- A batch has 50 events and about 20 kB.
- The load is made on the same cores.
- *persist* publishes its jobs as well, to the same disk; its ceiling only writes the rows.
- *keys* are whole commands, with the start of the process.
- *The whole pipe* is every role with its jobs: 32 developers, an hour's work per batch.

`bench/src/` says how each row is measured.
Not measured yet: group commit, two and four persist processes, a storm of resends, ten million events, alerts to SSE,
replay.
";

/// Prints a line to stderr: progress, not result.
pub fn say(text: &str) {
    // The reader may have closed the pipe; the file is written anyway.
    let _ = writeln!(std::io::stderr(), "{text}");
}

impl BenchTable {
    /// Adds a row: a rate or a time, its ceiling, how much of it was reached, and the target.
    pub fn add(&mut self, what: &str, measured: Measured, reach: &str) {
        let Measured { ours, ceiling, .. } = measured;
        let ratio = measured
            .ratio
            .map(|ratio| format!("{ratio:.2}"))
            .unwrap_or_default();
        say(&format!("{what}: {ours} | {ceiling} | {ratio} | {reach}"));
        self.0.push(Row {
            what: what.to_owned(),
            ours,
            ceiling,
            ratio,
            reach: reach.to_owned(),
        });
    }

    /// Adds a row that could not be measured here, with the reason.
    pub fn skip(&mut self, what: &str, reason: &str) {
        self.add(what, Measured::alone(format!("not measured: {reason}")), "");
    }

    /// Writes the file.
    ///
    /// # Errors
    /// The error of the file, if it cannot be written.
    pub fn publish(&self) -> anyhow::Result<()> {
        let mut text = format!(
            "{HEAD}\nMeasured {} with {} cores.\n\n\
             | what | measured | ceiling of the same run | ratio | to reach |\n|---|---|---|---|---|\n",
            rfc3339(clock::now()),
            std::thread::available_parallelism().map_or(0, usize::from)
        );
        for Row {
            what,
            ours,
            ceiling,
            ratio,
            reach,
        } in &self.0
        {
            text += &format!("| {what} | {ours} | {ceiling} | {ratio} | {reach} |\n");
        }
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/benchmarks.md");
        std::fs::write(&path, text).with_context(|| format!("{} cannot be written", path.display()))
    }
}

/// A rate of batches, and of their events.
pub fn rate(batches: usize, took: Duration) -> String {
    let rate = batches as f64 / took.as_secs_f64();
    format!(
        "{rate:.0} batches/s ({:.0} events/s)",
        rate * crate::input::EVENTS as f64
    )
}

/// A time in milliseconds.
pub fn millis(time: Duration) -> String {
    format!("{:.1} ms", time.as_secs_f64() * 1000.0)
}

/// The time that `percent` of the times are not above. 0 without any.
pub fn percentile(times: &mut [Duration], percent: usize) -> Duration {
    times.sort_unstable();
    let index = (times.len() * percent).div_ceil(100).saturating_sub(1);
    times.get(index).copied().unwrap_or_default()
}
