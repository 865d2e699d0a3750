//! How the validator reads a [`BorrowedValue`]: as it reads a value of `serde_json`, member for member.
//!
//! Members come by rising name and each once, as in `serde_json`'s map, so the first fault of an event is the same.

use std::borrow::Cow;
use std::slice;

use jsonschema::JsonType;
use jsonschema::json::{Array, Json, Node, NodeIdentity, Object};
use serde_json::{Number, Value};

use crate::json::{BorrowedMember, BorrowedObject, BorrowedValue};

/// JSON as [`BorrowedValue`]s.
pub struct BorrowedJson;

impl Json for BorrowedJson {
    type Node<'a> = &'a BorrowedValue<'a>;
    type PreparedKey = String;
    type StringBuffer = ();

    const KEYS_PER_LOOKUP: usize = 2;
    const ACYCLIC: bool = true;

    fn prepare_key(key: &str) -> String {
        key.to_owned()
    }

    fn with_string_node<T>((): &mut (), string: &str, f: impl FnOnce(Self::Node<'_>) -> T) -> T {
        f(&BorrowedValue::Text(Cow::Borrowed(string)))
    }
}

impl<'a> Node<'a, BorrowedJson> for &'a BorrowedValue<'a> {
    type Object = &'a BorrowedObject<'a>;
    type Array = &'a [BorrowedValue<'a>];
    type Number = &'a Number;

    fn as_object(&self) -> Option<&'a BorrowedObject<'a>> {
        match self {
            BorrowedValue::Object(object) => Some(object),
            _ => None,
        }
    }

    fn as_array(&self) -> Option<&'a [BorrowedValue<'a>]> {
        match self {
            BorrowedValue::List(list) => Some(list),
            _ => None,
        }
    }

    fn as_string(&self) -> Option<Cow<'a, str>> {
        match self {
            BorrowedValue::Text(text) => Some(Cow::Borrowed(text)),
            _ => None,
        }
    }

    fn as_number(&self) -> Option<&'a Number> {
        match self {
            BorrowedValue::Number(number) => Some(number),
            _ => None,
        }
    }

    fn as_boolean(&self) -> Option<bool> {
        match self {
            BorrowedValue::Bool(value) => Some(*value),
            _ => None,
        }
    }

    fn is_null(&self) -> bool {
        matches!(self, BorrowedValue::Null)
    }

    fn json_type(&self) -> JsonType {
        match self {
            BorrowedValue::Null => JsonType::Null,
            BorrowedValue::Bool(_) => JsonType::Boolean,
            BorrowedValue::Number(_) => JsonType::Number,
            BorrowedValue::Text(_) => JsonType::String,
            BorrowedValue::List(_) => JsonType::Array,
            BorrowedValue::Object(_) => JsonType::Object,
        }
    }

    fn string_length_within(&self, min: u64, max: u64) -> Option<bool> {
        let BorrowedValue::Text(text) = self else {
            return None;
        };
        // A character has one to four bytes: most texts need not be counted.
        let most = text.len() as u64;
        let fewest = most.div_ceil(4);
        let known = match () {
            () if most < min || fewest > max => Some(false),
            () if min <= fewest && most <= max => Some(true),
            () => None,
        };
        let count = || (min..=max).contains(&(text.chars().count() as u64));
        Some(known.unwrap_or_else(count))
    }

    fn equals_value(&self, expected: &Value) -> bool {
        match (self, expected) {
            (BorrowedValue::Text(text), Value::String(expected)) => text == expected,
            _ => jsonschema::json::cmp::equal(&self.to_value(), expected),
        }
    }

    fn to_value(&self) -> Cow<'a, Value> {
        Cow::Owned((*self).clone().into_value())
    }

    fn identity(&self) -> Option<NodeIdentity> {
        Some(NodeIdentity::new(
            std::ptr::from_ref::<BorrowedValue<'_>>(self).addr(),
        ))
    }
}

/// The members of an object.
pub struct BorrowedMembers<'a>(slice::Iter<'a, BorrowedMember<'a>>);

impl<'a> Iterator for BorrowedMembers<'a> {
    type Item = (&'a str, &'a BorrowedValue<'a>);

    fn next(&mut self) -> Option<Self::Item> {
        self.0.next().map(|member| (&*member.name, &member.value))
    }
}

impl<'a> Object<'a, BorrowedJson> for &'a BorrowedObject<'a> {
    type Node = &'a BorrowedValue<'a>;
    type MemberName = &'a str;
    type MembersIter = BorrowedMembers<'a>;

    fn len(&self) -> usize {
        BorrowedObject::members(self).len()
    }

    fn get(&self, key: &String) -> Option<&'a BorrowedValue<'a>> {
        BorrowedObject::get(self, key)
    }

    fn members(&self) -> BorrowedMembers<'a> {
        BorrowedMembers(BorrowedObject::members(self).iter())
    }
}

impl<'a> Array<'a, BorrowedJson> for &'a [BorrowedValue<'a>] {
    type Node = &'a BorrowedValue<'a>;
    type ElementsIter = slice::Iter<'a, BorrowedValue<'a>>;

    fn len(&self) -> usize {
        <[BorrowedValue<'a>]>::len(self)
    }

    fn elements(&self) -> slice::Iter<'a, BorrowedValue<'a>> {
        self.iter()
    }
}
