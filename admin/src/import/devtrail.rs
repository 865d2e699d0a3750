//! `devtrail import devtrail`: the events of an export, with their ids and times, into this Devtrail.

use std::io::{BufRead as _, Read as _};

use anyhow::{Context as _, bail};
use runtime::process::Process;
use runtime::settings::UsageError;
use types::developer_settings::DeveloperSettings;
use types::export::ExportCounts;
use types::id::DeveloperId;

use super::exported::{self, ExportedLine};
use super::files::{self, FileArgs, FileKind, FileText, Found, Take};
use crate::developers::{self, DeveloperSetSettings};
use crate::output;
use crate::send::source;

/// Which export, and what of it.
#[derive(Debug, clap::Args)]
pub struct ImportDevtrailSettings {
    /// The file that `devtrail export` or `GET /v1/export` gave, or - for stdin; it may be compressed
    file: String,
    /// Set the zone and the timeout of the export for this developer, once its events are stored
    #[arg(long, value_name = "DEVELOPER")]
    settings: Option<DeveloperId>,
    #[command(flatten)]
    args: FileArgs,
}

/// Longest line, in bytes: an event has at most the bytes of a message of NATS.
const MAX_LINE: u64 = 64 * 1024 * 1024;

/// What an export held beside its events.
struct Ended {
    settings: DeveloperSettings,
    events: u64,
    /// What its last line says; `None` if it was cut off.
    end: Option<ExportCounts>,
}

/// Runs the command.
///
/// # Errors
/// Returns an error if the file is no export or was cut off, or a batch is not acknowledged.
pub async fn run(settings: ImportDevtrailSettings, process: &Process) -> anyhow::Result<()> {
    let ImportDevtrailSettings {
        file,
        settings: to,
        args,
    } = settings;
    let name = source::name(&file).to_owned();
    let read = move |text: FileText, take: &mut Take<'_>| read(text, take, &name);
    // One of a developer without events has settings.
    let kind = FileKind {
        prefix: "export",
        needs_events: false,
    };
    let imported = files::import(&file, &args, kind, process, read).await?;
    let Some(ended) = imported else {
        return Ok(());
    };
    let settable = developers::settable(&ended.settings);
    let flags = developers::flags(&settable);
    match to {
        Some(developer) => {
            if !flags.is_empty() {
                let set =
                    DeveloperSetSettings::of(developer, settable, args.delivery.collector.target);
                developers::change(set).await?;
            }
            if !args.json {
                output::line(match flags.is_empty() {
                    true => "The export has no settings.".to_owned(),
                    false => format!("Its settings are set:{flags}"),
                })?;
            }
        }
        None => {
            if !flags.is_empty() {
                output::note(&format!(
                    "Its settings are not set; `devtrail developers set DEVELOPER{flags}` sets them: \
                     metrics depend on them."
                ));
            }
        }
    }
    match ended.end {
        None => bail!(
            "{} was cut off: it has no last line of the kind end. What it holds was sent. Export again, and import \
             that: nothing is stored twice.",
            source::name(&file)
        ),
        Some(counts) if counts.events != ended.events => bail!(
            "{} holds {}, but its last line tells of {}. Some are missing: export again, and import that.",
            source::name(&file),
            output::count(ended.events, "event"),
            counts.events
        ),
        Some(_) => Ok(()),
    }
}

/// Reads the lines of an export.
///
/// # Errors
/// Returns a [`UsageError`] that names the line that is none of an export.
fn read(mut text: FileText, take: &mut Take<'_>, name: &str) -> anyhow::Result<Ended> {
    let mut ended = Ended {
        settings: DeveloperSettings::default(),
        events: 0,
        end: None,
    };
    let mut line = Vec::new();
    let mut number = 0_u64;
    let bad = |number: u64, reason: &str| {
        let text = format!(
            "{name}: line {number} {reason}. Name a file of `devtrail export`; other files of events are for \
             `devtrail send`."
        );
        anyhow::Error::from(UsageError(text))
    };
    loop {
        line.clear();
        let read = text.by_ref().take(MAX_LINE).read_until(b'\n', &mut line);
        let length = read.with_context(|| source::cannot_be_read(name))?;
        if length == 0 {
            return Ok(ended);
        }
        number += 1;
        if line.last() != Some(&b'\n') && length as u64 == MAX_LINE {
            return Err(bad(number, &format!("has more than {MAX_LINE} bytes")));
        }
        let content = std::str::from_utf8(&line).map_err(|_| "is no UTF-8".to_owned());
        if content
            .as_ref()
            .is_ok_and(|content| content.trim().is_empty())
        {
            continue;
        }
        // A line without its end is one that was cut off.
        let is_whole = line.ends_with(b"\n");
        let found = match content.and_then(exported::read) {
            Err(_) if !is_whole && number > 1 => return Ok(ended),
            found => found.map_err(|reason| bad(number, &reason))?,
        };
        match found {
            ExportedLine::Header if number == 1 => {}
            _ if number == 1 => return Err(bad(number, "is no header of an export")),
            ExportedLine::Settings(settings) => ended.settings = settings,
            ExportedLine::Event(event) => {
                ended.events += 1;
                if !take(Found::Event(*event)) {
                    return Ok(ended);
                }
            }
            ExportedLine::End(counts) => ended.end = Some(counts),
            ExportedLine::Header | ExportedLine::Other => {}
        }
    }
}
