//! Prometheus metrics: every name in one table, what records them, and how they are read.
//!
//! A program whose metrics are never read records nothing: without [`install`] each call below is a branch.
//! Gauges of other parts' state (streams, breakers, memory) are read only when metrics are scraped.

mod exporter;
mod process;
mod record;
mod series;
mod table;

pub use exporter::render;
pub(crate) use process::read as read_process;
pub use record::*;
pub use series::set;
pub use table::*;

/// From now on what is measured is recorded. Counters of `program` whose labels are known begin at 0, so
/// that their first step can be seen. Called again, it adds the other program's.
pub fn install(program: Program) {
    exporter::start();
    process::begin();
    record::begin(program);
}
