//! Serving HTTP, the same for every process that does: connections, problems, health and metrics.

pub mod admin_listener;
pub mod health;
pub mod layers;
pub mod serve;

mod error_code;
mod problem;

pub use error_code::ErrorCode;
pub use problem::{Problem, ProblemLocation};
