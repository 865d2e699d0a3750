//! Rule files are read strictly, and all that lie in the folder are built in.

use super::*;

/// A rule with these conditions, for tests of the language.
pub fn rule_when(conditions: &str) -> Rule {
    Rule::parse(&text(conditions)).unwrap_or_else(|error| panic!("{conditions}: {error}"))
}

/// A rule that fires on three heartbeats in this many days.
pub fn rule_of_days(days: u16) -> Rule {
    Rule {
        window_days: days,
        ..rule_when(WHEN)
    }
}

const WHEN: &str =
    "[[when]]\nname = 'beats'\nmeasure = 'count'\nat_least = 3\nof = [{ types = ['heartbeat'] }]\n";

fn text(conditions: &str) -> String {
    format!(
        "id = 'some-rule'\nversion = 1\nseverity = 'info'\ncategory = 'quality'\n\
         title = 'From {{start}} to {{end}}'\nwhy = 'It matters.'\n\
         actions = ['Rest.']\nexamples = []\n{conditions}"
    )
}

fn refusal(text: &str) -> String {
    match Rule::parse(text) {
        Err(error) => error.to_string(),
        Ok(_) => panic!("taken: {text}"),
    }
}

#[test]
fn what_a_file_leaves_out_has_a_default() {
    let rule = rule_when(WHEN);
    assert_eq!(
        (rule.window_days, rule.stale_after),
        (1, Duration::from_secs(86_400))
    );
}

#[test]
fn unknown_and_missing_keys_are_named() {
    let more = text(WHEN).replace("version = 1", "version = 1\nversoin = 2");
    assert!(refusal(&more).contains("versoin"), "{}", refusal(&more));
    let inner = text(&format!("{WHEN}minutes = 5\n"));
    assert!(refusal(&inner).contains("minutes"), "{}", refusal(&inner));
    let less = text(WHEN).replace("why = 'It matters.'\n", "");
    assert!(refusal(&less).contains("why"), "{}", refusal(&less));
    assert!(refusal(&text(WHEN).replace("'info'", "'fatal'")).contains("fatal"));
    assert!(refusal(&text(&WHEN.replace("'count'", "'guess'"))).contains("guess"));
}

#[test]
fn what_cannot_be_meant_is_refused_with_a_remedy() {
    for (from, to, remedy) in [
        ("'some-rule'", "'Some Rule'", "a-z"),
        ("version = 1", "version = 0", "1 or more"),
        ("version = 1", "version = 1\nwindow_days = 0", "1 to 31"),
        ("version = 1", "version = 1\nwindow_days = 32", "1 to 31"),
        ("version = 1", "version = 1\nstale_after = '3 days'", "unit"),
        ("['Rest.']", "[]", "at least one thing"),
        ("'It matters.'", "''", "must say something"),
        ("{end}", "{beets}", "{beets"),
        ("{end}", "{end", "{name} of a [[when]]"),
        ("'beats'", "'end'", "neither start nor end"),
        ("at_least = 3", "", "at_least, at_most"),
        ("at_least = 3", "at_least = 0", "at_least of 1"),
        ("at_least = 3", "at_most = 3", "at_least of 1"),
        ("at_least = 3", "at_least = 3\nat_most = 2", "never hold"),
        (
            "at_least = 3",
            "at_least = 3\nslot_minutes = 5",
            "distinct-slots and days only",
        ),
        (
            "at_least = 3",
            "at_least = 3\nbroken_by = [{ types = ['x'] }]",
            "broken_by",
        ),
        ("'count'", "'streak'", "broken_by"),
        ("'count'", "'distinct-slots'\nslot_minutes = 0", "1 to 1440"),
        ("'count'", "'streak'\npause_minutes = 0", "1 to 1440"),
        ("'count'", "'sum'", "needs `field`"),
        (
            "at_least = 3",
            "at_least = 3\nfield = 'path'",
            "needs `field`",
        ),
        ("'count'", "'percent'", "needs `among`"),
        ("at_least = 3", "at_least = 3\nslots_a_day = 2", "days only"),
        (
            "version = 1",
            "version = 1\nwindow_minutes = 721",
            "1 to 720",
        ),
        (
            "version = 1",
            "version = 1\nwindow_minutes = 9\nwindow_days = 2",
            "leave out window_days",
        ),
        ("'beats'", "'time'", "nor time"),
        ("{end}", "{beats.value}", "{beats.value"),
        (
            "['heartbeat']",
            "['heartbeat'], data = { entity = { matches = '(' } }",
            "unclosed group",
        ),
        (
            "['heartbeat']",
            "['heartbeat'], data = { entity = { matches = 'a', at_least = 1 } }",
            "regular expression",
        ),
        ("['heartbeat']", "[]", "name types"),
        (WHEN, "when = []", "at_least of 1"),
    ] {
        let before = text(WHEN);
        let after = text(WHEN).replacen(from, to, 1);
        assert_ne!(before, after, "{from}");
        let refused = refusal(&after);
        assert!(refused.contains(remedy), "{to}: {refused}");
    }
    assert!(refusal(&text(&format!("{WHEN}{WHEN}"))).contains("a name of its own"));
}

#[test]
fn every_file_in_the_folder_is_built_in_under_its_id() {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("rules");
    let names = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name());
    let mut names: Vec<String> = names.map(|name| name.into_string().unwrap()).collect();
    names.sort();
    let built_in: Vec<String> = files()
        .iter()
        .map(|(name, _)| format!("{name}.toml"))
        .collect();
    assert_eq!(
        names, built_in,
        "name every file of workers/rules in FILES, sorted"
    );
    let ids: Vec<String> = builtin()
        .iter()
        .map(|rule| format!("{}.toml", rule.id))
        .collect();
    assert_eq!(ids, built_in, "a rule file is called by the rule's id");
}
