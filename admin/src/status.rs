//! `devtrail status`: streams, lag, and what is stored.

use common::bus::topology::{self, Name};
use serde::Serialize;
use store::{Ledger, SqliteReader, Totals};

use crate::out;
use crate::target::Target;

/// What to show.
#[derive(Debug, clap::Args)]
pub struct StatusSettings {
    #[command(flatten)]
    target: Target,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
struct Status {
    streams: Vec<Stream>,
    consumers: Vec<Consumer>,
    store: Totals,
}

#[derive(Serialize)]
struct Stream {
    name: String,
    messages: u64,
    bytes: u64,
    first_sequence: u64,
    last_sequence: u64,
}

#[derive(Serialize)]
struct Consumer {
    name: String,
    /// Not delivered yet.
    pending: u64,
    /// Delivered, not acknowledged yet.
    unsettled: u64,
}

/// Runs the command.
///
/// # Errors
/// Where NATS does not answer or the database cannot be read.
pub async fn run(settings: StatusSettings) -> anyhow::Result<()> {
    let (_, js) = settings.target.connect().await?;
    let (mut streams, mut consumers) = (Vec::new(), Vec::new());
    for Name { stream, consumer } in topology::declared().into_keys() {
        let name = Name { stream, consumer };
        let Some(info) = topology::info(&js, &name).await? else { continue };
        let number =
            |pointer: &str| info.pointer(pointer).and_then(serde_json::Value::as_u64).unwrap_or_default();
        match name.consumer {
            None => streams.push(Stream {
                name: name.stream,
                messages: number("/state/messages"),
                bytes: number("/state/bytes"),
                first_sequence: number("/state/first_seq"),
                last_sequence: number("/state/last_seq"),
            }),
            Some(consumer) => consumers.push(Consumer {
                name: format!("{}/{consumer}", name.stream),
                pending: number("/num_pending"),
                unsettled: number("/num_ack_pending"),
            }),
        }
    }
    let store = SqliteReader::open(&settings.target.database()?)?.totals()?;
    let status = Status { streams, consumers, store };
    if settings.json { Ok(out::json(&status)?) } else { Ok(print(&status)?) }
}

fn print(status: &Status) -> std::io::Result<()> {
    let streams = status.streams.iter().map(|stream| {
        let range = format!("{}–{}", stream.first_sequence, stream.last_sequence);
        [stream.name.clone(), stream.messages.to_string(), format!("{} KiB", stream.bytes / 1024), range]
    });
    out::table(["STREAM", "MESSAGES", "SIZE", "SEQUENCES"], streams.collect())?;
    out::line("")?;
    let consumers = status.consumers.iter();
    let consumers =
        consumers.map(|one| [one.name.clone(), one.pending.to_string(), one.unsettled.to_string()]);
    out::table(["CONSUMER", "PENDING", "UNSETTLED"], consumers.collect())?;
    out::line("")?;
    let store = &status.store;
    let batches = store.batches.iter().map(|(state, count)| (format!("batches {state}"), *count));
    let counts = [
        ("events", store.events),
        ("duplicates dropped", store.duplicates),
        ("quarantined", store.quarantined),
        ("rejected", store.rejected),
        ("developers", store.developers),
    ];
    let rows = batches.chain(counts.map(|(name, count)| (name.to_owned(), count)));
    out::table(["STORE", "COUNT"], rows.map(|(name, count)| [name, count.to_string()]).collect())
}
