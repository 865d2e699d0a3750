//! How many event streams there are to be, and what follows from that.

use async_nats::jetstream;
use bus::{ResourceName, api};
use runtime::settings::UsageError;
use types::event_streams::EventStreams;

use crate::output;
use crate::target::Target;

/// How many event streams.
#[derive(Debug, Clone, Copy, clap::Args)]
pub struct EventStreamsArgs {
    /// Spread the batches over so many streams, by developer; fixed once the streams exist
    /// [default: as many as there are, else 1]
    #[arg(long, env = "DEVTRAIL_EVENT_STREAMS", value_name = "N")]
    pub event_streams: Option<EventStreams>,
}

/// For which number of event streams.
#[derive(Debug, clap::Args)]
pub struct MappingSettings {
    #[command(flatten)]
    event_streams: EventStreamsArgs,
    #[command(flatten)]
    target: Target,
}

/// How many event streams the server has or gets.
///
/// # Errors
/// Returns a [`UsageError`] with the way to migrate if it has another number than is asked for, and an error if it does
/// not answer.
pub async fn wanted(
    js: &jetstream::Context,
    given: EventStreamsArgs,
) -> anyhow::Result<EventStreams> {
    let existing = bus::existing_event_streams(js).await?;
    match (given.event_streams, existing) {
        (Some(given), Some(existing)) if given != existing => {
            let change = NumberChange {
                existing,
                given,
                has_batches: has_batches(js).await?,
            };
            Err(UsageError(change.refusal()).into())
        }
        (given, existing) => Ok(existing.or(given).unwrap_or(EventStreams::ONE)),
    }
}

/// Whether an event stream ever took a message.
///
/// # Errors
/// Returns an error if the server does not answer.
pub async fn has_batches(js: &jetstream::Context) -> anyhow::Result<bool> {
    let Some(streams) = bus::existing_event_streams(js).await? else {
        return Ok(false);
    };
    for stream in streams.all() {
        let info = api::info(js, &ResourceName::stream(&stream.to_string())).await?;
        let last = info.and_then(|info| info.pointer("/state/last_seq")?.as_u64());
        if last.is_some_and(|last| last > 0) {
            return Ok(true);
        }
    }
    Ok(false)
}

/// A change of the number that is asked for.
struct NumberChange {
    existing: EventStreams,
    given: EventStreams,
    /// Whether a stream ever took a message.
    has_batches: bool,
}

impl NumberChange {
    fn refusal(&self) -> String {
        let Self {
            existing, given, ..
        } = self;
        let names: Vec<String> = existing.all().map(|stream| stream.to_string()).collect();
        let remove = format!(
            "delete the event streams (`nats stream rm {}`)",
            names.join("`, `nats stream rm ")
        );
        let migrate = if self.has_batches {
            format!(
                "To move to {given}: let no more batches in, wait until `devtrail status` shows that every batch is \
                 completed and `devtrail dead list` shows none, {remove}, and run this again. What is stored stays. \
                 See \"How many event streams\" in docs/operations.md."
            )
        } else {
            format!(
                "None of them has taken a batch yet: to have {given}, {remove}, and run this again."
            )
        };
        format!(
            "The number of event streams is fixed once they exist: there are {existing} ({}), and --event-streams asks \
             for {given}. Leave it out, or give {existing}. {migrate}",
            names.join(", ")
        )
    }
}

/// Runs `devtrail streams mapping`.
///
/// # Errors
/// Returns an error if no number is given and the server does not answer.
pub async fn mapping(settings: &MappingSettings) -> anyhow::Result<()> {
    let streams = match settings.event_streams.event_streams {
        Some(given) => given,
        None => bus::event_streams(&settings.target.connect().await?).await?,
    };
    let mapping = streams.server_mapping();
    if mapping.is_empty() {
        return Ok(output::line(
            "# One event stream needs no mapping: batches are published on events.batch.<developer>.",
        )?);
    }
    Ok(output::line(mapping.trim_end())?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_names_both_numbers_and_the_way() {
        let change = |has_batches| NumberChange {
            existing: EventStreams::ONE,
            given: "3".parse().unwrap(),
            has_batches,
        };
        let with_batches = change(true).refusal();
        for part in [
            "there are 1 (EVENTS)",
            "asks for 3",
            "give 1",
            "devtrail dead list",
            "nats stream rm EVENTS`",
        ] {
            assert!(with_batches.contains(part), "{with_batches}");
        }
        let empty = change(false).refusal();
        assert!(empty.contains("None of them has taken a batch"), "{empty}");
        assert!(!empty.contains("devtrail status"), "{empty}");
    }
}
