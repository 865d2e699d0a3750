//! Home folders in free text: `/Users/ada`, `C:\Users\ada`, `wsl+ubuntu/home/ada`, `~ada`.

use super::scan::length;

/// Folders that hold homes, and how many of the segments below them belong to one person.
const FOLDERS: &[(&str, usize)] = &[("home", 1), ("homes", 1), ("Users", 1), ("USERS", 1)];
/// The same on Windows, in any case.
const ON_WINDOWS: &[(&str, usize)] = &[
    ("users", 1),
    ("home", 1),
    ("homes", 1),
    ("Documents and Settings", 1),
];
/// The same, but only where a path begins.
const AT_ROOT: &[(&str, usize)] = &[
    ("root", 0),
    ("private/var/folders", 2),
    ("var/folders", 2),
    ("run/user", 1),
    ("run/media", 1),
    ("media", 1),
    ("var/mail", 1),
    ("var/spool/mail", 1),
];
/// As much of a path is looked at from its end, in bytes.
const MAX_PATH: usize = 1024;
/// Most words of a person's name with spaces in it.
const MAX_WORDS: usize = 3;

/// The length of the home folder that `rest` begins with. `before` is the text as it was written
/// before it, `quote` the quote it lies in.
pub fn folder(before: &str, rest: &str, quote: Option<char>) -> Option<usize> {
    // What a row of separators leads to was looked at when it began.
    let in_row = before.ends_with(is_separator) && !before.ends_with("://");
    if rest.starts_with(is_separator) && in_row {
        return None;
    }
    let separator = length(rest, is_separator);
    // `C:Users\ada`, `file://Users/ada`
    let is_drive = ends_in_drive(before);
    if separator == 0 && !is_drive && !before.ends_with("file://") {
        return tilde(before, rest);
    }
    let name = &rest[separator..];
    let begins = begins_a_path(before);
    if begins {
        let share = || personal_share(name).filter(|_| separator == 2);
        let at_root = below(name, AT_ROOT, quote, false).filter(|_| separator > 0);
        let in_users =
            || below(name, &[("users", 1)], quote, false).filter(|end| !is_number(&name[..*end]));
        if let Some(end) = at_root.or_else(in_users).or_else(share) {
            return Some(separator + end);
        }
    }
    let windows = rest.starts_with('\\') || is_drive || is_drive_folder(before);
    let end = below(name, FOLDERS, quote, windows)
        .or_else(|| below(name, ON_WINDOWS, quote, windows).filter(|_| windows))?;
    // A file that lies in `home/` is no home folder.
    let is_file = || {
        let person = name[..end].rsplit(is_separator).next().unwrap_or_default();
        person.contains('.') && !name[end..].starts_with(is_separator)
    };
    (begins || (lies_in_a_path(before) && !is_file())).then_some(separator + end)
}

/// The length of a folder and the segments of a person below it, with which `name` begins.
fn below(
    name: &str,
    folders: &[(&str, usize)],
    quote: Option<char>,
    windows: bool,
) -> Option<usize> {
    folders.iter().find_map(|(folder, depth)| {
        let mut end = folder.len();
        let same = name.get(..end)?.eq_ignore_ascii_case(folder);
        let exact = name.starts_with(folder);
        if !(exact || (windows && same)) {
            return None;
        }
        for _ in 0..*depth {
            let between = length(&name[end..], is_separator);
            let person = person(&name[end + between..], quote, windows);
            if between == 0 || person == 0 {
                return None;
            }
            end += between + person;
            // Some keep them by initial: `home/a/ada`.
            let next = &name[end..];
            if person == 1 && next.starts_with('/') && next[1..].starts_with(&name[end - 1..end]) {
                end += 1 + length(&next[1..], |c| !is_separator(c) && !c.is_whitespace());
            }
        }
        let is_whole = !name[end..].starts_with(|c: char| c.is_alphanumeric() || "._-".contains(c));
        (*depth > 0 || is_whole).then_some(end)
    })
}

/// The length of a person's folder. On Windows it may have spaces: within quotes, or if the path goes on after them.
fn person(text: &str, quote: Option<char>, windows: bool) -> usize {
    let spaced = windows && quote.is_some();
    let ends = |c: char| {
        is_separator(c) || "\"'`:;,|&<>()=?#{}[]".contains(c) || (c.is_whitespace() && !spaced)
    };
    let mut end = length(text, |c| !ends(c));
    // `Jane\ Roe`
    while end > 0 && text[end..].starts_with("\\ ") {
        end += 2 + length(&text[end + 2..], |c| !ends(c));
    }
    if windows && end > 0 && !spaced {
        let mut more = end;
        for _ in 0..MAX_WORDS {
            let Some(rest) = text[more..].strip_prefix(' ') else {
                break;
            };
            let word = length(rest, |c| !ends(c));
            if word == 0 || rest.starts_with('-') {
                break;
            }
            more += 1 + word;
            if text[more..].starts_with(is_separator) {
                return more;
            }
        }
    }
    end
}

/// The length of server and share in `server\ada$`, a share of one person's.
fn personal_share(name: &str) -> Option<usize> {
    let server = length(name, |c| c.is_alphanumeric() || "-_.".contains(c));
    let share = name[server..].strip_prefix(is_separator)?;
    let person = length(share, |c| c.is_alphanumeric() || "-_.".contains(c));
    let is_personal = !matches!(
        share[..person].to_lowercase().as_str(),
        "admin" | "ipc" | "print" | "wsl"
    );
    let end = server + 1 + person + 1;
    (server > 0 && person > 1 && is_personal && share[person..].starts_with('$')).then_some(end)
}

/// Whether the last segment is a number, as in the route `/users/12`.
fn is_number(path: &str) -> bool {
    let last = path.rsplit(is_separator).next().unwrap_or_default();
    last.bytes().all(|byte| byte.is_ascii_digit())
}

/// `~ada`; `~` alone names no one.
fn tilde(before: &str, rest: &str) -> Option<usize> {
    let name = rest.strip_prefix('~')?;
    let person = length(name, |c| c.is_alphanumeric() || "_-".contains(c));
    let begins = name.starts_with(|c: char| c.is_alphabetic());
    let own_word =
        before.is_empty() || before.ends_with([' ', '"', '\'', '=', ':', '(', ',', '`', '>', '<']);
    (begins && own_word).then_some(1 + person)
}

/// Whether an absolute path can begin after `before`: at a border, after a drive or a flag of one
/// letter (`/c/Users`, `-I/Users`), or after a folder that holds homes.
fn begins_a_path(before: &str) -> bool {
    let inner = |c: char| c.is_alphanumeric() || "._-~*})]$%+@".contains(c);
    if !before.ends_with(inner) {
        return true;
    }
    let holds_homes = ["/var", "/usr", "/export", "/data", "/Data"]
        .iter()
        .any(|folder| before.ends_with(folder));
    let mut back = before.chars().rev();
    let one_letter = back.next().is_some_and(char::is_alphabetic)
        && back.next().is_some_and(|c| "/\\-".contains(c));
    holds_homes || one_letter
}

/// Whether `before` ends in a drive, such as `C:`.
fn ends_in_drive(before: &str) -> bool {
    let Some(before) = before.strip_suffix(':') else {
        return false;
    };
    let mut back = before.chars().rev();
    back.next().is_some_and(|c| c.is_ascii_alphabetic())
        && back.next().is_none_or(|c| !c.is_alphanumeric())
}

/// Whether `before` ends in the folder that stands for a drive: `/c`, `/mnt/c`.
fn is_drive_folder(before: &str) -> bool {
    let mut back = before.chars().rev();
    back.next().is_some_and(|c| c.is_ascii_alphabetic()) && back.next().is_some_and(is_separator)
}

/// Whether `before` ends within an absolute path or a URI: `/mnt/backup`, `wsl+ubuntu`, `ada@box`, `../..`.
fn lies_in_a_path(before: &str) -> bool {
    let near = &before[before.ceil_char_boundary(before.len().saturating_sub(MAX_PATH))..];
    // A volume's name may have spaces.
    let in_volume = near
        .rsplit_once("/Volumes/")
        .is_some_and(|(_, volume)| !volume.contains(['"', '\'', ';', '|', '/']));
    let borders = |c: char| c.is_whitespace() || "\"'`<>|();,=[]{}".contains(c);
    let path = near.rsplit(borders).next().unwrap_or_default();
    let climbs = !path.is_empty() && path.chars().all(|c| c == '.' || is_separator(c));
    climbs
        || in_volume
        || path.starts_with(['/', '\\', '~', '*'])
        || path
            .trim_start_matches(['+', '@', '$', '%'])
            .contains([':', '+', '@', '%', '$', '*'])
}

fn is_separator(c: char) -> bool {
    matches!(c, '/' | '\\')
}
