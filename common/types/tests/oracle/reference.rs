//! Admission as it was first written: a reader for each step, each with a scan of its own. Slow, and plain.
//!
//! It shares with the library only values (codes, notes, headers) and the texts of the schemas, none of what it checks.

pub(crate) mod admission;
pub(crate) mod event;
pub(crate) mod formats;
pub(crate) mod id;
pub(crate) mod json;
pub(crate) mod schema;
pub(crate) mod time;
