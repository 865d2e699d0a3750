//! One pass over a text after the other.

use super::names::{Follows, ShortFlag};
use super::scan::{is_word, length};
use super::value::Named;
use super::{commands, formats, home, names, token, value};
use crate::normalize::{location, text};

/// Replaces what was hidden.
pub const REDACTED: &str = "***";

/// Longest text that is read, in bytes; the rest of a longer one is dropped.
pub const MAX_READ: usize = 16 * 1024;
/// Most passes: a bound, should two rules ever undo each other.
const MAX_PASSES: usize = 8;
/// Flags whose values are sentences.
const MESSAGES: &[&str] = &[
    "-m",
    "-am",
    "--message",
    "--title",
    "--body",
    "--notes",
    "--description",
    "--comment",
    "--subject",
];

/// A text without secrets and home folders.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Redacted {
    pub text: String,
    /// How many secrets were replaced. Not counted is what is hidden without being one: home folders and users, a mark
    /// `***` that was there already, a variable (`$TOKEN`), and a hash of git's lengths.
    pub secrets: u32,
}

/// `raw` without control characters, secrets and home folders, each replaced by `***`.
///
/// Secrets are: values of secret names, however they are attached; short flags and arguments of known programs
/// (`mysql -pX`, `vault login X`), what is piped into those that read a secret; user and password in URLs; PEM blocks;
/// keys of known forms (AWS, GitHub, JWT, …); long words that look random.
#[must_use]
pub fn redact(raw: &str) -> String {
    redacted(raw).text
}

/// The same as [`redact`], with the number of secrets.
#[must_use]
pub fn redacted(raw: &str) -> Redacted {
    let mut secrets = 0;
    let text = passes(raw, |text| {
        let text = decode(text, |text| Redactor::pass(text).text);
        let by_command = hide(&text, commands::secrets(&text).into_iter());
        let by_word = Redactor::pass(&by_command.text);
        secrets += by_command.secrets + by_word.secrets;
        by_word.text
    });
    Redacted { text, secrets }
}

/// `raw` without control characters, home folders and the users of URLs: for names, which may look like secrets.
#[must_use]
pub fn hide_homes(raw: &str) -> String {
    passes(raw, |text| Redactor::homes(&decode(text, Redactor::homes)))
}

/// The same as [`redacted`], with at most `max` bytes (at least 3).
#[must_use]
pub fn redacted_head(raw: &str, max: usize) -> Redacted {
    let Redacted { text, secrets } = redacted(raw);
    Redacted {
        text: cut(text, max, redact),
        secrets,
    }
}

/// The same as [`hide_homes`], with at most `max` bytes (at least 3).
#[must_use]
pub fn hide_homes_head(raw: &str, max: usize) -> String {
    cut(hide_homes(raw), max, hide_homes)
}

/// The start of a clean text. Where it is cut, half a mark may be left, or a quote without its other half: it is
/// cleaned again, so that what is kept is clean by itself.
fn cut(mut text: String, max: usize, clean: impl Fn(&str) -> String) -> String {
    for _ in 0..MAX_PASSES {
        if text.len() <= max {
            break;
        }
        text = clean(&text::head(&text, max));
    }
    text::head(&text, max)
}

/// Passes over `raw` until one changes nothing.
fn passes(raw: &str, mut pass: impl FnMut(&str) -> String) -> String {
    let mut text = text::clean(readable(raw));
    for _ in 0..MAX_PASSES {
        let next = pass(&text);
        if next == text {
            break;
        }
        text = next;
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

/// `text` with the words decoded whose `%XX` hide something.
fn decode(text: &str, pass: impl Fn(&str) -> String) -> String {
    let plain = |byte: u8| !(byte <= b' ' || byte == 0x7f || b"\"'`".contains(&byte));
    let mut out = String::with_capacity(text.len());
    for word in text.split_inclusive(char::is_whitespace) {
        let decoded = || Some(location::decoded(word, plain)).filter(|decoded| decoded != word);
        let hides = |decoded: &String| pass(decoded) != *decoded;
        match word.contains('%').then(decoded).flatten().filter(hides) {
            Some(decoded) => out.push_str(&text::clean(&decoded)),
            None => out.push_str(word),
        }
    }
    out
}

/// `text` with what lies in `ranges` hidden, but the quotes around it.
fn hide(text: &str, ranges: impl Iterator<Item = std::ops::Range<usize>>) -> Redacted {
    let mut redactor = Redactor::new(text);
    for range in ranges {
        redactor.copy(range.start - redactor.at);
        redactor.hide_value(range.end - range.start);
    }
    redactor.copy(text.len() - redactor.at);
    redactor.done()
}

struct Redactor<'a> {
    text: &'a str,
    /// The next byte to read.
    at: usize,
    out: String,
    /// Secrets that were hidden.
    secrets: u32,
    /// The quote that encloses the place.
    quote: Option<char>,
    /// The short flags of the program whose arguments are read.
    program: Option<&'static [ShortFlag]>,
    /// Whether that program searches or opens its arguments.
    reads: bool,
    /// Whether the quoted text is a message.
    in_message: bool,
    /// Whether a secret name of the command has no value yet.
    after_secret: bool,
}

impl<'a> Redactor<'a> {
    fn new(text: &'a str) -> Self {
        Self {
            text,
            at: 0,
            out: String::with_capacity(text.len()),
            secrets: 0,
            quote: None,
            program: None,
            reads: false,
            in_message: false,
            after_secret: false,
        }
    }

    /// The text after one pass for home folders and users alone.
    fn homes(text: &str) -> String {
        let mut redactor = Redactor::new(text);
        while let Some(c) = redactor.rest().chars().next() {
            if redactor.home() {
            } else if redactor.rest().starts_with("://") {
                redactor.copy(3);
                redactor.authority();
            } else if let Some(user) = redactor.user_of_remote(c) {
                redactor.hide(user);
            } else {
                redactor.copy(c.len_utf8());
            }
        }
        redactor.out
    }

    /// The length of a remote user that begins here.
    fn user_of_remote(&self, c: char) -> Option<usize> {
        let begins = is_word(c) && !self.out.ends_with(is_word);
        let rest = self.rest();
        begins.then(|| token::user_of_remote(&self.out, rest, &rest[..length(rest, is_word)]))?
    }

    /// The text after one pass.
    fn pass(text: &str) -> Redacted {
        let mut redactor = Redactor::new(text);
        while redactor.at < redactor.text.len() {
            redactor.step();
        }
        redactor.done()
    }

    fn done(self) -> Redacted {
        Redacted {
            text: self.out,
            secrets: self.secrets,
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
        if self.home() {
        } else if self.rest().starts_with("://") {
            self.copy(3);
            self.authority();
        } else if let Some(block) =
            formats::block(self.rest()).or_else(|| formats::address(self.rest()))
        {
            self.copy(block.start);
            self.hide_secret(block.end - block.start);
        } else if is_word(c) && !self.out.ends_with(is_word) {
            self.word();
        } else {
            self.mark(c);
        }
    }

    /// Hides user and password of a URL, and what an editor's remote authority says of a machine.
    fn authority(&mut self) {
        let user = token::userinfo(self.rest());
        if user > 0 {
            self.hide_user(user);
        } else if let Some(machine) = token::remote(self.rest()) {
            self.copy(machine.start);
            self.hide(machine.end - machine.start);
        }
    }

    /// Hides the home folder that begins here; whether there is one.
    fn home(&mut self) -> bool {
        let Some(length) = home::folder(&self.out, self.rest(), self.quote) else {
            return false;
        };
        self.hide(length);
        true
    }

    /// A character that is in no word: a quote may open or close, a command end.
    fn mark(&mut self, c: char) {
        let before = self.out.chars().next_back();
        let is_escaped = before == Some('\\') && self.quote != Some('\'');
        match (c, self.quote) {
            ('"' | '\'' | '`', Some(open)) if open == c && !is_escaped => {
                self.quote = None;
                self.in_message = false;
            }
            // An apostrophe within a word opens nothing.
            ('"' | '\'' | '`', None) if !is_escaped && before.is_none_or(|c| !is_word(c)) => {
                self.quote = Some(c);
                self.in_message = follows_message(&self.out);
            }
            (';' | '|' | '(' | '&', None) => self.end_command(),
            (';' | '|' | '(', _) => self.program = None,
            _ => {}
        }
        self.copy(c.len_utf8());
    }

    fn end_command(&mut self) {
        self.program = None;
        self.reads = false;
        self.after_secret = false;
    }

    fn word(&mut self) {
        let word = &self.rest()[..length(self.rest(), is_word)];
        let named = Named {
            name: word,
            text: self.rest(),
            before: &self.out,
            quote: self.quote,
            in_prose: self.in_message || self.reads,
            after_secret: self.after_secret,
        };
        if let Some(secret) = named.secret() {
            self.copy(secret.start);
            if secret.quote != self.quote {
                self.in_message = false;
            }
            self.quote = secret.quote;
            self.hide_value(secret.end - secret.start);
            self.after_secret = false;
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
            if token::is_git_hash(&self.rest()[..length]) {
                self.hide(length);
            } else {
                self.hide_secret(length);
            }
        } else if let Some(length) = token::user_of_remote(&self.out, self.rest(), word) {
            self.hide(length);
        } else {
            self.plain(word);
        }
    }

    /// A word that is shown, and what it says of those after it.
    fn plain(&mut self, word: &str) {
        let is_first = {
            let before = self.out.trim_end();
            before.is_empty() || before.ends_with([';', '|', '&', '(']) || before.ends_with("sudo")
        };
        self.after_secret |= !self.in_message && names::ends_secret(word);
        if is_first && self.quote.is_none() {
            self.reads = names::is_reader(word);
        }
        self.copy(word.len());
        if !self.rest().starts_with("://") {
            self.program = names::program(word).or(self.program);
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
            if letters.starts_with(flag.letter)
                && matches!(flag.follows, Follows::Attached | Follows::Both)
            {
                let more = letters.len() > flag.letter.len() || !spaced;
                if more && self.rest().len() > 1 + flag.letter.len() {
                    return Some((1 + flag.letter.len(), true));
                }
            }
            let grouped =
                letters.ends_with(flag.letter) && letters.bytes().all(|b| b.is_ascii_alphabetic());
            let follows = match flag.follows {
                Follows::Attached => false,
                Follows::Alone => letters == flag.letter,
                Follows::Both => grouped,
            };
            (follows && spaced).then_some((word.len(), false))
        })
    }

    /// Hides a value, but keeps the quotes around it.
    fn hide_value(&mut self, length: usize) {
        let value = &self.rest()[..length];
        let quote = value::quote_at(value);
        let is_around = value.len() >= 2 * quote.len() && value.ends_with(quote);
        let around = if is_around { quote } else { "" };
        self.out.push_str(around);
        self.hide_secret(length);
        self.out.push_str(around);
    }

    /// Hides user and password of a URL. A user alone is a name, unless it looks like a token.
    fn hide_user(&mut self, length: usize) {
        let user = &self.rest()[..length];
        let has_password = user
            .split_once(':')
            .is_some_and(|(_, password)| !password.is_empty());
        if has_password || token::random(user).is_some() {
            self.hide_secret(length);
        } else {
            self.hide(length);
        }
    }

    /// Hides a secret, and counts it unless it was hidden before or is only referred to.
    fn hide_secret(&mut self, length: usize) {
        let secret = &self.rest()[..length];
        self.secrets += u32::from(!is_hidden(secret) && !value::is_reference(secret));
        self.hide(length);
    }

    fn hide(&mut self, length: usize) {
        if length > 0 {
            if !self.out.ends_with(REDACTED) {
                self.out.push_str(REDACTED);
            }
            self.at += length;
        }
    }

    fn copy(&mut self, length: usize) {
        self.out.push_str(&self.rest()[..length]);
        self.at += length;
    }
}

/// Whether it holds nothing that was not hidden before: only stars, or a secret with a part that another pass hid.
fn is_hidden(secret: &str) -> bool {
    secret.contains(REDACTED) || value::unquoted(secret).bytes().all(|byte| byte == b'*')
}

/// Whether a message can begin after `before`.
fn follows_message(before: &str) -> bool {
    let flag = before
        .trim_end_matches([' ', '='])
        .rsplit(' ')
        .next()
        .unwrap_or_default();
    flag.len() < before.len() && MESSAGES.contains(&flag)
}
