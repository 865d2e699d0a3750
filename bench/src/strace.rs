//! strace on a process: its fsyncs made slow, or counted.

use std::path::Path;
use std::process::{Child, Command, Stdio};

use harness::until;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// System calls that bring a file to the disk.
const SYNCS: &str = "trace=fsync,fdatasync,msync,sync_file_range";

/// A strace that is attached to a process; detached when dropped.
pub struct Strace(Child);

impl Strace {
    /// Makes every fsync of the process return 5 ms later, as cloud disks do. `None` if strace is missing.
    pub async fn slow_syncs(pid: u32) -> Option<Self> {
        let slow = [
            "-e",
            "trace=fsync",
            "-e",
            "inject=fsync:delay_exit=5000",
            "-o",
            "/dev/null",
        ];
        Self::attach(pid, &slow).await
    }

    /// Writes a line into `log` for each time the process brings a file to the disk. `None` if strace is missing.
    pub async fn log_syncs(pid: u32, log: &Path) -> Option<Self> {
        let log = log.display().to_string();
        Self::attach(pid, &["-e", SYNCS, "-o", &log]).await
    }

    async fn attach(pid: u32, arguments: &[&str]) -> Option<Self> {
        let child = Command::new("strace")
            .args(["-f", "-qq"])
            .args(arguments)
            .args(["-p", &pid.to_string()])
            .stderr(Stdio::null())
            .spawn()
            .ok()?;
        let strace = Self(child);
        let traced = async || {
            let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
            status
                .lines()
                .any(|line| line.starts_with("TracerPid:") && !line.ends_with("\t0"))
                .then_some(())
        };
        until("strace is attached", traced).await;
        Some(strace)
    }

    /// Detaches, with the last lines of its log written.
    ///
    /// # Errors
    /// If it cannot be waited for.
    pub fn detach(mut self) -> std::io::Result<()> {
        // It may have ended with what it traced.
        let _ = kill(Pid::from_raw(self.0.id().cast_signed()), Signal::SIGINT);
        self.0.wait().map(drop)
    }
}

impl Drop for Strace {
    fn drop(&mut self) {
        // Already gone after `detach`.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
