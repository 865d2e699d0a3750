//! Every rule file holds what its own examples promise.

use types::schema::Schemas;
use workers::alert::{Rule, builtin, check_examples, files};

fn problems(rule: &Rule) -> Vec<String> {
    check_examples(rule, &Schemas::builtin())
}

#[test]
fn every_rule_fires_exactly_on_its_examples() {
    let schemas = Schemas::builtin();
    let all = builtin().into_iter().flat_map(|rule| {
        let problems = check_examples(&rule, &schemas);
        problems
            .into_iter()
            .map(move |problem| format!("{}: {problem}", rule.id))
    });
    assert_eq!(all.collect::<Vec<_>>(), Vec::<String>::new());
}

#[test]
fn examples_catch_wrong_bounds_and_impossible_events() {
    let changed = |id: &str, from: &str, to: &str| {
        let (_, text) = files().iter().find(|(name, _)| *name == id).unwrap();
        assert!(text.contains(from), "{from}");
        problems(&Rule::parse(&text.replace(from, to)).unwrap()).join("\n")
    };
    assert!(
        changed("failing-builds", "at_least = 5", "at_least = 6")
            .contains("must fire, and does not")
    );
    assert!(
        changed("failing-builds", "at_least = 5", "at_least = 4")
            .contains("must not fire, and does")
    );
    assert!(
        changed("late-night-work", "22:00-05:00", "21:00-05:00")
            .contains("must not fire, and does")
    );
    assert!(
        changed("force-push", "fires = false", "fires = true")
            .contains("no example on which it must not")
    );
    assert!(
        changed(
            "force-push",
            "data = { force = true }",
            "data = { force = 'yes' }"
        )
        .contains("must fire, and does not")
    );
    assert!(
        changed(
            "force-push",
            "branch = \"main\", force = true",
            "force = true"
        )
        .contains("branch")
    );
    assert!(
        changed(
            "force-push",
            "types = [\"git.push\"]",
            "types = [\"git.pusch\"]"
        )
        .contains("git.pusch")
    );
    assert!(changed("force-push", "T11:00:00+01:00", " 11:00").contains("RFC 3339"));
}

#[test]
fn severities_and_windows_of_the_rules_are_as_documented() {
    let documented: Vec<String> = builtin()
        .iter()
        .map(|rule| {
            format!(
                "{} {} {}",
                rule.id,
                rule.severity.as_str(),
                rule.window_days
            )
        })
        .collect();
    assert_eq!(
        documented,
        [
            "failing-builds warning 1",
            "force-push high 1",
            "late-night-work warning 1"
        ]
    );
}
