//! The normalize role: raw events become records.

mod fields;
mod language;
mod languages;
mod local;
mod path;
mod record;
mod role;
mod scrub;
mod text;

pub use language::canonical as canonical_language;
pub use path::{clean as clean_path, slug as project_slug};
pub use record::{Record, VERSION, normalize};
pub use role::Normalizing;
pub use scrub::scrub;
