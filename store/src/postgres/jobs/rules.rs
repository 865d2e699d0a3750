//! What alert jobs leave: which windows were looked at, and the alerts that stand or stood.

use std::collections::{BTreeMap, BTreeSet};

use deadpool_postgres::Transaction;
use tokio_postgres::Row;

use super::newest::newest;
use crate::alerting::{Alert, Change, change, job_of};
use crate::audit::AuditRow;
use crate::postgres::trouble::Trouble;
use crate::postgres::{column, execute, rows};
use crate::{AlertRevision, JobDone, RuleWindow, steps};

/// The guard, and the lock that keeps a window's alert to one writer.
const WINDOWS: &str = "INSERT INTO rule_windows (developer, rule, window_start, computed_gen, version)
    SELECT * FROM unnest($1::text[], $2::text[], $3::text[], $4::bigint[], $5::integer[])
    ON CONFLICT (developer, rule, window_start) DO UPDATE SET
      computed_gen = excluded.computed_gen, version = excluded.version
    WHERE rule_windows.computed_gen < excluded.computed_gen OR rule_windows.version < excluded.version
    RETURNING developer, rule, window_start";
const STANDING: &str =
    "SELECT alert_id, developer, rule, window_start, severity, title, body, state = 'raised', revision,
      push, replay_id
    FROM alerts WHERE alert_id = ANY($1)";
const RAISED_IN: &str = "SELECT a.alert_id, a.developer, a.rule, a.window_start, a.severity, a.title, a.body,
      a.state = 'raised', a.revision, a.push, a.replay_id
    FROM unnest($1::text[], $2::text[], $3::text[]) k (developer, rule, window_start)
    JOIN alerts a ON a.developer = k.developer AND a.window_start = k.window_start AND a.rule = k.rule
    WHERE a.state = 'raised'";
/// What is published only rises; of a silent revision it is the revision itself.
const WRITE: &str = "INSERT INTO alerts
    (alert_id, developer, rule, window_start, severity, title, body, state, revision, published, push,
     replay_id, src, seq, correlation_id)
    SELECT * FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[],
        $8::text[], $9::bigint[], $10::bigint[], $11::integer[], $12::text[], $13::bigint[], $14::bigint[],
        $15::text[])
    ON CONFLICT (alert_id) DO UPDATE SET
      severity = excluded.severity, title = excluded.title, body = excluded.body, state = excluded.state,
      revision = excluded.revision, published = greatest(alerts.published, excluded.published),
      push = excluded.push, src = excluded.src, seq = excluded.seq, correlation_id = excluded.correlation_id";

/// A changed alert with the window that changed it.
type Changed<'a> = (Change, &'a RuleWindow);

/// Writes what is newer than what is there; gives the revisions to publish, and the audit.
pub async fn write(
    tx: &Transaction<'_>,
    windows: &[RuleWindow],
    jobs: &[JobDone],
) -> Result<(Vec<AlertRevision>, Vec<AuditRow>), Trouble> {
    let is_newer = |new: &RuleWindow, old: &RuleWindow| {
        old.generation < new.generation || old.version < new.version
    };
    let windows = newest(windows, key, is_newer);
    let jobs: Vec<&JobDone> = windows
        .iter()
        .map(|window| job_of(window, jobs))
        .collect::<Result<_, _>>()?;
    let looked = look(tx, &windows).await?;
    let looked: Vec<_> = windows
        .into_iter()
        .zip(jobs)
        .filter(|(window, _)| looked.contains(&owned(key(window))))
        .collect();
    let standing = standing(tx, &looked).await?;
    let mut changes: BTreeMap<String, Changed<'_>> = BTreeMap::new();
    let (mut revisions, mut trail) = (Vec::new(), Vec::new());
    for (window, job) in looked {
        let of_window = |alert: &&Alert| match &window.finding {
            Some(finding) => alert.alert_id == finding.alert_id,
            None => {
                alert.is_raised
                    && (&alert.developer, &alert.rule, &alert.window_start) == key(window)
            }
        };
        let Some(change) = change(standing.iter().find(of_window), window) else {
            continue;
        };
        if change.is_revision {
            trail.push(steps::alerted(&change.alert, job));
        }
        revisions.extend(change.to_publish(window));
        changes.insert(change.alert.alert_id.clone(), (change, window));
    }
    write_alerts(tx, &changes.into_values().collect::<Vec<_>>()).await?;
    Ok((revisions, trail))
}

fn key(window: &RuleWindow) -> (&String, &String, &String) {
    (&window.developer, &window.rule, &window.window_start)
}

fn owned(key: (&String, &String, &String)) -> (String, String, String) {
    (key.0.clone(), key.1.clone(), key.2.clone())
}

/// Enters the windows where they are newer; gives the keys of those.
async fn look(
    tx: &Transaction<'_>,
    windows: &[&RuleWindow],
) -> Result<BTreeSet<(String, String, String)>, Trouble> {
    let entered = rows(
        tx,
        WINDOWS,
        &[
            &column(windows, |window| window.developer.as_str()),
            &column(windows, |window| window.rule.as_str()),
            &column(windows, |window| window.window_start.as_str()),
            &column(windows, |window| window.generation),
            &column(windows, |window| window.version),
        ],
    )
    .await?;
    entered
        .iter()
        .map(|row| Ok((row.try_get(0)?, row.try_get(1)?, row.try_get(2)?)))
        .collect()
}

/// The alerts that the windows may change.
async fn standing(
    tx: &Transaction<'_>,
    looked: &[(&RuleWindow, &JobDone)],
) -> Result<Vec<Alert>, Trouble> {
    let finding = |(window, _): &(&'_ RuleWindow, _)| {
        window.finding.as_ref().map(|found| found.alert_id.clone())
    };
    let found: Vec<String> = looked.iter().filter_map(finding).collect();
    let silent: Vec<&RuleWindow> = looked
        .iter()
        .map(|(window, _)| *window)
        .filter(|window| window.finding.is_none())
        .collect();
    let mut standing = Vec::new();
    if !found.is_empty() {
        standing.extend(rows(tx, STANDING, &[&found]).await?);
    }
    if !silent.is_empty() {
        let developers = column(&silent, |window| window.developer.as_str());
        let rules = column(&silent, |window| window.rule.as_str());
        let starts = column(&silent, |window| window.window_start.as_str());
        standing.extend(rows(tx, RAISED_IN, &[&developers, &rules, &starts]).await?);
    }
    standing.iter().map(alert).collect()
}

fn alert(row: &Row) -> Result<Alert, Trouble> {
    Ok(Alert {
        alert_id: row.try_get(0)?,
        developer: row.try_get(1)?,
        rule: row.try_get(2)?,
        window_start: row.try_get(3)?,
        severity: row.try_get(4)?,
        title: row.try_get(5)?,
        body: row.try_get(6)?,
        is_raised: row.try_get(7)?,
        revision: row.try_get(8)?,
        push: row.try_get::<_, i32>(9)? != 0,
        replay_id: row.try_get(10)?,
    })
}

/// Writes the alerts, by id.
async fn write_alerts(tx: &Transaction<'_>, changes: &[Changed<'_>]) -> Result<(), Trouble> {
    if changes.is_empty() {
        return Ok(());
    }
    execute(
        tx,
        WRITE,
        &[
            &column(changes, |(change, _)| change.alert.alert_id.as_str()),
            &column(changes, |(change, _)| change.alert.developer.as_str()),
            &column(changes, |(change, _)| change.alert.rule.as_str()),
            &column(changes, |(change, _)| change.alert.window_start.as_str()),
            &column(changes, |(change, _)| change.alert.severity.as_str()),
            &column(changes, |(change, _)| change.alert.title.as_str()),
            &column(changes, |(change, _)| change.alert.body.as_str()),
            &column(changes, |(change, _)| change.alert.state()),
            &column(changes, |(change, _)| change.alert.revision),
            &column(changes, |(change, _)| change.published()),
            &column(changes, |(change, _)| i32::from(change.alert.push)),
            &column(changes, |(change, _)| change.alert.replay_id.as_deref()),
            &column(changes, |(_, window)| window.batch.src),
            &column(changes, |(_, window)| window.batch.seq as i64),
            &column(changes, |(_, window)| window.correlation_id.as_str()),
        ],
    )
    .await?;
    Ok(())
}
