//! The disk that a folder is on.

use std::io;
use std::path::Path;

use nix::sys::statvfs::statvfs;

/// A disk, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Disk {
    /// All of it.
    pub size: u64,
    /// What a program of this user may still write.
    pub free: u64,
}

impl Disk {
    /// The disk that `path` is on.
    ///
    /// # Errors
    /// Returns the system's [`io::Error`](std::io::Error) if the file system cannot be queried.
    pub fn under(path: &Path) -> io::Result<Self> {
        let disk = statvfs(path)?;
        let bytes = |blocks: u64| blocks.saturating_mul(wide(disk.fragment_size()));
        Ok(Self {
            size: bytes(wide(disk.blocks())),
            free: bytes(wide(disk.blocks_available())),
        })
    }
}

/// The counts of `statvfs` differ in width from system to system.
fn wide(count: impl Into<u64>) -> u64 {
    count.into()
}
