//! Where the store is, and the lock that keeps a SQLite file to one writing process.

use std::fs::{File, TryLockError};
use std::path::{Path, PathBuf};
use std::str::FromStr;

use anyhow::{Context as _, bail};
use store::Sqlite;

/// Where the store is.
#[derive(Debug, Clone, clap::Args)]
pub struct DatabaseSettings {
    /// The database: sqlite:PATH
    #[arg(
        long,
        env = "DEVTRAIL_DATABASE_URL",
        default_value = "sqlite:devtrail-data/devtrail.db",
        value_name = "URL"
    )]
    pub database_url: DatabaseUrl,
}

/// A database's address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DatabaseUrl {
    /// A SQLite file.
    Sqlite(PathBuf),
}

impl FromStr for DatabaseUrl {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.strip_prefix("sqlite:") {
            Some("") | None => Err(format!("{text:?} is no database of this version: write sqlite:PATH")),
            Some(path) => Ok(Self::Sqlite(path.into())),
        }
    }
}

impl std::fmt::Display for DatabaseUrl {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Sqlite(path) => write!(f, "sqlite:{}", path.display()),
        }
    }
}

/// An open store, and the lock that is held as long as it is.
pub struct Opened {
    /// The store.
    pub store: Sqlite,
    _lock: File,
}

impl DatabaseSettings {
    /// Locks and opens the store.
    ///
    /// # Errors
    /// Where another process writes it, or it cannot be opened.
    pub fn open(&self) -> anyhow::Result<Opened> {
        let DatabaseUrl::Sqlite(path) = &self.database_url;
        let lock = lock(path)?;
        Ok(Opened { store: Sqlite::open(path)?, _lock: lock })
    }
}

/// Takes `PATH.lock`; the operating system gives it back when the process ends, however it ends.
fn lock(database: &Path) -> anyhow::Result<File> {
    if let Some(folder) = database.parent().filter(|folder| !folder.as_os_str().is_empty()) {
        std::fs::create_dir_all(folder)
            .with_context(|| format!("The folder {} cannot be made", folder.display()))?;
    }
    let mut name = database.as_os_str().to_owned();
    name.push(".lock");
    let path = PathBuf::from(name);
    let file =
        File::create(&path).with_context(|| format!("The lock file {} cannot be made", path.display()))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => bail!(
            "Another process writes {} (`devtrail up` or `devtrail-worker all`). A SQLite file has one writing \
             process; stop that one first. (Postgres, where workers scale as separate processes, is planned.)",
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

    #[test]
    fn a_second_process_is_refused_with_the_reason_and_the_remedy() {
        let folder = tempfile::tempdir().unwrap();
        let settings = DatabaseSettings { database_url: DatabaseUrl::Sqlite(folder.path().join("d.db")) };
        let held = settings.open().unwrap();
        let refusal = settings.open().err().unwrap().to_string();
        assert!(refusal.contains("Another process writes") && refusal.contains("Postgres"), "{refusal}");
        drop(held);
        assert!(settings.open().is_ok());
    }
}
