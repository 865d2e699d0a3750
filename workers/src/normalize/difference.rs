//! What a record says otherwise than its event: the row that the store keeps beside the event. Pure.

use std::iter::Peekable;
use std::str::Bytes;

use serde_json::{Map, Value};
use store::{NormalizedClient, NormalizedRow, StoredEvent};
use types::json;

use super::VERSION;
use super::client::ClientProgram;
use super::record::{IN_RECORD, Record, data, record};

/// Normalizes one event for the store.
#[must_use]
pub fn row(event: &StoredEvent) -> NormalizedRow {
    let text = std::str::from_utf8(&event.body).ok();
    let read = text.and_then(|text| Some((text, json::borrowed(text).ok()?)));
    let is_read_alike =
        (read.as_ref()).is_some_and(|(text, read)| !read.has_repeated && is_plain(text));
    let body = read.map(|(_, read)| read.value.into_value());
    let record = record(event, body.as_ref());
    let program = ClientProgram::of_batch(event);
    let none = Map::new();
    let sent = SentData {
        data: data(body.as_ref()).unwrap_or(&none),
        is_read_alike,
    };
    sent.row(event, record, program.editor.as_deref())
}

/// What the records of an event's batch have of its client: the same for all of them. `None` if the client tells
/// nothing.
#[must_use]
pub fn client(event: &StoredEvent) -> Option<NormalizedClient> {
    let program = ClientProgram::of_batch(event);
    let is_told = *program != ClientProgram::default();
    is_told.then(|| NormalizedClient {
        batch: event.at.batch(),
        version: VERSION,
        editor: program.editor.clone(),
        editor_version: program.editor_version.clone(),
        operating_system: program.operating_system.clone(),
        machine: program.machine.clone(),
    })
}

/// The most characters of a number with a fraction: SQLite writes 15 digits (its documentation, `printf`, `%!.15g`).
const MAX_FRACTION: usize = 15;
/// The most characters of an integer: SQLite's have 64 bits.
const MAX_INTEGER: usize = 18;

/// Whether each text and number in a JSON text is the same to every reader: Postgres's `jsonb` takes no NUL and no
/// number with 16,384 digits behind the point (its documentation, 8.14 and 8.1), and SQLite rounds long numbers.
fn is_plain(text: &str) -> bool {
    let mut bytes = text.bytes().peekable();
    let mut in_string = false;
    while let Some(byte) = bytes.next() {
        let is_plain = match byte {
            b'"' => {
                in_string = !in_string;
                true
            }
            b'\\' if in_string => {
                let is_unicode = bytes.next() == Some(b'u');
                !(is_unicode && bytes.by_ref().take(4).all(|digit| digit == b'0'))
            }
            b'0'..=b'9' | b'-' if !in_string => is_plain_number(&mut bytes),
            _ => true,
        };
        if !is_plain {
            return false;
        }
    }
    true
}

/// The same of a number, whose first byte was taken; takes the others.
fn is_plain_number(bytes: &mut Peekable<Bytes<'_>>) -> bool {
    let (mut length, mut most) = (1, MAX_INTEGER);
    while let Some(part) =
        bytes.next_if(|byte| matches!(byte, b'0'..=b'9' | b'.' | b'e' | b'E' | b'+' | b'-'))
    {
        length += 1;
        match part {
            b'e' | b'E' => return false,
            b'.' => most = MAX_FRACTION,
            _ => {}
        }
    }
    length <= most
}

/// The data that an event was sent with.
struct SentData<'a> {
    data: &'a Map<String, Value>,
    /// Whether a query reads the same from the event as the normalizer. An object that repeats a name has no defined
    /// value (RFC 8259, section 4), and texts and numbers may not be [plain](is_plain). Then the row is whole.
    is_read_alike: bool,
}

impl SentData<'_> {
    /// `editor` is that of the batch's client.
    fn row(&self, event: &StoredEvent, mut record: Record, editor: Option<&str>) -> NormalizedRow {
        let mut changes = Map::new();
        let fields = [
            ("editor", record.editor.map(Value::from), editor.into()),
            (
                "entity_type",
                record.entity_type.map(Value::from),
                Value::Null,
            ),
            ("tool", record.tool.map(Value::from), Value::Null),
            (
                "duration_ms",
                record.duration_ms.map(Value::from),
                Value::Null,
            ),
            ("secrets", Some(record.secrets.into()), 0.into()),
        ];
        for (name, value, otherwise) in fields {
            let value = value.unwrap_or(Value::Null);
            if value != *self.read(name).unwrap_or(&otherwise) {
                changes.insert(name.to_owned(), value);
            }
        }
        changes.append(&mut self.changes(std::mem::take(&mut record.data)));
        NormalizedRow {
            at: event.at,
            version: VERSION,
            utc_offset: record.offset,
            is_whole: !self.is_read_alike,
            data: (!changes.is_empty()).then(|| Value::Object(changes).to_string()),
            language: self.text("language", record.language),
            project: self.text("project", record.project),
            project_name: self.text("project", record.project_name),
            path: self.text("path", record.path),
            category: self.text("category", record.category),
        }
    }

    /// A member of the data, as a reader of the row takes it from the event.
    fn read(&self, name: &str) -> Option<&Value> {
        let sent = self.data.get(name).filter(|sent| !sent.is_null());
        sent.filter(|_| self.is_read_alike)
    }

    /// A text of the record, if it is not the member of the data; empty if the record has none.
    fn text(&self, member: &str, text: Option<String>) -> Option<String> {
        let is_sent = match self.data.get(member) {
            None => text.is_none(),
            Some(sent) => text.is_some() && sent.as_str() == text.as_deref(),
        };
        (!is_sent || !self.is_read_alike).then(|| text.unwrap_or_default())
    }

    /// The other members that the record has otherwise; null for one that it leaves out. Of a whole row all that the
    /// record has.
    fn changes(&self, cleaned: Map<String, Value>) -> Map<String, Value> {
        if self.is_read_alike {
            self.differing(cleaned)
        } else {
            cleaned
        }
    }

    fn differing(&self, cleaned: Map<String, Value>) -> Map<String, Value> {
        let left_out = |name: &&String| {
            !IN_RECORD.contains(&name.as_str()) && !cleaned.contains_key(name.as_str())
        };
        let left_out = self.data.keys().filter(left_out);
        let mut changes: Map<String, Value> =
            left_out.map(|name| (name.clone(), Value::Null)).collect();
        let is_sent = |name: &str, value: &Value| self.data.get(name) == Some(value);
        changes.extend(
            cleaned
                .into_iter()
                .filter(|(name, value)| !is_sent(name, value)),
        );
        changes
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    /// The record's data as a reader puts it together again.
    fn read_back(sent: &SentData<'_>, changes: Map<String, Value>) -> Map<String, Value> {
        if !sent.is_read_alike {
            return changes;
        }
        let kept = sent.data.iter().filter(|(name, _)| {
            !IN_RECORD.contains(&name.as_str()) && !changes.contains_key(name.as_str())
        });
        let mut data: Map<String, Value> = kept
            .map(|(name, value)| (name.clone(), value.clone()))
            .collect();
        data.extend(changes.into_iter().filter(|(_, value)| !value.is_null()));
        data
    }

    fn object() -> impl Strategy<Value = Map<String, Value>> {
        let value = prop::sample::select(vec![
            json!("x"),
            json!(1),
            json!(false),
            json!({"a": 1}),
            json!({"a": {"b": [1, {"c": 2}]}}),
            json!([]),
            Value::Null,
        ]);
        let name = prop::sample::select(vec!["a", "b", "c", "d:\"", "path", "language", "project"]);
        prop::collection::btree_map(name.prop_map(str::to_owned), value, 0..6)
            .prop_map(|members| members.into_iter().collect())
    }

    proptest! {
        #[test]
        fn the_changes_give_the_records_data_back(
            sent in object(), mut cleaned in object(), is_read_alike in any::<bool>()
        ) {
            cleaned.retain(|name, _| !IN_RECORD.contains(&name.as_str()));
            // Cleaning makes no value null.
            cleaned.retain(|name, value| !value.is_null() || sent.get(name) == Some(&Value::Null));
            let sent = SentData { data: &sent, is_read_alike };
            let changes = sent.changes(cleaned.clone());
            prop_assert_eq!(read_back(&sent, changes), cleaned);
        }
    }

    #[test]
    fn what_readers_may_take_otherwise_is_not_plain() {
        for text in [
            r#"{"a":"\u0000"}"#,
            r#"{"\\\u0000":1}"#,
            r#"{"a":1e-20000}"#,
            r#"[1E2]"#,
            r#"[-0.00000000000001]"#,
            r#"{"a":9223372036854775808}"#,
        ] {
            assert!(!is_plain(text), "{text}");
        }
        for text in [
            r#"{"a":"\\u0000"}"#,
            r#"{"a":"\u00e40000 1e5 \"1e5","b":true}"#,
            r#"[-1,0.5,1767225600000000,-1.25]"#,
        ] {
            assert!(is_plain(text), "{text}");
        }
    }
}
