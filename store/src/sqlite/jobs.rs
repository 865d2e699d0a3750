//! [`Jobs`] in SQLite.

use std::collections::{BTreeMap, BTreeSet};

use rusqlite::{Connection, params};
use types::id::BatchRef;
use types::job::{BatchState, JobBody, JobMessage};

use super::audit::{self, Keep};
use super::batches;
use super::database::Sqlite;
use super::records;
use super::statements::{execute, exists, list, one};
use crate::alert_change::{ALERT, Alert, AlertChange, RAISED_ALERTS, changes, job_of};
use crate::alert_outbox::AlertRevision;
use crate::audit_rows;
use crate::effects::{DayRow, Effects, JobDone, JobFailed, PartialRow, RuleWindow};
use crate::error::StoreError;
use crate::hours::HourRange;
use crate::jobs::{
    DAY_OF_OTHER_TIMEOUT, FAIL_JOB, JobBatch, Jobs, WindowKey, insert_alerts, insert_days,
    insert_partials, insert_rule_windows,
};
use crate::row::{Row as _, state};
use crate::snapshot::{
    ComputedAt, DayComputedAt, Hour, HourChange, ReadPlan, Snapshot, SnapshotRequest, StoredEvent,
    with_changes,
};
use crate::submission::STATE;
use crate::transaction_timing;

const IS_COMPLETED: &str = "SELECT 1 FROM completed_jobs WHERE job_id = ?1";
/// One row, whether the batch is there or not.
const JOB_BATCH: &str = "SELECT b.developer, b.batch_id,
      CASE WHEN (d.tombstone_src, d.tombstone_seq) >= (?1, ?2) THEN 1 ELSE 0 END
    FROM (SELECT 1) LEFT JOIN batches b ON b.src = ?1 AND b.seq = ?2
    LEFT JOIN developers d ON d.developer = ?3";
const EVENTS_OF_BATCH: &str =
    "SELECT e.src, e.seq, e.ordinal, e.event_id, e.type, e.schema_version,
      e.effective_at, e.local_day, e.body, b.client, b.zone
    FROM events e JOIN batches b ON b.src = e.src AND b.seq = e.seq
    WHERE e.src = ?1 AND e.seq = ?2 ORDER BY e.ordinal";
const HOURS: &str = "SELECT h.hour, h.gen, p.computed_gen, p.version, p.made_with, p.body
    FROM hours h LEFT JOIN partials p ON p.developer = h.developer AND p.kind = ?4 AND p.hour = h.hour
    WHERE h.developer = ?1 AND h.hour BETWEEN ?2 AND ?3";
/// Of hours whose partial is behind.
const HOUR_CHANGES: &str = "SELECT c.hour, c.gen, c.first_at, c.last_at
    FROM hours h JOIN partials p ON p.developer = h.developer AND p.kind = ?4 AND p.hour = h.hour
    JOIN hour_changes c ON c.developer = h.developer AND c.hour = h.hour AND c.gen > p.computed_gen
    WHERE h.developer = ?1 AND h.hour BETWEEN ?2 AND ?3 AND p.computed_gen < h.gen
    ORDER BY c.hour, c.gen";
const COMPUTED_DAY: &str =
    "SELECT computed_gen, version, idle_ms FROM days WHERE developer = ?1 AND day = ?2";
const COMPUTED_RULE_WINDOWS: &str = "SELECT window_start, computed_gen, version FROM rule_windows
    WHERE developer = ?1 AND rule = ?2 AND window_start BETWEEN ?3 AND ?4";
const EVENTS_OF_SPAN: &str = "SELECT e.src, e.seq, e.ordinal, e.event_id, e.type, e.schema_version,
      e.effective_at, e.local_day, e.body, b.client, b.zone
    FROM events e JOIN batches b ON b.src = e.src AND b.seq = e.seq
    WHERE e.developer = ?1 AND e.effective_at >= ?2 AND e.effective_at < ?3
    ORDER BY e.effective_at, e.event_id";
const COMPLETE_JOB: &str =
    "INSERT INTO completed_jobs (job_id, kind, src, seq, replay_id, finished_at)
    SELECT ?1, ?2, ?3, ?4, ?5, ?6 WHERE EXISTS (SELECT 1 FROM batches WHERE src = ?3 AND seq = ?4)
    ON CONFLICT (job_id) DO NOTHING";
const SET_DONE: &str = "UPDATE batches SET done = done | ?3, failed = failed & ~?3,
      state = CASE WHEN state NOT IN ('triggered', 'failed') THEN state
        WHEN ((done | ?3) & need) = need THEN 'completed'
        WHEN (failed & ~?3) = 0 THEN 'triggered' ELSE 'failed' END
    WHERE src = ?1 AND seq = ?2 RETURNING state";
const INSERT_PARTIAL: &str = insert_partials!("VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)");
const INSERT_DAY: &str = insert_days!("VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)");
const INSERT_RULE_WINDOW: &str = insert_rule_windows!("VALUES (?1, ?2, ?3, ?4, ?5)");
const INSERT_ALERT: &str =
    insert_alerts!("VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15)");

impl Jobs for Sqlite {
    async fn done(&self, job_ids: Vec<String>) -> Result<BTreeSet<String>, StoreError> {
        self.read(move |connection| {
            let mut done = BTreeSet::new();
            for job_id in job_ids {
                if exists(connection, IS_COMPLETED, [&job_id])? {
                    done.insert(job_id);
                }
            }
            Ok(done)
        })
        .await
    }

    async fn job_batches(&self, jobs: Vec<JobBody>) -> Result<Vec<JobBatch>, StoreError> {
        self.read(move |connection| {
            let found = jobs.iter().map(|job| {
                let key = params![job.batch.src, job.batch.seq as i64, job.developer];
                let found = one(connection, JOB_BATCH, key, |row| JobBatch::of(job, row))?;
                Ok(found.unwrap_or(JobBatch::Missing))
            });
            found.collect()
        })
        .await
    }

    async fn events_of(&self, batches: Vec<BatchRef>) -> Result<Vec<StoredEvent>, StoreError> {
        let batches: BTreeSet<BatchRef> = batches.into_iter().collect();
        self.read(move |connection| {
            let mut events = Vec::new();
            for at in batches {
                let key = params![at.src, at.seq as i64];
                events.extend(list(connection, EVENTS_OF_BATCH, key, |row| {
                    StoredEvent::decode(row)
                })?);
            }
            Ok(events)
        })
        .await
    }

    async fn snapshot<P, F>(
        &self,
        request: SnapshotRequest,
        plan: F,
    ) -> Result<Snapshot<P>, StoreError>
    where
        P: Send + 'static,
        F: Fn(BTreeMap<i64, Hour>) -> ReadPlan<P> + Send + Sync + 'static,
    {
        // One read is one transaction: all statements see the same moment.
        self.read(move |connection| {
            let (mut hours, mut changes) = (Vec::new(), Vec::new());
            for range in HourRange::merge(request.ranges) {
                let kind = request.kind.as_str();
                let key = params![request.developer, range.first, range.last, kind];
                hours.extend(list(connection, HOURS, key, |row| Hour::decode(row))?);
                let changed = list(connection, HOUR_CHANGES, key, |row| HourChange::decode(row))?;
                changes.extend(changed);
            }
            let ReadPlan { plan, spans } = plan(with_changes(hours, changes));
            let mut events = Vec::new();
            for span in spans {
                let key = params![request.developer, span.start, span.end];
                let of_span = list(connection, EVENTS_OF_SPAN, key, |row| {
                    StoredEvent::decode(row)
                })?;
                events.extend(of_span);
            }
            Ok(Snapshot { plan, events })
        })
        .await
    }

    async fn computed_days(
        &self,
        developer: String,
        days: Vec<String>,
    ) -> Result<BTreeMap<String, DayComputedAt>, StoreError> {
        self.read(move |connection| {
            let mut computed = BTreeMap::new();
            for day in days {
                let key = params![developer, day];
                let at = one(connection, COMPUTED_DAY, key, |row| {
                    DayComputedAt::decode(row, 0)
                })?;
                computed.extend(at.map(|at| (day, at)));
            }
            Ok(computed)
        })
        .await
    }

    async fn day_of_other_timeout(
        &self,
        developer: String,
        idle_ms: i64,
        after: String,
    ) -> Result<Option<String>, StoreError> {
        self.read(move |connection| {
            let key = params![developer, idle_ms, after];
            let found = list(connection, DAY_OF_OTHER_TIMEOUT.sqlite, key, |row| {
                row.value(0)
            })?;
            Ok(found.into_iter().next())
        })
        .await
    }

    async fn computed_rule_windows(
        &self,
        developer: String,
        rules: Vec<String>,
        first: String,
        last: String,
    ) -> Result<BTreeMap<WindowKey, ComputedAt>, StoreError> {
        self.read(move |connection| {
            let mut computed = BTreeMap::new();
            for rule in rules {
                let key = params![developer, rule, first, last];
                computed.extend(list(connection, COMPUTED_RULE_WINDOWS, key, |row| {
                    let key = WindowKey {
                        rule: rule.clone(),
                        start: row.value(0)?,
                    };
                    Ok((key, ComputedAt::decode(row, 1)?))
                })?);
            }
            Ok(computed)
        })
        .await
    }

    async fn finish_jobs(
        &self,
        effects: Effects,
        jobs: Vec<JobDone>,
    ) -> Result<Vec<AlertRevision>, StoreError> {
        let finish = async |jobs| {
            self.write(move |connection| finish_jobs(connection, effects, jobs))
                .await
        };
        transaction_timing::finish_jobs(jobs, finish).await
    }
}

/// T3.
fn finish_jobs(
    connection: &Connection,
    effects: Effects,
    mut jobs: Vec<JobDone>,
) -> Result<Vec<AlertRevision>, StoreError> {
    let mut revisions = Vec::new();
    match effects {
        Effects::Normalized { records, clients } => {
            records::write(connection, &records, &clients)?;
        }
        Effects::Windows { partials, days } => {
            write_partials(connection, &partials)?;
            write_days(connection, &days)?;
        }
        Effects::Rules { partials, windows } => {
            write_partials(connection, &partials)?;
            revisions = write_rules(connection, &windows, &jobs)?;
        }
    }
    jobs.sort_by(|a, b| (a.job.body.batch, &a.job.job_id).cmp(&(b.job.body.batch, &b.job.job_id)));
    for done in &jobs {
        complete_job(connection, done)?;
    }
    Ok(revisions)
}

/// Completed job, mask and audit of one job; nothing of a job whose batch is not stored.
fn complete_job(connection: &Connection, done: &JobDone) -> Result<(), StoreError> {
    let job = &done.job;
    let at = job.body.batch;
    let row = params![
        job.job_id,
        job.kind.as_str(),
        at.src,
        at.seq as i64,
        job.replay_id,
        done.finished_at
    ];
    let is_entered = execute(connection, COMPLETE_JOB, row)? == 1;
    let is_completed = job.replay_id.is_none() && set_done(connection, job)?;
    let row = match (is_entered, is_completed) {
        (true, _) => audit_rows::job_done(done, is_completed),
        (false, true) => audit_rows::completed(done),
        (false, false) => return Ok(()),
    };
    let known = batches::is_known(connection, at)?;
    audit::append(connection, &[row], Keep::of(known))
}

/// Sets the job's bit; whether that completed the batch.
fn set_done(connection: &Connection, job: &JobMessage) -> Result<bool, StoreError> {
    let at = job.body.batch;
    let key = params![at.src, at.seq as i64];
    let before = one(connection, STATE.sqlite, key, |row| state(row, 0))?;
    let bit = params![at.src, at.seq as i64, job.kind.bit().0];
    let after = one(connection, SET_DONE, bit, |row| state(row, 0))?;
    Ok(before != after && after == Some(BatchState::Completed))
}

/// T3f.
pub fn fail_job(connection: &Connection, failed: &JobFailed) -> Result<(), StoreError> {
    let job = &failed.job;
    let at = job.body.batch;
    if job.replay_id.is_none() {
        let bit = params![at.src, at.seq as i64, job.kind.bit().0];
        execute(connection, FAIL_JOB.sqlite, bit)?;
    }
    let known = batches::is_known(connection, at)?;
    audit::append(
        connection,
        &[audit_rows::job_failed(failed)],
        Keep::of(known),
    )
}

fn write_partials(connection: &Connection, partials: &[PartialRow]) -> Result<(), StoreError> {
    let mut statement = connection.prepare_cached(INSERT_PARTIAL)?;
    for partial in partials {
        let computed = &partial.computed;
        statement.execute(params![
            partial.developer,
            partial.kind.as_str(),
            partial.hour,
            computed.generation,
            computed.version,
            partial.made_with,
            computed.body
        ])?;
    }
    Ok(())
}

fn write_days(connection: &Connection, days: &[DayRow]) -> Result<(), StoreError> {
    let mut statement = connection.prepare_cached(INSERT_DAY)?;
    for day in days {
        let computed = &day.computed;
        statement.execute(params![
            day.developer,
            day.day,
            computed.generation,
            computed.version,
            day.idle_ms,
            computed.body,
            day.counts
        ])?;
    }
    Ok(())
}

/// Writes the windows that are newer than what is there, and their alerts; gives the revisions to publish.
fn write_rules(
    connection: &Connection,
    windows: &[RuleWindow],
    jobs: &[JobDone],
) -> Result<Vec<AlertRevision>, StoreError> {
    let mut windows: Vec<&RuleWindow> = windows.iter().collect();
    windows.sort_by_key(|window| (&window.developer, &window.rule, &window.window_start));
    let mut revisions = Vec::new();
    for window in windows {
        let job = job_of(window, jobs)?;
        let row = params![
            window.developer,
            window.rule,
            window.window_start,
            window.generation,
            window.version
        ];
        if execute(connection, INSERT_RULE_WINDOW, row)? == 0 {
            continue;
        }
        for change in changes(&current_alerts(connection, window)?, window) {
            write_alert(connection, &change, window)?;
            if change.is_revision {
                let known = batches::is_known(connection, job.job.body.batch)?;
                let row = audit_rows::alerted(&change.alert, job);
                audit::append(connection, &[row], Keep::of(known))?;
            }
            revisions.extend(change.to_publish(window));
        }
    }
    Ok(revisions)
}

/// The alerts that the window may change.
fn current_alerts(connection: &Connection, window: &RuleWindow) -> Result<Vec<Alert>, StoreError> {
    let decode = |row: &rusqlite::Row<'_>| Alert::decode(row);
    let key = [&window.developer, &window.rule, &window.window_start];
    let mut alerts = list(connection, RAISED_ALERTS.sqlite, key, decode)?;
    for finding in &window.findings {
        if alerts
            .iter()
            .all(|alert| alert.alert_id != finding.alert_id)
        {
            alerts.extend(one(connection, ALERT.sqlite, [&finding.alert_id], decode)?);
        }
    }
    Ok(alerts)
}

fn write_alert(
    connection: &Connection,
    change: &AlertChange,
    window: &RuleWindow,
) -> Result<(), StoreError> {
    let alert = &change.alert;
    let row = params![
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
    ];
    execute(connection, INSERT_ALERT, row)?;
    Ok(())
}
