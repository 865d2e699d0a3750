//! Why a repository cannot be read whole: each kind in its own words, with its remedy.

use std::path::{Path, PathBuf};

use super::git_process::{GitOutput, complaint, git, run, text};

/// Branches that are named if the one that is checked out has no commit.
const NAMED: usize = 10;
/// Repositories that borrow from each other in a row.
const MAX_BORROWED: usize = 5;

/// Why git finds no repository at `path`, or does not read it; `stderr` is what it said.
pub fn unreadable(path: &Path, stderr: &[u8]) -> String {
    let shown = path.display();
    let said = complaint(stderr);
    if said.contains("dubious ownership") {
        let real = path.canonicalize().unwrap_or_else(|_| path.to_owned());
        return format!(
            "{shown} belongs to another user, and git does not read it. If you trust it, run \
             `git config --global --add safe.directory {}`, then import again.",
            real.display()
        );
    }
    if let Some(gone) = gone_repository(path) {
        let (what, remedy) = if gone.components().any(|part| part.as_os_str() == "modules") {
            (
                "submodule",
                "Run `git submodule update --init` in the repository it belongs to",
            )
        } else {
            (
                "linked worktree",
                "Run `git worktree repair` in the repository it belongs to, or name that one",
            )
        };
        return format!(
            "{shown} is a {what} of a repository that is gone: its .git names {}. {remedy}, then import again.",
            gone.display()
        );
    }
    if said.contains("not a git repository") {
        return format!("{shown} is no git repository. Name the folder of one.");
    }
    format!("git cannot read {shown}: {said}")
}

/// The folder that the nearest `.git` file names, if it does not exist.
fn gone_repository(path: &Path) -> Option<PathBuf> {
    let real = path.canonicalize().ok()?;
    let folder = real
        .ancestors()
        .find(|folder| folder.join(".git").exists())?;
    let content = std::fs::read_to_string(folder.join(".git")).ok()?;
    let named = folder.join(content.strip_prefix("gitdir:")?.trim());
    (!named.exists()).then_some(named)
}

/// Why `HEAD` is no commit that can be read; `common` is the repository's folder.
///
/// # Errors
/// Returns an error if git cannot be run.
pub async fn without_head(path: &Path, common: &Path) -> anyhow::Result<String> {
    let shown = path.display();
    let head = run(path, &["rev-parse", "--verify", "--quiet", "HEAD"]).await?;
    if head.status.success() {
        if let Some(gone) = lost_alternate(common) {
            return Ok(borrowed(path, &gone));
        }
        return Ok(format!(
            "The commit that is checked out in {shown}, {}, is missing or damaged. `git -C {shown} fsck --full` names \
             all that is. Clone the repository again, then import the clone.",
            text(&head.stdout).trim()
        ));
    }
    let branch = checked_out(path).await?;
    let short = branch.trim_start_matches("refs/heads/");
    if !branch.is_empty() && common.join(&branch).is_file() {
        return Ok(format!(
            "The branch {short} of {shown} is damaged: its file {} names no commit. The last line of {} names the \
             one it had; `git -C {shown} update-ref {branch} COMMIT` sets it. Then import again.",
            common.join(&branch).display(),
            common.join("logs").join(&branch).display(),
        ));
    }
    let asked = [
        "for-each-ref",
        "--format=%(refname)",
        "refs/heads",
        "refs/remotes",
    ];
    let others = text(&run(path, &asked).await?.stdout);
    let others: Vec<&str> = others
        .lines()
        .filter(|name| !name.ends_with("/HEAD"))
        .map(branch_name)
        .collect();
    let Some(first) = others.first() else {
        return Ok(format!(
            "{shown} has no commit yet. Commit something, then import again."
        ));
    };
    let named: Vec<&str> = others.iter().take(NAMED).copied().collect();
    let what = match short {
        "" => format!("HEAD of {shown} names neither a branch nor a commit"),
        short => format!("The branch {short}, which is checked out in {shown}, has no commit"),
    };
    Ok(format!(
        "{what}; others have: {}. Run `git -C {shown} switch {first}`, then import again.",
        named.join(", ")
    ))
}

/// The branch that `HEAD` names; empty if it names none.
async fn checked_out(path: &Path) -> anyhow::Result<String> {
    let named = run(path, &["symbolic-ref", "--quiet", "HEAD"]).await?;
    let named = text(&named.stdout).trim().to_owned();
    if !named.is_empty() {
        return Ok(named);
    }
    // git does not name a branch whose file is damaged.
    let folder = run(path, &["rev-parse", "--absolute-git-dir"]).await?;
    let head = Path::new(text(&folder.stdout).trim()).join("HEAD");
    let head = std::fs::read_to_string(head).unwrap_or_default();
    let named = head.strip_prefix("ref:").unwrap_or_default().trim();
    Ok(named.to_owned())
}

/// The branch's own name, as `git switch` takes it.
fn branch_name(reference: &str) -> &str {
    let name = reference.strip_prefix("refs/heads/");
    name.or_else(|| Some(reference.strip_prefix("refs/remotes/")?.split_once('/')?.1))
        .unwrap_or(reference)
}

/// Checks that `path` is not the empty folder of a submodule, where git finds the repository around it.
///
/// # Errors
/// Returns an error if it is, or git cannot be run.
pub async fn check_submodule(path: &Path, prefix: &str, head: &str) -> anyhow::Result<()> {
    let folder = prefix.trim_end_matches('/');
    if folder.is_empty() {
        return Ok(());
    }
    let entry = run(path, &["ls-tree", "--full-tree", head, "--", folder]).await?;
    anyhow::ensure!(
        !entry.stdout.starts_with(b"160000 "),
        "{} is a submodule that is not checked out. Run `git submodule update --init {0}`, then import again.",
        path.display()
    );
    Ok(())
}

/// Checks that nothing of the history is missing, if there is a reason to doubt it.
///
/// # Errors
/// Returns an error if it is a partial clone or borrows from a folder that is gone, and lacks objects; or git cannot
/// be run.
pub async fn check_complete(path: &Path, common: &Path, head: &str) -> anyhow::Result<()> {
    let asked = [
        "config",
        "--get-regexp",
        r"^(remote\..*\.promisor|extensions\.partialclone)$",
    ];
    let is_partial = run(path, &asked).await?.status.success();
    let lost = lost_alternate(common);
    // Its objects may have been fetched or copied since.
    if !(is_partial || lost.is_some()) || !lacks_objects(path, head).await? {
        return Ok(());
    }
    let shown = path.display();
    if let Some(gone) = lost {
        anyhow::bail!(borrowed(path, &gone));
    }
    anyhow::bail!(
        "{shown} is a partial clone (--filter): a part of its history's content is missing. \
         `git -C {shown} fetch --refetch --no-filter` (or `git backfill`) gets it; then import again."
    )
}

fn borrowed(path: &Path, gone: &Path) -> String {
    format!(
        "{} borrows a part of its history from {}, which is gone (objects/info/alternates names it). Bring that folder \
         back, or clone the repository again without --shared and --reference; then import again.",
        path.display(),
        gone.display()
    )
}

/// Whether an object that `head` leads to is missing. Nothing is fetched.
async fn lacks_objects(path: &Path, head: &str) -> anyhow::Result<bool> {
    let mut command = git(path);
    command.args([
        "rev-list",
        "--objects",
        "--no-object-names",
        "--missing=print",
        head,
    ]);
    let mut process = GitOutput::start(command)?;
    loop {
        match process.next().await {
            // Only names of missing objects have a question mark.
            Ok(Some(bytes)) if bytes.contains(&b'?') => return Ok(true),
            Ok(Some(_)) => {}
            Ok(None) => return Ok(false),
            Err(_) => return Ok(true),
        }
    }
}

/// The first folder that a repository borrows objects from, itself or through another, and that does not exist.
fn lost_alternate(common: &Path) -> Option<PathBuf> {
    let mut folders = vec![common.join("objects")];
    for _ in 0..MAX_BORROWED {
        let named: Vec<PathBuf> = folders
            .iter()
            .flat_map(|objects| alternates(objects))
            .collect();
        if let Some(gone) = named.iter().find(|folder| !folder.exists()) {
            return Some(gone.clone());
        }
        folders = named;
    }
    None
}

fn alternates(objects: &Path) -> Vec<PathBuf> {
    let named = std::fs::read_to_string(objects.join("info/alternates")).unwrap_or_default();
    let lines = named
        .lines()
        .filter(|line| !line.is_empty() && !line.starts_with('#'));
    lines.map(|line| objects.join(line)).collect()
}
