//! Serving HTTP: health and metrics of a process.

pub mod admin;
