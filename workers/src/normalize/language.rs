//! The canonical name of a language, from the editor's name for it or from a path.
//!
//! Two tables are merged: [`LANGUAGES`], whose names come first, and that of GitHub's Linguist (`linguist.tsv`, made by
//! `scripts/languages.mjs`), which adds what the first does not name.

use std::collections::HashMap;
use std::sync::LazyLock;

use super::languages::{FILE_NAMES, LANGUAGES};
use super::{location, text};

/// Longest name of a language that is not in the table, in bytes.
const MAX: usize = 64;

/// The table of Linguist: name, group, aliases, extensions, file names, divided by tabs.
const LINGUIST: &str = include_str!("linguist.tsv");

/// What editors put after the name of a language.
const ENDINGS: &[&str] = &[
    "-mode",
    "-ts",
    "-base",
    "-file",
    "-source",
    "-script",
    "-language",
    "-lang",
    "-jsx",
    "-react",
    "-harmony",
    "-document",
];

#[derive(Default)]
struct Index {
    names: HashMap<&'static str, &'static str>,
    extensions: HashMap<&'static str, &'static str>,
    files: HashMap<&'static str, &'static str>,
}

static INDEX: LazyLock<Index> = LazyLock::new(|| {
    let mut index = Index::default();
    for (name, aliases, extensions) in LANGUAGES {
        claim(&mut index.names, name, name);
        claim(&mut index.names, aliases, name);
        claim(&mut index.extensions, extensions, name);
    }
    for (file, name) in FILE_NAMES {
        claim(&mut index.files, file, name);
    }
    for line in LINGUIST.lines().filter(|line| !line.starts_with('#')) {
        index.add_linguist(line);
    }
    index
});

impl Index {
    /// Adds a language of Linguist's, under the name it has here, else under that of its group.
    fn add_linguist(&mut self, line: &'static str) {
        let mut columns = line.split('\t');
        let mut column = || columns.next().unwrap_or_default();
        let (name, group, aliases, extensions, files) =
            (column(), column(), column(), column(), column());
        let group = if group.is_empty() { name } else { group };
        let known = self.names.get(name).or_else(|| self.names.get(group));
        let canonical = known.copied().unwrap_or(group);
        claim(&mut self.names, canonical, canonical);
        claim(&mut self.names, name, canonical);
        claim(&mut self.names, aliases, canonical);
        claim(&mut self.extensions, extensions, canonical);
        claim(&mut self.files, files, canonical);
    }
}

/// Gives the words to a language, unless they are another's already.
fn claim(
    map: &mut HashMap<&'static str, &'static str>,
    words: &'static str,
    language: &'static str,
) {
    for word in words.split_whitespace() {
        map.entry(word).or_insert(language);
    }
}

/// The canonical name of the language an editor calls `name`: `Rust`, `rs` and `rust-ts-mode` are `rust`.
///
/// A name that the tables do not know is kept in lower case, with `-` for what is neither letter,
/// digit nor one of `+#._`. `None` if the name says nothing.
#[must_use]
pub fn canonical(name: &str) -> Option<String> {
    let name = text::clean(name);
    if name.contains('\\') || name.starts_with('~') || name.split('/').count() > 2 {
        // The path of a grammar or of an interpreter, maybe in a home folder.
        return of_path(&name);
    }
    let key = key(&name);
    if matches!(
        key.as_str(),
        "" | "unknown" | "none" | "null" | "undefined" | "other"
    ) {
        return None;
    }
    let simpler = || simpler(&name).iter().find_map(|simpler| known(simpler));
    known(&key).or_else(simpler).or(Some(key))
}

/// The canonical name of the language that the tables know by exactly this name, in lower case with `-` for spaces.
pub fn known(name: &str) -> Option<String> {
    INDEX.names.get(name).map(|known| (*known).to_owned())
}

/// Shorter names that an editor may mean: without a remark in parentheses, an ending, a version, or further dialects.
fn simpler(name: &str) -> Vec<String> {
    let plain = name.split_once('(').map_or(name, |(plain, _)| plain);
    let mut all = vec![key(plain)];
    // Each turn takes an ending off; a name has few.
    for _ in 0..3 {
        let last = all.last().map_or("", String::as_str);
        let without = ENDINGS.iter().find_map(|ending| last.strip_suffix(ending));
        all.extend(without.map(str::to_owned));
    }
    let versions = all.iter().filter_map(|name| {
        let stem = name.trim_end_matches(|c: char| c.is_ascii_digit() || c == '.');
        let has_border = stem.ends_with('-') || stem.len() > 2;
        (has_border && stem.len() < name.len()).then(|| stem.trim_end_matches('-').to_owned())
    });
    let versions: Vec<String> = versions.collect();
    let whole = key(name);
    // Vim's `typescript.tsx`, Xcode's `Xcode.SourceCodeLanguage.Swift`.
    let dialects = whole.split('.').map(str::to_owned);
    all.into_iter().chain(versions).chain(dialects).collect()
}

/// The language of the file at `path` (or URI), by its name, else by the longest extension that is known.
pub fn of_path(path: &str) -> Option<String> {
    let file = location::file_name(path)?.to_lowercase();
    let dots = file.match_indices('.').map(|(at, _)| &file[at + 1..]);
    let by_extension = || {
        dots.into_iter()
            .find_map(|extension| INDEX.extensions.get(extension))
    };
    let found = INDEX.files.get(file.as_str()).or_else(by_extension);
    found.map(|language| (*language).to_owned())
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
    fn linguists_table_adds_languages_and_moves_none() {
        let lines = LINGUIST.lines().filter(|line| !line.starts_with('#'));
        let mut count = 0;
        for line in lines {
            assert_eq!(line.split('\t').count(), 5, "{line}");
            let name = line.split('\t').next().unwrap_or_default();
            assert_eq!(key(name), name, "spelled as keys are");
            let known = known(name).unwrap_or_else(|| panic!("{name}"));
            assert_eq!(canonical(&known), Some(known), "{name}");
            count += 1;
        }
        assert!(count > 700, "{count} languages");
        for (name, _, extensions) in LANGUAGES {
            assert_eq!(known(name).as_deref(), Some(*name));
            for extension in extensions.split_whitespace() {
                assert_eq!(
                    of_path(&format!("x.{extension}")).as_deref(),
                    Some(*name),
                    "{extension}"
                );
            }
        }
    }

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
            ("ECMAScript 6", "javascript"),
            ("JSX Harmony", "javascript"),
            ("javascriptreact", "javascript"),
            ("JavaScript (Babel)", "javascript"),
            ("TypeScript JSX", "typescript"),
            ("TypeScript.tsx", "typescript"),
            ("Python 3", "python"),
            ("python-mode", "python"),
            ("Batch Script", "batch"),
            ("Batchfile", "batch"),
            ("rust-ts-mode", "rust"),
            ("Xcode.SourceCodeLanguage.Swift", "swift"),
            ("Alpine Abuild", "shell"),
            ("abuild", "shell"),
            ("Emacs Lisp", "elisp"),
            ("COBOL", "cobol"),
            ("PL/SQL", "sql"),
            ("Brainfuck", "brainfuck"),
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
        assert_eq!(canonical("/srv/grammars/x"), None);
        assert_eq!(of_path("src/main.RS").as_deref(), Some("rust"));
        assert_eq!(of_path(r"C:\a\Dockerfile").as_deref(), Some("dockerfile"));
        assert_eq!(of_path("CMakeLists.txt").as_deref(), Some("cmake"));
        for (path, language) in [
            ("/w/x.ipynb#cell3", "jupyter"),
            ("vscode-notebook-cell:/w/x.ipynb#W0sZmlsZQ%3D%3D", "jupyter"),
            (
                r#"git:/w/app.ts?{"path":"/w/app.ts","ref":"~"}"#,
                "typescript",
            ),
            ("/w/a.php?x=1", "php"),
            ("/w/a.ts:12:3", "typescript"),
            ("x.cmake.in", "cmake"),
            ("Vagrantfile", "ruby"),
            ("x.hx", "haxe"),
        ] {
            assert_eq!(of_path(path).as_deref(), Some(language), "{path}");
        }
        assert_eq!(
            (of_path("LICENSE"), of_path(""), of_path("a.rs/b")),
            (None, None, None)
        );
    }
}
