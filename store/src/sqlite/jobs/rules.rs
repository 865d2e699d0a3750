//! What alert jobs leave: which windows were looked at, and the alerts that stand or stood.

use rusqlite::{Connection, OptionalExtension, Row, params};

use crate::alerting::{Alert, Change, change, job_of};
use crate::sqlite::audit::{self, Keep};
use crate::sqlite::batches;
use crate::{AlertRevision, JobDone, RuleWindow, StoreError, steps};

const WINDOW: &str = "INSERT INTO rule_windows (developer, rule, window_start, computed_gen, version)
    VALUES (?1, ?2, ?3, ?4, ?5)
    ON CONFLICT (developer, rule, window_start) DO UPDATE SET
      computed_gen = excluded.computed_gen, version = excluded.version
    WHERE rule_windows.computed_gen < excluded.computed_gen OR rule_windows.version < excluded.version";
const STANDING: &str =
    "SELECT alert_id, developer, rule, window_start, severity, title, body, state = 'raised', revision,
      push, replay_id
    FROM alerts WHERE alert_id = ?1";
const RAISED_IN: &str =
    "SELECT alert_id, developer, rule, window_start, severity, title, body, state = 'raised', revision,
      push, replay_id
    FROM alerts WHERE developer = ?1 AND rule = ?2 AND window_start = ?3 AND state = 'raised'";
/// What is published only rises; of a silent revision it is the revision itself.
const WRITE: &str = "INSERT INTO alerts
    (alert_id, developer, rule, window_start, severity, title, body, state, revision, published, push,
     replay_id, src, seq, correlation_id)
    VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15)
    ON CONFLICT (alert_id) DO UPDATE SET
      severity = excluded.severity, title = excluded.title, body = excluded.body, state = excluded.state,
      revision = excluded.revision, published = max(alerts.published, excluded.published),
      push = excluded.push, src = excluded.src, seq = excluded.seq, correlation_id = excluded.correlation_id";

/// Writes what is newer than what is there; gives the revisions that are to be published.
pub fn write(
    connection: &Connection,
    windows: &[RuleWindow],
    jobs: &[JobDone],
) -> Result<Vec<AlertRevision>, StoreError> {
    let mut windows: Vec<&RuleWindow> = windows.iter().collect();
    windows.sort_by_key(|window| (&window.developer, &window.rule, &window.window_start));
    let mut revisions = Vec::new();
    for window in windows {
        let job = job_of(window, jobs)?;
        let looked = connection.prepare_cached(WINDOW)?.execute(params![
            window.developer,
            window.rule,
            window.window_start,
            window.generation,
            window.version
        ])?;
        if looked == 0 {
            continue;
        }
        let Some(change) = change(standing(connection, window)?.as_ref(), window) else {
            continue;
        };
        write_alert(connection, &change, window)?;
        if change.is_revision {
            let known = batches::is_known(connection, job.job.body.batch)?;
            audit::append(
                connection,
                &[steps::alerted(&change.alert, job)],
                Keep::of(known),
            )?;
        }
        revisions.extend(change.to_publish(window));
    }
    Ok(revisions)
}

/// The alert that the window may change.
fn standing(connection: &Connection, window: &RuleWindow) -> Result<Option<Alert>, StoreError> {
    let found = match &window.finding {
        Some(finding) => connection
            .prepare_cached(STANDING)?
            .query_row([&finding.alert_id], alert),
        None => {
            let key = params![window.developer, window.rule, window.window_start];
            connection.prepare_cached(RAISED_IN)?.query_row(key, alert)
        }
    };
    Ok(found.optional()?)
}

fn alert(row: &Row<'_>) -> rusqlite::Result<Alert> {
    Ok(Alert {
        alert_id: row.get(0)?,
        developer: row.get(1)?,
        rule: row.get(2)?,
        window_start: row.get(3)?,
        severity: row.get(4)?,
        title: row.get(5)?,
        body: row.get(6)?,
        is_raised: row.get(7)?,
        revision: row.get(8)?,
        push: row.get(9)?,
        replay_id: row.get(10)?,
    })
}

fn write_alert(
    connection: &Connection,
    change: &Change,
    window: &RuleWindow,
) -> Result<(), StoreError> {
    let alert = &change.alert;
    connection.prepare_cached(WRITE)?.execute(params![
        alert.alert_id,
        alert.developer,
        alert.rule,
        alert.window_start,
        alert.severity,
        alert.title,
        alert.body,
        alert.state(),
        alert.revision,
        change.published(),
        alert.push,
        alert.replay_id,
        window.batch.src,
        window.batch.seq as i64,
        window.correlation_id
    ])?;
    Ok(())
}
