//! Paths without the machine they were on, and projects by a name fit for everywhere.

use super::text;

/// Longest path, in bytes; a longer one loses its start.
const MAX_PATH: usize = 1024;
/// Longest project slug, in bytes.
const MAX_SLUG: usize = 64;

/// `path` with `/` between segments, relative if that can be derived, without a home folder.
///
/// An absolute path is made relative to `workspace` if it lies in it, else to the first folder
/// that is named as the workspace or has the slug `project`, else to the home folder it lies in.
/// Returns `None` if nothing is left.
#[must_use]
pub fn clean(path: &str, workspace: Option<&str>, project: Option<&str>) -> Option<String> {
    let mut path = Segments::of(path);
    if path.absolute {
        let workspace = workspace
            .map(Segments::of)
            .filter(|workspace| !workspace.list.is_empty());
        let inside = workspace
            .as_ref()
            .and_then(|workspace| path.inside(workspace));
        let home = path.home();
        let named = |name: &String| {
            let named_as_workspace =
                |workspace: &Segments| !workspace.absolute && workspace.list == [name.as_str()];
            workspace.as_ref().is_some_and(named_as_workspace)
                || (project.is_some() && slug(name).as_deref() == project)
        };
        // The file itself names no project, nor does the person that the home folder belongs to.
        let folders = path.list.len().saturating_sub(1);
        let in_project = || {
            (home..folders)
                .find(|at| named(&path.list[*at]))
                .map(|at| at + 1)
        };
        path.cut(inside.or_else(in_project).unwrap_or(home));
    }
    path.print()
}

/// A project's name as a slug: lower case, `[a-z0-9-]`, at most 64 bytes; of a path its last segment.
///
/// A name with letters that a slug cannot hold ends in eight hex digits of its hash, so that two such names stay
/// two. Returns `None` if it has no letter or digit, and for a home folder.
#[must_use]
pub fn slug(project: &str) -> Option<String> {
    let mut segments = Segments::of(project);
    segments.cut(segments.home());
    let name = segments.list.pop()?;
    let name = name
        .strip_suffix(".code-workspace")
        .unwrap_or(&name)
        .to_lowercase();
    let mut slug = String::new();
    for c in name.chars() {
        if c.is_ascii_alphanumeric() {
            slug.push(c);
        } else if !slug.is_empty() && !slug.ends_with('-') {
            slug.push('-');
        }
    }
    let mut hash = String::new();
    if name.chars().any(|c| c.is_alphanumeric() && !c.is_ascii()) {
        hash.push('-');
        hash.extend(
            types::event::hash(name.as_bytes())[..4]
                .iter()
                .map(|byte| format!("{byte:02x}")),
        );
    }
    slug.truncate(MAX_SLUG - hash.len());
    let slug = format!("{}{hash}", slug.trim_end_matches('-'));
    Some(slug.trim_start_matches('-').to_owned()).filter(|slug| !slug.is_empty())
}

/// A path in parts.
struct Segments {
    /// Whether it begins at a root, a drive or a home folder.
    absolute: bool,
    list: Vec<String>,
}

impl Segments {
    fn of(path: &str) -> Self {
        let path = text::clean(path).replace('\\', "/");
        let mut path = path.trim();
        while let Some(rest) = path.strip_prefix("file://") {
            path = rest;
        }
        let mut list: Vec<String> = Vec::new();
        let rooted = path.starts_with('/');
        for segment in path.split('/').map(str::trim) {
            match segment {
                "" | "." => {}
                ".." if list.last().is_some_and(|last| last != "..") => {
                    list.pop();
                }
                ".." if rooted => {}
                _ => list.push(segment.to_owned()),
            }
        }
        let first = list.first().map_or("", String::as_str);
        let absolute = rooted || is_drive(first) || first.starts_with('~');
        Self { absolute, list }
    }

    /// How many segments lead to the inside of a home folder; 0 if it lies in none.
    fn home(&self) -> usize {
        if !self.absolute {
            return 0;
        }
        let lower: Vec<String> = self
            .list
            .iter()
            .take(4)
            .map(|segment| segment.to_lowercase())
            .collect();
        let lower: Vec<&str> = lower.iter().map(String::as_str).collect();
        let is_folder = |name: &str| matches!(name, "home" | "users");
        let is_letter = |name: &str| name.len() == 1 && name.as_bytes()[0].is_ascii_alphabetic();
        match lower[..] {
            [tilde, ..] if tilde.starts_with('~') => 1,
            [folder, _, ..] if is_folder(folder) => 2,
            // C:/Users/ada, /c/Users/ada, /var/home/ada
            [root, folder, _, ..]
                if is_folder(folder) && (is_drive(root) || is_letter(root) || is_mount(root)) =>
            {
                3
            }
            // /mnt/c/Users/ada, //wsl$/Ubuntu/home/ada
            [root, _, folder, _] if is_folder(folder) && is_mount(root) => 4,
            _ => 0,
        }
    }

    /// How many segments lead to the inside of `folder`, if the path lies in it.
    fn inside(&self, folder: &Self) -> Option<usize> {
        // A drive means Windows, whose paths ignore case.
        let windows = folder.list.first().is_some_and(|first| is_drive(first));
        let same = |(one, other): (&String, &String)| {
            one == other || windows && one.to_lowercase() == other.to_lowercase()
        };
        let fits = folder.absolute && folder.list.len() < self.list.len();
        (fits && folder.list.iter().zip(&self.list).all(same)).then_some(folder.list.len())
    }

    /// Drops the first `count` segments; what is left is relative, and holds no other root.
    fn cut(&mut self, count: usize) {
        if count > 0 {
            self.list.drain(..count);
            self.absolute = false;
            // `~/~/x` or `~/C:/Users/x`: read again, it would be absolute.
            let again = Self::of(&self.list.join("/"));
            if again.absolute {
                let home = again.home().max(1);
                *self = again;
                self.cut(home);
            }
        }
    }

    fn print(&self) -> Option<String> {
        let path = self.list.join("/");
        let drive = self.list.first().is_some_and(|first| is_drive(first));
        let root = if self.absolute && !drive { "/" } else { "" };
        (!path.is_empty()).then(|| text::tail(&format!("{root}{path}"), MAX_PATH))
    }
}

fn is_drive(segment: &str) -> bool {
    matches!(segment.as_bytes(), [letter, b':'] if letter.is_ascii_alphabetic())
}

fn is_mount(segment: &str) -> bool {
    matches!(
        segment,
        "var" | "usr" | "export" | "data" | "mnt" | "cygdrive" | "wsl$" | "wsl.localhost"
    )
}
