//! Serving HTTP, the same for every process that does: connections, problems, health and metrics.

pub mod admin_listener;
pub mod client_address;
pub mod health;
pub mod layers;
pub mod quota;
pub mod serve;

mod error_code;
mod problem;
mod refusal_log;

pub use error_code::ErrorCode;
pub use problem::{Problem, ProblemLocation};
