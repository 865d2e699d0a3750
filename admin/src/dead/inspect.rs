//! `devtrail dead list` and `devtrail dead show`: what was dead-lettered, and why.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use anyhow::bail;
use async_nats::jetstream;
use bus::stored_messages;
use serde::Serialize;
use serde_json::{Value, json};
use store::{Clue, History, Submission, VerifyReads};
use types::event_streams::EVENTS;
use types::id::BatchRef;

use super::cursor::{DeadLetterCursor, DeadLetterFilterArgs, DeadLetterSelection, Selected};
use super::message::{DeadLetterEntry, DeadMessage, DeadPayload};
use crate::developer::ensure_known;
use crate::output::{self, OUTPUT, Page, SELECTION, count};
use crate::target::{Target, with_store};

/// What to list.
#[derive(Debug, clap::Args)]
#[command(after_long_help = "Examples:
  devtrail dead list
  devtrail dead list --stream JOBS --consumer alert --from 2026-03-01
  devtrail dead list --developer ada --reason panic --json")]
pub struct DeadListSettings {
    #[command(flatten)]
    filter: DeadLetterFilterArgs,
    /// Show at most so many dead letters
    #[arg(
        long,
        default_value_t = 100,
        value_name = "N",
        value_parser = clap::value_parser!(u32).range(1..),
        help_heading = SELECTION
    )]
    limit: u32,
    #[command(flatten)]
    target: Target,
    /// Print JSON
    #[arg(long, help_heading = OUTPUT)]
    json: bool,
}

/// Longest reason in the table, in bytes; `dead show` and `--json` have all of it.
const REASON: usize = 100;

/// Runs the command.
///
/// # Errors
/// Returns an error if DEAD cannot be read.
pub async fn list(settings: &DeadListSettings) -> anyhow::Result<()> {
    let js = settings.target.connect().await?;
    let wanted = DeadLetterSelection::Matching(settings.filter.clone());
    let mut cursor = DeadLetterCursor::new(&js, wanted).await?;
    let mut entries = Vec::new();
    while entries.len() <= settings.limit as usize
        && let Some(Selected::Message(dead)) = cursor.next().await?
    {
        entries.push(DeadLetterEntry::of(&dead));
    }
    let page = Page::new(entries, settings.limit);
    settings.filter.origin.range.check()?;
    if page.entries.is_empty() {
        let developer = settings.filter.origin.developer.as_ref();
        ensure_known(&settings.target, developer).await?;
    }
    if settings.json {
        return Ok(output::json(&page.entries)?);
    }
    let head = [
        "LETTER",
        "DEAD-LETTERED",
        "FROM",
        "BATCH",
        "DEVELOPER",
        "TRIES",
        "REASON",
    ];
    Ok(page.print_table("dead letter", head, row)?)
}

fn row(entry: &DeadLetterEntry) -> [String; 7] {
    let text = |text: &Option<String>| text.clone().unwrap_or_default();
    let sequence = entry
        .stream_sequence
        .map(|seq| format!(" {seq}"))
        .unwrap_or_default();
    [
        entry.sequence.to_string(),
        output::written_time(&entry.dead_at),
        format!("{}/{}{sequence}", entry.stream, entry.consumer),
        entry.job_id.clone().unwrap_or_else(|| text(&entry.batch)),
        text(&entry.developer),
        entry
            .attempts
            .map(|attempts| attempts.to_string())
            .unwrap_or_default(),
        types::json::shorten(&entry.reason, REASON),
    ]
}

/// What to show.
#[derive(Debug, clap::Args)]
#[command(after_long_help = "Examples:
  devtrail dead show 7
  devtrail dead show 7 --json | jq -r .payload.text")]
pub struct DeadShowSettings {
    /// The dead letter's number, as `dead list` shows it
    #[arg(value_name = "LETTER")]
    dead: u64,
    #[command(flatten)]
    target: Target,
    /// Print JSON
    #[arg(long, help_heading = OUTPUT)]
    json: bool,
}

/// A dead letter with all that is known of it.
#[derive(Debug, Serialize)]
struct DeadLetterDetails {
    #[serde(flatten)]
    entry: DeadLetterEntry,
    headers: BTreeMap<String, Vec<String>>,
    payload: Value,
    /// The present state of its batch, in words.
    now: String,
}

/// Incarnations of event streams in which the batch is searched.
const INCARNATIONS: u32 = 1000;

/// Runs the command.
///
/// # Errors
/// Returns an error if there is no such dead letter, or DEAD or the database cannot be read.
pub async fn show(settings: &DeadShowSettings) -> anyhow::Result<()> {
    let js = settings.target.connect().await?;
    let wanted = DeadLetterSelection::Named(vec![settings.dead]);
    let mut cursor = DeadLetterCursor::new(&js, wanted).await?;
    let Some(Selected::Message(dead)) = cursor.next().await? else {
        bail!(
            "DEAD has no dead letter {}: it was redriven or dropped, or never was. \
             `devtrail dead list` shows those that are.",
            settings.dead
        );
    };
    let mut payload = payload(&dead.content, &dead.payload);
    if let DeadPayload::Pointer(pointer) = &dead.content {
        let at = pointer.at;
        let incarnation = with_store!(settings.target, |store| store.incarnation(at.src).await?);
        // Of a number that the store never gave, the message is in no stream.
        let stream = incarnation.map_or_else(|| EVENTS.to_owned(), |one| one.name);
        payload["message"] = pointed(&js, &stream, at.seq).await?;
    }
    let now = match dead.batch() {
        None => "the dead letter names no batch".to_owned(),
        Some(at) => with_store!(settings.target, |store| batch_state(&store, at).await?),
    };
    let shown = DeadLetterDetails {
        entry: DeadLetterEntry::of(&dead),
        headers: headers(&dead),
        payload,
        now,
    };
    if settings.json {
        Ok(output::json(&shown)?)
    } else {
        Ok(output::line(text(&shown)?)?)
    }
}

/// The message that a pointer names; null if it is gone.
async fn pointed(js: &jetstream::Context, stream: &str, seq: u64) -> anyhow::Result<Value> {
    let message = stored_messages::get(js, stream, seq).await?;
    Ok(message.map_or(Value::Null, |one| {
        payload(&DeadPayload::of(stream, &one.payload), &one.payload)
    }))
}

async fn batch_state(store: &impl History, at: BatchRef) -> anyhow::Result<String> {
    let found = store.find(Clue::Sequence(at.seq), INCARNATIONS).await?;
    let batch = found.into_iter().find(|batch| batch.at == at);
    Ok(batch.map_or_else(
        || format!("batch {at} is not stored"),
        |batch| sentence(&batch),
    ))
}

fn sentence(batch: &Submission) -> String {
    let [_, done, failed] = batch.masks.map(|mask| {
        let names: Vec<&str> = mask.kinds().map(types::job::JobKind::as_str).collect();
        if names.is_empty() {
            "none".to_owned()
        } else {
            names.join(", ")
        }
    });
    let at = batch.at;
    let id = &batch.batch_id;
    let state = batch.state.as_str();
    format!("batch {at} ({id}) is stored and {state}; jobs done: {done}; failed: {failed}")
}

fn headers(dead: &DeadMessage) -> BTreeMap<String, Vec<String>> {
    let text = |values: &Vec<async_nats::HeaderValue>| {
        values.iter().map(|one| one.as_str().to_owned()).collect()
    };
    dead.headers
        .iter()
        .map(|(name, values)| (name.to_string(), text(values)))
        .collect()
}

/// The payload for programs: decoded if possible.
fn payload(content: &DeadPayload, bytes: &[u8]) -> Value {
    match content {
        DeadPayload::Batch(batch) => {
            let mut events = Vec::new();
            for (index, (note, bytes)) in batch.events().enumerate() {
                let text = String::from_utf8_lossy(bytes);
                events.push(json!({"index": index, "code": note.code, "text": text}));
            }
            let header = &batch.header;
            json!({
                "kind": "batch", "batch_id": header.batch_id, "developer": header.developer,
                "correlation_id": header.correlation_id, "schema_version": header.schema_version,
                "sent_at": header.sent_at, "received_at": types::time::rfc3339(header.received_at),
                "collector": header.collector, "counts": header.counts, "events": events,
            })
        }
        DeadPayload::Job(job) => json!({"kind": "job", "job": job}),
        DeadPayload::Pointer(pointer) => json!({"kind": "pointer", "pointer": pointer}),
        DeadPayload::Raw(why) => match std::str::from_utf8(bytes) {
            Ok(text) => json!({"kind": "raw", "why": why, "bytes": bytes.len(), "text": text}),
            Err(_) => json!({
                "kind": "raw", "why": why, "bytes": bytes.len(), "text": String::from_utf8_lossy(bytes),
                "hex": bytes.iter().fold(String::new(), |mut hex, byte| {
                    // Writing to a String never fails.
                    let _ = write!(hex, "{byte:02x}");
                    hex
                }),
            }),
        },
    }
}

fn text(shown: &DeadLetterDetails) -> anyhow::Result<String> {
    let entry = &shown.entry;
    let or = |text: &Option<String>| text.clone().unwrap_or_else(|| "unknown".to_owned());
    let tries = match (entry.attempts, entry.delivered) {
        (Some(attempts), Some(delivered)) => {
            format!(
                "{}, delivered {}",
                count(attempts, "attempt"),
                count(delivered, "time")
            )
        }
        (Some(attempts), None) => count(attempts, "attempt"),
        _ => "attempts unknown".to_owned(),
    };
    let ids = if entry.event_ids.is_empty() {
        "unknown".to_owned()
    } else {
        entry.event_ids.join(", ")
    };
    let headers = shown
        .headers
        .iter()
        .flat_map(|(name, values)| values.iter().map(move |value| (name, value)));
    let headers: Vec<String> = headers
        .map(|(name, value)| format!("  {name}: {value}"))
        .collect();
    let text = format!(
        "dead letter {} from {}/{} message {}, of {}\n\
         dead-lettered {} ({tries}, error class: {}): {}\nevents: {ids}\nnow: {}\n\
         headers:\n{}\npayload:\n{}",
        entry.sequence,
        entry.stream,
        entry.consumer,
        entry
            .stream_sequence
            .map_or_else(|| "unknown".to_owned(), |seq| seq.to_string()),
        or(&entry.developer),
        output::written_time(&entry.dead_at),
        or(&entry.error_class),
        entry.reason,
        shown.now,
        headers.join("\n"),
        serde_json::to_string_pretty(&shown.payload)?,
    );
    Ok(output::plain(&text))
}
