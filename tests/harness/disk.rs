//! Small disks that a test fills: mounted in a namespace of its own, in which the test runs itself again.

use std::io::ErrorKind;
use std::path::Path;
use std::process::Command;

use tempfile::TempDir;

use crate::left_out::leave_out;

/// Set if a test runs in the namespace.
const INSIDE: &str = "DEVTRAIL_TEST_OWN_MOUNTS";

/// Mounts and unmounts a disk, to see whether that works.
const TRY: &str = "d=$(mktemp -d) && mount -t tmpfs -o size=1m tmpfs \"$d\" && umount \"$d\"; \
                   s=$?; rmdir \"$d\"; exit $s";

/// Where a test may mount disks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mounts {
    /// Here: this is the run in the namespace.
    Here,
    /// In the namespace, where the test has just run and passed.
    Done,
    /// Nowhere.
    Nowhere,
}

/// Runs the test of this name again in a mount namespace, unless this is that run.
///
/// `as_root`: only if the user is root; in a namespace of users there is no other user to become,
/// as Postgres needs it.
///
/// # Panics
/// If the test fails in its namespace, and in continuous integration if nothing can be mounted.
#[must_use]
pub fn own_mounts(test: &str, as_root: bool) -> Mounts {
    if std::env::var_os(INSIDE).is_some() {
        return Mounts::Here;
    }
    // As root a mount namespace will do; else one of users makes root of anybody.
    let works = |flags: &&&str| {
        let tried = Command::new("unshare")
            .args([**flags, "sh", "-c", TRY])
            .output();
        tried.is_ok_and(|tried| tried.status.success())
    };
    let ways: &[&str] = if as_root { &["-m"] } else { &["-m", "-Urm"] };
    let Some(flags) = ways.iter().find(works) else {
        leave_out(&format!(
            "no small disk can be mounted here with `unshare {}`",
            ways.join("` or `unshare ")
        ));
        return Mounts::Nowhere;
    };
    let program = std::env::current_exe().expect("a test knows its own program");
    let mut command = Command::new("unshare");
    command
        .arg(flags)
        .arg(program)
        .args(["--exact", test, "--nocapture"]);
    let status = command.env(INSIDE, "yes").status().expect("unshare runs");
    assert!(status.success(), "{test} failed in its namespace");
    Mounts::Done
}

/// A small disk, unmounted when dropped.
pub struct Disk(TempDir);

impl Disk {
    /// A disk of so many MiB.
    ///
    /// # Panics
    /// If it cannot be mounted.
    #[must_use]
    pub fn mount(mib: u32) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let mut command = Command::new("mount");
        command
            .args(["-t", "tmpfs", "-o", &format!("size={mib}m"), "tmpfs"])
            .arg(folder.path());
        assert!(
            command.status().expect("mount runs").success(),
            "a disk of {mib} MiB cannot be mounted"
        );
        Self(folder)
    }

    /// Its root.
    #[must_use]
    pub fn path(&self) -> &Path {
        self.0.path()
    }

    /// Takes all that is free.
    ///
    /// # Panics
    /// If that fails in another way than for lack of room.
    pub fn fill(&self) {
        let zeros = std::fs::File::open("/dev/zero").expect("zeros");
        let mut filler = std::fs::File::create(self.path().join("filler")).expect("a file");
        let mut zeros = std::io::BufReader::with_capacity(1 << 20, zeros);
        let full =
            std::io::copy(&mut zeros, &mut filler).expect_err("no disk takes zeros without end");
        assert_eq!(full.kind(), ErrorKind::StorageFull);
    }

    /// Frees it again.
    ///
    /// # Panics
    /// If it was not filled.
    pub fn free(&self) {
        std::fs::remove_file(self.path().join("filler")).expect("it was filled");
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        // Files may still be open; the namespace takes with it what is left.
        let _ = Command::new("umount").arg("-l").arg(self.0.path()).status();
    }
}
