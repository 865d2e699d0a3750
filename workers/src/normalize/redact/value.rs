//! The value of a secret name: `--token X`, `TOKEN=X`, `"token": "X"`, `Token: X`.

use super::names::is_secret_name;
use super::scan::{self, is_word};

/// A value to hide, as bytes from the start of its name.
pub struct Secret {
    /// Its first byte.
    pub start: usize,
    /// The byte after it.
    pub end: usize,
    /// The quote that encloses the value, apart from its own.
    pub quote: Option<char>,
}

/// The value of the name `word`, with which `text` begins, if that name is secret.
pub fn named(text: &str, word: &str, quote: Option<char>) -> Option<Secret> {
    if word.eq_ignore_ascii_case("bearer") && text[word.len()..].starts_with(' ') {
        return secret(text, word.len() + 1, quote, false);
    }
    if !is_secret_name(word) {
        return None;
    }
    // The name may be quoted: `"token": 1`, also inside of a quoted text: `\"token\"`.
    let close = quote_at(&text[word.len()..]);
    let mut inner = quote;
    if close.len() == 1 && quote.is_some_and(|open| close.starts_with(open)) {
        inner = None;
    }
    let after = word.len() + close.len();
    let spaces = scan::length(&text[after..], |c| c == ' ');
    let at = after + spaces;
    let skip = |at: usize| at + scan::length(&text[at..], |c| c == ' ');
    match &text.as_bytes()[at..] {
        [b':' | b'=', b'=' | b'>' | b':', ..] => secret(text, skip(at + 2), inner, false),
        [b':', ..] if is_header(word) => header(text, skip(at + 1), inner),
        [b':', ..] => secret(text, skip(at + 1), inner, true),
        [b'=', ..] => secret(
            text,
            if spaces > 0 { skip(at + 1) } else { at + 1 },
            inner,
            false,
        ),
        // `["--token", "X"]`
        [b',', ..] if word.starts_with('-') && !close.is_empty() => {
            secret(text, skip(at + 1), inner, true)
        }
        _ if word.starts_with('-') && close.is_empty() && spaces > 0 && !is_flag(&text[at..]) => {
            secret(text, at, inner, false)
        }
        _ => None,
    }
}

/// Whether `text` begins with a flag that is secret itself: then the name before it has no value.
fn is_flag(text: &str) -> bool {
    text.starts_with('-') && is_secret_name(&text[..scan::length(text, is_word)])
}

fn is_header(word: &str) -> bool {
    [
        "authorization",
        "proxy-authorization",
        "cookie",
        "set-cookie",
    ]
    .iter()
    .any(|name| word.eq_ignore_ascii_case(name))
}

/// The value of a header with spaces in it: to the end of the quoted text, else a scheme and a word.
fn header(text: &str, start: usize, quote: Option<char>) -> Option<Secret> {
    if let Some(open) = quote {
        let end = start + text[start..].find(open)?;
        return (end > start).then_some(Secret { start, end, quote });
    }
    let first = length(&text[start..], quote, false);
    let scheme = text[start..start + first]
        .bytes()
        .all(|byte| byte.is_ascii_alphabetic());
    let second = match text[start + first..].strip_prefix(' ') {
        Some(rest) if scheme && first > 0 => length(rest, quote, false),
        _ => 0,
    };
    let end = start + first + if second > 0 { 1 + second } else { 0 };
    (end > start).then_some(Secret { start, end, quote })
}

fn secret(text: &str, start: usize, quote: Option<char>, in_list: bool) -> Option<Secret> {
    let end = start + length(&text[start..], quote, in_list);
    (end > start).then_some(Secret { start, end, quote })
}

/// The bytes of the value that `text` begins with: one word of a shell, in which quoted parts may
/// hold anything. It ends with the text that `quote` encloses, `in_list` also before `,` and `}`.
pub fn length(text: &str, quote: Option<char>, in_list: bool) -> usize {
    let limit = quote
        .and_then(|open| end_of_quoted(text, open))
        .unwrap_or(text.len());
    let text = &text[..limit];
    let mut at = 0;
    while let Some(c) = text[at..].chars().next() {
        let opening = quote_at(&text[at..]);
        if !opening.is_empty() {
            let inside = at + opening.len();
            let close = match opening.chars().next() {
                Some(open) if opening.len() == 1 => end_of_quoted(&text[inside..], open),
                _ => text[inside..].find(opening),
            };
            let close = close.map(|close| inside + close + opening.len());
            // Without its other half it ends the value, or, at the start, holds all that follows.
            match close {
                Some(close) => at = close,
                None if at == 0 => return text.len(),
                None => return at,
            }
            continue;
        }
        if c.is_whitespace() || ";|&()<>".contains(c) || (in_list && ",}]".contains(c)) {
            return at;
        }
        at += c.len_utf8();
        if c == '\\' {
            at += text[at..].chars().next().map_or(0, char::len_utf8);
        }
    }
    at
}

/// The place in `text` at which the quote `open` closes.
fn end_of_quoted(text: &str, open: char) -> Option<usize> {
    let escaped = |at: usize| open != '\'' && text[..at].ends_with('\\');
    text.match_indices(open)
        .map(|(at, _)| at)
        .find(|at| !escaped(*at))
}

/// The quote that `text` begins with, also an escaped one; else nothing.
fn quote_at(text: &str) -> &str {
    let length = match text.as_bytes() {
        [b'"' | b'\'' | b'`', ..] => 1,
        [b'\\', b'"', ..] => 2,
        _ => 0,
    };
    &text[..length]
}
