//! The pages of the project can be trusted and read: what they name exists, links resolve, and each line of
//! prose holds one sentence. A failure lists every line that breaks the rule.

mod planned;
mod requirements;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Component, Path, PathBuf};
use std::process::Command;

/// The longest line of prose, in characters; targets of links do not count.
const WIDTH: usize = 120;

/// The folders of the project: a name that begins with one of them is a path from the root.
const FOLDERS: [&str; 11] = [
    "admin/",
    "bench/",
    "collector/",
    "common/",
    "docs/",
    "nats/",
    "scripts/",
    "store/",
    "tests/",
    "workers/",
    ".ci/",
];

/// Pages made of texts from elsewhere: the list of tests, the descriptions in the schemas, the credits.
const NOT_OUR_PROSE: [&str; 3] = [
    "docs/contract-tests.md",
    "docs/event-types.md",
    "tests/data/README.md",
];

/// What a line of a page is.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Kind {
    Prose,
    Heading,
    Table,
    /// Inside a fenced block of this language.
    Code(String),
}

/// A line of a page, with its number from 1 on.
struct Line {
    number: usize,
    kind: Kind,
    text: String,
}

struct Page {
    /// Its path from the root.
    path: String,
    lines: Vec<Line>,
}

impl Page {
    fn parse(path: &str, text: &str) -> Self {
        let mut fence: Option<String> = None;
        let mut lines = Vec::new();
        for (index, text) in text.lines().enumerate() {
            let trimmed = text.trim_start();
            let kind = if let Some(language) = trimmed.strip_prefix("```") {
                let opened = fence.is_none();
                fence = opened.then(|| language.trim().to_owned());
                Kind::Code("fence".to_owned())
            } else if let Some(language) = &fence {
                Kind::Code(language.clone())
            } else if trimmed.starts_with('|') {
                Kind::Table
            } else if trimmed.starts_with('#') {
                Kind::Heading
            } else {
                Kind::Prose
            };
            let (number, text) = (index + 1, text.to_owned());
            lines.push(Line { number, kind, text });
        }
        Self {
            path: path.to_owned(),
            lines,
        }
    }

    /// The fragments that links to this page can name: GitHub's, of its headings, and ids written as HTML.
    fn anchors(&self) -> BTreeSet<String> {
        let mut seen: BTreeMap<String, usize> = BTreeMap::new();
        let mut anchors = BTreeSet::new();
        for line in &self.lines {
            if line.kind == Kind::Heading {
                let slug = slug(line.text.trim_start_matches('#').trim());
                let times = seen.entry(slug.clone()).or_default();
                anchors.insert(match *times {
                    0 => slug,
                    n => format!("{slug}-{n}"),
                });
                *times += 1;
            }
            let ids = line.text.split("<a id=").skip(1);
            anchors.extend(ids.filter_map(|rest| Some(rest.split_once('>')?.0.replace('"', ""))));
        }
        anchors
    }

    /// `page:line: what` of each line that `complain` has something to say of.
    fn complaints(&self, complain: impl Fn(&Line) -> Vec<String>) -> Vec<String> {
        let at = |line: &Line, what: String| format!("{}:{}: {what}", self.path, line.number);
        self.lines
            .iter()
            .flat_map(|line| complain(line).into_iter().map(move |what| at(line, what)))
            .collect()
    }
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("tests/ lies in the project's root")
}

/// Every page that is or could be committed.
fn pages() -> Vec<Page> {
    let listed = Command::new("git")
        .args([
            "ls-files",
            "-z",
            "--cached",
            "--others",
            "--exclude-standard",
            "*.md",
        ])
        .current_dir(root())
        .output()
        .expect("git runs");
    let paths: BTreeSet<String> = String::from_utf8_lossy(&listed.stdout)
        .split_terminator('\0')
        .map(String::from)
        .collect();
    let read = |path: String| {
        Some(Page::parse(
            &path,
            &fs::read_to_string(root().join(&path)).ok()?,
        ))
    };
    let pages: Vec<Page> = paths.into_iter().filter_map(read).collect();
    assert!(pages.len() > 20, "only {} pages were found", pages.len());
    pages
}

fn assert_none(found: &[String], rule: &str) {
    assert!(found.is_empty(), "{rule}\n{}\n", found.join("\n"));
}

/// The fragment that GitHub gives a heading.
fn slug(heading: &str) -> String {
    let text = as_seen(heading);
    text.to_lowercase()
        .chars()
        .filter(|c| c.is_alphanumeric() || " -_".contains(*c))
        .map(|c| if c == ' ' { '-' } else { c })
        .collect()
}

/// The text between each pair of backticks of a line.
fn code_spans(text: &str) -> impl Iterator<Item = &str> {
    text.split('`').skip(1).step_by(2)
}

/// The target of each inline link of a line.
fn link_targets(text: &str) -> impl Iterator<Item = &str> {
    text.split("](")
        .skip(1)
        .filter_map(|rest| rest.split_once(')'))
        .map(|(target, _)| target)
}

/// The line as a reader sees it: `[text](target)` is `[text]`, and an anchor is nothing.
fn as_seen(text: &str) -> String {
    without_between(&without_between(text, "](", ")", "]"), "<a id=", "</a>", "")
}

/// The text with each part from `open` to the next `close` replaced.
fn without_between(text: &str, open: &str, close: &str, replacement: &str) -> String {
    let mut parts = text.split(open);
    let mut left = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        left.push_str(replacement);
        left.push_str(part.split_once(close).map_or("", |(_, rest)| rest));
    }
    left
}

/// The line with each code span as one capital letter.
fn without_code(text: &str) -> String {
    let part = |(index, part): (usize, &str)| {
        if index % 2 == 0 {
            part.to_owned()
        } else {
            "C".to_owned()
        }
    };
    text.split('`').enumerate().map(part).collect()
}

/// The line without what stands in parentheses, which may begin or end on another line.
fn without_parentheses(text: &str) -> String {
    let mut open = 0_usize;
    let mut outside = String::new();
    for c in text.chars() {
        match c {
            '(' => open += 1,
            ')' if open == 0 => outside.clear(),
            ')' => open -= 1,
            _ if open == 0 => outside.push(c),
            _ => {}
        }
    }
    outside
}

/// The line without the mark of a list, such as `- ` or `12. `.
fn without_list_mark(text: &str) -> &str {
    let text = text.trim_start().trim_start_matches("> ");
    let after_digits = text.trim_start_matches(|c: char| c.is_ascii_digit());
    let numbered = after_digits.len() < text.len();
    match after_digits.strip_prefix(". ") {
        Some(rest) if numbered => rest,
        _ => text.strip_prefix("- ").unwrap_or(text),
    }
}

/// Does a second sentence begin within this line of prose?
fn has_two_sentences(line: &str) -> bool {
    const ABBREVIATIONS: [&str; 6] = ["e.g.", "i.e.", "etc.", "vs.", "cf.", "…."];
    let spoken = without_parentheses(&without_code(&as_seen(without_list_mark(line))));
    let plain: String = spoken
        .chars()
        .filter(|c| !"*_[]\"“”".contains(*c))
        .collect();
    let words: Vec<&str> = plain.split_whitespace().collect();
    words.windows(2).any(|pair| {
        let [word, next] = pair else { return false };
        word.ends_with(['.', '?', '!'])
            && !ABBREVIATIONS.contains(word)
            && next.starts_with(char::is_uppercase)
    })
}

/// The name of a path from the root that a code span, a link or a word of a picture begins with.
fn project_path(text: &str) -> Option<&str> {
    let is_end = |c: char| c.is_whitespace() || "<>\"',;()[]".contains(c);
    let path = text.split(is_end).next()?.trim_end_matches(['.', ':']);
    let is_pattern = path.contains(['*', '…', '{', '$', '|']) || path.contains("...");
    (!is_pattern && FOLDERS.iter().any(|folder| path.starts_with(folder))).then_some(path)
}

/// The names after this macro's opening, as in `on_both_stores!(one, two)`.
fn listed_in<'a>(text: &'a str, opening: &str) -> impl Iterator<Item = &'a str> {
    let lists = text.split(opening).skip(1);
    lists.flat_map(|rest| {
        rest.split(')')
            .next()
            .unwrap_or_default()
            .split(|c: char| !(c.is_alphanumeric() || c == '_'))
            .filter(|name| !name.is_empty())
    })
}

/// What of `path`, `path:line` or `path::test` does not exist, if anything.
fn missing(path: &str) -> Option<String> {
    let (file, test) = match path.split_once("::") {
        Some((file, test)) => (file, Some(test)),
        None => (path, None),
    };
    let file = file.split('#').next().unwrap_or_default();
    if !root().join(file).exists() {
        return Some(format!("there is no {file}"));
    }
    let test = test?;
    let text = fs::read_to_string(root().join(file)).unwrap_or_default();
    let name = test.rsplit("::").next().unwrap_or(test);
    let defined = ["fn ", "def "].iter().any(|keyword| {
        let head = format!("{keyword}{name}");
        let mut ends = text.match_indices(&head).map(|(at, _)| at + head.len());
        ends.any(|end| text[end..].starts_with(['(', '<']))
    });
    // A macro may define it.
    let is_case = listed_in(&text, "on_both_stores!(").any(|case| case == name);
    (!defined && !is_case).then(|| format!("{file} has no test {name}"))
}

#[test]
fn paths_and_tests_that_pages_name_exist() {
    let named = |line: &Line| -> Vec<String> {
        let found: Vec<&str> = match &line.kind {
            Kind::Code(language) if language == "mermaid" => line
                .text
                .split(|c: char| c.is_whitespace() || "<>\"',;()[]|".contains(c))
                .filter_map(project_path)
                .collect(),
            Kind::Code(_) => Vec::new(),
            _ => code_spans(&line.text).filter_map(project_path).collect(),
        };
        found.into_iter().filter_map(missing).collect()
    };
    let found: Vec<String> = pages()
        .iter()
        .flat_map(|page| page.complaints(named))
        .collect();
    assert_none(&found, "pages name what is there:");
}

#[test]
fn links_between_pages_resolve() {
    let pages = pages();
    let anchors: BTreeMap<&str, BTreeSet<String>> = pages
        .iter()
        .map(|page| (page.path.as_str(), page.anchors()))
        .collect();
    let mut found = Vec::new();
    for page in &pages {
        let folder = Path::new(&page.path).parent().unwrap_or(Path::new(""));
        let broken = |target: &str| -> Option<String> {
            if target.contains("://") || target.starts_with("mailto:") {
                return None;
            }
            let (path, anchor) = target.split_once('#').unwrap_or((target, ""));
            let path = match path {
                "" => page.path.clone(),
                path => normal(&folder.join(path)),
            };
            if !root().join(&path).exists() {
                return Some(format!("{target}: there is no {path}"));
            }
            let known = anchors.get(path.as_str());
            let has_anchor = anchor.is_empty() || known.is_some_and(|known| known.contains(anchor));
            (!has_anchor).then(|| format!("{target}: {path} has no #{anchor}"))
        };
        found.extend(page.complaints(|line| match line.kind {
            Kind::Code(_) => Vec::new(),
            _ => link_targets(&line.text).filter_map(broken).collect(),
        }));
    }
    assert_none(&found, "links lead somewhere:");
}

/// The path without `.` and `..`, with slashes.
fn normal(path: &Path) -> String {
    let mut normal = PathBuf::new();
    for part in path.components() {
        match part {
            Component::ParentDir => drop(normal.pop()),
            Component::Normal(name) => normal.push(name),
            _ => {}
        }
    }
    normal.to_string_lossy().replace('\\', "/")
}

#[test]
fn lines_of_prose_fit_the_width() {
    let too_long = |line: &Line| {
        let width = as_seen(&line.text).trim_end().chars().count();
        let is_prose = matches!(line.kind, Kind::Prose | Kind::Heading);
        Vec::from_iter((is_prose && width > WIDTH).then(|| format!("{width} characters")))
    };
    let found = in_our_prose(too_long);
    assert_none(&found, &format!("at most {WIDTH} characters a line:"));
}

#[test]
fn lines_of_prose_hold_one_sentence() {
    let crowded = |line: &Line| {
        let crowded = line.kind == Kind::Prose && has_two_sentences(&line.text);
        Vec::from_iter(crowded.then(|| line.text.trim().to_owned()))
    };
    let found = in_our_prose(crowded);
    assert_none(&found, "one sentence a line:");
}

fn in_our_prose(complain: impl Fn(&Line) -> Vec<String>) -> Vec<String> {
    pages()
        .iter()
        .filter(|page| !NOT_OUR_PROSE.contains(&page.path.as_str()))
        .flat_map(|page| page.complaints(&complain))
        .collect()
}

#[test]
fn the_checks_see_what_they_look_for() {
    for two in [
        "It is stored. Then it is acked.",
        "1. It is stored. `devtrail status` shows it.",
        "- Is it stored? Look at [the store](store.md). It says.",
        "**Means.** A message failed.",
    ] {
        assert!(has_two_sentences(two), "{two}");
    }
    for one in [
        "It is stored, e.g. Postgres.",
        "It is stored (at once. Then it is acked).",
        "as [it says](a.md#b. C) here.",
        "`a. B` is code.",
        "12. Version 2.12 or newer",
        "It is stored. <a id=stored.Once></a>",
    ] {
        assert!(!has_two_sentences(one), "{one}");
    }
    assert_eq!(
        project_path("store/src/lib.rs::x"),
        Some("store/src/lib.rs::x")
    );
    assert_eq!(project_path("store/migrations/*.sql"), None);
    assert_eq!(project_path("target/release/devtrail"), None);
    assert_eq!(
        slug("The `webhook:admin` breaker, [now](a.md)"),
        "the-webhookadmin-breaker-now"
    );
    assert!(missing("tests/docs/main.rs::links_between_pages_resolve").is_none());
    assert!(missing("tests/docs/main.rs::no_such_test").is_some());
    assert!(missing("tests/no_such_file.rs").is_some());
    let page = Page::parse(
        "a.md",
        "# One\n# One\n```sh\n# no heading\n```\nTwo. <a id=t.wo></a>",
    );
    assert_eq!(Vec::from_iter(page.anchors()), ["one", "one-1", "t.wo"]);
}
