//! Prometheus metrics: every name in one table, what records them, and how they are read.
//!
//! A program that is never read records nothing: without [`install`] each call below is a branch.
//! Gauges of what others know (streams, breakers, memory) are read only when someone asks.

mod exporter;
mod own;
mod record;
mod table;

pub use exporter::{install, render};
pub(crate) use own::read as read_own;
pub use record::*;
pub use table::*;
