//! The input of `send`: lines become batches.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context as _, bail};
use common::json::RawObject;
use serde_json::value::RawValue;
use uuid::Uuid;

/// A batch to send: everything but `sent_at`, which is set at each attempt.
#[derive(Debug, Clone)]
pub struct Batch {
    /// The key to send it with.
    pub key: String,
    /// Its id.
    pub batch_id: String,
    /// Its events' exact text, or a whole envelope.
    pub content: Content,
}

/// What a batch holds.
#[derive(Debug, Clone)]
pub enum Content {
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
    /// Where it cannot be read or holds something else.
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
        if many.is_empty() { bail!("{shown} holds no key.") } else { Ok(Self::Many(many)) }
    }

    fn of(&self, developer: Option<&str>) -> anyhow::Result<&str> {
        match (self, developer) {
            (Self::One(key), _) => Ok(key),
            (Self::Many(keys), Some(developer)) => {
                keys.get(developer).map(String::as_str).with_context(|| {
                    format!("The key file has no key for developer {developer:?}; `devtrail keys create` makes one")
                })
            }
            (Self::Many(_), None) => bail!("A key file with several developers needs {{\"developer\", \"event\"}} lines."),
        }
    }
}

/// Cuts the input into batches of at most `size` events of one developer, in the input's order.
///
/// # Errors
/// At the first line that is no JSON object, or whose developer has no key.
pub fn batches(text: &str, keys: &Keys, size: usize) -> anyhow::Result<Vec<Batch>> {
    let mut batches = Vec::new();
    let mut open: BTreeMap<String, Vec<Box<RawValue>>> = BTreeMap::new();
    for (number, line) in text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
        let at = || format!("line {} of the input", number + 1);
        let mut object: RawObject<'_> = serde_json::from_str(line).with_context(at)?;
        let whole = || RawValue::from_string(line.trim().to_owned());
        if object.0.iter().any(|(name, _)| name == "events") {
            let batch_id = object.take("batch_id").with_context(at)?.and_then(common::json::string);
            let batch_id = batch_id.unwrap_or_default();
            batches.push(Batch {
                key: keys.of(None)?.to_owned(),
                batch_id,
                content: Content::Envelope(whole()?),
            });
            continue;
        }
        let developer = object.take("developer").with_context(at)?.and_then(common::json::string);
        let event = match (&developer, object.take("event").with_context(at)?) {
            (Some(_), Some(event)) => event.to_owned(),
            _ => whole().with_context(at)?,
        };
        let key = keys.of(developer.as_deref()).with_context(at)?.to_owned();
        let events = open.entry(key.clone()).or_default();
        events.push(event);
        if events.len() == size {
            batches.push(batch(key, std::mem::take(events)));
        }
    }
    let rest = open.into_iter().filter(|(_, events)| !events.is_empty());
    batches.extend(rest.map(|(key, events)| batch(key, events)));
    Ok(batches)
}

fn batch(key: String, events: Vec<Box<RawValue>>) -> Batch {
    Batch { key, batch_id: Uuid::now_v7().to_string(), content: Content::Events(events) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys() -> Keys {
        Keys::Many(BTreeMap::from([("ada".into(), "k1".into()), ("bob".into(), "k2".into())]))
    }

    #[test]
    fn lines_are_cut_into_batches_of_one_developer_in_their_order() {
        let line = |developer: &str, id: u32| {
            format!("{{\"developer\":\"{developer}\",\"event\":{{\"id\":\"{id}\"}}}}\n")
        };
        let text = [line("ada", 1), line("bob", 2), line("ada", 3), line("ada", 4)].concat();
        let batches = batches(&text, &keys(), 2).unwrap();
        let shape: Vec<(String, usize)> = batches
            .iter()
            .map(|batch| match &batch.content {
                Content::Events(events) => (batch.key.clone(), events.len()),
                Content::Envelope(_) => panic!("no envelope was given"),
            })
            .collect();
        assert_eq!(shape, [("k1".into(), 2), ("k1".into(), 1), ("k2".into(), 1)]);
    }

    #[test]
    fn a_bad_line_is_named() {
        let error = batches("{\"id\":\"1\"}\n[]", &Keys::One("k".into()), 5).unwrap_err();
        assert!(format!("{error:#}").contains("line 2"), "{error:#}");
    }
}
