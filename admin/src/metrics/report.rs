//! `devtrail metrics report`: a week as a page.

use std::fs::File;
use std::io::{self, ErrorKind, Read as _};
use std::os::unix::fs::FileTypeExt as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use jiff::civil::Date;
use runtime::stdout;
use store::QueryReads;
use types::id::DeveloperId;
use types::week::Week;
use workers::report::{MARK, stored_page};

use super::stored_days::{days, without_days};
use crate::developer;
use crate::output::{self, OUTPUT, SELECTION};
use crate::target::{Target, with_store};

/// So many bytes of a report hold its mark.
const HEAD: u64 = 4096;

/// Which week, and where to.
#[derive(Debug, clap::Args)]
#[command(after_long_help = "Examples:
  devtrail metrics report ada
  devtrail metrics report ada --week 2026-W10 -o report.html
  devtrail metrics report ada --note 'With the release on Thursday' -o release.html
  devtrail metrics report ada -o - | gzip > report.html.gz")]
pub struct ReportSettings {
    /// The developer
    developer: DeveloperId,
    /// The week, from Monday to Sunday: YYYY-Www (ISO 8601) [default: the newest that has events]
    #[arg(long, value_name = "WEEK", help_heading = SELECTION)]
    week: Option<Week>,
    #[command(flatten)]
    target: Target,
    /// The file to write, - for stdout [default: DEVELOPER-WEEK.html]
    #[arg(long, short, value_name = "FILE", help_heading = OUTPUT)]
    output: Option<PathBuf>,
    /// A sentence to show at the top of the page
    #[arg(long, value_name = "TEXT", help_heading = OUTPUT)]
    note: Option<String>,
}

/// Runs the command.
///
/// # Errors
/// Returns an error if the database cannot be read, the week has no metrics, or the file cannot be written.
pub async fn run(settings: &ReportSettings) -> anyhow::Result<()> {
    with_store!(settings.target, |store| run_from(&store, settings).await)
}

async fn run_from(store: &impl QueryReads, settings: &ReportSettings) -> anyhow::Result<()> {
    let ReportSettings {
        developer, note, ..
    } = settings;
    let week = match settings.week {
        Some(week) => week,
        None => newest_week(store, settings).await?,
    };
    let page = stored_page(store, developer.to_string(), week, note.clone()).await?;
    let Some(page) = page else {
        let newest = newest_week(store, settings).await?;
        bail!(
            "{developer} has no metrics in {week} ({} to {}). The newest week that has some is {newest}; `devtrail \
             metrics show {developer}` lists the days.",
            week.monday(),
            week.sunday(),
        );
    };
    match &settings.output {
        Some(path) if path == Path::new("-") => Ok(stdout::print(&page).map(drop)?),
        Some(path) => write(path, &page, developer, week),
        None => write(
            Path::new(&format!("{developer}-{week}.html")),
            &page,
            developer,
            week,
        ),
    }
}

/// The developer's newest week in which anything was counted. It reads all of the developer's days.
///
/// # Errors
/// Returns an error if the store cannot be read, or the developer has no days.
async fn newest_week(store: &impl QueryReads, settings: &ReportSettings) -> anyhow::Result<Week> {
    let developer = &settings.developer;
    let days = days(store, developer.as_str()).await?;
    let Some(newest) = days.last() else {
        developer::ensure_known(&settings.target, Some(developer)).await?;
        bail!(without_days(developer.as_str(), &store.developers().await?));
    };
    Ok(Week::of(newest.day.parse::<Date>()?))
}

fn write(path: &Path, page: &str, developer: &DeveloperId, week: Week) -> anyhow::Result<()> {
    let shown = path.display();
    anyhow::ensure!(
        may_be_replaced(path).with_context(|| format!("{shown} cannot be written"))?,
        "{shown} exists and is no report of Devtrail, so it is left as it is. Name another file with -o, or delete it."
    );
    std::fs::write(path, page).with_context(|| format!("{shown} cannot be written"))?;
    Ok(output::line(format!(
        "wrote the report of {developer}, week {week}, to {shown}"
    ))?)
}

/// Whether nothing is lost if the file is written: it is not there, is empty, is a device, or holds an earlier report.
fn may_be_replaced(path: &Path) -> io::Result<bool> {
    match path.metadata() {
        Ok(there) if there.is_file() && there.len() > 0 => {}
        // Nobody may be at the other end: writing would wait, and no signal would end it.
        Ok(there) if there.file_type().is_fifo() => return Ok(false),
        Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
        _ => return Ok(true),
    }
    let mut head = Vec::new();
    File::open(path)?.take(HEAD).read_to_end(&mut head)?;
    Ok(head.windows(MARK.len()).any(|part| part == MARK.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_an_earlier_report_is_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("report.html");
        let developer: DeveloperId = "ada".parse().unwrap();
        let week: Week = "2026-W10".parse().unwrap();
        let page = |text: &str| format!("<html>{MARK}{text}</html>");
        for text in ["one", "two"] {
            write(&path, &page(text), &developer, week).unwrap();
            assert_eq!(std::fs::read_to_string(&path).unwrap(), page(text));
        }
        let other = folder.path().join("other.html");
        std::fs::write(&other, "<html>mine</html>").unwrap();
        let error = write(&other, &page("three"), &developer, week).unwrap_err();
        assert!(error.to_string().contains("Name another file"), "{error}");
        assert_eq!(
            std::fs::read_to_string(&other).unwrap(),
            "<html>mine</html>"
        );
        let pipe = folder.path().join("pipe");
        nix::unistd::mkfifo(&pipe, nix::sys::stat::Mode::S_IRWXU).unwrap();
        assert!(write(&pipe, &page("pipe"), &developer, week).is_err());
        let missing = folder.path().join("no/folder.html");
        let error = write(&missing, &page("four"), &developer, week).unwrap_err();
        assert!(
            format!("{error:#}").contains("cannot be written"),
            "{error:#}"
        );
    }
}
