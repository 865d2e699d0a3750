//! The aggregate role: raw events become hour partials, and those the metrics of local days.
//!
//! `docs/metrics.md` defines each metric for users. [`AggregateWork`] is the role; the rest is
//! pure: [`ranges`] says which hours to read, [`windows`] what to write.

mod day;
mod fold;
mod partial;
mod plan;
mod role;
mod windows;

pub use partial::{IDLE, Mark, Part};
pub use plan::{BadDay, look_back, ranges};
pub use role::AggregateWork;
pub use windows::{Error, VERSION, windows, windows_anew};
