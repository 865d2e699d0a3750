//! The installed `git`, run so that nothing of a repository is: no hook, no pager, no filter, no signature
//! program, no fetch.

use std::os::unix::process::ExitStatusExt as _;
use std::path::Path;
use std::process::{ExitStatus, Output, Stdio};

use anyhow::{Context as _, bail};
use tokio::io::AsyncReadExt as _;
use tokio::process::{Child, ChildStdout, Command};
use tokio::task::JoinHandle;
use types::json::shorten;

/// Before git's own command: what a repository could have run, or change.
const SAFE: [&str; 13] = [
    "--no-pager",
    "--no-replace-objects",
    "--literal-pathspecs",
    "-c",
    "core.fsmonitor=false",
    "-c",
    "core.hooksPath=/dev/null",
    // Which files count as binary depends on what is committed, not on the reader's settings.
    "-c",
    "core.attributesFile=/dev/null",
    "-c",
    "core.bigFileThreshold=512m",
    // The graft file below is set on purpose.
    "-c",
    "advice.graftFileDeprecated=false",
];
/// Variables that would make git read another repository than the one named.
const ELSEWHERE: [&str; 7] = [
    "GIT_DIR",
    "GIT_WORK_TREE",
    "GIT_COMMON_DIR",
    "GIT_INDEX_FILE",
    "GIT_NAMESPACE",
    "GIT_OBJECT_DIRECTORY",
    "GIT_ALTERNATE_OBJECT_DIRECTORIES",
];
/// Bytes of git's complaints that are kept.
const COMPLAINTS: u64 = 4096;

/// `git` on the repository at `path`, which may begin with `-` and be hostile.
pub fn git(path: &Path) -> Command {
    let mut command = Command::new("git");
    for name in ELSEWHERE {
        command.env_remove(name);
    }
    // Missing objects are not fetched: that would run what the repository names as its transport.
    command
        .env("GIT_ALLOW_PROTOCOL", "none")
        .env("GIT_NO_LAZY_FETCH", "1");
    // Grafts give commits other parents, as replacements do, and cut histories off without a word.
    command.env("GIT_GRAFT_FILE", "/dev/null");
    command
        .env("GIT_TERMINAL_PROMPT", "0")
        .env("GIT_OPTIONAL_LOCKS", "0")
        .env("LC_ALL", "C");
    // -C takes the next argument whatever it is; a working directory would change where `git` is looked for.
    command.arg("-C").arg(path).args(SAFE);
    command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true);
    command
}

/// Runs git to its end.
///
/// # Errors
/// Returns an error if git is missing; the caller checks how it ended.
pub async fn run(path: &Path, arguments: &[&str]) -> anyhow::Result<Output> {
    git(path).args(arguments).output().await.map_err(missing)
}

fn missing(error: std::io::Error) -> anyhow::Error {
    match error.kind() {
        std::io::ErrorKind::NotFound => {
            anyhow::anyhow!("git was not found. Install it, or put it on PATH, then import again.")
        }
        _ => anyhow::Error::new(error).context("git cannot be run"),
    }
}

/// What git prints as it comes.
pub struct GitOutput {
    child: Child,
    stdout: ChildStdout,
    stderr: JoinHandle<Vec<u8>>,
    buffer: Vec<u8>,
}

impl GitOutput {
    /// Starts git.
    ///
    /// # Errors
    /// Returns an error if git is missing.
    pub fn start(mut command: Command) -> anyhow::Result<Self> {
        let mut child = command.spawn().map_err(missing)?;
        let stdout = child.stdout.take().context("git has no stdout")?;
        let mut stderr = child.stderr.take().context("git has no stderr")?;
        let complaints = tokio::spawn(async move {
            let mut kept = Vec::new();
            let mut first = (&mut stderr).take(COMPLAINTS);
            // Complaints that cannot be read leave the exit code to speak.
            let _ = first.read_to_end(&mut kept).await;
            let _ = tokio::io::copy(&mut stderr, &mut tokio::io::sink()).await;
            kept
        });
        Ok(Self {
            child,
            stdout,
            stderr: complaints,
            buffer: vec![0; 64 * 1024],
        })
    }

    /// The next bytes; `None` if git has ended well.
    ///
    /// # Errors
    /// Returns an error with git's message if it has failed.
    pub async fn next(&mut self) -> anyhow::Result<Option<&[u8]>> {
        let length = self
            .stdout
            .read(&mut self.buffer)
            .await
            .context("git's output cannot be read")?;
        if length > 0 {
            return Ok(Some(&self.buffer[..length]));
        }
        let status = self.child.wait().await?;
        if status.success() {
            return Ok(None);
        }
        let output = (&mut self.stderr).await.unwrap_or_default();
        bail!(failure(status, &output));
    }
}

/// Output as text.
pub fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// What git says of a part of the history that it does not find, or finds damaged.
const DAMAGE: [&str; 13] = [
    "corrupt",
    "unable to read",
    "could not read",
    "bad object",
    "bad tree",
    "invalid object",
    "missing",
    "is empty",
    "inflate",
    "unable to unpack",
    "could not parse",
    "unable to find",
    "packfile",
];

/// Why git has failed, and what helps.
fn failure(status: ExitStatus, stderr: &[u8]) -> String {
    let said = complaint(stderr);
    if let Some(signal) = status.signal() {
        return format!("git was ended by signal {signal}. Import again: nothing is stored twice.");
    }
    let lower = said.to_lowercase();
    if DAMAGE.iter().any(|words| lower.contains(words)) {
        return format!(
            "A part of the history is missing or damaged: {said}. `git fsck --full` names every such object. \
             Clone the repository again, then import the clone."
        );
    }
    format!("git cannot read the history ({status}): {said}")
}

/// git's message on one line, without its hints and warnings unless it says nothing else.
pub fn complaint(stderr: &[u8]) -> String {
    let output = text(stderr);
    let is_aside = |line: &&str| line.starts_with("hint:") || line.starts_with("warning:");
    let mut lines: Vec<&str> = output.lines().filter(|line| !is_aside(line)).collect();
    if lines.iter().all(|line| line.trim().is_empty()) {
        lines = output.lines().collect();
    }
    let words: Vec<&str> = lines
        .iter()
        .flat_map(|line| line.split_whitespace())
        .collect();
    let output = crate::output::plain(&words.join(" "));
    shorten(output.trim_start_matches("fatal: "), 500).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_git_says_is_one_line_that_steers_no_terminal() {
        assert_eq!(
            complaint(b"fatal: not a git\n\trepository\x1b[2J\n"),
            "not a git repository\u{fffd}[2J"
        );
        let asides = b"hint: Use replace\nwarning: lazy fetching disabled\nfatal: no such thing\n";
        assert_eq!(complaint(asides), "no such thing");
        assert_eq!(complaint(b"warning: odd\n"), "warning: odd");
    }

    #[test]
    fn fsck_is_named_only_if_it_helps() {
        let failed = ExitStatus::from_raw(128 << 8);
        let damaged = failure(
            failed,
            b"error: object file .git/objects/ab/c is empty\nfatal: x\n",
        );
        assert!(damaged.contains("git fsck --full"), "{damaged}");
        let other = failure(failed, b"fatal: Out of memory\n");
        assert!(
            !other.contains("fsck") && other.contains("Out of memory"),
            "{other}"
        );
        let killed = failure(ExitStatus::from_raw(9), b"");
        assert!(
            killed.contains("signal 9") && !killed.contains("fsck"),
            "{killed}"
        );
    }
}
