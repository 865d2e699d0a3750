//! Every rule file holds what its own examples promise.

use serde_json::Value;
use store::StoredEvent;
use types::schema::Schemas;
use types::time::parse_rfc3339;
use workers::alert::{Engine, Rule, builtin, examples, files};
use workers::normalize::Record;

/// Reads an example's event as the normalizer does, as far as rules look at it.
fn read(event: &StoredEvent) -> Record {
    let body: Value = serde_json::from_slice(&event.body).expect("an example is JSON");
    let text = |name: &str| body["data"][name].as_str().map(str::to_owned);
    let local_time = body["occurred_at"].as_str().expect("an example has a time");
    Record {
        event_id: event.id.clone(),
        kind: event.kind.clone(),
        at: event.effective_at,
        local_time: local_time.to_owned(),
        offset: parse_rfc3339(local_time)
            .expect("an example has a time")
            .offset
            .seconds(),
        local_day: event.local_day.clone(),
        language: text("language"),
        project: text("project"),
        path: text("path"),
        data: body["data"].as_object().cloned().unwrap_or_default(),
    }
}

fn engine() -> Engine {
    Engine {
        read,
        ..Engine::default()
    }
}

fn problems(rule: &Rule) -> Vec<String> {
    examples::check(rule, engine(), &Schemas::builtin())
}

#[test]
fn every_rule_fires_where_its_examples_say_and_nowhere_else() {
    let schemas = Schemas::builtin();
    let all = builtin().into_iter().flat_map(|rule| {
        let problems = examples::check(&rule, engine(), &schemas);
        problems
            .into_iter()
            .map(move |problem| format!("{}: {problem}", rule.id))
    });
    assert_eq!(all.collect::<Vec<_>>(), Vec::<String>::new());
}

#[test]
fn examples_would_notice_a_wrong_bound_a_missing_example_and_an_impossible_event() {
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
fn severities_and_windows_of_the_first_rules_are_as_documented() {
    let said: Vec<String> = builtin()
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
        said,
        [
            "failing-builds warning 1",
            "force-push high 1",
            "late-night-work warning 1"
        ]
    );
}
