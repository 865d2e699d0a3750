//! What counts are kept by, and how it is shown.

use types::query::PlaceNames;

/// The name of what no event tells, as it is kept.
pub const UNKNOWN: &str = "";
/// How it is shown.
pub use types::query::SHOWN_UNKNOWN;

/// A project (by its key), language and editor.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct CountedPlace<'a> {
    pub project: &'a str,
    pub language: &'a str,
    pub editor: &'a str,
}

/// A place as it is shown.
pub fn shown(project: &str, language: &str, editor: &str) -> PlaceNames {
    PlaceNames {
        project: shown_name(project).to_owned(),
        language: shown_name(language).to_owned(),
        editor: shown_name(editor).to_owned(),
    }
}

/// A name as it is shown.
#[must_use]
pub fn shown_name(name: &str) -> &str {
    if name == UNKNOWN { SHOWN_UNKNOWN } else { name }
}
