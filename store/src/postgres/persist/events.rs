//! A group's events: who holds each id, and what becomes of the others.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use deadpool_postgres::Transaction;
use types::id::{BatchRef, EventRef};
use types::time::Micros;
use types::verdict::Verdict;

use super::plan::{CandidateGroup, CandidateOutcome};
use super::rows;
use super::sql::{OWNERS, RECEIPTS, TAKE_CONFLICTS, TAKE_DUPLICATES};
use crate::audit::AuditTrail;
use crate::batch_summary::BatchSummary;
use crate::decoded_batch::DecodedBatch;
use crate::dedup::{CurrentOwner, DisplacedCandidate, DisplacedEvent, re_evaluate};
use crate::postgres::error::TransactionError;
use crate::postgres::statements::{self, column};
use crate::refused_row::RefusedRow;
use crate::row::{Row as _, batch_ref, event_ref, hash};

/// The batch id and receipt of batches that hold originals.
type Receipts = HashMap<BatchRef, (String, Micros)>;

/// Stores the events of new batches; gives what each batch came to, and its audit.
pub async fn store<'a>(
    tx: &Transaction<'_>,
    batches: &[&'a DecodedBatch],
) -> Result<Vec<(BatchSummary, AuditTrail<'a>)>, TransactionError> {
    let groups = CandidateGroup::all(batches);
    let owners = insert_firsts(tx, &groups).await?;
    let mut outcomes: HashMap<EventRef, CandidateOutcome<'_>> = HashMap::new();
    let mut displaced_events: Vec<DisplacedEvent<'_>> = Vec::new();
    let mut superseding: Vec<(&CandidateGroup<'_>, &CurrentOwner)> = Vec::new();
    for (group, owner) in groups.iter().zip(&owners) {
        for (candidate, outcome) in group.outcomes(owner.as_ref()) {
            outcomes.insert(candidate.at, outcome);
            match outcome {
                CandidateOutcome::Supersedes(owner) => superseding.push((group, owner)),
                CandidateOutcome::Displaced { displaced, .. } => {
                    let (developer, id) = group.key();
                    displaced_events.push(DisplacedEvent {
                        developer,
                        id,
                        candidate: candidate.candidate(),
                        displaced,
                    });
                }
                CandidateOutcome::New | CandidateOutcome::Own => {}
            }
        }
    }
    let receipts = receipts(tx, batches, &outcomes).await?;
    let removed = supersede_events(tx, &superseding).await?;
    for (group, owner) in &superseding {
        let (developer, id) = group.key();
        let displaced_candidates = removed.get(&(developer, id)).into_iter().flatten();
        displaced_events.extend(re_evaluate(
            developer,
            id,
            group.first().candidate(),
            owner,
            displaced_candidates,
        ));
    }
    let conflicts = displaced_events.iter().filter_map(RefusedRow::conflict);
    let at_admission = batches.iter().flat_map(|batch| {
        batch
            .refused
            .iter()
            .map(|refused| RefusedRow::at_admission(batch, refused))
    });
    rows::insert_refused(tx, conflicts.chain(at_admission).collect()).await?;
    rows::insert_duplicates(tx, &displaced_events).await?;
    Ok(batches
        .iter()
        .map(|batch| account(batch, &outcomes, &receipts))
        .collect())
}

/// Inserts the first submission of each id; gives the events that hold the other ids, locked.
async fn insert_firsts(
    tx: &Transaction<'_>,
    groups: &[CandidateGroup<'_>],
) -> Result<Vec<Option<CurrentOwner>>, TransactionError> {
    if groups.is_empty() {
        return Ok(Vec::new());
    }
    let firsts: Vec<_> = groups
        .iter()
        .map(|group| (group.developer, group.first()))
        .collect();
    let mut inserted: BTreeSet<(String, String)> = BTreeSet::new();
    for row in rows::insert_events(tx, &firsts).await? {
        inserted.insert((row.value(0)?, row.value(1)?));
    }
    let is_owned = |group: &&CandidateGroup<'_>| {
        !inserted.contains(&(group.developer.to_owned(), group.id().to_owned()))
    };
    let owned: Vec<&CandidateGroup<'_>> = groups.iter().filter(is_owned).collect();
    let mut owners: BTreeMap<(String, String), CurrentOwner> = BTreeMap::new();
    if !owned.is_empty() {
        let keys = (
            column(&owned, |group| group.developer),
            column(&owned, |group| group.id()),
        );
        for row in statements::rows(tx, OWNERS, &[&keys.0, &keys.1]).await? {
            let owner = CurrentOwner {
                at: event_ref(&row, 0)?,
                hash: hash(&row, 5)?,
                body: row.value(6)?,
                effective_at: row.value(7)?,
                local_day: row.value(8)?,
            };
            owners.insert((row.value(3)?, row.value(4)?), owner);
        }
    }
    if owners.len() != owned.len() {
        return Err(TransactionError::Again(
            "an event that held an id was removed meanwhile".to_owned(),
        ));
    }
    let key = |group: &CandidateGroup<'_>| (group.developer.to_owned(), group.id().to_owned());
    Ok(groups
        .iter()
        .map(|group| owners.remove(&key(group)))
        .collect())
}

/// Puts first submissions into the places of later ones; gives the ids' other submissions, removed.
async fn supersede_events<'a>(
    tx: &Transaction<'_>,
    superseding: &[(&'a CandidateGroup<'_>, &CurrentOwner)],
) -> Result<HashMap<(&'a str, &'a str), Vec<DisplacedCandidate>>, TransactionError> {
    let mut removed: HashMap<_, Vec<DisplacedCandidate>> = HashMap::new();
    if superseding.is_empty() {
        return Ok(removed);
    }
    let firsts: Vec<_> = superseding
        .iter()
        .map(|(group, _)| (group.developer, group.first()))
        .collect();
    rows::supersede_events(tx, &firsts).await?;
    let by_key: BTreeMap<(&str, &str), (&str, &str)> = superseding
        .iter()
        .map(|(group, _)| (group.key(), group.key()))
        .collect();
    let keys = (
        column(superseding, |(group, _)| group.developer),
        column(superseding, |(group, _)| group.id()),
    );
    for sql in [TAKE_CONFLICTS, TAKE_DUPLICATES] {
        for row in statements::rows(tx, sql, &[&keys.0, &keys.1]).await? {
            let (developer, id): (&str, &str) = (row.text(3)?, row.text(4)?);
            if let Some(key) = by_key.get(&(developer, id)) {
                let one = DisplacedCandidate {
                    at: event_ref(&row, 0)?,
                    hash: hash(&row, 5)?,
                    body: row.value(6)?,
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
    outcomes: &HashMap<EventRef, CandidateOutcome<'_>>,
    receipts: &Receipts,
) -> (BatchSummary, AuditTrail<'a>) {
    let (mut summary, mut audit_trail) = (BatchSummary::default(), AuditTrail::of(batch));
    for event in &batch.admitted {
        match outcomes.get(&batch.at.event(event.ordinal)) {
            Some(CandidateOutcome::New) => summary.add_new(event),
            Some(CandidateOutcome::Supersedes(owner)) => {
                summary.left(owner.effective_at, &owner.local_day);
                summary.add_new(event);
            }
            Some(CandidateOutcome::Own) | None => summary.counts.add(Verdict::Accepted),
            Some(CandidateOutcome::Displaced {
                displaced,
                original,
            }) => {
                summary.counts.add(displaced.verdict());
                audit_trail.displaced(
                    event,
                    *displaced,
                    *original,
                    receipts.get(&original.batch()),
                );
            }
        }
    }
    for refused in &batch.refused {
        summary.counts.add(refused.code.verdict());
        audit_trail.refused(refused);
    }
    (summary, audit_trail)
}

/// Batch ids and receipts of the originals that some event lost against.
async fn receipts(
    tx: &Transaction<'_>,
    batches: &[&DecodedBatch],
    outcomes: &HashMap<EventRef, CandidateOutcome<'_>>,
) -> Result<Receipts, TransactionError> {
    let of = |batch: &&DecodedBatch| {
        (
            batch.at,
            (batch.header.batch_id.clone(), batch.header.received_at),
        )
    };
    let mut receipts: Receipts = batches.iter().map(of).collect();
    let originals = outcomes.values().filter_map(|outcome| match outcome {
        CandidateOutcome::Displaced { original, .. } => Some(original.batch()),
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
    for row in statements::rows(tx, RECEIPTS, &[&keys.0, &keys.1]).await? {
        receipts.insert(batch_ref(&row, 0)?, (row.value(2)?, row.value(3)?));
    }
    Ok(receipts)
}
