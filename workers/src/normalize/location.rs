//! Where a file is, whatever an editor calls it: a path, or a URI of any scheme, percent-encoded, on a remote machine.

use super::text;

/// Longest path that is read, in bytes: four times the characters that the contract allows.
pub const MAX_READ: usize = 16 * 1024;

/// A path as one machine would write it, with `/` between its segments.
pub struct Location {
    /// Whether it begins at a root, also one that only its scheme says.
    pub rooted: bool,
    /// The path without scheme, authority, query and fragment.
    pub path: String,
}

impl Location {
    /// Reads `C:\x`, `\\?\C:\x`, `file:///x`, `vscode-remote://wsl%2Bubuntu/x`, `git:/x?{…}`, `jane@box:/x` and so on.
    /// One longer than [`MAX_READ`] is as an empty one.
    pub fn of(raw: &str) -> Self {
        let raw = if raw.len() > MAX_READ { "" } else { raw };
        let decoded = text::clean(&decoded(&text::clean(raw), |_| true));
        // A shell's `\ ` is a space of the name.
        let slashed = decoded.replace("\\ ", " ").replace('\\', "/");
        let mut path = slashed.trim();
        let mut has_scheme = false;
        while let Some(rest) = without_prefix(path) {
            has_scheme |= !rest.starts_with("//");
            path = rest.trim_start();
        }
        if has_scheme {
            path = without_user(path);
        }
        path = without_remote(path);
        let rooted = has_scheme || path.starts_with('/');
        let path = without_query(path).to_owned();
        Self { rooted, path }
    }
}

/// The name of the file at `raw`, without what editors hang onto it: `#cell3`, `?x=1`, `:12:3`, ` (Working Tree)`.
pub fn file_name(raw: &str) -> Option<String> {
    let path = Location::of(raw).path;
    let name = path.rsplit('/').next()?;
    let end = after_extension(name, &[':', '(', '#']).unwrap_or(name.len());
    let name = name[..end].trim();
    // The old side of a diff, as VS Code names it.
    let name = name.strip_suffix(".git").unwrap_or(name);
    // A copy that an editor made.
    let name = name.trim_end_matches('~');
    (!name.is_empty()).then(|| name.to_owned())
}

/// `text` with its `%XX` decoded until none is left whose byte is `wanted`.
///
/// Linear: each byte is looked at when it comes to stand last.
pub fn decoded(text: &str, wanted: impl Fn(u8) -> bool) -> String {
    let mut out: Vec<u8> = Vec::with_capacity(text.len());
    for byte in text.bytes() {
        out.push(byte);
        while let Some(byte) = escape_at_end(&out).filter(|byte| wanted(*byte)) {
            out.truncate(out.len() - 3);
            out.push(byte);
        }
    }
    String::from_utf8(out).unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into())
}

/// The byte that the last three of `bytes` encode.
fn escape_at_end(bytes: &[u8]) -> Option<u8> {
    let [.., b'%', high, low] = bytes else {
        return None;
    };
    let digit = |byte: u8| char::from(byte).to_digit(16);
    u8::try_from(digit(*high)? * 16 + digit(*low)?).ok()
}

/// What follows the first prefix of `path`: `\\?\`, or a scheme with its authority.
fn without_prefix(path: &str) -> Option<&str> {
    for device in ["//?/UNC/", "//?/unc/", "//?/", "//./"] {
        if let Some(rest) = path.strip_prefix(device) {
            return Some(rest);
        }
    }
    let (prefix, rest) = path.split_once(':')?;
    let is_scheme = prefix.len() > 1
        && prefix.starts_with(|c: char| c.is_ascii_alphabetic())
        && prefix
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"+.-".contains(&byte));
    if is_scheme && let Some(rest) = rest.strip_prefix("//") {
        return Some(without_authority(rest));
    }
    let is_root = rest.starts_with(['/', '~']) || rest.get(..2).is_some_and(is_drive);
    let nested = || is_scheme && without_prefix_once(rest);
    ((is_scheme && is_root) || nested()).then_some(rest)
}

/// `path` without user and host as scp writes them: `jane@box:x`.
fn without_remote(path: &str) -> &str {
    let remote = path
        .split_once(':')
        .filter(|(host, _)| host.contains('@') && !host.contains(['/', ' ']));
    remote.map_or(path, |(_, path)| path)
}

/// Whether `path` begins with a scheme and a root: `jar:file:/x`.
fn without_prefix_once(path: &str) -> bool {
    let Some((scheme, rest)) = path.split_once(':') else {
        return false;
    };
    let is_scheme = scheme.len() > 1 && scheme.bytes().all(|byte| byte.is_ascii_alphanumeric());
    is_scheme && rest.starts_with('/')
}

/// What follows the authority with which `rest` begins. `file://Users/x` and `file://C:/x` have none.
fn without_authority(rest: &str) -> &str {
    let end = rest.find('/').unwrap_or(rest.len());
    let authority = rest[..end].to_lowercase();
    let is_folder = matches!(
        authority.as_str(),
        "home" | "users" | "mnt" | "root" | "var" | "~"
    );
    let is_local = is_folder || is_drive(&authority) || authority.starts_with('~');
    if is_local { rest } else { &rest[end..] }
}

/// `path` without a first segment that names a user and a host: `/jane@box/x`, as of `ssh://` with one slash lost.
fn without_user(path: &str) -> &str {
    let inner = path.trim_start_matches('/');
    let first = &inner[..inner.find('/').unwrap_or(inner.len())];
    let is_user = first
        .split_once('@')
        .is_some_and(|(user, host)| !user.is_empty() && !host.is_empty() && !first.contains(' '));
    if is_user { &inner[first.len()..] } else { path }
}

/// `path` up to a query, or to a fragment after a name with an extension (`C#/x` is a folder).
fn without_query(path: &str) -> &str {
    let path = &path[..path.find('?').unwrap_or(path.len())];
    let mut start = 0;
    for segment in path.split('/') {
        if let Some(end) = after_extension(segment, &['#']) {
            return &path[..start + end];
        }
        start += segment.len() + 1;
    }
    path
}

/// Where one of `marks` first stands after an extension in `name`.
fn after_extension(name: &str, marks: &[char]) -> Option<usize> {
    let mut chars = name.char_indices().skip(1);
    let (dot, _) = chars.find(|(_, c)| *c == '.')?;
    Some(dot + name[dot..].find(marks)?)
}

/// Whether a segment is a drive, such as `C:`.
pub fn is_drive(segment: &str) -> bool {
    matches!(segment.as_bytes(), [letter, b':'] if letter.is_ascii_alphabetic())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes_are_decoded_until_none_is_left() {
        for (text, expected) in [
            ("a%2Fb", "a/b"),
            ("a%252Fb", "a/b"),
            ("%2%35", "%"),
            ("100%", "100%"),
            ("%zz%4", "%zz%4"),
            ("%C3%A9", "é"),
        ] {
            assert_eq!(decoded(text, |_| true), expected, "{text}");
        }
        assert_eq!(decoded("a%2520b%2Fc", |byte| byte != b' '), "a%20b/c");
    }

    #[test]
    fn decoding_takes_time_in_proportion_to_the_text() {
        let deep = format!("%{}41", "25".repeat(500_000));
        assert_eq!(decoded(&deep, |_| true), "A");
    }

    #[test]
    fn a_files_name_is_what_no_editor_added() {
        for (raw, name) in [
            ("/w/x.ipynb#cell3", Some("x.ipynb")),
            (
                "vscode-notebook-cell:/w/x.ipynb#W0sZmlsZQ%3D%3D",
                Some("x.ipynb"),
            ),
            (
                r#"git:/w/app.ts?{"path":"/w/b.rs","ref":"~"}"#,
                Some("app.ts"),
            ),
            ("git:/w/app.ts.git?x", Some("app.ts")),
            ("/w/a.php?x=1", Some("a.php")),
            ("/w/a.ts:12:3", Some("a.ts")),
            ("C:\\w\\a.ts(12,3)", Some("a.ts")),
            ("/w/a.ts (Working Tree)", Some("a.ts")),
            ("/w/a.ts~", Some("a.ts")),
            ("/w/C#/Makefile", Some("Makefile")),
            ("jar:file:///w/x.jar!/a/B.kt", Some("B.kt")),
            ("a/", None),
        ] {
            assert_eq!(file_name(raw).as_deref(), name, "{raw}");
        }
    }
}
