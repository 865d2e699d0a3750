//! T1: a group of batches in one transaction (docs/protocol.md, Transactions).
//!
//! Locks are taken in one order, keys sorted in each: developers, batches (insert), events, refused,
//! duplicates, hours, batches (update), audit.

mod events;
mod plan;
mod rows;

use std::collections::{BTreeMap, BTreeSet, HashMap};

use deadpool_postgres::Transaction;
use types::id::{BatchRef, Src};
use types::job::{BatchState, Mask};
use types::stream::StreamIncarnation;
use types::verdict::Counts;

use super::audit;
use super::database::Postgres;
use super::error::TransactionError;
use super::statements::{self, Param, column, execute, one};
use crate::decoded_batch::{DecodedBatch, StoredFrom};
use crate::error::StoreError;
use crate::hours::ChangedSpan;
use crate::persist::{Persist, Stored};
use crate::row::{Row as _, batch_ref, state};
use crate::transaction_timing;
use crate::verify_reads::{SOURCE, VerifyReads};
use plan::ResolvedBatch;

/// Keeps two incarnations from getting one number. Taken once for each incarnation.
const LOCK_SOURCES: &str = "LOCK TABLE sources IN SHARE ROW EXCLUSIVE MODE";
/// The next free number.
const INSERT_SOURCE: &str = "INSERT INTO sources (src, stream, created_at)
    SELECT coalesce(max(src), 0) + 1, $1, $2 FROM sources ON CONFLICT (stream, created_at) DO NOTHING";
/// Every developer of a batch has a row.
const INSERT_DEVELOPERS: &str =
    "INSERT INTO developers (developer) SELECT * FROM unnest($1::text[])
    ON CONFLICT DO NOTHING";
/// The lock makes `forget` wait for every `store_batches` in flight, and no `store_batches` for another.
const TOMBSTONES: &str = "SELECT developer, tombstone_src, tombstone_seq FROM developers
    WHERE developer = ANY($1) ORDER BY developer FOR KEY SHARE";
/// Of batches that are stored: their state, and the message they were stored from.
const STATES: &str =
    "SELECT b.src, b.seq, b.state, b.published_at, b.developer, b.batch_id, b.message_id
    FROM unnest($1::bigint[], $2::bigint[]) k (src, seq)
    JOIN batches b ON b.src = k.src AND b.seq = k.seq";
/// The third column counts the batches that touched the hour. Also says where the new generation changed the hour.
const BUMP_HOURS: &str = "WITH given AS (
      SELECT * FROM unnest($1::text[], $2::bigint[], $3::bigint[], $4::bigint[], $5::bigint[])
        g (developer, hour, times, first_at, last_at)),
    bumped AS (
      INSERT INTO hours (developer, hour, gen) SELECT developer, hour, times FROM given
      ON CONFLICT (developer, hour) DO UPDATE SET gen = hours.gen + excluded.gen
      RETURNING developer, hour, gen)
    INSERT INTO hour_changes (developer, hour, gen, first_at, last_at)
    SELECT b.developer, b.hour, b.gen, g.first_at, g.last_at
    FROM bumped b JOIN given g ON g.developer = b.developer AND g.hour = b.hour";

impl Persist for Postgres {
    async fn source(&self, incarnation: &StreamIncarnation) -> Result<Src, StoreError> {
        match self.known_source(incarnation).await? {
            Some(src) => Ok(src),
            None => {
                self.write(incarnation.clone(), |tx, incarnation| {
                    Box::pin(new_source(tx, incarnation))
                })
                .await
            }
        }
    }

    async fn store_batches(&self, mut group: Vec<DecodedBatch>) -> Result<Vec<Stored>, StoreError> {
        if group.is_empty() {
            return Ok(Vec::new());
        }
        group.sort_by_key(|batch| batch.at);
        transaction_timing::store_batches(
            self.write(StoreBatches { group }, |tx, work| Box::pin(work.run(tx))),
        )
        .await
    }
}

/// Gives a number to a stream's incarnation.
async fn new_source(
    tx: &Transaction<'_>,
    incarnation: &StreamIncarnation,
) -> Result<Src, TransactionError> {
    execute(tx, LOCK_SOURCES, &[]).await?;
    let key: [Param<'_>; 2] = [&incarnation.name, &incarnation.created];
    execute(tx, INSERT_SOURCE, &key).await?;
    let src = one(tx, SOURCE.postgres, &key, |row| row.value(0)).await?;
    Ok(src.ok_or_else(|| StoreError::Failed("the inserted source is gone".to_owned()))?)
}

/// The transaction, its group sorted by (src, seq).
struct StoreBatches {
    group: Vec<DecodedBatch>,
}

impl StoreBatches {
    async fn run(&self, tx: &Transaction<'_>) -> Result<Vec<Stored>, TransactionError> {
        let forgotten = self.forgotten(tx).await?;
        let mut batches: Vec<&DecodedBatch> = Vec::with_capacity(self.group.len());
        for batch in &self.group {
            // The same message twice in a group: the second one is stored already.
            if batches.last().is_none_or(|last| last.at != batch.at) {
                batches.push(forgotten.get(&batch.at).unwrap_or(batch));
            }
        }
        let inserted: BTreeSet<BatchRef> = rows::insert_batches(tx, &batches)
            .await?
            .iter()
            .map(|row| batch_ref(row, 0))
            .collect::<Result<_, _>>()?;
        let states = self.states(tx, &inserted).await?;
        batches.retain(|batch| inserted.contains(&batch.at));
        let mut resolved = events::store(tx, &batches).await?;
        let mut audit_rows = Vec::new();
        for done in &mut resolved {
            let is_forgotten = forgotten.contains_key(&done.batch.at);
            let is_completed = done.summary.need() == Mask::NONE && !is_forgotten;
            audit_rows.append(&mut done.audit_trail.take_rows(is_completed));
        }
        let bodies = column(&resolved, |done| done.summary.job_body(done.batch));
        // Nothing waits for their results: they are sent one after the other, in this order, in one round trip.
        tokio::try_join!(
            biased; // of several errors the first one says what went wrong
            bump_hours(tx, &resolved),
            rows::update_batches(tx, &resolved, &bodies),
            audit::append(tx, &audit_rows, |at| !forgotten.contains_key(&at)),
        )?;
        let stored = resolved
            .iter()
            .zip(bodies)
            .map(|(done, body)| (done.batch.at, done.summary.stored(body)));
        self.outcomes(stored.collect(), &states)
    }

    /// Makes sure that the group's developers have their rows, and gives the batches of forgotten
    /// ones without personal data.
    async fn forgotten(
        &self,
        tx: &Transaction<'_>,
    ) -> Result<HashMap<BatchRef, DecodedBatch>, TransactionError> {
        let names: BTreeSet<&str> = self
            .group
            .iter()
            .map(|batch| batch.header.developer.as_str())
            .collect();
        let names: Vec<&str> = names.into_iter().collect();
        execute(tx, INSERT_DEVELOPERS, &[&names]).await?;
        let mut tombstones: HashMap<String, BatchRef> = HashMap::new();
        for row in statements::rows(tx, TOMBSTONES, &[&names]).await? {
            if let (Some(src), Some(seq)) = (row.value(1)?, row.value::<Option<i64>>(2)?) {
                tombstones.insert(
                    row.value(0)?,
                    BatchRef {
                        src,
                        seq: seq.unsigned_abs(),
                    },
                );
            }
        }
        let is_forgotten = |batch: &&DecodedBatch| {
            tombstones
                .get(batch.header.developer.as_str())
                .is_some_and(|tombstone| batch.at <= *tombstone)
        };
        let forgotten = self.group.iter().filter(is_forgotten);
        Ok(forgotten
            .map(|batch| (batch.at, batch.without_person()))
            .collect())
    }

    /// The states of the group's batches that were stored before, each from the same message.
    async fn states(
        &self,
        tx: &Transaction<'_>,
        inserted: &BTreeSet<BatchRef>,
    ) -> Result<HashMap<BatchRef, BatchState>, TransactionError> {
        let there: BTreeMap<BatchRef, &DecodedBatch> =
            self.group.iter().map(|batch| (batch.at, batch)).collect();
        let keys: Vec<BatchRef> = there
            .keys()
            .copied()
            .filter(|at| !inserted.contains(at))
            .collect();
        let mut states = HashMap::new();
        if keys.is_empty() {
            return Ok(states);
        }
        let srcs = column(&keys, |at| at.src);
        let seqs = column(&keys, |at| at.seq as i64);
        for row in statements::rows(tx, STATES, &[&srcs, &seqs]).await? {
            let at = batch_ref(&row, 0)?;
            let from = StoredFrom {
                published_at: row.value(3)?,
                developer: row.value(4)?,
                batch_id: row.value(5)?,
                message_id: row.value(6)?,
            };
            there[&at].expect_own(&from)?;
            states.insert(at, state(&row, 2)?);
        }
        Ok(states)
    }

    /// One outcome a batch of the group, in its order.
    fn outcomes(
        &self,
        mut stored: HashMap<BatchRef, Stored>,
        states: &HashMap<BatchRef, BatchState>,
    ) -> Result<Vec<Stored>, TransactionError> {
        let mut states = states.clone();
        let mut outcomes = Vec::with_capacity(self.group.len());
        for DecodedBatch { at, .. } in &self.group {
            if let Some(now) = stored.remove(at) {
                states.insert(*at, now.state);
                outcomes.push(now);
                continue;
            }
            let state = *states
                .get(at)
                .ok_or_else(|| TransactionError::Again(format!("batch {at} has vanished")))?;
            outcomes.push(Stored {
                at: *at,
                already: true,
                counts: Counts::default(),
                state,
                pending: None,
            });
        }
        Ok(outcomes)
    }
}

/// How a group of batches changes an hour.
struct HourBump {
    /// How many of them touch it.
    batches: i64,
    /// Where.
    span: ChangedSpan,
}

/// Raises the generations of the hours that the batches' events entered or left: once a batch.
async fn bump_hours(
    tx: &Transaction<'_>,
    resolved: &[ResolvedBatch<'_>],
) -> Result<(), TransactionError> {
    let mut hours: BTreeMap<(&str, i64), HourBump> = BTreeMap::new();
    for done in resolved {
        let developer = done.batch.header.developer.as_str();
        for (hour, span) in &done.summary.hours {
            let once = HourBump {
                batches: 1,
                span: *span,
            };
            hours
                .entry((developer, *hour))
                .and_modify(|bump| {
                    bump.batches += 1;
                    bump.span = bump.span.with(*span);
                })
                .or_insert(once);
        }
    }
    if hours.is_empty() {
        return Ok(());
    }
    let hours: Vec<_> = hours.into_iter().collect();
    let developers = column(&hours, |((developer, _), _)| *developer);
    let utc_hours = column(&hours, |((_, hour), _)| *hour);
    let times = column(&hours, |(_, bump)| bump.batches);
    let first = column(&hours, |(_, bump)| bump.span.first);
    let last = column(&hours, |(_, bump)| bump.span.last);
    execute(
        tx,
        BUMP_HOURS,
        &[&developers, &utc_hours, &times, &first, &last],
    )
    .await?;
    Ok(())
}
