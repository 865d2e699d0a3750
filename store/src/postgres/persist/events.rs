//! A group's events: who holds each id, and what becomes of the others.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use deadpool_postgres::Transaction;
use types::id::{BatchRef, EventRef};
use types::time::Micros;
use types::verdict::Verdict;

use super::plan::{Contest, Fate};
use super::rows;
use super::sql::{HOLDERS, RECEIPTS, TAKE_CONFLICTS, TAKE_DUPLICATES};
use crate::audit::AuditTrail;
use crate::contest::{Beaten, Holder, Lost, judged_anew};
use crate::incoming::DecodedBatch;
use crate::postgres::trouble::Trouble;
use crate::postgres::{self, batches, column};
use crate::refused::RefusedRow;
use crate::tally::Tally;

/// The batch id and receipt of batches that hold originals.
type Receipts = HashMap<BatchRef, (String, Micros)>;

/// Stores the events of new batches; gives what each batch came to, and its audit.
pub async fn store<'a>(
    tx: &Transaction<'_>,
    batches: &[&'a DecodedBatch],
) -> Result<Vec<(Tally, AuditTrail<'a>)>, Trouble> {
    let contests = Contest::all(batches);
    let holders = insert_firsts(tx, &contests).await?;
    let mut fates: HashMap<EventRef, Fate<'_>> = HashMap::new();
    let mut lost: Vec<Lost<'_>> = Vec::new();
    let mut taking: Vec<(&Contest<'_>, &Holder)> = Vec::new();
    for (contest, holder) in contests.iter().zip(&holders) {
        for (entry, fate) in contest.fates(holder.as_ref()) {
            fates.insert(entry.at, fate);
            match fate {
                Fate::Takes(holder) => taking.push((contest, holder)),
                Fate::Loses { loser, .. } => {
                    let (developer, id) = contest.key();
                    lost.push(Lost {
                        developer,
                        id,
                        submission: entry.submission(),
                        loser,
                    });
                }
                Fate::New | Fate::Own => {}
            }
        }
    }
    let receipts = receipts(tx, batches, &fates).await?;
    let removed = take_places(tx, &taking).await?;
    for (contest, holder) in &taking {
        let (developer, id) = contest.key();
        let beaten = removed.get(&(developer, id)).into_iter().flatten();
        lost.extend(judged_anew(
            (developer, id, contest.first().submission()),
            holder,
            beaten,
        ));
    }
    let conflicts = lost.iter().filter_map(RefusedRow::conflict);
    let at_admission = batches.iter().flat_map(|batch| {
        batch
            .refused
            .iter()
            .map(|refused| RefusedRow::at_admission(batch, refused))
    });
    rows::insert_refused(tx, conflicts.chain(at_admission).collect()).await?;
    rows::insert_duplicates(tx, &lost).await?;
    Ok(batches
        .iter()
        .map(|batch| account(batch, &fates, &receipts))
        .collect())
}

/// Inserts the first submission of each id; gives the events that hold the other ids, locked.
async fn insert_firsts(
    tx: &Transaction<'_>,
    contests: &[Contest<'_>],
) -> Result<Vec<Option<Holder>>, Trouble> {
    if contests.is_empty() {
        return Ok(Vec::new());
    }
    let firsts: Vec<_> = contests
        .iter()
        .map(|contest| (contest.developer, contest.first()))
        .collect();
    let mut inserted: BTreeSet<(String, String)> = BTreeSet::new();
    for row in rows::insert_events(tx, &firsts).await? {
        inserted.insert((row.try_get(0)?, row.try_get(1)?));
    }
    let is_held = |contest: &&Contest<'_>| {
        !inserted.contains(&(contest.developer.to_owned(), contest.id().to_owned()))
    };
    let held: Vec<&Contest<'_>> = contests.iter().filter(is_held).collect();
    let mut holders: BTreeMap<(String, String), Holder> = BTreeMap::new();
    if !held.is_empty() {
        let keys = (
            column(&held, |contest| contest.developer),
            column(&held, |contest| contest.id()),
        );
        for row in postgres::rows(tx, HOLDERS, &[&keys.0, &keys.1]).await? {
            let holder = Holder {
                at: batches::event_ref(&row, 0)?,
                hash: batches::hash(&row, 5)?,
                body: row.try_get(6)?,
                effective_at: row.try_get(7)?,
                local_day: row.try_get(8)?,
            };
            holders.insert((row.try_get(3)?, row.try_get(4)?), holder);
        }
    }
    if holders.len() != held.len() {
        return Err(Trouble::Again(
            "an event that held an id was removed meanwhile".to_owned(),
        ));
    }
    let key = |contest: &Contest<'_>| (contest.developer.to_owned(), contest.id().to_owned());
    Ok(contests
        .iter()
        .map(|contest| holders.remove(&key(contest)))
        .collect())
}

/// Puts first submissions into the places of later ones; gives the ids' other submissions, removed.
async fn take_places<'a>(
    tx: &Transaction<'_>,
    taking: &[(&'a Contest<'_>, &Holder)],
) -> Result<HashMap<(&'a str, &'a str), Vec<Beaten>>, Trouble> {
    let mut removed: HashMap<_, Vec<Beaten>> = HashMap::new();
    if taking.is_empty() {
        return Ok(removed);
    }
    let firsts: Vec<_> = taking
        .iter()
        .map(|(contest, _)| (contest.developer, contest.first()))
        .collect();
    rows::take_places(tx, &firsts).await?;
    let by_key: BTreeMap<(&str, &str), (&str, &str)> = taking
        .iter()
        .map(|(contest, _)| (contest.key(), contest.key()))
        .collect();
    let keys = (
        column(taking, |(contest, _)| contest.developer),
        column(taking, |(contest, _)| contest.id()),
    );
    for sql in [TAKE_CONFLICTS, TAKE_DUPLICATES] {
        for row in postgres::rows(tx, sql, &[&keys.0, &keys.1]).await? {
            let (developer, id): (&str, &str) = (row.try_get(3)?, row.try_get(4)?);
            if let Some(key) = by_key.get(&(developer, id)) {
                let one = Beaten {
                    at: batches::event_ref(&row, 0)?,
                    hash: batches::hash(&row, 5)?,
                    body: row.try_get(6)?,
                };
                removed.entry(*key).or_default().push(one);
            }
        }
    }
    Ok(removed)
}

/// What a batch's events came to, and its audit.
fn account<'a>(
    batch: &'a DecodedBatch,
    fates: &HashMap<EventRef, Fate<'_>>,
    receipts: &Receipts,
) -> (Tally, AuditTrail<'a>) {
    let (mut tally, mut trail) = (Tally::default(), AuditTrail::of(batch));
    for event in &batch.competitors {
        match fates.get(&batch.at.event(event.ordinal)) {
            Some(Fate::New) => tally.add_new(event),
            Some(Fate::Takes(holder)) => {
                tally.left(holder.effective_at, &holder.local_day);
                tally.add_new(event);
            }
            Some(Fate::Own) | None => tally.counts.add(Verdict::Accepted),
            Some(Fate::Loses { loser, original }) => {
                tally.counts.add(loser.verdict());
                trail.lost(event, *loser, *original, receipts.get(&original.batch()));
            }
        }
    }
    for refused in &batch.refused {
        tally.counts.add(refused.code.verdict());
        trail.refused(refused);
    }
    (tally, trail)
}

/// Batch ids and receipts of the originals that some event lost against.
async fn receipts(
    tx: &Transaction<'_>,
    batches: &[&DecodedBatch],
    fates: &HashMap<EventRef, Fate<'_>>,
) -> Result<Receipts, Trouble> {
    let of = |batch: &&DecodedBatch| {
        (
            batch.at,
            (batch.header.batch_id.clone(), batch.header.received_at),
        )
    };
    let mut receipts: Receipts = batches.iter().map(of).collect();
    let originals = fates.values().filter_map(|fate| match fate {
        Fate::Loses { original, .. } => Some(original.batch()),
        _ => None,
    });
    let missing: BTreeSet<BatchRef> = originals.filter(|at| !receipts.contains_key(at)).collect();
    if missing.is_empty() {
        return Ok(receipts);
    }
    let missing: Vec<BatchRef> = missing.into_iter().collect();
    let keys = (
        column(&missing, |at| at.src),
        column(&missing, |at| at.seq as i64),
    );
    for row in postgres::rows(tx, RECEIPTS, &[&keys.0, &keys.1]).await? {
        receipts.insert(
            batches::batch_ref(&row)?,
            (row.try_get(2)?, row.try_get(3)?),
        );
    }
    Ok(receipts)
}
