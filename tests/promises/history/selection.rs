//! Which commits are imported, and what is reported if there are none.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use harness::{program, stderr_of};
use serde_json::{Value, json};

use super::ADA;
use super::repository::Repository;

pub fn devtrail(folder: &Path, arguments: &[&str]) -> Output {
    let mut command = Command::new(program("devtrail"));
    command
        .current_dir(folder)
        .args(arguments)
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .output()
        .unwrap()
}

/// Contract: commands.import, import.selection, import.dry-run
#[tokio::test(flavor = "multi_thread")]
async fn a_dry_run_needs_no_devtrail_and_takes_any_path_and_selection() {
    let repository = Repository::new();
    for (day, author) in [
        ("2025-01-01", ADA),
        ("2026-01-01", "Ada@Example.org"),
        ("2026-02-01", "bob@example.org"),
    ] {
        repository.commit(&format!("{day}T10:00:00Z"), author, "x");
    }
    let parent = tempfile::tempdir().unwrap();
    fs::rename(repository.0.path(), parent.path().join("-odd")).unwrap();
    let plan = |more: &[&str]| -> Value {
        let output = devtrail(
            parent.path(),
            &[
                &["import", "git", "--dry-run", "--json"],
                more,
                &["--", "-odd"],
            ]
            .concat(),
        );
        assert!(output.status.success(), "{}", stderr_of(&output));
        serde_json::from_slice(&output.stdout).unwrap()
    };
    let mine = plan(&[]);
    assert_eq!(
        [&mine["commits"], &mine["first"], &mine["last"]],
        [&json!(2), &json!("2025-01-01"), &json!("2026-01-01")]
    );
    assert_eq!(
        plan(&["--author", ADA, "--author", "bob@example.org"])["commits"],
        3
    );
    assert_eq!(
        plan(&["--all-authors", "--since", "2026-03-09"])["commits"],
        3,
        "by the time of committing"
    );
    let none = devtrail(
        parent.path(),
        &[
            "import",
            "git",
            "--dry-run",
            "--since",
            "2026-03-11",
            "--",
            "-odd",
        ],
    );
    assert!(
        stderr_of(&none).contains("no commit of ada@example.org since 2026-03-11"),
        "{}",
        stderr_of(&none)
    );
    // An address of old that .mailmap gives to bob.
    fs::write(
        parent.path().join("-odd/.mailmap"),
        "Bob <bob@example.org> <ada@example.org>\n",
    )
    .unwrap();
    assert_eq!(
        plan(&["--author", ADA])["authors"],
        json!(["bob@example.org"])
    );
    assert_eq!(plan(&["--author", ADA])["commits"], 3);
}

/// Contract: import.since
#[test]
fn a_wrong_clock_in_the_middle_of_a_history_hides_no_commit() {
    let old = 1_000_000_000_usize;
    let new = 1_704_067_200;
    let repository = Repository::new();
    // git's own --since stops looking after a few older ones in a row.
    let seconds = (0..9)
        .map(|n| new + n)
        .chain((0..30).map(|n| old + n))
        .chain([new + 9]);
    repository.commit_at(seconds);
    let arguments = [
        "import",
        "git",
        ".",
        "--dry-run",
        "--json",
        "--since",
        "2023-01-01",
    ];
    let output = devtrail(repository.0.path(), &arguments);
    let planned: Value = serde_json::from_slice(&output.stdout).unwrap_or_default();
    assert_eq!(planned["commits"], 10, "{}", stderr_of(&output));
}

/// Contract: import.since, import.days
#[test]
fn a_day_is_the_commits_own_wherever_the_machine_stands() {
    let repository = Repository::new();
    for date in [
        "2025-11-19T23:45:00+05:30",
        "2025-11-20T00:15:00+05:30",
        "2025-11-20T23:30:00-10:00",
        "2025-11-21T00:10:00+14:00",
    ] {
        repository.committed(date);
    }
    let planned = |zone: &str, days: &[&str]| -> Value {
        let mut command = Command::new(program("devtrail"));
        let arguments = ["import", "git", ".", "--dry-run", "--json"];
        let output = command
            .current_dir(repository.0.path())
            .args(arguments)
            .args(days)
            .env("GIT_CONFIG_GLOBAL", "/dev/null")
            .env("TZ", zone)
            .output()
            .unwrap();
        let planned = serde_json::from_slice::<Value>(&output.stdout);
        planned.unwrap_or_else(|_| panic!("{zone} {days:?}: {}", stderr_of(&output)))
    };
    for zone in [
        "Asia/Kolkata",
        "UTC",
        "Pacific/Honolulu",
        "Pacific/Kiritimati",
    ] {
        let count = |days: &[&str]| planned(zone, days)["commits"].as_u64();
        assert_eq!(count(&["--since", "2025-11-20"]), Some(3), "{zone}");
        assert_eq!(count(&["--until", "2025-11-20"]), Some(3), "{zone}");
        let one = ["--since", "2025-11-20", "--until", "2025-11-20"];
        assert_eq!(count(&one), Some(2), "{zone}");
        assert_eq!(planned(zone, &one)["first"], "2025-11-20", "{zone}");
    }
}

/// Contract: import.refused, import.authors
#[test]
fn an_incomplete_repository_is_refused_with_a_remedy() {
    let repository = Repository::new();
    let empty = Repository::new();
    let clone = tempfile::tempdir().unwrap();
    repository.commit("2026-01-01T10:00:00Z", "bob@example.org", "one");
    repository.commit("2026-01-02T10:00:00Z", "bob@example.org", "two");
    let in_clone = |name: &str| -> PathBuf { clone.path().join(name) };
    repository.git(&[
        "clone",
        "--quiet",
        "--bare",
        ".",
        in_clone("bare").to_str().unwrap(),
    ]);
    let address = format!("file://{}", repository.path());
    repository.git(&[
        "clone",
        "--quiet",
        "--depth=1",
        &address,
        in_clone("shallow").to_str().unwrap(),
    ]);
    repository.git(&[
        "clone",
        "--quiet",
        &address,
        in_clone("nobody").to_str().unwrap(),
    ]);
    fs::write(in_clone("file"), "").unwrap();
    let mut nowhere = clone.path().to_path_buf();
    nowhere.push("nothing");
    for (path, remedy) in [
        (nowhere, "There is no folder"),
        (in_clone("file"), "There is no folder"),
        (clone.path().to_path_buf(), "is no git repository"),
        (in_clone("bare"), "Name a clone of it"),
        (in_clone("shallow"), "fetch --unshallow"),
        (empty.0.path().to_path_buf(), "has no commit yet"),
        (in_clone("nobody"), "user.email is not set"),
        (
            in_clone("nobody"),
            "2 Name <bob@example.org>\nChoose with --author EMAIL",
        ),
        (
            repository.0.path().to_path_buf(),
            "no commit of ada@example.org. Commits by author:\n     2 Name <bob@example.org>",
        ),
    ] {
        let output = devtrail(
            clone.path(),
            &["import", "git", "--dry-run", path.to_str().unwrap()],
        );
        let message = stderr_of(&output);
        assert!(
            output.status.code() == Some(1) && message.contains(remedy),
            "{}: {message}",
            path.display()
        );
    }
    let mut command = Command::new(program("devtrail"));
    let output = command
        .args(["import", "git", "--dry-run", repository.path()])
        .env("PATH", "")
        .output()
        .unwrap();
    assert!(
        output.status.code() == Some(1)
            && stderr_of(&output).contains("git was not found. Install it"),
        "{}",
        stderr_of(&output)
    );
}
