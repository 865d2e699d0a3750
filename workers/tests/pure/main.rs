//! The pure halves of normalize and aggregate: what users are promised, and laws that hold for any input.

mod build;
mod hostile;
mod idempotent;
mod laws;
mod masking;
mod metrics_page;
mod normalized;
mod oracle;
mod real;
mod redacted;
mod report;
mod rules_page;
mod windows;
