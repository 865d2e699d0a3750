//! Rules on the windows that new events touch: pure, the same for every worker and in every order.

use std::collections::{BTreeMap, BTreeSet};

use store::{
    ComputedAt, Effects, Hour, HourRange, PartialRow, ReadPlan, RuleWindow, StoredEvent, WindowKey,
};
use types::time::{Micros, utc_hour};

use super::episodes::{Episode, episodes};
use super::finding::{FindingWindow, finding};
pub use super::hour_rules::ENGINE_VERSION;
use super::hour_rules::{HourRules, RuleDay, RuleSet, append_days, isolated, minute_of};
use super::local_day::LocalDay;
use super::measure::Measured;
use super::rules::Rule;
use super::windows::{TouchedBy, TouchedDays, rule_look_back};
use crate::hour_partials::{FoldedHour, HourReads, MisplacedEvent, generation, generations};
use crate::normalize;

/// The findings of all rules for one developer.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Evaluation {
    /// The hours that changed.
    pub partials: Vec<PartialRow>,
    /// One for each rule and window that holds a touched day and moved since it was evaluated; what it does not find
    /// again is retracted.
    pub windows: Vec<RuleWindow>,
    /// The rules that have no result, and why: to be logged and counted. The others are complete.
    pub failed: Vec<(String, RuleError)>,
}

impl Evaluation {
    fn fail(&mut self, rule: &Rule, reason: Option<String>) {
        let failed = reason.map(|reason| (rule.id.clone(), RuleError::Panicked(reason)));
        self.failed.extend(failed);
    }

    /// What is to be written.
    #[must_use]
    pub fn effects(self) -> Effects {
        Effects::Rules {
            partials: self.partials,
            windows: self.windows,
        }
    }
}

/// Why a rule has no result.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RuleError {
    /// Its evaluation panicked: a defect.
    #[error("the rule panicked: {0}")]
    Panicked(String),
}

/// What must be read to evaluate the windows that moved.
#[derive(Debug)]
pub struct RuleReads {
    /// The windows to evaluate, with their generations, by the rule's place among the rules.
    windows: BTreeMap<usize, BTreeMap<LocalDay, i64>>,
    /// Their hours.
    pub hours: HourReads<HourRules>,
}

/// Says what to read of a developer's hours for the windows that touched days are in. A window that was evaluated at
/// its generation, by the same version of its rule, is passed over. `hours` are those of [`super::windows::ranges`].
#[must_use]
pub fn plan(
    set: &RuleSet,
    touched: &TouchedDays,
    evaluated: &BTreeMap<WindowKey, ComputedAt>,
    hours: BTreeMap<i64, Hour>,
) -> ReadPlan<RuleReads> {
    let generations = generations(&hours);
    let mut windows: BTreeMap<usize, BTreeMap<LocalDay, i64>> = BTreeMap::new();
    let mut needed = Vec::new();
    for (place, rule) in set.rules.iter().enumerate() {
        for start in touched.windows(rule).into_keys() {
            let look_back = rule_look_back(rule, start);
            let generation = generation(&generations, look_back);
            let key = WindowKey {
                rule: rule.id.clone(),
                start: start.to_string(),
            };
            let is_current = |at: &ComputedAt| at.is_current(generation, version(set, rule));
            if !evaluated.get(&key).is_some_and(is_current) {
                windows.entry(place).or_default().insert(start, generation);
                needed.push(look_back);
            }
        }
    }
    let hours = HourReads::plan(hours, needed, &set.maker);
    let spans = hours.spans();
    ReadPlan {
        plan: RuleReads { windows, hours },
        spans,
    }
}

/// Evaluates the rules on the windows of `reads`, once their events are read. `now` only decides whether an alert is
/// still news.
///
/// # Errors
/// Returns `MisplacedEvent` if an event lies in none of the hours that were to be read.
pub fn evaluate(
    set: &RuleSet,
    developer: &str,
    touched: &TouchedDays,
    reads: RuleReads,
    events: Vec<StoredEvent>,
    now: Micros,
) -> Result<Evaluation, MisplacedEvent> {
    let hours = reads
        .hours
        .fold(events, |hour, event| set.add(hour, event))?;
    let mut evaluation = Evaluation {
        partials: hours
            .iter()
            .filter_map(|(at, hour)| hour.row(developer, *at, &set.maker))
            .collect(),
        ..Evaluation::default()
    };
    for (place, windows) in &reads.windows {
        let rule = &set.rules[*place];
        let input = Input {
            developer,
            set,
            rule,
            origins: touched.windows(rule),
            hours: &hours,
            now,
        };
        match isolated(|| input.evaluate(windows)) {
            Ok(windows) => {
                evaluation.windows.extend(windows.complete);
                evaluation.fail(rule, windows.failed);
            }
            Err(reason) => evaluation.fail(rule, Some(reason)),
        }
    }
    Ok(evaluation)
}

/// Evaluates `rules` on all events of a developer, with nothing kept from before: what a back-test does.
///
/// # Errors
/// As [`evaluate`].
pub fn evaluate_events(
    rules: &[Rule],
    developer: &str,
    touched: &TouchedDays,
    events: Vec<StoredEvent>,
    now: Micros,
) -> Result<Evaluation, MisplacedEvent> {
    let mut hours: BTreeMap<i64, Hour> = BTreeMap::new();
    for event in &events {
        let hour = hours.entry(utc_hour(event.effective_at)).or_insert(Hour {
            generation: 0,
            partial: None,
            changes: Vec::new(),
        });
        hour.generation += 1;
    }
    let set = RuleSet::new(rules.to_vec());
    let ReadPlan { plan, .. } = plan(&set, touched, &BTreeMap::new(), hours);
    let is_read = |event: &StoredEvent| plan.hours.has(utc_hour(event.effective_at));
    let events = events.into_iter().filter(is_read).collect();
    evaluate(&set, developer, touched, plan, events, now)
}

/// One rule on the windows of one developer.
struct Input<'a> {
    developer: &'a str,
    set: &'a RuleSet,
    rule: &'a Rule,
    /// What each window is attributed to.
    origins: BTreeMap<LocalDay, &'a TouchedBy>,
    hours: &'a BTreeMap<i64, FoldedHour<HourRules>>,
    now: Micros,
}

/// The windows of a rule.
struct EvaluatedWindows {
    complete: Vec<RuleWindow>,
    /// Why others have no result.
    failed: Option<String>,
}

impl Input<'_> {
    fn evaluate(&self, windows: &BTreeMap<LocalDay, i64>) -> EvaluatedWindows {
        let mut evaluated = EvaluatedWindows {
            complete: Vec::new(),
            failed: None,
        };
        for (start, generation) in windows {
            match self.failure(*start) {
                Some(reason) => evaluated.failed = Some(reason.to_owned()),
                None => evaluated.complete.extend(self.window(*start, *generation)),
            }
        }
        evaluated
    }

    /// Why the window has no result: the rule has none, or the one that would stand for it.
    fn failure(&self, start: LocalDay) -> Option<&str> {
        let HourRange { first, last } = rule_look_back(self.rule, start);
        let hours = self.hours.range(first..=last);
        let mut segments = hours.flat_map(|(_, hour)| &hour.segments);
        let needed = || {
            [Some(self.rule), self.set.above(self.rule)]
                .into_iter()
                .flatten()
        };
        segments.find_map(|segment| needed().find_map(|rule| segment.folded.failure(rule)))
    }

    /// What a rule measured on the days of the window, in the order of time, across days too: who travels west lives an
    /// hour of one day after hours of the next.
    fn days(&self, rule: &Rule, start: LocalDay) -> Vec<RuleDay> {
        let HourRange { first, last } = rule_look_back(rule, start);
        let within: BTreeSet<String> = (0..i32::from(rule.window_days))
            .map(|later| start.plus(later).to_string())
            .collect();
        let mut days = Vec::new();
        let hours = self.hours.range(first..=last);
        for segment in hours.flat_map(|(_, hour)| &hour.segments) {
            for stretch in segment
                .folded
                .days(rule)
                .chunk_by(|one, next| one.day == next.day)
            {
                if within.contains(&stretch[0].day) {
                    append_days(rule, &mut days, stretch);
                }
            }
        }
        days
    }

    /// The runs of minutes at which the rule fires on the window; of whole days, they are one.
    fn episodes(&self, rule: &Rule, start: LocalDay) -> Vec<Episode> {
        let days = self.days(rule, start);
        match rule.window_minutes {
            Some(length) => episodes(rule, length, &days),
            None => Vec::from_iter(whole(rule, &days)),
        }
    }

    /// `None` if no touched day is in the window.
    fn window(&self, start: LocalDay, generation: i64) -> Option<RuleWindow> {
        let rule = self.rule;
        let origin = self.origins.get(&start)?;
        let mut found = self.episodes(rule, start);
        if !found.is_empty()
            && let Some(above) = self.set.above(rule)
        {
            let above = self.episodes(above, start);
            found.retain(|episode| !above.iter().any(|above| is_folded(rule, episode, above)));
        }
        let below = match found.is_empty() {
            true => Vec::new(),
            false => (self.set.below(rule))
                .map(|below| (below, self.episodes(below, start)))
                .collect(),
        };
        let findings = found.iter().map(|episode| {
            let is_below = |(below, episodes): &&(&Rule, Vec<Episode>)| {
                (episodes.iter()).any(|lower| is_folded(below, lower, episode))
            };
            let folded = below.iter().filter(is_below);
            let folded: Vec<&str> = folded.map(|(below, _)| below.id.as_str()).collect();
            let window = FindingWindow {
                developer: self.developer,
                start,
                end: start.plus(i32::from(rule.window_days) - 1),
                minute: rule.window_minutes.map(|_| episode.minute),
                folded: &folded,
            };
            finding(rule, &window, &episode.firing, origin, self.now)
        });
        Some(RuleWindow {
            developer: self.developer.to_owned(),
            rule: rule.id.clone(),
            window_start: start.to_string(),
            generation,
            version: version(self.set, rule),
            findings: findings.collect(),
            batch: origin.batch,
            correlation_id: origin.correlation_id.clone(),
            replay_id: origin.replay_id.clone(),
        })
    }
}

/// Whether the alert above stands for this one of the rule: nothing more led to it, and of minutes, it is the same.
fn is_folded(rule: &Rule, episode: &Episode, above: &Episode) -> bool {
    (rule.window_minutes.is_none() || episode.minute == above.minute)
        && episode.firing.events <= above.firing.events
}

/// Why the rule fires on whole days, if it does: they are one episode.
fn whole(rule: &Rule, days: &[RuleDay]) -> Option<Episode> {
    let mut measured = Measured::nothing(rule);
    for day in days {
        measured.append(rule, &day.measured);
    }
    let firing = measured.firing(rule)?;
    let minute = minute_of(firing.first.first()?.at);
    Some(Episode { minute, firing })
}

/// The version of all that a finding depends on besides the events: the rule and those it is folded with, conditions
/// and normalizer. The sum rises when one of them does, and none of them ever falls: who takes a fold away raises
/// [`ENGINE_VERSION`].
fn version(set: &RuleSet, rule: &Rule) -> i32 {
    let folded = set.above(rule).into_iter().chain(set.below(rule));
    let rules: i32 = folded.map(|other| other.version).sum();
    (rule.version + rules).saturating_add(ENGINE_VERSION + normalize::VERSION)
}

#[cfg(test)]
mod tests;
