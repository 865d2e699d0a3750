//! What happened to a batch, in order: for people and for programs. Pure.

use serde_json::{Value, json};
use store::{AuditEntry, Submission};
use types::event_streams::StreamSequence;
use types::id::BatchRef;
use types::job::Mask;
use types::time::{Micros, SECOND, rfc3339};

use super::audit_detail::words;
use crate::output::{as_table, count, fit_table, plain, span, time};

/// Rows about single events that are shown in a row; the rest is counted.
const SHOWN: usize = 20;

/// The columns before the detail.
const HEAD: [&str; 4] = ["TIME", "OFFSET", "STEP", "ACTOR"];

/// A batch and everything that happened to it.
#[derive(Debug, Clone)]
pub struct TracedBatch {
    pub batch: Submission,
    /// The name of the stream that its message came in.
    pub stream: String,
    /// By time.
    pub steps: Vec<AuditEntry>,
}

/// A message that was never stored: why it was dead-lettered, and what was decided about it.
#[derive(Debug, Clone)]
pub struct UnstoredMessage {
    /// Its place in its stream.
    pub at: BatchRef,
    /// The stream's name.
    pub stream: String,
    /// By time.
    pub steps: Vec<AuditEntry>,
}

/// How a time line is shown.
#[derive(Debug, Clone, Copy, Default)]
pub struct Shown<'a> {
    /// The event whose rows are never left out.
    pub wanted: Option<&'a str>,
    /// The columns of the terminal.
    pub width: Option<u16>,
}

/// The time line. What replays did comes in sections of its own.
pub fn text(traced: &TracedBatch, shown: Shown<'_>) -> String {
    let batch = &traced.batch;
    let mut sections = vec![heading(batch, &traced.stream)];
    if let Some(event) = shown.wanted.filter(|id| names_an_event(traced, id)) {
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
        sections.push(title + &time_line(&steps, &batch.correlation_id, shown));
    }
    sections.join("\n\n")
}

/// The time line of a message that was never stored.
pub fn unstored(message: &UnstoredMessage, shown: Shown<'_>) -> String {
    let steps: Vec<&AuditEntry> = message.steps.iter().collect();
    format!(
        "message {} is not stored\n\n{}",
        message.at,
        time_line(&steps, "", shown)
    )
}

/// Whether `id` is an event that no row of the audit tells of: it was simply accepted.
fn names_an_event(traced: &TracedBatch, id: &str) -> bool {
    let batch = &traced.batch;
    let is_recorded = |step: &AuditEntry| {
        step.event_id.as_deref() == Some(id) || step.correlation_id.as_deref() == Some(id)
    };
    batch.batch_id != id && batch.correlation_id != id && !traced.steps.iter().any(is_recorded)
}

fn heading(batch: &Submission, stream: &str) -> String {
    let counts = &batch.counts;
    let parts = [
        (counts.accepted, "accepted"),
        (counts.duplicate, "duplicate"),
        (counts.rejected, "rejected"),
        (counts.quarantined, "quarantined"),
    ];
    let parts = parts
        .iter()
        .filter(|(number, _)| *number > 0)
        .map(|(number, name)| format!("{number} {name}"));
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
        "batch {} of {}: {}\n{stream} {} · correlation {}\n{}: {parts}\njobs: {}",
        or(&batch.batch_id, "without id"),
        or(&batch.developer, "a forgotten developer"),
        batch.state.as_str(),
        batch.at,
        or(&batch.correlation_id, "forgotten"),
        count(counts.received, "event"),
        if jobs.is_empty() {
            "none needed"
        } else {
            &jobs
        }
    );
    plain(&text)
}

fn time_line(steps: &[&AuditEntry], correlation_id: &str, shown: Shown<'_>) -> String {
    let wanted = shown.wanted;
    let Some(first) = steps.first().map(|step| step.time) else {
        return "The audit has no row of it.".to_owned();
    };
    let mut rows: Vec<Line> = Vec::new();
    let mut of_events = 0;
    let mut left_out = 0;
    for (index, step) in steps.iter().enumerate() {
        let is_wanted = wanted.is_some() && step.event_id.as_deref() == wanted;
        if step.event_id.is_some() && of_events >= SHOWN && !is_wanted {
            left_out += 1;
        } else {
            rows.push(Line::of(step, first, correlation_id));
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
            rows.push(Line {
                detail: format!("{} more; --json shows all", count(left_out, "event")),
                ..Line::default()
            });
            left_out = 0;
        }
    }
    table(&rows, shown.width)
}

/// A step as it is shown.
#[derive(Default)]
struct Line {
    /// Time, offset, step and actor.
    cells: [String; 4],
    /// May have several lines.
    detail: String,
}

impl Line {
    fn of(step: &AuditEntry, first: Micros, correlation_id: &str) -> Self {
        Self {
            cells: [
                time(step.time),
                offset(step.time - first),
                step.step.clone(),
                step.actor.clone(),
            ],
            detail: words(step, correlation_id),
        }
    }
}

/// On a terminal that is too narrow, details are on lines of their own.
fn table(rows: &[Line], width: Option<u16>) -> String {
    let [at, since, step, actor] = HEAD;
    let mut wide = Vec::new();
    for row in rows {
        let [at, since, step, actor] = row.cells.clone();
        let mut details = row.detail.lines().map(str::to_owned);
        wide.push([at, since, step, actor, details.next().unwrap_or_default()]);
        wide.extend(details.map(|detail| {
            let mut cells: [String; 5] = Default::default();
            cells[4] = detail;
            cells
        }));
    }
    if let Some(table) = fit_table([at, since, step, actor, "DETAIL"], wide, width, u16::MAX) {
        return table;
    }
    let cells = rows.iter().map(|row| row.cells.clone()).collect();
    let narrow = as_table(HEAD, cells, width);
    let mut lines = narrow.lines();
    let mut text: Vec<String> = lines.next().map(str::to_owned).into_iter().collect();
    for (line, row) in lines.zip(rows) {
        if !line.is_empty() {
            text.push(line.to_owned());
        }
        text.extend(
            row.detail
                .lines()
                .map(|detail| format!("     {}", plain(detail))),
        );
    }
    text.join("\n")
}

/// The time since the first step; negative if another machine's clock is behind.
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

/// What was never stored, as programs get it.
pub fn unstored_as_json(unstored: &UnstoredMessage) -> Value {
    json!({
        "src": unstored.at.src, "stream_sequence": StreamSequence::new(&unstored.stream, unstored.at.seq),
        "state": null,
        "steps": steps_as_json(&unstored.steps),
    })
}

fn steps_as_json(steps: &[AuditEntry]) -> Vec<Value> {
    let first = steps.first().map_or(0, |step| step.time);
    let step = |step: &AuditEntry| {
        let detail = step.detail.as_deref();
        json!({
            "time": rfc3339(step.time), "offset_ms": (step.time - first) as f64 / 1000.0,
            "step": step.step, "outcome": step.outcome, "actor": step.actor,
            "replay_id": step.replay_id, "developer": step.developer, "batch_id": step.batch_id,
            "event_id": step.event_id, "correlation_id": step.correlation_id,
            // What is no JSON is shown as the text it is.
            "detail": detail.map(|text| serde_json::from_str(text).unwrap_or_else(|_| json!(text))),
        })
    };
    steps.iter().map(step).collect()
}

/// A traced batch as programs get it.
pub fn as_json(traced: &TracedBatch) -> Value {
    let batch = &traced.batch;
    let kinds = |mask: Mask| mask.kinds().collect::<Vec<_>>();
    let [need, done, failed] = batch.masks.map(kinds);
    json!({
        "src": batch.at.src, "stream_sequence": StreamSequence::new(&traced.stream, batch.at.seq),
        "developer": batch.developer,
        "batch_id": batch.batch_id, "correlation_id": batch.correlation_id, "state": batch.state,
        "need": need, "done": done, "failed": failed, "counts": batch.counts,
        "received_at": rfc3339(batch.received_at), "published_at": rfc3339(batch.published_at),
        "persisted_at": rfc3339(batch.persisted_at),
        "steps": steps_as_json(&traced.steps),
    })
}

#[cfg(test)]
pub mod tests;
