//! `devtrail export`: everything stored about a developer, as NDJSON, a page at a time.

use std::io::{self, BufWriter, IsTerminal as _, Write as _};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use indicatif::ProgressBar;
use runtime::{clock, stdout};
use store::ExportReads;
use tempfile::NamedTempFile;
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
    /// Write to this file, which only you may read, instead of stdout; - is stdout
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
pub async fn run(mut settings: ExportSettings) -> anyhow::Result<()> {
    settings.range.check()?;
    settings.output = settings.output.filter(|path| path != Path::new("-"));
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
        file: BufWriter<NamedTempFile>,
        path: PathBuf,
    },
}

impl Output {
    fn open(path: Option<&Path>) -> anyhow::Result<Self> {
        let Some(path) = path else {
            return Ok(Self::Stdout);
        };
        let shown = path.display();
        let path = place(path).with_context(|| format!("{shown} cannot be written"))?;
        let folder = match path.parent() {
            Some(folder) if !folder.as_os_str().is_empty() => folder,
            _ => Path::new("."),
        };
        // A new file of a name that nobody can guess, which only its owner may read; gone unless it gets its place.
        let file =
            NamedTempFile::new_in(folder).with_context(|| format!("{shown} cannot be written"))?;
        Ok(Self::File {
            file: BufWriter::new(file),
            path,
        })
    }

    /// Writes lines; returns whether anything still reads them.
    fn write(&mut self, text: &[u8]) -> anyhow::Result<bool> {
        match self {
            Self::Stdout => {
                let text = std::str::from_utf8(text).context("the export is no UTF-8")?;
                Ok(stdout::print(text)?)
            }
            Self::File { file, path } => {
                let written = file.write_all(text);
                written.with_context(|| format!("{} cannot be written", path.display()))?;
                Ok(true)
            }
        }
    }

    /// Puts a file in its place.
    fn end(self) -> anyhow::Result<()> {
        let Self::File { file, path } = self else {
            return Ok(());
        };
        let placed = || -> io::Result<()> {
            let file = file.into_inner()?;
            file.as_file().sync_all()?;
            file.persist(&path)?;
            Ok(())
        };
        placed().with_context(|| format!("{} cannot be written", path.display()))
    }
}

/// Where a file goes: a link's own target. What is there and no file, such as a device or a pipe, is not replaced.
fn place(path: &Path) -> anyhow::Result<PathBuf> {
    match path.metadata() {
        Ok(there) if there.is_file() => Ok(path.canonicalize()?),
        Ok(_) => bail!("it is no file; leave out -o, and stdout can go there"),
        // A link to nothing would be replaced.
        Err(_) if path.is_symlink() => bail!("it is a link to a file that is not there"),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(path.to_owned()),
        Err(error) => Err(error.into()),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt as _, symlink};

    use super::*;

    fn write(path: &Path, text: &str) -> anyhow::Result<()> {
        let mut output = Output::open(Some(path))?;
        output.write(text.as_bytes())?;
        output.end()
    }

    #[test]
    fn a_file_is_its_owners_and_takes_the_place_of_a_file_only() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("me.ndjson");
        write(&path, "one").unwrap();
        let mode = path.metadata().unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        let link = folder.path().join("link");
        symlink(&path, &link).unwrap();
        write(&link, "two").unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "two");
        assert!(link.is_symlink());
        let pipe = folder.path().join("pipe");
        nix::unistd::mkfifo(&pipe, nix::sys::stat::Mode::S_IRWXU).unwrap();
        let dangling = folder.path().join("dangling");
        symlink(folder.path().join("none"), &dangling).unwrap();
        for none in [pipe, dangling, folder.path().to_owned(), "/dev/null".into()] {
            let error = write(&none, "three").unwrap_err();
            assert!(
                format!("{error:#}").contains("cannot be written: it is"),
                "{error:#}"
            );
        }
        // What is not ended leaves nothing.
        let mut begun = Output::open(Some(&path)).unwrap();
        begun.write(b"four").unwrap();
        drop(begun);
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "two");
        let mut names: Vec<_> = (folder.path().read_dir().unwrap())
            .map(|entry| entry.unwrap().file_name())
            .collect();
        names.sort();
        assert_eq!(names, ["dangling", "link", "me.ndjson", "pipe"]);
    }
}
