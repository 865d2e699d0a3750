//! What `send` reads, value by value, and the batches that go out. Pure but for the key file.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context as _, bail};
use serde_json::value::RawValue;
use types::formats::wakatime;
use types::json::RawObject;
use uuid::Uuid;

/// A batch to send: everything but `sent_at`, which is set at each attempt.
#[derive(Debug, Clone)]
pub struct OutgoingBatch {
    /// The key to send it with.
    pub key: String,
    /// Its id.
    pub batch_id: String,
    /// Its events' exact text, or a whole envelope.
    pub content: BatchContent,
}

/// Bytes of a batch's events: with commas and envelope well below the 4 MiB that a collector takes.
pub(crate) const MAX_BYTES: usize = 3 * 1024 * 1024;

/// What a batch holds.
#[derive(Debug, Clone)]
pub enum BatchContent {
    /// Events, to be put into an envelope.
    Events(Vec<Box<RawValue>>),
    /// An envelope as it was given, and the line that it begins on; 0 if it was put together of several.
    Envelope { line: u64, text: Box<RawValue> },
}

/// One key for everything, or one a developer.
#[derive(Debug)]
pub enum Keys {
    /// The same key for every event.
    One(String),
    /// By developer.
    Many(BTreeMap<String, String>),
}

impl Keys {
    /// Reads a key file.
    ///
    /// # Errors
    /// Returns an error if it cannot be read or holds something else.
    pub fn read(path: &Path) -> anyhow::Result<Self> {
        let shown = path.display();
        let text = runtime::text_file::read(path).with_context(|| {
            format!("The key file {shown} cannot be read; `devtrail up` writes one, or name another with --key-file")
        })?;
        let mut many = BTreeMap::new();
        for line in text.lines().filter(|line| !line.trim().is_empty()) {
            match line.split_whitespace().collect::<Vec<_>>()[..] {
                [key] if many.is_empty() => return Ok(Self::One(key.to_owned())),
                [developer, key] => drop(many.insert(developer.to_owned(), key.to_owned())),
                _ => bail!("{shown} must hold one key, or `developer key` lines."),
            }
        }
        if many.is_empty() {
            bail!("{shown} holds no key.")
        } else {
            Ok(Self::Many(many))
        }
    }

    /// The only key.
    ///
    /// # Errors
    /// Returns an error if there are several.
    pub fn only(&self) -> anyhow::Result<&str> {
        match self {
            Self::One(key) => Ok(key),
            Self::Many(keys) => match keys.values().collect::<Vec<_>>()[..] {
                [key] => Ok(key),
                _ => bail!(
                    "The key file has the keys of {} developers; name one with a single key (--key-file).",
                    keys.len()
                ),
            },
        }
    }

    /// The key of a developer; of any developer if none is named.
    ///
    /// # Errors
    /// Returns an error if the file has none.
    pub fn of(&self, developer: Option<&str>) -> anyhow::Result<&str> {
        match (self, developer) {
            (Self::One(key), _) => Ok(key),
            (Self::Many(keys), Some(developer)) => {
                keys.get(developer).map(String::as_str).with_context(|| {
                    format!("The key file has no key for developer {developer:?}; `devtrail keys create` makes one")
                })
            }
            (Self::Many(_), None) => {
                bail!("A key file with several developers needs {{\"developer\", \"event\"}} lines.")
            }
        }
    }
}

/// A value of the input.
#[derive(Debug)]
pub enum Item {
    /// An event, and the key to send it with.
    Event { key: String, event: Box<RawValue> },
    /// An envelope.
    Envelope(OutgoingBatch),
}

/// Reads a value that begins on `line`: an event, an envelope, a `{"developer", "event"}` object, or a WakaTime
/// heartbeat, which becomes the event that a collector makes of it.
///
/// # Errors
/// Returns why it is none of these, or has no key; the sentence goes on after the line's number.
pub fn item(line: u64, text: Vec<u8>, keys: &Keys) -> Result<Item, String> {
    let text = String::from_utf8(text).map_err(|error| {
        let at = error.utf8_error().valid_up_to() + 1;
        format!(
            "is no UTF-8 at its byte {at}; if it comes from Windows, `iconv -f WINDOWS-1252 -t UTF-8` converts it"
        )
    })?;
    if !text.starts_with('{') {
        return Err("is no JSON object".to_owned());
    }
    let whole = RawValue::from_string(text).map_err(|error| format!("is no JSON: {error}"))?;
    let no_object = |error: serde_json::Error| format!("cannot be read: {error}");
    let mut object: RawObject<'_> = serde_json::from_str(whole.get()).map_err(no_object)?;
    let repeated = |error: types::json::RepeatedMember| error.to_string();
    let has = |object: &RawObject<'_>, name: &str| object.0.iter().any(|(key, _)| key == name);
    let no_key = |error: anyhow::Error| format!("has no key: {error}");
    if has(&object, "events") {
        let batch_id = object.take("batch_id").map_err(repeated)?;
        return Ok(Item::Envelope(OutgoingBatch {
            key: keys.of(None).map_err(no_key)?.to_owned(),
            batch_id: batch_id.and_then(types::json::string).unwrap_or_default(),
            content: BatchContent::Envelope { line, text: whole },
        }));
    }
    if has(&object, "entity") && has(&object, "time") && !has(&object, "occurred_at") {
        let key = keys.of(None).map_err(no_key)?.to_owned();
        let event = wakatime::event_of(&whole).map_err(|refusal| refusal.detail)?;
        return Ok(Item::Event { key, event });
    }
    let developer = object.take("developer").map_err(repeated)?;
    let developer = developer.and_then(types::json::string);
    let key = keys.of(developer.as_deref()).map_err(no_key)?.to_owned();
    let event = match (&developer, object.take("event").map_err(repeated)?) {
        (Some(_), Some(event)) => event.to_owned(),
        _ => whole,
    };
    Ok(Item::Event { key, event })
}

/// Collects events until they are a batch.
#[derive(Debug)]
pub struct Cutter {
    size: usize,
    bytes: usize,
    events: Vec<Box<RawValue>>,
}

impl Cutter {
    /// Cuts after `size` events, or sooner if a collector would find them too large.
    #[must_use]
    pub fn new(size: usize) -> Self {
        Self {
            size,
            bytes: 0,
            events: Vec::new(),
        }
    }

    /// Takes one more event; returns a batch if that makes one.
    pub fn push(&mut self, event: Box<RawValue>) -> Option<Vec<Box<RawValue>>> {
        let length = event.get().len();
        let is_too_large = !self.events.is_empty() && self.bytes + length > MAX_BYTES;
        let before = is_too_large.then(|| self.take());
        self.bytes += length;
        self.events.push(event);
        before.or_else(|| (self.events.len() == self.size).then(|| self.take()))
    }

    /// Bytes of the events so far.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    fn take(&mut self) -> Vec<Box<RawValue>> {
        self.bytes = 0;
        std::mem::take(&mut self.events)
    }

    /// The last events, if there are any.
    #[must_use]
    pub fn rest(self) -> Option<Vec<Box<RawValue>>> {
        Some(self.events).filter(|events| !events.is_empty())
    }
}

/// A batch with an id of its own.
pub fn batch(key: String, events: Vec<Box<RawValue>>) -> OutgoingBatch {
    OutgoingBatch {
        key,
        batch_id: Uuid::now_v7().to_string(),
        content: BatchContent::Events(events),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys() -> Keys {
        Keys::Many(BTreeMap::from([
            ("ada".into(), "k1".into()),
            ("bob".into(), "k2".into()),
        ]))
    }

    fn read(text: &str, keys: &Keys) -> Result<Item, String> {
        item(7, text.as_bytes().to_vec(), keys)
    }

    fn event(text: &str, keys: &Keys) -> (String, String) {
        match read(text, keys).unwrap() {
            Item::Event { key, event } => (key, event.get().to_owned()),
            Item::Envelope(batch) => panic!("{batch:?}"),
        }
    }

    #[test]
    fn each_kind_of_object_is_known_by_its_members() {
        let one = Keys::One("k".into());
        let pair = |key: &str, event: &str| (key.to_owned(), event.to_owned());
        assert_eq!(event(r#"{"id": 1}"#, &one), pair("k", r#"{"id": 1}"#));
        let of_ada = r#"{"developer": "ada", "event": {"id": 1}}"#;
        assert_eq!(event(of_ada, &keys()), pair("k1", r#"{"id": 1}"#));
        assert_eq!(event(of_ada, &one), pair("k", r#"{"id": 1}"#));
        let heartbeat = r#"{"entity": "a.rs", "type": "file", "time": 1700000000.5}"#;
        let (_, heartbeat) = event(heartbeat, &one);
        assert!(
            heartbeat.starts_with(r#"{"id":"wakatime-"#) && heartbeat.contains("2023-11-14T"),
            "{heartbeat}"
        );
        let envelope = r#"{"batch_id": "b1", "events": [{}]}"#;
        let Ok(Item::Envelope(batch)) = read(envelope, &one) else {
            panic!("no envelope")
        };
        assert_eq!(batch.batch_id, "b1");
        assert!(
            matches!(&batch.content, BatchContent::Envelope { line: 7, text } if text.get() == envelope)
        );
    }

    #[test]
    fn what_is_no_event_is_named_with_the_reason() {
        let one = Keys::One("k".into());
        for (text, keys, reason) in [
            ("[]", &one, "no JSON object"),
            (r#"{"a": 01}"#, &one, "is no JSON"),
            (
                r#"{"developer": "a", "developer": "b"}"#,
                &one,
                "more than once",
            ),
            (
                r#"{"entity": "a", "time": "noon"}"#,
                &one,
                "time must be a number",
            ),
            (
                r#"{"developer": "eve", "event": {}}"#,
                &keys(),
                "keys create",
            ),
            (r#"{"id": 1}"#, &keys(), "developer"),
        ] {
            let error = read(text, keys).unwrap_err();
            assert!(error.contains(reason), "{text}: {error}");
        }
        let error = item(1, b"{\"a\": \"caf\xe9\"}".to_vec(), &one).unwrap_err();
        assert!(
            error.contains("byte 11") && error.contains("iconv"),
            "{error}"
        );
    }

    #[test]
    fn a_batch_is_full_by_its_number_or_its_bytes() {
        let event =
            |bytes: usize| RawValue::from_string(format!("\"{}\"", "y".repeat(bytes - 2))).unwrap();
        let sizes = |size: usize, events: &[usize]| {
            let mut cutter = Cutter::new(size);
            let full = events.iter().map(|bytes| cutter.push(event(*bytes)));
            let full: Vec<Option<usize>> = full.map(|full| Some(full?.len())).collect();
            (full, cutter.rest().map(|rest| rest.len()))
        };
        assert_eq!(sizes(2, &[9, 9, 9]), (vec![None, Some(2), None], Some(1)));
        let large = MAX_BYTES / 2 - 1;
        assert_eq!(
            sizes(9, &[large, large, large]),
            (vec![None, None, Some(2)], Some(1))
        );
        assert_eq!(sizes(1, &[9, MAX_BYTES]), (vec![Some(1), Some(1)], None));
    }
}
