//! The value of a secret name, however it is attached: `--token X`, `TOKEN=X`, `"token": "X"`, `API_KEY X`.

use super::names;
use super::scan::{self, is_word};

/// A name in its text.
pub struct Named<'a> {
    /// The name.
    pub name: &'a str,
    /// The text from the name on.
    pub text: &'a str,
    /// What was written before the name.
    pub before: &'a str,
    /// The quote that encloses the name.
    pub quote: Option<char>,
    /// Whether words are more likely words than values here, as in a commit's message.
    pub in_prose: bool,
    /// Whether a secret name stands before it and has no value yet.
    pub after_secret: bool,
}

/// A value to hide, as bytes from the start of its name.
pub struct Secret {
    /// Its first byte.
    pub start: usize,
    /// The byte after it.
    pub end: usize,
    /// The quote that encloses the value, apart from its own.
    pub quote: Option<char>,
}

/// What a name says of its value.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Says {
    /// It is a secret.
    Secret,
    /// It is the value of the secret name before.
    OfSecret,
    /// It may be one.
    Perhaps,
    /// It is a user's name, and a password if there is a colon.
    User,
}

impl Named<'_> {
    /// The value of the name, if it is to be hidden.
    pub fn secret(&self) -> Option<Secret> {
        let Self { name, text, .. } = *self;
        if name.eq_ignore_ascii_case("bearer") && text[name.len()..].starts_with(' ') {
            return self.at(name.len() + 1, self.quote, false);
        }
        let says = self.says()?;
        let found = self.attached(says)?;
        let value = unquoted(&text[found.start..found.end]);
        let is_hidden = match says {
            Says::Secret | Says::OfSecret => true,
            Says::Perhaps => self.is_weak_secret(value),
            Says::User => value.split_once(':').is_some_and(|(user, password)| {
                let are_numbers = value
                    .bytes()
                    .all(|byte| byte == b':' || byte.is_ascii_digit());
                !user.is_empty() && !password.is_empty() && user != password && !are_numbers
            }),
        };
        is_hidden.then_some(found)
    }

    fn says(&self) -> Option<Says> {
        let name = self.name;
        if names::is_secret_name(name) {
            Some(Says::Secret)
        } else if self.after_secret && names::is_value(name) {
            Some(Says::OfSecret)
        } else if names::is_user(name) {
            Some(Says::User)
        } else if names::is_weak(name) {
            Some(Says::Perhaps)
        } else {
            None
        }
    }

    /// Whether the value of a name that may be a secret's is one; `/p:X` always, but not MSBuild's `/p:A=B`.
    fn is_weak_secret(&self, value: &str) -> bool {
        let is_option = self.name == "p" && self.before.ends_with('/') && !value.contains('=');
        let is_key = names::is_key_name(self.name) && names::is_telling(value);
        is_option || is_key || names::looks_secret(value)
    }

    /// The value that is attached to the name in one of the known ways.
    fn attached(&self, says: Says) -> Option<Secret> {
        let Self { name, text, .. } = *self;
        // The name may be quoted: `"token": 1`, also inside of a quoted text: `\"token\"`.
        let close = quote_at(&text[name.len()..]);
        let mut inner = self.quote;
        if close.len() == 1 && self.quote.is_some_and(|open| close.starts_with(open)) {
            inner = None;
        }
        let after = name.len() + close.len();
        let spaces = scan::length(&text[after..], |c| c == ' ');
        let at = after + spaces;
        let skip = |at: usize| at + scan::length(&text[at..], |c| c == ' ');
        match &text.as_bytes()[at..] {
            [b':' | b'=', b'=' | b'>' | b':', ..] => self.at(skip(at + 2), inner, false),
            [b':', ..] if is_header(name) => self.header(skip(at + 1), inner),
            [b':', ..] => self.at(skip(at + 1), inner, true),
            [b'=', ..] => self.at(if spaces > 0 { skip(at + 1) } else { at + 1 }, inner, false),
            // `<password>X</password>`
            [b'>', ..] if self.before.ends_with('<') => {
                let end = at + 1 + scan::length(&text[at + 1..], |c| c != '<');
                (end > at + 1).then_some(Secret {
                    start: at + 1,
                    end,
                    quote: inner,
                })
            }
            // `["--token", "X"]`, `SetEnvironmentVariable("API_KEY", "X")`
            [b',', ..]
                if !close.is_empty() && (name.starts_with('-') || names::is_identifier(name)) =>
            {
                let found = self.at(skip(at + 1), inner, true)?;
                let names_another = text[..found.end].ends_with(':')
                    || text[found.end..].trim_start().starts_with(':');
                (!names_another).then_some(found)
            }
            _ if spaces > 0 => self
                .spaced(says, at, inner)
                .filter(|_| close.is_empty() || inner.is_none()),
            _ => None,
        }
    }

    /// The next word, if it is the value: always after a flag, else after names and before values that leave no doubt.
    fn spaced(&self, says: Says, at: usize, quote: Option<char>) -> Option<Secret> {
        let Self { name, text, .. } = *self;
        let is_flag = name.starts_with('-') || self.before.ends_with(" /");
        if is_flag {
            let next_is_secret_flag = text[at..].starts_with('-')
                && names::is_secret_name(&text[at..at + scan::length(&text[at..], is_word)]);
            return if next_is_secret_flag {
                None
            } else {
                self.at(at, quote, false)
            };
        }
        let found = self.at(at, quote, false).filter(|_| says == Says::Secret)?;
        let value = unquoted(&text[found.start..found.end]);
        let by_name = !self.in_prose && names::is_identifier(name) && names::may_be_value(value);
        let by_value = names::ends_secret(name)
            && if self.in_prose {
                names::looks_secret(value)
            } else {
                names::is_telling(value)
            };
        (by_name || by_value).then_some(found)
    }

    /// The value of a header with spaces in it: to the end of the quoted text, else a scheme and a word, or cookies.
    fn header(&self, start: usize, quote: Option<char>) -> Option<Secret> {
        let text = self.text;
        if let Some(open) = quote
            && let Some(end) = end_of_quoted(&text[start..], open)
        {
            let end = start + end;
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
        let mut end = start + first + if second > 0 { 1 + second } else { 0 };
        // `Cookie: a=b; c=d`
        while let Some(rest) = text[end..].strip_prefix("; ") {
            let more = length(rest, quote, false);
            if !rest[..more].contains('=') {
                break;
            }
            end += 2 + more;
        }
        (end > start).then_some(Secret { start, end, quote })
    }

    fn at(&self, start: usize, quote: Option<char>, in_list: bool) -> Option<Secret> {
        let end = start + length(&self.text[start..], quote, in_list);
        (end > start).then_some(Secret { start, end, quote })
    }
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

/// A value without the quotes around it.
pub fn unquoted(value: &str) -> &str {
    let value = value
        .strip_prefix('$')
        .filter(|rest| rest.starts_with('\''))
        .unwrap_or(value);
    let quote = quote_at(value);
    if quote.is_empty() || value.len() < 2 * quote.len() {
        return value;
    }
    value[quote.len()..].strip_suffix(quote).unwrap_or(value)
}

/// Whether a value says only where the secret is: `$TOKEN`, `"${TOKEN}"`, `$(cmd)`, `%TOKEN%`, `Bearer $TOKEN`. Within
/// single quotes a shell reads no variable.
pub fn is_reference(value: &str) -> bool {
    if value.starts_with('\'') {
        return false;
    }
    // Of a header, what follows the scheme; of a user with a password, the password.
    let last = unquoted(value)
        .rsplit([' ', ':'])
        .next()
        .unwrap_or_default();
    let is_variable = |rest: &str| {
        rest.starts_with(|c: char| c.is_ascii_alphabetic() || matches!(c, '_' | '{' | '('))
    };
    let of_windows = last
        .strip_prefix('%')
        .and_then(|rest| rest.strip_suffix('%'));
    // Of `$(cmd)` a value is the first sign alone.
    last == "$"
        || last.strip_prefix('$').is_some_and(is_variable)
        || of_windows.is_some_and(is_variable)
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
                // `$'it\'s'`
                Some('\'') if text[..at].ends_with('$') => end_of(&text[inside..], '\'', true),
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
    end_of(text, open, open != '\'')
}

/// The place in `text` at which `open` stands, not after an odd number of backslashes if these escape it.
fn end_of(text: &str, open: char, escapes: bool) -> Option<usize> {
    let is_escaped = |at: usize| {
        let backslashes = text[..at]
            .bytes()
            .rev()
            .take_while(|byte| *byte == b'\\')
            .count();
        escapes && backslashes % 2 == 1
    };
    text.match_indices(open)
        .map(|(at, _)| at)
        .find(|at| !is_escaped(*at))
}

/// The quote that `text` begins with, also an escaped one, as within a quoted text; else nothing.
pub fn quote_at(text: &str) -> &str {
    let backslashes = text
        .bytes()
        .take(MAX_ESCAPES)
        .take_while(|byte| *byte == b'\\')
        .count();
    let length = match (backslashes, text.as_bytes().get(backslashes)) {
        (0, Some(b'"' | b'\'' | b'`')) => 1,
        (1.., Some(b'"')) if backslashes % 2 == 1 => backslashes + 1,
        _ => 0,
    };
    &text[..length]
}

/// So many backslashes at most escape a quote: of a text quoted thrice.
const MAX_ESCAPES: usize = 8;
