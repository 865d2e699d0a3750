//! The address of the store, and the lock that keeps a SQLite file to one writing process.

use std::fs::{File, TryLockError};
use std::path::{Path, PathBuf};
use std::str::FromStr;

use anyhow::{Context as _, bail};
use clap::builder::ValueParserFactory;
use runtime::private_files;
use runtime::settings::SecretParser;
use store::{Postgres, PostgresUrl, Sqlite};

/// The address of the database.
#[derive(Debug, Clone, clap::Args)]
pub struct DatabaseSettings {
    /// The database: sqlite:PATH, or postgres://USER:PASSWORD@HOST:PORT/DATABASE?sslmode=verify-full (sslmode:
    /// disable, prefer, require, verify-ca or verify-full; sslrootcert=PATH names the trusted authorities)
    #[arg(
        long,
        env = "DEVTRAIL_DATABASE_URL",
        hide_env_values = true,
        default_value = "sqlite:devtrail-data/devtrail.db",
        value_name = "URL",
        help_heading = "Connection"
    )]
    pub database_url: DatabaseUrl,
}

/// A database's address. Displayed, it has no password.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DatabaseUrl {
    Sqlite(PathBuf),
    Postgres(PostgresUrl),
}

impl FromStr for DatabaseUrl {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if let Some(path) = text.strip_prefix("sqlite:").filter(|path| !path.is_empty()) {
            return Ok(Self::Sqlite(path.into()));
        }
        if text.starts_with("postgres://") || text.starts_with("postgresql://") {
            return text
                .parse()
                .map(Self::Postgres)
                .map_err(|error| format!("{error}"));
        }
        Err("it is no database: write sqlite:PATH or postgres://USER@HOST:PORT/DATABASE".to_owned())
    }
}

impl DatabaseUrl {
    /// The address as it is in every folder: a relative path means another file in each.
    #[must_use]
    pub fn absolute(&self) -> Self {
        match self {
            Self::Sqlite(path) => {
                Self::Sqlite(std::path::absolute(path).unwrap_or_else(|_| path.clone()))
            }
            Self::Postgres(url) => Self::Postgres(url.clone()),
        }
    }
}

impl ValueParserFactory for DatabaseUrl {
    type Parser = SecretParser<Self>;

    fn value_parser() -> SecretParser<Self> {
        SecretParser::new(str::parse)
    }
}

impl std::fmt::Display for DatabaseUrl {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Sqlite(path) => write!(f, "sqlite:{}", path.display()),
            Self::Postgres(url) => write!(f, "{url}"),
        }
    }
}

/// An open store.
pub enum OpenedStore {
    Sqlite {
        store: Sqlite,
        /// Must be held as long as the store is used: a second writing process is refused.
        lock: File,
    },
    /// Any number of processes may write it.
    Postgres(Postgres),
}

impl DatabaseSettings {
    /// The folder of a SQLite file.
    #[must_use]
    pub fn folder(&self) -> Option<PathBuf> {
        let DatabaseUrl::Sqlite(path) = &self.database_url else {
            return None;
        };
        let folder = path
            .parent()
            .filter(|folder| !folder.as_os_str().is_empty());
        Some(folder.unwrap_or(Path::new(".")).to_owned())
    }

    /// Opens the store and brings it up to this program's version; a SQLite file is locked first.
    ///
    /// # Errors
    /// Returns an error if another process writes the SQLite file, or the store cannot be opened.
    pub async fn open(&self) -> anyhow::Result<OpenedStore> {
        match &self.database_url {
            DatabaseUrl::Sqlite(path) => {
                let lock = lock(path)?;
                Ok(OpenedStore::Sqlite {
                    store: Sqlite::open(path)?,
                    lock,
                })
            }
            DatabaseUrl::Postgres(url) => Ok(OpenedStore::Postgres(
                Postgres::connect(url, &program()).await?,
            )),
        }
    }
}

/// What the server's views call this process.
fn program() -> String {
    let path = std::env::current_exe().ok();
    let name = path
        .as_deref()
        .and_then(Path::file_name)
        .and_then(|name| name.to_str())
        .unwrap_or("devtrail");
    format!("{name}/{}", std::process::id())
}

/// The one path of a file that may have several, through links. Its folder must exist.
fn canonical(database: &Path) -> anyhow::Result<PathBuf> {
    let unreadable = || format!("The database {} cannot be looked up", database.display());
    if database.exists() {
        return database.canonicalize().with_context(unreadable);
    }
    let folder = database
        .parent()
        .filter(|folder| !folder.as_os_str().is_empty());
    let folder = folder
        .unwrap_or(Path::new("."))
        .canonicalize()
        .with_context(unreadable)?;
    Ok(folder.join(database.file_name().with_context(unreadable)?))
}

/// The path with more at its end.
fn beside(database: &Path, suffix: &str) -> PathBuf {
    let mut name = database.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}

/// A file of an earlier version may be open to other users, and so may be its folder, if it holds nothing else.
fn make_private(database: &Path) -> std::io::Result<()> {
    let own = ["", "-wal", "-shm", ".lock"].map(|suffix| beside(database, suffix));
    let folder = database.parent().unwrap_or(Path::new("/"));
    let mut is_own = true;
    for entry in std::fs::read_dir(folder)? {
        is_own &= own.contains(&entry?.path());
    }
    let changed =
        u64::from(is_own && private_files::tighten_folder(folder)) + private_files::tighten(&own)?;
    if changed > 0 {
        let database = database.display();
        tracing::info!(%database, changed, "other users could read the database; now it is private");
    }
    Ok(())
}

/// Locks `PATH.lock`; the operating system unlocks it when the process ends, however it ends.
fn lock(database: &Path) -> anyhow::Result<File> {
    if let Some(folder) = database
        .parent()
        .filter(|folder| !folder.as_os_str().is_empty())
    {
        std::fs::create_dir_all(folder)
            .with_context(|| format!("The folder {} cannot be made", folder.display()))?;
    }
    let database = &canonical(database)?;
    make_private(database)
        .with_context(|| format!("The folder of {} cannot be read", database.display()))?;
    let path = beside(database, ".lock");
    let file = File::create(&path)
        .with_context(|| format!("The lock file {} cannot be made", path.display()))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => bail!(
            "Another process writes {} (`devtrail up` or `devtrail-worker all`). A SQLite file has one writing \
             process; stop that one first. (On Postgres workers scale as separate processes: \
             --database-url postgres://….)",
            database.display()
        ),
        Err(TryLockError::Error(error)) => {
            Err(error).with_context(|| format!("{} cannot be locked", path.display()))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_second_process_is_refused_with_a_remedy() {
        let folder = tempfile::tempdir().unwrap();
        let settings = DatabaseSettings {
            database_url: DatabaseUrl::Sqlite(folder.path().join("d.db")),
        };
        let held = settings.open().await.unwrap();
        let refusal = settings.open().await.err().unwrap().to_string();
        assert!(
            refusal.contains("Another process writes") && refusal.contains("postgres://"),
            "{refusal}"
        );
        // The same file by another name.
        let link = folder.path().join("link.db");
        std::os::unix::fs::symlink(folder.path().join("d.db"), &link).unwrap();
        let linked = DatabaseSettings {
            database_url: DatabaseUrl::Sqlite(link),
        };
        assert!(
            linked.open().await.is_err(),
            "the lock is the file's, not the path's"
        );
        drop(held);
        assert!(settings.open().await.is_ok());
    }

    #[test]
    fn addresses_are_parsed_and_displayed_without_password() {
        let shown = |text: &str| text.parse::<DatabaseUrl>().map(|url| url.to_string());
        assert_eq!(shown("sqlite:a/b.db").as_deref(), Ok("sqlite:a/b.db"));
        assert_eq!(
            shown("postgres://ada:s3cret@db/x").as_deref(),
            Ok("postgres://ada:***@db/x")
        );
        for text in [
            "sqlite:",
            "mysql://ada:s3cret@db/x",
            "postgres://ada:s3cret@db:port/x",
        ] {
            let refusal = shown(text).unwrap_err();
            assert!(
                refusal.contains("postgres://USER@HOST") && !refusal.contains("s3cret"),
                "{refusal}"
            );
        }
    }

    #[test]
    fn no_usage_error_and_no_help_repeats_the_password() {
        let command = || <DatabaseSettings as clap::Args>::augment_args(clap::Command::new("x"));
        let given = ["x", "--database-url", "postgres://ada:s3cret@db:port/x"];
        let refusal = command()
            .try_get_matches_from(given)
            .unwrap_err()
            .to_string();
        assert!(
            refusal.contains("ada:***@db:port") && !refusal.contains("s3cret"),
            "{refusal}"
        );
        let command = command();
        let url = command
            .get_arguments()
            .find(|arg| arg.get_id() == "database_url")
            .unwrap();
        assert!(
            url.is_hide_env_values_set(),
            "--help shows what the environment holds"
        );
    }
}
