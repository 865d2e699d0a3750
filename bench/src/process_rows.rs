//! Rows for the CPU and the memory of single processes, which several families have.

use std::collections::BTreeMap;

use crate::row::{BenchRow, Reach};
use crate::stats::Spread;

/// A row for each process, its name after `when`; none for the worker of all roles, whose CPU is that of all workers.
pub fn process_rows<'a>(
    when: &str,
    unit: &str,
    processes: impl Iterator<Item = &'a String>,
    cpu: impl Fn(&str) -> Spread,
) -> Vec<BenchRow> {
    processes
        .filter(|process| *process != "all")
        .map(|process| BenchRow::new(format!("{when}CPU of {process}"), unit, cpu(process)))
        .collect()
}

/// A row for the peak memory of each worker, of what [`crate::usage::workers_memory`] gave in each round.
pub fn memory_rows(when: &str, rounds: &[&BTreeMap<String, f64>]) -> Vec<BenchRow> {
    let row = |worker: &String| {
        let memory = Spread::of(rounds.iter().map(|round| round[worker]));
        BenchRow::new(format!("peak memory of {worker}{when}"), "MiB", memory)
            .reach(Reach::AtMost(256.0))
    };
    rounds[0].keys().map(row).collect()
}
