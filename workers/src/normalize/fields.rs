//! The data of each event type: which members it has, and how each is cleaned.

use std::collections::HashMap;
use std::sync::LazyLock;

use serde_json::{Map, Value};

use super::redact::Redacted;
use super::{path, redact};

/// Longest text, in bytes.
const MAX_TEXT: usize = 4096;
/// Longest name or hash, in bytes.
const MAX_WORD: usize = 1024;
/// Longest name of a member, in bytes.
const MAX_NAME: usize = 128;
/// Most elements of a list or members of an object.
const MAX_LEN: usize = 200;
/// Deepest nesting of members that no schema knows.
const MAX_DEPTH: usize = 8;
/// Most bytes of texts in one record's data: room for every known text, and then for lists and others.
const MAX_DATA: usize = 64 * 1024;
/// Most bytes of texts that are read for one record's data: a text may be far longer than what is left of it.
const MAX_READ: usize = 256 * 1024;
/// The largest integer that every reader of JSON holds (RFC 8259, section 6).
const MAX_INTEGER: f64 = 9_007_199_254_740_991.0;

/// What a member is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum FieldKind {
    /// A count or duration: an integer from 0.
    Count,
    /// An integer of either sign.
    Integer,
    /// True or false.
    Flag,
    /// A name or a hash: what looks random in it means something. Only home folders are removed.
    Name,
    /// Free text, such as a command line: secrets and home folders are removed.
    Text,
    /// A path.
    Path,
    /// A list of texts.
    Texts,
    /// A list of paths.
    Paths,
    /// A field of the record itself, which is made of the data as it was sent.
    InRecord,
}

/// The members of contract schema 1.0 and 1.1 and one more, whatever the type: one name means one thing.
const FIELDS: &[(&str, FieldKind)] = &[
    ("branch", FieldKind::Name),
    ("category", FieldKind::InRecord),
    ("chars", FieldKind::Count),
    ("chars_added", FieldKind::Count),
    ("chars_removed", FieldKind::Count),
    ("command", FieldKind::Text),
    ("commit", FieldKind::Name),
    ("commits", FieldKind::Count),
    ("committed_at", FieldKind::Name),
    ("cursor", FieldKind::Count),
    ("cwd", FieldKind::Path),
    ("duration_ms", FieldKind::Count),
    ("editor", FieldKind::InRecord),
    ("entity_type", FieldKind::Name),
    ("errors", FieldKind::Count),
    ("exit_code", FieldKind::Integer),
    ("failed", FieldKind::Count),
    ("files_changed", FieldKind::Count),
    ("first_error", FieldKind::Text),
    ("flaky", FieldKind::Count),
    ("force", FieldKind::Flag),
    ("from", FieldKind::Name),
    ("is_write", FieldKind::Flag),
    ("language", FieldKind::InRecord),
    ("line", FieldKind::Count),
    ("lines", FieldKind::Count),
    ("lines_added", FieldKind::Count),
    ("lines_removed", FieldKind::Count),
    ("model", FieldKind::Name),
    ("outcome", FieldKind::Name),
    ("parents", FieldKind::Count),
    ("passed", FieldKind::Count),
    ("path", FieldKind::InRecord),
    ("project", FieldKind::InRecord),
    ("reason", FieldKind::Text),
    ("remote", FieldKind::Text),
    // Not in the schemas: how many secrets a client masked before it sent the event.
    ("secrets", FieldKind::Count),
    ("shell", FieldKind::Text),
    ("skipped", FieldKind::Count),
    ("target", FieldKind::Text),
    ("to", FieldKind::Name),
    ("tool", FieldKind::Text),
    ("undo", FieldKind::Flag),
    ("warnings", FieldKind::Count),
    ("workspace", FieldKind::Path),
    // Lists last: what they take of the bound is not missing for the others.
    ("failures", FieldKind::Texts),
    ("paths", FieldKind::Paths),
];

/// The place of each name in [`FIELDS`].
static PLACES: LazyLock<HashMap<&str, usize>> = LazyLock::new(|| {
    let names = FIELDS.iter().map(|(name, _)| *name);
    names.zip(0..).collect()
});

/// The entity of a heartbeat, if it is a file's path.
pub fn file_entity<'a>(kind: &str, data: &'a Map<String, Value>) -> Option<&'a str> {
    let is_file =
        kind == "heartbeat" && data.get("entity_type").and_then(Value::as_str) == Some("file");
    data.get("entity").filter(|_| is_file)?.as_str()
}

/// The data of an event, cleaned.
pub struct CleanData {
    pub members: Map<String, Value>,
    /// How many secrets were masked in it.
    pub secrets: u64,
}

/// The data of an event, cleaned: known members first, then others, as far as [`MAX_DATA`] reaches.
///
/// A known member of another type than its schema's, or a number beyond its range, is left out.
pub fn clean(
    kind: &str,
    data: &Map<String, Value>,
    workspace: Option<&str>,
    project: Option<&str>,
) -> CleanData {
    let mut cleaner = Cleaner::new(workspace, project);
    let mut cleaned = Map::new();
    let mut known: Vec<(usize, &Value)> = data
        .iter()
        .filter_map(|(name, value)| Some((*PLACES.get(name.as_str())?, value)))
        .collect();
    known.sort_unstable_by_key(|(place, _)| *place);
    for (place, value) in known {
        let (name, is) = FIELDS[place];
        if let Some(value) = cleaner.known(is, value) {
            cleaned.insert(name.to_owned(), value);
        }
    }
    let is_file = file_entity(kind, data).is_some();
    let is_known = |name: &str| PLACES.contains_key(name) || (name == "entity" && is_file);
    let others = data.iter().filter(|(name, _)| !is_known(name));
    cleaned.extend(cleaner.members(others, MAX_DEPTH));
    CleanData {
        members: cleaned,
        secrets: cleaner.secrets,
    }
}

/// These known members of the data, cleaned.
pub fn clean_only(
    names: &[&str],
    data: &Map<String, Value>,
    workspace: Option<&str>,
    project: Option<&str>,
) -> Map<String, Value> {
    let mut cleaner = Cleaner::new(workspace, project);
    let clean = |name: &&str| {
        let sent = data.get(*name)?;
        let (name, is) = FIELDS[*PLACES.get(name)?];
        Some((name.to_owned(), cleaner.known(is, sent)?))
    };
    names.iter().filter_map(clean).collect()
}

/// A count or duration in cleaned data; 0 if there is none.
pub fn count(data: &Map<String, Value>, name: &str) -> u64 {
    data.get(name).and_then(Value::as_u64).unwrap_or(0)
}

/// A flag in cleaned data; false if there is none.
pub fn flag(data: &Map<String, Value>, name: &str) -> bool {
    data.get(name).and_then(Value::as_bool).unwrap_or(false)
}

/// A name or a hash without home folders, of bounded length.
pub fn name(raw: &str) -> String {
    redact::hide_homes_head(raw, MAX_WORD)
}

struct Cleaner<'a> {
    /// Bytes that may still be added.
    left: usize,
    /// Bytes that may still be read.
    unread: usize,
    /// Secrets that were masked.
    secrets: u64,
    workspace: Option<&'a str>,
    project: Option<&'a str>,
}

impl<'a> Cleaner<'a> {
    fn new(workspace: Option<&'a str>, project: Option<&'a str>) -> Self {
        Self {
            left: MAX_DATA,
            unread: MAX_READ,
            secrets: 0,
            workspace,
            project,
        }
    }

    fn known(&mut self, is: FieldKind, value: &Value) -> Option<Value> {
        match (is, value) {
            (FieldKind::Count, Value::Number(_)) => integer(value)
                .filter(|number| *number >= 0)
                .map(Value::from),
            (FieldKind::Integer, Value::Number(_)) => integer(value).map(Value::from),
            (FieldKind::Flag, Value::Bool(_)) => Some(value.clone()),
            (FieldKind::Name, Value::String(raw)) => self.text(name(raw)),
            (FieldKind::Text, Value::String(text)) => self.free(text),
            (FieldKind::Path, Value::String(path)) => self.text(path::clean(path, None, None)?),
            (FieldKind::Texts, Value::Array(list)) => {
                Some(strings(list).map_while(|text| self.free(text)).collect())
            }
            (FieldKind::Paths, Value::Array(list)) => {
                let workspace = self.workspace;
                let project = self.project;
                let paths = strings(list).filter_map(|path| path::clean(path, workspace, project));
                Some(paths.map_while(|path| self.text(path)).collect())
            }
            _ => None,
        }
    }

    /// A member that no schema knows, kept as far as the bounds allow.
    fn unknown(&mut self, name: &str, value: &Value, depth: usize) -> Option<Value> {
        if depth == 0 || self.left == 0 {
            return None;
        }
        match value {
            Value::String(text) if text.is_empty() => Some(value.clone()),
            Value::String(_) | Value::Number(_) | Value::Object(_)
                if redact::is_secret_name(name) =>
            {
                self.secret(value)
            }
            Value::String(text) => self.free(text),
            Value::Array(list) => {
                let list = list.iter().take(MAX_LEN);
                Some(
                    list.filter_map(|one| self.unknown(name, one, depth - 1))
                        .collect(),
                )
            }
            Value::Object(members) => Some(Value::Object(self.members(members.iter(), depth - 1))),
            plain => Some(plain.clone()),
        }
    }

    fn members<'v>(
        &mut self,
        members: impl Iterator<Item = (&'v String, &'v Value)>,
        depth: usize,
    ) -> Map<String, Value> {
        let members: Vec<_> = members.take(MAX_LEN).collect();
        // `{"name": "API_KEY", "value": "X"}`
        let names_a_secret = members.iter().any(|(name, value)| {
            let names = matches!(name.as_str(), "name" | "key" | "field" | "variable");
            // What is left of it may be a secret's name, too.
            let is_secret = |name: &str| {
                redact::is_secret_name(name) || redact::is_secret_name(&redact::redact(name))
            };
            names && value.as_str().is_some_and(is_secret)
        });
        let cleaned = members.into_iter().filter_map(|(name, value)| {
            let is_text = value.as_str().is_some_and(|text| !text.is_empty());
            if names_a_secret && name == "value" && is_text {
                return Some((name.clone(), self.secret(value)?));
            }
            self.unread = self.unread.checked_sub(name.len().min(redact::MAX_READ))?;
            let key = self.redact(name, MAX_NAME);
            self.left = self.left.saturating_sub(key.len());
            // What is left of a name may be a secret's.
            let name = if redact::is_secret_name(&key) {
                &key
            } else {
                name
            };
            let value = self.unknown(name, value, depth)?;
            Some((key, value))
        });
        cleaned.collect()
    }

    /// Free text without secrets and home folders.
    fn free(&mut self, raw: &str) -> Option<Value> {
        self.unread = self.unread.checked_sub(raw.len().min(redact::MAX_READ))?;
        let text = self.redact(raw, MAX_TEXT);
        self.text(text)
    }

    /// At most `max` bytes of a text without secrets, which are counted.
    fn redact(&mut self, raw: &str, max: usize) -> String {
        let Redacted { text, secrets } = redact::redacted_head(raw, max);
        self.secrets += u64::from(secrets);
        text
    }

    /// The mark in place of a secret.
    fn secret(&mut self, value: &Value) -> Option<Value> {
        self.secrets += u64::from(value.as_str() != Some(redact::REDACTED));
        self.text(redact::REDACTED.to_owned())
    }

    /// A text, if it still fits. Everything after one that does not is left out too.
    fn text(&mut self, text: String) -> Option<Value> {
        self.left = self.left.saturating_sub(text.len());
        (self.left > 0).then(|| text.into())
    }
}

fn strings(list: &[Value]) -> impl Iterator<Item = &str> {
    list.iter().take(MAX_LEN).filter_map(Value::as_str)
}

/// An integer, also one written `4.0`, which JSON Schema takes for the same.
fn integer(value: &Value) -> Option<i64> {
    let number = value.as_f64()?;
    if number.fract() != 0.0 || number.abs() > MAX_INTEGER {
        return None;
    }
    value.as_i64().or(Some(number as i64))
}
