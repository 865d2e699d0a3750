//! strace on a process: its fsyncs made slow, or counted.

use std::path::Path;
use std::process::{Child, Command, Stdio};

use harness::until;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// System calls that bring a file to the disk.
const SYNCS: [&str; 4] = ["fsync", "fdatasync", "msync", "sync_file_range"];

/// What a program is started under so that every fsync of it returns 5 ms later, as on cloud disks. Other system calls
/// are not slowed down: a filter in the kernel lets them pass, which only a program that strace starts can have.
pub const SLOW_SYNCS: [&str; 11] = [
    "strace",
    // The program is the one that is waited for, and strace its companion.
    "-D",
    "-f",
    "--seccomp-bpf",
    "-qq",
    "-e",
    "trace=fsync",
    "-e",
    "inject=fsync:delay_exit=5000",
    "-o",
    "/dev/null",
];

/// Whether there is a strace.
pub fn is_there() -> bool {
    Command::new("strace")
        .arg("--version")
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success())
}

/// A strace that is attached to a process; detached when dropped.
pub struct Strace(Child);

impl Strace {
    /// Writes into `log` each time the process brings a file to the disk; [`count_syncs`] reads it.
    /// `None` if strace is missing.
    pub async fn log_syncs(pid: u32, log: &Path) -> Option<Self> {
        let (log, syncs) = (log.display().to_string(), SYNCS.join(","));
        Self::attach(pid, &["-e", &format!("trace={syncs}"), "-o", &log]).await
    }

    async fn attach(pid: u32, arguments: &[&str]) -> Option<Self> {
        let child = Command::new("strace")
            .args(["-f", "-qq", "-e", "signal=none"])
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
    /// # Panics
    /// If it does not end.
    pub async fn detach(mut self) {
        // It may have ended with what it traced.
        let _ = kill(Pid::from_raw(self.0.id().cast_signed()), Signal::SIGINT);
        let ended = async || self.0.try_wait().ok().flatten().map(drop);
        until("strace has ended", ended).await;
    }
}

impl Drop for Strace {
    fn drop(&mut self) {
        // Already gone after `detach`.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// How many syncs a log has. Each counts where it begins: one that another thread interrupts has a second line,
/// `<... fsync resumed>`.
#[must_use]
pub fn count_syncs(log: &str) -> usize {
    let is_begun = |line: &&str| {
        // The thread's id stands before the call.
        let call = line.trim_start_matches(|c: char| c.is_ascii_digit() || c == ' ');
        call.split_once('(')
            .is_some_and(|(name, _)| SYNCS.contains(&name))
    };
    log.lines().filter(is_begun).count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_counts_once_and_a_signal_never() {
        let log = "\
101  fsync(7)                          = 0
102  fdatasync(8 <unfinished ...>
101  fsync(7 <unfinished ...>
102  <... fdatasync resumed>)          = 0
101  <... fsync resumed>)              = 0
101  --- SIGURG {si_signo=SIGURG, si_code=SI_TKILL, si_pid=101, si_uid=0} ---
103  msync(0x7f0000000000, 4096, MS_SYNC) = 0
103  +++ exited with 0 +++
102  fdatasync(8 <detached ...>
";
        assert_eq!(count_syncs(log), 5);
        assert_eq!(count_syncs(""), 0);
    }
}
