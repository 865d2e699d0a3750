//! Repositories of which a part is missing or damaged: each is named for what it is, with its remedy.

use std::fs;
use std::path::Path;

use harness::stderr_of;
use serde_json::Value;

use super::ADA;
use super::repository::Repository;
use super::selection::devtrail;

/// A repository with three commits, of which others may take a part.
fn three_commits() -> Repository {
    let repository = Repository::new();
    for number in 1..=3 {
        repository.write("file", "line\n".repeat(number));
        repository.write("other", number.to_string());
        repository.commit(&format!("2026-03-0{number}T10:00:00+01:00"), ADA, "x");
    }
    repository.git(&["config", "uploadpack.allowFilter", "true"]);
    repository.git(&["config", "uploadpack.allowAnySHA1InWant", "true"]);
    repository
}

fn in_folder(folder: &Path, arguments: &[&str]) {
    let folder = folder.to_str().unwrap();
    Repository::new().git(&[&["-C", folder], arguments].concat());
}

/// A dry run of the repository at `path` reports all of `parts`, and nothing that does not help.
fn refused(path: &Path, parts: &[&str]) {
    let path_text = path.to_str().unwrap();
    let output = devtrail(
        path.parent().unwrap(),
        &["import", "git", "--all-authors", "--dry-run", path_text],
    );
    let message = stderr_of(&output);
    assert_eq!(output.status.code(), Some(1), "{path_text}: {message}");
    for part in parts {
        assert!(message.contains(part), "{part:?}: {message}");
    }
    for noise in ["hint", "graft", "lazy fetching", "exit status"] {
        assert!(!message.contains(noise), "{noise:?}: {message}");
    }
    assert_eq!(
        message.contains("fsck"),
        parts.iter().any(|part| part.contains("fsck")),
        "{message}"
    );
}

fn planned(path: &Path) -> Value {
    let path_text = path.to_str().unwrap();
    let output = devtrail(
        path.parent().unwrap(),
        &[
            "import",
            "git",
            "--all-authors",
            "--dry-run",
            "--json",
            path_text,
        ],
    );
    serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|_| panic!("{path_text}: {}", stderr_of(&output)))
}

/// Contract: import.partial, import.remedies
#[test]
fn a_partial_clone_is_named_until_it_is_whole() {
    let repository = three_commits();
    let folder = tempfile::tempdir().unwrap();
    let address = format!("file://{}", repository.path());
    for filter in ["blob:none", "tree:0", "blob:limit=1"] {
        let clone = folder.path().join(filter.replace([':', '='], "-"));
        let path = clone.to_str().unwrap();
        let filter = format!("--filter={filter}");
        repository.git(&["clone", "--quiet", "--no-checkout", &filter, &address, path]);
        let remedy = "fetch --refetch --no-filter";
        refused(&clone, &["is a partial clone (--filter)", remedy]);
        in_folder(&clone, &["fetch", "--quiet", "--refetch", "--no-filter"]);
        assert_eq!(planned(&clone)["commits"], 3, "{filter}: the remedy helps");
    }
}

/// Contract: import.alternates
#[test]
fn a_clone_that_borrowed_from_a_folder_that_is_gone_is_named() {
    let repository = three_commits();
    let folder = tempfile::tempdir().unwrap();
    let base = folder.path().join("base");
    let clone = folder.path().join("clone");
    let (base_text, clone_text) = (base.to_str().unwrap(), clone.to_str().unwrap());
    repository.git(&["clone", "--quiet", ".", base_text]);
    repository.git(&["clone", "--quiet", "--shared", base_text, clone_text]);
    assert_eq!(planned(&clone)["commits"], 3);
    fs::rename(&base, folder.path().join("moved")).unwrap();
    refused(&clone, &["borrows a part of its history from", "base"]);
    fs::rename(folder.path().join("moved"), &base).unwrap();
    in_folder(&clone, &["repack", "--quiet", "-a", "-d"]);
    fs::remove_dir_all(&base).unwrap();
    assert_eq!(planned(&clone)["commits"], 3, "it has everything itself");
}

/// Contract: import.branches
#[test]
fn a_branch_without_a_commit_is_named_with_those_that_have_one() {
    let repository = three_commits();
    let path = repository.0.path();
    repository.git(&["branch", "work"]);
    repository.git(&["checkout", "--quiet", "--orphan", "fresh"]);
    refused(
        path,
        &["The branch fresh", "others have: main, work", "switch main"],
    );
    let folder = tempfile::tempdir().unwrap();
    let clone = folder.path().join("clone");
    // The remote's HEAD is the branch without a commit.
    repository.git(&["clone", "--quiet", ".", clone.to_str().unwrap()]);
    refused(&clone, &["others have: main, work", "switch main"]);
    in_folder(&clone, &["switch", "--quiet", "main"]);
    assert_eq!(planned(&clone)["commits"], 3, "the remedy helps");
    // What a power cut leaves of a branch.
    repository.git(&["checkout", "--quiet", "--force", "main"]);
    fs::write(path.join(".git/refs/heads/main"), "").unwrap();
    refused(
        path,
        &["The branch main", "is damaged", "logs/refs/heads/main"],
    );
    let empty = Repository::new();
    refused(empty.0.path(), &["has no commit yet"]);
}

/// Contract: import.damaged
#[test]
fn a_missing_or_damaged_object_is_named() {
    let repository = three_commits();
    let object = |name: &str| {
        let hash = repository.git(&["rev-parse", name]);
        let path = format!(".git/objects/{}/{}", &hash[..2], &hash[2..]);
        repository.0.path().join(path)
    };
    let blob = object("HEAD~1:file");
    let bytes = fs::read(&blob).unwrap();
    fs::remove_file(&blob).unwrap();
    refused(
        repository.0.path(),
        &["missing or damaged", "git fsck --full"],
    );
    fs::write(&blob, "").unwrap();
    refused(
        repository.0.path(),
        &["missing or damaged", "git fsck --full"],
    );
    fs::remove_file(&blob).unwrap();
    fs::write(&blob, bytes).unwrap();
    assert_eq!(planned(repository.0.path())["commits"], 3);
    fs::remove_file(object("HEAD")).unwrap();
    refused(
        repository.0.path(),
        &["The commit that is checked out", "fsck --full"],
    );
}

/// Contract: import.worktrees
#[test]
fn worktrees_and_submodules_are_imported_or_named() {
    let repository = three_commits();
    let folder = tempfile::tempdir().unwrap();
    let main = folder.path().join("main");
    let main_text = main.to_str().unwrap();
    let tree = folder.path().join("tree");
    repository.git(&["clone", "--quiet", ".", main_text]);
    in_folder(
        &main,
        &[
            "worktree",
            "add",
            "--quiet",
            "-b",
            "side",
            tree.to_str().unwrap(),
            "HEAD~1",
        ],
    );
    assert_eq!(planned(&tree)["commits"], 2);
    let identity = ["-c", "user.name=Ada", "-c", "user.email=ada@example.org"];
    let add = [
        "-c",
        "protocol.file.allow=always",
        "submodule",
        "--quiet",
        "add",
        "--name",
        "part",
        repository.path(),
        "part",
    ];
    in_folder(&main, &add);
    in_folder(
        &main,
        &[&identity[..], &["commit", "-qm", "a part"]].concat(),
    );
    assert_eq!(planned(&main)["commits"], 4);
    assert_eq!(planned(&main.join("part"))["commits"], 3, "its own history");
    let again = folder.path().join("again");
    repository.git(&["clone", "--quiet", main_text, again.to_str().unwrap()]);
    refused(
        &again.join("part"),
        &[
            "is a submodule that is not checked out",
            "submodule update --init",
        ],
    );
    fs::rename(&main, folder.path().join("gone")).unwrap();
    refused(&tree, &["is a linked worktree", "git worktree repair"]);
    let moved = folder.path().join("gone/part");
    fs::remove_dir_all(folder.path().join("gone/.git/modules")).unwrap();
    refused(&moved, &["is a submodule", "submodule update --init"]);
}
