//! The normalize role: raw events become records.

mod fields;
mod language;
mod languages;
mod local;
mod path;
mod record;
mod redact;
mod role;
mod text;

pub use language::canonical as canonical_language;
pub use language::of_path as language_of_path;
pub use path::{clean as clean_path, slug as project_slug};
pub use record::{Record, VERSION, normalize};
pub use redact::redact;
pub use role::NormalizeWork;
