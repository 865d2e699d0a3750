//! Each schema takes the events that fit it, and refuses the others at the right place (R2.1).

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde_json::Value;
use types::schema::{Schemas, Version};

/// A file of `schema_cases/<version>/<type>.json`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Cases {
    accept: Vec<Value>,
    reject: Vec<Reject>,
}

/// An event that does not fit.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Reject {
    why: String,
    pointer: String,
    event: Value,
}

fn entries(folder: &Path) -> Vec<PathBuf> {
    let entries =
        fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let mut paths: Vec<PathBuf> = entries
        .map(|entry| entry.expect("a folder entry").path())
        .collect();
    paths.sort();
    paths
}

/// Every case file by version and type.
fn case_files() -> BTreeMap<(Version, String), Cases> {
    let name = |path: &Path| {
        path.file_name()
            .and_then(|name| name.to_str())
            .expect("UTF-8")
            .to_owned()
    };
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/schema_cases");
    let mut files = BTreeMap::new();
    for version in entries(&folder) {
        for path in entries(&version) {
            let text = fs::read_to_string(&path).expect("a case file is text");
            let cases =
                serde_json::from_str(&text).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
            let kind = name(&path)
                .strip_suffix(".json")
                .expect("a case file is called .json")
                .to_owned();
            let version = name(&version)
                .parse()
                .expect("a case folder is named by its version");
            files.insert((version, kind), cases);
        }
    }
    files
}

/// The cases of one file that come out differently.
fn failures(schemas: &Schemas, version: Version, kind: &str, cases: &Cases) -> Vec<String> {
    let Some(schema) = schemas
        .get(kind, version)
        .filter(|schema| schema.version == version)
    else {
        return vec!["there is no such schema".to_owned()];
    };
    let mut failures = Vec::new();
    for (index, event) in cases.accept.iter().enumerate() {
        if let Err(violation) = schema.check(&event.into()) {
            failures.push(format!(
                "accept {index} is refused at {:?}: {}",
                violation.pointer, violation.detail
            ));
        }
    }
    for (
        index,
        Reject {
            why,
            pointer,
            event,
        },
    ) in cases.reject.iter().enumerate()
    {
        match schema.check(&event.into()) {
            Ok(()) => failures.push(format!("reject {index} ({why}) is accepted")),
            Err(violation) if violation.pointer != *pointer => {
                let found = violation.pointer;
                failures.push(format!(
                    "reject {index} ({why}) is refused at {found:?}, not {pointer:?}"
                ));
            }
            Err(_) => {}
        }
    }
    failures
}

#[test]
fn every_case_is_accepted_or_refused_at_its_place() {
    let schemas = Schemas::builtin();
    let mut all = Vec::new();
    for ((version, kind), cases) in &case_files() {
        let failures = failures(&schemas, *version, kind, cases);
        all.extend(
            failures
                .into_iter()
                .map(|failure| format!("{version}/{kind}: {failure}")),
        );
    }
    assert!(
        all.is_empty(),
        "{} cases come out differently:\n{}",
        all.len(),
        all.join("\n")
    );
}

#[test]
fn every_schema_has_an_event_it_takes_and_one_it_refuses() {
    let schemas = Schemas::builtin();
    let files = case_files();
    let known: BTreeSet<(Version, String)> = schemas
        .types()
        .flat_map(|(kind, list)| list.iter().map(|schema| (schema.version, kind.to_owned())))
        .collect();
    let covered = files
        .iter()
        .filter(|(_, cases)| !cases.accept.is_empty() && !cases.reject.is_empty());
    let covered: BTreeSet<(Version, String)> = covered.map(|(name, _)| name.clone()).collect();
    assert_eq!(covered, known);
}

#[test]
fn every_schema_file_is_built_in() {
    let schemas = Schemas::builtin();
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../schemas");
    let files = entries(&folder)
        .iter()
        .map(|version| entries(version).len())
        .sum::<usize>();
    assert_eq!(
        schemas.types().map(|(_, list)| list.len()).sum::<usize>(),
        files
    );
}
