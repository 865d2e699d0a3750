//! The time line of a batch, for people. Pure.

use store::{AuditEntry, Submission};
use types::job::Mask;
use types::time::{Micros, SECOND, rfc3339};

use super::detail::words;
use super::{Traced, Unstored};
use crate::out::{as_table, plain, span};

/// Rows about single events that are shown in a row; the rest is counted.
const SHOWN: usize = 20;

/// The time line; rows about the event `wanted` are never left out. What replays did comes in
/// sections of its own.
pub fn text(traced: &Traced, wanted: Option<&str>) -> String {
    let batch = &traced.batch;
    let mut sections = vec![heading(batch)];
    if let Some(event) = wanted.filter(|id| names_an_event(traced, id)) {
        sections[0] += &format!("\nevent {event} came in this batch");
    }
    let mut replays: Vec<Option<&str>> = vec![None];
    for replay in traced.steps.iter().map(|step| step.replay_id.as_deref()) {
        if !replays.contains(&replay) {
            replays.push(replay);
        }
    }
    for replay in replays {
        let steps = traced
            .steps
            .iter()
            .filter(|step| step.replay_id.as_deref() == replay);
        let steps: Vec<&AuditEntry> = steps.collect();
        let title = replay
            .map(|id| format!("replay {id}\n"))
            .unwrap_or_default();
        sections.push(title + &time_line(&steps, &batch.correlation_id, wanted));
    }
    sections.join("\n\n")
}

/// The time line of a message that was never stored.
pub fn unstored(message: &Unstored) -> String {
    let steps: Vec<&AuditEntry> = message.steps.iter().collect();
    format!(
        "message {} is not stored\n\n{}",
        message.at,
        time_line(&steps, "", None)
    )
}

/// Whether `id` is an event that no row of the audit tells of: it was simply accepted.
fn names_an_event(traced: &Traced, id: &str) -> bool {
    let batch = &traced.batch;
    let told = |step: &AuditEntry| {
        step.event_id.as_deref() == Some(id) || step.correlation_id.as_deref() == Some(id)
    };
    batch.batch_id != id && batch.correlation_id != id && !traced.steps.iter().any(told)
}

fn heading(batch: &Submission) -> String {
    let counts = &batch.counts;
    let parts = [
        (counts.accepted, "accepted"),
        (counts.duplicate, "duplicate"),
        (counts.rejected, "rejected"),
        (counts.quarantined, "quarantined"),
    ];
    let parts = parts
        .iter()
        .filter(|(count, _)| *count > 0)
        .map(|(count, name)| format!("{count} {name}"));
    let parts = parts.collect::<Vec<_>>().join(", ");
    let [need, done, failed] = batch.masks;
    let has = |mask: Mask, bit: Mask| mask.0 & bit.0 != 0;
    let jobs = need.kinds().map(|kind| {
        let how = match (has(done, kind.bit()), has(failed, kind.bit())) {
            (true, _) => "done",
            (false, true) => "failed",
            (false, false) => "waits",
        };
        format!("{} {how}", kind.as_str())
    });
    let jobs = jobs.collect::<Vec<_>>().join(", ");
    // Of a forgotten developer's batch only the skeleton is left.
    let or = |text: &str, instead: &str| {
        if text.is_empty() {
            instead.to_owned()
        } else {
            text.to_owned()
        }
    };
    let text = format!(
        "batch {} of {}: {}\nEVENTS {} · correlation {}\n{} events: {parts}\njobs: {}",
        or(&batch.batch_id, "without id"),
        or(&batch.developer, "a forgotten developer"),
        batch.state.as_str(),
        batch.at,
        or(&batch.correlation_id, "forgotten"),
        counts.received,
        if jobs.is_empty() {
            "none needed"
        } else {
            &jobs
        }
    );
    plain(&text)
}

fn time_line(steps: &[&AuditEntry], correlation_id: &str, wanted: Option<&str>) -> String {
    let Some(first) = steps.first().map(|step| step.time) else {
        return "The audit has no row of it.".to_owned();
    };
    let (mut rows, mut of_events, mut left_out) = (Vec::new(), 0, 0);
    for (index, step) in steps.iter().enumerate() {
        let is_wanted = wanted.is_some() && step.event_id.as_deref() == wanted;
        if step.event_id.is_some() && of_events >= SHOWN && !is_wanted {
            left_out += 1;
        } else {
            rows.push(row(step, first, correlation_id));
        }
        of_events = if step.event_id.is_some() {
            of_events + 1
        } else {
            0
        };
        let run_ends = steps
            .get(index + 1)
            .is_none_or(|next| next.event_id.is_none());
        if run_ends && left_out > 0 {
            let more = format!("{left_out} more events; --json shows them");
            rows.push([
                String::new(),
                String::new(),
                String::new(),
                String::new(),
                more,
            ]);
            left_out = 0;
        }
    }
    as_table(["TIME (UTC)", "OFFSET", "STEP", "ACTOR", "DETAIL"], rows)
}

fn row(step: &AuditEntry, first: Micros, correlation_id: &str) -> [String; 5] {
    let time = rfc3339(step.time).replace('T', " ");
    let milliseconds = time.find('.').map_or(time.len(), |point| point + 4);
    [
        time[..milliseconds].to_owned(),
        offset(step.time - first),
        step.step.clone(),
        step.actor.clone(),
        words(step, correlation_id),
    ]
}

/// The time since the first step; negative where another machine's clock is behind.
fn offset(micros: Micros) -> String {
    let sign = if micros < 0 { '-' } else { '+' };
    let micros = micros.abs();
    match micros {
        ..SECOND => format!("{sign}{} ms", micros / 1000),
        _ if micros < 60 * SECOND => {
            format!("{sign}{}.{:03} s", micros / SECOND, micros % SECOND / 1000)
        }
        _ => format!("{sign}{}", span(micros)),
    }
}

#[cfg(test)]
pub mod tests;
