//! Command lines and other free text without secrets and home folders.
//!
//! Redaction passes from left to right until a pass changes nothing, so that a text redacted twice is the text redacted
//! once. When in doubt it redacts: a hidden word costs less than a password in a database.

mod commands;
mod formats;
mod home;
mod names;
mod redactor;
mod scan;
mod token;
mod value;

pub use names::is_secret_name;
pub use redactor::{MAX_READ, REDACTED, Redacted, hide_homes_head, redact, redacted_head};
