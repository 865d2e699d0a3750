//! Which roles give signs of life, and which have stopped. Pure.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use types::time::{Micros, SECOND};

use super::settings::micros;

/// The roles that every Devtrail needs; a process of role `all` has them all.
const NEEDED: [&str; 4] = ["persist", "aggregate", "normalize", "alert"];

/// Looks may be this far apart, whatever is set: signs of life live 15 s (`KV_workers.json`).
const GAP: Micros = 10 * SECOND;

/// A role that is missing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Silent {
    /// The role.
    pub role: String,
    /// When it was seen last, or since when it is looked for.
    pub since: Micros,
    /// For how long, in seconds.
    pub seconds: u64,
    /// Whether that is long enough to say so.
    pub is_long: bool,
}

/// Which roles were seen, and when. Those that are needed are expected from the first look on,
/// others once they were seen.
#[derive(Debug, Clone, Default)]
pub struct Attendance {
    last: BTreeMap<String, Micros>,
    looked: Option<Micros>,
}

impl Attendance {
    /// An alert stands that this role is missing: it is looked for, whoever saw it.
    pub fn expect(&mut self, role: &str, last_seen: Micros) {
        self.last.entry(role.to_owned()).or_insert(last_seen);
    }

    /// These roles are there now; tells which are missing. `after` says when a silence is long.
    ///
    /// Where there was no look for half of that (at least 10 s), such as while NATS was away, nobody had
    /// a chance to be seen: all get a new one.
    pub fn look<'a>(
        &mut self,
        roles: impl IntoIterator<Item = &'a str>,
        after: Duration,
        now: Micros,
    ) -> Vec<Silent> {
        let after = micros(after);
        let in_time = |looked: Micros| now.saturating_sub(looked) <= (after / 2).max(GAP);
        if !self.looked.is_some_and(in_time) {
            self.last.extend(NEEDED.map(|role| (role.to_owned(), now)));
            self.last.values_mut().for_each(|last| *last = now);
        }
        self.looked = Some(now);
        let there: BTreeSet<&str> = roles
            .into_iter()
            .flat_map(|role| {
                if role == "all" {
                    NEEDED.to_vec()
                } else {
                    vec![role]
                }
            })
            .collect();
        self.last
            .extend(there.iter().map(|role| ((*role).to_owned(), now)));
        let missing = self
            .last
            .iter()
            .filter(|(role, _)| !there.contains(role.as_str()));
        missing
            .map(|(role, &since)| {
                let silence = now.saturating_sub(since);
                let seconds = u64::try_from(silence / SECOND).unwrap_or(0);
                Silent {
                    role: role.clone(),
                    since,
                    seconds,
                    is_long: silence >= after,
                }
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const AFTER: Duration = Duration::from_secs(30);

    fn long(silent: &[Silent]) -> Vec<&str> {
        silent
            .iter()
            .filter(|one| one.is_long)
            .map(|one| one.role.as_str())
            .collect()
    }

    #[test]
    fn a_role_that_is_needed_or_was_seen_is_missed_once_its_silence_is_long() {
        let mut attendance = Attendance::default();
        let all = ["persist", "aggregate", "normalize", "alert", "collector"];
        assert_eq!(attendance.look(all, AFTER, 0), []);
        for second in [10, 20] {
            let silent = attendance.look(["persist", "normalize"], AFTER, second * SECOND);
            assert_eq!(
                (silent.len(), long(&silent)),
                (3, vec![]),
                "missing, and not for long"
            );
        }
        let silent = attendance.look(["persist", "normalize"], AFTER, 30 * SECOND);
        assert_eq!(long(&silent), ["aggregate", "alert", "collector"]);
        assert_eq!((silent[0].since, silent[0].seconds), (0, 30));
        let silent = attendance.look(["all"], AFTER, 40 * SECOND);
        assert_eq!(
            long(&silent),
            ["collector"],
            "one process may have all roles"
        );
        let mut fresh = Attendance::default();
        fresh.look(["persist"], AFTER, 0);
        fresh.look(["persist"], AFTER, 15 * SECOND);
        let silent = fresh.look(["persist"], AFTER, 30 * SECOND);
        assert_eq!(
            long(&silent),
            ["aggregate", "alert", "normalize"],
            "no collector was ever seen"
        );
    }

    #[test]
    fn a_role_that_is_expected_is_missed_by_one_who_never_saw_it() {
        let mut fresh = Attendance::default();
        fresh.look(["all"], AFTER, 0);
        fresh.expect("collector", -100 * SECOND);
        let silent = fresh.look(["all"], AFTER, SECOND);
        assert_eq!(
            (long(&silent), silent[0].since),
            (vec!["collector"], -100 * SECOND)
        );
        assert_eq!(fresh.look(["all", "collector"], AFTER, 2 * SECOND), []);
    }

    #[test]
    fn after_a_time_without_a_look_everybody_gets_a_new_chance() {
        let mut attendance = Attendance::default();
        attendance.look(["all", "collector"], AFTER, 0);
        let silent = attendance.look([], AFTER, 100 * SECOND);
        assert_eq!((silent.len(), long(&silent)), (5, vec![]));
        attendance.look([], AFTER, 115 * SECOND);
        assert_eq!(
            attendance
                .look([], AFTER, 130 * SECOND)
                .iter()
                .filter(|one| one.is_long)
                .count(),
            5
        );
    }
}
