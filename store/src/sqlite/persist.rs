//! T1: a group of batches in one transaction (docs/protocol.md, Transactions).

use std::collections::{BTreeMap, BTreeSet};

use common::bus::StreamLife;
use common::clock::{Micros, SECOND, utc_hour};
use common::id::{BatchRef, EventRef, Src};
use common::job::{BatchState, EventSummary, JobBody, Mask};
use common::verdict::{Code, Counts, Verdict};
use rusqlite::{Connection, OptionalExtension, named_params, params};
use serde_json::{Value, json};

use super::Sqlite;
use crate::audit::AuditTrail;
use crate::contest::{Decision, Loser, Submission, beside, decide};
use crate::incoming::{Competitor, Incoming, Refused};
use crate::{Persist, StoreError, Stored};

/// A stored batch's jobs belong to its own worker for this long, then to the sweep.
const OWN_LEASE: Micros = 5 * SECOND;

const INSERT_DEVELOPER: &str = "INSERT INTO developers (developer) VALUES (?1) ON CONFLICT DO NOTHING";
const TOMBSTONE: &str = "SELECT tombstone_src, tombstone_seq FROM developers
    WHERE developer = ?1 AND tombstone_src IS NOT NULL";
const BATCH_EXISTS: &str = "SELECT state FROM batches WHERE src = ?1 AND seq = ?2";
const INSERT_BATCH: &str = "INSERT INTO batches
    (src, seq, developer, batch_id, correlation_id, traceparent, schema_version, sent_at, skew, collector, client,
     received_at, validated_at, published_at, persisted_at,
     received, accepted, duplicate, rejected, quarantined, need, state, job_body, lease_until)
    VALUES (:src, :seq, :developer, :batch_id, :correlation_id, :traceparent, :schema_version, :sent_at, :skew,
     :collector, :client, :received_at, :validated_at, :published_at, :persisted_at,
     :received, :accepted, :duplicate, :rejected, :quarantined, :need, :state, :job_body, :lease_until)";
const INSERT_EVENT: &str = "INSERT INTO events
    (src, seq, ordinal, developer, event_id, type, schema_version, effective_at, local_day, body, hash)
    VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11) ON CONFLICT (developer, event_id) DO NOTHING";
const HOLDER: &str = "SELECT e.src, e.seq, e.ordinal, e.hash, e.body, e.effective_at, b.batch_id, b.received_at
    FROM events e LEFT JOIN batches b ON b.src = e.src AND b.seq = e.seq
    WHERE e.developer = ?1 AND e.event_id = ?2";
const DELETE_EVENT: &str = "DELETE FROM events WHERE src = ?1 AND seq = ?2 AND ordinal = ?3";
const LOSERS: &str = "SELECT src, seq, ordinal, hash, body FROM duplicates WHERE developer = ?1 AND event_id = ?2
    UNION ALL
    SELECT src, seq, ordinal, hash, body FROM refused
    WHERE developer = ?1 AND event_id = ?2 AND code = 'id_conflict'";
const DELETE_DUPLICATES: &str = "DELETE FROM duplicates WHERE developer = ?1 AND event_id = ?2";
const DELETE_CONFLICTS: &str =
    "DELETE FROM refused WHERE developer = ?1 AND event_id = ?2 AND code = 'id_conflict'";
const INSERT_REFUSED: &str = "INSERT INTO refused
    (src, seq, ordinal, developer, event_id, verdict, code, pointer, detail, body, hash)
    VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)";
const INSERT_DUPLICATE: &str = "INSERT INTO duplicates (src, seq, ordinal, developer, event_id, hash, body)
    VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)";
const BUMP_HOUR: &str = "INSERT INTO hours (developer, hour, gen) VALUES (?1, ?2, 1)
    ON CONFLICT (developer, hour) DO UPDATE SET gen = gen + 1";
const INSERT_AUDIT: &str = "INSERT INTO audit
    (id, time, step, outcome, actor, src, seq, replay_id, personal_hash, hash)
    VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)";
const INSERT_PERSONAL: &str = "INSERT INTO audit_personal
    (id, salt, developer, batch_id, event_id, correlation_id, detail) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)";
const INSERT_SOURCE: &str = "INSERT INTO sources (stream, created_at) VALUES (?1, ?2) ON CONFLICT DO NOTHING";
const SOURCE: &str = "SELECT src FROM sources WHERE stream = ?1 AND created_at = ?2";

impl Persist for Sqlite {
    async fn source(&self, life: &StreamLife) -> Result<Src, StoreError> {
        let life = life.clone();
        let find = move |connection: &Connection| {
            connection.prepare_cached(INSERT_SOURCE)?.execute(params![life.name, life.created])?;
            Ok(connection.prepare_cached(SOURCE)?.query_row(params![life.name, life.created], |row| row.get(0))?)
        };
        self.writer.write(find).await
    }

    async fn persist(&self, mut group: Vec<Incoming>) -> Result<Vec<Stored>, StoreError> {
        group.sort_by_key(|batch| batch.at);
        self.writer.write(move |connection| group.iter().map(|batch| T1 { connection, batch }.run()).collect()).await
    }
}

/// The transaction's part for one batch.
struct T1<'a> {
    connection: &'a Connection,
    batch: &'a Incoming,
}

/// The event that holds an id.
struct Holder {
    at: EventRef,
    hash: [u8; 32],
    body: Vec<u8>,
    effective_at: Micros,
    batch_id: Option<String>,
    received_at: Option<Micros>,
}

/// What the batch's events came to.
#[derive(Default)]
struct Tally {
    counts: Counts,
    hours: BTreeSet<i64>,
    /// Ordinals of new events, the swapped in ones too.
    new: BTreeSet<u32>,
}

impl T1<'_> {
    fn run(&self) -> Result<Stored, StoreError> {
        let (at, developer) = (self.batch.at, self.batch.header.developer.as_str());
        self.connection.prepare_cached(INSERT_DEVELOPER)?.execute([developer])?;
        if let Some(state) = self.state_of(at)? {
            return Ok(Stored { at, already: true, counts: Counts::default(), state });
        }
        let mut trail = AuditTrail::of(self.batch);
        if self.is_forgotten()? {
            // Only the skeleton stays: no row names the person or holds what was sent.
            self.insert_batch(Counts::default(), Mask::NONE, &self.job_body(&BTreeSet::new()))?;
            return Ok(Stored { at, already: false, counts: Counts::default(), state: BatchState::Completed });
        }
        let mut tally = Tally::default();
        for event in &self.batch.competitors {
            self.compete(event, &mut tally, &mut trail)?;
        }
        for refused in &self.batch.refused {
            self.insert_refused(at.event(refused.ordinal), refused)?;
            tally.counts.add(refused.verdict);
            trail.refused(refused.code.as_str(), refused.ordinal, refused.id.as_deref(), None);
        }
        for hour in &tally.hours {
            self.connection.prepare_cached(BUMP_HOUR)?.execute(params![developer, hour])?;
        }
        let need = if tally.new.is_empty() { Mask::NONE } else { Mask::ALL };
        self.insert_batch(tally.counts, need, &self.job_body(&tally.new))?;
        if need == Mask::NONE {
            trail.completed();
        }
        self.insert_audit(&trail)?;
        Ok(Stored { at, already: false, counts: tally.counts, state: BatchState::stored(need) })
    }

    fn state_of(&self, at: BatchRef) -> Result<Option<BatchState>, StoreError> {
        let mut statement = self.connection.prepare_cached(BATCH_EXISTS)?;
        let name: Option<String> =
            statement.query_row(params![at.src, at.seq as i64], |row| row.get(0)).optional()?;
        let parse = |name: String| {
            serde_json::from_value(Value::String(name.clone()))
                .map_err(|_| StoreError::Failed(format!("batch {at} has the unknown state {name:?}")))
        };
        name.map(parse).transpose()
    }

    fn is_forgotten(&self) -> Result<bool, StoreError> {
        let mut statement = self.connection.prepare_cached(TOMBSTONE)?;
        let tombstone = statement.query_row([self.batch.header.developer.as_str()], |row| {
            Ok(BatchRef { src: row.get(0)?, seq: row.get::<_, i64>(1)?.unsigned_abs() })
        });
        Ok(tombstone.optional()?.is_some_and(|tombstone| self.batch.at <= tombstone))
    }

    /// One admitted event: it is new, or finds its id held.
    fn compete(&self, event: &Competitor, tally: &mut Tally, trail: &mut AuditTrail<'_>) -> Result<(), StoreError> {
        let at = self.batch.at.event(event.ordinal);
        if self.insert_event(at, event)? {
            return Ok(tally.add_new(event));
        }
        let holder = self.holder(&event.id)?;
        let newcomer = Submission { at, hash: &event.hash, body: &event.body };
        match decide(holder.submission(), newcomer) {
            Decision::Own => tally.counts.add(Verdict::Accepted),
            Decision::Takes => {
                self.swap(&holder, at, event)?;
                tally.hours.insert(utc_hour(holder.effective_at));
                tally.add_new(event);
            }
            Decision::Loses(loser) => {
                self.insert_loser(&event.id, at, (&event.hash, &event.body), loser)?;
                let original = self.describe(&holder);
                match loser {
                    Loser::Duplicate { .. } => {
                        tally.counts.add(Verdict::Duplicate);
                        trail.deduplicated(event.ordinal, &event.id, &original);
                    }
                    Loser::Conflict => {
                        tally.counts.add(Verdict::Quarantined);
                        trail.refused(Code::IdConflict.as_str(), event.ordinal, Some(&event.id), Some(&original));
                    }
                }
            }
        }
        Ok(())
    }

    fn insert_event(&self, at: EventRef, event: &Competitor) -> Result<bool, StoreError> {
        let developer = self.batch.header.developer.as_str();
        let inserted = self.connection.prepare_cached(INSERT_EVENT)?.execute(params![
            at.src, at.seq as i64, at.ordinal, developer, event.id, event.kind, event.schema_version,
            event.effective_at, event.local_day, event.body, event.hash
        ])?;
        Ok(inserted == 1)
    }

    fn holder(&self, id: &str) -> Result<Holder, StoreError> {
        let mut statement = self.connection.prepare_cached(HOLDER)?;
        Ok(statement.query_row(params![self.batch.header.developer.as_str(), id], |row| {
            Ok(Holder {
                at: event_ref(row)?,
                hash: row.get(3)?,
                body: row.get(4)?,
                effective_at: row.get(5)?,
                batch_id: row.get(6)?,
                received_at: row.get(7)?,
            })
        })?)
    }

    /// The newcomer came before the holder: it takes the place, all others are judged beside it.
    fn swap(&self, holder: &Holder, at: EventRef, event: &Competitor) -> Result<(), StoreError> {
        let key = params![self.batch.header.developer.as_str(), event.id];
        let mut losers: Vec<(EventRef, [u8; 32], Vec<u8>)> = vec![(holder.at, holder.hash, holder.body.clone())];
        let mut statement = self.connection.prepare_cached(LOSERS)?;
        let rows = statement.query_map(key, |row| {
            let body: Option<Vec<u8>> = row.get(4)?;
            // No bytes of its own: they are the former original's.
            Ok((event_ref(row)?, row.get(3)?, body.unwrap_or_else(|| holder.body.clone())))
        })?;
        losers.extend(rows.collect::<Result<Vec<_>, _>>()?);
        self.connection.prepare_cached(DELETE_DUPLICATES)?.execute(key)?;
        self.connection.prepare_cached(DELETE_CONFLICTS)?.execute(key)?;
        let held = params![holder.at.src, holder.at.seq as i64, holder.at.ordinal];
        self.connection.prepare_cached(DELETE_EVENT)?.execute(held)?;
        self.insert_event(at, event)?;
        let original = Submission { at, hash: &event.hash, body: &event.body };
        for (at, hash, body) in &losers {
            let loser = beside(original, Submission { at: *at, hash, body });
            self.insert_loser(&event.id, *at, (hash, body), loser)?;
        }
        Ok(())
    }

    fn insert_loser(
        &self,
        id: &str,
        at: EventRef,
        (hash, body): (&[u8; 32], &[u8]),
        loser: Loser,
    ) -> Result<(), StoreError> {
        let developer = self.batch.header.developer.as_str();
        match loser {
            Loser::Duplicate { same_bytes } => {
                let body = (!same_bytes).then_some(body);
                self.connection
                    .prepare_cached(INSERT_DUPLICATE)?
                    .execute(params![at.src, at.seq as i64, at.ordinal, developer, id, hash, body])?;
            }
            Loser::Conflict => self.insert_refused(
                at,
                &Refused {
                    ordinal: at.ordinal,
                    id: Some(id.to_owned()),
                    verdict: Verdict::Quarantined,
                    code: Code::IdConflict,
                    pointer: Some("/id".to_owned()),
                    detail: Some("the id is taken by an event with other content".to_owned()),
                    body: body.to_vec(),
                    hash: *hash,
                },
            )?,
        }
        Ok(())
    }

    fn insert_refused(&self, at: EventRef, refused: &Refused) -> Result<(), StoreError> {
        self.connection.prepare_cached(INSERT_REFUSED)?.execute(params![
            at.src, at.seq as i64, at.ordinal, self.batch.header.developer.as_str(), refused.id,
            refused.verdict.as_str(), refused.code.as_str(), refused.pointer, refused.detail, refused.body,
            refused.hash
        ])?;
        Ok(())
    }

    /// The original as R7.2 wants it named.
    fn describe(&self, holder: &Holder) -> Value {
        // Of this very batch there is no row yet.
        let batch_id = holder.batch_id.as_deref().unwrap_or(&self.batch.header.batch_id);
        let received_at = holder.received_at.unwrap_or(self.batch.header.received_at);
        json!({
            "src": holder.at.src, "seq": holder.at.seq, "ordinal": holder.at.ordinal,
            "batch_id": batch_id, "received_at": common::clock::rfc3339(received_at),
        })
    }

    fn job_body(&self, new: &BTreeSet<u32>) -> JobBody {
        let header = &self.batch.header;
        let mut body = JobBody {
            batch_id: header.batch_id.clone(),
            developer: header.developer.to_string(),
            correlation_id: header.correlation_id.clone(),
            traceparent: header.traceparent.clone(),
            batch: self.batch.at,
            counts_by_type: BTreeMap::new(),
            first_occurred_at: None,
            last_occurred_at: None,
            touched_days: BTreeSet::new(),
            schema_versions: BTreeSet::new(),
        };
        for event in self.batch.competitors.iter().filter(|event| new.contains(&event.ordinal)) {
            body.add(EventSummary {
                kind: &event.kind,
                schema_version: &event.schema_version,
                effective_at: event.effective_at,
                local_day: &event.local_day,
            });
        }
        body
    }

    fn insert_batch(&self, counts: Counts, need: Mask, job_body: &JobBody) -> Result<(), StoreError> {
        let (at, header) = (self.batch.at, &self.batch.header);
        let job_body = serde_json::to_string(job_body).map_err(|error| StoreError::Failed(error.to_string()))?;
        self.connection.prepare_cached(INSERT_BATCH)?.execute(named_params! {
            ":src": at.src,
            ":seq": at.seq as i64,
            ":developer": header.developer.as_str(),
            ":batch_id": header.batch_id,
            ":correlation_id": header.correlation_id,
            ":traceparent": header.traceparent,
            ":schema_version": header.schema_version,
            ":sent_at": header.sent_at,
            ":skew": header.skew,
            ":collector": header.collector,
            ":client": header.envelope.get("client").map(|client| client.get().as_bytes()),
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
            ":lease_until": self.batch.persisted_at + OWN_LEASE,
        })?;
        Ok(())
    }

    fn insert_audit(&self, trail: &AuditTrail<'_>) -> Result<(), StoreError> {
        let mut audit = self.connection.prepare_cached(INSERT_AUDIT)?;
        let mut personal = self.connection.prepare_cached(INSERT_PERSONAL)?;
        for row in &trail.rows {
            let (skeleton, person) = (&row.skeleton, &row.personal);
            audit.execute(params![
                skeleton.id.as_bytes(), skeleton.time, skeleton.step.as_str(), skeleton.outcome, skeleton.actor,
                skeleton.src, skeleton.seq as i64, skeleton.replay_id, row.personal_hash, row.hash
            ])?;
            personal.execute(params![
                skeleton.id.as_bytes(), row.salt, person.developer, person.batch_id, person.event_id,
                person.correlation_id, person.detail
            ])?;
        }
        Ok(())
    }
}

impl Holder {
    fn submission(&self) -> Submission<'_> {
        Submission { at: self.at, hash: &self.hash, body: &self.body }
    }
}

impl Tally {
    fn add_new(&mut self, event: &Competitor) {
        self.counts.add(Verdict::Accepted);
        self.hours.insert(utc_hour(event.effective_at));
        self.new.insert(event.ordinal);
    }
}

/// The reference in a row's first three columns.
pub(super) fn event_ref(row: &rusqlite::Row<'_>) -> rusqlite::Result<EventRef> {
    Ok(EventRef { src: row.get(0)?, seq: row.get::<_, i64>(1)?.unsigned_abs(), ordinal: row.get(2)? })
}
