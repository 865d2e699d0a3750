//! A repository's history, whole or not at all, by the installed `git`.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail, ensure};
use tokio::process::Command;
use types::json::shorten;

use super::commit_event::day;
use super::diagnosis;
use super::git_log::{Commit, DATES, FORMAT, Log, When};
use super::git_process::{GitOutput, git, run, text};

/// A repository whose history is complete.
pub struct Repository {
    path: PathBuf,
    /// The commit that is checked out: what is counted and read ends there.
    head: String,
    /// Its name: of where it was cloned from, else of its folder.
    pub name: String,
}

/// Which commits.
#[derive(Debug, Clone, Default)]
pub struct Selection {
    /// Addresses of authors; none: everyone.
    pub authors: Vec<String>,
    /// The first day of committing, `YYYY-MM-DD`, on the clock of whoever committed.
    pub since: Option<String>,
    /// The last one.
    pub until: Option<String>,
}

impl Selection {
    /// Whether a commit of that time is within the days. git's own `--since` would take the machine's zone.
    fn takes(&self, committed: When) -> bool {
        if self.since.is_none() && self.until.is_none() {
            return true;
        }
        let day = day(committed);
        self.since.as_ref().is_none_or(|since| *since <= day)
            && self.until.as_ref().is_none_or(|until| day <= *until)
    }
}

/// After `log`: what the configuration of a repository or a person could change of the events.
const PLAIN: [&str; 10] = [
    "--root",
    "--encoding=UTF-8",
    "--no-color",
    "--no-show-signature",
    "--no-ext-diff",
    "--no-textconv",
    "--no-relative",
    "--ignore-submodules=none",
    "--diff-algorithm=default",
    "--mailmap",
];
/// Most authors named in the error if the given one has no commits.
const NAMED: usize = 10;

impl Repository {
    /// Finds the repository that `path` lies in.
    ///
    /// # Errors
    /// Returns an error if git is missing, or the history is not complete.
    pub async fn open(path: &Path) -> anyhow::Result<Self> {
        let shown = path.display();
        ensure!(
            path.is_dir(),
            "There is no folder {shown}. Name the folder of a git repository."
        );
        let asked = [
            "rev-parse",
            "--is-bare-repository",
            "--is-shallow-repository",
            "--git-common-dir",
            "--show-prefix",
        ];
        let output = run(path, &asked).await?;
        if !output.status.success() {
            bail!(diagnosis::unreadable(path, &output.stderr));
        }
        let text = text(&output.stdout);
        let mut lines = text.lines();
        let bare = lines.next() == Some("true");
        let shallow = lines.next() == Some("true");
        ensure!(
            !bare,
            "{shown} is a bare repository, which nobody works in. Name a clone of it."
        );
        ensure!(
            !shallow,
            "{shown} is a shallow clone: a part of its history is missing. \
             Run `git -C {shown} fetch --unshallow`, then import again."
        );
        let common = path.join(lines.next().unwrap_or(".git"));
        let prefix = lines.next().unwrap_or_default();
        let head = run(path, &["rev-parse", "--verify", "--quiet", "HEAD^{commit}"]).await?;
        if !head.status.success() {
            bail!(diagnosis::without_head(path, &common).await?);
        }
        let head = self::text(&head.stdout).trim().to_owned();
        diagnosis::check_submodule(path, prefix, &head).await?;
        diagnosis::check_complete(path, &common, &head).await?;
        let name = name(path, &common).await?;
        Ok(Self {
            path: path.to_owned(),
            head,
            name,
        })
    }

    /// The address that git writes into this repository's commits.
    ///
    /// # Errors
    /// Returns an error if none is configured.
    pub async fn user_email(&self) -> anyhow::Result<String> {
        let output = run(&self.path, &["config", "--get", "user.email"]).await?;
        let email = text(&output.stdout).trim().to_owned();
        if email.is_empty() {
            bail!(
                "git does not know who you are here: user.email is not set. Name yourself with --author EMAIL, \
                 or set it with `git config user.email EMAIL`.{}",
                self.who_is_there().await?
            );
        }
        Ok(email)
    }

    /// The address that `.mailmap` gives for `email`: commits are found by that one.
    ///
    /// # Errors
    /// Returns an error if git cannot be run.
    pub async fn known_as(&self, email: &str) -> anyhow::Result<String> {
        let output = run(&self.path, &["check-mailmap", &format!("<{email}>")]).await?;
        let text = text(&output.stdout);
        let mapped = text
            .trim()
            .strip_suffix('>')
            .and_then(|text| text.rsplit_once('<'));
        Ok(mapped.map_or(email, |(_, mapped)| mapped).to_owned())
    }

    /// A sentence that names the authors with most commits, and how to choose among them.
    ///
    /// # Errors
    /// Returns an error if git cannot be run.
    pub async fn who_is_there(&self) -> anyhow::Result<String> {
        let output = run(&self.path, &["shortlog", "-sne", &self.head]).await?;
        let text = text(&output.stdout);
        let lines: Vec<String> = text
            .lines()
            .map(|line| crate::output::plain(line).replace('\u{fffd}', " "))
            .collect();
        let mut list: String = lines
            .iter()
            .take(NAMED)
            .map(|line| format!("\n{}", shorten(line, 120)))
            .collect();
        if lines.len() > NAMED {
            list += &format!("\n    and {} more", lines.len() - NAMED);
        }
        Ok(format!(
            " Commits by author:{list}\nChoose with --author EMAIL, or take all with --all-authors."
        ))
    }

    /// How many commits are selected.
    ///
    /// # Errors
    /// Returns an error if git fails.
    pub async fn count(&self, selection: &Selection) -> anyhow::Result<u64> {
        // As the history itself is read, not with `rev-list --count`, which knows no mailmap.
        let how = ["--no-patch", DATES, "--format=tformat:%cd"];
        let mut process = GitOutput::start(self.log(selection, &how))?;
        let mut line = Vec::new();
        let mut count = 0;
        while let Some(bytes) = process.next().await? {
            for byte in bytes {
                if *byte != b'\n' {
                    line.push(*byte);
                    continue;
                }
                let committed = When::read(&line).context("git's output cannot be read")?;
                count += u64::from(selection.takes(committed));
                line.clear();
            }
        }
        Ok(count)
    }

    /// The commits that are selected, oldest first.
    ///
    /// # Errors
    /// Returns an error if git cannot be started.
    pub fn history(&self, selection: &Selection) -> anyhow::Result<CommitHistory> {
        // Oldest first: what was imported before comes in the same batches again when the history grows.
        let command = self.log(
            selection,
            &[
                "-z",
                "--reverse",
                "--numstat",
                "-M",
                "-l1000",
                "-O/dev/null",
                DATES,
                FORMAT,
            ],
        );
        Ok(CommitHistory {
            reading: GitOutput::start(command)?,
            log: Some(Log::default()),
            selection: selection.clone(),
        })
    }

    fn log(&self, selection: &Selection, how: &[&str]) -> Command {
        let mut command = git(&self.path);
        command
            .arg("log")
            .args(PLAIN)
            .args(how)
            .args(["--fixed-strings", "--regexp-ignore-case"]);
        command.args(
            selection
                .authors
                .iter()
                .map(|email| format!("--author=<{email}>")),
        );
        command.arg(&self.head).arg("--");
        command
    }
}

/// Of `git@host:team/demo.git` and `https://host/team/demo`: `demo`.
async fn name(path: &Path, common: &Path) -> anyhow::Result<String> {
    let origin = run(path, &["config", "--get", "remote.origin.url"]).await?;
    let folder = common
        .canonicalize()
        .with_context(|| format!("{} cannot be read", common.display()))?;
    Ok(project_name(&text(&origin.stdout), &folder))
}

fn project_name(origin: &str, common: &Path) -> String {
    let origin = origin.trim().trim_end_matches('/');
    let last = origin.rsplit(['/', ':']).next().unwrap_or_default();
    let last = last.strip_suffix(".git").unwrap_or(last);
    if !matches!(last, "" | "." | "..") {
        return shorten(last, 200).to_owned();
    }
    let folder = if common.ends_with(".git") {
        common.parent()
    } else {
        Some(common)
    };
    let name = folder
        .and_then(Path::file_name)
        .map(|name| name.to_string_lossy().into_owned());
    name.unwrap_or_else(|| "git".to_owned())
}

/// The commits of a repository as git reads them: never in memory whole.
pub struct CommitHistory {
    reading: GitOutput,
    /// `None` once the last commit was given.
    log: Option<Log>,
    selection: Selection,
}

impl CommitHistory {
    /// The next commits, perhaps none of those that were read; `None` after the last.
    ///
    /// # Errors
    /// Returns an error if git fails on the way.
    pub async fn next(&mut self) -> anyhow::Result<Option<Vec<Commit>>> {
        let Some(log) = &mut self.log else {
            return Ok(None);
        };
        let mut commits = match self.reading.next().await? {
            Some(bytes) => log.feed(bytes)?,
            None => {
                let last = self.log.take().map(Log::finish).transpose()?;
                last.flatten().into_iter().collect()
            }
        };
        commits.retain(|commit| self.selection.takes(commit.committed));
        Ok(Some(commits))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_repository_is_called_as_where_it_was_cloned_from_else_as_its_folder() {
        for (origin, folder, name) in [
            ("git@host:team/demo.git\n", "/src/here/.git", "demo"),
            ("https://host/team/demo/", "/src/here/.git", "demo"),
            ("host:demo", "/src/here/.git", "demo"),
            ("", "/src/here/.git", "here"),
            ("..", "/src/here/.git", "here"),
            ("", "/src/bare.git", "bare.git"),
            ("", "/", "git"),
        ] {
            assert_eq!(
                project_name(origin, Path::new(folder)),
                name,
                "{origin:?} {folder}"
            );
        }
    }
}
