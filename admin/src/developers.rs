//! `devtrail developers`: settings of developers that change results, in the bucket `settings`.

use std::collections::BTreeMap;

use anyhow::{Context as _, bail};
use async_nats::jetstream::kv;
use runtime::settings::parse_duration;
use serde_json::json;
use types::developer_settings::{BUCKET, DeveloperSettings, LEAST_IDLE, MOST_IDLE, settings_entry};
use types::id::DeveloperId;
use types::time;

use crate::bucket;
use crate::developer::ensure_known;
use crate::output::{self, OUTPUT};
use crate::target::Target;
use crate::time_args::parse_zone;

/// What to do with developers.
#[derive(Debug, clap::Subcommand)]
pub enum DevelopersCommand {
    /// List the developers who have settings
    #[command(after_long_help = "Examples:
  devtrail developers list
  devtrail developers list --json")]
    List {
        /// Print JSON
        #[arg(long, help_heading = OUTPUT)]
        json: bool,
        #[command(flatten)]
        target: Target,
    },
    /// Set what changes a developer's results
    #[command(after_long_help = "Examples:
  devtrail developers set ada --zone Europe/Berlin
  devtrail developers set ada --idle 5m
  devtrail developers set ada --no-zone --no-idle")]
    Set(DeveloperSetSettings),
}

/// What to set.
#[derive(Debug, clap::Args)]
#[command(group = clap::ArgGroup::new("settings").required(true).multiple(true))]
pub struct DeveloperSetSettings {
    /// The developer
    developer: DeveloperId,
    /// The IANA zone, such as Europe/Berlin, for what is received from now on of clients that name none
    #[arg(long, value_name = "ZONE", value_parser = parse_zone, group = "settings")]
    zone: Option<String>,
    /// Remove the zone
    #[arg(long, conflicts_with = "zone", group = "settings")]
    no_zone: bool,
    /// The longest pause that counts as active time, from 1m to 1h, for all days: they are computed again
    #[arg(long, value_name = "TIME", value_parser = parse_idle, group = "settings")]
    idle: Option<u64>,
    /// Remove the timeout: 15 minutes count
    #[arg(long, conflicts_with = "idle", group = "settings")]
    no_idle: bool,
    #[command(flatten)]
    target: Target,
}

/// A timeout in whole seconds.
fn parse_idle(text: &str) -> Result<u64, String> {
    let idle = parse_duration(text)?;
    let is_whole = idle.subsec_nanos() == 0;
    if is_whole && (LEAST_IDLE..=MOST_IDLE).contains(&idle.as_secs()) {
        return Ok(idle.as_secs());
    }
    Err("is no timeout: write whole seconds or minutes from 1m to 1h, such as 5m".to_owned())
}

/// Runs the command.
///
/// # Errors
/// Returns an error if NATS does not answer, the bucket is missing, the developer is not known, or stdout cannot be
/// written.
pub async fn run(command: DevelopersCommand) -> anyhow::Result<()> {
    match command {
        DevelopersCommand::List { json, target } => list(&target, json).await,
        DevelopersCommand::Set(settings) => set(settings).await,
    }
}

async fn list(target: &Target, as_json: bool) -> anyhow::Result<()> {
    let js = target.connect().await?;
    let entries = bucket::entries(&js, &bucket::open(&js, BUCKET).await?, "developer").await?;
    let mut developers: BTreeMap<String, DeveloperSettings> = BTreeMap::new();
    for entry in entries {
        let settings = serde_json::from_slice(&entry.value).with_context(|| {
            format!(
                "The settings of {} cannot be read; set them again.",
                entry.name
            )
        })?;
        developers.insert(entry.name, settings);
    }
    if as_json {
        let entries = developers
            .iter()
            .map(|(developer, settings)| json!({"developer": developer, "settings": settings}));
        return Ok(output::json(&entries.collect::<Vec<_>>())?);
    }
    if developers.is_empty() {
        let how = "No developer has settings. `devtrail developers set NAME --zone ZONE` sets a zone, \
                   --idle TIME a timeout.";
        return Ok(output::line(how)?);
    }
    let none = || "-".to_owned();
    let row = |(developer, settings): (String, DeveloperSettings)| {
        let idle = settings.idle_seconds.map(timeout_text);
        [
            developer,
            settings.zone.unwrap_or_else(none),
            idle.unwrap_or_else(none),
        ]
    };
    Ok(output::table(
        ["DEVELOPER", "ZONE", "IDLE"],
        developers.into_iter().map(row).collect(),
    )?)
}

/// A developer's settings, and the revision of their entry; 0 if there is none.
pub struct CurrentSettings {
    pub settings: DeveloperSettings,
    revision: u64,
}

/// The developer's settings as they are.
///
/// # Errors
/// Returns an error if NATS does not answer, or they cannot be read.
pub async fn current(
    bucket: &kv::Store,
    developer: &DeveloperId,
) -> anyhow::Result<CurrentSettings> {
    let entry = bucket.entry(settings_entry(developer)).await?;
    let is_there = |entry: &&kv::Entry| entry.operation == kv::Operation::Put;
    let settings = match entry.as_ref().filter(is_there) {
        Some(entry) => serde_json::from_slice(&entry.value)
            .with_context(|| format!("The settings of {developer} cannot be read."))?,
        None => DeveloperSettings::default(),
    };
    Ok(CurrentSettings {
        settings,
        revision: entry.map_or(0, |entry| entry.revision),
    })
}

impl DeveloperSetSettings {
    /// Sets these; what they do not have stays as it is.
    #[must_use]
    pub fn of(developer: DeveloperId, settings: DeveloperSettings, target: Target) -> Self {
        Self {
            developer,
            zone: settings.zone,
            no_zone: false,
            idle: settings.idle_seconds,
            no_idle: false,
            target,
        }
    }
}

/// What can be set of the settings of an export: a zone that is known, and the timeout that they come to.
#[must_use]
pub fn settable(exported: &DeveloperSettings) -> DeveloperSettings {
    DeveloperSettings {
        zone: (exported.zone.clone()).filter(|zone| time::zone(zone).is_some()),
        idle_seconds: exported.idle_seconds.map(|_| exported.idle()),
        ..DeveloperSettings::default()
    }
}

/// The flags of `developers set` that set these; empty if nothing is set.
#[must_use]
pub fn flags(settings: &DeveloperSettings) -> String {
    let zone = settings.zone.iter().map(|zone| format!(" --zone {zone}"));
    let idle = settings.idle_seconds.iter();
    let idle = idle.map(|idle| format!(" --idle {}", timeout_text(*idle)));
    zone.chain(idle).collect()
}

async fn set(settings: DeveloperSetSettings) -> anyhow::Result<()> {
    let developer = settings.developer.clone();
    let changed = change(settings).await?;
    output::line(match &changed.zone {
        Some(zone) => format!(
            "{developer}'s zone is {zone}: for what is received from now on, of clients that name none."
        ),
        None => format!(
            "{developer} has no zone: where a client names none, each event's own offset decides."
        ),
    })?;
    Ok(output::line(match changed.idle_seconds {
        Some(seconds) => format!(
            "{developer}'s pauses of up to {} count as active time; days are computed again where that changed.",
            timeout_text(seconds)
        ),
        None => format!("{developer}'s pauses of up to 15m count as active time, as everybody's."),
    })?)
}

/// Reads, changes and writes the entry. Of two administrators at once, one is told to look again.
///
/// # Errors
/// Returns an error if NATS does not answer, the bucket is missing, or the developer is not known.
pub async fn change(settings: DeveloperSetSettings) -> anyhow::Result<DeveloperSettings> {
    let js = settings.target.connect().await?;
    let bucket = bucket::open(&js, BUCKET).await?;
    let developer = &settings.developer;
    ensure_known(&settings.target, Some(developer)).await?;
    let CurrentSettings {
        settings: known,
        revision,
    } = current(&bucket, developer).await?;
    let changed = DeveloperSettings {
        zone: chosen(settings.zone, settings.no_zone, known.zone),
        idle_seconds: chosen(settings.idle, settings.no_idle, known.idle_seconds),
        others: known.others,
    };
    let value = serde_json::to_vec(&changed)?;
    let updated = bucket.update(settings_entry(developer), value.into(), revision);
    match updated.await {
        Ok(_) => Ok(changed),
        Err(error) if error.kind() == kv::UpdateErrorKind::WrongLastRevision => {
            bail!(
                "Somebody else has just set something of {developer}. Look with `devtrail developers list`."
            )
        }
        Err(error) => Err(error.into()),
    }
}

/// What a setting is after a command: what it was, unless the command sets or removes it.
fn chosen<T>(set: Option<T>, is_removed: bool, before: Option<T>) -> Option<T> {
    if is_removed { None } else { set.or(before) }
}

/// A timeout as it can be written in a command.
fn timeout_text(seconds: u64) -> String {
    if seconds.is_multiple_of(60) {
        format!("{}m", seconds / 60)
    } else {
        format!("{seconds}s")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_timeout_of_an_export_is_set_as_it_counts() {
        let flags_of = |zone: &str, idle_seconds: Option<u64>| {
            let exported = DeveloperSettings {
                zone: Some(zone.to_owned()),
                idle_seconds,
                ..DeveloperSettings::default()
            };
            flags(&settable(&exported))
        };
        let zone = "Europe/Berlin";
        assert_eq!(flags_of(zone, Some(90)), " --zone Europe/Berlin --idle 90s");
        assert_eq!(flags_of("Nowhere/Land", Some(5)), " --idle 1m");
        assert_eq!(flags_of("Nowhere/Land", Some(86_400)), " --idle 60m");
        assert_eq!(flags_of("Nowhere/Land", None), "");
    }
}
