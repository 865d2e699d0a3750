//! The input of `send`: lines become batches.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context as _, bail};
use serde_json::value::RawValue;
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
const MAX_BYTES: usize = 3 * 1024 * 1024;

/// What a batch holds.
#[derive(Debug, Clone)]
pub enum BatchContent {
    /// Events, to be put into an envelope.
    Events(Vec<Box<RawValue>>),
    /// An envelope as it was given.
    Envelope(Box<RawValue>),
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
        let text = std::fs::read_to_string(path).with_context(|| {
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

/// Cuts the input into batches of at most `size` events, and of bytes that a collector takes, of one
/// developer, in the input's order.
///
/// # Errors
/// Returns an error at the first value that is no JSON object, or whose developer has no key.
pub fn batches(text: &str, keys: &Keys, size: usize) -> anyhow::Result<Vec<OutgoingBatch>> {
    let mut batches = Vec::new();
    let mut open: BTreeMap<String, Cutter> = BTreeMap::new();
    // An object may take one line, as in NDJSON, or several.
    let mut values = serde_json::Deserializer::from_str(text).into_iter::<&RawValue>();
    loop {
        let from = values.byte_offset();
        let Some(value) = values.next() else { break };
        let at = || {
            let blank = text[from..].len() - text[from..].trim_start().len();
            format!(
                "line {} of the input",
                text[..from + blank].matches('\n').count() + 1
            )
        };
        let value =
            value.with_context(|| format!("{} is no JSON; write one event a line", at()))?;
        let mut object: RawObject<'_> = serde_json::from_str(value.get()).with_context(at)?;
        let whole = || value.to_owned();
        if object.0.iter().any(|(name, _)| name == "events") {
            let batch_id = object
                .take("batch_id")
                .with_context(at)?
                .and_then(types::json::string);
            let batch_id = batch_id.unwrap_or_default();
            batches.push(OutgoingBatch {
                key: keys.of(None)?.to_owned(),
                batch_id,
                content: BatchContent::Envelope(whole()),
            });
            continue;
        }
        let developer = object
            .take("developer")
            .with_context(at)?
            .and_then(types::json::string);
        let event = match (&developer, object.take("event").with_context(at)?) {
            (Some(_), Some(event)) => event.to_owned(),
            _ => whole(),
        };
        let key = keys.of(developer.as_deref()).with_context(at)?.to_owned();
        let full = open
            .entry(key.clone())
            .or_insert_with(|| Cutter::new(size))
            .push(event);
        batches.extend(full.map(|events| batch(key, events)));
    }
    let rest = open
        .into_iter()
        .filter_map(|(key, cutter)| cutter.rest().map(|events| batch(key, events)));
    batches.extend(rest);
    Ok(batches)
}

/// The text of a file of events, or of stdin if `file` is `-`.
///
/// # Errors
/// Returns an error if it cannot be read, or is no UTF-8.
pub fn read(file: &str) -> anyhow::Result<String> {
    match file {
        "-" => std::io::read_to_string(std::io::stdin())
            .context("stdin cannot be read. Give it text, one event a line"),
        path => std::fs::read_to_string(path).with_context(|| {
            format!("The file {path} cannot be read. Name a text file of events, one a line, or - for stdin")
        }),
    }
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

    /// Takes one more event; returns those before it if they are a batch.
    pub fn push(&mut self, event: Box<RawValue>) -> Option<Vec<Box<RawValue>>> {
        let length = event.get().len();
        let is_full = self.events.len() == self.size || self.bytes + length > MAX_BYTES;
        let full = (is_full && !self.events.is_empty()).then(|| std::mem::take(&mut self.events));
        self.bytes = if full.is_some() {
            length
        } else {
            self.bytes + length
        };
        self.events.push(event);
        full
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

    #[test]
    fn lines_are_cut_into_batches_of_one_developer_in_their_order() {
        let line = |developer: &str, id: u32| {
            format!("{{\"developer\":\"{developer}\",\"event\":{{\"id\":\"{id}\"}}}}\n")
        };
        let text = [
            line("ada", 1),
            line("bob", 2),
            line("ada", 3),
            line("ada", 4),
        ]
        .concat();
        let batches = batches(&text, &keys(), 2).unwrap();
        let shape: Vec<(String, usize)> = batches
            .iter()
            .map(|batch| match &batch.content {
                BatchContent::Events(events) => (batch.key.clone(), events.len()),
                BatchContent::Envelope(_) => panic!("no envelope was given"),
            })
            .collect();
        assert_eq!(
            shape,
            [("k1".into(), 2), ("k1".into(), 1), ("k2".into(), 1)]
        );
    }

    #[test]
    fn large_events_make_small_batches() {
        let line = format!("{{\"x\":\"{}\"}}\n", "y".repeat(1 << 20));
        let batches = batches(&line.repeat(7), &Keys::One("k".into()), 1000).unwrap();
        let sizes = batches.iter().map(|batch| match &batch.content {
            BatchContent::Events(events) => events.len(),
            BatchContent::Envelope(_) => panic!("no envelope was given"),
        });
        assert_eq!(sizes.collect::<Vec<_>>(), [2, 2, 2, 1]);
    }

    #[test]
    fn a_document_over_several_lines_is_one_envelope_or_event() {
        let text =
            "\n{\n  \"batch_id\": \"b1\",\n  \"events\": [\n    {}\n  ]\n}\n{\n\"id\":\n\"e1\"}\n";
        let batches = batches(text, &Keys::One("k".into()), 5).unwrap();
        let [envelope, events] = &batches[..] else {
            panic!("{batches:?}")
        };
        assert!(
            matches!(&envelope.content, BatchContent::Envelope(whole) if whole.get().ends_with("]\n}"))
        );
        assert_eq!(envelope.batch_id, "b1");
        assert!(matches!(&events.content, BatchContent::Events(events) if events.len() == 1));
    }

    #[test]
    fn a_bad_line_is_named() {
        let error = batches("{\"id\":\"1\"}\n[]", &Keys::One("k".into()), 5).unwrap_err();
        assert!(format!("{error:#}").contains("line 2"), "{error:#}");
        let error = batches("{}\n\n{]", &Keys::One("k".into()), 5).unwrap_err();
        assert!(format!("{error:#}").contains("line 3"), "{error:#}");
    }
}
