//! Secrets that only a command's form gives away: `vault login X`, `echo X | docker login --password-stdin`, `<<< X`.

use std::ops::Range;

use super::names::{is_secret_name, is_telling, may_be_value};
use super::value;

/// Commands whose arguments are secrets from the given one on, counted from 1; flags do not count.
const COMMANDS: &[(&str, usize)] = &[
    ("vault login", 1),
    ("vault unwrap", 1),
    ("vault operator unseal", 1),
    ("vault token lookup", 1),
    ("vault token renew", 1),
    ("vault token revoke", 1),
    ("cargo login", 1),
    ("wandb login", 1),
    ("snyk auth", 1),
    ("ngrok authtoken", 1),
    ("ngrok config add-authtoken", 1),
    ("openssl passwd", 1),
    ("poetry config", 3),
    ("mysqladmin password", 1),
    ("bw unlock", 1),
    ("bw login", 2),
    ("net user", 2),
    ("net use", 2),
    ("smbclient", 1),
    ("ansible-vault encrypt_string", 1),
    ("rabbitmqctl add_user", 2),
    ("rabbitmqctl change_password", 2),
    ("rabbitmqctl authenticate_user", 2),
    ("htpasswd", 2),
    ("dotnet user-secrets set", 2),
    ("pulumi config set", 2),
    ("wpa_passphrase", 2),
    ("ConvertTo-SecureString", 1),
    ("sqlplus", 1),
    ("IDENTIFIED BY", 1),
    ("identified by", 1),
];
/// Commands and subcommands that read a secret from standard input.
const READERS: &[&str] = &[
    "chpasswd",
    "smbpasswd",
    "login",
    "unlock",
    "cryptsetup",
    "ssh-add",
    "kinit",
];
/// The same, but as arguments they are something else.
const FIRST_READERS: &[&str] = &["pass", "passwd", "su"];
/// What writes its arguments to standard output.
const WRITERS: &[&str] = &[
    "echo",
    "printf",
    "print",
    "Write-Output",
    "Write-Host",
    "cat",
];
/// What one does with a secret that is given by name.
const VERBS: &[&str] = &[
    "set", "put", "add", "create", "new", "insert", "write", "update",
];
/// Flags with a value that says where and as whom.
const ADDRESSES: &[&str] = &["-u", "-h", "-H", "-P"];
/// Most commands of a pipe before the one that reads.
const MAX_STAGES: usize = 8;
/// Deepest nesting of commands in quotes.
const MAX_DEPTH: usize = 3;

/// A word of a command line.
struct Word<'a> {
    range: Range<usize>,
    /// The word without its quotes.
    text: &'a str,
}

/// What stands before a command.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Before {
    /// Nothing, or the end of another command.
    Nothing,
    /// What it reads comes from the command before.
    Pipe,
    /// It is a part of the command before: `$(…)`, `<(…)`.
    Parenthesis,
}

/// One simple command.
struct Command<'a> {
    before: Before,
    words: Vec<Word<'a>>,
}

/// The places of the secrets, rising, none in another.
pub fn secrets(text: &str) -> Vec<Range<usize>> {
    let mut found = Vec::new();
    find(text, 0, 0, &mut found);
    found.sort_by_key(|range| (range.start, range.end));
    let mut end = 0;
    found.retain(|range| {
        let is_next = range.start >= end;
        end = end.max(range.end);
        is_next
    });
    found
}

/// Finds those of the commands in `text`, which begins at `offset`.
fn find(text: &str, offset: usize, depth: usize, found: &mut Vec<Range<usize>>) {
    let commands = commands(text);
    for (at, command) in commands.iter().enumerate() {
        let mut hide = |range: Range<usize>| {
            if is_hidable(value::unquoted(&text[range.clone()])) {
                found.push(offset + range.start..offset + range.end);
            }
        };
        command.arguments(&mut hide);
        command.here_strings(text, &mut hide);
        if command.fills_a_secret_file() {
            command.written(&mut hide);
        }
        if command.reads_a_secret() {
            piped(&commands[..=at], &mut hide);
        }
        let outer = at.checked_sub(1).map(|before| &commands[before]);
        if command.before == Before::Parenthesis && outer.is_some_and(Command::names_a_secret) {
            command.written(&mut hide);
        }
        for word in command.words.iter().filter(|_| depth < MAX_DEPTH) {
            let inner = word.range.start + text[word.range.clone()].find(word.text).unwrap_or(0);
            if word.text.len() < word.range.len() && word.text.contains(' ') {
                find(word.text, offset + inner, depth + 1, found);
            }
        }
    }
}

/// What the commands that are piped into the last of `commands` write.
fn piped(commands: &[Command<'_>], hide: &mut impl FnMut(Range<usize>)) {
    for pair in commands.windows(2).rev().take(MAX_STAGES) {
        let [writer, reader] = pair else { break };
        if reader.before != Before::Pipe {
            break;
        }
        writer.written(hide);
    }
}

impl Command<'_> {
    /// The arguments that [`COMMANDS`] names, and the values that are given to a `secret set`.
    fn arguments(&self, hide: &mut impl FnMut(Range<usize>)) {
        let plain = self.plain();
        for (command, first) in COMMANDS {
            let mut names = command.split(' ');
            let is_first = |word: &&Word<'_>| {
                file_name(word.text) == command.split(' ').next().unwrap_or_default()
            };
            let Some(at) = plain.iter().position(is_first) else {
                continue;
            };
            let length = command.split(' ').count();
            let same = plain[at..]
                .iter()
                .zip(names.by_ref())
                .all(|(word, name)| file_name(word.text) == name);
            if same && plain.len() >= at + length {
                for word in plain[at + length..]
                    .iter()
                    .skip(first - 1)
                    .filter(|word| may_be_value(word.text))
                {
                    hide(word.range.clone());
                }
            }
        }
        if self.sets_a_secret() {
            for word in &self.words {
                // `NAME=X`, `--from-literal=NAME=X`
                if let Some((name, value)) = word
                    .text
                    .rsplit_once('=')
                    .filter(|(name, _)| !name.ends_with('='))
                {
                    let is_plain = word.text.len() == word.range.len()
                        && !name.is_empty()
                        && !value.is_empty();
                    let about = ["type", "name", "file", "namespace"]
                        .iter()
                        .any(|end| name.ends_with(end));
                    if is_plain && !about {
                        hide(word.range.end - value.len()..word.range.end);
                    }
                }
            }
        }
    }

    /// The words that are neither flags nor the values of common ones.
    fn plain(&self) -> Vec<&Word<'_>> {
        let mut takes_value = false;
        let is_plain = |word: &&Word<'_>| {
            let is_value = std::mem::replace(&mut takes_value, ADDRESSES.contains(&word.text));
            !is_value && !word.text.starts_with('-')
        };
        self.words.iter().filter(is_plain).collect()
    }

    /// What follows `<<<`; of an own document (`<<EOF`) all up to its end, if the command reads a secret.
    fn here_strings(&self, text: &str, hide: &mut impl FnMut(Range<usize>)) {
        let reads_a_secret = self.reads_a_secret();
        for pair in self.words.windows(2) {
            let [mark, word] = pair else { continue };
            if mark.text == "<<<" && (reads_a_secret || is_telling(word.text)) {
                hide(word.range.clone());
            }
            if matches!(mark.text, "<<" | "<<-") && reads_a_secret && !word.text.is_empty() {
                let start = word.range.end;
                if let Some(length) = text[start..].find(word.text).filter(|length| *length > 1) {
                    let body = &text[start..start + length];
                    let trimmed = body.trim();
                    let from = start + body.find(trimmed).unwrap_or(0);
                    if !trimmed.is_empty() {
                        hide(from..from + trimmed.len());
                    }
                }
            }
        }
    }

    /// The arguments of `echo` and the like, or PowerShell's `"X" |`.
    fn written(&self, hide: &mut impl FnMut(Range<usize>)) {
        let Some(first) = self.words.first() else {
            return;
        };
        let is_text = self.words.len() == 1 && first.text.len() < first.range.len();
        let skipped = match (WRITERS.contains(&file_name(first.text)), is_text) {
            (true, _) => 1,
            (false, true) => 0,
            (false, false) => return,
        };
        for word in &self.words[skipped..] {
            let is_format =
                word.text.starts_with('-') || (word.text.starts_with('%') && word.text.len() <= 4);
            let is_file = file_name(first.text) == "cat";
            if !is_format && !is_file {
                hide(word.range.clone());
            }
        }
    }

    /// `echo X > .vault-token`
    fn fills_a_secret_file(&self) -> bool {
        let named = |pair: &[Word<'_>]| {
            let [mark, file] = pair else { return false };
            let name = file_name(file.text);
            let stem = name
                .rsplit_once('.')
                .map_or(name, |(stem, _)| if stem.is_empty() { name } else { stem });
            matches!(mark.text, ">" | ">>") && is_secret_name(stem)
        };
        self.words.windows(2).any(named)
    }

    fn reads_a_secret(&self) -> bool {
        let has = |fits: &dyn Fn(&str) -> bool| self.words.iter().any(|word| fits(word.text));
        let first = self.words.iter().find(|word| word.text != "sudo");
        has(&|word| READERS.contains(&file_name(word)))
            || first.is_some_and(|word| FIRST_READERS.contains(&file_name(word.text)))
            || has(&|word| word.starts_with('-') && word.ends_with("stdin"))
            || has(&|word| word.starts_with("--passphrase-fd") || word.starts_with("--with-token"))
            || (has(&|word| file_name(word) == "sudo") && has(&|word| is_short(word, 'S')))
            || self.sets_a_secret()
    }

    /// `gh secret set`, `kubectl create secret`, `fly secrets:set`.
    fn sets_a_secret(&self) -> bool {
        let mut parts = self
            .words
            .iter()
            .filter(|word| !word.text.contains('='))
            .flat_map(|word| word.text.split(':'));
        let is_secret = |part: &str| matches!(part, "secret" | "secrets" | "user-secrets" | "kv");
        let verb = parts.clone().any(|part| VERBS.contains(&part));
        verb && parts.any(is_secret)
    }

    fn names_a_secret(&self) -> bool {
        self.words.iter().any(|word| {
            let name = word.text.trim_end_matches(['=', '$']);
            let known = ["-file", "_file", "-stdin"]
                .iter()
                .find_map(|end| name.strip_suffix(end));
            is_secret_name(known.unwrap_or(name))
        })
    }
}

/// The simple commands of a line.
fn commands(text: &str) -> Vec<Command<'_>> {
    let mut commands = vec![Command {
        before: Before::Nothing,
        words: Vec::new(),
    }];
    let mut at = 0;
    while let Some(c) = text[at..].chars().next() {
        let next = match c {
            '|' if text[at..].starts_with("||") => Some((Before::Nothing, 2)),
            '|' => Some((Before::Pipe, 1)),
            '(' => Some((Before::Parenthesis, 1)),
            ';' | '&' | ')' => Some((Before::Nothing, 1)),
            _ => None,
        };
        if let Some((before, length)) = next {
            commands.push(Command {
                before,
                words: Vec::new(),
            });
            at += length;
            continue;
        }
        let length = match c {
            '<' | '>' => text[at..]
                .find(|c| c != '<' && c != '>' && c != '-')
                .unwrap_or(text.len() - at),
            c if c.is_whitespace() => {
                at += c.len_utf8();
                continue;
            }
            _ => value::length(&text[at..], None, false).max(c.len_utf8()),
        };
        let range = at..at + length;
        at += length;
        if let Some(last) = commands.last_mut() {
            let text = value::unquoted(&text[range.clone()]);
            last.words.push(Word { range, text });
        }
    }
    commands
}

/// Whether a word is worth hiding: neither hidden already nor a variable.
fn is_hidable(value: &str) -> bool {
    !value.is_empty() && !value.starts_with('$') && !value.bytes().all(|byte| byte == b'*')
}

/// Whether a group of short flags has one.
fn is_short(word: &str, flag: char) -> bool {
    word.strip_prefix('-')
        .is_some_and(|flags| !flags.starts_with('-') && flags.contains(flag))
}

fn file_name(path: &str) -> &str {
    let name = path.rsplit(['/', '\\']).next().unwrap_or(path);
    name.strip_suffix(".exe").unwrap_or(name)
}
