//! A path in segments, and where home folders lie in it.

use super::location::{Location, is_drive};

/// How many segments of a path lead into a home folder; 0 if it lies in none.
#[derive(Debug, Clone, Copy, Default)]
pub struct Home {
    /// The home folder lies where a system keeps them.
    pub sure: usize,
    /// It lies somewhere else, as in a backup or a mounted system.
    pub likely: usize,
}

/// A path in parts.
pub struct Segments {
    /// Whether it begins at a root, a drive or a home folder.
    absolute: bool,
    /// Whether it is of Windows, whose paths ignore case.
    windows: bool,
    list: Vec<String>,
    /// Whether another root may follow a segment, as after `x.rs:` in `/a/x.rs:/Users/…`.
    ends: Vec<bool>,
}

impl Segments {
    /// Reads a path or URI.
    pub fn of(path: &str) -> Self {
        let Location { rooted, path } = Location::of(path);
        let mut list: Vec<String> = Vec::new();
        let mut ends: Vec<bool> = Vec::new();
        for segment in path.split('/') {
            let name = segment.trim();
            match name {
                "" | "." => {}
                ".." if list.last().is_some_and(|last| last != "..") => {
                    list.pop();
                    ends.pop();
                }
                ".." if rooted => {}
                _ => {
                    list.push(name.to_owned());
                    ends.push(ends_a_path(segment));
                }
            }
        }
        // `C:x` is the place on a drive where one is.
        if let Some(rest) = list.first().and_then(|first| without_drive(first)) {
            let rest = rest.to_owned();
            list[0].truncate(2);
            list.insert(1, rest);
            ends.insert(0, false);
        }
        let first = list.first().map_or("", String::as_str);
        let windows = is_drive(first) || path.starts_with("//");
        let absolute = rooted || is_drive(first) || first.starts_with('~');
        // `../../home/ada`: what it climbs to may be the root.
        if let Some(last) = list
            .iter()
            .take_while(|name| *name == "..")
            .count()
            .checked_sub(1)
        {
            ends[last] = true;
        }
        Self {
            absolute,
            windows,
            list,
            ends,
        }
    }

    /// The segments.
    pub fn list(&self) -> &[String] {
        &self.list
    }

    /// Whether the path begins at a root, a drive or a home folder.
    pub fn is_absolute(&self) -> bool {
        self.absolute
    }

    /// Drops the segments that lead to the inside of a home folder.
    pub fn leave_home(&mut self) {
        let home = self.home();
        self.cut(home.sure.max(home.likely));
    }

    /// How many segments lead to the inside of the last home folder that the path names.
    pub fn home(&self) -> Home {
        let mut home = Home::default();
        for at in 0..self.list.len() {
            if let Some(length) = self.home_at(at) {
                let is_sure = self.is_root(at);
                let end = at + length;
                if is_sure {
                    home.sure = end;
                } else if self.absolute && self.is_likely(at, end) {
                    home.likely = end;
                }
            }
        }
        home
    }

    /// How many segments from `at` on are a home folder: `home/ada`, `var/folders/x/y`, `~ada`.
    fn home_at(&self, at: usize) -> Option<usize> {
        let lower: Vec<String> = self.list[at..]
            .iter()
            .take(5)
            .map(|segment| segment.to_lowercase())
            .collect();
        let lower: Vec<&str> = lower.iter().map(String::as_str).collect();
        match lower[..] {
            [tilde, ..] if is_tilde(tilde, at == 0) => Some(1),
            // Some keep them by initial: `home/a/ada`.
            [folder, initial, name, ..]
                if is_home_folder(folder) && initial.len() == 1 && name.starts_with(initial) =>
            {
                Some(3)
            }
            [folder, _, ..] if is_home_folder(folder) => Some(2),
            ["root", ..] if self.is_root(at) && !self.windows => Some(1),
            ["private", "var", "folders", _, _, ..] => Some(5),
            ["var", "folders", _, _, ..] => Some(4),
            ["run", "user" | "media", _, ..] | ["var", "mail", _, ..] => Some(3),
            ["var", "spool", "mail", _, ..] => Some(4),
            ["media", _, _, ..] if self.is_root(at) => Some(2),
            // `\\server\ada$`: a share of one person's.
            [_, share, ..] if at == 0 && self.windows && is_personal_share(share) => Some(2),
            _ => None,
        }
    }

    /// Whether a system's own folders lie at `at`: at the root, or on a drive or mount.
    fn is_root(&self, at: usize) -> bool {
        let before = |back: usize| at.checked_sub(back).map(|at| self.list[at].to_lowercase());
        let Some(last) = before(1) else {
            return self.absolute;
        };
        let is_letter = last.len() == 1 && last.as_bytes()[0].is_ascii_alphabetic();
        let is_top = |back: usize| self.absolute && at == back;
        self.ends[at - 1]
            || (is_top(1) && (is_drive(&last) || is_letter || is_mount(&last)))
            || (is_top(2) && before(2).is_some_and(|first| is_mount(&first)))
    }

    /// Whether what looks like a home folder is one: a file in `home/` is not, nor is Django's `users/`.
    fn is_likely(&self, at: usize, end: usize) -> bool {
        let folder = self.list[at].as_str();
        let is_module = folder == "users" && !self.windows;
        let is_file = end == self.list.len() && self.list[end - 1].contains('.');
        !is_module && !is_file
    }

    /// The path with `/` between segments; nothing of an empty one.
    pub fn print(&self) -> Option<String> {
        let path = self.list.join("/");
        let drive = self.list.first().is_some_and(|first| is_drive(first));
        let root = if self.absolute && !drive { "/" } else { "" };
        (!path.is_empty()).then(|| format!("{root}{path}"))
    }

    /// How many segments lead to the inside of `folder`, if the path lies in it.
    pub fn inside(&self, folder: &Self) -> Option<usize> {
        let windows = folder.list.first().is_some_and(|first| is_drive(first));
        let same = |(one, other): (&String, &String)| {
            one == other || windows && one.to_lowercase() == other.to_lowercase()
        };
        let fits = self.absolute && folder.absolute && folder.list.len() < self.list.len();
        (fits && folder.list.iter().zip(&self.list).all(same)).then_some(folder.list.len())
    }

    /// Drops the first `count` segments; what is left is relative.
    pub fn cut(&mut self, count: usize) {
        if count > 0 {
            self.list.drain(..count);
            self.ends.drain(..count);
            self.absolute = false;
        }
    }
}

/// Whether a path may end within or after a segment: `wsl+ubuntu`, `ada@box`, `x.rs:`, `PATH=`, `x.rs, `.
fn ends_a_path(segment: &str) -> bool {
    let inner = segment.trim_matches(['+', '@', '$']);
    segment.ends_with(|c: char| c.is_whitespace() || ":;,=$([{<>|".contains(c))
        || inner.contains(['+', '@', '=', '"', '\'', '&', '%', ';'])
}

/// `~`, `~ada`, or such a thing after another path (`x.rs:~ada`). Editors' own files begin so, too (`~lock.odt`).
fn is_tilde(segment: &str, is_first: bool) -> bool {
    let name = segment
        .rsplit_once([':', ';', ',', '=', ' '])
        .map_or(segment, |(_, name)| name);
    let Some(person) = name.strip_prefix('~') else {
        return false;
    };
    is_first && name == segment
        || (person.starts_with(|c: char| c.is_alphabetic()) && !person.contains('.'))
}

fn is_home_folder(lower: &str) -> bool {
    matches!(lower, "home" | "homes" | "users" | "documents and settings")
}

/// `users` of `c:users`.
fn without_drive(segment: &str) -> Option<&str> {
    let (drive, rest) = segment.split_at_checked(2)?;
    (is_drive(drive) && !rest.is_empty()).then_some(rest)
}

/// Whether a Windows share is hidden, and none that every Windows has.
fn is_personal_share(lower: &str) -> bool {
    let name = lower.strip_suffix('$').unwrap_or_default();
    name.len() > 1
        && !matches!(
            name,
            "admin" | "ipc" | "print" | "wsl" | "home" | "homes" | "users"
        )
}

fn is_mount(lower: &str) -> bool {
    matches!(
        lower,
        "var"
            | "usr"
            | "export"
            | "data"
            | "mnt"
            | "cygdrive"
            | "wsl$"
            | "wsl.localhost"
            | "private"
            | "net"
            | "nfs"
    )
}
