//! Words that are secrets by themselves: keys of known makers, and what looks random; and users of URLs and remotes.

use std::ops::Range;

use super::formats;
use super::scan::{is_word, length};

/// Shorter words never count as random.
const MIN: usize = 20;
/// Digits of the shortest hash that counts as a secret (128 bits).
const MIN_HEX: usize = 32;
/// An AWS secret key: base64 with `/`, which else only divides paths.
const AWS: usize = 40;
/// So often at least such a key turns from capitals to small letters to digits.
const MIN_TURNS: usize = 10;
/// Longest word that is looked at as one, in bytes.
const MAX: usize = 512;

/// The length of the secret that `text` begins with, if its form says that it is one.
pub fn random(text: &str) -> Option<usize> {
    let of = |more: &'static str| {
        text.bytes()
            .take_while(move |b| is_base64(*b) || more.as_bytes().contains(b))
    };
    if let Some(key) = formats::token(text) {
        return Some(key);
    }
    let plain = of("").take(MAX).count();
    let all = of("/+").take(MAX).count();
    let padding = text
        .bytes()
        .skip(all)
        .take_while(|b| *b == b'=')
        .take(2)
        .count();
    if all > plain && looks_like_base64(&text[..all], padding > 0) {
        return Some(all + padding);
    }
    if !looks_random(&text[..plain]) {
        return None;
    }
    // A word longer than was looked at is hidden to its end.
    let plain = if plain == MAX { of("").count() } else { plain };
    Some(plain + if plain == all { padding } else { 0 })
}

/// Whether a word that looks random has the form of a commit's hash: SHA-1, or SHA-256 (git's documentation,
/// `hash-function-transition`). It is hidden, for it may be a key, but most often it is none.
pub fn is_git_hash(word: &str) -> bool {
    matches!(word.len(), 40 | 64)
        && word
            .bytes()
            .all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte))
}

/// As much of a URL is looked at for its user and password, in bytes.
const MAX_URL: usize = 2048;

/// Letters, digits, `_` and `-`: base64 as URLs have it.
fn is_base64(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-'
}

/// Whether it is a long hexadecimal number, or mixes capitals, small letters and digits as no word does.
fn looks_random(word: &str) -> bool {
    let classes = || word.bytes().filter(u8::is_ascii_alphanumeric).map(class);
    let count = |wanted: u8| classes().filter(|class| *class == wanted).count();
    let small = count(b'a');
    let capital = count(b'A');
    let digits = count(b'0');
    let hex = word.len() >= MIN_HEX && word.bytes().all(|b| b.is_ascii_hexdigit()) && digits > 0;
    if hex && digits < word.len() {
        return true;
    }
    let turns = turns(word);
    let into_digits = classes()
        .zip(classes().skip(1))
        .filter(|(one, next)| one != next && *next == b'0')
        .count();
    let mixed = small > 0 && capital > 0 && turns * 3 >= word.len();
    let long_mixed = word.len() >= MIN_HEX && turns * 20 >= word.len() * 9;
    word.len() >= MIN && mixed && (into_digits >= 2 || long_mixed)
}

/// Whether a word with `/` or `+` in it is no path.
fn looks_like_base64(word: &str, padded: bool) -> bool {
    let class_of = |wanted: u8| {
        word.bytes()
            .any(|byte| byte.is_ascii_alphanumeric() && class(byte) == wanted)
    };
    let aws = word.len() == AWS
        && class_of(b'a')
        && class_of(b'A')
        && class_of(b'0')
        && turns(word) >= MIN_TURNS;
    aws || ((padded || word.contains('+')) && looks_random(word))
}

/// How often the class changes from one letter or digit to the next.
fn turns(word: &str) -> usize {
    let classes = || word.bytes().filter(u8::is_ascii_alphanumeric).map(class);
    classes()
        .zip(classes().skip(1))
        .filter(|(one, next)| one != next)
        .count()
}

fn class(byte: u8) -> u8 {
    match byte {
        b'a'..=b'z' => b'a',
        b'A'..=b'Z' => b'A',
        _ => b'0',
    }
}

/// The length of user and password in the URL whose authority `text` begins with; 0 if it has none, or only `git`, as
/// every SSH remote has.
pub fn userinfo(text: &str) -> usize {
    let ends = |c: char| c.is_whitespace() || "\"'`<>".contains(c);
    let near = &text[..text.floor_char_boundary(MAX_URL)];
    let word = &near[..length(near, |c| !ends(c))];
    let authority = &word[..length(word, |c| !"/?#\\".contains(c))];
    let at = authority.rfind('@').or_else(|| {
        // `u:p/w@host`: what follows the colon is no port, so the slash is of the password.
        let port = authority
            .rsplit_once(':')
            .filter(|_| !authority.contains('['))?
            .1;
        let is_port = port.bytes().all(|b| b.is_ascii_digit());
        if is_port { None } else { word.rfind('@') }
    });
    at.filter(|at| &word[..*at] != "git").unwrap_or(0)
}

/// The length of the user in `user@host:path`, as scp writes it, or in `ssh:/user@host/path`. `git` is everyone's.
pub fn user_of_remote(before: &str, text: &str, word: &str) -> Option<usize> {
    let host = text[word.len()..].strip_prefix('@')?;
    let name = &host[..length(host, is_word)];
    let after = &host[name.len()..];
    let is_path =
        |path: &str| path.starts_with(|c: char| c.is_alphanumeric() || "/~.*".contains(c));
    let is_remote = after.strip_prefix(':').is_some_and(is_path)
        || (before.ends_with(":/") && after.starts_with('/'));
    let is_host = !name.is_empty() && !matches!(name, "sha256" | "sha512" | "npm");
    (is_remote && is_host && word != "git").then_some(word.len())
}

/// What an editor's remote authority, with which `text` begins, says of a machine after its kind: `wsl+ubuntu`.
/// It may hold a person's name or a host's folder, also as hexadecimal digits.
pub fn remote(text: &str) -> Option<Range<usize>> {
    let authority = &text[..length(text, |c| is_word(c) || "+@%".contains(c))];
    let kind = authority.find('+')?;
    (authority.len() > kind + 1).then_some(kind + 1..authority.len())
}
