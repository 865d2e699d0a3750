//! The cheap house habits, read from the files themselves. Each test is one promise; a failure lists
//! every place that breaks it.
//!
//! What a test looks for is written in two halves (`concat!`), so that it does not find itself.

mod circles;
mod files;
mod habits;
mod source;

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::process::Command;
use std::{env, fs};

use files::{File, files, is_rust, lines_that, paths, root};
use source::{Kind, targets};

const SCHEMAS: &str = "common/schemas/";
const SCHEMA_CASES: &str = "common/types/tests/schema_cases/";

fn assert_none(found: &[String], promise: &str) {
    assert!(found.is_empty(), "{promise}\n{}\n", found.join("\n"));
}

#[test]
fn nothing_is_left_to_do_or_switched_off() {
    let marks = [
        concat!("TO", "DO"),
        concat!("FIX", "ME"),
        concat!("XX", "X"),
        concat!("todo", "!("),
        concat!("unimplemented", "!("),
        concat!("#[", "ignore"),
        concat!("allow(", "dead_code"),
    ];
    let found = lines_that(&files(is_rust), |line| {
        marks.iter().any(|mark| line.contains(mark))
    });
    assert_none(&found, "finish it, or open an issue instead:");
}

#[test]
fn every_sleep_gives_its_reason() {
    let call = concat!("sle", "ep(");
    let has_reason = |line: &str| {
        line.split_once("// sleep:")
            .is_some_and(|(_, why)| !why.trim().is_empty())
    };
    let found = lines_that(&files(is_rust), |line| {
        line.contains(call) && !has_reason(line)
    });
    assert_none(
        &found,
        "wait for what you wait for, or say why in a `// sleep: reason` on the line:",
    );
}

#[test]
fn no_machine_path_or_registry_is_written_down() {
    let folders = [
        concat!("/ho", "me/"),
        concat!("/ro", "ot/"),
        concat!("/wo", "rk/"),
    ];
    let hosts = [
        concat!("crates", ".io"),
        concat!("py", "pi.org"),
        concat!("python", "hosted.org"),
        concat!("npm", "js.org"),
        concat!("proxy.go", "lang.org"),
        concat!("gh", "cr.io"),
        concat!("docker", ".io"),
    ];
    let wanted = |path: &str| {
        let kind = path.rsplit_once('.').map_or("", |(_, kind)| kind);
        let by_folder = path.starts_with("scripts/") || path.starts_with(".ci/");
        let by_name = path.ends_with("Makefile") || path.ends_with("package-lock.json");
        by_folder
            || by_name
            || ["rs", "toml", "sh", "sql", "conf", "py", "cjs", "txt"].contains(&kind)
    };
    let breaks = |line: &str| {
        folders.iter().any(|f| is_absolute(line, f)) || hosts.iter().any(|h| line.contains(h))
    };
    assert_none(
        &lines_that(&files(wanted), breaks),
        "this would only hold on one machine:",
    );
}

/// Is `folder` in the line as the start of a path, not in its middle (as in `target/…` or `{dir}/…`)?
fn is_absolute(line: &str, folder: &str) -> bool {
    let inner = |c: char| c.is_alphanumeric() || "._-~*})]".contains(c);
    line.match_indices(folder)
        .any(|(at, _)| !line[..at].ends_with(inner))
}

#[test]
fn sql_is_written_in_the_store_only() {
    let wanted = |path: &str| {
        is_rust(path)
            && !["store/", "tests/", "bench/"]
                .iter()
                .any(|folder| path.starts_with(folder))
    };
    let statements = ["SELECT ", "INSERT INTO", "DELETE FROM"];
    let updates = |line: &str| {
        line.split_once("UPDATE ")
            .is_some_and(|(_, rest)| rest.contains(" SET"))
    };
    let breaks = |line: &str| updates(line) || statements.iter().any(|sql| line.contains(sql));
    let found = lines_that(&files(wanted), breaks);
    assert_none(&found, "ask the store through one of its roles instead:");
}

#[test]
fn every_source_file_says_what_it_is_for() {
    let silent = |file: &File| !file.text.starts_with("//!");
    let line = |file: &File| format!("{}:1", file.path);
    let found: Vec<String> = files(is_rust)
        .iter()
        .filter(|file| silent(file))
        .map(line)
        .collect();
    assert_none(&found, "begin the file with a `//!` line:");
}

#[test]
fn every_schema_has_cases_and_every_case_a_schema() {
    let all = paths();
    // `1.0/file.edited` of `common/schemas/1.0/file.edited.json`
    let names_in = |folder: &str| -> BTreeSet<&str> {
        let inside = all.iter().filter_map(|path| path.strip_prefix(folder));
        inside
            .filter_map(|path| path.rsplit_once('.'))
            .map(|(name, _)| name)
            .collect()
    };
    let (schemas, cases) = (names_in(SCHEMAS), names_in(SCHEMA_CASES));
    assert!(!schemas.is_empty(), "no schemas in {SCHEMAS}");
    let without_cases = schemas
        .difference(&cases)
        .map(|name| format!("{SCHEMAS}{name}: no cases"));
    let without_schema = cases
        .difference(&schemas)
        .map(|name| format!("{SCHEMA_CASES}{name}: no schema"));
    let found: Vec<String> = without_cases.chain(without_schema).collect();
    assert_none(&found, "schemas and cases go in pairs of the same name:");
}

#[test]
fn manifests_keep_the_direction_of_dependencies() {
    let mut found = Vec::new();
    for (manifest, forbidden) in [
        (
            "common/types/Cargo.toml",
            &[
                "tokio",
                "clap",
                "tracing",
                "runtime",
                "bus",
                "http-server",
                "store",
                "collector",
                "workers",
            ][..],
        ),
        (
            "common/runtime/Cargo.toml",
            &[
                "async-nats",
                "bus",
                "http-server",
                "store",
                "collector",
                "workers",
            ][..],
        ),
        (
            "common/bus/Cargo.toml",
            &["http-server", "store", "collector", "workers"][..],
        ),
        (
            "common/http/Cargo.toml",
            &["async-nats", "bus", "store", "collector", "workers"][..],
        ),
        (
            "store/Cargo.toml",
            &["async-nats", "bus", "http-server", "collector", "workers"][..],
        ),
        (
            "collector/Cargo.toml",
            &[
                "store",
                "devtrail-store",
                "rusqlite",
                "tokio-postgres",
                "workers",
            ][..],
        ),
        ("workers/Cargo.toml", &["collector"][..]),
    ] {
        let manifests = files(|path| path == manifest);
        assert_eq!(manifests.len(), 1, "{manifest} is missing");
        found.extend(lines_that(&manifests, |line| {
            let code = line.split('#').next().unwrap_or_default();
            let mut words = code.split(|c: char| !c.is_alphanumeric() && !"-_".contains(c));
            !code.starts_with("description") && words.any(|word| forbidden.contains(&word))
        }));
    }
    assert_none(
        &found,
        "dependencies point one way, types <- runtime <- bus and http <- store, collector, workers <- admin:",
    );
}

#[test]
fn storing_knows_nothing_of_what_is_computed_from_the_store() {
    // R6.2: the persist role computes no metric, and T1 writes no table of the other roles.
    let folders = [
        "workers/src/persist",
        "store/src/sqlite/persist",
        "store/src/postgres/persist",
    ];
    let persist = |path: &str| folders.iter().any(|folder| path.starts_with(folder));
    let files = files(|path| is_rust(path) && persist(path));
    assert!(
        files.len() > 3,
        "the persist role has moved: name its files here"
    );
    let others = ["aggregate", "normalize", "metrics", "windows", "alert"];
    let found = lines_that(&files, |line| {
        others.iter().any(|word| line.to_lowercase().contains(word))
    });
    assert_none(
        &found,
        "storing knows nothing of what is computed from the store",
    );
}

#[test]
fn every_requirement_has_its_row() {
    let table = files(|path| path == "docs/requirements.md");
    assert_eq!(table.len(), 1, "docs/requirements.md is missing");
    let cells = table[0]
        .text
        .lines()
        .map(|line| line.trim_start_matches(['|', ' ']).split('|').next());
    let rows: BTreeSet<&str> = cells.flatten().map(str::trim).collect();
    let ids = (1..=7).flat_map(|group| (1..=5).map(move |number| format!("R{group}.{number}")));
    let found: Vec<String> = ids.filter(|id| !rows.contains(id.as_str())).collect();
    assert_none(&found, "no row in docs/requirements.md begins with:");
}

#[test]
fn the_collector_is_built_without_a_database() {
    let packages = packages_of("devtrail-collector");
    assert!(
        packages.contains("devtrail-types"),
        "this is not the collector's graph: {packages:?}"
    );
    let databases = [
        "rusqlite",
        "libsqlite3-sys",
        "tokio-postgres",
        "devtrail-store",
    ];
    let found: Vec<String> = databases
        .iter()
        .filter(|name| packages.contains(**name))
        .map(ToString::to_string)
        .collect();
    assert_none(&found, "the collector's dependencies hold:");
}

#[test]
fn a_client_can_depend_on_the_types_alone() {
    let packages = packages_of("devtrail-types");
    assert!(
        packages.contains("serde_json"),
        "this is not the graph of types: {packages:?}"
    );
    let found: Vec<String> = packages
        .into_iter()
        .filter(|name| {
            let heavy = ["tokio", "clap", "async-nats", "tracing", "reqwest", "hyper"];
            let ours = name.starts_with("devtrail-") && name != "devtrail-types";
            ours || heavy.contains(&name.as_str())
        })
        .collect();
    assert_none(&found, "the dependencies of types hold:");
}

/// The names of a package and of all it is built from.
fn packages_of(package: &str) -> BTreeSet<String> {
    let cargo = env::var_os("CARGO").map_or_else(|| PathBuf::from("cargo"), PathBuf::from);
    let tree = Command::new(cargo)
        .args(["tree", "-p", package])
        .args("-e normal --locked --offline --prefix none".split(' '))
        .current_dir(root())
        .output()
        .expect("cargo runs");
    let error = String::from_utf8_lossy(&tree.stderr);
    assert!(tree.status.success(), "cargo tree: {error}");
    let lines = String::from_utf8_lossy(&tree.stdout);
    let names = lines.lines().filter_map(|line| line.split(' ').next());
    names.map(String::from).collect()
}

#[test]
fn no_files_use_each_other_in_a_circle() {
    let targets = targets();
    let found: Vec<String> = targets.iter().flat_map(circles::circles).collect();
    assert_none(
        &found,
        "move what both need into a file of its own, or up to the file that uses both:",
    );
}

#[test]
fn no_two_public_types_have_one_name() {
    let shared = habits::shared_type_names(&targets());
    let found: Vec<String> = shared
        .into_iter()
        .map(|(name, files)| format!("{name}: {}", files.join(", ")))
        .collect();
    assert_none(&found, "one name, one meaning; rename all but one:");
}

#[test]
fn no_function_takes_a_tuple_apart() {
    let files = files(is_rust);
    let found: Vec<String> = files.iter().flat_map(habits::tuple_parameters).collect();
    assert_none(
        &found,
        "take two parameters, or a struct with a name from the domain:",
    );
}

#[test]
fn every_public_item_is_documented() {
    let targets = targets();
    let libraries = targets
        .iter()
        .filter(|target| target.kind == Kind::Library && target.folder.ends_with("/src"));
    let found: Vec<String> = libraries
        .flat_map(habits::public_items)
        .filter(|item| item.name != "new") // says all itself
        .filter(|item| !item.documented)
        .map(|item| format!("{}: {}", item.file, item.name))
        .collect();
    assert_none(
        &found,
        "say in a `///` line what it means, its shape, its unit or its errors:",
    );
}

#[test]
fn no_line_is_longer_than_120_characters() {
    let kinds = [".rs", ".sql", ".sh", ".toml"]; // tests/docs/main.rs holds the pages to it
    // An inline table of TOML, such as an example of a rule, is one line.
    let is_rule = |path: &str| path.starts_with("workers/rules/");
    let files = files(|path| kinds.iter().any(|kind| path.ends_with(kind)) && !is_rule(path));
    let found = lines_that(&files, |line| line.chars().count() > 120);
    assert_none(&found, "break the line (a string with a `\\` at its end):");
}

/// `make mutants` is long and runs seldom: a patch that no longer applies must be seen at once.
#[test]
fn every_mutant_says_what_it_breaks_and_still_applies() {
    let mutants = files(|path| path.starts_with("tests/mutants/") && path.ends_with(".patch"));
    assert!(mutants.len() >= 15, "only {} mutants", mutants.len());
    let mut found = Vec::new();
    let page = fs::read_to_string(root().join("docs/mutants.md")).expect("the page of mutants");
    for File { path, text } in &mutants {
        let name = path
            .trim_start_matches("tests/mutants/")
            .trim_end_matches(".patch");
        let breaks = text
            .lines()
            .next()
            .unwrap_or_default()
            .trim_start_matches("Breaks: ");
        if !page.contains(&format!("| `{name}` | {breaks} | `")) {
            found.push(format!(
                "{path} is not in docs/mutants.md, with what it breaks and what catches it"
            ));
        }
        if !text.starts_with("Breaks: ") || !text.contains("\nRun: -") {
            found.push(format!("{path} does not begin with `Breaks:` and `Run:`"));
        }
        let git = Command::new("git")
            .args(["apply", "--check", path])
            .current_dir(root())
            .output();
        let git = git.expect("git checks a patch");
        if !git.status.success() {
            found.push(format!(
                "{path}: {}",
                String::from_utf8_lossy(&git.stderr).trim()
            ));
        }
    }
    assert_none(
        &found,
        "every mutant still applies (edit the patch where the code moved)",
    );
}
