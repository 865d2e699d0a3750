//! The routes that WakaTime's clients call: they send heartbeats, and read what has become of them.
//!
//! Shapes are those of <https://wakatime.com/developers>, numbers are Devtrail's metrics. Every list is an array, if
//! only an empty one, because clients go through it; a number that Devtrail does not know is absent.

mod account;
mod calendar;
mod day_heartbeats;
mod durations;
mod heartbeats;
mod names;
mod plugin_errors;
mod request;
mod shapes;
mod stats;
mod summaries;

pub use account::*;
pub use day_heartbeats::*;
pub use durations::*;
pub use heartbeats::*;
pub use names::*;
pub use plugin_errors::*;
pub use stats::*;
pub use summaries::*;
