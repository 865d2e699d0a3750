//! Every promise of `docs/contract.md` has an anchor and, unless left out with a reason, a test. The table
//! in `docs/contract-tests.md` says which, and is generated here.
//!
//! A test cites the anchors that it shows in its doc comment: `/// Contract: event.ids, event.unique`.

#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

mod citations;
mod page;
mod table;

use std::fs;
use std::path::{Path, PathBuf};

use table::{MAKE_TARGET, Table};

const CONTRACT: &str = "docs/contract.md";
const TABLE: &str = "docs/contract-tests.md";
/// If set, as by `make promises`, the table is written; else it is compared.
const WRITE: &str = "DEVTRAIL_WRITE_DOCS";

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
fn every_promise_of_the_contract_has_its_test() {
    let contract = fs::read_to_string(root().join(CONTRACT)).unwrap();
    let (anchors, mut complaints) = page::anchors(&contract);
    let mut cited = Vec::new();
    let mut files = Vec::new();
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
    let (table, open) = Table::of(&anchors, &cited);
    complaints.extend(open);
    complaints.extend(
        table
            .idle_reasons()
            .map(|name| format!("left out for nothing: {name}")),
    );
    assert!(
        complaints.is_empty(),
        "{CONTRACT} and its tests disagree:\n{}\n",
        complaints.join("\n")
    );
    let page = table.page();
    if std::env::var_os(WRITE).is_some() {
        fs::write(root().join(TABLE), page).unwrap();
    } else {
        let written = fs::read_to_string(root().join(TABLE)).unwrap_or_default();
        assert!(
            written == page,
            "{TABLE} is out of date: renew it with `{MAKE_TARGET}`"
        );
    }
}
