//! Doing jobs: what they read, and writing what they computed (T3).

use std::collections::{BTreeMap, BTreeSet};

use types::id::BatchRef;
use types::job::JobBody;

use crate::alert_outbox::AlertRevision;
use crate::effects::{Effects, JobDone};
use crate::error::StoreError;
use crate::row::{Row, flag};
use crate::snapshot::{
    ComputedAt, DayComputedAt, Hour, ReadPlan, Snapshot, SnapshotRequest, StoredEvent,
};
use crate::sql::shared_sql;

/// How the store has the batch that a job is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum JobBatch {
    /// It is stored.
    Stored,
    /// Its developer was forgotten: of the batch nothing is left to work on.
    Forgotten,
    /// Another batch has its place: the stream or the database is of another time than the job.
    Another,
    /// Nothing has its place.
    Missing,
}

/// Doing jobs: what they read, and the transaction that finishes them.
pub trait Jobs: Send + Sync + 'static {
    /// Of these jobs, those that are recorded as completed.
    fn done(
        &self,
        job_ids: Vec<String>,
    ) -> impl Future<Output = Result<BTreeSet<String>, StoreError>> + Send;

    /// How the store has the batches of these jobs, in their order.
    fn job_batches(
        &self,
        jobs: Vec<JobBody>,
    ) -> impl Future<Output = Result<Vec<JobBatch>, StoreError>> + Send;

    /// The events that these batches hold, by (src, seq, ordinal): each batch in the order it was
    /// sent. An event that another batch submitted first is that one's.
    fn events_of(
        &self,
        batches: Vec<BatchRef>,
    ) -> impl Future<Output = Result<Vec<StoredEvent>, StoreError>> + Send;

    /// The hours of a developer that ever had events, and of their events those that `plan` asks for once it has seen
    /// the hours: all of one moment, without a lock. `plan` may be called again if the database aborts a read.
    fn snapshot<P, F>(
        &self,
        request: SnapshotRequest,
        plan: F,
    ) -> impl Future<Output = Result<Snapshot<P>, StoreError>> + Send
    where
        P: Send + 'static,
        F: Fn(BTreeMap<i64, Hour>) -> ReadPlan<P> + Send + Sync + 'static;

    /// What these local days of a developer were computed at last; days that never were are left out.
    fn computed_days(
        &self,
        developer: String,
        days: Vec<String>,
    ) -> impl Future<Output = Result<BTreeMap<String, DayComputedAt>, StoreError>> + Send;

    /// The first day of a developer after the day `after` that was computed with another timeout than this one, in
    /// milliseconds; an empty `after` lies before all.
    fn day_of_other_timeout(
        &self,
        developer: String,
        idle_ms: i64,
        after: String,
    ) -> impl Future<Output = Result<Option<String>, StoreError>> + Send;

    /// What these rules were evaluated at last on windows that begin on `first` to `last`: by rule and first day.
    fn computed_rule_windows(
        &self,
        developer: String,
        rules: Vec<String>,
        first: String,
        last: String,
    ) -> impl Future<Output = Result<BTreeMap<WindowKey, ComputedAt>, StoreError>> + Send;

    /// T3: effects, completed jobs, masks and audit of these jobs in one transaction.
    ///
    /// Each effect is written only if it is newer than what is there. Jobs that are completed already
    /// are not entered again. A replay's jobs leave the batches' masks alone. A job whose batch is not stored is
    /// never entered: the genuine one would be taken for done. Gives the alert revisions that are to be
    /// published; what a replay found is never among them, nor what becomes of it later.
    fn finish_jobs(
        &self,
        effects: Effects,
        jobs: Vec<JobDone>,
    ) -> impl Future<Output = Result<Vec<AlertRevision>, StoreError>> + Send;
}

/// A rule's window of a developer.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct WindowKey {
    pub rule: String,
    /// Its first local day.
    pub start: String,
}

impl JobBatch {
    /// From the batch's developer and id, if there is a row, and whether the job's developer was forgotten since.
    pub(crate) fn of(job: &JobBody, row: &impl Row) -> Result<Self, StoreError> {
        let developer: Option<String> = row.value(0)?;
        let batch_id: Option<String> = row.value(1)?;
        let is_forgotten: bool = flag(row, 2)?;
        Ok(match (developer.as_deref(), batch_id.as_deref()) {
            (None, _) if is_forgotten => Self::Forgotten,
            (None, _) => Self::Missing,
            (Some(""), _) => Self::Forgotten,
            (Some(developer), Some(batch_id))
                if developer == job.developer && batch_id == job.batch_id =>
            {
                Self::Stored
            }
            (Some(_), _) => Self::Another,
        })
    }
}

shared_sql! {
    DAY_OF_OTHER_TIMEOUT = "SELECT day FROM days WHERE developer = $1 AND idle_ms <> $2 AND day > $3
        ORDER BY day LIMIT 1";
    /// T3f. A job that is done already does not fail its batch.
    FAIL_JOB = "UPDATE batches SET failed = failed | $3,
          state = CASE WHEN state = 'triggered' THEN 'failed' ELSE state END
        WHERE src = $1 AND seq = $2 AND (done & $3) = 0";
}

/// Writes normalized records; the same again may say it better. `$rows` gives the rows.
macro_rules! insert_records {
    ($rows:literal) => {
        concat!(
            "INSERT INTO normalized_records
               (src, seq, ordinal, version, utc_offset, is_whole, language, project, project_name, path, category,
                data) ",
            $rows,
            " ON CONFLICT (src, seq, ordinal, version) DO UPDATE SET
              utc_offset = excluded.utc_offset, is_whole = excluded.is_whole, language = excluded.language,
              project = excluded.project, project_name = excluded.project_name, path = excluded.path,
              category = excluded.category, data = excluded.data"
        )
    };
}
/// Writes what records have of their batches' clients. `$rows` gives the rows.
macro_rules! insert_clients {
    ($rows:literal) => {
        concat!(
            "INSERT INTO normalized_clients (src, seq, version, editor, editor_version, operating_system, machine) ",
            $rows,
            " ON CONFLICT (src, seq, version) DO UPDATE SET
              editor = excluded.editor, editor_version = excluded.editor_version,
              operating_system = excluded.operating_system, machine = excluded.machine"
        )
    };
}
/// Writes what was computed of an hour if it is newer than what is there, or made with something else.
macro_rules! insert_partials {
    ($rows:literal) => {
        concat!(
            "INSERT INTO partials (developer, kind, hour, computed_gen, version, made_with, body) ",
            $rows,
            " ON CONFLICT (developer, kind, hour) DO UPDATE SET
              computed_gen = excluded.computed_gen, version = excluded.version, made_with = excluded.made_with,
              body = excluded.body
            WHERE partials.computed_gen < excluded.computed_gen OR partials.version < excluded.version
              OR (partials.computed_gen = excluded.computed_gen AND partials.version = excluded.version
                AND partials.made_with <> excluded.made_with)"
        )
    };
}
/// Writes what was computed of a day if it is newer than what is there.
macro_rules! insert_days {
    ($rows:literal) => {
        concat!(
            "INSERT INTO days (developer, day, computed_gen, version, idle_ms, body, counts) ",
            $rows,
            " ON CONFLICT (developer, day) DO UPDATE SET
              computed_gen = excluded.computed_gen, version = excluded.version, idle_ms = excluded.idle_ms,
              body = excluded.body, counts = excluded.counts
            WHERE days.computed_gen < excluded.computed_gen OR days.version < excluded.version
              OR (days.computed_gen = excluded.computed_gen AND days.version = excluded.version
                AND days.idle_ms <> excluded.idle_ms)"
        )
    };
}
/// Enters rule windows that are newer than what is there.
macro_rules! insert_rule_windows {
    ($rows:literal) => {
        concat!(
            "INSERT INTO rule_windows (developer, rule, window_start, computed_gen, version) ",
            $rows,
            " ON CONFLICT (developer, rule, window_start) DO UPDATE SET
              computed_gen = excluded.computed_gen, version = excluded.version
            WHERE rule_windows.computed_gen < excluded.computed_gen OR rule_windows.version < excluded.version"
        )
    };
}
/// Writes alerts. What is published only rises; of a silent revision it is the revision itself.
macro_rules! insert_alerts {
    ($rows:literal) => {
        concat!(
            "INSERT INTO alerts (alert_id, developer, rule, window_start, severity, title, body, state, revision,
               published, push, replay_id, src, seq, correlation_id) ",
            $rows,
            " ON CONFLICT (alert_id) DO UPDATE SET
              severity = excluded.severity, title = excluded.title, body = excluded.body, state = excluded.state,
              revision = excluded.revision, push = excluded.push, src = excluded.src, seq = excluded.seq,
              correlation_id = excluded.correlation_id,
              published = CASE WHEN alerts.published < excluded.published
                THEN excluded.published ELSE alerts.published END"
        )
    };
}
pub(crate) use {
    insert_alerts, insert_clients, insert_days, insert_partials, insert_records,
    insert_rule_windows,
};
