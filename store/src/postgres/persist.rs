//! T1: a group of batches in one transaction (docs/protocol.md, Transactions).
//!
//! Locks are taken in one order, keys sorted in each: developers, batches (insert), events, refused,
//! duplicates, hours, batches (update), audit.

mod events;
mod plan;
mod rows;
mod sql;

use std::collections::{BTreeMap, BTreeSet, HashMap};

use deadpool_postgres::Transaction;
use types::id::{BatchRef, Src};
use types::job::{BatchState, Mask};
use types::stream::StreamIncarnation;
use types::verdict::Counts;

use super::read::SOURCE;
use super::trouble::Trouble;
use super::{Postgres, Work, audit, batches, column, execute};
use crate::audit::AuditTrail;
use crate::incoming::{DecodedBatch, StoredFrom};
use crate::tally::Tally;
use crate::{Persist, StoreError, Stored};
use sql::{BUMP_HOURS, INSERT_DEVELOPERS, INSERT_SOURCE, LOCK_SOURCES, STATES, TOMBSTONES};

impl Persist for Postgres {
    async fn source(&self, incarnation: &StreamIncarnation) -> Result<Src, StoreError> {
        match self.source_of(incarnation).await? {
            Some(src) => Ok(src),
            None => self.write(NewSource(incarnation.clone())).await,
        }
    }

    async fn store_batches(&self, mut group: Vec<DecodedBatch>) -> Result<Vec<Stored>, StoreError> {
        if group.is_empty() {
            return Ok(Vec::new());
        }
        group.sort_by_key(|batch| batch.at);
        crate::measured::store_batches(self.write(T1 { group })).await
    }
}

/// The first sight of a stream's life.
struct NewSource(StreamIncarnation);

impl Work for NewSource {
    type Done = Src;

    async fn run(&self, tx: &Transaction<'_>) -> Result<Src, Trouble> {
        let incarnation = &self.0;
        execute(tx, LOCK_SOURCES, &[]).await?;
        execute(
            tx,
            INSERT_SOURCE,
            &[&incarnation.name, &incarnation.created],
        )
        .await?;
        let rows = super::rows(tx, SOURCE, &[&incarnation.name, &incarnation.created]).await?;
        let row = rows
            .first()
            .ok_or_else(|| StoreError::Failed("the inserted source is gone".to_owned()))?;
        Ok(row.try_get(0)?)
    }
}

/// The transaction, its group sorted by (src, seq).
struct T1 {
    group: Vec<DecodedBatch>,
}

impl Work for T1 {
    type Done = Vec<Stored>;

    async fn run(&self, tx: &Transaction<'_>) -> Result<Vec<Stored>, Trouble> {
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
            .map(batches::batch_ref)
            .collect::<Result<_, _>>()?;
        let states = self.states(tx, &inserted).await?;
        batches.retain(|batch| inserted.contains(&batch.at));
        let mut done = events::store(tx, &batches).await?;
        bump_hours(tx, &batches, &done).await?;
        let tallied: Vec<_> = batches
            .iter()
            .copied()
            .zip(done.iter().map(|(tally, _)| tally))
            .collect();
        rows::update_batches(tx, &tallied).await?;
        let mut trails = Vec::new();
        for (batch, (tally, trail)) in batches.iter().zip(&mut done) {
            if tally.need() == Mask::NONE && !forgotten.contains_key(&batch.at) {
                trail.completed();
            }
            trails.append(&mut trail.rows);
        }
        audit::append(tx, &trails, |at| !forgotten.contains_key(&at)).await?;
        let stored = batches
            .iter()
            .zip(&done)
            .map(|(batch, (tally, _))| (batch.at, tally.stored(batch)));
        self.answers(stored.collect(), &states)
    }
}

impl T1 {
    /// Makes sure that the group's developers have their rows, and gives what stays of the batches of
    /// forgotten ones.
    async fn forgotten(
        &self,
        tx: &Transaction<'_>,
    ) -> Result<HashMap<BatchRef, DecodedBatch>, Trouble> {
        let names: BTreeSet<&str> = self
            .group
            .iter()
            .map(|batch| batch.header.developer.as_str())
            .collect();
        let names: Vec<&str> = names.into_iter().collect();
        execute(tx, INSERT_DEVELOPERS, &[&names]).await?;
        let mut tombstones: HashMap<String, BatchRef> = HashMap::new();
        for row in super::rows(tx, TOMBSTONES, &[&names]).await? {
            if let (Some(src), Some(seq)) = (row.try_get(1)?, row.try_get::<_, Option<i64>>(2)?) {
                tombstones.insert(
                    row.try_get(0)?,
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

    /// The states of the group's batches that were there before, each from this very message.
    async fn states(
        &self,
        tx: &Transaction<'_>,
        inserted: &BTreeSet<BatchRef>,
    ) -> Result<HashMap<BatchRef, BatchState>, Trouble> {
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
        let (srcs, seqs) = (
            column(&keys, |at| at.src),
            column(&keys, |at| at.seq as i64),
        );
        for row in super::rows(tx, STATES, &[&srcs, &seqs]).await? {
            let at = batches::batch_ref(&row)?;
            let from = StoredFrom {
                published_at: row.try_get(3)?,
                developer: row.try_get(4)?,
                batch_id: row.try_get(5)?,
            };
            there[&at].expect_own(&from)?;
            states.insert(at, batches::state(&row, 2)?);
        }
        Ok(states)
    }

    /// One answer a batch of the group, in its order.
    fn answers(
        &self,
        mut stored: HashMap<BatchRef, Stored>,
        states: &HashMap<BatchRef, BatchState>,
    ) -> Result<Vec<Stored>, Trouble> {
        let mut states = states.clone();
        let mut answers = Vec::with_capacity(self.group.len());
        for DecodedBatch { at, .. } in &self.group {
            if let Some(now) = stored.remove(at) {
                states.insert(*at, now.state);
                answers.push(now);
                continue;
            }
            let state = *states
                .get(at)
                .ok_or_else(|| Trouble::Again(format!("batch {at} has vanished")))?;
            answers.push(Stored {
                at: *at,
                already: true,
                counts: Counts::default(),
                state,
                pending: None,
            });
        }
        Ok(answers)
    }
}

/// Raises the generations of the hours that the batches' events entered or left: once a batch.
async fn bump_hours(
    tx: &Transaction<'_>,
    batches: &[&DecodedBatch],
    done: &[(Tally, AuditTrail<'_>)],
) -> Result<(), Trouble> {
    let mut hours: BTreeMap<(&str, i64), i64> = BTreeMap::new();
    for (batch, (tally, _)) in batches.iter().zip(done) {
        for hour in &tally.hours {
            *hours
                .entry((batch.header.developer.as_str(), *hour))
                .or_default() += 1;
        }
    }
    if hours.is_empty() {
        return Ok(());
    }
    let hours: Vec<_> = hours.into_iter().collect();
    let keys = (
        column(&hours, |((developer, _), _)| *developer),
        column(&hours, |((_, hour), _)| *hour),
    );
    execute(
        tx,
        BUMP_HOURS,
        &[&keys.0, &keys.1, &column(&hours, |(_, times)| *times)],
    )
    .await?;
    Ok(())
}
