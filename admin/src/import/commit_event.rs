//! A commit as the event that tells of it. Pure: the same commit always gives the same bytes, so that
//! importing it twice is a duplicate.

use jiff::Timestamp;
use jiff::tz::Offset;
use serde::Serialize;
use serde_json::value::{RawValue, to_raw_value};

use super::git_log::{Commit, When};

/// The first and the last second that is written as it is: what RFC 3339 can write at any offset. Others
/// are as implausible to a collector as these two.
const WRITTEN: (i64, i64) = (0, 253_402_000_000);

#[derive(Serialize)]
struct Event<'a> {
    id: String,
    #[serde(rename = "type")]
    kind: &'static str,
    schema_version: &'static str,
    /// When the work was done; a rebase changes only when it was committed.
    occurred_at: String,
    data: Data<'a>,
}

/// `common/schemas/1.0/git.commit.json`. There is no `branch`: git does not keep on which one a commit was
/// made, and an event must not change with what is checked out.
#[derive(Serialize)]
struct Data<'a> {
    project: &'a str,
    commit: &'a str,
    committed_at: String,
    parents: u32,
    files_changed: u64,
    lines_added: u64,
    lines_removed: u64,
    paths: &'a [String],
    /// The author's time as git has it, if it cannot be written as a time.
    #[serde(skip_serializing_if = "Option::is_none")]
    author_time: Option<String>,
}

/// The event of a commit of `project`.
///
/// # Errors
/// Returns the `serde_json::Error` if it cannot be written as JSON, which does not happen in practice.
pub fn event(commit: &Commit, project: &str) -> serde_json::Result<Box<RawValue>> {
    let occurred_at = written(commit.authored);
    to_raw_value(&Event {
        id: format!("git-{}", commit.hash),
        kind: "git.commit",
        schema_version: "1.0",
        occurred_at: occurred_at
            .clone()
            .unwrap_or_else(|| nearest(commit.authored)),
        data: Data {
            project,
            commit: &commit.hash,
            committed_at: written(commit.committed).unwrap_or_else(|| nearest(commit.committed)),
            parents: commit.parents,
            files_changed: commit.files_changed,
            lines_added: commit.lines_added,
            lines_removed: commit.lines_removed,
            paths: &commit.paths,
            author_time: match occurred_at {
                Some(_) => None,
                None => Some(format!(
                    "{} {:+05}",
                    commit.authored.seconds, commit.authored.offset
                )),
            },
        },
    })
}

/// The day of the moment as an event has it: on the clock that it was written by.
pub fn day(when: When) -> String {
    let written = written(when).unwrap_or_else(|| nearest(when));
    written.chars().take(10).collect()
}

/// The moment with its own offset; `None` if RFC 3339 has no way to write it.
fn written(when: When) -> Option<String> {
    let hours = when.offset / 100;
    let minutes = when.offset % 100;
    if hours.abs() > 23 || minutes.abs() > 59 || !(WRITTEN.0..=WRITTEN.1).contains(&when.seconds) {
        return None;
    }
    let offset = Offset::from_seconds(hours * 3600 + minutes * 60).ok()?;
    Some(
        Timestamp::from_second(when.seconds)
            .ok()?
            .display_with_offset(offset)
            .to_string(),
    )
}

/// The moment in UTC, moved to the nearest one that can be written.
fn nearest(when: When) -> String {
    let seconds = when.seconds.clamp(WRITTEN.0, WRITTEN.1);
    Timestamp::from_second(seconds)
        .unwrap_or(Timestamp::UNIX_EPOCH)
        .to_string()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::Value;
    use types::schema::Schemas;
    use types::time::parse_rfc3339;

    use super::*;

    fn commit(seconds: i64, offset: i32) -> Commit {
        let when = When { seconds, offset };
        Commit {
            hash: "0b62959dd9e3d111ec8b86cf2fedb7ff66eb7c37".to_owned(),
            authored: when,
            committed: when,
            ..Commit::default()
        }
    }

    fn value(commit: &Commit) -> Value {
        serde_json::from_str(event(commit, "demo").unwrap().get()).unwrap()
    }

    #[test]
    fn an_event_has_the_author_s_own_time_and_the_commit_s() {
        let mut one = commit(1_720_000_000, -330);
        one.committed = When {
            seconds: 1_720_000_060,
            offset: 200,
        };
        let event = value(&one);
        assert_eq!(event["id"], format!("git-{}", one.hash));
        assert_eq!(event["occurred_at"], "2024-07-03T06:16:40-03:30");
        assert_eq!(event["data"]["committed_at"], "2024-07-03T11:47:40+02:00");
        assert!(
            event["data"].get("author_time").is_none() && event["data"].get("branch").is_none()
        );
    }

    #[test]
    fn the_day_is_that_of_the_clock_that_wrote_it() {
        let seconds = 1_763_577_900; // 2025-11-19T18:45:00Z
        for (offset, expected) in [
            (530, "2025-11-20"),
            (0, "2025-11-19"),
            (-1000, "2025-11-19"),
            (1400, "2025-11-20"),
            (7530, "2025-11-19"),
        ] {
            assert_eq!(day(When { seconds, offset }), expected, "{offset}");
        }
    }

    #[test]
    fn a_time_that_cannot_be_written_is_moved_and_kept_beside() {
        let far = value(&commit(i64::MAX, 100));
        assert_eq!(far["data"]["author_time"], format!("{} +0100", i64::MAX));
        assert!(
            far["occurred_at"]
                .as_str()
                .unwrap()
                .starts_with("9999-12-28T"),
            "{far}"
        );
        // Only the offset is wrong: the instant is kept.
        let odd = value(&commit(1_720_000_000, 7530));
        assert_eq!(
            (&odd["occurred_at"], &odd["data"]["author_time"]),
            (&"2024-07-03T09:46:40Z".into(), &"1720000000 +7530".into())
        );
    }

    proptest! {
        #[test]
        fn every_commit_is_an_event_of_the_schema(
            seconds in any::<i64>(), offset in any::<i32>(), near in 0_i64..4_000_000_000
        ) {
            let schemas = Schemas::builtin();
            let version = "1.0".parse().unwrap();
            let schema = schemas.get("git.commit", version).unwrap();
            for commit in [commit(seconds, offset), commit(near, offset % 2400)] {
                let event = value(&commit);
                prop_assert!(parse_rfc3339(event["occurred_at"].as_str().unwrap()).is_some(), "{}", event);
                prop_assert_eq!(schema.check(&(&event).into()), Ok(()));
            }
        }
    }
}
