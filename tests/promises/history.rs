//! A repository's history becomes events and metrics: once, and on the right days.

mod incomplete;
mod repository;
mod selection;

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;

use harness::{DevtrailUp, stderr_of};
use serde_json::{Value, json};

use repository::Repository;

/// Who works in the repositories of these tests.
const ADA: &str = "ada@example.org";

fn import(up: &DevtrailUp, repository: &Repository, more: &[&str]) -> Value {
    let output = up.devtrail(&[&["import", "git", repository.path(), "--json"], more].concat());
    assert!(output.status.success(), "{}", stderr_of(&output));
    serde_json::from_slice(&output.stdout).unwrap()
}

fn counts(imported: &Value) -> [u64; 3] {
    ["commits", "new", "known"].map(|name| imported[name].as_u64().unwrap())
}

/// The data of a commit's event as it is stored.
fn stored(up: &DevtrailUp, hash: &str) -> Value {
    let sql = "SELECT body FROM events WHERE event_id = ?1";
    let body: Vec<u8> = up
        .database()
        .query_row(sql, [format!("git-{hash}")], |row| row.get(0))
        .unwrap();
    serde_json::from_slice(&body).unwrap()
}

/// Commits by local day, once as many as expected are counted.
async fn days(up: &DevtrailUp, expected: u64) -> Vec<(String, u64)> {
    up.until(&format!("{expected} commits are counted"), || {
        let output = up.devtrail(&["metrics", "show", "me", "--json"]);
        let days: Vec<Value> = serde_json::from_slice(&output.stdout).ok()?;
        let days = days.iter().map(|day| {
            (
                day["day"].as_str().unwrap().to_owned(),
                day["commits"].as_u64().unwrap(),
            )
        });
        let days: Vec<(String, u64)> = days.collect();
        (days.iter().map(|(_, commits)| commits).sum::<u64>() == expected).then_some(days)
    })
    .await
}

/// Contract: commands.import, commands.json, import.selection, import.ids, import.occurred-at
/// Contract: import.committed-at, import.paths, import.merges, import.project, import.branch
/// Contract: import.again
#[tokio::test(flavor = "multi_thread")]
async fn a_history_is_stored_once_on_the_days_it_was_written() {
    let up = DevtrailUp::start().await;
    let repository = Repository::new();
    let odd = OsStr::from_bytes(b"not \xff utf-8");
    repository.write("a \"quoted\"\nname", "one\ntwo\n");
    repository.write(odd, "x\n");
    repository.write("old.txt", "1\n2\n3\n4\n5\n6\n7\n8\n");
    // Late in the evening there; the next day in UTC.
    let first = repository.commit("2026-03-01T23:30:00-05:00", ADA, "one");
    repository.git(&["mv", "old.txt", "new.txt"]);
    repository.write("binary", [0, 1, 2, 255]);
    let moved = repository.commit("2026-03-02T09:00:00+01:00", ADA, "");
    repository.git(&["checkout", "--quiet", "-b", "side", "HEAD~1"]);
    repository.write("bob", "b\n");
    let bobs = repository.commit("2026-03-02T10:00:00+01:00", "bob@example.org", "of bob");
    repository.git(&["checkout", "--quiet", "main"]);
    repository.git_at(
        "2026-03-03T00:30:00+14:00",
        &["merge", "--quiet", "--no-ff", "-m", "merge", "side"],
    );
    let merge = repository.git(&["rev-parse", "HEAD"]);

    let imported = import(&up, &repository, &[]);
    assert_eq!(counts(&imported), [3, 3, 0], "{imported}");
    assert_eq!(counts(&import(&up, &repository, &[])), [3, 0, 3], "again");
    // In other batches the store finds out.
    assert_eq!(
        counts(&import(&up, &repository, &["--batch-size", "2"])),
        [3, 0, 3],
        "in other batches"
    );
    let expected = [("2026-03-01", 1), ("2026-03-02", 1), ("2026-03-03", 1)];
    assert_eq!(
        days(&up, 3).await,
        expected.map(|(day, commits)| (day.to_owned(), commits))
    );

    let project = repository.0.path().file_name().unwrap().to_str().unwrap();
    let event = stored(&up, &first);
    assert_eq!(event["occurred_at"], "2026-03-01T23:30:00-05:00");
    let expected = json!({
        "project": project, "commit": first, "committed_at": "2026-03-09T12:00:00+01:00", "parents": 0,
        "files_changed": 3, "lines_added": 11, "lines_removed": 0,
        "paths": ["a \"quoted\"\nname", "not \u{fffd} utf-8", "old.txt"],
    });
    assert_eq!(event["data"], expected);
    let parts = |hash: &str| {
        let data = stored(&up, hash)["data"].take();
        json!([
            data["parents"],
            data["files_changed"],
            data["lines_added"],
            data["lines_removed"],
            data["paths"]
        ])
    };
    assert_eq!(parts(&moved), json!([1, 2, 0, 0, ["binary", "new.txt"]]));
    assert_eq!(
        parts(&merge),
        json!([2, 0, 0, 0, []]),
        "as in tests/data: a merge has no paths"
    );

    let everyone = import(&up, &repository, &["--all-authors"]);
    assert_eq!(counts(&everyone), [4, 1, 3], "{everyone}");
    assert_eq!(stored(&up, &bobs)["data"]["paths"], json!(["bob"]));
    assert_eq!(up.verify()["stored"], 4);
}

/// Whoever imports looks at the metrics next: they are there.
/// Contract: import.ends
#[tokio::test(flavor = "multi_thread")]
async fn the_metrics_of_a_long_history_are_there_when_the_import_ends() {
    const DAYS: usize = 600;
    let up = DevtrailUp::start().await;
    let repository = Repository::new();
    repository.one_commit_a_day(DAYS);
    let imported = import(&up, &repository, &["--batch-size", "1000"]);
    assert_eq!(
        counts(&imported),
        [DAYS as u64, DAYS as u64, 0],
        "{imported}"
    );
    let shown = up.devtrail(&["metrics", "show", "me", "--json"]);
    let shown: Vec<Value> = serde_json::from_slice(&shown.stdout).unwrap_or_default();
    assert_eq!(
        shown.len(),
        DAYS,
        "{}",
        stderr_of(&up.devtrail(&["metrics", "show", "me"]))
    );
}

/// Contract: import.configuration, import.grafts
#[tokio::test(flavor = "multi_thread")]
async fn a_repositorys_configuration_is_not_run_and_changes_nothing() {
    let up = DevtrailUp::start().await;
    let repository = Repository::new();
    fs::create_dir(repository.0.path().join("sub")).unwrap();
    repository.write("a.txt", "one\ntwo\n");
    repository.write("sub/b.txt", "one\ntwo\n");
    let first = repository.commit("2026-03-01T10:00:00+01:00", ADA, "one");
    repository.git(&["mv", "a.txt", "c.txt"]);
    repository.write("sub/b.txt", "three\n");
    repository.commit("2026-03-01T11:00:00+01:00", ADA, "two");
    let hash = repository.signed();
    let trap = repository.0.path().join("trap");
    let sprung = repository.0.path().join("sprung");
    fs::write(
        &trap,
        format!("#!/bin/sh\necho \"$0 $*\" >> '{}'\n", sprung.display()),
    )
    .unwrap();
    fs::set_permissions(&trap, fs::Permissions::from_mode(0o755)).unwrap();
    let trap = trap.to_str().unwrap();
    fs::write(
        repository.0.path().join(".git/info/attributes"),
        "* diff=trap filter=trap\n",
    )
    .unwrap();
    for name in [
        "diff.external",
        "diff.trap.command",
        "diff.trap.textconv",
        "filter.trap.clean",
        "core.fsmonitor",
        "core.pager",
        "pager.log",
        "gpg.program",
        "core.sshCommand",
        "core.gitProxy",
        "alias.log",
        "credential.helper",
        "core.editor",
    ] {
        repository.git(&["config", name, trap]);
    }
    for (name, value) in [
        ("log.showSignature", "true"),
        ("color.ui", "always"),
        ("log.date", "relative"),
        ("diff.noprefix", "true"),
        ("diff.renames", "false"),
        ("diff.orderFile", "trap-order"),
        ("log.follow", "true"),
        ("diff.relative", "true"),
        ("log.showRoot", "false"),
        ("i18n.logOutputEncoding", "UTF-16"),
        ("core.bigFileThreshold", "1"),
        ("core.attributesFile", "trap-attributes"),
    ] {
        repository.git(&["config", name, value]);
    }
    fs::write(repository.0.path().join("trap-order"), "sub/*\n").unwrap();
    fs::write(repository.0.path().join("trap-attributes"), "* binary\n").unwrap();
    // The other commit with more files, and a graft without parents: the history would begin here.
    repository.git(&["replace", &first, &hash]);
    fs::write(
        repository.0.path().join(".git/info/grafts"),
        format!("{hash}\n"),
    )
    .unwrap();
    // From a folder inside: the whole repository is meant.
    let inside = repository.0.path().join("sub");
    let output = up.devtrail(&["import", "git", inside.to_str().unwrap(), "--json"]);
    assert!(output.status.success(), "{}", stderr_of(&output));
    for (hash, expected) in [
        (&first, json!([0, ["a.txt", "sub/b.txt"], 2, 4, 0])),
        (&hash, json!([1, ["c.txt", "sub/b.txt"], 2, 1, 2])),
    ] {
        let data = stored(&up, hash)["data"].take();
        let message = [
            "parents",
            "paths",
            "files_changed",
            "lines_added",
            "lines_removed",
        ]
        .map(|name| &data[name]);
        assert_eq!(json!(message), expected);
    }
    assert!(
        !sprung.exists(),
        "it ran {}",
        fs::read_to_string(&sprung).unwrap_or_default()
    );
}

/// Contract: import.bad-times, import.summary, quarantine.again
#[tokio::test(flavor = "multi_thread")]
async fn impossible_times_are_quarantined_and_old_ones_are_fine() {
    let up = DevtrailUp::start().await;
    let repository = Repository::new();
    repository.commit("@86400 +0000", ADA, "1970");
    repository.commit("@4102444800 +0000", ADA, "2100");
    repository.commit("2004-05-06T07:08:09Z", ADA, "long ago");
    repository.edited("<ada@example.org> ", "<ada@example.org> -");
    let output = up.devtrail(&["import", "git", repository.path()]);
    let message = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(
        output.status.success() && message.contains("4 commits") && message.contains("1 new"),
        "{message}"
    );
    let quarantined =
        "3 quarantined: kept, and counted in no metric\n  time_implausible: 3, such as git-";
    assert!(message.contains(quarantined), "{message}");
    // In other batches the store finds out what it has: no count stands under another's name.
    let output = up.devtrail(&["import", "git", repository.path(), "--batch-size", "3"]);
    let message = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(
        message.contains("0 new, 1 known already")
            && message.contains(quarantined)
            && !message.contains("duplicate_id"),
        "{message}"
    );
    let listed = up.devtrail(&["quarantine", "list", "--json"]);
    let listed: Vec<Value> = serde_json::from_slice(&listed.stdout).unwrap();
    let times: Vec<&Value> = listed.iter().map(|entry| &entry["times"]).collect();
    assert_eq!(times, [2, 2, 2], "each is one entry: {listed:?}");
    assert_eq!(days(&up, 1).await, [("2004-05-06".to_owned(), 1)]);
    assert_eq!(up.verify()["stored"], 1);
}

/// Contract: commands.import, import.selection
#[tokio::test(flavor = "multi_thread")]
async fn this_project_s_own_history_is_imported() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let git = |arguments: &[&str]| {
        let output = Command::new("git")
            .arg("-C")
            .arg(&root)
            .args(arguments)
            .output()
            .ok()?;
        output
            .status
            .success()
            .then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
    };
    let whole =
        git(&["rev-parse", "--is-shallow-repository"]).is_some_and(|shallow| shallow == "false");
    let Some(expected) = git(&["rev-list", "--count", "HEAD"]).filter(|_| whole) else {
        eprintln!("skipped: this is no repository, or not a whole one");
        return;
    };
    let up = DevtrailUp::start().await;
    let output = up.devtrail(&[
        "import",
        "git",
        root.to_str().unwrap(),
        "--all-authors",
        "--json",
    ]);
    assert!(output.status.success(), "{}", stderr_of(&output));
    let imported: Value = serde_json::from_slice(&output.stdout).unwrap();
    let expected: u64 = expected.parse().unwrap();
    assert_eq!(counts(&imported), [expected, expected, 0], "{imported}");
    assert_eq!(up.verify()["stored"], expected);
}
