//! The files of the project, and the lines in them that break a habit.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::Command;

/// A file of the project: its path from the root, and its text.
pub struct File {
    pub path: String,
    pub text: String,
}

pub fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("tests/ lies in the project's root")
}

/// The paths of all files that are or could be committed, from the root, in order.
pub fn paths() -> BTreeSet<String> {
    let listed = Command::new("git")
        .args([
            "ls-files",
            "-z",
            "--cached",
            "--others",
            "--exclude-standard",
        ])
        .current_dir(root())
        .output();
    let mut found: BTreeSet<String> = match listed {
        Ok(git) if git.status.success() => String::from_utf8_lossy(&git.stdout)
            .split_terminator('\0')
            .map(String::from)
            .collect(),
        _ => BTreeSet::new(),
    };
    if found.is_empty() {
        collect_files(root(), &mut found); // a source archive, or no git
    }
    found.retain(|path| root().join(path).is_file()); // git still lists what was just deleted
    assert!(
        !found.is_empty(),
        "no files found under {}",
        root().display()
    );
    found
}

fn collect_files(folder: &Path, found: &mut BTreeSet<String>) {
    let entries = fs::read_dir(folder).expect("a folder of the project is readable");
    for path in entries.flatten().map(|entry| entry.path()) {
        let skipped = ["target", ".tools", ".git"]
            .iter()
            .any(|name| path.ends_with(name));
        if path.is_dir() && !path.is_symlink() && !skipped {
            collect_files(&path, found);
        } else if let Ok(relative) = path.strip_prefix(root()) {
            found.insert(relative.to_string_lossy().replace('\\', "/"));
        }
    }
}

/// The files whose path `wanted` accepts.
pub fn files(wanted: impl Fn(&str) -> bool) -> Vec<File> {
    let read = |path: String| {
        let bytes = fs::read(root().join(&path)).unwrap_or_else(|error| panic!("{path}: {error}"));
        File {
            text: String::from_utf8_lossy(&bytes).into_owned(),
            path,
        }
    };
    paths()
        .into_iter()
        .filter(|path| wanted(path))
        .map(read)
        .collect()
}

pub fn is_rust(path: &str) -> bool {
    path.ends_with(".rs")
}

/// `path:line: text` of each line for which `breaks` holds.
pub fn lines_that(files: &[File], breaks: impl Fn(&str) -> bool) -> Vec<String> {
    let broken = |file: &File| -> Vec<String> {
        let numbered = file
            .text
            .lines()
            .enumerate()
            .filter(|(_, line)| breaks(line));
        numbered
            .map(|(index, line)| format!("{}:{}: {}", file.path, index + 1, line.trim()))
            .collect()
    };
    files.iter().flat_map(broken).collect()
}
