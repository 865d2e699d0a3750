//! What a rule's finding, or its silence, makes of an alert. Pure.

use crate::alert_outbox::AlertRevision;
use crate::effects::{Finding, JobDone, RuleWindow};
use crate::error::StoreError;
use crate::row::{Row, flag};
use crate::sql::shared_sql;

/// A row of `alerts`, but for what of it is published.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Alert {
    pub alert_id: String,
    pub developer: String,
    pub rule: String,
    /// First local day of the window.
    pub window_start: String,
    pub severity: String,
    /// A sentence for the developer.
    pub title: String,
    /// The alert as JSON.
    pub body: String,
    /// Whether it is raised, not retracted.
    pub is_raised: bool,
    /// Rises with each change of the state, from 0.
    pub revision: i64,
    /// Whether it is news.
    pub push: bool,
    /// The replay that raised it first: it is never delivered.
    pub replay_id: Option<String>,
}

/// What is to be written of an alert.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AlertChange {
    /// The row as it is to be.
    pub alert: Alert,
    /// Whether its state changed: another revision.
    pub is_revision: bool,
    /// Whether the revision is never delivered.
    pub is_silent: bool,
}

/// Decides what is to be written of a window's alerts. `current` has those of its findings, as they are, and all of it
/// that are raised; others are passed over.
pub fn changes(current: &[Alert], window: &RuleWindow) -> Vec<AlertChange> {
    let of_window = |alert: &&Alert| {
        (&alert.developer, &alert.rule, &alert.window_start)
            == (&window.developer, &window.rule, &window.window_start)
    };
    let is_found =
        |alert: &Alert| (window.findings.iter()).any(|finding| finding.alert_id == alert.alert_id);
    let found = window.findings.iter().filter_map(|finding| {
        let before = (current.iter()).find(|alert| alert.alert_id == finding.alert_id);
        change(before, Some(finding), window)
    });
    let gone = current
        .iter()
        .filter(of_window)
        .filter(|alert| !is_found(alert));
    found
        .chain(gone.filter_map(|alert| change(Some(alert), None, window)))
        .collect()
}

/// Decides; `None` if nothing is to be written. `current` is the alert as it is.
fn change(
    current: Option<&Alert>,
    finding: Option<&Finding>,
    window: &RuleWindow,
) -> Option<AlertChange> {
    let is_replay = window.replay_id.is_some();
    let is_silent = is_replay || current.is_some_and(|alert| alert.replay_id.is_some());
    let alert = match (current, finding) {
        (None, None) => return None,
        (Some(alert), None) => {
            if !alert.is_raised {
                return None;
            }
            let push = alert.push && !is_silent;
            Alert {
                is_raised: false,
                revision: alert.revision + 1,
                push,
                ..alert.clone()
            }
        }
        (current, Some(finding)) => {
            let again = current.is_none_or(|alert| !alert.is_raised);
            let push = if again {
                finding.push && !is_silent
            } else {
                current.is_some_and(|alert| alert.push)
            };
            let revision = current.map_or(0, |alert| alert.revision + i64::from(again));
            Alert {
                alert_id: finding.alert_id.clone(),
                developer: window.developer.clone(),
                rule: window.rule.clone(),
                window_start: window.window_start.clone(),
                severity: finding.severity.clone(),
                title: finding.title.clone(),
                body: finding.body.clone(),
                is_raised: true,
                revision,
                push,
                replay_id: current
                    .map_or(window.replay_id.clone(), |alert| alert.replay_id.clone()),
            }
        }
    };
    let is_revision = current.is_none_or(|current| current.revision != alert.revision);
    Some(AlertChange {
        alert,
        is_revision,
        is_silent,
    })
}

impl Alert {
    /// The state as the store names it.
    pub fn state(&self) -> &'static str {
        if self.is_raised {
            "raised"
        } else {
            "retracted"
        }
    }
}

impl AlertChange {
    /// What of the alert counts as published without having been: a silent revision does, so that
    /// the outbox never finds it. Less than any revision for all others.
    pub fn published(&self) -> i64 {
        if self.is_revision && self.is_silent {
            self.alert.revision
        } else {
            -1
        }
    }

    /// The revision that ALERTS must have; `None` if there is none, or it is never delivered.
    pub fn to_publish(&self, window: &RuleWindow) -> Option<AlertRevision> {
        (self.is_revision && !self.is_silent).then(|| AlertRevision {
            alert_id: self.alert.alert_id.clone(),
            revision: self.alert.revision,
            developer: self.alert.developer.clone(),
            severity: self.alert.severity.clone(),
            state: self.alert.state().to_owned(),
            push: self.alert.push,
            body: self.alert.body.clone(),
            correlation_id: window.correlation_id.clone(),
        })
    }
}

shared_sql! {
    ALERT = "SELECT alert_id, developer, rule, window_start, severity, title, body, state = 'raised', revision,
          push, replay_id
        FROM alerts WHERE alert_id = $1";
    RAISED_ALERTS = "SELECT alert_id, developer, rule, window_start, severity, title, body, state = 'raised',
          revision, push, replay_id
        FROM alerts WHERE developer = $1 AND rule = $2 AND window_start = $3 AND state = 'raised'";
}

impl Alert {
    /// From the columns of [`ALERT`].
    pub fn decode(row: &impl Row) -> Result<Self, StoreError> {
        Ok(Self {
            alert_id: row.value(0)?,
            developer: row.value(1)?,
            rule: row.value(2)?,
            window_start: row.value(3)?,
            severity: row.value(4)?,
            title: row.value(5)?,
            body: row.value(6)?,
            is_raised: row.value(7)?,
            revision: row.value(8)?,
            push: flag(row, 9)?,
            replay_id: row.value(10)?,
        })
    }
}

/// The job that looked at the window: it says who did it and when.
///
/// # Errors
/// Returns `StoreError::Failed` if none of `jobs` is of the window's batch and replay: a defect of the caller.
pub fn job_of<'a>(window: &RuleWindow, jobs: &'a [JobDone]) -> Result<&'a JobDone, StoreError> {
    let its = |done: &&JobDone| {
        done.job.body.batch == window.batch && done.job.replay_id == window.replay_id
    };
    jobs.iter().find(its).ok_or_else(|| {
        StoreError::Failed(format!(
            "rule {} names batch {} for the window of {}, but no job of that batch is finished with it",
            window.rule, window.batch, window.window_start
        ))
    })
}

#[cfg(test)]
mod tests {
    use types::id::BatchRef;

    use super::*;

    fn window(finds: bool, replay: bool) -> RuleWindow {
        let text = |text: &str| text.to_owned();
        let finding = Finding {
            alert_id: text("a1"),
            severity: text("high"),
            title: text("t"),
            body: text("{}"),
            push: true,
        };
        RuleWindow {
            developer: text("ada"),
            rule: text("r"),
            window_start: text("2026-03-01"),
            generation: 1,
            version: 1,
            findings: Vec::from_iter(finds.then_some(finding)),
            batch: BatchRef { src: 1, seq: 2 },
            correlation_id: text("c"),
            replay_id: replay.then(|| text("replay")),
        }
    }

    /// What the changes come to one after the other: state, revision, push, published.
    fn story(windows: &[(bool, bool)]) -> Vec<Option<(&'static str, i64, bool, bool)>> {
        let mut current: Option<Alert> = None;
        let mut changes = Vec::new();
        for (finds, replay) in windows {
            let window = window(*finds, *replay);
            let before = Vec::from_iter(current.clone());
            let change = super::changes(&before, &window).pop();
            changes.push(change.as_ref().map(|change| {
                let alert = &change.alert;
                (
                    alert.state(),
                    alert.revision,
                    alert.push,
                    change.to_publish(&window).is_some(),
                )
            }));
            current = change.map(|change| change.alert).or(current);
        }
        changes
    }

    #[test]
    fn only_changes_of_state_are_revisions_and_are_published() {
        let changes = story(&[
            (false, false),
            (true, false),
            (true, false),
            (false, false),
            (true, false),
        ]);
        let expected = [
            None,
            Some(("raised", 0, true, true)),
            Some(("raised", 0, true, false)),
            Some(("retracted", 1, true, true)),
            Some(("raised", 2, true, true)),
        ];
        assert_eq!(changes, expected);
        assert_eq!(
            story(&[(true, false), (false, false), (false, false)])[2],
            None
        );
    }

    #[test]
    fn only_a_silent_revision_counts_as_published_at_once() {
        let one = |current: &[Alert], window: &RuleWindow| changes(current, window).pop().unwrap();
        let raised = |replay| one(&[], &window(true, replay));
        assert_eq!(
            (raised(false).published(), raised(true).published()),
            (-1, 0)
        );
        // Found again by a replay: nothing new to keep silent about, and the live revision still goes out.
        let refreshed = one(&[raised(false).alert], &window(true, true));
        assert_eq!((refreshed.is_revision, refreshed.published()), (false, -1));
        let retracted = one(&[raised(true).alert], &window(false, false));
        assert_eq!((retracted.alert.revision, retracted.published()), (1, 1));
    }

    #[test]
    fn a_window_may_have_several_alerts_and_loses_those_not_found_again() {
        let finding = |id: &str| Finding {
            alert_id: id.to_owned(),
            ..window(true, false).findings.remove(0)
        };
        let found = |ids: &[&str]| RuleWindow {
            findings: ids.iter().copied().map(finding).collect(),
            ..window(true, false)
        };
        let mut stored: Vec<Alert> = Vec::new();
        let mut states = Vec::new();
        for ids in [&["a", "b"][..], &["b", "c"], &[], &["a"]] {
            for change in changes(&stored, &found(ids)) {
                stored.retain(|alert| alert.alert_id != change.alert.alert_id);
                stored.push(change.alert);
            }
            stored.sort_by(|one, other| one.alert_id.cmp(&other.alert_id));
            let state = |alert: &Alert| format!("{}{}", alert.alert_id, alert.revision);
            states.push(stored.iter().map(state).collect::<Vec<_>>().join(" "));
        }
        assert_eq!(states, ["a0 b0", "a1 b0 c0", "a1 b1 c1", "a2 b1 c1"]);
        // An alert of another window is another one's.
        let other = Alert {
            window_start: "2026-03-02".to_owned(),
            is_raised: true,
            ..stored.remove(1)
        };
        assert_eq!(changes(&[other], &found(&[])), []);
    }

    #[test]
    fn what_a_replay_found_is_never_delivered() {
        let changes = story(&[(true, true), (true, false), (false, false), (true, false)]);
        let expected = [
            Some(("raised", 0, false, false)),
            Some(("raised", 0, false, false)),
            Some(("retracted", 1, false, false)),
            Some(("raised", 2, false, false)),
        ];
        assert_eq!(changes, expected);
    }
}
