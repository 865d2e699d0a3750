//! A JSON text as a value that borrows from it: what admission validates, without a copy of any text.

use std::borrow::Cow;
use std::cell::Cell;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::{Number, Value};

/// Most values in one text; each object, array, string, number and literal counts (contract). An object of 7 bytes
/// takes some 500 bytes in memory, as room is made for eight members: without this bound a body of 4 MiB would take
/// 250 MiB.
pub const MAX_VALUES: usize = 100_000;

/// Members that an object usually has at most: room for so many is made at once.
const USUAL_MEMBERS: usize = 8;

/// A JSON value whose texts are those of the body, as far as they hold no escapes.
#[derive(Debug, Clone, PartialEq)]
pub enum BorrowedValue<'a> {
    /// `null`.
    Null,
    /// `true` or `false`.
    Bool(bool),
    /// A number within a double's range.
    Number(Number),
    /// A string, its escapes resolved.
    Text(Cow<'a, str>),
    /// An array.
    List(Vec<BorrowedValue<'a>>),
    /// An object.
    Object(BorrowedObject<'a>),
}

/// The members of an object, by name: rising, each once. Of a repeated member the last one counts.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct BorrowedObject<'a>(Vec<BorrowedMember<'a>>);

/// A member of an object.
#[derive(Debug, Clone, PartialEq)]
pub struct BorrowedMember<'a> {
    /// Its name, escapes resolved.
    pub name: Cow<'a, str>,
    /// Its value.
    pub value: BorrowedValue<'a>,
}

/// A text that was read, and what the value no longer tells of it.
#[derive(Debug)]
pub struct BorrowedText<'a> {
    /// The value.
    pub value: BorrowedValue<'a>,
    /// Somewhere in it an object had two members of one name.
    pub has_repeated: bool,
}

impl<'a> BorrowedObject<'a> {
    fn of(mut members: Vec<BorrowedMember<'a>>, has_repeated: &Cell<bool>) -> Self {
        members.sort_by(|one, other| one.name.cmp(&other.name));
        let sent = members.len();
        members.dedup_by(|later, earlier| {
            let repeats = later.name == earlier.name;
            if repeats {
                std::mem::swap(later, earlier);
            }
            repeats
        });
        if members.len() < sent {
            has_repeated.set(true);
        }
        Self(members)
    }

    /// The members, by rising name.
    #[must_use]
    pub fn members(&self) -> &[BorrowedMember<'a>] {
        &self.0
    }

    /// The value of the member `name`.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&BorrowedValue<'a>> {
        let at = self.0.binary_search_by(|member| (*member.name).cmp(name));
        at.ok().map(|at| &self.0[at].value)
    }
}

impl<'a> BorrowedValue<'a> {
    /// The string, if it is one.
    #[must_use]
    pub fn as_text(&self) -> Option<&Cow<'a, str>> {
        match self {
            Self::Text(text) => Some(text),
            _ => None,
        }
    }

    /// The object, if it is one.
    #[must_use]
    pub fn as_object(&self) -> Option<&BorrowedObject<'a>> {
        match self {
            Self::Object(object) => Some(object),
            _ => None,
        }
    }

    /// The same value with texts of its own.
    #[must_use]
    pub fn into_value(self) -> Value {
        match self {
            Self::Null => Value::Null,
            Self::Bool(value) => Value::Bool(value),
            Self::Number(number) => Value::Number(number),
            Self::Text(text) => Value::String(text.into_owned()),
            Self::List(list) => list.into_iter().map(Self::into_value).collect(),
            Self::Object(BorrowedObject(members)) => members
                .into_iter()
                .map(|member| (member.name.into_owned(), member.value.into_value()))
                .collect(),
        }
    }
}

impl<'a> From<&'a Value> for BorrowedValue<'a> {
    fn from(value: &'a Value) -> Self {
        match value {
            Value::Null => Self::Null,
            Value::Bool(value) => Self::Bool(*value),
            Value::Number(number) => Self::Number(number.clone()),
            Value::String(text) => Self::Text(text.into()),
            Value::Array(list) => Self::List(list.iter().map(Self::from).collect()),
            Value::Object(members) => {
                let member = |(name, value): (&'a String, &'a Value)| BorrowedMember {
                    name: name.into(),
                    value: value.into(),
                };
                let members = members.iter().map(member).collect();
                Self::Object(BorrowedObject::of(members, &Cell::new(false)))
            }
        }
    }
}

/// Reads a JSON text, whatever its members are called.
///
/// `serde_json`'s own `Value` gives an object whose first member has a certain private name another meaning (its
/// `raw_value` feature). Hostile input could then be validated as one value and stored as another. This function reads
/// every object as an object.
///
/// # Errors
/// Returns a [`serde_json::Error`] if the text is not JSON, is nested deeper than 127, has a number beyond a double's
/// range or a lone surrogate, or has more than [`MAX_VALUES`] values.
pub fn borrowed(text: &str) -> Result<BorrowedText<'_>, serde_json::Error> {
    let left = Cell::new(MAX_VALUES);
    let has_repeated = Cell::new(false);
    let mut reader = serde_json::Deserializer::from_str(text);
    let seed = BoundedValue {
        left: &left,
        has_repeated: &has_repeated,
    };
    let value = seed.deserialize(&mut reader)?;
    reader.end()?;
    Ok(BorrowedText {
        value,
        has_repeated: has_repeated.get(),
    })
}

/// Reads one value.
#[derive(Clone, Copy)]
struct BoundedValue<'s> {
    /// How many more values there may be.
    left: &'s Cell<usize>,
    /// Set if an object repeats a member.
    has_repeated: &'s Cell<bool>,
}

impl<'de> DeserializeSeed<'de> for BoundedValue<'_> {
    type Value = BorrowedValue<'de>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        let Some(left) = self.left.get().checked_sub(1) else {
            return Err(D::Error::custom(format!(
                "it holds more than {MAX_VALUES} values, the limit"
            )));
        };
        self.left.set(left);
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for BoundedValue<'_> {
    type Value = BorrowedValue<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any JSON value")
    }

    fn visit_unit<E>(self) -> Result<Self::Value, E> {
        Ok(BorrowedValue::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Self::Value, E> {
        Ok(BorrowedValue::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Self::Value, E> {
        Ok(BorrowedValue::Number(value.into()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Self::Value, E> {
        Ok(BorrowedValue::Number(value.into()))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Self::Value, E> {
        // The reader refuses what is beyond a double's range.
        Ok(Number::from_f64(value).map_or(BorrowedValue::Null, BorrowedValue::Number))
    }

    fn visit_str<E>(self, value: &str) -> Result<Self::Value, E> {
        Ok(BorrowedValue::Text(Cow::Owned(value.to_owned())))
    }

    fn visit_borrowed_str<E>(self, value: &'de str) -> Result<Self::Value, E> {
        Ok(BorrowedValue::Text(Cow::Borrowed(value)))
    }

    fn visit_seq<S: SeqAccess<'de>>(self, mut seq: S) -> Result<Self::Value, S::Error> {
        let mut list = Vec::new();
        while let Some(element) = seq.next_element_seed(self)? {
            list.push(element);
        }
        Ok(BorrowedValue::List(list))
    }

    fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<Self::Value, M::Error> {
        let Some(name) = map.next_key_seed(Name)? else {
            return Ok(BorrowedValue::Object(BorrowedObject::default()));
        };
        let mut members = Vec::with_capacity(USUAL_MEMBERS);
        let mut next = Some(name);
        while let Some(name) = next {
            let value = map.next_value_seed(self)?;
            members.push(BorrowedMember { name, value });
            next = map.next_key_seed(Name)?;
        }
        Ok(BorrowedValue::Object(BorrowedObject::of(
            members,
            self.has_repeated,
        )))
    }
}

/// Reads the name of a member.
struct Name;

impl<'de> DeserializeSeed<'de> for Name {
    type Value = Cow<'de, str>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl<'de> Visitor<'de> for Name {
    type Value = Cow<'de, str>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a string")
    }

    fn visit_str<E>(self, name: &str) -> Result<Self::Value, E> {
        Ok(Cow::Owned(name.to_owned()))
    }

    fn visit_borrowed_str<E>(self, name: &'de str) -> Result<Self::Value, E> {
        Ok(Cow::Borrowed(name))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_text_holds_so_many_values_and_no_more() {
        // The list is a value as well.
        let list = |count: usize| format!("[{}]", vec!["0"; count - 1].join(","));
        let text = list(MAX_VALUES);
        let whole = borrowed(&text).unwrap().value;
        assert!(matches!(whole, BorrowedValue::List(list) if list.len() == MAX_VALUES - 1));
        let refused = borrowed(&list(MAX_VALUES + 1)).unwrap_err().to_string();
        assert!(refused.contains("more than 100000 values"), "{refused}");
        assert!(borrowed("1 2").is_err());
    }

    #[test]
    fn of_a_repeated_member_the_last_one_counts() {
        let text = r#"{"b":1,"a":[{"c":1,"c":2}],"b":2}"#;
        let read = borrowed(text).unwrap();
        assert!(read.has_repeated);
        assert_eq!(
            read.value.into_value(),
            serde_json::json!({"a": [{"c": 2}], "b": 2})
        );
        let other = borrowed(r#"{"b":{"a":1},"a":{"a":1}}"#).unwrap();
        assert!(!other.has_repeated);
    }

    #[test]
    fn texts_without_escapes_are_the_bodys_own() {
        let read = borrowed(r#"{"a":"x","\u0062":"\n"}"#).unwrap().value;
        let members = read.as_object().unwrap().members();
        let borrows = |text: &Cow<'_, str>| matches!(text, Cow::Borrowed(_));
        let found: Vec<_> = members
            .iter()
            .map(|member| {
                (
                    borrows(&member.name),
                    member.value.as_text().is_some_and(borrows),
                )
            })
            .collect();
        assert_eq!(found, [(true, true), (false, false)]);
    }

    /// JSON texts with repeated members, escapes and numbers of all forms.
    fn texts() -> impl Strategy<Value = String> {
        let leaf = prop_oneof![
            Just("null".to_owned()),
            any::<bool>().prop_map(|value| value.to_string()),
            any::<i64>().prop_map(|value| value.to_string()),
            any::<u64>().prop_map(|value| value.to_string()),
            any::<f64>()
                .prop_filter("finite", |value| value.is_finite())
                .prop_map(|value| format!("{value:e}")),
            any::<String>().prop_map(|text| Value::from(text).to_string()),
            Just(r#""\u00fc\n""#.to_owned()),
        ];
        leaf.prop_recursive(4, 40, 12, |inner| {
            let object =
                prop::collection::vec(("[a-c]{1,2}", inner.clone()), 0..14).prop_map(|members| {
                    let members: Vec<String> = members
                        .iter()
                        .map(|(name, value)| format!("\"{name}\":{value}"))
                        .collect();
                    format!("{{{}}}", members.join(","))
                });
            let list = prop::collection::vec(inner, 0..4)
                .prop_map(|list| format!("[{}]", list.join(", ")));
            prop_oneof![object, list]
        })
    }

    proptest! {
        #[test]
        fn it_is_the_value_that_serde_json_reads(text in texts()) {
            let expected: Value = serde_json::from_str(&text).unwrap();
            let read = borrowed(&text).unwrap().value;
            prop_assert_eq!(&BorrowedValue::from(&expected), &read);
            prop_assert_eq!(read.into_value(), expected);
        }

        #[test]
        fn a_member_is_found_by_its_name(text in texts(), name in "[a-c]{1,2}") {
            let expected: Value = serde_json::from_str(&text).unwrap();
            let read = borrowed(&text).unwrap().value;
            let found = read.as_object().and_then(|object| object.get(&name)).cloned();
            let found = found.map(BorrowedValue::into_value);
            prop_assert_eq!(found.as_ref(), expected.get(&name));
        }
    }
}
