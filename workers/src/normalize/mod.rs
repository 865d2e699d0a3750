//! The normalize role: raw events become records.

mod client;
mod counted_event;
mod difference;
mod fields;
mod language;
mod languages;
mod lazy_record;
mod local;
mod location;
mod path;
mod project;
mod record;
mod redact;
mod role;
mod segments;
mod text;
mod tool;

pub use client::{ClientProgram, editor as canonical_editor};
pub use counted_event::{CountedEvent, Told};
pub use language::canonical as canonical_language;
pub use language::of_path as language_of_path;
pub use lazy_record::LazyRecord;
pub use local::{Clock, LocalClock, text as local_time};
pub use path::clean as clean_path;
pub use project::Project;
pub use record::{Record, VERSION, category, normalize};
pub use redact::redact;
pub use role::NormalizeWork;
