//! `devtrail streams`: makes streams and consumers as the files under `nats/` declare them.

mod adopt;
mod number;

use std::collections::BTreeMap;

use async_nats::jetstream;
use bus::ResourceName;
use bus::api;
use bus::topology::{self, Config, ConfigChange, Difference};
use runtime::process::Process;

use adopt::AdoptSettings;
use number::MappingSettings;
pub use number::{EventStreamsArgs, has_batches, wanted};

use crate::output::{self, OUTPUT};
use crate::target::Target;

/// What to do with streams.
#[derive(Debug, clap::Subcommand)]
pub enum StreamsCommand {
    /// Create what is missing and repair safety fields; what an administrator changed is kept
    #[command(after_long_help = "Examples:
  devtrail streams apply
  devtrail streams apply --nats-url nats://nats.internal:4222
  devtrail streams apply --event-streams 3      on a new server: three streams share the developers")]
    Apply(StreamsSettings),
    /// Show what `apply` would do, and what differs on purpose; exits 1 if `apply` has work
    #[command(after_long_help = "Examples:
  devtrail streams diff
  devtrail streams diff --json")]
    Diff(StreamsSettings),
    /// Let the store of this address take the streams over from another one: EVENTS is read into it from the first
    /// message on, and workers on the other store stop
    #[command(after_long_help = "Examples:
  devtrail streams adopt --reason 'the disk of the database died'
  devtrail streams adopt --reason 'back to the old server' --yes")]
    Adopt(AdoptSettings),
    /// Print what the nats-server's configuration needs if other programs publish batches and there are several event
    /// streams; Devtrail's own programs need nothing of it
    #[command(after_long_help = "Examples:
  devtrail streams mapping
  devtrail streams mapping --event-streams 3")]
    Mapping(MappingSettings),
}

/// Which server.
#[derive(Debug, clap::Args)]
pub struct StreamsSettings {
    #[command(flatten)]
    event_streams: EventStreamsArgs,
    #[command(flatten)]
    sync: bus::sync::SyncSettings,
    #[command(flatten)]
    target: Target,
    /// Print JSON
    #[arg(long, help_heading = OUTPUT)]
    json: bool,
}

/// Runs the command.
///
/// # Errors
/// Returns an error if the server does not sync always, does not answer, or refuses a change.
pub async fn run(command: StreamsCommand, process: &Process) -> anyhow::Result<()> {
    match command {
        StreamsCommand::Apply(settings) => {
            let js = settings.target.connect_synced(&settings.sync).await?;
            let streams = wanted(&js, settings.event_streams).await?;
            let plan = make(&js, &topology::declared(streams)).await?;
            report(&plan, settings.json)?;
        }
        StreamsCommand::Diff(settings) => {
            let js = settings.target.connect().await?;
            let declared = topology::declared(wanted(&js, settings.event_streams).await?);
            let plan = topology::plan(&declared, &topology::live(&js, &declared).await?);
            report(&plan, settings.json)?;
            let work = plan
                .iter()
                .filter(|(_, change)| !matches!(change, ConfigChange::Keep(_)))
                .count();
            anyhow::ensure!(
                work == 0,
                "`devtrail streams apply` has {} to make.",
                output::count(work, "change")
            );
        }
        StreamsCommand::Adopt(settings) => adopt::run(settings, process).await?,
        StreamsCommand::Mapping(settings) => number::mapping(&settings).await?,
    }
    Ok(())
}

/// Compares, and makes it so; gives what was done.
///
/// # Errors
/// Returns an error if the server does not answer or refuses.
pub async fn make(
    js: &jetstream::Context,
    declared: &BTreeMap<ResourceName, Config>,
) -> Result<Vec<(ResourceName, ConfigChange)>, api::ApiError> {
    let plan = topology::plan(declared, &topology::live(js, declared).await?);
    topology::apply(js, &plan).await?;
    Ok(plan)
}

fn report(plan: &[(ResourceName, ConfigChange)], as_json: bool) -> std::io::Result<()> {
    if as_json {
        let one = |(name, change): &(ResourceName, ConfigChange)| {
            let name = name.to_string();
            serde_json::json!({"name": name, "change": change})
        };
        return output::json(&plan.iter().map(one).collect::<Vec<_>>());
    }
    let list = |differences: &[Difference]| {
        let one = |d: &Difference| format!("{} is {}, declared {}", d.field, d.live, d.declared);
        differences.iter().map(one).collect::<Vec<_>>().join("; ")
    };
    for (name, change) in plan {
        output::line(match change {
            ConfigChange::Create(_) => format!("create  {name}"),
            ConfigChange::Repair { differences, .. } => {
                format!("repair  {name}: {}", list(differences))
            }
            ConfigChange::Keep(differences) => format!("keep    {name}: {}", list(differences)),
        })?;
    }
    if plan.is_empty() {
        output::line("All streams and consumers are as declared.")
    } else {
        Ok(())
    }
}
