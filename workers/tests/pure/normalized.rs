//! Records by example: time, language, project, path and data of each kind.

use serde_json::{Value, json};
use workers::normalize::{Project, Record, clean_path, normalize};

use crate::build::event;

const NOON: &str = "2026-03-01T12:00:00.25+01:00";

fn record(kind: &str, data: &Value) -> Record {
    normalize(&event("e", kind, NOON, None, data))
}

/// A path under the folder that Linux keeps homes in.
fn home(rest: &str) -> String {
    format!("/{}/{rest}", "home")
}

#[test]
fn local_time_is_the_zones_then_the_written_offsets() {
    let local = |time: &str, zone: Option<&str>| {
        let record = normalize(&event("e", "editor.focused", time, zone, &json!({})));
        (
            record.local_time.clone(),
            record.offset,
            record.local_hour(),
            record.weekday(),
        )
    };
    assert_eq!(
        local(NOON, None),
        ("2026-03-01T12:00:00.250000+01:00".to_owned(), 3600, 12, 7)
    );
    let late = "2026-03-01T23:30:00Z";
    assert_eq!(
        local(late, Some("Asia/Kathmandu")),
        ("2026-03-02T05:15:00.000000+05:45".to_owned(), 20_700, 5, 1)
    );
    assert_eq!(
        local(late, Some("Mars/Olympus")).0,
        "2026-03-01T23:30:00.000000+00:00"
    );
    assert_eq!(
        local("1969-12-31T23:59:59-03:30", None),
        (
            "1969-12-31T23:59:59.000000-03:30".to_owned(),
            -12_600,
            23,
            3
        )
    );
}

#[test]
fn local_time_is_known_by_a_zone_or_an_offset_that_is_no_utc() {
    let local = |time: &str, client: Option<&str>, setting: Option<&str>| {
        let mut event = event("e", "editor.focused", time, client, &json!({}));
        event.zone = setting.map(str::to_owned);
        let record = normalize(&event);
        (record.offset, record.knows_local_time)
    };
    let (utc, kathmandu) = ("2026-03-01T23:30:00Z", Some("Asia/Kathmandu"));
    assert_eq!(local(utc, None, None), (0, false));
    assert_eq!(local("2026-03-01T23:30:00-00:00", None, None), (0, false));
    assert_eq!(local("2026-03-01T23:30:00+00:00", None, None), (0, true));
    assert_eq!(local(utc, None, kathmandu), (20_700, true));
    assert_eq!(local(utc, Some("Europe/Berlin"), kathmandu), (3600, true));
    assert_eq!(local(NOON, None, kathmandu), (20_700, true));
    assert_eq!(local(utc, Some("Mars/Olympus"), None), (0, false));
}

#[test]
fn local_time_follows_effective_time_not_the_clients_clock() {
    let mut fast = event(
        "e",
        "editor.focused",
        "2026-03-01T12:00:00+01:00",
        Some("Europe/Berlin"),
        &json!({}),
    );
    fast.effective_at -= 12 * 3600 * 1_000_000;
    let record = normalize(&fast);
    assert_eq!(
        (record.local_time.as_str(), record.at),
        ("2026-03-01T00:00:00.000000+01:00", fast.effective_at)
    );
}

#[test]
fn an_old_test_run_has_no_flaky_tests_and_a_new_one_keeps_them() {
    let mut run = event(
        "e",
        "test.finished",
        NOON,
        None,
        &json!({"outcome": "passed", "passed": 3}),
    );
    let record = normalize(&run);
    assert_eq!(
        (record.data["flaky"].as_u64(), record.count("passed")),
        (Some(0), 3)
    );
    run = event(
        "e",
        "test.finished",
        NOON,
        None,
        &json!({"outcome": "passed", "flaky": 2}),
    );
    run.schema_version = "1.1".to_owned();
    assert_eq!(normalize(&run).count("flaky"), 2);
}

#[test]
fn the_language_is_the_editors_else_the_files() {
    let language = |data: Value| record("file.edited", &data).language;
    assert_eq!(
        language(json!({"language": "TypeScriptReact", "path": "a.rs"})).as_deref(),
        Some("typescript")
    );
    assert_eq!(
        language(json!({"path": "src\\a.rs"})).as_deref(),
        Some("rust")
    );
    assert_eq!(
        language(json!({"language": "unknown", "path": "a.py"})).as_deref(),
        Some("python")
    );
    assert_eq!(language(json!({"path": "LICENSE"})), None);
    let beat = record(
        "heartbeat",
        &json!({"entity": "/srv/app/main.go", "entity_type": "file"}),
    );
    assert_eq!(
        (beat.language.as_deref(), beat.path.as_deref()),
        (Some("go"), Some("/srv/app/main.go"))
    );
    let beat = record(
        "heartbeat",
        &json!({"entity": "crates.rs", "entity_type": "domain"}),
    );
    assert_eq!(
        (beat.language, beat.path, beat.data["entity"].as_str()),
        (None, None, Some("crates.rs"))
    );
}

#[test]
fn paths_lose_the_machine_they_were_on() {
    let clean = |path: &str, workspace, project| clean_path(path, workspace, project);
    for (path, workspace, project, expected) in [
        ("src\\main.rs", None, None, "src/main.rs"),
        ("./a/../b//c", None, None, "b/c"),
        (
            "/Users/ada/code/app/src/a.rs",
            None,
            None,
            "code/app/src/a.rs",
        ),
        (
            "/Users/ada/code/app/src/a.rs",
            Some("/Users/ada/code/app/"),
            None,
            "src/a.rs",
        ),
        (
            "/Users/ada/code/app2/a.rs",
            Some("/Users/ada/code/app"),
            None,
            "code/app2/a.rs",
        ),
        (
            "/Users/ada/code/My App/src/a.rs",
            None,
            Some("my-app"),
            "src/a.rs",
        ),
        (
            "/Users/ada/code/app/src/a.rs",
            Some("app"),
            None,
            "src/a.rs",
        ),
        ("/Users/app/code/app/a.rs", None, Some("app"), "a.rs"),
        ("C:\\Users\\Ada\\x.cs", None, None, "x.cs"),
        ("c:\\code\\App\\x.cs", Some("C:\\Code\\app"), None, "x.cs"),
        ("D:\\code\\x.cs", None, None, "D:/code/x.cs"),
        ("/mnt/c/Users/ada/x.cs", None, None, "x.cs"),
        ("~/x.rs", None, None, "x.rs"),
        ("~ada/x.rs", None, None, "x.rs"),
        ("file:///Users/ada/x.rs", None, None, "x.rs"),
        // What is left of the workspace, `app`, names the folder in a container as well.
        ("/srv/app/a.rs", Some("/Users/ada/app"), None, "a.rs"),
        ("D:\\app\\a.rs", Some("C:\\Users\\ada\\app"), None, "a.rs"),
        ("/usr/include/stdio.h", None, None, "/usr/include/stdio.h"),
        ("src/home/index.ts", None, None, "src/home/index.ts"),
        ("a\0b.rs", None, None, "a b.rs"),
    ] {
        assert_eq!(
            clean(path, workspace, project).as_deref(),
            Some(expected),
            "{path}"
        );
    }
    assert_eq!(
        clean(&home("ada/x/y.rs"), None, None).as_deref(),
        Some("x/y.rs")
    );
    assert_eq!(clean(&home("ada"), None, None), None);
    assert_eq!(
        clean("/Users/ada/~/C:/Users/bob/x", None, None).as_deref(),
        Some("x")
    );
    let long = clean(&"ä/".repeat(5_000), None, None).unwrap();
    assert!(
        long.len() <= 1024 && long.starts_with('…'),
        "{} bytes",
        long.len()
    );
}

fn key(project: &str) -> Option<String> {
    Project::of(project).map(|project| project.key)
}

#[test]
fn projects_have_keys() {
    for (project, expected) in [
        ("My App", Some("my-app")),
        ("  --Dev_Trail. ", Some("dev-trail")),
        ("node.js", Some("node-js")),
        ("/Users/ada/code/App", Some("app")),
        ("C:\\code\\app.code-workspace", Some("app")),
        ("vscode-remote://wsl%2Bubuntu/srv/My%20App", Some("my-app")),
        ("C++", Some("cpp")),
        ("C#", Some("csharp")),
        ("F#", Some("fsharp")),
        ("/Users/ada", None),
        ("~ada", None),
        ("vscode-remote://wsl%2Bubuntu/home/ada", None),
        ("…", None),
        (" - ", None),
    ] {
        assert_eq!(key(project).as_deref(), expected, "{project}");
    }
    assert_eq!(key(&home("ada")), None, "a home folder is no project");
}

#[test]
fn names_that_differ_in_more_than_separators_are_different_projects() {
    let long = "x".repeat(100);
    let other_long = format!("{long}y");
    let names = [
        "C",
        "C++",
        "C#",
        "F",
        "F#",
        "J",
        "J#",
        "Q#",
        "NET",
        ".NET",
        "node",
        "node.js",
        "a b",
        "a+b",
        "a&b",
        "a@b",
        "a:b",
        "a#",
        "a+",
        "dev-trail",
        "Dev_Trail!!",
        "Dev_Trail!",
        "Cafe",
        "Café",
        "проект",
        "другой",
        "項目甲",
        "項目乙",
        "🚀",
        "🚀🚀",
        "Strae",
        "Straße",
        "Strasse",
        "!!!",
        "++",
        "#",
        &long,
        &other_long,
    ];
    let mut keys: Vec<String> = names
        .iter()
        .map(|name| key(name).unwrap_or_else(|| panic!("{name}")))
        .collect();
    for key in &keys {
        let fits = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
        assert!(
            key.len() <= 64 && key.chars().all(fits) && !key.starts_with('-'),
            "{key}"
        );
    }
    keys.sort();
    let twice: Vec<_> = keys.windows(2).filter(|pair| pair[0] == pair[1]).collect();
    assert!(twice.is_empty(), "{twice:?}");
    for (one, other) in [
        ("Caf\u{e9}", "Cafe\u{301}"),
        ("My App", "my_app"),
        ("ÄÖ", "äö"),
        ("a.b", "a b"),
    ] {
        assert_eq!(key(one), key(other), "{one} {other}");
    }
}

#[test]
fn a_project_keeps_the_name_that_its_owner_wrote() {
    let name = |project: &str| Project::of(project).map(|project| project.name);
    for (project, expected) in [
        ("項目甲", "項目甲"),
        (" Straße ", "Straße"),
        ("Cafe\u{301}", "Caf\u{e9}"),
        ("🚀", "🚀"),
        ("C++", "C++"),
        ("/srv/My App.code-workspace", "My App"),
        ("What?", "What?"),
        ("a\0b", "a b"),
    ] {
        assert_eq!(name(project).as_deref(), Some(expected), "{project}");
    }
    assert!(name(&"ä".repeat(5_000)).is_some_and(|name| name.len() <= 128 && name.ends_with('…')));
    let record = record("file.edited", &json!({"project": "My App", "path": "a"}));
    assert_eq!(
        (record.project.as_deref(), record.project_name.as_deref()),
        (Some("my-app"), Some("My App"))
    );
}

#[test]
fn a_project_is_named_else_its_workspace() {
    let of = |data: Value| record("file.edited", &data).project;
    assert_eq!(
        of(json!({"workspace": "/srv/My.App", "path": "a"})).as_deref(),
        Some("my-app")
    );
    assert_eq!(
        of(json!({"project": "b", "workspace": "/srv/a", "path": "a"})).as_deref(),
        Some("b")
    );
}

#[test]
fn data_keeps_what_fits_its_type_and_cleans_it() {
    let data = json!({
        "command": "curl -u ada:pw https://x", "exit_code": -1, "duration_ms": 12.0, "cwd": home("ada/app"),
        "shell": 7, "project": "p", "language": "c", "extra": {"apiKey": "k", "n": 1.5, "deep": [null, true]},
    });
    let record = record("terminal.command", &data);
    let expected = json!({
        "command": "curl -u *** https://x", "exit_code": -1, "cwd": "app",
        "extra": {"apiKey": "***", "n": 1.5, "deep": [null, true]},
    });
    assert_eq!(Value::Object(record.data), expected);
    assert_eq!((record.duration_ms, record.secrets), (Some(12), 2));
}

#[test]
fn numbers_that_are_none_are_left_out() {
    let beyond = 9_007_199_254_740_992_u64;
    let data = json!({"path": "a", "lines_added": -1, "lines_removed": 1.5, "chars_added": beyond,
                      "chars_removed": "4", "undo": 1});
    assert!(record("file.edited", &data).data.is_empty());
}

#[test]
fn a_commit_keeps_its_hash_and_its_paths() {
    let hash = "3fce3b5bb0236da2df6d99672afb8a719642eca7";
    let data = json!({"commit": hash, "paths": ["Cargo.lock", "/Users/ada/p/src/a.rs", 7], "project": "P"});
    let record = record("git.commit", &data);
    assert_eq!(
        (record.text("commit"), &record.data["paths"]),
        (Some(hash), &json!(["Cargo.lock", "src/a.rs"]))
    );
}

#[test]
fn records_are_bounded() {
    let long = "word ".repeat(100_000);
    let data = json!({"command": long, "failures": vec![long.clone(); 100], "other": vec![long.clone(); 100]});
    let record = record("terminal.command", &data);
    assert_eq!(record.text("command").map(str::len), Some(4096));
    let failures = record.data["failures"].as_array().map(Vec::len);
    assert_eq!(
        (failures, record.data.get("other")),
        (Some(14), None),
        "the first ones are kept"
    );
    assert!(serde_json::to_string(&record).unwrap().len() < 80_000);
}
