//! T1: a group of batches in one transaction (docs/protocol.md, Transactions).

use rusqlite::{Connection, named_params, params};
use types::id::{BatchRef, Src};
use types::job::{BatchState, JobBody, Mask};
use types::stream::StreamIncarnation;
use types::time::{Micros, SECOND};
use types::verdict::{Counts, Verdict};

use super::audit::{self, Keep};
use super::database::Sqlite;
use super::records;
use super::statements::{execute, list, one};
use crate::audit::{AuditRow, AuditTrail, OriginalBatch};
use crate::batch_summary::BatchSummary;
use crate::decoded_batch::{AdmittedEvent, DecodedBatch, StoredFrom};
use crate::dedup::{
    Candidate, CurrentOwner, DisplacedCandidate, DisplacedEvent, Resolution, re_evaluate, resolve,
};
use crate::error::StoreError;
use crate::persist::{Persist, Stored};
use crate::refused_row::RefusedRow;
use crate::row::{Row as _, batch_ref, event_ref, hash, state};
use crate::transaction_timing;
use crate::verify_reads::{SOURCE, VerifyReads};

/// A stored batch's jobs belong to its own worker for this long, then to the sweep of the outbox.
const OWN_LEASE: Micros = 5 * SECOND;

/// Every developer of a batch has a row.
const INSERT_DEVELOPER: &str =
    "INSERT INTO developers (developer) VALUES (?1) ON CONFLICT DO NOTHING";
/// The last batch that was forgotten, if the developer was.
const TOMBSTONE: &str = "SELECT tombstone_src, tombstone_seq FROM developers
    WHERE developer = ?1 AND tombstone_src IS NOT NULL";
/// Of a batch that is stored: its state, and the message it was stored from.
const BATCH_EXISTS: &str = "SELECT state, published_at, developer, batch_id, message_id
    FROM batches WHERE src = ?1 AND seq = ?2";
/// The storing process has the first lease (`own_lease`, µs) to publish the jobs; then the sweep may.
const INSERT_BATCH: &str = "INSERT INTO batches
    (src, seq, developer, batch_id, message_id, correlation_id, traceparent, schema_version, sent_at,
     skew, collector, client, zone, received_at, validated_at, published_at, persisted_at,
     received, accepted, duplicate, rejected, quarantined, need, state, job_body, lease_until)
    VALUES (:src, :seq, :developer, :batch_id, :message_id, :correlation_id, :traceparent,
     :schema_version, :sent_at, :skew, :collector, :client, :zone, :received_at,
     :validated_at, :published_at, :persisted_at,
     :received, :accepted, :duplicate, :rejected, :quarantined, :need, :state, :job_body,
     CAST(unixepoch('subsec') * 1000000 AS INTEGER) + :own_lease)";
/// Changes no row if the id has an owner. One row a statement: a statement for several keeps a copy of each page that
/// it changes, to undo it alone, and these pages are many (docs/decisions/0011-rows-append.md).
const INSERT_EVENT: &str = "INSERT INTO events
    (src, seq, ordinal, developer, event_id, type, schema_version, effective_at, local_day, body, hash)
    VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11) ON CONFLICT (developer, event_id) DO NOTHING";
/// The owner of an event id, with the batch id and receipt of its batch.
const OWNER: &str =
    "SELECT e.src, e.seq, e.ordinal, e.hash, e.body, e.effective_at, e.local_day, b.batch_id, b.received_at
    FROM events e LEFT JOIN batches b ON b.src = e.src AND b.seq = e.seq
    WHERE e.developer = ?1 AND e.event_id = ?2";
/// Removes a superseded owner.
const DELETE_EVENT: &str = "DELETE FROM events WHERE src = ?1 AND seq = ?2 AND ordinal = ?3";
/// The submissions that an owner displaced. The body of a duplicate is NULL if it equals the owner's.
const DISPLACED: &str =
    "SELECT src, seq, ordinal, hash, body FROM duplicates WHERE developer = ?1 AND event_id = ?2
    UNION ALL
    SELECT src, seq, ordinal, hash, body FROM refused
    WHERE developer = ?1 AND event_id = ?2 AND code = 'id_conflict'";
/// Duplicates of a superseded owner, re-evaluated before.
const DELETE_DUPLICATES: &str = "DELETE FROM duplicates WHERE developer = ?1 AND event_id = ?2";
/// Conflicts of a superseded owner, re-evaluated before.
const DELETE_CONFLICTS: &str =
    "DELETE FROM refused WHERE developer = ?1 AND event_id = ?2 AND code = 'id_conflict'";
/// A refused event or a conflict.
const INSERT_REFUSED: &str = "INSERT INTO refused
    (src, seq, ordinal, developer, event_id, verdict, code, pointer, detail, body, hash)
    VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)";
/// The body is NULL if it equals the original's.
const INSERT_DUPLICATE: &str =
    "INSERT INTO duplicates (src, seq, ordinal, developer, event_id, hash, body)
    VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)";
/// Once for each batch that touched the hour.
const BUMP_HOUR: &str = "INSERT INTO hours (developer, hour, gen) VALUES (?1, ?2, 1)
    ON CONFLICT (developer, hour) DO UPDATE SET gen = gen + 1 RETURNING gen";
/// Where the generation changed the hour.
const INSERT_HOUR_CHANGE: &str =
    "INSERT INTO hour_changes (developer, hour, gen, first_at, last_at)
    VALUES (?1, ?2, ?3, ?4, ?5)";
/// The next free number.
const INSERT_SOURCE: &str =
    "INSERT INTO sources (stream, created_at) VALUES (?1, ?2) ON CONFLICT DO NOTHING";

impl Persist for Sqlite {
    async fn source(&self, incarnation: &StreamIncarnation) -> Result<Src, StoreError> {
        // Nearly always it is known: a read costs no turn of the writer.
        if let Some(src) = self.known_source(incarnation).await? {
            return Ok(src);
        }
        let incarnation = incarnation.clone();
        self.write(move |connection| {
            let key = params![incarnation.name, incarnation.created];
            execute(connection, INSERT_SOURCE, key)?;
            one(connection, SOURCE.sqlite, key, |row| row.value(0))?
                .ok_or_else(|| StoreError::Failed("the inserted source is gone".to_owned()))
        })
        .await
    }

    async fn store_batches(&self, mut group: Vec<DecodedBatch>) -> Result<Vec<Stored>, StoreError> {
        group.sort_by_key(|batch| batch.at);
        let stored = self.write(move |connection| {
            let batches = group.iter();
            batches
                .map(|batch| StoreBatch { connection, batch }.run())
                .collect()
        });
        transaction_timing::store_batches(stored).await
    }
}

/// The transaction's part for one batch.
struct StoreBatch<'a> {
    connection: &'a Connection,
    batch: &'a DecodedBatch,
}

/// The current owner of an event id.
struct FoundOwner {
    event: CurrentOwner,
    /// `None` if it is the batch being stored, which has no row yet.
    batch: Option<OriginalBatch>,
}

impl StoreBatch<'_> {
    fn run(&self) -> Result<Stored, StoreError> {
        let at = self.batch.at;
        let developer = self.batch.header.developer.as_str();
        self.connection
            .prepare_cached(INSERT_DEVELOPER)?
            .execute([developer])?;
        if let Some(state) = self.state_of(at)? {
            return Ok(Stored {
                at,
                already: true,
                counts: Counts::default(),
                state,
                pending: None,
            });
        }
        if self.is_forgotten()? {
            let skeleton = self.batch.without_person();
            let work = StoreBatch {
                connection: self.connection,
                batch: &skeleton,
            };
            let rows = AuditTrail::of(&skeleton).take_rows(false);
            return work.finish(&BatchSummary::default(), &rows, Keep::Skeleton);
        }
        let mut audit_trail = AuditTrail::of(self.batch);
        let mut summary = BatchSummary::default();
        for event in &self.batch.admitted {
            self.store_event(event, &mut summary, &mut audit_trail)?;
        }
        for refused in &self.batch.refused {
            self.insert_refused(&RefusedRow::at_admission(self.batch, refused))?;
            summary.counts.add(refused.code.verdict());
            audit_trail.refused(refused);
        }
        for (hour, span) in &summary.hours {
            let generation: i64 = self
                .connection
                .prepare_cached(BUMP_HOUR)?
                .query_row(params![developer, hour], |row| row.get(0))?;
            let change = params![developer, hour, generation, span.first, span.last];
            execute(self.connection, INSERT_HOUR_CHANGE, change)?;
        }
        let rows = audit_trail.take_rows(summary.need() == Mask::NONE);
        self.finish(&summary, &rows, Keep::All)
    }

    /// The batch's own row, and its audit.
    fn finish(
        &self,
        summary: &BatchSummary,
        audit_rows: &[AuditRow],
        keep: Keep,
    ) -> Result<Stored, StoreError> {
        let body = summary.job_body(self.batch);
        self.insert_batch(summary, &body)?;
        audit::append(self.connection, audit_rows, keep)?;
        Ok(summary.stored(body))
    }

    fn state_of(&self, at: BatchRef) -> Result<Option<BatchState>, StoreError> {
        let key = params![at.src, at.seq as i64];
        let found = one(self.connection, BATCH_EXISTS, key, |row| {
            let from = StoredFrom {
                published_at: row.value(1)?,
                developer: row.value(2)?,
                batch_id: row.value(3)?,
                message_id: row.value(4)?,
            };
            Ok((state(row, 0)?, from))
        })?;
        let Some((state, from)) = found else {
            return Ok(None);
        };
        self.batch.expect_own(&from)?;
        Ok(Some(state))
    }

    fn is_forgotten(&self) -> Result<bool, StoreError> {
        let key = [self.batch.header.developer.as_str()];
        let tombstone = one(self.connection, TOMBSTONE, key, |row| batch_ref(row, 0))?;
        Ok(tombstone.is_some_and(|tombstone| self.batch.at <= tombstone))
    }

    /// One admitted event: it is new, or its id has an owner.
    fn store_event(
        &self,
        event: &AdmittedEvent,
        summary: &mut BatchSummary,
        audit_trail: &mut AuditTrail<'_>,
    ) -> Result<(), StoreError> {
        if self.insert_event(event)? {
            summary.add_new(event);
            return Ok(());
        }
        let at = self.batch.at.event(event.ordinal);
        let FoundOwner {
            event: owner,
            batch: original_batch,
        } = self.owner(&event.id)?;
        let candidate = Candidate {
            at,
            hash: &event.hash,
            body: &event.body,
        };
        match resolve(owner.candidate(), candidate) {
            Resolution::Own => summary.counts.add(Verdict::Accepted),
            Resolution::Supersedes => {
                self.supersede(&owner, candidate, event)?;
                summary.left(owner.effective_at, &owner.local_day);
                summary.add_new(event);
            }
            Resolution::Displaced(displaced) => {
                let developer = self.batch.header.developer.as_str();
                self.insert_displaced(&DisplacedEvent {
                    developer,
                    id: &event.id,
                    candidate,
                    displaced,
                })?;
                summary.counts.add(displaced.verdict());
                audit_trail.displaced(event, displaced, owner.at, original_batch.as_ref());
            }
        }
        Ok(())
    }

    fn owner(&self, id: &str) -> Result<FoundOwner, StoreError> {
        let key = params![self.batch.header.developer.as_str(), id];
        let found = one(self.connection, OWNER, key, |row| {
            let event = CurrentOwner {
                at: event_ref(row, 0)?,
                hash: hash(row, 3)?,
                body: row.value(4)?,
                effective_at: row.value(5)?,
                local_day: row.value(6)?,
            };
            let batch = match row.value(7)? {
                Some(batch_id) => Some(OriginalBatch {
                    batch_id,
                    received_at: row.value(8)?,
                }),
                None => None,
            };
            Ok(FoundOwner { event, batch })
        })?;
        found.ok_or_else(|| StoreError::Failed("the owner of an event id is gone".to_owned()))
    }

    /// The newcomer came before the owner: it supersedes it, and all others are re-evaluated.
    fn supersede(
        &self,
        owner: &CurrentOwner,
        original: Candidate<'_>,
        event: &AdmittedEvent,
    ) -> Result<(), StoreError> {
        let developer = self.batch.header.developer.as_str();
        let key = params![developer, event.id];
        let others = list(self.connection, DISPLACED, key, |row| {
            Ok(DisplacedCandidate {
                at: event_ref(row, 0)?,
                hash: hash(row, 3)?,
                body: row.value(4)?,
            })
        })?;
        execute(self.connection, DELETE_DUPLICATES, key)?;
        execute(self.connection, DELETE_CONFLICTS, key)?;
        let owned = params![owner.at.src, owner.at.seq as i64, owner.at.ordinal];
        execute(self.connection, DELETE_EVENT, owned)?;
        records::remove(self.connection, owner.at)?;
        self.insert_event(event)?;
        re_evaluate(developer, &event.id, original, owner, &others)
            .try_for_each(|displaced| self.insert_displaced(&displaced))
    }

    fn insert_displaced(&self, event: &DisplacedEvent<'_>) -> Result<(), StoreError> {
        match RefusedRow::conflict(event) {
            Some(conflict) => self.insert_refused(&conflict),
            None => self.insert_duplicate(event),
        }
    }

    /// Inserts an event of the batch, unless its id has an owner.
    fn insert_event(&self, event: &AdmittedEvent) -> Result<bool, StoreError> {
        let at = self.batch.at.event(event.ordinal);
        let inserted = self
            .connection
            .prepare_cached(INSERT_EVENT)?
            .execute(params![
                at.src,
                at.seq as i64,
                at.ordinal,
                self.batch.header.developer.as_str(),
                event.id,
                event.kind,
                event.schema_version,
                event.effective_at,
                event.local_day,
                event.body,
                event.hash
            ])?;
        Ok(inserted == 1)
    }

    fn insert_refused(&self, refused: &RefusedRow<'_>) -> Result<(), StoreError> {
        self.connection
            .prepare_cached(INSERT_REFUSED)?
            .execute(params![
                refused.at.src,
                refused.at.seq as i64,
                refused.at.ordinal,
                refused.developer,
                refused.event_id,
                refused.code.verdict().as_str(),
                refused.code.as_str(),
                refused.pointer,
                refused.detail,
                refused.body,
                refused.hash
            ])?;
        Ok(())
    }

    fn insert_duplicate(&self, event: &DisplacedEvent<'_>) -> Result<(), StoreError> {
        let Candidate { at, hash, .. } = event.candidate;
        self.connection
            .prepare_cached(INSERT_DUPLICATE)?
            .execute(params![
                at.src,
                at.seq as i64,
                at.ordinal,
                event.developer,
                event.id,
                hash,
                event.own_bytes()
            ])?;
        Ok(())
    }

    fn insert_batch(&self, summary: &BatchSummary, body: &JobBody) -> Result<(), StoreError> {
        let at = self.batch.at;
        let header = &self.batch.header;
        let counts = summary.counts;
        let need = summary.need();
        let job_body =
            serde_json::to_string(body).map_err(|error| StoreError::Failed(error.to_string()))?;
        self.connection
            .prepare_cached(INSERT_BATCH)?
            .execute(named_params! {
                ":src": at.src,
                ":seq": at.seq as i64,
                ":developer": header.developer.as_str(),
                ":batch_id": header.batch_id,
                ":message_id": self.batch.message_id,
                ":correlation_id": header.correlation_id,
                ":traceparent": header.traceparent,
                ":schema_version": header.schema_version,
                ":sent_at": header.sent_at,
                ":skew": header.skew,
                ":collector": header.collector,
                ":client": header.envelope.get("client").map(|client| client.get().as_bytes()),
                ":zone": header.zone,
                ":received_at": header.received_at,
                ":validated_at": header.validated_at,
                ":published_at": self.batch.published_at,
                ":persisted_at": self.batch.persisted_at,
                ":received": counts.received,
                ":accepted": counts.accepted,
                ":duplicate": counts.duplicate,
                ":rejected": counts.rejected,
                ":quarantined": counts.quarantined,
                ":need": need.0,
                ":state": BatchState::stored(need).as_str(),
                ":job_body": job_body,
                ":own_lease": OWN_LEASE,
            })?;
        Ok(())
    }
}
