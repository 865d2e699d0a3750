//! Evaluates rules on their own examples: as tests of every rule file, and as `devtrail rules test`.

use types::schema::Schemas;

use super::evaluate::evaluate_events;
use super::examples::Example;
use super::rules::{Rule, RuleCondition};
use super::windows::{TouchedBy, TouchedDays};

/// What is wrong with the rule according to its own examples; empty if nothing is. A rule needs an example of either
/// kind, and every event must be one that the collector would accept.
#[must_use]
pub fn check_examples(rule: &Rule, schemas: &Schemas) -> Vec<String> {
    let mut problems = Vec::new();
    for (fires, kind) in [(true, "must fire"), (false, "must not fire")] {
        if !rule.examples.iter().any(|example| example.fires == fires) {
            problems.push(format!(
                "there is no example on which it {kind}: add one with fires = {fires}"
            ));
        }
    }
    let types = rule
        .when
        .iter()
        .flat_map(RuleCondition::filters)
        .flat_map(|of| &of.types);
    let is_unknown = |kind: &&String| !schemas.types().any(|(known, _)| known == kind.as_str());
    problems.extend(
        types
            .filter(is_unknown)
            .map(|kind| format!("no schema has the event type {kind:?}")),
    );
    for example in &rule.examples {
        if let Err(problem) = run(rule, schemas, example) {
            problems.push(format!("{:?}: {problem}", example.name));
        }
    }
    problems
}

fn run(rule: &Rule, schemas: &Schemas, example: &Example) -> Result<(), String> {
    let events = example.stored(schemas)?;
    let mut days = Vec::new();
    for event in &events {
        let day = event
            .local_day
            .parse()
            .map_err(|error| format!("{error}"))?;
        let origin = TouchedBy {
            batch: event.at.batch(),
            correlation_id: String::new(),
            replay_id: None,
        };
        days.push((day, origin));
    }
    let touched: TouchedDays = days.into_iter().collect();
    let rules = std::slice::from_ref(rule);
    let found = evaluate_events(rules, "example", &touched, events, 0)
        .map_err(|error| error.to_string())?;
    if let Some((_, error)) = found.failed.first() {
        return Err(error.to_string());
    }
    let fires = found
        .windows
        .iter()
        .any(|window| !window.findings.is_empty());
    match (example.fires, fires) {
        (true, false) => Err("the rule must fire, and does not".to_owned()),
        (false, true) => Err("the rule must not fire, and does".to_owned()),
        _ => Ok(()),
    }
}
