//! Projects: a key that is the same for every spelling, and the name as its owner wrote it.

use unicode_normalization::UnicodeNormalization;

use super::segments::Segments;
use super::{language, location, text};

/// Longest key, in bytes.
const MAX_KEY: usize = 64;
/// Longest name, in bytes.
const MAX_NAME: usize = 128;
/// Most readings of one name.
const MAX_READINGS: usize = 8;

/// A project by its two names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Project {
    /// The slug: what metrics, filters and rules know it by.
    pub key: String,
    /// The name to show.
    pub name: String,
}

impl Project {
    /// The project that is called `project`; of a path or URI its last segment. `None` for a home folder, and if the
    /// name consists of separators only.
    ///
    /// The key is lower case, `[a-z0-9-]`, at most 64 bytes. `C++`, `C#` and the like have the name that the language
    /// has. A name with letters or signs that a key cannot hold, or longer than one, ends in eight hex digits of its
    /// hash, so that two such names stay two, unless they differ only beyond the 125 bytes that are kept. Names that
    /// differ only in capitals, or in how their separators (spaces, `-`, `_`, `.`) are written, are one project, and
    /// so are NFC and NFD of a name.
    #[must_use]
    pub fn of(project: &str) -> Option<Self> {
        let mut name = readable_name(project)?;
        // What is left of a path may be a path again: `/srv/~ada`. The name that is kept leads to itself.
        for _ in 0..MAX_READINGS {
            let next = readable_name(&name)?;
            if next == name {
                let key = key(&name)?;
                return Some(Self { key, name });
            }
            name = next;
        }
        None
    }
}

/// The name that `project` ends in, cut where it is too long.
fn readable_name(project: &str) -> Option<String> {
    let name: String = last_segment(project)?.nfc().collect();
    let name = name.strip_suffix(".code-workspace").unwrap_or(&name).trim();
    Some(text::head(name, MAX_NAME))
}

/// The last segment of a path outside of home folders, or all of a name that is no path.
fn last_segment(project: &str) -> Option<String> {
    if project.len() > location::MAX_READ {
        return None;
    }
    let project = text::clean(project);
    let project = project.trim();
    let is_path = location::decoded(project, |_| true).contains(['/', '\\']);
    if is_path || project.starts_with('~') {
        let mut segments = Segments::of(project);
        segments.leave_home();
        return segments.list().last().cloned();
    }
    Some(project.to_owned())
}

fn key(name: &str) -> Option<String> {
    let name: String = name.to_lowercase().nfc().collect();
    if name.ends_with(['+', '#'])
        && let Some(language) = language::known(&name)
        && !language.contains(['+', '#', '.', '_'])
    {
        return Some(language);
    }
    let mut slug = String::new();
    for c in name.chars() {
        if c.is_ascii_alphanumeric() {
            slug.push(c);
        } else if !slug.is_empty() && !slug.ends_with('-') {
            slug.push('-');
        }
    }
    let slug = slug.trim_end_matches('-');
    if name.chars().all(is_separator) {
        return None;
    }
    // `.net` is not `net`: a dot before the name is no separator.
    let is_hidden = name.starts_with('.') && !name.starts_with("..");
    let is_whole = name
        .chars()
        .all(|c| c.is_ascii_alphanumeric() || is_separator(c));
    if is_whole && !is_hidden && slug.len() <= MAX_KEY {
        return Some(slug.to_owned());
    }
    let hash = types::event::hash(name.as_bytes());
    let hash: String = hash[..4].iter().map(|byte| format!("{byte:02x}")).collect();
    let start = &slug[..slug.len().min(MAX_KEY - hash.len() - 1)];
    Some(match start.trim_end_matches('-') {
        "" => hash,
        start => format!("{start}-{hash}"),
    })
}

fn is_separator(c: char) -> bool {
    c.is_whitespace() || "-_.…".contains(c)
}
