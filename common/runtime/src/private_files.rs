//! Files that belong to one user of the machine: folders of mode 0700, files of mode 0600.

use std::fs::{self, Metadata, Permissions};
use std::io;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::Path;

use nix::sys::stat::{Mode, umask};
use nix::unistd::geteuid;

/// What a group and all others may do.
const SHARED: u32 = 0o077;
/// Only who owns a file may delete it: a folder that many share, such as `/tmp`.
const STICKY: u32 = 0o1000;

/// What this process and its children make from now on is for its user alone, whatever the umask was.
pub fn begin() {
    umask(Mode::from_bits_truncate(0o077));
}

/// Takes from group and others what they may do with these files, and with all that is in those that are folders.
/// One that is missing is left out. Returns how many it changed.
///
/// # Errors
/// Returns the `io::Error` of a folder that cannot be listed.
pub fn tighten<P: AsRef<Path>>(paths: impl IntoIterator<Item = P>) -> io::Result<u64> {
    let mut changed = 0;
    for path in paths {
        let path = path.as_ref();
        let Ok(metadata) = path.symlink_metadata() else {
            continue;
        };
        // A link's own mode means nothing, and what it leads to may be anybody's.
        if metadata.is_symlink() {
            continue;
        }
        changed += u64::from(tighten_one(path, &metadata));
        if metadata.is_dir() {
            let inside = fs::read_dir(path)?.collect::<io::Result<Vec<_>>>()?;
            changed += tighten(inside.iter().map(fs::DirEntry::path))?;
        }
    }
    Ok(changed)
}

/// Makes a folder one that only its owner may enter. Returns whether it changed; why it cannot be is logged.
#[must_use]
pub fn tighten_folder(folder: &Path) -> bool {
    let Ok(metadata) = folder.metadata() else {
        return false;
    };
    let (owner, own) = (metadata.uid(), geteuid().as_raw());
    if owner != own {
        tracing::warn!(
            folder = %folder.display(),
            owner,
            user = own,
            "the folder belongs to another user than the one that runs this, who may read and move what is in it; \
             `chown` it, or name another folder"
        );
    }
    if metadata.mode() & STICKY != 0 {
        tracing::warn!(
            folder = %folder.display(),
            "the folder is shared with other users and stays so; only Devtrail's files in it are private"
        );
        return false;
    }
    tighten_one(folder, &metadata)
}

fn tighten_one(path: &Path, metadata: &Metadata) -> bool {
    let mode = metadata.mode() & 0o7777;
    if mode & SHARED == 0 {
        return false;
    }
    let set = fs::set_permissions(path, Permissions::from_mode(mode & !SHARED));
    let reason = match (set, path.metadata()) {
        (Ok(()), Ok(now)) if now.mode() & SHARED == 0 => return true,
        (Ok(()), Ok(_)) => "its file system keeps no modes".to_owned(),
        (Err(error), _) | (Ok(()), Err(error)) => error.to_string(),
    };
    tracing::warn!(
        path = %path.display(),
        mode = format!("{mode:04o}"),
        reason,
        "other users of this machine may read it, and that cannot be changed"
    );
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mode(path: &Path) -> u32 {
        path.metadata().unwrap().mode() & 0o7777
    }

    fn set(path: &Path, mode: u32) {
        fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
    }

    #[test]
    fn what_others_may_do_is_taken_and_what_the_owner_may_is_kept() {
        let folder = tempfile::tempdir().unwrap();
        let inside = folder.path().join("streams");
        let file = inside.join("1.blk");
        fs::create_dir(&inside).unwrap();
        fs::write(&file, "").unwrap();
        set(&file, 0o644);
        set(&inside, 0o755);
        assert_eq!(
            tighten([inside.as_path(), &folder.path().join("missing")]).unwrap(),
            2
        );
        assert_eq!((mode(&inside), mode(&file)), (0o700, 0o600));
        assert_eq!(tighten([&inside]).unwrap(), 0);
    }

    #[test]
    fn a_link_leads_to_nothing_of_ours() {
        let folder = tempfile::tempdir().unwrap();
        let other = folder.path().join("other");
        fs::write(&other, "").unwrap();
        set(&other, 0o644);
        let link = folder.path().join("link");
        std::os::unix::fs::symlink(&other, &link).unwrap();
        assert_eq!(tighten([&link]).unwrap(), 0);
        assert_eq!(mode(&other), 0o644);
    }

    #[test]
    fn a_folder_that_many_share_stays_so() {
        let folder = tempfile::tempdir().unwrap();
        set(folder.path(), 0o755);
        assert!(tighten_folder(folder.path()));
        assert_eq!(mode(folder.path()), 0o700);
        set(folder.path(), 0o1777);
        assert!(!tighten_folder(folder.path()));
        assert_eq!(mode(folder.path()), 0o1777);
    }
}
