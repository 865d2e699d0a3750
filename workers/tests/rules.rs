//! Every rule file holds what its own examples promise.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;
use store::StoredEvent;
use types::schema::Schemas;
use workers::alert::{Example, Rule, builtin, check_examples, files};

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

/// An example's events without their ids, which depend on their number.
fn events(example: &Example) -> Vec<String> {
    let stored = example.stored(&Schemas::builtin()).expect("sound events");
    let shown = |event: StoredEvent| {
        let body: Value = serde_json::from_slice(&event.body).expect("JSON");
        format!("{} {} {}", event.effective_at, event.kind, body["data"])
    };
    stored.into_iter().map(shown).collect()
}

/// How many events one has and the other has not: two if one event is another one.
fn difference(one: &[String], other: &[String]) -> usize {
    let mut counts: BTreeMap<&String, i64> = BTreeMap::new();
    for event in one {
        *counts.entry(event).or_default() += 1;
    }
    for event in other {
        *counts.entry(event).or_default() -= 1;
    }
    counts
        .values()
        .map(|count| count.unsigned_abs() as usize)
        .sum()
}

#[test]
fn each_rule_has_a_near_miss_that_differs_by_one_event() {
    for rule in builtin() {
        let of = |fires: bool| {
            let examples = rule
                .examples
                .iter()
                .filter(move |example| example.fires == fires);
            examples.map(events).collect::<Vec<_>>()
        };
        let (fires, misses) = (of(true), of(false));
        let pairs = fires
            .iter()
            .flat_map(|one| misses.iter().map(move |other| (one, other)));
        let least = pairs.map(|(one, other)| difference(one, other)).min();
        assert!(
            least.is_some_and(|least| least <= 2),
            "{}: {least:?}",
            rule.id
        );
    }
}

#[test]
fn the_rules_are_many_and_unlike() {
    let rules = builtin();
    let shapes: BTreeSet<String> = rules
        .iter()
        .map(|rule| {
            let mut measures: Vec<String> = rule
                .when
                .iter()
                .map(|when| format!("{:?}", when.measure))
                .collect();
            measures.sort();
            let window = match (rule.window_minutes, rule.window_days) {
                (Some(_), _) => "minutes",
                (None, 1) => "day",
                _ => "days",
            };
            format!("{} in {window}", measures.join(" and "))
        })
        .collect();
    assert!(rules.len() >= 24, "{} rules", rules.len());
    assert!(shapes.len() >= 12, "{shapes:?}");
    for rule in &rules {
        assert!(
            !rule.silent.is_empty(),
            "{} does not say when it is silent",
            rule.id
        );
    }
}
