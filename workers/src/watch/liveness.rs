//! Which roles have live processes, and which are silent. Pure.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use types::time::{Micros, SECOND, micros};

/// The roles that every Devtrail needs. A process of role `all` has them all.
const REQUIRED: [&str; 4] = ["persist", "aggregate", "normalize", "alert"];

/// Probes may be this far apart, whatever is set: a heartbeat lives for 15 s (`KV_workers.json`).
const GAP: Micros = 10 * SECOND;

/// A role without a live process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SilentRole {
    pub role: String,
    /// When it was last seen, or since when it is expected.
    pub since: Micros,
    pub seconds: u64,
    /// Whether that is long enough for an alert.
    pub is_overdue: bool,
}

/// When each role was last seen. The required roles are expected from the first probe on, others once they were seen.
#[derive(Debug, Clone, Default)]
pub struct Liveness {
    last_seen: BTreeMap<String, Micros>,
    last_probe: Option<Micros>,
}

impl Liveness {
    /// Expects a role that an open alert names, even if this process has never seen it.
    pub fn expect(&mut self, role: &str, last_seen: Micros) {
        self.last_seen.entry(role.to_owned()).or_insert(last_seen);
    }

    /// Records the roles that are alive now; returns those that are not. A silence is overdue after `after`.
    ///
    /// If there was no probe for half of that (at least 10 s), such as while NATS was away, nobody had a chance to be
    /// seen: the silence of all begins again.
    pub fn probe<'a>(
        &mut self,
        roles: impl IntoIterator<Item = &'a str>,
        after: Duration,
        now: Micros,
    ) -> Vec<SilentRole> {
        let after = micros(after);
        let in_time = |last: Micros| now.saturating_sub(last) <= (after / 2).max(GAP);
        if !self.last_probe.is_some_and(in_time) {
            self.last_seen
                .extend(REQUIRED.map(|role| (role.to_owned(), now)));
            self.last_seen.values_mut().for_each(|last| *last = now);
        }
        self.last_probe = Some(now);
        let alive: BTreeSet<&str> = roles
            .into_iter()
            .flat_map(|role| {
                if role == "all" {
                    REQUIRED.to_vec()
                } else {
                    vec![role]
                }
            })
            .collect();
        self.last_seen
            .extend(alive.iter().map(|role| ((*role).to_owned(), now)));
        let missing = self
            .last_seen
            .iter()
            .filter(|(role, _)| !alive.contains(role.as_str()));
        missing
            .map(|(role, &since)| {
                let silence = now.saturating_sub(since);
                let seconds = u64::try_from(silence / SECOND).unwrap_or(0);
                SilentRole {
                    role: role.clone(),
                    since,
                    seconds,
                    is_overdue: silence >= after,
                }
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const AFTER: Duration = Duration::from_secs(30);

    fn overdue(silent: &[SilentRole]) -> Vec<&str> {
        silent
            .iter()
            .filter(|one| one.is_overdue)
            .map(|one| one.role.as_str())
            .collect()
    }

    #[test]
    fn an_expected_role_is_overdue_after_a_long_silence() {
        let mut liveness = Liveness::default();
        let all = ["persist", "aggregate", "normalize", "alert", "collector"];
        assert_eq!(liveness.probe(all, AFTER, 0), []);
        for second in [10, 20] {
            let silent = liveness.probe(["persist", "normalize"], AFTER, second * SECOND);
            assert_eq!(
                (silent.len(), overdue(&silent)),
                (3, vec![]),
                "missing, and not for long"
            );
        }
        let silent = liveness.probe(["persist", "normalize"], AFTER, 30 * SECOND);
        assert_eq!(overdue(&silent), ["aggregate", "alert", "collector"]);
        assert_eq!((silent[0].since, silent[0].seconds), (0, 30));
        let silent = liveness.probe(["all"], AFTER, 40 * SECOND);
        assert_eq!(
            overdue(&silent),
            ["collector"],
            "one process may have all roles"
        );
        let mut fresh = Liveness::default();
        fresh.probe(["persist"], AFTER, 0);
        fresh.probe(["persist"], AFTER, 15 * SECOND);
        let silent = fresh.probe(["persist"], AFTER, 30 * SECOND);
        assert_eq!(
            overdue(&silent),
            ["aggregate", "alert", "normalize"],
            "no collector was ever seen"
        );
    }

    #[test]
    fn a_role_that_an_alert_names_is_expected_unseen() {
        let mut fresh = Liveness::default();
        fresh.probe(["all"], AFTER, 0);
        fresh.expect("collector", -100 * SECOND);
        let silent = fresh.probe(["all"], AFTER, SECOND);
        assert_eq!(
            (overdue(&silent), silent[0].since),
            (vec!["collector"], -100 * SECOND)
        );
        assert_eq!(fresh.probe(["all", "collector"], AFTER, 2 * SECOND), []);
    }

    #[test]
    fn after_a_gap_between_probes_all_silences_begin_again() {
        let mut liveness = Liveness::default();
        liveness.probe(["all", "collector"], AFTER, 0);
        let silent = liveness.probe([], AFTER, 100 * SECOND);
        assert_eq!((silent.len(), overdue(&silent)), (5, vec![]));
        liveness.probe([], AFTER, 115 * SECOND);
        assert_eq!(
            liveness
                .probe([], AFTER, 130 * SECOND)
                .iter()
                .filter(|one| one.is_overdue)
                .count(),
            5
        );
    }
}
