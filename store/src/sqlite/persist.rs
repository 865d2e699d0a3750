//! T1: a group of batches in one transaction (docs/protocol.md, Transactions).

mod rows;
mod sql;

use std::collections::BTreeSet;

use common::bus::StreamLife;
use common::clock::{Micros, utc_hour};
use common::id::{BatchRef, EventRef, Src};
use common::job::{BatchState, Mask};
use common::verdict::{Code, Counts, Verdict};
use rusqlite::{Connection, OptionalExtension, params};
use serde_json::{Value, json};

use super::Sqlite;
use crate::audit::AuditTrail;
use crate::contest::{Decision, Loser, Submission, beside, decide};
use crate::incoming::{Competitor, Incoming, Refused, StoredFrom};
use crate::{Persist, StoreError, Stored};
use sql::{
    BATCH_EXISTS, BUMP_HOUR, DELETE_CONFLICTS, DELETE_DUPLICATES, DELETE_EVENT, HOLDER, INSERT_DEVELOPER,
    INSERT_DUPLICATE, INSERT_SOURCE, LOSERS, SOURCE, TOMBSTONE,
};

impl Persist for Sqlite {
    async fn source(&self, life: &StreamLife) -> Result<Src, StoreError> {
        let life = life.clone();
        let find = move |connection: &Connection| {
            connection.prepare_cached(INSERT_SOURCE)?.execute(params![life.name, life.created])?;
            Ok(connection
                .prepare_cached(SOURCE)?
                .query_row(params![life.name, life.created], |row| row.get(0))?)
        };
        self.writer.write(find).await
    }

    async fn persist(&self, mut group: Vec<Incoming>) -> Result<Vec<Stored>, StoreError> {
        group.sort_by_key(|batch| batch.at);
        self.writer
            .write(move |connection| group.iter().map(|batch| T1 { connection, batch }.run()).collect())
            .await
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
        if self.is_forgotten()? {
            let bare = self.batch.without_person();
            let skeleton = T1 { connection: self.connection, batch: &bare };
            skeleton.insert_batch(Counts::default(), Mask::NONE, &skeleton.job_body(&BTreeSet::new()))?;
            skeleton.insert_skeletons(&AuditTrail::of(&bare))?;
            return Ok(Stored {
                at,
                already: false,
                counts: Counts::default(),
                state: BatchState::Completed,
            });
        }
        let mut trail = AuditTrail::of(self.batch);
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
        let found = statement.query_row(params![at.src, at.seq as i64], |row| {
            let from =
                StoredFrom { published_at: row.get(1)?, developer: row.get(2)?, batch_id: row.get(3)? };
            Ok((row.get::<_, String>(0)?, from))
        });
        let Some((name, from)) = found.optional()? else { return Ok(None) };
        self.batch.expect_own(&from)?;
        serde_json::from_value(Value::String(name.clone()))
            .map(Some)
            .map_err(|_| StoreError::Failed(format!("batch {at} has the unknown state {name:?}")))
    }

    fn is_forgotten(&self) -> Result<bool, StoreError> {
        let mut statement = self.connection.prepare_cached(TOMBSTONE)?;
        let tombstone = statement.query_row([self.batch.header.developer.as_str()], |row| {
            Ok(BatchRef { src: row.get(0)?, seq: row.get::<_, i64>(1)?.unsigned_abs() })
        });
        Ok(tombstone.optional()?.is_some_and(|tombstone| self.batch.at <= tombstone))
    }

    /// One admitted event: it is new, or finds its id held.
    fn compete(
        &self,
        event: &Competitor,
        tally: &mut Tally,
        trail: &mut AuditTrail<'_>,
    ) -> Result<(), StoreError> {
        let at = self.batch.at.event(event.ordinal);
        if self.insert_event(at, event)? {
            return {
                tally.add_new(event);
                Ok(())
            };
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
                        trail.refused(
                            Code::IdConflict.as_str(),
                            event.ordinal,
                            Some(&event.id),
                            Some(&original),
                        );
                    }
                }
            }
        }
        Ok(())
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
        let mut losers: Vec<(EventRef, [u8; 32], Vec<u8>)> =
            vec![(holder.at, holder.hash, holder.body.clone())];
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
                self.connection.prepare_cached(INSERT_DUPLICATE)?.execute(params![
                    at.src,
                    at.seq as i64,
                    at.ordinal,
                    developer,
                    id,
                    hash,
                    body
                ])?;
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
