//! Every promise of `docs/contract.md` about a route or a command has its test: the table in
//! `docs/contract-tests.md` says which, and is made here.
//!
//! A test cites what it shows in its doc comment: `/// Promise: ` and the sentence's words, or enough of them.

#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

mod citations;
mod left_out;
mod sentences;
mod table;

use std::fs;
use std::path::{Path, PathBuf};

use table::Table;

const CONTRACT: &str = "docs/contract.md";
const TABLE: &str = "docs/contract-tests.md";
/// Set, as `make promises` does, the table is written; else it is compared.
const WRITE: &str = "DEVTRAIL_WRITE_DOCS";
const HOW: &str = "make promises";

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("tests/ lies in the project's root")
}

/// The Rust files under a folder, in order.
fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
    let mut entries: Vec<PathBuf> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    entries.sort();
    for path in entries {
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|kind| kind == "rs") {
            found.push(path);
        }
    }
}

#[test]
fn every_promise_of_the_contract_has_its_test_and_the_table_says_so() {
    let sentences = sentences::cut(&fs::read_to_string(root().join(CONTRACT)).unwrap());
    let (mut cited, mut complaints, mut files) = (Vec::new(), Vec::new(), Vec::new());
    sources(&root().join("tests"), &mut files);
    // This checker's own examples cite nothing.
    files.retain(|path| !path.starts_with(root().join("tests/contract_table")));
    for path in files {
        let name = path
            .strip_prefix(root())
            .unwrap()
            .to_string_lossy()
            .replace('\\', "/");
        let (found, without_test) =
            citations::citations(&name, &fs::read_to_string(&path).unwrap());
        cited.extend(found);
        complaints.extend(without_test);
    }
    let (table, open) = Table::of(&sentences, &cited, left_out::LEFT_OUT);
    complaints.extend(open);
    assert!(
        complaints.is_empty(),
        "{} and its tests disagree:\n{}\n",
        CONTRACT,
        complaints.join("\n")
    );
    let page = table.page();
    if std::env::var_os(WRITE).is_some() {
        fs::write(root().join(TABLE), page).unwrap();
    } else {
        let written = fs::read_to_string(root().join(TABLE)).unwrap_or_default();
        assert!(
            written == page,
            "{TABLE} is out of date: renew it with `{HOW}`"
        );
    }
}
