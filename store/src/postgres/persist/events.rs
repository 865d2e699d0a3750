//! A group's events: the owner of each id, and the outcome of each submission.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use deadpool_postgres::Transaction;
use types::id::{BatchRef, EventRef};
use types::verdict::Verdict;

use super::plan::{CandidateGroup, CandidateOutcome, ResolvedBatch};
use super::rows;
use crate::audit::{AuditTrail, OriginalBatch};
use crate::batch_summary::BatchSummary;
use crate::decoded_batch::DecodedBatch;
use crate::dedup::{CurrentOwner, DisplacedCandidate, DisplacedEvent, re_evaluate};
use crate::postgres::error::TransactionError;
use crate::postgres::records;
use crate::postgres::statements::{self, column};
use crate::refused_row::RefusedRow;
use crate::row::{Row as _, batch_ref, event_ref, hash};

/// A statement of its own: the snapshot of `INSERT_EVENTS` does not see the rows that it waited for.
const OWNERS: &str = "SELECT e.src, e.seq, e.ordinal, e.developer, e.event_id, e.hash, e.body,
        e.effective_at, e.local_day
    FROM unnest($1::text[], $2::text[]) k (developer, event_id)
    JOIN events e ON e.developer = k.developer AND e.event_id = k.event_id
    ORDER BY e.developer, e.event_id FOR UPDATE OF e";
/// Batch id and receipt of the batches of originals.
const ORIGINAL_BATCHES: &str = "SELECT b.src, b.seq, b.batch_id, b.received_at
    FROM unnest($1::bigint[], $2::bigint[]) k (src, seq)
    JOIN batches b ON b.src = k.src AND b.seq = k.seq";
/// Conflicts of superseded owners, to be re-evaluated.
const DELETE_CONFLICTS: &str = "DELETE FROM refused r
    USING unnest($1::text[], $2::text[]) k (developer, event_id)
    WHERE r.developer = k.developer AND r.event_id = k.event_id AND r.code = 'id_conflict'
    RETURNING r.src, r.seq, r.ordinal, r.developer, r.event_id, r.hash, r.body";
/// Duplicates of superseded owners, to be re-evaluated.
const DELETE_DUPLICATES: &str = "DELETE FROM duplicates d
    USING unnest($1::text[], $2::text[]) k (developer, event_id)
    WHERE d.developer = k.developer AND d.event_id = k.event_id
    RETURNING d.src, d.seq, d.ordinal, d.developer, d.event_id, d.hash, d.body";

/// The batches of originals.
type OriginalBatches = HashMap<BatchRef, OriginalBatch>;

/// Stores the events of new batches; gives each with its summary and audit.
pub async fn store<'a>(
    tx: &Transaction<'_>,
    batches: &[&'a DecodedBatch],
) -> Result<Vec<ResolvedBatch<'a>>, TransactionError> {
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
    let originals = original_batches(tx, batches, &outcomes).await?;
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
    // In one round trip.
    tokio::try_join!(
        biased; // of two errors the first one says what went wrong
        rows::insert_refused(tx, conflicts.chain(at_admission).collect()),
        rows::insert_duplicates(tx, &displaced_events),
    )?;
    Ok(batches
        .iter()
        .map(|batch| summarize(batch, &outcomes, &originals))
        .collect())
}

/// Inserts the first submission of each id; gives the owners of the other ids, locked.
async fn insert_firsts(
    tx: &Transaction<'_>,
    groups: &[CandidateGroup<'_>],
) -> Result<Vec<Option<CurrentOwner>>, TransactionError> {
    if groups.is_empty() {
        return Ok(Vec::new());
    }
    let firsts: Vec<_> = groups.iter().map(CandidateGroup::first).collect();
    let inserted = rows::insert_events(tx, &firsts).await?;
    // Nearly always all are new.
    if inserted.len() == firsts.len() {
        return Ok(groups.iter().map(|_| None).collect());
    }
    let inserted: HashSet<EventRef> = inserted
        .iter()
        .map(|row| event_ref(row, 0))
        .collect::<Result<_, _>>()?;
    let is_owned = |group: &&CandidateGroup<'_>| !inserted.contains(&group.first().at);
    let owned: Vec<&CandidateGroup<'_>> = groups.iter().filter(is_owned).collect();
    let mut owners: BTreeMap<(String, String), CurrentOwner> = BTreeMap::new();
    let developers = column(&owned, |group| group.key().0);
    let ids = column(&owned, |group| group.key().1);
    for row in statements::rows(tx, OWNERS, &[&developers, &ids]).await? {
        let owner = CurrentOwner {
            at: event_ref(&row, 0)?,
            hash: hash(&row, 5)?,
            body: row.value(6)?,
            effective_at: row.value(7)?,
            local_day: row.value(8)?,
        };
        owners.insert((row.value(3)?, row.value(4)?), owner);
    }
    if owners.len() != owned.len() {
        return Err(TransactionError::Again(
            "the owner of an event id was removed meanwhile".to_owned(),
        ));
    }
    let owner = |group: &CandidateGroup<'_>| {
        let (developer, id) = group.key();
        owners.remove(&(developer.to_owned(), id.to_owned()))
    };
    Ok(groups.iter().map(owner).collect())
}

/// Puts first submissions in the place of later ones; removes and gives the ids' other submissions.
async fn supersede_events<'a>(
    tx: &Transaction<'_>,
    superseding: &[(&'a CandidateGroup<'_>, &CurrentOwner)],
) -> Result<HashMap<(&'a str, &'a str), Vec<DisplacedCandidate>>, TransactionError> {
    let mut removed: HashMap<_, Vec<DisplacedCandidate>> = HashMap::new();
    if superseding.is_empty() {
        return Ok(removed);
    }
    let firsts: Vec<_> = superseding.iter().map(|(group, _)| group.first()).collect();
    rows::supersede_events(tx, &firsts).await?;
    records::remove(tx, &column(superseding, |(_, owner)| owner.at)).await?;
    let by_key: BTreeMap<(&str, &str), (&str, &str)> = superseding
        .iter()
        .map(|(group, _)| (group.key(), group.key()))
        .collect();
    let developers = column(superseding, |(group, _)| group.key().0);
    let ids = column(superseding, |(group, _)| group.key().1);
    for sql in [DELETE_CONFLICTS, DELETE_DUPLICATES] {
        for row in statements::rows(tx, sql, &[&developers, &ids]).await? {
            if let Some(key) = by_key.get(&(row.text(3)?, row.text(4)?)) {
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

/// Summary and audit of a batch.
fn summarize<'a>(
    batch: &'a DecodedBatch,
    outcomes: &HashMap<EventRef, CandidateOutcome<'_>>,
    originals: &OriginalBatches,
) -> ResolvedBatch<'a> {
    let mut summary = BatchSummary::default();
    let mut audit_trail = AuditTrail::of(batch);
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
                    originals.get(&original.batch()),
                );
            }
        }
    }
    for refused in &batch.refused {
        summary.counts.add(refused.code.verdict());
        audit_trail.refused(refused);
    }
    ResolvedBatch {
        batch,
        summary,
        audit_trail,
    }
}

/// Batch ids and originals of the originals that displaced some event.
async fn original_batches(
    tx: &Transaction<'_>,
    batches: &[&DecodedBatch],
    outcomes: &HashMap<EventRef, CandidateOutcome<'_>>,
) -> Result<OriginalBatches, TransactionError> {
    let of = |batch: &&DecodedBatch| {
        let original = OriginalBatch {
            batch_id: batch.header.batch_id.clone(),
            received_at: batch.header.received_at,
        };
        (batch.at, original)
    };
    let mut found: OriginalBatches = batches.iter().map(of).collect();
    let originals = outcomes.values().filter_map(|outcome| match outcome {
        CandidateOutcome::Displaced { original, .. } => Some(original.batch()),
        _ => None,
    });
    let missing: BTreeSet<BatchRef> = originals.filter(|at| !found.contains_key(at)).collect();
    if missing.is_empty() {
        return Ok(found);
    }
    let missing: Vec<BatchRef> = missing.into_iter().collect();
    let srcs = column(&missing, |at| at.src);
    let seqs = column(&missing, |at| at.seq as i64);
    for row in statements::rows(tx, ORIGINAL_BATCHES, &[&srcs, &seqs]).await? {
        let original = OriginalBatch {
            batch_id: row.value(2)?,
            received_at: row.value(3)?,
        };
        found.insert(batch_ref(&row, 0)?, original);
    }
    Ok(found)
}
