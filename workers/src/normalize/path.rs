//! Paths without the machine they were on.

use super::project::Project;
use super::segments::Segments;
use super::text;

/// Longest path, in bytes; a longer one loses its start.
const MAX_PATH: usize = 1024;
/// Most readings of one path: what is left of one may be a path again (`~/C:/Users/x`).
const MAX_READINGS: usize = 8;

/// `path` with `/` between segments, relative if that can be derived, without scheme, user, host and home folder.
///
/// An absolute path is made relative to `workspace` if it lies in it, else to the first folder
/// that is named as the workspace or has the key `project`, else to the home folder it lies in.
/// Returns `None` if nothing is left.
#[must_use]
pub fn clean(path: &str, workspace: Option<&str>, project: Option<&str>) -> Option<String> {
    let outer = workspace
        .map(Segments::of)
        .filter(|workspace| !workspace.list().is_empty());
    let path = read_until_stable(path, outer.as_ref(), project)?;
    // A workspace is told again by what is left of it: the path is read with that as well, so that both stay.
    let is_rooted = path.starts_with('/') || path.as_bytes().get(1) == Some(&b':');
    let is_left = |outer: &Segments| outer.is_absolute() && is_rooted;
    if !outer.as_ref().is_some_and(is_left) {
        return Some(path);
    }
    let inner = workspace.and_then(|workspace| read_until_stable(workspace, None, None));
    let inner = inner.as_deref().map(Segments::of);
    read_until_stable(&path, inner.as_ref(), project)
}

fn read_until_stable(
    path: &str,
    workspace: Option<&Segments>,
    project: Option<&str>,
) -> Option<String> {
    let mut path = path.to_owned();
    for _ in 0..MAX_READINGS {
        let read = read(&path, workspace, project)?;
        if read == path {
            return Some(path);
        }
        path = read;
    }
    None
}

/// One reading of a path.
fn read(path: &str, workspace: Option<&Segments>, project: Option<&str>) -> Option<String> {
    let mut path = Segments::of(path);
    let home = path.home();
    let inside = workspace.and_then(|workspace| path.inside(workspace));
    let named = |name: &String| {
        let named_as_workspace =
            |workspace: &Segments| !workspace.is_absolute() && workspace.list() == [name.as_str()];
        workspace.is_some_and(named_as_workspace)
            || (project.is_some()
                && Project::of(name).is_some_and(|own| Some(&*own.key) == project))
    };
    // The file itself names no project, nor does the person that the home folder belongs to.
    let folders = if path.is_absolute() {
        path.list().len().saturating_sub(1)
    } else {
        0
    };
    let in_project = || {
        (home.sure..folders)
            .find(|at| named(&path.list()[*at]))
            .map(|at| at + 1)
    };
    // Folders of a project may be called `home`.
    let cut = match inside.or_else(in_project) {
        Some(inside) => inside.max(home.sure),
        None => home.sure.max(home.likely),
    };
    path.cut(cut);
    path.print().map(|path| text::tail(&path, MAX_PATH))
}
