//! What a record says otherwise than its event: the row that the store keeps beside the event. Pure.

use serde_json::{Map, Value};
use store::{NormalizedRow, StoredEvent};

use super::VERSION;
use super::record::{Record, body, data, record};

/// Members of the data that are fields of the record.
const IN_RECORD: [&str; 3] = ["language", "project", "path"];

/// Normalizes one event for the store.
#[must_use]
pub fn row(event: &StoredEvent) -> NormalizedRow {
    let body = body(event);
    let record = record(event, body.as_ref());
    let none = Map::new();
    let sent = SentData {
        data: data(body.as_ref()).unwrap_or(&none),
        is_defined: body
            .as_ref()
            .is_some_and(|body| member_count(body) == name_count(&event.body)),
    };
    sent.row(event, record)
}

/// The data that an event was sent with.
struct SentData<'a> {
    data: &'a Map<String, Value>,
    /// Whether no object in the event repeats a name. One that does has no defined value (RFC 8259, section 4): another
    /// reader of the event may take the value that the record was not made from.
    is_defined: bool,
}

impl SentData<'_> {
    fn row(&self, event: &StoredEvent, record: Record) -> NormalizedRow {
        NormalizedRow {
            at: event.at,
            version: VERSION,
            utc_offset: record.offset,
            data: self.changes(record.data),
            language: self.text("language", record.language),
            project: self.text("project", record.project),
            project_name: self.text("project", record.project_name),
            path: self.text("path", record.path),
        }
    }

    /// A text of the record, if it is not the member of the data; empty if the record has none.
    fn text(&self, member: &str, text: Option<String>) -> Option<String> {
        let is_sent = match self.data.get(member) {
            None => text.is_none(),
            Some(sent) => text.is_some() && sent.as_str() == text.as_deref(),
        };
        (!is_sent || !self.is_defined).then(|| text.unwrap_or_default())
    }

    /// The other members that the record has otherwise, as a JSON object; null for one that it leaves out.
    fn changes(&self, cleaned: Map<String, Value>) -> Option<String> {
        let left_out = |name: &&String| {
            !IN_RECORD.contains(&name.as_str()) && !cleaned.contains_key(name.as_str())
        };
        let mut changes: Map<String, Value> = self
            .data
            .keys()
            .filter(left_out)
            .map(|name| (name.clone(), Value::Null))
            .collect();
        let is_sent =
            |name: &String, value: &Value| self.is_defined && self.data.get(name) == Some(value);
        changes.extend(
            cleaned
                .into_iter()
                .filter(|(name, value)| !is_sent(name, value)),
        );
        (!changes.is_empty()).then(|| Value::Object(changes).to_string())
    }
}

/// The members of all objects in a value.
fn member_count(value: &Value) -> usize {
    match value {
        Value::Object(members) => members.len() + members.values().map(member_count).sum::<usize>(),
        Value::Array(list) => list.iter().map(member_count).sum(),
        _ => 0,
    }
}

/// The names in a JSON text, repeated ones too: each is followed by a colon, and no colon stands elsewhere than in a
/// string.
fn name_count(text: &[u8]) -> usize {
    let mut in_string = false;
    let mut names = 0;
    let mut bytes = text.iter();
    while let Some(byte) = bytes.next() {
        match byte {
            b'"' => in_string = !in_string,
            b'\\' if in_string => drop(bytes.next()),
            b':' if !in_string => names += 1,
            _ => {}
        }
    }
    names
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    /// The record's data as a reader puts it together again.
    fn read_back(sent: &Map<String, Value>, changes: Option<&str>) -> Map<String, Value> {
        let changes: Map<String, Value> =
            changes.map_or_else(Map::new, |text| serde_json::from_str(text).unwrap());
        let kept = sent.iter().filter(|(name, _)| {
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
        ]);
        let name = prop::sample::select(vec!["a", "b", "c", "d:\"", "path", "language", "project"]);
        prop::collection::btree_map(name.prop_map(str::to_owned), value, 0..6)
            .prop_map(|members| members.into_iter().collect())
    }

    proptest! {
        #[test]
        fn the_changes_give_the_records_data_back(
            sent in object(), mut cleaned in object(), is_defined in any::<bool>()
        ) {
            cleaned.retain(|name, _| !IN_RECORD.contains(&name.as_str()));
            let changes = SentData { data: &sent, is_defined }.changes(cleaned.clone());
            prop_assert_eq!(read_back(&sent, changes.as_deref()), cleaned);
        }

        #[test]
        fn names_are_as_many_as_members_unless_one_is_repeated(sent in object()) {
            let text = Value::Object(sent.clone()).to_string();
            prop_assert_eq!(name_count(text.as_bytes()), member_count(&Value::Object(sent)));
        }
    }

    #[test]
    fn a_repeated_name_is_noticed_at_any_depth() {
        for text in [r#"{"a":1,"a":2}"#, r#"{"a":[{"b":":\\","b":1}]}"#] {
            let value = serde_json::from_str(text).unwrap();
            assert_eq!(
                name_count(text.as_bytes()),
                member_count(&value) + 1,
                "{text}"
            );
        }
    }
}
