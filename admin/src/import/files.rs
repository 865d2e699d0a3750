//! What imports of files share: a thread reads, makes batches of what it reads, and these are sent or counted. Never
//! more of a file is in memory than the batches that are on their way.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use futures_util::{StreamExt as _, stream};
use runtime::process::Process;
use runtime::settings::UsageError;
use serde::Serialize;
use serde_json::value::{RawValue, to_raw_value};
use tokio::sync::mpsc;
use types::id::made_of;
use types::time::{Micros, rfc3339};

use super::summary::{ImportedFile, PlannedFile};
use crate::interrupt::until_shutdown;
use crate::output::{self, OUTPUT};
use crate::send::delivery::{DeliveryArgs, Extent, Progress, Summary};
use crate::send::input::{BatchContent, MAX_BYTES, OutgoingBatch};
use crate::send::source::{self, ReadState};
use crate::send::values::BYTE_ORDER_MARK;
use crate::time_args::DayRangeArgs;

/// The client that everything imported comes from.
pub const CLIENT: &str = "devtrail-import";
/// How long to wait for the metrics of what was sent: they take milliseconds if workers run.
pub const COMPUTED: Duration = Duration::from_secs(10);
/// Batches that are read ahead.
const AHEAD: usize = 4;
/// Bytes of batches that are not full: beyond, all go out as they are.
const MAX_OPEN: usize = 16 * 1024 * 1024;

/// A kind of file.
pub struct FileKind {
    /// Begins the ids of its batches, which are made of what they hold: the same file makes the same batches.
    pub prefix: &'static str,
    /// Whether one without events is none to import.
    pub needs_events: bool,
}

/// How a file is sent.
#[derive(Debug, clap::Args)]
pub struct FileArgs {
    /// Only say what would be sent
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    pub delivery: DeliveryArgs,
    /// Print JSON
    #[arg(long, help_heading = OUTPUT)]
    pub json: bool,
}

/// An event of a file, ready to be sent.
#[derive(Debug)]
pub struct FileEvent {
    /// What is the same for all events of a batch.
    pub envelope: EnvelopeParts,
    pub event: Box<RawValue>,
    /// A time at which it was there: what is sent with it was not sent before.
    pub not_before: Micros,
    /// Its local day, `YYYY-MM-DD`, as far as the file tells.
    pub day: String,
}

/// What an envelope says of all its events.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct EnvelopeParts {
    pub schema_version: String,
    /// The text of `client`, a JSON value.
    pub client: Option<String>,
}

/// What a reader finds in a file.
#[derive(Debug)]
pub enum Found {
    Event(FileEvent),
    /// Something that should become an event and does not: what it is called, and why.
    PassedOver {
        what: String,
        reason: String,
    },
    /// Something that is not meant to become events, and why.
    LeftOut(String),
}

/// Takes what a reader finds, until it returns false: then nobody wants more.
pub type Take<'a> = dyn FnMut(Found) -> bool + 'a;

/// The text of a file.
pub type FileText = BufReader<source::Bytes>;

/// Opens a file as text: inflated, if it is compressed.
///
/// # Errors
/// Returns a [`UsageError`] if there is no such file, and an error if it is no text.
pub fn open(file: &str, state: &Arc<ReadState>) -> anyhow::Result<FileText> {
    if file != "-" && !Path::new(file).is_file() {
        let text = format!("There is no file {file}. Name the file to import.");
        return Err(UsageError(text).into());
    }
    let bytes = source::open(file, state.clone())?;
    let mut text = BufReader::with_capacity(64 * 1024, source::text(bytes, file)?);
    let begins = text.fill_buf();
    let begins = begins.with_context(|| source::cannot_be_read(source::name(file)))?;
    if begins.starts_with(BYTE_ORDER_MARK) {
        text.consume(BYTE_ORDER_MARK.len());
    }
    Ok(text)
}

/// What `survey` finds in a file that is read twice, the first time to look it through. It runs on a thread of its own
/// and is given the file's name.
///
/// # Errors
/// Returns a [`UsageError`] if there is no such file or the range is none, and the errors of `survey`.
pub async fn surveyed<T: Send + 'static>(
    file: &str,
    range: &DayRangeArgs,
    survey: impl FnOnce(FileText, &str) -> anyhow::Result<T> + Send + 'static,
) -> anyhow::Result<T> {
    range.check()?;
    let text = open_twice(file)?;
    let name = source::name(file).to_owned();
    tokio::task::spawn_blocking(move || survey(text, &name)).await?
}

/// Opens a file that is read twice.
fn open_twice(file: &str) -> anyhow::Result<FileText> {
    if !source::is_file(file) || file == "-" {
        let text = format!(
            "There is no file {}. Name one: it is read twice, which a pipe cannot be.",
            source::name(file)
        );
        return Err(UsageError(text).into());
    }
    open(file, &Arc::new(ReadState::default()))
}

/// Reads a file with `read`, which runs on a thread of its own, and sends what it finds. Gives what the reader ended
/// with; `None` if that was only a plan.
///
/// # Errors
/// Returns an error if the file cannot be read to its end, holds nothing, or a batch is not acknowledged.
pub async fn import<T, R>(
    file: &str,
    args: &FileArgs,
    kind: FileKind,
    process: &Process,
    read: R,
) -> anyhow::Result<Option<T>>
where
    T: Send + 'static,
    R: FnOnce(FileText, &mut Take<'_>) -> anyhow::Result<T> + Send + 'static,
{
    let state = Arc::new(ReadState::default());
    let size = usize::from(args.delivery.batch_size);
    if args.dry_run {
        let planned = plan(file, size, &state, read);
        let planned = until_shutdown(planned, &process.shutdown).await?;
        if args.json {
            output::json(&planned)?;
        } else {
            planned.print()?;
        }
        return Ok(None);
    }
    // A wrong name is the first thing to say.
    let text = open(file, &state)?;
    let client = args.delivery.client(CLIENT)?.waiting();
    let keys = args.delivery.keys()?;
    let key = keys.of(None)?.to_owned();
    let extent = match source::length(file) {
        Some(total) => Extent::Bytes {
            total,
            state: state.clone(),
        },
        None => Extent::Open,
    };
    let progress = Progress::new(extent, source::name(file), args.json);
    let (into, batches) = mpsc::channel(AHEAD);
    let reader = tokio::task::spawn_blocking(move || {
        let mut open = OpenBatches::new(size);
        let send = |batch: Ready| into.blocking_send(batch).is_ok();
        let ended = read(text, &mut |found| match found {
            Found::Event(event) => open
                .add(event)
                .into_iter()
                .all(|full| send(Ready::Batch(full))),
            Found::PassedOver { what, reason } => send(Ready::PassedOver { what, reason }),
            Found::LeftOut(what) => send(Ready::LeftOut(what)),
        });
        // What was read before a failure is sent as well: sending it again adds nothing.
        for rest in open.rest() {
            send(Ready::Batch(rest));
        }
        ended
    });
    let mut newest = String::new();
    let mut left_out = Vec::new();
    let mut summary = Summary::default();
    let outgoing = stream::unfold(batches, async |mut batches| {
        Some((batches.recv().await?, batches))
    });
    let outgoing = outgoing
        .take_until(process.shutdown.draining())
        .filter_map(|ready| {
            let batch = match ready {
                Ready::Batch(batch) => Some(batch.outgoing(&key, kind.prefix)),
                Ready::PassedOver { what, reason } => {
                    progress.pass_over_what(&what, &reason);
                    None
                }
                Ready::LeftOut(what) => {
                    left_out.push(what);
                    None
                }
            };
            std::future::ready(batch)
        })
        .inspect(|batch| {
            if let Ok(batch) = batch {
                newest.clone_from(&batch.batch_id);
            }
        });
    let sent = args
        .delivery
        .send(
            &client,
            outgoing,
            &progress,
            &process.shutdown,
            &mut summary,
        )
        .await;
    state.stop();
    let passed_over = progress.passed_over();
    drop(progress);
    sent?;
    let ended = reader.await?;
    let imported = ImportedFile::new(source::name(file), passed_over, left_out, summary);
    let computed = match newest.is_empty() {
        true => true,
        false => {
            let computed = client.is_completed(&key, &newest, COMPUTED);
            until_shutdown(computed, &process.shutdown).await?
        }
    };
    if imported.events > 0 {
        if args.json {
            output::json(&imported)?;
        } else {
            imported.print(computed, args.delivery.is_as_me())?;
        }
    }
    let ended = ended?;
    ensure!(
        imported.events > 0 || (passed_over == 0 && !kind.needs_events),
        "{} holds nothing that can be imported{}.",
        source::name(file),
        if passed_over > 0 {
            ", as named above"
        } else {
            ""
        }
    );
    ensure!(
        passed_over == 0,
        "{passed_over} parts of {} were passed over; every event beside was sent. What is named above tells why.",
        source::name(file)
    );
    Ok(Some(ended))
}

/// Counts what would be sent.
async fn plan<T, R>(
    file: &str,
    size: usize,
    state: &Arc<ReadState>,
    read: R,
) -> anyhow::Result<PlannedFile>
where
    T: Send + 'static,
    R: FnOnce(FileText, &mut Take<'_>) -> anyhow::Result<T> + Send + 'static,
{
    let text = open(file, state)?;
    let mut planned = PlannedFile::new(source::name(file));
    let counted = tokio::task::spawn_blocking(move || {
        let mut open = OpenBatches::new(size);
        let ended = read(text, &mut |found| {
            match found {
                Found::Event(event) => {
                    planned.add(&event.day);
                    planned.batches += open.add(event).len() as u64;
                }
                Found::PassedOver { .. } => planned.passed_over += 1,
                Found::LeftOut(what) => planned.left_out.push(what),
            }
            true
        });
        planned.batches += open.rest().len() as u64;
        ended.map(|_| planned)
    });
    counted.await?
}

/// What the reading thread passes on.
enum Ready {
    Batch(FileBatch),
    PassedOver { what: String, reason: String },
    LeftOut(String),
}

/// Events that go out together.
#[derive(Debug)]
struct FileBatch {
    envelope: EnvelopeParts,
    events: Vec<Box<RawValue>>,
    not_before: Micros,
    bytes: usize,
}

#[derive(Serialize)]
struct Envelope<'a> {
    batch_id: &'a str,
    sent_at: String,
    schema_version: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    client: Option<&'a RawValue>,
    events: &'a [Box<RawValue>],
}

impl FileBatch {
    /// The batch as it is sent. Its `sent_at` lies in the past, so that no clock is corrected by it.
    fn outgoing(&self, key: &str, prefix: &str) -> anyhow::Result<OutgoingBatch> {
        let client = self.envelope.client.as_deref();
        let head = [&*self.envelope.schema_version, client.unwrap_or_default()];
        let parts = head
            .into_iter()
            .chain(self.events.iter().map(|event| event.get()));
        let batch_id = made_of(prefix, parts);
        let client: Option<&RawValue> = client
            .map(serde_json::from_str)
            .transpose()
            .context("the client of an export is no JSON")?;
        let text = to_raw_value(&Envelope {
            batch_id: &batch_id,
            sent_at: rfc3339(self.not_before),
            schema_version: &self.envelope.schema_version,
            client,
            events: &self.events,
        })?;
        Ok(OutgoingBatch {
            key: key.to_owned(),
            batch_id,
            content: BatchContent::Envelope { line: 0, text },
        })
    }
}

/// Batches on their way to be full, one for each envelope.
struct OpenBatches {
    size: usize,
    open: BTreeMap<EnvelopeParts, FileBatch>,
    bytes: usize,
}

impl OpenBatches {
    fn new(size: usize) -> Self {
        Self {
            size,
            open: BTreeMap::new(),
            bytes: 0,
        }
    }

    /// Takes an event; gives the batches that go out now.
    fn add(&mut self, event: FileEvent) -> Vec<FileBatch> {
        let length = event.event.get().len();
        let mut ready = Vec::new();
        let is_too_large = |batch: &FileBatch| batch.bytes + length > MAX_BYTES;
        if self.open.get(&event.envelope).is_some_and(is_too_large) {
            ready.extend(self.take(&event.envelope));
        }
        let batch = (self.open.entry(event.envelope.clone())).or_insert_with(|| FileBatch {
            envelope: event.envelope.clone(),
            events: Vec::new(),
            not_before: event.not_before,
            bytes: 0,
        });
        batch.events.push(event.event);
        batch.not_before = batch.not_before.min(event.not_before);
        batch.bytes += length;
        self.bytes += length;
        if batch.events.len() >= self.size {
            ready.extend(self.take(&event.envelope));
        } else if self.bytes > MAX_OPEN {
            ready.extend(self.rest());
        }
        ready
    }

    fn take(&mut self, envelope: &EnvelopeParts) -> Option<FileBatch> {
        let batch = self.open.remove(envelope)?;
        self.bytes -= batch.bytes;
        Some(batch)
    }

    /// All that are open.
    fn rest(&mut self) -> Vec<FileBatch> {
        self.bytes = 0;
        std::mem::take(&mut self.open).into_values().collect()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn event(client: u8, number: usize, length: usize) -> FileEvent {
        let text = format!("{{\"n\":{number},\"s\":\"{}\"}}", "y".repeat(length));
        FileEvent {
            envelope: EnvelopeParts {
                schema_version: "1.0".to_owned(),
                client: Some(format!("{{\"name\":\"c{client}\"}}")),
            },
            event: RawValue::from_string(text).unwrap(),
            not_before: number as Micros,
            day: "2026-03-01".to_owned(),
        }
    }

    #[test]
    fn the_same_events_make_the_same_batch_sent_when_they_were_there() {
        let batch = |numbers: [usize; 2]| {
            let mut open = OpenBatches::new(2);
            let ready = numbers.map(|number| open.add(event(1, number, 1)));
            ready
                .into_iter()
                .flatten()
                .next()
                .unwrap()
                .outgoing("k", "export")
                .unwrap()
        };
        let (one, again, other) = (batch([5, 3]), batch([5, 3]), batch([5, 4]));
        assert_eq!(one.batch_id, again.batch_id);
        assert_ne!(one.batch_id, other.batch_id);
        let BatchContent::Envelope { text, .. } = one.content else {
            panic!("an envelope")
        };
        let envelope: serde_json::Value = serde_json::from_str(text.get()).unwrap();
        assert_eq!(envelope["sent_at"], "1970-01-01T00:00:00.000003Z");
        assert_eq!(envelope["client"]["name"], "c1");
    }

    proptest! {
        #[test]
        fn each_event_goes_out_once_in_order_with_others_of_its_envelope(
            clients in prop::collection::vec(0..4_u8, 0..60), size in 1..9_usize, large in any::<bool>()
        ) {
            let length = if large { MAX_BYTES / 2 } else { 10 };
            let clients = if large { &clients[..clients.len().min(12)] } else { &clients[..] };
            let mut open = OpenBatches::new(size);
            let mut ready = Vec::new();
            for (number, client) in clients.iter().enumerate() {
                ready.extend(open.add(event(*client, number, length)));
                prop_assert!(open.bytes <= MAX_OPEN + length + 99);
            }
            ready.extend(open.rest());
            let mut seen: BTreeMap<String, Vec<u64>> = BTreeMap::new();
            for batch in &ready {
                prop_assert!(batch.events.len() <= size && (batch.bytes <= MAX_BYTES || batch.events.len() == 1));
                for event in &batch.events {
                    let event: serde_json::Value = serde_json::from_str(event.get()).unwrap();
                    let client = batch.envelope.client.clone().unwrap();
                    seen.entry(client).or_default().push(event["n"].as_u64().unwrap());
                }
            }
            let numbers = seen.values().map(Vec::len).sum::<usize>();
            prop_assert_eq!(numbers, clients.len());
            prop_assert!(seen.values().all(|of_client| of_client.is_sorted()));
        }
    }
}
