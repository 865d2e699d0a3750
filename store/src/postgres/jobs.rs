//! [`Jobs`] in Postgres.
//!
//! Keys are sorted in each statement: two writers wait, and do not deadlock.

use std::collections::{BTreeMap, BTreeSet};

use deadpool_postgres::Transaction;
use types::id::BatchRef;
use types::job::{BatchState, JobBody};

use super::audit;
use super::batches::{self, LockedBatch};
use super::database::Postgres;
use super::error::TransactionError;
use super::newest::newest;
use super::records;
use super::statements::{Param, column, execute, list, rows};
use crate::alert_change::{Alert, AlertChange, changes, job_of};
use crate::alert_outbox::AlertRevision;
use crate::audit::AuditRow;
use crate::audit_rows;
use crate::effects::{DayRow, Effects, JobDone, JobFailed, PartialRow, RuleWindow};
use crate::error::StoreError;
use crate::hours::HourRange;
use crate::jobs::{
    DAY_OF_OTHER_TIMEOUT, FAIL_JOB, JobBatch, Jobs, WindowKey, insert_alerts, insert_days,
    insert_partials, insert_rule_windows,
};
use crate::row::{Row, batch_ref, state};
use crate::snapshot::{
    Computed, ComputedAt, DayComputedAt, Hour, HourChange, ReadPlan, Snapshot, SnapshotRequest,
    StoredEvent, with_changes,
};
use crate::transaction_timing;

const COMPLETED: &str = "SELECT job_id FROM completed_jobs WHERE job_id = ANY($1)";
/// One row a job, whether its batch is there or not.
const JOB_BATCHES: &str = "SELECT b.developer, b.batch_id,
      CASE WHEN (d.tombstone_src, d.tombstone_seq) >= (k.src, k.seq) THEN 1 ELSE 0 END
    FROM unnest($1::bigint[], $2::bigint[], $3::text[]) WITH ORDINALITY k (src, seq, developer, n)
    LEFT JOIN batches b ON b.src = k.src AND b.seq = k.seq
    LEFT JOIN developers d ON d.developer = k.developer
    ORDER BY k.n";
/// By way of the batch's developer, who decides about the partition. The order within is that of the index by
/// reference: while tables are empty the planner finds the one by time as good, and keeps to it when they have grown.
const EVENTS_OF_BATCHES: &str =
    "SELECT e.src, e.seq, e.ordinal, e.event_id, e.type, e.schema_version,
      e.effective_at, e.local_day, e.body, b.client, b.zone
    FROM unnest($1::bigint[], $2::bigint[]) k (src, seq)
    JOIN batches b ON b.src = k.src AND b.seq = k.seq
    CROSS JOIN LATERAL (SELECT * FROM events
      WHERE developer = b.developer AND src = k.src AND seq = k.seq ORDER BY src, seq, ordinal OFFSET 0) e
    ORDER BY e.src, e.seq, e.ordinal";
/// Read as [`EVENTS_OF_SPANS`] are.
const HOURS: &str = "SELECT h.hour, h.gen, p.computed_gen, p.version, p.made_with, p.body
    FROM unnest($2::bigint[], $3::bigint[]) r (first, last)
    CROSS JOIN LATERAL (SELECT hour, gen FROM hours
      WHERE developer = $1 AND hour BETWEEN r.first AND r.last OFFSET 0) h
    LEFT JOIN LATERAL (SELECT computed_gen, version, made_with, body FROM partials
      WHERE developer = $1 AND kind = $4 AND hour = h.hour OFFSET 0) p ON true";
/// Of hours whose partial is behind.
const HOUR_CHANGES: &str = "SELECT c.hour, c.gen, c.first_at, c.last_at
    FROM unnest($2::bigint[], $3::bigint[]) r (first, last)
    CROSS JOIN LATERAL (SELECT hour, gen FROM hours
      WHERE developer = $1 AND hour BETWEEN r.first AND r.last OFFSET 0) h
    CROSS JOIN LATERAL (SELECT computed_gen FROM partials
      WHERE developer = $1 AND kind = $4 AND hour = h.hour AND computed_gen < h.gen OFFSET 0) p
    CROSS JOIN LATERAL (SELECT * FROM hour_changes
      WHERE developer = $1 AND hour = h.hour AND gen > p.computed_gen OFFSET 0) c
    ORDER BY c.hour, c.gen";
const COMPUTED_DAYS: &str =
    "SELECT day, computed_gen, version, idle_ms FROM days WHERE developer = $1 AND day = ANY($2)";
const COMPUTED_RULE_WINDOWS: &str =
    "SELECT rule, window_start, computed_gen, version FROM rule_windows
    WHERE developer = $1 AND rule = ANY($2) AND window_start BETWEEN $3 AND $4";
/// Each span is read by the index: a subquery with `OFFSET` is not made part of the query around it (PostgreSQL,
/// `is_simple_subquery` in `prepjointree.c`). As a plain join, all of the developer's events were read once, and
/// compared with each span.
const EVENTS_OF_SPANS: &str =
    "SELECT e.src, e.seq, e.ordinal, e.event_id, e.type, e.schema_version,
      e.effective_at, e.local_day, e.body, b.client, b.zone
    FROM unnest($2::bigint[], $3::bigint[]) r (start, stop)
    CROSS JOIN LATERAL (SELECT * FROM events
      WHERE developer = $1 AND effective_at >= r.start AND effective_at < r.stop OFFSET 0) e
    JOIN batches b ON b.src = e.src AND b.seq = e.seq
    ORDER BY e.effective_at, e.event_id";
const COMPLETE_JOBS: &str = "INSERT INTO completed_jobs (job_id, kind, src, seq, replay_id, finished_at)
    SELECT u.* FROM unnest($1::text[], $2::text[], $3::bigint[], $4::bigint[], $5::text[], $6::bigint[])
      u (job_id, kind, src, seq, replay_id, finished_at)
    WHERE EXISTS (SELECT 1 FROM batches b WHERE b.src = u.src AND b.seq = u.seq)
    ON CONFLICT (job_id) DO NOTHING RETURNING job_id";
const SET_DONE: &str = "UPDATE batches b SET done = b.done | u.bits, failed = b.failed & ~u.bits,
      state = CASE WHEN b.state NOT IN ('triggered', 'failed') THEN b.state
        WHEN ((b.done | u.bits) & b.need) = b.need THEN 'completed'
        WHEN (b.failed & ~u.bits) = 0 THEN 'triggered' ELSE 'failed' END
    FROM unnest($1::bigint[], $2::bigint[], $3::integer[]) u (src, seq, bits)
    WHERE b.src = u.src AND b.seq = u.seq RETURNING b.src, b.seq, b.state";
const INSERT_PARTIALS: &str = insert_partials!(
    "SELECT * FROM unnest($1::text[], $2::text[], $3::bigint[], $4::bigint[], $5::integer[], $6::text[], $7::text[])"
);
const INSERT_DAYS: &str = insert_days!(
    "SELECT * FROM unnest($1::text[], $2::text[], $3::bigint[], $4::integer[], $5::bigint[], $6::text[], $7::text[])"
);
/// Its lock also keeps a window's alert to one writer.
const INSERT_RULE_WINDOWS: &str = concat!(
    insert_rule_windows!(
        "SELECT * FROM unnest($1::text[], $2::text[], $3::text[], $4::bigint[], $5::integer[])"
    ),
    " RETURNING developer, rule, window_start"
);
const ALERTS: &str = "SELECT alert_id, developer, rule, window_start, severity, title, body,
      state = 'raised', revision, push, replay_id
    FROM alerts WHERE alert_id = ANY($1)";
const RAISED_ALERTS: &str = "SELECT a.alert_id, a.developer, a.rule, a.window_start, a.severity, a.title, a.body,
      a.state = 'raised', a.revision, a.push, a.replay_id
    FROM unnest($1::text[], $2::text[], $3::text[]) k (developer, rule, window_start)
    JOIN alerts a ON a.developer = k.developer AND a.window_start = k.window_start AND a.rule = k.rule
    WHERE a.state = 'raised'";
const INSERT_ALERTS: &str = insert_alerts!(
    "SELECT * FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[],
       $8::text[], $9::bigint[], $10::bigint[], $11::integer[], $12::text[], $13::bigint[], $14::bigint[],
       $15::text[])"
);

impl Jobs for Postgres {
    async fn done(&self, job_ids: Vec<String>) -> Result<BTreeSet<String>, StoreError> {
        let done = self
            .list(COMPLETED, &[&job_ids], |row| row.value(0))
            .await?;
        Ok(done.into_iter().collect())
    }

    async fn job_batches(&self, jobs: Vec<JobBody>) -> Result<Vec<JobBatch>, StoreError> {
        self.read(jobs, |tx, jobs| {
            Box::pin(async move {
                let srcs = column(jobs, |job| job.batch.src);
                let seqs = column(jobs, |job| job.batch.seq as i64);
                let developers = column(jobs, |job| job.developer.as_str());
                let found = rows(tx, JOB_BATCHES, &[&srcs, &seqs, &developers]).await?;
                let batches = jobs.iter().zip(&found);
                let batches = batches.map(|(job, row)| Ok(JobBatch::of(job, row)?));
                batches.collect()
            })
        })
        .await
    }

    async fn events_of(&self, batches: Vec<BatchRef>) -> Result<Vec<StoredEvent>, StoreError> {
        let keys = batches::KeyColumns::new(batches.into_iter());
        let params: [Param<'_>; 2] = [&keys.srcs, &keys.seqs];
        self.list(EVENTS_OF_BATCHES, &params, StoredEvent::decode)
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
        let ranges = HourRange::merge(request.ranges);
        let request = PlannedRead {
            request: SnapshotRequest { ranges, ..request },
            plan,
        };
        self.read(request, |tx, request| Box::pin(snapshot(tx, request)))
            .await
    }

    async fn computed_days(
        &self,
        developer: String,
        days: Vec<String>,
    ) -> Result<BTreeMap<String, DayComputedAt>, StoreError> {
        let computed = self
            .list(COMPUTED_DAYS, &[&developer, &days], |row| {
                Ok((row.value(0)?, DayComputedAt::decode(row, 1)?))
            })
            .await?;
        Ok(computed.into_iter().collect())
    }

    async fn day_of_other_timeout(
        &self,
        developer: String,
        idle_ms: i64,
        after: String,
    ) -> Result<Option<String>, StoreError> {
        let key: [Param<'_>; 3] = [&developer, &idle_ms, &after];
        let found = self.list(DAY_OF_OTHER_TIMEOUT.postgres, &key, |row| row.value(0));
        Ok(found.await?.into_iter().next())
    }

    async fn computed_rule_windows(
        &self,
        developer: String,
        rules: Vec<String>,
        first: String,
        last: String,
    ) -> Result<BTreeMap<WindowKey, ComputedAt>, StoreError> {
        let key: [Param<'_>; 4] = [&developer, &rules, &first, &last];
        let computed = self
            .list(COMPUTED_RULE_WINDOWS, &key, |row| {
                let key = WindowKey {
                    rule: row.value(0)?,
                    start: row.value(1)?,
                };
                Ok((key, ComputedAt::decode(row, 2)?))
            })
            .await?;
        Ok(computed.into_iter().collect())
    }

    async fn finish_jobs(
        &self,
        effects: Effects,
        jobs: Vec<JobDone>,
    ) -> Result<Vec<AlertRevision>, StoreError> {
        let finish = async |jobs: Vec<JobDone>| {
            let work = FinishJobs::new(effects, &jobs);
            self.write(work, |tx, work| Box::pin(work.run(tx))).await
        };
        transaction_timing::finish_jobs(jobs, finish).await
    }
}

struct PlannedRead<F> {
    request: SnapshotRequest,
    plan: F,
}

async fn snapshot<P, F>(
    tx: &Transaction<'_>,
    read: &PlannedRead<F>,
) -> Result<Snapshot<P>, TransactionError>
where
    F: Fn(BTreeMap<i64, Hour>) -> ReadPlan<P>,
{
    let SnapshotRequest {
        developer,
        kind,
        ranges,
    } = &read.request;
    let first = column(ranges, |range| range.first);
    let last = column(ranges, |range| range.last);
    let key: [Param<'_>; 4] = [developer, &first, &last, &kind.as_str()];
    let hours = list(tx, HOURS, &key, Hour::decode).await?;
    let changes = list(tx, HOUR_CHANGES, &key, HourChange::decode).await?;
    let ReadPlan { plan, spans } = (read.plan)(with_changes(hours, changes));
    let events = if spans.is_empty() {
        Vec::new()
    } else {
        let start = column(&spans, |span| span.start);
        let end = column(&spans, |span| span.end);
        let key: [Param<'_>; 3] = [developer, &start, &end];
        list(tx, EVENTS_OF_SPANS, &key, StoredEvent::decode).await?
    };
    Ok(Snapshot { plan, events })
}

/// T3: the transaction that finishes a group of jobs.
struct FinishJobs {
    effects: Effects,
    /// By job id, each once.
    jobs: Vec<JobDone>,
}

impl FinishJobs {
    fn new(effects: Effects, jobs: &[JobDone]) -> Self {
        let each_once = newest(jobs, |done| &done.job.job_id, |_, _| false);
        Self {
            effects,
            jobs: each_once.into_iter().cloned().collect(),
        }
    }

    /// Records the jobs as completed; gives those that were not yet.
    async fn complete(&self, tx: &Transaction<'_>) -> Result<BTreeSet<String>, TransactionError> {
        let entered = rows(
            tx,
            COMPLETE_JOBS,
            &[
                &column(&self.jobs, |done| done.job.job_id.as_str()),
                &column(&self.jobs, |done| done.job.kind.as_str()),
                &column(&self.jobs, |done| done.job.body.batch.src),
                &column(&self.jobs, |done| done.job.body.batch.seq as i64),
                &column(&self.jobs, |done| done.job.replay_id.as_deref()),
                &column(&self.jobs, |done| done.finished_at),
            ],
        )
        .await?;
        entered.iter().map(|row| Ok(row.value(0)?)).collect()
    }

    /// Sets the live jobs' bits; gives the ids of the jobs that completed their batches: of each batch its last one.
    async fn set_done(
        &self,
        tx: &Transaction<'_>,
        before: &BTreeMap<BatchRef, LockedBatch>,
    ) -> Result<BTreeSet<&str>, TransactionError> {
        let mut bits: BTreeMap<BatchRef, (i32, &JobDone)> = BTreeMap::new();
        for done in self.jobs.iter().filter(|done| done.job.replay_id.is_none()) {
            let of_batch = bits.entry(done.job.body.batch).or_insert((0, done));
            *of_batch = (of_batch.0 | i32::from(done.job.kind.bit().0), done);
        }
        if bits.is_empty() {
            return Ok(BTreeSet::new());
        }
        let keys: Vec<_> = bits.iter().collect();
        let srcs = column(&keys, |(at, _)| at.src);
        let seqs = column(&keys, |(at, _)| at.seq as i64);
        let mut completed = BTreeSet::new();
        for row in rows(
            tx,
            SET_DONE,
            &[&srcs, &seqs, &column(&keys, |(_, (bits, _))| *bits)],
        )
        .await?
        {
            let at = batch_ref(&row, 0)?;
            let was = before.get(&at).map(|batch| batch.state);
            let is = state(&row, 2)?;
            if is == BatchState::Completed && was != Some(is) {
                completed.extend(bits.get(&at).map(|(_, done)| done.job.job_id.as_str()));
            }
        }
        Ok(completed)
    }

    async fn run(&self, tx: &Transaction<'_>) -> Result<Vec<AlertRevision>, TransactionError> {
        let mut written = WrittenRules::default();
        let batches = self.jobs.iter().map(|done| done.job.body.batch);
        let mut locked = None;
        match &self.effects {
            Effects::Normalized { records, clients } => {
                // Records go by locked batches. One lock for them and for the masks: two would be taken in two orders.
                let with_records = records.iter().map(|record| record.at.batch());
                let with_clients = clients.iter().map(|client| client.batch);
                let touched = with_records.chain(with_clients).chain(batches.clone());
                let early = batches::lock(tx, touched).await?;
                records::write(tx, records, clients, &early).await?;
                locked = Some(early);
            }
            Effects::Windows { partials, days } => {
                write_partials(tx, partials).await?;
                write_days(tx, days).await?;
            }
            Effects::Rules { partials, windows } => {
                write_partials(tx, partials).await?;
                written = write_rules(tx, windows, &self.jobs).await?;
            }
        }
        let entered = self.complete(tx).await?;
        let locked = match locked {
            Some(locked) => locked,
            None => batches::lock(tx, batches).await?,
        };
        let completing = self.set_done(tx, &locked).await?;
        for done in &self.jobs {
            let job_id = &done.job.job_id;
            let is_completed = completing.contains(job_id.as_str());
            match (entered.contains(job_id), is_completed) {
                (true, _) => written
                    .audit_rows
                    .push(audit_rows::job_done(done, is_completed)),
                (false, true) => written.audit_rows.push(audit_rows::completed(done)),
                (false, false) => {}
            }
        }
        audit::append(tx, &written.audit_rows, |at| batches::is_known(&locked, at)).await?;
        Ok(written.revisions)
    }
}

/// T3f: before a job's message, which is in DEAD, is terminated.
pub async fn fail_job(tx: &Transaction<'_>, failed: &JobFailed) -> Result<(), TransactionError> {
    let job = &failed.job;
    let at = job.body.batch;
    let locked = batches::lock(tx, std::iter::once(at)).await?;
    if job.replay_id.is_none() {
        execute(
            tx,
            FAIL_JOB.postgres,
            &[&at.src, &(at.seq as i64), &i32::from(job.kind.bit().0)],
        )
        .await?;
    }
    audit::append(tx, &[audit_rows::job_failed(failed)], |at| {
        batches::is_known(&locked, at)
    })
    .await
}

/// The guard of a computed row.
fn is_newer(new: &Computed, old: &Computed) -> bool {
    old.generation < new.generation || old.version < new.version
}

/// Writes hour partials.
async fn write_partials(
    tx: &Transaction<'_>,
    given: &[PartialRow],
) -> Result<(), TransactionError> {
    let key = |row: &'_ PartialRow| (row.developer.clone(), row.kind.as_str(), row.hour);
    let given = newest(given, key, |new, old| {
        is_newer(&new.computed, &old.computed)
    });
    if given.is_empty() {
        return Ok(());
    }
    execute(
        tx,
        INSERT_PARTIALS,
        &[
            &column(&given, |row| row.developer.as_str()),
            &column(&given, |row| row.kind.as_str()),
            &column(&given, |row| row.hour),
            &column(&given, |row| row.computed.generation),
            &column(&given, |row| row.computed.version),
            &column(&given, |row| row.made_with.as_str()),
            &column(&given, |row| row.computed.body.as_str()),
        ],
    )
    .await?;
    Ok(())
}

/// Writes folded days.
async fn write_days(tx: &Transaction<'_>, given: &[DayRow]) -> Result<(), TransactionError> {
    let key = |row: &'_ DayRow| (row.developer.clone(), row.day.clone());
    let given = newest(given, key, |new, old| {
        let is_of_other = new.computed.generation == old.computed.generation
            && new.computed.version == old.computed.version
            && new.idle_ms != old.idle_ms;
        is_newer(&new.computed, &old.computed) || is_of_other
    });
    if given.is_empty() {
        return Ok(());
    }
    execute(
        tx,
        INSERT_DAYS,
        &[
            &column(&given, |row| row.developer.as_str()),
            &column(&given, |row| row.day.as_str()),
            &column(&given, |row| row.computed.generation),
            &column(&given, |row| row.computed.version),
            &column(&given, |row| row.idle_ms),
            &column(&given, |row| row.computed.body.as_str()),
            &column(&given, |row| row.counts.as_str()),
        ],
    )
    .await?;
    Ok(())
}

/// What rules left.
#[derive(Default)]
struct WrittenRules {
    /// To be published.
    revisions: Vec<AlertRevision>,
    audit_rows: Vec<AuditRow>,
}

/// A changed alert with the window that changed it.
type Changed<'a> = (AlertChange, &'a RuleWindow);

/// Writes the windows that are newer than what is there, and their alerts.
async fn write_rules(
    tx: &Transaction<'_>,
    windows: &[RuleWindow],
    jobs: &[JobDone],
) -> Result<WrittenRules, TransactionError> {
    let is_newer = |new: &RuleWindow, old: &RuleWindow| {
        old.generation < new.generation || old.version < new.version
    };
    let windows = newest(windows, window_key, is_newer);
    let jobs: Vec<&JobDone> = windows
        .iter()
        .map(|window| job_of(window, jobs))
        .collect::<Result<_, _>>()?;
    let entered = enter_windows(tx, &windows).await?;
    let newer: Vec<_> = windows
        .into_iter()
        .zip(jobs)
        .filter(|(window, _)| entered.contains(&owned(window_key(window))))
        .collect();
    let current = current_alerts(tx, &newer).await?;
    let mut changed: BTreeMap<String, Changed<'_>> = BTreeMap::new();
    let mut written = WrittenRules::default();
    for (window, job) in newer {
        for change in changes(&current, window) {
            if change.is_revision {
                written
                    .audit_rows
                    .push(audit_rows::alerted(&change.alert, job));
            }
            written.revisions.extend(change.to_publish(window));
            changed.insert(change.alert.alert_id.clone(), (change, window));
        }
    }
    write_alerts(tx, &changed.into_values().collect::<Vec<_>>()).await?;
    Ok(written)
}

fn window_key(window: &RuleWindow) -> (&String, &String, &String) {
    (&window.developer, &window.rule, &window.window_start)
}

fn owned(key: (&String, &String, &String)) -> (String, String, String) {
    (key.0.clone(), key.1.clone(), key.2.clone())
}

/// Enters the windows that are newer; gives the keys of those.
async fn enter_windows(
    tx: &Transaction<'_>,
    windows: &[&RuleWindow],
) -> Result<BTreeSet<(String, String, String)>, TransactionError> {
    let entered = rows(
        tx,
        INSERT_RULE_WINDOWS,
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
        .map(|row| Ok((row.value(0)?, row.value(1)?, row.value(2)?)))
        .collect()
}

/// The alerts that the windows may change.
async fn current_alerts(
    tx: &Transaction<'_>,
    looked: &[(&RuleWindow, &JobDone)],
) -> Result<Vec<Alert>, TransactionError> {
    let windows: Vec<&RuleWindow> = looked.iter().map(|(window, _)| *window).collect();
    let findings = windows.iter().flat_map(|window| &window.findings);
    let found: Vec<&str> = findings.map(|found| found.alert_id.as_str()).collect();
    let mut current = BTreeMap::new();
    if !found.is_empty() {
        current.extend(by_id(list(tx, ALERTS, &[&found], Alert::decode).await?));
    }
    if !windows.is_empty() {
        let developers = column(&windows, |window| window.developer.as_str());
        let rules = column(&windows, |window| window.rule.as_str());
        let starts = column(&windows, |window| window.window_start.as_str());
        let keys: [Param<'_>; 3] = [&developers, &rules, &starts];
        current.extend(by_id(list(tx, RAISED_ALERTS, &keys, Alert::decode).await?));
    }
    Ok(current.into_values().collect())
}

fn by_id(alerts: Vec<Alert>) -> impl Iterator<Item = (String, Alert)> {
    let keyed = |alert: Alert| (alert.alert_id.clone(), alert);
    alerts.into_iter().map(keyed)
}

/// Writes the alerts, by id.
async fn write_alerts(
    tx: &Transaction<'_>,
    changes: &[Changed<'_>],
) -> Result<(), TransactionError> {
    if changes.is_empty() {
        return Ok(());
    }
    execute(
        tx,
        INSERT_ALERTS,
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
