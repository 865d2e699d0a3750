//! The yardstick for CPU: targets in µs were set on one machine, and CPUs differ by more than the code does.
//! So each of them is also held to as a multiple of one plain piece of work, which is measured in the same round.

use std::hint::black_box;
use std::time::Duration;

use anyhow::Context as _;
use serde_json::Value;

use crate::input::body;
use crate::row::{BenchRow, Reach};
use crate::stats::{Spread, micros};

/// CPU of the yardstick where the targets were set, in µs: a batch of 50 events, 20 kB, parsed into a `Value`.
const THERE: f64 = 124.0;
const PARSES: usize = 200;

/// What the yardstick's CPU is divided by to be in the unit of a row.
#[derive(Debug, Clone, Copy)]
pub enum Per {
    /// µs a batch.
    Batch,
    /// µs an event: a batch has 50.
    Event,
    /// ms.
    Thousand,
}

impl Per {
    fn of(self, micros: f64) -> f64 {
        match self {
            Self::Batch => micros,
            Self::Event => micros / 50.0,
            Self::Thousand => micros / 1000.0,
        }
    }
}

/// CPU of the yardstick here and now, in µs.
///
/// # Errors
/// If the thread's CPU time cannot be read.
pub fn here() -> anyhow::Result<f64> {
    let bodies: Vec<Vec<u8>> = (0..PARSES).map(|number| body("cpu", number)).collect();
    let cpu = cpu_of(|| {
        for body in &bodies {
            black_box(serde_json::from_slice::<Value>(black_box(body))?);
        }
        Ok(())
    })?;
    Ok(micros(cpu) / PARSES as f64)
}

/// A row of CPU beside the yardstick of the same rounds, held to the target's multiple of it.
#[must_use]
pub fn beside(row: &BenchRow, per: Per, ours: &[f64], here: &[f64], target: f64) -> BenchRow {
    let ratio = ours
        .iter()
        .zip(here)
        .map(|(ours, here)| ours / per.of(*here));
    BenchRow::new(
        format!("{}, beside parsing as much JSON", row.what),
        &row.unit,
        row.ours,
    )
    .beside(
        Spread::of(here.iter().map(|here| per.of(*here))),
        Spread::of(ratio),
    )
    .reach(Reach::RatioAtMost(target / per.of(THERE)))
}

/// CPU time of this thread while it works.
///
/// # Errors
/// The work's, or if the time cannot be read.
pub fn cpu_of(work: impl FnOnce() -> anyhow::Result<()>) -> anyhow::Result<Duration> {
    let before = thread_cpu()?;
    work()?;
    Ok(thread_cpu()? - before)
}

/// What this thread has run so far, to the nanosecond.
fn thread_cpu() -> anyhow::Result<Duration> {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat")?;
    let nanos = text.split_whitespace().next().context("no time")?;
    Ok(Duration::from_nanos(nanos.parse()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_target_is_a_multiple_of_the_yardstick() {
        let row = BenchRow::new("CPU", "µs/event", Spread::of([90.0]));
        let twice_as_slow = beside(&row, Per::Event, &[90.0], &[2.0 * THERE], 45.0);
        assert_eq!(twice_as_slow.is_reached(), Some(true));
        let as_fast = beside(&row, Per::Event, &[90.0], &[THERE], 45.0);
        assert_eq!(as_fast.is_reached(), Some(false));
    }
}
