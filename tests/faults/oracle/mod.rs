//! The judge outside the product: compares the harness's log with what is found in database and streams.
//!
//! Pure. Every sentence it gives names something lost, doubled, changed, invented or left undone.

mod derived;
pub mod judgement;
pub mod observed;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};

use crate::send_log::{Batch, Expected, Log};
use judgement::Judgement;
use observed::{BatchRow, EventRow, Observed, Place};

/// Judges a run whose clients have all had their reply, and whose backlog is done.
pub fn judge(log: &Log, observed: &Observed) -> Judgement {
    let mut judgement = Judgement::default();
    for broken in &log.broken {
        judgement.find(format!("reply: {broken}"));
    }
    for batch in log.unacknowledged() {
        judgement.find(format!(
            "reply: {} of {} was never acknowledged",
            batch.id, batch.developer
        ));
    }
    batches(log, observed, &mut judgement);
    places(log, observed, &mut judgement);
    events(log, observed, &mut judgement);
    dead(log, observed, &mut judgement);
    derived::judge(observed, &mut judgement);
    judgement
}

fn by_id(log: &Log) -> BTreeMap<(&str, &str), &Batch> {
    log.batches
        .iter()
        .map(|batch| ((batch.developer.as_str(), batch.id.as_str()), batch))
        .collect()
}

/// Each acknowledged sequence is a batch row; each row is a batch that was sent, and completed; no
/// sequence of the stream is left out.
fn batches(log: &Log, observed: &Observed, judgement: &mut Judgement) {
    let sent = by_id(log);
    let mut rows: BTreeMap<i64, &BatchRow> = BTreeMap::new();
    for row in &observed.batches {
        let name = format!(
            "batch {}:{} ({} of {})",
            row.src, row.seq, row.batch_id, row.developer
        );
        if rows.insert(row.seq, row).is_some() {
            judgement.doubled(&format!("{name} has another row of its sequence"));
        }
        match sent.get(&(row.developer.as_str(), row.batch_id.as_str())) {
            None => judgement.find(format!("invented: {name} was never sent")),
            Some(batch) if batch.events.len() as i64 != row.received => {
                judgement.find(format!("changed: {name} says {} events", row.received));
            }
            Some(_) => {}
        }
        if row.state != "completed" || row.done & row.need != row.need || row.failed != 0 {
            let state = &row.state;
            let need = row.need;
            let done = row.done;
            let failed = row.failed;
            judgement.find(format!(
                "undone: {name} is {state}, need {need}, done {done}, failed {failed}"
            ));
        }
    }
    for ack in &log.acks {
        let batch = &log.batches[ack.batch];
        match rows.get(&ack.sequence) {
            Some(row) if row.batch_id == batch.id && row.developer == batch.developer => {}
            other => judgement.lost(&format!(
                "{} of {} was acknowledged as sequence {}, where the store has {:?}",
                batch.id,
                batch.developer,
                ack.sequence,
                other.map(|row| &row.batch_id)
            )),
        }
    }
    let unaccounted = (1..=observed.last_sequence)
        .filter(|seq| !rows.contains_key(seq) && !log.garbage.contains(seq));
    for seq in unaccounted {
        judgement.lost(&format!("sequence {seq} of EVENTS has no batch row"));
    }
}

/// Each position of each stored batch is in exactly one of events, refused and duplicates, with what was sent there.
fn places(log: &Log, observed: &Observed, judgement: &mut Judgement) {
    let sent = by_id(log);
    let mut kept: BTreeMap<Place, Vec<(&str, &EventRow)>> = BTreeMap::new();
    let tables = [
        ("events", &observed.events),
        ("refused", &observed.refused),
        ("duplicates", &observed.duplicates),
    ];
    for (table, rows) in tables {
        rows.iter()
            .for_each(|row| kept.entry(row.place).or_default().push((table, row)));
    }
    for row in &observed.batches {
        let Some(batch) = sent.get(&(row.developer.as_str(), row.batch_id.as_str())) else {
            continue;
        };
        for (ordinal, event) in batch.events.iter().enumerate() {
            let place = (row.src, row.seq, ordinal as i64);
            let name = format!("{} of {} at {place:?}", event.id, row.developer);
            let here = kept.remove(&place).unwrap_or_default();
            let [(table, kept)] = here[..] else {
                if here.is_empty() {
                    judgement.lost(&format!("event {name} is nowhere"));
                } else {
                    judgement.doubled(&format!("event {name} is kept {} times", here.len()));
                }
                continue;
            };
            let right = kept.id == event.id && kept.developer == row.developer;
            let right_place = match event.expected {
                Expected::Sound => table != "refused" || kept.code == "id_conflict",
                Expected::Refused(code) => table == "refused" && kept.code == code,
            };
            if !right || !right_place {
                judgement.find(format!(
                    "changed: event {name} is in {table} as {} ({})",
                    kept.id, kept.code
                ));
            }
            if table != "duplicates" && kept.body != event.text.as_bytes() {
                judgement.find(format!("changed: event {name} is kept with other bytes"));
            }
        }
    }
    for (place, rows) in kept {
        judgement.find(format!(
            "invented: {} row(s) at {place:?}, where no batch has an event",
            rows.len()
        ));
    }
}

/// Each sound event that was sent is stored once, and nothing else; of several under one id, one of them is
/// stored, and each of the others is in quarantine.
fn events(log: &Log, observed: &Observed, judgement: &mut Judgement) {
    let mut wanted: BTreeMap<(&str, &str), BTreeSet<&str>> = BTreeMap::new();
    for batch in &log.batches {
        for event in batch
            .events
            .iter()
            .filter(|event| event.expected == Expected::Sound)
        {
            wanted
                .entry((&batch.developer, &event.id))
                .or_default()
                .insert(&event.text);
        }
    }
    let mut stored: BTreeMap<(&str, &str), &EventRow> = BTreeMap::new();
    for row in &observed.events {
        if stored.insert((&row.developer, &row.id), row).is_some() {
            judgement.doubled(&format!(
                "event {} of {} is stored twice",
                row.id, row.developer
            ));
        }
    }
    let conflicts: BTreeSet<(&str, &[u8])> = observed
        .refused
        .iter()
        .filter(|row| row.code == "id_conflict")
        .map(|row| (&*row.id, &*row.body))
        .collect();
    for ((developer, id), texts) in &wanted {
        let Some(row) = stored.remove(&(*developer, *id)) else {
            judgement.lost(&format!("event {id} of {developer} is not stored"));
            continue;
        };
        if !texts.iter().any(|text| text.as_bytes() == row.body) {
            judgement.find(format!(
                "changed: event {id} of {developer} is stored with bytes that nobody sent"
            ));
        }
        for text in texts.iter().filter(|text| text.as_bytes() != row.body) {
            if !conflicts.contains(&(*id, text.as_bytes())) {
                judgement.lost(&format!(
                    "another event under the id {id} of {developer} is not in quarantine"
                ));
            }
        }
    }
    for (developer, id) in stored.into_keys() {
        judgement.find(format!(
            "invented: event {id} of {developer} was never sent"
        ));
    }
}

/// DEAD holds the harness's garbage, each message once, and nothing that failed for a dependency only.
fn dead(log: &Log, observed: &Observed, judgement: &mut Judgement) {
    let mut gave_up = BTreeSet::new();
    for (subject, seq, reason) in &observed.dead {
        if subject == "dead.EVENTS.persist" && log.garbage.contains(seq) {
            if !gave_up.insert(*seq) {
                judgement.doubled(&format!(
                    "message {seq}, which is no batch, is in DEAD more than once"
                ));
            }
        } else {
            judgement.find(format!(
                "dead: {subject} has message {seq}, which was sound: {reason}"
            ));
        }
    }
    for seq in log.garbage.iter().filter(|seq| !gave_up.contains(seq)) {
        judgement.lost(&format!("message {seq}, which is no batch, is not in DEAD"));
    }
}
