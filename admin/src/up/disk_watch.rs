//! A full disk under the nats-server: a stream that could not write once takes nothing more until the
//! server is restarted, even when there is room again (seen with nats-server 2.15.1).

use std::fs::File;
use std::io::{Read as _, Seek as _, SeekFrom};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context as _;
use runtime::disk::Disk;

/// With less free space the server may be unable even to log that it cannot write.
const NONE: u64 = 1024 * 1024;
/// With this much there is room again: for a few of the largest messages, the database's log, and what
/// the server writes when it starts.
pub const ENOUGH: u64 = 64 * 1024 * 1024;
/// What the server logs when a write fails for want of space: the system's own words for ENOSPC.
const NO_SPACE: &str = "no space left on device";
/// The time between two looks.
const EVERY: Duration = Duration::from_secs(1);
/// Most of the log that is read at a look; a server that cannot write logs it again and again.
const LOG_BYTES: u64 = 64 * 1024;

/// Free bytes of the disk that `path` is on.
///
/// # Errors
/// Returns an error if the system does not report it.
pub fn free_bytes(path: &Path) -> anyhow::Result<u64> {
    let disk = Disk::under(path)
        .with_context(|| format!("The free space of {} cannot be read", path.display()))?;
    Ok(disk.free)
}

/// Whether the server is to be restarted. Pure.
#[derive(Debug, Default)]
struct FreeSpace {
    is_full: bool,
}

/// What is to be done after a look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum DiskAction {
    /// Nothing.
    Continue,
    /// The disk is full since this look: log it.
    Report,
    /// There is room again.
    Restart,
}

impl FreeSpace {
    /// `refused`: the server logged since the last look that it could not write.
    fn look(&mut self, free: u64, refused: bool) -> DiskAction {
        if self.is_full {
            self.is_full = free < ENOUGH;
            return if self.is_full {
                DiskAction::Continue
            } else {
                DiskAction::Restart
            };
        }
        self.is_full = refused || free < NONE;
        if self.is_full {
            DiskAction::Report
        } else {
            DiskAction::Continue
        }
    }
}

/// Watches the disk below one running server.
pub struct DiskWatch {
    folder: PathBuf,
    log: PathBuf,
    /// How much of the log has been read.
    read: u64,
}

impl DiskWatch {
    /// Watches from now on; what is in the log already is an earlier server's.
    pub fn new(folder: &Path, log: PathBuf) -> Self {
        let read = std::fs::metadata(&log).map_or(0, |log| log.len());
        Self {
            folder: folder.to_owned(),
            log,
            read,
        }
    }

    /// Waits until the disk was full and has room again; says when it is full, and how much is needed.
    pub async fn has_room_again(&mut self) {
        let mut free_space = FreeSpace::default();
        let mut looks = tokio::time::interval(EVERY);
        loop {
            looks.tick().await;
            let free = match free_bytes(&self.folder) {
                Ok(free) => free,
                Err(error) => {
                    tracing::warn!(
                        error = format!("{error:#}"),
                        "the disk cannot be watched; trying again"
                    );
                    continue;
                }
            };
            let refused = self.refused();
            let mib = |bytes: u64| bytes / (1024 * 1024);
            match free_space.look(free, refused) {
                DiskAction::Continue => {}
                DiskAction::Report => tracing::error!(
                    free_mib = mib(free),
                    needed_mib = mib(ENOUGH),
                    "the disk of {} is full: batches get 503 until {} MiB are free there. Free some; \
                     the nats-server is then restarted by itself",
                    self.folder.display(),
                    mib(ENOUGH)
                ),
                DiskAction::Restart => {
                    tracing::warn!(
                        free_mib = mib(free),
                        "the disk has room again; restarting nats-server"
                    );
                    return;
                }
            }
        }
    }

    /// Whether the server logged since the last call that it could not write. If the log cannot be read, only the
    /// free space counts.
    fn refused(&mut self) -> bool {
        match self.read_new_log() {
            Ok(text) => String::from_utf8_lossy(&text).contains(NO_SPACE),
            Err(error) => {
                tracing::debug!(%error, "the log of the nats-server cannot be read");
                false
            }
        }
    }

    /// What was added to the log since the last call, at most its last [`LOG_BYTES`].
    fn read_new_log(&mut self) -> std::io::Result<Vec<u8>> {
        let mut log = File::open(&self.log)?;
        let end = log.metadata()?.len();
        // A log that got shorter was started again.
        let start = if end < self.read { 0 } else { self.read };
        let from = start.max(end.saturating_sub(LOG_BYTES));
        log.seek(SeekFrom::Start(from))?;
        let mut text = Vec::new();
        log.take(end - from).read_to_end(&mut text)?;
        self.read = end;
        Ok(text)
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    #[test]
    fn a_server_that_could_not_write_is_restarted_once_there_is_enough_room() {
        let mut free_space = FreeSpace::default();
        assert_eq!(
            free_space.look(ENOUGH - 1, false),
            DiskAction::Continue,
            "little room is not yet too little"
        );
        assert_eq!(free_space.look(5 * NONE, true), DiskAction::Report);
        assert_eq!(
            free_space.look(5 * NONE, true),
            DiskAction::Continue,
            "logged once"
        );
        assert_eq!(
            free_space.look(ENOUGH - 1, false),
            DiskAction::Continue,
            "not enough yet"
        );
        assert_eq!(free_space.look(ENOUGH, false), DiskAction::Restart);
        assert_eq!(free_space.look(ENOUGH, false), DiskAction::Continue, "once");
        assert_eq!(
            free_space.look(NONE - 1, false),
            DiskAction::Report,
            "a log on a full disk may say nothing"
        );
        assert_eq!(free_space.look(ENOUGH, true), DiskAction::Restart);
    }

    #[test]
    fn only_what_the_log_says_since_the_last_look_counts() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        let mut log = File::create(&path).unwrap();
        writeln!(log, "write: {NO_SPACE}").unwrap();
        let mut watch = DiskWatch::new(folder.path(), path.clone());
        assert!(!watch.refused(), "an earlier server's");
        writeln!(log, "write: {NO_SPACE}").unwrap();
        assert!(watch.refused() && !watch.refused());
        std::fs::write(&path, NO_SPACE).unwrap();
        assert!(watch.refused(), "a log that was begun anew");
        std::fs::remove_file(&path).unwrap();
        assert!(!watch.refused());
    }
}
