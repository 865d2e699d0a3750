//! What the rules measured in a stretch of an hour: kept in the hour's partial, and joined to whole windows.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};

use runtime::panic_text;
use serde::{Deserialize, Serialize};
use store::StoredEvent;
use types::job::JobKind;
use types::time::Micros;

use super::measure::{MINUTE, Measured, MetConditions};
use super::rules::{Rule, RuleCondition};
use crate::hour_partials::{Maker, SEGMENT};
use crate::normalize::{self, LazyRecord};

/// Rises with every change of what conditions measure or findings say.
pub const ENGINE_VERSION: i32 = 4;

/// What the rules measured, by rule; rules that nothing happened to are left out.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HourRules {
    /// By rule: what it measured of each of its days, in the order of time. A day comes again where another one came
    /// between: who works in two zones at once lives two days at once.
    rules: BTreeMap<String, Vec<RuleDay>>,
    /// The rules that could not be evaluated here, and why: they have no result.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    failed: BTreeMap<String, String>,
}

/// What a rule measured of a stretch of one day.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RuleDay {
    /// The day, `YYYY-MM-DD`, as the rule counts them.
    pub day: String,
    /// Of a rule that looks at minutes: the minute since 1970.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub minute: Option<i64>,
    pub measured: Measured,
}

/// Appends the days that follow.
pub fn append_days(rule: &Rule, here: &mut Vec<RuleDay>, next: &[RuleDay]) {
    for there in next {
        match here.last_mut() {
            Some(last) if (&last.day, last.minute) == (&there.day, there.minute) => {
                last.measured.append(rule, &there.measured);
            }
            _ => here.push(there.clone()),
        }
    }
}

impl HourRules {
    /// What this rule measured.
    #[must_use]
    pub fn days(&self, rule: &Rule) -> &[RuleDay] {
        self.rules.get(&rule.id).map_or(&[], Vec::as_slice)
    }

    /// Why this rule has no result here.
    #[must_use]
    pub fn failure(&self, rule: &Rule) -> Option<&str> {
        self.failed.get(&rule.id).map(String::as_str)
    }

    fn add(&mut self, rule: &Rule, event: &LazyRecord<'_>) {
        let Some(met) = MetConditions::by(rule, event) else {
            return;
        };
        let day = event.local_day_before(rule.day_begins.after_midnight());
        let minute = rule.window_minutes.map(|_| minute_of(event.at()));
        let days = self.rules.entry(rule.id.clone()).or_default();
        if (days.last()).is_none_or(|last| (&last.day, last.minute) != (&day, minute)) {
            days.push(RuleDay {
                day,
                minute,
                measured: Measured::nothing(rule),
            });
        }
        if let Some(RuleDay { day, measured, .. }) = days.last_mut() {
            measured.add(rule, event, day, &met);
        }
    }
}

/// The minute since 1970.
pub fn minute_of(at: Micros) -> i64 {
    at.div_euclid(MINUTE)
}

/// Rules, and what is the same for every developer that they are evaluated for.
pub struct RuleSet {
    pub rules: Vec<Rule>,
    /// What makes the alert role's partials with these rules: with others, they are of no use.
    pub maker: Maker,
    /// The places of the rules that look at a type of event.
    by_type: BTreeMap<String, Vec<usize>>,
}

impl RuleSet {
    /// The rule whose alert stands for this one's where both fire; `None` if there is none, or its windows are others.
    #[must_use]
    pub fn above(&self, rule: &Rule) -> Option<&Rule> {
        let id = rule.folded_under.as_ref()?;
        let above = self.rules.iter().find(|above| above.id == *id)?;
        // One level: else of two rules folded under each other neither would be raised.
        (above.folded_under.is_none() && above.has_windows_of(rule)).then_some(above)
    }

    /// The rules whose alerts this one's stands for.
    pub fn below<'a>(&'a self, rule: &'a Rule) -> impl Iterator<Item = &'a Rule> {
        let is_below =
            move |below: &&Rule| self.above(below).is_some_and(|above| above.id == rule.id);
        self.rules.iter().filter(is_below)
    }

    #[must_use]
    pub fn new(rules: Vec<Rule>) -> Self {
        let mut by_type: BTreeMap<String, Vec<usize>> = BTreeMap::new();
        for (place, rule) in rules.iter().enumerate() {
            for kind in rule.types() {
                by_type.entry(kind.to_owned()).or_default().push(place);
            }
        }
        let maker = maker(&rules);
        Self {
            rules,
            maker,
            by_type,
        }
    }

    /// Adds an event that follows all others. A rule that panics on it has no result where it was, and stops no other.
    pub fn add(&self, hour: &mut HourRules, event: &StoredEvent) {
        let Some(places) = self.by_type.get(&event.kind) else {
            return;
        };
        let event = LazyRecord::new(event);
        for rule in places.iter().map(|place| &self.rules[*place]) {
            if hour.failed.contains_key(&rule.id) {
                continue;
            }
            if let Err(reason) = isolated(|| hour.add(rule, &event)) {
                hour.rules.remove(&rule.id);
                hour.failed.insert(rule.id.clone(), reason);
            }
        }
    }
}

/// Runs one rule so that its panic is an error and does not stop other rules.
pub fn isolated<T>(work: impl FnOnce() -> T) -> Result<T, String> {
    // What is left half-done is dropped whole by whoever called.
    catch_unwind(AssertUnwindSafe(work)).map_err(|panic| panic_text(&*panic).to_owned())
}

fn maker(rules: &[Rule]) -> Maker {
    let mut hasher = blake3::Hasher::new();
    for rule in rules {
        // Titles, texts and thresholds may change: they are not in the partials.
        let conditions: Vec<RuleCondition> = (rule.when.iter())
            .map(|when| RuleCondition {
                at_least: when.at_least.map(|_| 0),
                at_most: None,
                ..when.clone()
            })
            .collect();
        let parts = format!(
            "{:?} {:?} {:?} {:?} {conditions:?}\n",
            rule.id,
            rule.version,
            rule.day_begins,
            rule.window_minutes.is_some(),
        );
        hasher.update(parts.as_bytes());
    }
    Maker {
        kind: JobKind::Alert,
        version: ENGINE_VERSION + normalize::VERSION,
        made_with: hasher.finalize().to_hex()[..16].to_owned(),
        segment: SEGMENT,
    }
}
