//! `devtrail status`: streams, lag, processes with their breakers, and what is stored.

mod snapshot;

use std::io::IsTerminal as _;
use std::time::Duration;

use async_nats::jetstream;
use bus::store_owner;
use bus::worker_registry::{self, WorkerEntry};
use bus::{api, topology};
use runtime::clock;
use runtime::process::Process;
use store::{Identity, VerifyReads};
use types::event_streams::EventStreams;

use crate::output::{self, OUTPUT};
use crate::target::{Target, with_store};
use snapshot::{ConsumerStatus, OwnerStatus, Status, StreamStatus};

/// What to show.
#[derive(Debug, clap::Args)]
#[command(after_long_help = "Examples:
  devtrail status
  devtrail status --watch
  devtrail status --json | jq .store.batches")]
pub struct StatusSettings {
    #[command(flatten)]
    target: Target,
    /// Print JSON; with --watch a line at a time
    #[arg(long, help_heading = OUTPUT)]
    json: bool,
    /// Refresh it every two seconds, until Ctrl-C
    #[arg(long)]
    watch: bool,
}

/// The time between two looks of `--watch`.
const EVERY: Duration = Duration::from_secs(2);
/// To the upper left corner, and clear from there on.
const REDRAW: &str = "\x1b[H\x1b[J";

/// Runs the command.
///
/// # Errors
/// Returns an error if NATS does not answer or the database cannot be read.
pub async fn run(settings: StatusSettings, process: Process) -> anyhow::Result<()> {
    let js = settings.target.connect().await?;
    with_store!(settings.target, |store| {
        let first = look(&js, &store).await?;
        if settings.watch {
            watch(&js, &store, first, settings.json, &process).await
        } else if settings.json {
            Ok(output::json(&first)?)
        } else {
            let width = output::terminal_width();
            Ok(output::line(snapshot::text(&first, clock::now(), width))?)
        }
    })
}

async fn look(
    js: &jetstream::Context,
    store: &(impl VerifyReads + Identity),
) -> anyhow::Result<Status> {
    let own_id = store.store_id().await?;
    let owner = store_owner::read(js).await?.map(|entry| OwnerStatus {
        is_this_store: own_id.as_ref() == Some(&entry.owner.store_id),
        owner: entry.owner,
    });
    let mut streams = Vec::new();
    let mut consumers = Vec::new();
    // Where none is there yet, one is expected.
    let events = bus::existing_event_streams(js).await?;
    for (name, declared) in topology::declared(events.unwrap_or(EventStreams::ONE)) {
        let Some(info) = api::info(js, &name).await? else {
            continue;
        };
        let number = |pointer: &str| {
            info.pointer(pointer)
                .and_then(serde_json::Value::as_u64)
                .unwrap_or_default()
        };
        match name.consumer {
            None => streams.push(StreamStatus {
                name: name.stream,
                messages: number("/state/messages"),
                bytes: number("/state/bytes"),
                first_sequence: number("/state/first_seq"),
                last_sequence: number("/state/last_seq"),
                takes_groups: declared
                    .contains_key(topology::ATOMIC)
                    .then(|| info["config"][topology::ATOMIC] == true),
            }),
            Some(consumer) => consumers.push(ConsumerStatus {
                name: format!("{}/{consumer}", name.stream),
                pending: number("/num_pending"),
                ack_pending: number("/num_ack_pending"),
            }),
        }
    }
    let (workers, collectors) = worker_registry::alive(js)
        .await?
        .into_iter()
        .partition(WorkerEntry::is_worker);
    Ok(Status {
        owner,
        streams,
        consumers,
        collectors,
        workers,
        store: store.totals().await?,
    })
}

/// Shows it again and again. A failed look is shown as an error, and the next one may succeed: Devtrail may
/// be restarted meanwhile.
async fn watch(
    js: &jetstream::Context,
    store: &(impl VerifyReads + Identity),
    first: Status,
    as_json: bool,
    process: &Process,
) -> anyhow::Result<()> {
    let on_terminal = std::io::stdout().is_terminal();
    let stopping = process.shutdown.drain_token();
    let mut seen = Ok(first);
    let mut looks = tokio::time::interval(EVERY);
    looks.tick().await;
    loop {
        let shown = block(&seen, as_json, on_terminal)?;
        if !output::still_read(&shown)? {
            return Ok(());
        }
        let next = async {
            looks.tick().await;
            look(js, store).await
        };
        let Some(next) = stopping.run_until_cancelled(next).await else {
            return Ok(());
        };
        seen = next;
    }
}

/// What `--watch` prints of one look.
fn block(
    seen: &anyhow::Result<Status>,
    as_json: bool,
    on_terminal: bool,
) -> anyhow::Result<String> {
    let now = clock::now();
    if as_json {
        return Ok(match seen {
            Ok(status) => serde_json::to_string(status)?,
            Err(error) => serde_json::json!({"error": format!("{error:#}")}).to_string(),
        });
    }
    let text = match seen {
        Ok(status) => snapshot::text(status, now, output::terminal_width()),
        Err(error) => format!("error: {error:#}"),
    };
    let time = output::time(now);
    let head = format!("{time} · every {} s until Ctrl-C", EVERY.as_secs());
    let (before, after) = if on_terminal {
        (REDRAW, "")
    } else {
        ("", "\n----")
    };
    Ok(format!("{before}{head}\n\n{text}{after}"))
}
