//! Folding neighbouring parts of a local day: counts add up, and so does the pause between them.

use std::collections::BTreeMap;

use types::time::Micros;

use super::partial::{Active, CommitsBy, EdgeEvent, IDLE, Lines, Part, Span, Tests};
use super::sums::{add, entry};

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
            self.active.pause(&here.last, there.first.at);
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
    /// Counts the pause between an event and the next one, if it is short enough.
    pub fn pause(&mut self, event: &EdgeEvent, next_at: Micros) {
        let pause = next_at.saturating_sub(event.at);
        if (1..=IDLE).contains(&pause) {
            self.total += pause;
            *entry(&mut self.languages, &event.language) += pause;
            *entry(&mut self.projects, &event.project) += pause;
        }
    }

    /// Adds the active time of a part. Times cannot overflow: a day has 86,400 seconds or so.
    fn add(&mut self, other: &Self) {
        self.total += other.total;
        let add = |times: &mut BTreeMap<String, Micros>, more: &BTreeMap<String, Micros>| {
            for (name, time) in more {
                *entry(times, name) += time;
            }
        };
        add(&mut self.languages, &other.languages);
        add(&mut self.projects, &other.projects);
    }
}

impl Lines {
    /// Adds the lines of what comes next.
    pub fn add(&mut self, other: Self) {
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
    /// Adds the tests of what comes next.
    pub fn add(&mut self, other: Self) {
        add(&mut self.passed, other.passed);
        add(&mut self.failed, other.failed);
        add(&mut self.skipped, other.skipped);
        add(&mut self.flaky, other.flaky);
    }
}

fn add_each(sums: &mut BTreeMap<String, u64>, more: &BTreeMap<String, u64>) {
    for (name, more) in more {
        add(entry(sums, name), *more);
    }
}
