//! `devtrail export`: everything stored about a developer, as NDJSON, a page at a time.

use std::fs::{File, OpenOptions};
use std::io::{self, BufWriter, IsTerminal as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use indicatif::ProgressBar;
use runtime::{clock, stdout};
use store::ExportReads;
use types::developer_settings::{BUCKET, DeveloperSettings};
use types::export::{ExportCounts, ExportRange, ExportWalk};
use types::id::DeveloperId;
use workers::export::{head, page};

use crate::bucket;
use crate::developer::{OwnDeveloper, ensure_known};
use crate::developers;
use crate::output::{self, OUTPUT, count};
use crate::target::{Target, with_store};
use crate::time_args::DayRangeArgs;

/// Whose data, and where it goes.
#[derive(Debug, clap::Args)]
#[command(after_long_help = "Examples:
  devtrail export > me.ndjson
  devtrail export ada -o ada.ndjson
  devtrail export me --from 2026-03-01 --to 2026-03-31 | gzip > march.ndjson.gz")]
pub struct ExportSettings {
    #[command(flatten)]
    developer: OwnDeveloper,
    #[command(flatten)]
    range: DayRangeArgs,
    /// Write to this file, which only you may read, instead of stdout
    #[arg(short, long, value_name = "FILE", help_heading = OUTPUT)]
    output: Option<PathBuf>,
    /// Leave the developer's settings out: then no nats-server is asked
    #[arg(long, help_heading = OUTPUT)]
    without_settings: bool,
    #[command(flatten)]
    target: Target,
}

/// Runs the command.
///
/// # Errors
/// Returns an error if the database or the settings cannot be read, nobody knows the developer, or the output cannot
/// be written.
pub async fn run(settings: ExportSettings) -> anyhow::Result<()> {
    settings.range.check()?;
    let developer = settings.developer.name();
    let own = match settings.without_settings {
        true => DeveloperSettings::default(),
        false => settings_of(&settings.target, &developer).await?,
    };
    let range = ExportRange {
        from: settings.range.from.clone(),
        to: settings.range.to.clone(),
    };
    let begun = head(developer.to_string(), range, own, clock::now());
    let (walk, first) = ExportWalk::begin(begun)?;
    with_store!(settings.target, |store| write(
        &store, walk, first, &settings, &developer
    )
    .await)
}

async fn settings_of(
    target: &Target,
    developer: &DeveloperId,
) -> anyhow::Result<DeveloperSettings> {
    let read = async {
        let js = target.connect().await?;
        let bucket = bucket::open(&js, BUCKET).await?;
        Ok::<_, anyhow::Error>(developers::current(&bucket, developer).await?.settings)
    };
    read.await.with_context(|| {
        format!(
            "The settings of {developer} cannot be read; --without-settings exports everything else"
        )
    })
}

async fn write(
    store: &impl ExportReads,
    mut walk: ExportWalk,
    first: Vec<u8>,
    settings: &ExportSettings,
    developer: &DeveloperId,
) -> anyhow::Result<()> {
    let mut text = first;
    let mut output = None;
    let progress = Shown::new(settings.output.is_none());
    while let Some(query) = walk.query() {
        text.extend(walk.take(page(store, query).await?)?);
        if output.is_none() {
            // Of a name that nobody knows no file is left.
            if walk.query().is_none() && walk.counts() == ExportCounts::default() {
                ensure_known(&settings.target, Some(developer)).await?;
            }
            output = Some(Output::open(settings.output.as_deref())?);
        }
        if let Some(output) = &mut output
            && !output.write(&text)?
        {
            return Ok(());
        }
        text.clear();
        progress.went(walk.counts());
    }
    drop(progress);
    if let Some(output) = output {
        output.end()?;
    }
    if let Some(file) = &settings.output {
        output::note(&format!(
            "exported {} of {developer} to {}",
            words(walk.counts()),
            file.display()
        ));
    }
    Ok(())
}

/// What an export holds, for people.
fn words(counts: ExportCounts) -> String {
    format!(
        "{}, {} of metrics and {}",
        count(counts.events, "event"),
        count(counts.days, "day"),
        count(counts.alerts, "alert")
    )
}

/// How far an export is, on a terminal that nothing else is written to.
struct Shown(ProgressBar);

impl Shown {
    fn new(to_stdout: bool) -> Self {
        let quiet = to_stdout && io::stdout().is_terminal();
        Self(output::progress_bar(
            0,
            "{spinner} {msg} · {elapsed}",
            quiet,
        ))
    }

    fn went(&self, counts: ExportCounts) {
        self.0.set_message(words(counts));
        self.0.tick();
    }
}

impl Drop for Shown {
    fn drop(&mut self) {
        self.0.finish_and_clear();
    }
}

/// Where an export goes.
enum Output {
    Stdout,
    /// A file that gets its name when it is whole.
    File {
        file: BufWriter<File>,
        partial: PathBuf,
        path: PathBuf,
    },
}

impl Output {
    fn open(path: Option<&Path>) -> anyhow::Result<Self> {
        let Some(path) = path else {
            return Ok(Self::Stdout);
        };
        let mut partial = path.as_os_str().to_owned();
        partial.push(".part");
        let partial = PathBuf::from(partial);
        let mut options = OpenOptions::new();
        options.write(true).create(true).truncate(true).mode(0o600);
        let file = options
            .open(&partial)
            .with_context(|| format!("{} cannot be written", partial.display()))?;
        Ok(Self::File {
            file: BufWriter::new(file),
            partial,
            path: path.to_owned(),
        })
    }

    /// Writes lines; returns whether anything still reads them.
    fn write(&mut self, text: &[u8]) -> anyhow::Result<bool> {
        match self {
            Self::Stdout => {
                let text = std::str::from_utf8(text).context("the export is no UTF-8")?;
                Ok(stdout::print(text)?)
            }
            Self::File { file, partial, .. } => {
                let written = file.write_all(text);
                written.with_context(|| format!("{} cannot be written", partial.display()))?;
                Ok(true)
            }
        }
    }

    /// Puts a file in its place.
    fn end(self) -> anyhow::Result<()> {
        let Self::File {
            mut file,
            partial,
            path,
        } = self
        else {
            return Ok(());
        };
        let whole = file.flush().and_then(|()| file.get_ref().sync_all());
        let placed = whole.and_then(|()| std::fs::rename(&partial, &path));
        placed.with_context(|| format!("{} cannot be written", path.display()))
    }
}
