//! Rules that look at minutes: a window that slides over a day, and the runs of minutes at which it fires.

use std::collections::BTreeSet;

use super::hour_rules::RuleDay;
use super::measure::{Firing, Measured};
use super::rules::Rule;

/// A run of minutes at each of which the window that ends there fires.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Episode {
    /// The first of them, in minutes since 1970.
    pub minute: i64,
    /// What fired most: where the first condition with a lower bound measured most, the earliest of equal ones.
    pub firing: Firing,
}

/// The episodes of one of the rule's days, in order. `minutes` are what was measured in it, in the order of time.
pub fn episodes(rule: &Rule, length: u16, minutes: &[RuleDay]) -> Vec<Episode> {
    let length = i64::from(length);
    // What is in the window changes only where a minute comes in or goes out. Of the minutes after the last one nothing
    // is known: by then more may have come in.
    let measured = || {
        minutes
            .iter()
            .filter_map(|one| Some((one.minute?, &one.measured)))
    };
    let last = measured().map(|(minute, _)| minute).max();
    let changes: BTreeSet<i64> = measured()
        .flat_map(|(minute, _)| [minute, minute + length])
        .filter(|at| Some(*at) <= last)
        .collect();
    let mut coming = measured().peekable();
    let mut window = SlidingWindow::new(rule);
    let mut episodes: Vec<Episode> = Vec::new();
    let mut goes_on = false;
    for at in changes {
        window.drop_until(at - length);
        while let Some((minute, measured)) = coming.next_if(|(minute, _)| *minute <= at) {
            window.push(minute, measured);
        }
        let Some(firing) = window.measured().firing(rule) else {
            goes_on = false;
            continue;
        };
        match episodes.last_mut().filter(|_| goes_on) {
            Some(episode) if strength(rule, &firing) > strength(rule, &episode.firing) => {
                episode.firing = firing;
            }
            Some(_) => {}
            None => episodes.push(Episode { minute: at, firing }),
        }
        goes_on = true;
    }
    episodes
}

/// What the first condition with a lower bound measured.
fn strength(rule: &Rule, firing: &Firing) -> u64 {
    let bound = rule.when.iter().find(|when| when.at_least.is_some());
    bound
        .and_then(|when| firing.measured.get(&when.name))
        .copied()
        .unwrap_or_default()
}

/// The minutes of a window. What was measured cannot be taken out again, so two stacks keep it summed up from either
/// side: each minute is joined to others a few times only, however long the window is.
struct SlidingWindow<'a> {
    rule: &'a Rule,
    /// The older minutes, the oldest last: each with what was measured from it on.
    older: Vec<(i64, Measured)>,
    newer: Vec<(i64, &'a Measured)>,
    /// What was measured in the newer ones.
    newer_sum: Measured,
}

impl<'a> SlidingWindow<'a> {
    fn new(rule: &'a Rule) -> Self {
        Self {
            rule,
            older: Vec::new(),
            newer: Vec::new(),
            newer_sum: Measured::nothing(rule),
        }
    }

    fn push(&mut self, minute: i64, measured: &'a Measured) {
        self.newer_sum.append(self.rule, measured);
        self.newer.push((minute, measured));
    }

    /// Drops the minutes up to this one.
    fn drop_until(&mut self, last: i64) {
        loop {
            if self.older.is_empty() {
                self.turn_over();
            }
            if self.older.last().is_none_or(|(minute, _)| *minute > last) {
                return;
            }
            self.older.pop();
        }
    }

    fn turn_over(&mut self) {
        let mut sum = Measured::nothing(self.rule);
        for (minute, measured) in std::mem::take(&mut self.newer).into_iter().rev() {
            let mut from_here = measured.clone();
            from_here.append(self.rule, &sum);
            sum.clone_from(&from_here);
            self.older.push((minute, from_here));
        }
        self.newer_sum = Measured::nothing(self.rule);
    }

    fn measured(&self) -> Measured {
        let nothing = || Measured::nothing(self.rule);
        let mut sum = self
            .older
            .last()
            .map_or_else(nothing, |(_, sum)| sum.clone());
        sum.append(self.rule, &self.newer_sum);
        sum
    }
}

#[cfg(test)]
mod tests;
