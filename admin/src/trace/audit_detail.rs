//! What a row of the audit says beyond its step, in words. Pure.

use serde_json::Value;
use store::AuditEntry;

use crate::output::{count, plural, written_time};

/// The row in words, a line or more; `correlation_id` is that of its batch.
pub fn words(step: &AuditEntry, correlation_id: &str) -> String {
    let detail: Value = match step.detail.as_deref() {
        // What is no JSON is shown as the text it is.
        Some(text) => serde_json::from_str(text).unwrap_or_else(|_| Value::from(text)),
        None => Value::Null,
    };
    let mut words = match step.step.as_str() {
        "deduplicated" if step.outcome == "duplicate_batch" => {
            "a resend of the whole batch, dropped by the stream".to_owned()
        }
        "deduplicated" => event(step, &detail, "duplicate of"),
        "refused" => event(step, &detail, "original"),
        "validated" if detail["origin"].is_object() => readmitted(&detail["origin"]),
        "triggered" => triggers(&detail),
        "job_started" | "job_finished" => text(&detail, "job_id"),
        "alerted" => alert(&detail),
        "failed" if step.outcome == "recovered" => {
            let [attempts, reason] = ["attempts", "reason"].map(|key| text(&detail, key));
            let who = detail["job_id"]
                .as_str()
                .map_or_else(|| text(&detail, "consumer"), str::to_owned);
            format!(
                "{who} was done after {} that failed: {}",
                counted(&attempts, "attempt"),
                reason.replace('\n', " ")
            )
        }
        "failed" => {
            let [job, attempt, reason] =
                ["job_id", "attempt", "reason"].map(|key| text(&detail, key));
            let reason = reason.replace('\n', " ");
            format!("{job} dead-lettered at attempt {attempt}: {reason}")
        }
        "dead" => {
            let [attempts, error_class, reason] =
                ["attempts", "error_class", "reason"].map(|key| text(&detail, key));
            let attempts = counted(&attempts, "attempt");
            let attempts = format!("after {attempts} (error class: {error_class})");
            format!(
                "{}in DEAD {attempts}: {}",
                subject(&detail),
                reason.replace('\n', " ")
            )
        }
        "redriven" => {
            format!(
                "{}{}, dead-lettered with: {}",
                subject(&detail),
                by(&detail),
                text(&detail, "dead_reason")
            )
        }
        "dropped" => format!(
            "{}{}: {}",
            subject(&detail),
            by(&detail),
            text(&detail, "reason")
        ),
        _ if detail.is_null() => String::new(),
        _ => detail.to_string(),
    };
    if let Some(other) = step
        .correlation_id
        .as_deref()
        .filter(|other| *other != correlation_id)
    {
        words = format!(
            "{words}{}correlation {other}",
            if words.is_empty() { "" } else { " · " }
        );
    }
    if step.developer.is_none() {
        words = "forgotten".to_owned();
    }
    words
}

fn text(detail: &Value, key: &str) -> String {
    match &detail[key] {
        Value::String(text) => text.clone(),
        Value::Null => "?".to_owned(),
        other => other.to_string(),
    }
}

/// A count that may be unknown.
fn counted(number: &str, one: &str) -> String {
    match number.parse::<u64>() {
        Ok(number) => count(number, one),
        Err(_) => format!("{number} {}", plural(one)),
    }
}

/// `1:4711:alert `, if it is about a job.
fn subject(detail: &Value) -> String {
    detail["job_id"]
        .as_str()
        .map(|id| format!("{id} "))
        .unwrap_or_default()
}

/// `dead letter 7 by ada@host`.
fn by(detail: &Value) -> String {
    format!(
        "dead letter {} by {}",
        text(detail, "dead_sequence"),
        text(detail, "by")
    )
}

/// `event e1 (index 3) duplicate_id, duplicate of 1:4709:0 in batch b0, received 2026-…`.
fn event(step: &AuditEntry, detail: &Value, relation: &str) -> String {
    let id = step.event_id.as_deref().unwrap_or("without id");
    let mut words = format!(
        "event {id} (index {}) {}",
        text(detail, "ordinal"),
        step.outcome
    );
    let original = &detail["original"];
    if original.is_object() {
        let [src, seq, ordinal, batch, received] =
            ["src", "seq", "ordinal", "batch_id", "received_at"].map(|key| text(original, key));
        words += &format!(
            ", {relation} {src}:{seq}:{ordinal} in batch {batch}, received {}",
            written_time(&received)
        );
    }
    words
}

/// `readmitted: events 0, 3 of EVENTS 5, batch b1`.
fn readmitted(origin: &Value) -> String {
    let ordinals = origin["ordinals"]
        .as_array()
        .map(Vec::as_slice)
        .unwrap_or_default();
    let ordinals: Vec<String> = ordinals.iter().map(Value::to_string).collect();
    let [seq, batch] = ["seq", "batch_id"].map(|key| text(origin, key));
    let stream = text(&origin["incarnation"], "name");
    format!(
        "readmitted: events {} of {stream} {seq}, batch {batch}",
        ordinals.join(", ")
    )
}

/// A line a job: `1:4711:alert is JOBS 17 on jobs.alert.live.ada`.
fn triggers(detail: &Value) -> String {
    let jobs = detail["jobs"]
        .as_array()
        .map(Vec::as_slice)
        .unwrap_or_default();
    let line = |job: &Value| {
        let [id, sequence, subject] =
            ["job_id", "stream_sequence", "subject"].map(|key| text(job, key));
        format!("{id} is JOBS {sequence} on {subject}")
    };
    jobs.iter().map(line).collect::<Vec<_>>().join("\n")
}

fn alert(detail: &Value) -> String {
    let [id, rule, state, revision] =
        ["alert_id", "rule", "state", "revision"].map(|key| text(detail, key));
    format!("{rule} {state}, alert {id} revision {revision}")
}
