//! T1: a group of batches in one transaction (docs/protocol.md, Transactions).

mod rows;
mod sql;

use rusqlite::{Connection, OptionalExtension, params};
use types::id::{BatchRef, EventRef, Src};
use types::job::{BatchState, Mask};
use types::stream::StreamIncarnation;
use types::time::Micros;
use types::verdict::{Counts, Verdict};

use super::audit::{self, Keep};
use super::read::SOURCE;
use super::{Sqlite, batches};
use crate::audit::AuditTrail;
use crate::contest::{Beaten, Holder, Lost, Resolution, Submission, decide, judged_anew};
use crate::incoming::{AdmittedEvent, DecodedBatch, StoredFrom};
use crate::refused::RefusedRow;
use crate::tally::Tally;
use crate::{Persist, StoreError, Stored, VerifyReads};
use sql::{
    BATCH_EXISTS, BEATEN, BUMP_HOUR, DELETE_CONFLICTS, DELETE_DUPLICATES, DELETE_EVENT, HOLDER,
    INSERT_DEVELOPER, INSERT_SOURCE, TOMBSTONE,
};

impl Persist for Sqlite {
    async fn source(&self, incarnation: &StreamIncarnation) -> Result<Src, StoreError> {
        // Nearly always it is known: a look costs no turn of the writer.
        if let Some(src) = self.known_source(incarnation).await? {
            return Ok(src);
        }
        let incarnation = incarnation.clone();
        let find = move |connection: &Connection| {
            connection
                .prepare_cached(INSERT_SOURCE)?
                .execute(params![incarnation.name, incarnation.created])?;
            Ok(connection
                .prepare_cached(SOURCE)?
                .query_row(params![incarnation.name, incarnation.created], |row| {
                    row.get(0)
                })?)
        };
        self.write(find).await
    }

    async fn store_batches(&self, mut group: Vec<DecodedBatch>) -> Result<Vec<Stored>, StoreError> {
        group.sort_by_key(|batch| batch.at);
        let t1 = move |connection: &Connection| {
            group
                .iter()
                .map(|batch| T1 { connection, batch }.run())
                .collect()
        };
        crate::measured::store_batches(self.write(t1)).await
    }
}

/// The transaction's part for one batch.
struct T1<'a> {
    connection: &'a Connection,
    batch: &'a DecodedBatch,
}

/// Batch id and receipt of a stored batch.
type Receipt = (String, Micros);

impl T1<'_> {
    fn run(&self) -> Result<Stored, StoreError> {
        let (at, developer) = (self.batch.at, self.batch.header.developer.as_str());
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
            let bare = self.batch.without_person();
            let skeleton = T1 {
                connection: self.connection,
                batch: &bare,
            };
            skeleton.insert_batch(&Tally::default())?;
            audit::append(self.connection, &AuditTrail::of(&bare).rows, Keep::Skeleton)?;
            return Ok(Tally::default().stored(&bare));
        }
        let mut trail = AuditTrail::of(self.batch);
        let mut tally = Tally::default();
        for event in &self.batch.competitors {
            self.compete(event, &mut tally, &mut trail)?;
        }
        for refused in &self.batch.refused {
            self.insert_refused(&RefusedRow::at_admission(self.batch, refused))?;
            tally.counts.add(refused.code.verdict());
            trail.refused(refused);
        }
        for hour in &tally.hours {
            self.connection
                .prepare_cached(BUMP_HOUR)?
                .execute(params![developer, hour])?;
        }
        self.insert_batch(&tally)?;
        if tally.need() == Mask::NONE {
            trail.completed();
        }
        audit::append(self.connection, &trail.rows, Keep::All)?;
        Ok(tally.stored(self.batch))
    }

    fn state_of(&self, at: BatchRef) -> Result<Option<BatchState>, StoreError> {
        let mut statement = self.connection.prepare_cached(BATCH_EXISTS)?;
        let found = statement.query_row(params![at.src, at.seq as i64], |row| {
            let from = StoredFrom {
                published_at: row.get(1)?,
                developer: row.get(2)?,
                batch_id: row.get(3)?,
            };
            Ok((batches::state(row, 0)?, from))
        });
        let Some((state, from)) = found.optional()? else {
            return Ok(None);
        };
        self.batch.expect_own(&from)?;
        Ok(Some(state))
    }

    fn is_forgotten(&self) -> Result<bool, StoreError> {
        let mut statement = self.connection.prepare_cached(TOMBSTONE)?;
        let tombstone = statement.query_row([self.batch.header.developer.as_str()], |row| {
            Ok(BatchRef {
                src: row.get(0)?,
                seq: row.get::<_, i64>(1)?.unsigned_abs(),
            })
        });
        Ok(tombstone
            .optional()?
            .is_some_and(|tombstone| self.batch.at <= tombstone))
    }

    /// One admitted event: it is new, or finds its id held.
    fn compete(
        &self,
        event: &AdmittedEvent,
        tally: &mut Tally,
        trail: &mut AuditTrail<'_>,
    ) -> Result<(), StoreError> {
        let at = self.batch.at.event(event.ordinal);
        if self.insert_event(at, event)? {
            tally.add_new(event);
            return Ok(());
        }
        let (holder, receipt) = self.holder(&event.id)?;
        let submission = Submission {
            at,
            hash: &event.hash,
            body: &event.body,
        };
        match decide(holder.submission(), submission) {
            Resolution::Own => tally.counts.add(Verdict::Accepted),
            Resolution::Takes => {
                self.swap(&holder, submission, event)?;
                tally.left(holder.effective_at, &holder.local_day);
                tally.add_new(event);
            }
            Resolution::Loses(loser) => {
                let developer = self.batch.header.developer.as_str();
                self.insert_loser(&Lost {
                    developer,
                    id: &event.id,
                    submission,
                    loser,
                })?;
                tally.counts.add(loser.verdict());
                trail.lost(event, loser, holder.at, receipt.as_ref());
            }
        }
        Ok(())
    }

    /// The event that holds the id; the receipt of its batch, where that is not this very one, which
    /// has no row yet.
    fn holder(&self, id: &str) -> Result<(Holder, Option<Receipt>), StoreError> {
        let mut statement = self.connection.prepare_cached(HOLDER)?;
        Ok(
            statement.query_row(params![self.batch.header.developer.as_str(), id], |row| {
                let holder = Holder {
                    at: event_ref(row)?,
                    hash: row.get(3)?,
                    body: row.get(4)?,
                    effective_at: row.get(5)?,
                    local_day: row.get(6)?,
                };
                let batch_id: Option<String> = row.get(7)?;
                let receipt =
                    batch_id.map(|batch_id| Ok::<_, rusqlite::Error>((batch_id, row.get(8)?)));
                Ok((holder, receipt.transpose()?))
            })?,
        )
    }

    /// The newcomer came before the holder: it takes the place, all others are judged beside it.
    fn swap(
        &self,
        holder: &Holder,
        original: Submission<'_>,
        event: &AdmittedEvent,
    ) -> Result<(), StoreError> {
        let (developer, id) = (self.batch.header.developer.as_str(), event.id.as_str());
        let key = params![developer, id];
        let mut statement = self.connection.prepare_cached(BEATEN)?;
        let beaten = statement.query_map(key, |row| {
            Ok(Beaten {
                at: event_ref(row)?,
                hash: row.get(3)?,
                body: row.get(4)?,
            })
        })?;
        let beaten = beaten.collect::<Result<Vec<_>, _>>()?;
        self.connection
            .prepare_cached(DELETE_DUPLICATES)?
            .execute(key)?;
        self.connection
            .prepare_cached(DELETE_CONFLICTS)?
            .execute(key)?;
        let held = params![holder.at.src, holder.at.seq as i64, holder.at.ordinal];
        self.connection
            .prepare_cached(DELETE_EVENT)?
            .execute(held)?;
        self.insert_event(original.at, event)?;
        judged_anew((developer, id, original), holder, &beaten)
            .try_for_each(|lost| self.insert_loser(&lost))
    }

    fn insert_loser(&self, lost: &Lost<'_>) -> Result<(), StoreError> {
        match RefusedRow::conflict(lost) {
            Some(conflict) => self.insert_refused(&conflict),
            None => self.insert_duplicate(lost),
        }
    }
}

/// The reference in a row's first three columns.
pub(super) fn event_ref(row: &rusqlite::Row<'_>) -> rusqlite::Result<EventRef> {
    Ok(EventRef {
        src: row.get(0)?,
        seq: row.get::<_, i64>(1)?.unsigned_abs(),
        ordinal: row.get(2)?,
    })
}
