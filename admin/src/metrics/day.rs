//! A day's metrics as they are stored, read for people. Pure.

use std::collections::BTreeMap;

use anyhow::Context as _;
use serde::Deserialize;
use serde_json::{Map, Value};

/// A local day of a developer.
#[derive(Debug, Clone)]
pub struct Day {
    /// `YYYY-MM-DD`.
    pub day: String,
    /// All that was computed of it.
    pub body: Map<String, Value>,
    /// The part that tables show.
    pub sums: Sums,
}

/// What tables show of a day, or of several. What a day's body leaves out counts as zero.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Sums {
    /// Time spent, in seconds.
    pub active_seconds: u64,
    /// Edits of files.
    pub edits: u64,
    /// Files saved.
    pub saves: u64,
    /// Commits.
    pub commits: u64,
    /// Terminal commands.
    pub commands: u64,
    /// Lines added by edits.
    pub lines_added: u64,
    /// Lines removed by edits.
    pub lines_removed: u64,
    /// Lines added by commits.
    pub commit_lines_added: u64,
    /// Lines removed by commits.
    pub commit_lines_removed: u64,
    /// Builds by outcome.
    pub builds: BTreeMap<String, u64>,
    /// Tests by outcome (`passed`, `failed`, `skipped`, …), summed over their runs.
    pub tests: BTreeMap<String, u64>,
    /// Time and commits by language.
    pub languages: Vec<Share>,
    /// Time and commits by project.
    pub projects: Vec<Share>,
}

/// The part of a language or project.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Share {
    /// The language or the project, as it is shown.
    pub name: String,
    /// The project's key: the same for all its spellings. A language has none.
    #[serde(default)]
    pub key: Option<String>,
    /// How long, in seconds.
    pub seconds: u64,
    /// Commits in it.
    #[serde(default)]
    pub commits: u64,
}

impl Day {
    /// Reads a stored day.
    ///
    /// # Errors
    /// Returns an error if its body is not a day of this version.
    pub fn read(day: String, body: &str) -> anyhow::Result<Self> {
        let damaged = || format!("The stored metrics of {day} cannot be read");
        let body: Map<String, Value> = serde_json::from_str(body).with_context(damaged)?;
        let sums = Sums::deserialize(&Value::Object(body.clone())).with_context(damaged)?;
        Ok(Self { day, body, sums })
    }

    /// Whether the day has no event any more: they turned out to belong to other days.
    pub fn is_empty(&self) -> bool {
        self.body.get("events").and_then(Value::as_u64) == Some(0)
    }
}

impl Share {
    /// What tells it from others.
    fn identity(&self) -> &str {
        self.key.as_deref().unwrap_or(&self.name)
    }
}

impl Sums {
    /// Adds another day.
    pub fn add(&mut self, other: &Self) {
        self.active_seconds += other.active_seconds;
        self.edits += other.edits;
        self.saves += other.saves;
        self.commits += other.commits;
        self.commands += other.commands;
        self.lines_added += other.lines_added;
        self.lines_removed += other.lines_removed;
        self.commit_lines_added += other.commit_lines_added;
        self.commit_lines_removed += other.commit_lines_removed;
        let outcomes = [
            (&mut self.builds, &other.builds),
            (&mut self.tests, &other.tests),
        ];
        for (sums, counts) in outcomes {
            for (outcome, count) in counts {
                *sums.entry(outcome.clone()).or_default() += count;
            }
        }
        let shares = [
            (&mut self.languages, &other.languages),
            (&mut self.projects, &other.projects),
        ];
        for (sums, shares) in shares {
            for share in shares {
                match sums
                    .iter_mut()
                    .find(|sum| sum.identity() == share.identity())
                {
                    Some(sum) => {
                        sum.seconds += share.seconds;
                        sum.commits += share.commits;
                        // Days are added in their order: the latest spelling is shown.
                        sum.name.clone_from(&share.name);
                    }
                    None => sums.push(share.clone()),
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_project_is_summed_by_key_and_shown_as_last_written() {
        let day = |name: &str, key: &str| {
            let body =
                format!(r#"{{"projects": [{{"name": "{name}", "key": "{key}", "seconds": 60}}]}}"#);
            Day::read("2026-03-01".to_owned(), &body).unwrap().sums
        };
        let mut sums = day("my-app", "my-app");
        sums.add(&day("項目甲", "b0a92181"));
        sums.add(&day("My App", "my-app"));
        let shown: Vec<_> = sums
            .projects
            .iter()
            .map(|share| (share.name.as_str(), share.seconds))
            .collect();
        assert_eq!(shown, [("My App", 120), ("項目甲", 60)]);
    }

    #[test]
    fn what_a_body_leaves_out_is_zero_and_a_damaged_one_is_named() {
        let day = Day::read("2026-03-01".to_owned(), r#"{"edits": 2, "events": 9}"#).unwrap();
        assert_eq!(
            day.sums,
            Sums {
                edits: 2,
                ..Sums::default()
            }
        );
        assert!(
            !day.is_empty()
                && Day::read("2026-03-01".to_owned(), r#"{"events": 0}"#)
                    .unwrap()
                    .is_empty()
        );
        let error = Day::read("2026-03-01".to_owned(), "[]").unwrap_err();
        assert!(error.to_string().contains("2026-03-01"), "{error}");
    }
}
