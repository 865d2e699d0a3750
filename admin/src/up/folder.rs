//! The folder of `devtrail up`: its lock, its addresses, its first key.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, bail};
use runtime::private_files;

use crate::target::Addresses;

/// How the names of what `up` keeps in its folder begin. Others' files in it are theirs.
const OWN_FILES: [&str; 6] = [
    "addresses.json",
    "api-key",
    "devtrail.db",
    "nats",
    "nats-server",
    "up.lock",
];

/// The folder, locked as long as this lives.
pub struct Folder {
    path: PathBuf,
    /// The topmost folder that this start made, if it was not there before.
    made: Option<PathBuf>,
    _lock: File,
}

/// A folder of an earlier version, or one that was made for it, may be open to other users.
fn make_private(folder: &Path) -> std::io::Result<()> {
    let mut own = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        let name = entry.file_name();
        if OWN_FILES
            .iter()
            .any(|own| name.to_string_lossy().starts_with(own))
        {
            own.push(entry.path());
        }
    }
    let changed = u64::from(private_files::tighten_folder(folder)) + private_files::tighten(own)?;
    if changed > 0 {
        tracing::info!(folder = %folder.display(), changed, "other users could read the folder; now it is private");
    }
    Ok(())
}

impl Folder {
    /// Makes and locks the folder, and keeps other users out of it.
    ///
    /// # Errors
    /// Returns an error if another `devtrail up` runs on it, or it cannot be written.
    pub fn open(path: &Path) -> anyhow::Result<Self> {
        let shown = path.display();
        let made = topmost_missing(path);
        let created = std::fs::create_dir_all(path).inspect_err(|_| discard(made.as_deref()));
        created.with_context(|| {
            format!("The folder {shown} cannot be made; name another with --data")
        })?;
        // nats-server and the database get it as it is, whatever the working directory becomes.
        let path = path
            .canonicalize()
            .with_context(|| format!("The folder {shown} cannot be read"))?;
        let made = made.map(|folder| folder.canonicalize()).transpose()?;
        let lock = File::create(path.join("up.lock")).with_context(|| {
            format!("The folder {shown} cannot be written; name another with --data")
        })?;
        match lock.try_lock() {
            Ok(()) => {
                make_private(&path)
                    .with_context(|| format!("The folder {shown} cannot be read"))?;
                Ok(Self {
                    path,
                    made,
                    _lock: lock,
                })
            }
            Err(TryLockError::WouldBlock) => {
                bail!(
                    "Another `devtrail up` runs on {shown}. Stop it, or name another folder with --data."
                )
            }
            Err(TryLockError::Error(error)) => {
                Err(error).with_context(|| format!("{shown} cannot be locked"))
            }
        }
    }

    /// Removes the folder, with the folders around it, if this start made it.
    pub fn discard_if_new(self) {
        discard(self.made.as_deref());
    }

    /// Its absolute path.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The file with the first API key.
    #[must_use]
    pub fn key_file(&self) -> PathBuf {
        self.path.join("api-key")
    }

    /// Makes the first API key on the first start; gives it only then.
    ///
    /// # Errors
    /// Returns an error if the key cannot be made or written.
    pub async fn first_key(
        &self,
        make: impl AsyncFnOnce() -> anyhow::Result<String>,
    ) -> anyhow::Result<Option<String>> {
        let path = self.key_file();
        if path.exists() {
            return Ok(None);
        }
        let key = make().await?;
        let mut file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&path)?;
        writeln!(file, "{key}")
            .and_then(|()| file.sync_all())
            .with_context(|| format!("{} cannot be written", path.display()))?;
        Ok(Some(key))
    }

    /// Writes the addresses in use, whole or not at all.
    ///
    /// # Errors
    /// Returns an error if the file cannot be written.
    pub fn write_addresses(&self, addresses: &Addresses) -> anyhow::Result<()> {
        let path = Addresses::path(&self.path);
        let fresh = self.path.join("addresses.json.new");
        std::fs::write(&fresh, serde_json::to_vec(addresses)?)
            .and_then(|()| std::fs::rename(&fresh, &path))
            .with_context(|| format!("{} cannot be written", path.display()))
    }

    /// Whether the addresses are written.
    #[must_use]
    pub fn has_addresses(&self) -> bool {
        Addresses::path(&self.path).exists()
    }

    /// Removes the addresses: nothing listens there any more.
    pub fn remove_addresses(&self) {
        if let Err(error) = std::fs::remove_file(Addresses::path(&self.path)) {
            tracing::debug!(%error, "no addresses to remove");
        }
    }

    /// Waits until the collector would accept a batch.
    ///
    /// # Errors
    /// Returns an error if no HTTP client can be made.
    pub async fn wait_until_ready(&self, url: &str) -> anyhow::Result<()> {
        let client = reqwest::Client::builder()
            .no_proxy()
            .timeout(Duration::from_secs(1))
            .build()?;
        let mut polls = tokio::time::interval(Duration::from_millis(10));
        loop {
            polls.tick().await;
            match client.get(format!("{url}/health/ready")).send().await {
                Ok(reply) if reply.status().is_success() => return Ok(()),
                not_yet => tracing::trace!(?not_yet, "not ready yet"),
            }
        }
    }
}

fn discard(made: Option<&Path>) {
    let Some(made) = made.filter(|folder| folder.exists()) else {
        return;
    };
    if let Err(error) = std::fs::remove_dir_all(made) {
        tracing::warn!(folder = %made.display(), %error, "the folder of a failed start could not be removed");
    }
}

/// The first of the path's folders, from the top, that is not there.
fn topmost_missing(path: &Path) -> Option<PathBuf> {
    let missing = |folder: &&Path| !folder.as_os_str().is_empty() && !folder.exists();
    path.ancestors().filter(missing).last().map(Path::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_this_start_made_is_discarded() {
        let there = tempfile::tempdir().unwrap();
        let path = there.path().join("a/b");
        let folder = Folder::open(&path).unwrap();
        folder.discard_if_new();
        assert!(!there.path().join("a").exists() && there.path().exists());
        std::fs::create_dir_all(&path).unwrap();
        std::fs::write(path.join("mine"), "").unwrap();
        let folder = Folder::open(&path).unwrap();
        folder.discard_if_new();
        assert!(path.join("mine").exists());
    }
}
