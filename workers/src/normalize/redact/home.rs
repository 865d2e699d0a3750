//! Home folders in free text: `/Users/ada`, `C:\Users\ada`, `~ada`.

use super::scan::length;

/// The length of the home folder that `rest` begins with. `before` is the text as it was written
/// before it, `quote` the quote it lies in.
pub fn folder(before: &str, rest: &str, quote: Option<char>) -> Option<usize> {
    let separator = length(rest, is_separator);
    let name = &rest[separator..];
    if separator == 0 {
        return tilde(before, rest);
    }
    let windows = rest.starts_with('\\') || before.ends_with(':');
    let folders: &[&str] = if windows {
        &["Users", "users", "USERS"]
    } else {
        &["home", "Users"]
    };
    let folder = folders
        .iter()
        .find(|folder| name.starts_with(*folder))?
        .len();
    let second = length(&name[folder..], is_separator);
    let person = &name[folder + second..];
    // A Windows name may have spaces, but only quotes show its end then.
    let spaced = rest.starts_with('\\') && quote.is_some();
    let ends =
        |c: char| is_separator(c) || "\"'`:;,|&<>()=".contains(c) || (c.is_whitespace() && !spaced);
    let person = length(person, |c| !ends(c));
    (second > 0 && person > 0 && begins_a_path(before))
        .then_some(separator + folder + second + person)
}

/// `~ada`; `~` alone names no one.
fn tilde(before: &str, rest: &str) -> Option<usize> {
    let name = rest.strip_prefix('~')?;
    let person = length(name, |c| c.is_ascii_alphanumeric() || "_-".contains(c));
    let begins = name.starts_with(|c: char| c.is_ascii_alphabetic());
    let own_word = before.is_empty() || before.ends_with([' ', '"', '\'', '=', ':', '(']);
    (begins && own_word).then_some(1 + person)
}

/// Whether an absolute path can begin after `before`: at a border, after a drive or a flag of one
/// letter (`/c/Users`, `-I/Users`), or after a folder that holds homes.
fn begins_a_path(before: &str) -> bool {
    let inner = |c: char| c.is_alphanumeric() || "._-~*})]$%".contains(c);
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

fn is_separator(c: char) -> bool {
    matches!(c, '/' | '\\')
}
