//! Devtrail's database behind narrow roles: what a caller needs, and nothing more.
//!
//! Each role is a trait in the file of its name, and each engine implements it in a file of the same name. [`Persist`]
//! stores batches (T1 of `docs/protocol.md`), [`Outbox`] publishes their jobs (T2), [`Jobs`] is what jobs read and how
//! they finish (T3), [`AlertOutbox`] publishes alerts, [`Attempts`] records what failed, [`DeadLetters`] what
//! administrators decide about it. [`VerifyReads`], [`QueryReads`], [`Listings`], [`ExportReads`], [`History`],
//! [`Quarantine`] and [`Retention`] read what is stored, [`Monitoring`] finds what is overdue. [`Sqlite`] and
//! [`Postgres`] are the engines. No SQL is written outside this crate.

mod alert_change;
mod alert_outbox;
mod attempts;
mod audit;
mod audit_rows;
mod batch_summary;
mod dead_letters;
mod decoded_batch;
mod dedup;
mod effects;
mod error;
mod export;
mod history;
mod hours;
mod identity;
mod jobs;
mod listings;
mod monitoring;
mod outbox;
mod persist;
mod postgres;
mod quarantine;
mod query_reads;
mod refused_row;
mod retention;
mod row;
mod schema;
mod snapshot;
mod sql;
mod sqlite;
mod store;
mod stream_names;
mod submission;
mod transaction_timing;
mod verify_reads;

pub use alert_outbox::{AlertOutbox, AlertRevision, PublishedRevision};
pub use attempts::{Attempt, Attempts, MessageKey, Recovery, StoredAttempt};
pub use dead_letters::{DeadLetterDecision, DeadLetters};
pub use decoded_batch::{AdmittedEvent, DecodedBatch, RefusedEvent, StoredFrom};
pub use effects::{
    DayRow, Effects, Finding, JobDone, NormalizedClient, NormalizedRow, PartialRow, RuleWindow,
};
pub use error::StoreError;
pub use export::{ExportReads, ExportedEvent, ExportedRefusal, PageLimits};
pub use history::{AuditEntry, Clue, History};
pub use hours::{ChangedSpan, HourRange, TimeSpan};
pub use identity::{Identity, Reread, SeqGap};
pub use jobs::{JobBatch, Jobs, WindowKey};
pub use listings::Listings;
pub use monitoring::{Monitoring, Overdue};
pub use outbox::{Outbox, Pending, Receipt, Triggered};
pub use persist::{Persist, Stored};
pub use postgres::{BadPostgresUrl, Postgres, PostgresUrl};
pub use quarantine::{IdOwner, Quarantine, QuarantineFilter, QuarantinedBatch, QuarantinedEvent};
pub use query_reads::{
    NotAccepted, QueryReads, StoredAlert, StoredBatch, StoredCounts, StoredDay, StoredOriginal,
};
pub use retention::{BatchProgress, Retention};
pub use snapshot::{
    Computed, ComputedAt, DayComputedAt, Hour, HourChange, Partial, ReadPlan, Snapshot,
    SnapshotRequest, StoredEvent,
};
pub use sqlite::{SQLITE_CACHE_KIB, Sqlite};
pub use store::Store;
pub use stream_names::StreamNames;
pub use submission::Submission;
pub use verify_reads::{
    Account, AuditStep, BatchStatus, EventColumns, StoredPlacement, Totals, VerifyReads,
};
