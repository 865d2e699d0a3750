//! Folding neighbouring parts of a local day: counts add up, and so does the pause between them.

use std::collections::BTreeMap;

use types::time::Micros;

use super::partial::{Active, CommitsBy, IDLE, Lines, Part, Span, Tests};

/// Sums end here: the largest integer that every reader of JSON holds (RFC 8259, section 6). A sum
/// that stops at a bound is still the same in whatever order it is taken.
pub const MAX_SUM: u64 = 9_007_199_254_740_991;

impl Part {
    /// Adds the part that comes next. Associative, with the empty part as its neutral element.
    pub fn append(&mut self, next: &Self) {
        add_each(&mut self.events, &next.events);
        add(&mut self.edits, next.edits);
        add(&mut self.saves, next.saves);
        add(&mut self.commits, next.commits);
        self.edited.add(next.edited);
        self.committed.add(next.committed);
        self.commits_by.add(&next.commits_by);
        add_each(&mut self.builds, &next.builds);
        add_each(&mut self.test_runs, &next.test_runs);
        self.tests.add(next.tests);
        if let (Some(here), Some(there)) = (&self.span, &next.span) {
            self.active.pause(here, there);
        }
        self.active.add(&next.active);
        // Parts follow each other in the order of their events, so the later spelling is the label.
        self.project_names.extend(next.project_names.clone());
        self.span = match (self.span.take(), next.span.clone()) {
            (Some(here), Some(there)) => Some(Span {
                first: here.first,
                last: there.last,
            }),
            (here, there) => here.or(there),
        };
    }

    /// The fold of these parts, in their order.
    #[must_use]
    pub fn fold<'a>(parts: impl IntoIterator<Item = &'a Self>) -> Self {
        parts.into_iter().fold(Self::default(), |mut whole, part| {
            whole.append(part);
            whole
        })
    }
}

impl Active {
    /// Counts the pause between the last event here and the first there, if it is short enough.
    fn pause(&mut self, here: &Span, there: &Span) {
        let pause = there.first.at.saturating_sub(here.last.at);
        if (1..=IDLE).contains(&pause) {
            self.total += pause;
            *self
                .languages
                .entry(here.last.language.clone())
                .or_default() += pause;
            *self.projects.entry(here.last.project.clone()).or_default() += pause;
        }
    }

    /// Adds the active time of a part. Times cannot overflow: a day has 86,400 seconds or so.
    fn add(&mut self, other: &Self) {
        self.total += other.total;
        let add = |times: &mut BTreeMap<String, Micros>, more: &BTreeMap<String, Micros>| {
            for (name, time) in more {
                *times.entry(name.clone()).or_default() += time;
            }
        };
        add(&mut self.languages, &other.languages);
        add(&mut self.projects, &other.projects);
    }
}

impl Lines {
    fn add(&mut self, other: Self) {
        add(&mut self.added, other.added);
        add(&mut self.removed, other.removed);
    }
}

impl CommitsBy {
    fn add(&mut self, other: &Self) {
        add_each(&mut self.languages, &other.languages);
        add_each(&mut self.projects, &other.projects);
    }
}

impl Tests {
    fn add(&mut self, other: Self) {
        add(&mut self.passed, other.passed);
        add(&mut self.failed, other.failed);
        add(&mut self.skipped, other.skipped);
        add(&mut self.flaky, other.flaky);
    }
}

fn add(sum: &mut u64, more: u64) {
    *sum = sum.saturating_add(more).min(MAX_SUM);
}

fn add_each(sums: &mut BTreeMap<String, u64>, more: &BTreeMap<String, u64>) {
    for (name, more) in more {
        add(sums.entry(name.clone()).or_default(), *more);
    }
}
