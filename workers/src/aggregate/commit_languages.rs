//! The languages of a commit: those of its paths. Pure.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use serde_json::Value;

use crate::normalize::{Record, language_of_path};

/// The languages that an event is in, each with its number of paths. A commit that names a language is in that one
/// alone, as any event is; else it is in those of its paths. Paths of no known language count for none.
pub fn languages_of(record: &Record) -> BTreeMap<String, u64> {
    if let Some(language) = &record.language {
        return BTreeMap::from([(language.clone(), 1)]);
    }
    let paths = match record.data.get("paths") {
        Some(Value::Array(paths)) if record.kind == "git.commit" => paths.as_slice(),
        _ => &[],
    };
    let mut counts = BTreeMap::new();
    for language in paths
        .iter()
        .filter_map(Value::as_str)
        .filter_map(language_of_path)
    {
        *counts.entry(language).or_default() += 1;
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
