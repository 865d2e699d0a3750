//! What `docs/contract.md` calls planned does not exist: whoever builds it moves it to where the page promises it.

use std::collections::BTreeSet;
use std::fs;
use std::process::Command;

use harness::program;
use serde_json::Value;

use super::{assert_none, code_spans, root};

/// The code spans in the first column of the tables under *Planned*.
fn planned() -> Vec<String> {
    let page = fs::read_to_string(root().join("docs/contract.md")).expect("the page");
    let (_, planned) = page.split_once("\n## Planned\n").expect("a section");
    let first_cells = planned
        .lines()
        .filter_map(|line| line.strip_prefix("| `")?.split(" |").next());
    first_cells
        .flat_map(|cell| {
            code_spans(&format!("`{cell}"))
                .map(str::to_owned)
                .collect::<Vec<_>>()
        })
        .collect()
}

/// Method and path of each route that the collector has.
fn routes() -> BTreeSet<String> {
    let document = fs::read_to_string(root().join("docs/openapi.json")).expect("the document");
    let document: Value = serde_json::from_str(&document).expect("JSON");
    let paths = document["paths"].as_object().expect("paths");
    paths
        .iter()
        .flat_map(|(path, methods)| {
            let methods = methods.as_object().expect("methods").keys();
            methods.map(move |method| format!("{} {path}", method.to_uppercase()))
        })
        .collect()
}

/// Whether `devtrail` knows these words.
fn is_command(words: &[&str]) -> bool {
    let mut command = Command::new(program("devtrail"));
    let output = command.args(words).arg("-h").output().expect("it runs");
    output.status.success()
}

#[test]
fn nothing_that_is_planned_exists() {
    let planned = planned();
    let routes = routes();
    let mut commands = 0;
    let mut found = Vec::new();
    for name in &planned {
        let there = match name.strip_prefix("devtrail ") {
            Some(words) => {
                commands += 1;
                is_command(&words.split(' ').collect::<Vec<_>>())
            }
            None => routes.contains(name),
        };
        if there {
            found.push(name.clone());
        }
    }
    assert!(commands > 10 && planned.len() > commands + 5, "{planned:?}");
    assert_none(
        &found,
        "these exist, and docs/contract.md calls them planned:",
    );
}

#[test]
fn what_exists_is_seen() {
    assert!(is_command(&["dead", "list"]) && !is_command(&["dead", "lists"]));
    assert!(routes().contains("POST /v1/events") && !routes().contains("GET /v1/events"));
}
