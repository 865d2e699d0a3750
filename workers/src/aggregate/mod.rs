//! The aggregate role: raw events become hourly partials, and those become the metrics of local days.
//!
//! `docs/metrics.md` defines each metric for users. [`AggregateWork`] is the role; the rest is pure: [`ranges`] says
//! which hours to read, [`windows`] what to write.

mod commit_languages;
mod day;
mod fold;
mod hour_parts;
mod partial;
mod plan;
mod role;
mod sums;
mod windows;

pub use hour_parts::{HourParts, VERSION, maker};
pub use partial::{EdgeEvent, IDLE, Part};
pub use plan::{DayReads, InvalidDate, LookBacks, look_back, look_backs, plan};
pub use role::AggregateWork;
pub use windows::windows;
