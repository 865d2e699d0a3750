//! The aggregate role: raw events become hourly partials, and those become the metrics of local days.
//!
//! `docs/metrics.md` defines each metric for users. [`AggregateWork`] is the role. The rest is pure: [`plan`] says
//! which hours to read, [`windows`] what to write, and [`Metrics`] are what queries make of it.

mod commit_languages;
mod day;
mod day_events;
mod explain;
mod idle_timeouts;
mod local_hour;
mod metrics;
mod place;
mod plan;
mod role;
mod settings_sweep;
mod sums;
mod tally;
mod timeline;
mod windows;

pub use day::DayCounts;
pub use explain::{explain, explain_stored};
pub use idle_timeouts::{IdleTimeout, IdleTimeouts};
pub(crate) use local_hour::LocalHour;
pub use local_hour::days_after;
pub(crate) use metrics::Share;
pub use metrics::{Counted, Metrics, MetricsFilter};
pub use place::{SHOWN_UNKNOWN, UNKNOWN, shown_name};
pub use plan::{Candidates, DayReads, InvalidDate, look_back, plan};
pub use role::AggregateWork;
pub use settings_sweep::follow as follow_settings;
pub(crate) use timeline::HourCounts;
pub use timeline::Session;
pub use windows::{VERSION, maker, windows};
