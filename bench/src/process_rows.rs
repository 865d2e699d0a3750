//! Rows for the CPU of single processes, which several families have.

use crate::row::BenchRow;
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
