//! The canonical name of a language, from the editor's name for it or from a path.

use std::collections::HashMap;
use std::sync::LazyLock;

use super::languages::{FILE_NAMES, LANGUAGES};

/// Longest name of a language that is not in the table, in bytes.
const MAX: usize = 64;

struct Index {
    names: HashMap<&'static str, &'static str>,
    extensions: HashMap<&'static str, &'static str>,
}

static INDEX: LazyLock<Index> = LazyLock::new(|| {
    let mut index = Index {
        names: HashMap::new(),
        extensions: HashMap::new(),
    };
    for (name, aliases, extensions) in LANGUAGES {
        index.names.insert(name, name);
        index
            .names
            .extend(aliases.split_whitespace().map(|alias| (alias, *name)));
        index.extensions.extend(
            extensions
                .split_whitespace()
                .map(|extension| (extension, *name)),
        );
    }
    index
});

/// The canonical name of the language an editor calls `name`: `Rust` and `rs` are `rust`.
///
/// A name that the table does not know is kept in lower case, with `-` for what is neither letter,
/// digit nor one of `+#._`. `None` if the name says nothing.
#[must_use]
pub fn canonical(name: &str) -> Option<String> {
    let key = key(name);
    if matches!(
        key.as_str(),
        "" | "unknown" | "none" | "null" | "undefined" | "other"
    ) {
        return None;
    }
    Some(
        INDEX
            .names
            .get(key.as_str())
            .map_or(key.clone(), |name| (*name).to_owned()),
    )
}

/// The language of the file at `path`, by its name or its extension.
pub fn of_path(path: &str) -> Option<String> {
    let file = path.rsplit(['/', '\\']).next()?.to_lowercase();
    let by_name = FILE_NAMES
        .iter()
        .find(|(name, _)| *name == file)
        .map(|(_, language)| *language);
    let by_extension = || INDEX.extensions.get(file.rsplit_once('.')?.1).copied();
    by_name.or_else(by_extension).map(str::to_owned)
}

/// `name` as the table spells names and aliases.
fn key(name: &str) -> String {
    let mut key = String::new();
    for c in name.chars().flat_map(char::to_lowercase) {
        if key.len() >= MAX {
            break;
        }
        if c.is_ascii_alphanumeric() || "+#._".contains(c) {
            key.push(c);
        } else if !key.is_empty() && !key.ends_with('-') {
            key.push('-');
        }
    }
    key.trim_end_matches('-').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_alias_and_extension_means_one_language() {
        let mut names = Vec::new();
        let mut extensions = Vec::new();
        for (name, aliases, of_files) in LANGUAGES {
            names.push(*name);
            names.extend(aliases.split_whitespace());
            extensions.extend(of_files.split_whitespace());
        }
        assert!(LANGUAGES.len() >= 60, "{} languages", LANGUAGES.len());
        for mut list in [names, extensions] {
            let all = list.len();
            list.sort_unstable();
            let twice: Vec<_> = list.windows(2).filter(|pair| pair[0] == pair[1]).collect();
            assert!(twice.is_empty(), "{twice:?}");
            assert!(
                all > 100 && list.iter().all(|name| key(name) == *name),
                "spelled as keys are: {list:?}"
            );
        }
        for (file, language) in FILE_NAMES {
            assert_eq!(canonical(language).as_deref(), Some(*language), "{file}");
        }
    }

    #[test]
    fn editors_names_and_paths_lead_to_the_same_language() {
        for (name, language) in [
            ("Rust", "rust"),
            ("rs", "rust"),
            ("typescriptreact", "typescript"),
            ("TSX", "typescript"),
            ("C++", "cpp"),
            ("Objective-C", "objective-c"),
            ("Jupyter Notebook", "jupyter"),
            ("Visual Basic .NET", "visual-basic"),
            (" Shell Script ", "shell"),
            ("Brainf*ck\0 II", "brainf-ck-ii"),
        ] {
            let first = canonical(name);
            assert_eq!(first.as_deref(), Some(language), "{name}");
            assert_eq!(
                first.as_deref().and_then(canonical),
                first,
                "naming twice is naming once"
            );
        }
        assert_eq!(
            (canonical(" "), canonical("Unknown"), canonical("…")),
            (None, None, None)
        );
        assert_eq!(of_path("src/main.RS").as_deref(), Some("rust"));
        assert_eq!(of_path(r"C:\a\Dockerfile").as_deref(), Some("dockerfile"));
        assert_eq!(of_path("CMakeLists.txt").as_deref(), Some("cmake"));
        assert_eq!(
            (of_path("LICENSE"), of_path(""), of_path("a.rs/b")),
            (None, None, None)
        );
    }
}
