//! One pass over a text after the other.

use super::names::ShortFlag;
use super::scan::{is_word, length};
use super::{home, names, token, value};
use crate::normalize::text;

/// Replaces what was hidden.
pub const REDACTED: &str = "***";

/// Longest text that is read, in bytes; the rest of a longer one is dropped.
const MAX_READ: usize = 16 * 1024;
/// Most passes: a bound, should two rules ever undo each other.
const MAX_PASSES: usize = 8;

/// `raw` without control characters, secrets and home folders, each replaced by `***`.
///
/// Secrets are: values of names such as `--password X`, `TOKEN=X`, `"apiKey": "X"`, `Authorization: X`;
/// short flags of known programs (`mysql -pX`, `curl -u X`); user and password in URLs; keys of
/// known forms (AWS, GitHub, JWT, …); long words that look random.
#[must_use]
pub fn redact(raw: &str) -> String {
    let mut text = text::clean(readable(raw));
    for _ in 0..MAX_PASSES {
        let mut redactor = Redactor::new(&text);
        while redactor.at < redactor.text.len() {
            redactor.step();
        }
        if redactor.out == text {
            break;
        }
        text = redactor.out;
    }
    text
}

/// The start of `text` that is read: up to the end of a word, because half a secret cannot be recognised.
fn readable(text: &str) -> &str {
    if text.len() <= MAX_READ {
        return text;
    }
    let start = &text[..text.floor_char_boundary(MAX_READ)];
    start
        .rsplit_once(|c: char| c.is_whitespace() || c.is_control())
        .map_or("", |(whole, _)| whole)
}

struct Redactor<'a> {
    text: &'a str,
    /// The next byte to read.
    at: usize,
    out: String,
    /// The quote that encloses the place.
    quote: Option<char>,
    /// The short flags of the program whose arguments are read.
    program: Option<&'static [ShortFlag]>,
}

impl<'a> Redactor<'a> {
    fn new(text: &'a str) -> Self {
        Self {
            text,
            at: 0,
            out: String::with_capacity(text.len()),
            quote: None,
            program: None,
        }
    }

    fn rest(&self) -> &'a str {
        &self.text[self.at..]
    }

    /// Reads and writes the next word or character.
    fn step(&mut self) {
        let Some(c) = self.rest().chars().next() else {
            return;
        };
        if let Some(length) = home::folder(&self.out, self.rest(), self.quote) {
            self.hide(length);
        } else if self.rest().starts_with("://") {
            self.copy(3);
            let authority = token::userinfo(self.rest());
            self.hide(authority);
        } else if is_word(c) && !self.out.ends_with(is_word) {
            self.word();
        } else {
            self.mark(c);
        }
    }

    /// A character that is in no word: a quote may open or close, a command end.
    fn mark(&mut self, c: char) {
        let before = self.out.chars().next_back();
        let is_escaped = before == Some('\\') && self.quote != Some('\'');
        match (c, self.quote) {
            ('"' | '\'' | '`', Some(open)) if open == c && !is_escaped => self.quote = None,
            // An apostrophe within a word opens nothing.
            ('"' | '\'' | '`', None) if !is_escaped && before.is_none_or(|c| !is_word(c)) => {
                self.quote = Some(c);
            }
            (';' | '|' | '(', _) => self.program = None,
            _ => {}
        }
        self.copy(c.len_utf8());
    }

    fn word(&mut self) {
        let word = &self.rest()[..length(self.rest(), is_word)];
        if let Some(secret) = value::named(self.rest(), word, self.quote) {
            self.copy(secret.start);
            self.quote = secret.quote;
            self.hide_value(secret.end - secret.start);
        } else if let Some((flag, attached)) = self.short_flag(word) {
            self.copy(flag);
            let start = if attached {
                0
            } else {
                length(self.rest(), |c| c == ' ')
            };
            self.copy(start);
            self.hide_value(value::length(self.rest(), self.quote, false));
        } else if let Some(length) = token::random(self.rest()) {
            self.hide(length);
        } else {
            self.program = names::program(word).or(self.program);
            self.copy(word.len());
        }
    }

    /// The length of a short flag that a secret follows, and whether it does at once.
    fn short_flag(&self, word: &str) -> Option<(usize, bool)> {
        let letters = word
            .strip_prefix('-')
            .filter(|rest| !rest.starts_with('-'))?;
        let own_word = self
            .out
            .chars()
            .next_back()
            .is_none_or(|c| !c.is_alphanumeric() && c != '*');
        self.program.filter(|_| own_word)?.iter().find_map(|flag| {
            let spaced = self.rest()[word.len()..].starts_with(' ');
            if letters.starts_with(flag.letter) && flag.attached {
                let more = letters.len() > 1 || !self.rest()[word.len()..].starts_with([' ']);
                if more && self.rest().len() > 2 {
                    return Some((2, true));
                }
            }
            let grouped =
                letters.ends_with(flag.letter) && letters.bytes().all(|b| b.is_ascii_alphabetic());
            (flag.spaced && grouped && spaced).then_some((word.len(), false))
        })
    }

    /// Hides a value, but keeps the quotes around it.
    fn hide_value(&mut self, length: usize) {
        let value = &self.rest()[..length];
        let around = ["\\\"", "\"", "'", "`"].into_iter().find(|quote| {
            value.len() >= 2 * quote.len() && value.starts_with(quote) && value.ends_with(quote)
        });
        let around = around.unwrap_or_default();
        self.out.push_str(around);
        self.hide(length);
        self.out.push_str(around);
    }

    fn hide(&mut self, length: usize) {
        if length > 0 {
            self.out.push_str(REDACTED);
            self.at += length;
        }
    }

    fn copy(&mut self, length: usize) {
        self.out.push_str(&self.rest()[..length]);
        self.at += length;
    }
}
