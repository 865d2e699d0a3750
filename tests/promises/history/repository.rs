//! A git repository for tests, independent of the machine's git settings.

use std::fs;
use std::path::Path;
use std::process::Command;

use harness::stderr_of;
use tempfile::TempDir;

/// A repository that a test makes.
pub struct Repository(pub TempDir);

impl Repository {
    pub fn new() -> Self {
        let repository = Self(tempfile::tempdir().unwrap());
        repository.git(&["init", "--quiet", "--initial-branch=main"]);
        repository.git(&["config", "user.name", "Ada"]);
        repository.git(&["config", "user.email", "ada@example.org"]);
        repository
    }

    pub fn path(&self) -> &str {
        self.0.path().to_str().unwrap()
    }

    pub fn write(&self, name: impl AsRef<Path>, bytes: impl AsRef<[u8]>) {
        fs::write(self.0.path().join(name), bytes).unwrap();
    }

    /// Runs git, on a clock and with settings of the test's own; gives what it prints.
    pub fn git(&self, arguments: &[&str]) -> String {
        self.git_at("2026-03-05T12:00:00+01:00", arguments)
    }

    pub fn git_at(&self, date: &str, arguments: &[&str]) -> String {
        let mut command = Command::new("git");
        command
            .current_dir(self.0.path())
            .args(["-c", "core.hooksPath=/dev/null"])
            .args(arguments);
        command
            .env("GIT_CONFIG_GLOBAL", "/dev/null")
            .env("GIT_CONFIG_SYSTEM", "/dev/null");
        command
            .env("GIT_AUTHOR_DATE", date)
            .env("GIT_COMMITTER_DATE", "2026-03-09T12:00:00+01:00");
        let output = command.output().unwrap();
        assert!(
            output.status.success(),
            "git {arguments:?}: {}",
            stderr_of(&output)
        );
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    }

    /// Commits everything, as written at `date` by `author`; gives the hash.
    pub fn commit(&self, date: &str, author: &str, message: &str) -> String {
        self.git(&["add", "--all"]);
        let author = format!("--author=Name <{author}>");
        self.git_at(
            date,
            &[
                "commit",
                "--quiet",
                "--allow-empty",
                "--allow-empty-message",
                &author,
                "-m",
                message,
            ],
        );
        self.git(&["rev-parse", "HEAD"])
    }

    /// An empty commit of Ada, written and committed at `date`.
    pub fn committed(&self, date: &str) {
        let seconds = date.parse::<jiff::Timestamp>().unwrap().as_second();
        let offset = date[date.len() - 6..].replace(':', "");
        self.commit("2026-03-02T10:00:00Z", "ada@example.org", "x");
        let text = self.raw("HEAD");
        let line = |line: &str| match line.split_once('>') {
            Some((who, _)) => format!("{who}> {seconds} {offset}"),
            None => line.to_owned(),
        };
        self.put(&text.lines().map(line).collect::<Vec<_>>().join("\n"));
    }

    /// Makes the commit that is checked out one with a signature, which nobody made; gives its hash.
    pub fn signed(&self) -> String {
        let signature =
            "\ngpgsig -----BEGIN PGP SIGNATURE-----\n \n x\n -----END PGP SIGNATURE-----\n\n";
        let signed = self.raw("HEAD").replacen("\n\n", signature, 1);
        self.put(&signed)
    }

    /// Checks out, on top of what is there, a commit without a change whose author line was edited by hand:
    /// `from` is `to` in it. Gives its hash.
    pub fn edited(&self, from: &str, to: &str) -> String {
        self.commit("2026-03-02T10:00:00Z", "ada@example.org", "edited");
        let edited = self.raw("HEAD").replacen(from, to, 1);
        self.put(&edited)
    }

    fn raw(&self, commit: &str) -> String {
        self.git(&["cat-file", "commit", commit])
    }

    /// Puts a commit of this text in the place of the one that is checked out.
    fn put(&self, text: &str) -> String {
        self.write(".git/made", format!("{text}\n"));
        let made = self.git(&[
            "hash-object",
            "--literally",
            "-t",
            "commit",
            "-w",
            ".git/made",
        ]);
        self.git(&["update-ref", "HEAD", &made]);
        made
    }

    /// Commits of Ada on so many days in a row, each without a file.
    pub fn one_commit_a_day(&self, days: usize) {
        self.commit_at((0..days).map(|day| 1_700_000_000 + day * 86_400));
    }

    /// Commits of Ada written and committed at these seconds since 1970, in this order, each without a file.
    pub fn commit_at(&self, seconds: impl Iterator<Item = usize>) {
        let commit = |seconds: usize| {
            let who = format!("Ada <ada@example.org> {seconds} +0000");
            format!("commit refs/heads/main\nauthor {who}\ncommitter {who}\ndata 1\nx\n")
        };
        self.write("stream", seconds.map(commit).collect::<String>());
        let mut command = Command::new("git");
        command
            .args(["fast-import", "--quiet"])
            .current_dir(self.0.path());
        let output = command
            .stdin(fs::File::open(self.0.path().join("stream")).unwrap())
            .output()
            .unwrap();
        assert!(output.status.success(), "{}", stderr_of(&output));
    }
}
