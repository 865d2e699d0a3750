//! `docs/requirements.md` says of each criterion what shows that it holds. This holds the page to it: its names exist,
//! and where a store takes part the evidence runs on both.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use super::{code_spans, listed_in, project_path, root};

const PAGE: &str = "docs/requirements.md";
/// The criteria of the source, R1.1 to R7.5.
const CRITERIA: [(u32, u32); 7] = [(1, 5), (2, 5), (3, 5), (4, 5), (5, 5), (6, 5), (7, 5)];

/// Where a test runs, as the line above a list of evidence says it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stores {
    Both,
    One,
    None,
}

impl Stores {
    fn read(line: &str) -> Option<Self> {
        match line {
            "On both stores:" => Some(Self::Both),
            "On one store:" => Some(Self::One),
            "No store takes part:" => Some(Self::None),
            _ => None,
        }
    }
}

/// A row of the table on top.
#[derive(Debug)]
struct Row {
    takes_store: bool,
    state: String,
}

/// A test, or a file of tests, that a section names.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Evidence {
    criterion: String,
    stores: Stores,
    /// `path` or `path::test`.
    name: String,
}

/// What the page says, and what cannot be read in it.
#[derive(Debug, Default)]
struct Requirements {
    rows: BTreeMap<String, Row>,
    sections: BTreeSet<String>,
    evidence: Vec<Evidence>,
    complaints: Vec<String>,
}

impl Requirements {
    fn read(text: &str) -> Self {
        let mut page = Self::default();
        let mut criterion = None;
        let mut stores = None;
        for line in text.lines() {
            if let Some(heading) = line.strip_prefix('#') {
                let name = heading.trim_start_matches('#').trim();
                criterion = is_criterion(name).then(|| name.to_owned());
                stores = None;
                if let Some(name) = &criterion
                    && !page.sections.insert(name.clone())
                {
                    page.complaints.push(format!("{name} has two sections"));
                }
            } else if line.starts_with("| R") {
                page.row(line);
            } else if line.ends_with(':') && !line.starts_with(['-', ' ']) {
                stores = Stores::read(line);
            } else if let (Some(item), Some(criterion)) = (line.strip_prefix("- "), &criterion) {
                page.item(criterion, stores, item);
            }
        }
        page
    }

    fn row(&mut self, line: &str) {
        let cells: Vec<&str> = line.trim_matches('|').split('|').map(str::trim).collect();
        let [id, _, store, state] = cells[..] else {
            return self.complaints.push(format!("no row: {line}"));
        };
        let is_known =
            ["tested", "begun", "not yet"].contains(&state) && ["both", "–"].contains(&store);
        if !is_known {
            self.complaints.push(format!(
                "{id}: {store:?} and {state:?} are no store and state"
            ));
        }
        let row = Row {
            takes_store: store == "both",
            state: state.to_owned(),
        };
        self.rows.insert(id.to_owned(), row);
    }

    fn item(&mut self, criterion: &str, stores: Option<Stores>, item: &str) {
        let named = code_spans(item).find(|span| project_path(span).is_some());
        match (named, stores) {
            (Some(name), Some(stores)) => self.evidence.push(Evidence {
                criterion: criterion.to_owned(),
                stores,
                name: name.to_owned(),
            }),
            (None, _) => self
                .complaints
                .push(format!("{criterion}: names no test: {item}")),
            (_, None) => self
                .complaints
                .push(format!("{criterion}: on which stores? {item}")),
        }
    }
}

/// Is this a name such as `R2.4`?
fn is_criterion(name: &str) -> bool {
    name.strip_prefix('R')
        .and_then(|rest| rest.split_once('.'))
        .is_some_and(|(theme, number)| {
            theme.parse::<u32>().is_ok() && number.parse::<u32>().is_ok()
        })
}

/// The sources of a file or a folder, by path.
fn sources(path: &Path) -> Vec<(PathBuf, String)> {
    if path.is_dir() {
        let mut entries: Vec<PathBuf> = fs::read_dir(path)
            .expect("a folder")
            .map(|entry| entry.expect("an entry").path())
            .collect();
        entries.sort();
        return entries.iter().flat_map(|entry| sources(entry)).collect();
    }
    let text = fs::read_to_string(path).unwrap_or_default();
    vec![(path.to_owned(), text)]
}

/// The functions marked as tests.
fn marked_tests(text: &str) -> BTreeSet<&str> {
    let mut tests = BTreeSet::new();
    let mut is_marked = false;
    for line in text.lines().map(str::trim) {
        if line.starts_with("#[test]") || line.starts_with("#[tokio::test") {
            is_marked = true;
        } else if is_marked && let Some((_, rest)) = line.split_once("fn ") {
            tests.extend(rest.split(['(', '<']).next());
            is_marked = false;
        }
    }
    tests
}

/// The name of the same test on the other store, for names that end in a store's.
fn twin(test: &str) -> Option<String> {
    let other = |ending: &str, other: &str| Some(format!("{}{other}", test.strip_suffix(ending)?));
    other("_on_sqlite", "_on_postgres").or_else(|| other("_on_postgres", "_on_sqlite"))
}

/// Why this test, or one of this file, does not run on both stores; nothing if all do.
fn on_one_store_only(name: &str) -> Vec<String> {
    let (path, test) = match name.split_once("::") {
        Some((path, test)) => (path, Some(test)),
        None => (name, None),
    };
    if let Some(file) = path.strip_prefix("store/tests/contract/") {
        // Each case that the store's contract names runs on both engines; scripts/test.sh counts them.
        let list =
            fs::read_to_string(root().join("store/tests/contract/main.rs")).unwrap_or_default();
        let module = file.trim_end_matches(".rs");
        let named: Vec<&str> = list
            .split(|c: char| !(c.is_alphanumeric() || c == '_' || c == ':'))
            .filter_map(|path| {
                path.trim_start_matches("crate::")
                    .strip_prefix(module)?
                    .strip_prefix("::")
            })
            .map(|case| case.trim_end_matches(':'))
            .collect();
        let is_named = test.map_or(!named.is_empty(), |test| named.contains(&test));
        return Vec::from_iter(
            (!is_named).then(|| format!("store/tests/contract/main.rs does not name {name}")),
        );
    }
    let sources = sources(&root().join(path));
    let mut on_both = BTreeSet::new();
    let mut on_one = BTreeSet::new();
    for (_, text) in &sources {
        on_both.extend(listed_in(text, "on_both_stores!("));
        let marked = marked_tests(text);
        for test in &marked {
            let has_twin = twin(test).is_some_and(|twin| marked.contains(twin.as_str()));
            if has_twin {
                on_both.insert(test)
            } else {
                on_one.insert(*test)
            };
        }
    }
    match test {
        Some(test) if on_both.contains(test) => Vec::new(),
        Some(test) => vec![format!("{test} is in no on_both_stores! of {path}")],
        None if on_both.is_empty() => vec![format!("{path} has no test that runs on both")],
        None => on_one
            .iter()
            .map(|test| format!("{test} of {path} runs on one"))
            .collect(),
    }
}

fn complaints(page: &Requirements) -> Vec<String> {
    let mut found = page.complaints.clone();
    for (theme, numbers) in CRITERIA {
        for number in 1..=numbers {
            let id = format!("R{theme}.{number}");
            if !page.rows.contains_key(&id) || !page.sections.contains(&id) {
                found.push(format!("{id} needs a row and a section"));
            }
        }
    }
    for (id, row) in &page.rows {
        let of = |stores: Stores| {
            page.evidence
                .iter()
                .filter(move |one| one.criterion == *id && one.stores == stores)
        };
        let count = of(Stores::Both).count() + of(Stores::One).count() + of(Stores::None).count();
        if (row.state == "not yet") != (count == 0) {
            found.push(format!("{id} is {:?} with {count} tests", row.state));
        }
        if row.takes_store && count > 0 && of(Stores::Both).next().is_none() {
            found.push(format!(
                "{id}: a store takes part, and nothing runs on both"
            ));
        }
        for evidence in of(Stores::Both) {
            let why = on_one_store_only(&evidence.name);
            found.extend(why.into_iter().map(|why| format!("{id}: {why}")));
        }
    }
    found
}

#[test]
fn each_criterion_has_evidence_on_both_stores() {
    let page = Requirements::read(&fs::read_to_string(root().join(PAGE)).expect("the page"));
    super::assert_none(&complaints(&page), "docs/requirements.md can be trusted:");
}

#[test]
fn what_the_page_lacks_is_seen() {
    let page = Requirements::read(
        "| id | how | store | state |\n|---|---|---|---|\n| R1.1 | a | both | tested |\n| R1.2 | b | both | not yet |\n\
         ### R1.1\n\nOn one store:\n\n- `tests/promises/full_disk.rs`\n\n### R1.2\n- nothing\n- `tests/harness/`\n",
    );
    let found = complaints(&page).join("\n");
    for expected in [
        "R1.2: names no test: nothing",
        "R1.2: on which stores? `tests/harness/`",
        "R1.3 needs a row and a section",
        "R1.1: a store takes part, and nothing runs on both",
    ] {
        assert!(found.contains(expected), "{expected} in\n{found}");
    }
}

#[test]
fn a_test_on_one_store_is_told_from_one_on_both() {
    for both in [
        "tests/promises/exactly_once.rs",
        "tests/promises/exactly_once.rs::a_recreated_stream_stores_nothing_twice",
        "tests/promises/order.rs::any_order_gives_the_same_results_on_postgres",
        "store/tests/contract/order.rs",
        "store/tests/contract/atomic.rs::concurrent_stores_of_the_same_batch_store_it_once",
    ] {
        assert_eq!(on_one_store_only(both), Vec::<String>::new(), "{both}");
    }
    for one in [
        "tests/promises/full_disk.rs",
        "tests/promises/crashes.rs::a_second_process_takes_over_when_ack_wait_has_run_out",
        "tests/promises/exactly_once.rs::no_such_test",
        "store/tests/contract/postgres_alone.rs",
        "store/tests/contract/atomic.rs::no_such_test",
    ] {
        assert!(!on_one_store_only(one).is_empty(), "{one}");
    }
    let two =
        "x\nharness::on_both_stores!(\n    one,\n    two\n);\n#[tokio::test]\nasync fn three() {}";
    assert_eq!(
        Vec::from_iter(listed_in(two, "on_both_stores!(")),
        ["one", "two"]
    );
    assert_eq!(marked_tests(two), BTreeSet::from(["three"]));
}
