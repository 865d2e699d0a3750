//! `devtrail dead show`.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use anyhow::bail;
use async_nats::jetstream;
use bus::{EVENTS, stored};
use serde::Serialize;
use serde_json::{Value, json};
use store::{Clue, History, Submission};
use types::id::BatchRef;

use super::letter::{Content, Entry, Letter};
use super::walk::{Found, Walk, Wanted};
use crate::output;
use crate::target::{Target, with_store};

/// What to show.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  devtrail dead show 7
  devtrail dead show 7 --json | jq -r .payload.text")]
pub struct ShowSettings {
    #[command(flatten)]
    target: Target,
    /// The letter's number, as `dead list` shows it
    #[arg(value_name = "LETTER")]
    letter: u64,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// A letter with all that is known of it.
#[derive(Debug, Serialize)]
struct Shown {
    #[serde(flatten)]
    entry: Entry,
    headers: BTreeMap<String, Vec<String>>,
    payload: Value,
    /// How its batch stands now.
    now: String,
}

/// Lives of EVENTS that are looked through for the letter's batch.
const LIVES: u32 = 1000;

/// Runs the command.
///
/// # Errors
/// Where there is no such letter, or DEAD or the database cannot be read.
pub async fn run(settings: &ShowSettings) -> anyhow::Result<()> {
    let (_, js) = settings.target.connect().await?;
    let wanted = Wanted::Named(vec![settings.letter]);
    let mut walk = Walk::new(&js, wanted).await?;
    let Some(Found::Letter(letter)) = walk.next().await? else {
        bail!(
            "DEAD has no letter {}: it was redriven or dropped, or never was. `devtrail dead list` shows those that are.",
            settings.letter
        );
    };
    let mut payload = payload(&letter.content, &letter.payload);
    if let Content::Pointer(pointer) = &letter.content {
        payload["message"] = pointed(&js, pointer.at).await?;
    }
    let now = match letter.batch() {
        None => "the letter names no batch".to_owned(),
        Some(at) => with_store!(settings.target, |store| stands(&store, at).await?),
    };
    let shown = Shown {
        entry: Entry::of(&letter),
        headers: headers(&letter),
        payload,
        now,
    };
    if settings.json {
        Ok(output::json(&shown)?)
    } else {
        Ok(output::line(text(&shown)?)?)
    }
}

/// The message that a pointer names; null where it is gone.
async fn pointed(js: &jetstream::Context, at: BatchRef) -> anyhow::Result<Value> {
    let message = stored::message(js, EVENTS, at.seq).await?;
    Ok(message.map_or(Value::Null, |one| {
        payload(&Content::of(EVENTS, &one.payload), &one.payload)
    }))
}

async fn stands(store: &impl History, at: BatchRef) -> anyhow::Result<String> {
    let found = store.find(Clue::Sequence(at.seq), LIVES).await?;
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
    let (at, id, state) = (batch.at, &batch.batch_id, batch.state.as_str());
    format!("batch {at} ({id}) is stored and {state}; jobs done: {done}; failed: {failed}")
}

fn headers(letter: &Letter) -> BTreeMap<String, Vec<String>> {
    let text = |values: &Vec<async_nats::HeaderValue>| {
        values.iter().map(|one| one.as_str().to_owned()).collect()
    };
    letter
        .headers
        .iter()
        .map(|(name, values)| (name.to_string(), text(values)))
        .collect()
}

/// The payload for programs: taken apart where that can be done.
fn payload(content: &Content, bytes: &[u8]) -> Value {
    match content {
        Content::Batch(batch) => {
            let event = |(index, (note, bytes)): (usize, (&types::batch::EventMetadata, &[u8]))| json!({"index": index, "code": note.code, "text": String::from_utf8_lossy(bytes)});
            let events: Vec<Value> = batch.events().enumerate().map(event).collect();
            let header = &batch.header;
            json!({
                "kind": "batch", "batch_id": header.batch_id, "developer": header.developer,
                "correlation_id": header.correlation_id, "schema_version": header.schema_version,
                "sent_at": header.sent_at, "received_at": types::time::rfc3339(header.received_at),
                "collector": header.collector, "counts": header.counts, "events": events,
            })
        }
        Content::Job(job) => json!({"kind": "job", "job": job}),
        Content::Pointer(pointer) => json!({"kind": "pointer", "pointer": pointer}),
        Content::Raw(why) => match std::str::from_utf8(bytes) {
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

fn text(shown: &Shown) -> anyhow::Result<String> {
    let entry = &shown.entry;
    let or = |text: &Option<String>| text.clone().unwrap_or_else(|| "unknown".to_owned());
    let tries = match (entry.attempts, entry.delivered) {
        (Some(attempts), Some(delivered)) => {
            format!("{attempts} attempts, delivered {delivered} times")
        }
        (Some(attempts), None) => format!("{attempts} attempts"),
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
        "letter {} from {}/{} message {}, of {}\ngave up {} ({tries}, to blame: {}): {}\nevents: {ids}\nnow: {}\n\
         headers:\n{}\npayload:\n{}",
        entry.sequence,
        entry.stream,
        entry.consumer,
        entry
            .stream_sequence
            .map_or_else(|| "unknown".to_owned(), |seq| seq.to_string()),
        or(&entry.developer),
        entry.dead_at,
        or(&entry.error_class),
        entry.reason,
        shown.now,
        headers.join("\n"),
        serde_json::to_string_pretty(&shown.payload)?,
    );
    Ok(output::plain(&text))
}
