//! The languages of a commit: those of its paths. Pure.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use crate::normalize::{CountedEvent, language_of_path};

/// The languages that an event is in, each with its number of paths. A commit that names a language is in that one
/// alone, as any event is; else it is in those of its paths. Paths of no known language count for none.
pub fn languages_of(event: &CountedEvent) -> BTreeMap<String, u64> {
    if let Some(language) = event.language.as_known() {
        return BTreeMap::from([(language.clone(), 1)]);
    }
    let mut counts = BTreeMap::new();
    if event.kind == "git.commit" {
        for language in event.texts("paths").filter_map(language_of_path) {
            *counts.entry(language).or_default() += 1;
        }
    }
    counts
}

/// The language of most paths, of equal ones the first by name; `None` if there is none.
pub fn main_language(languages: &BTreeMap<String, u64>) -> Option<&str> {
    let most = languages
        .iter()
        .max_by_key(|(name, paths)| (**paths, Reverse(*name)));
    most.map(|(name, _)| name.as_str())
}
