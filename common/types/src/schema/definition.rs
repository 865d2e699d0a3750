//! Whether a text is a schema that events can be checked against. Pure.

use serde_json::Value;

use super::compiled::Schema;
use super::version::Version;
use crate::json::shorten;

/// What `$schema` may say.
const DRAFT: &str = "https://json-schema.org/draft/2020-12/schema";
/// Members of an event that its schema must ask for: without them there is no event to validate.
const NEEDED: [&str; 3] = ["id", "type", "occurred_at"];
/// Keywords whose values are data, no schemas: `$ref` in them refers to nothing.
const DATA: [&str; 4] = ["const", "enum", "default", "examples"];
/// Longest text of the compiler that is repeated, in bytes.
const MAX_TEXT: usize = 300;

/// What keeps `text` from being the schema of `kind` in `version`: a sentence each, with the remedy.
///
/// It must be JSON Schema of draft 2020-12, refer to no other document, and describe a whole event as the built-in
/// ones do: an object with `id`, `type` and `occurred_at`, whose `type` is `kind`. It must not forbid
/// members that it does not name: they are kept, everywhere (contract).
#[must_use]
pub fn problems(version: Version, kind: &str, text: &str) -> Vec<String> {
    let document: Value = match serde_json::from_str(text) {
        Ok(document) => document,
        Err(error) => {
            return vec![format!(
                "the file is no JSON ({error}); write a JSON Schema."
            )];
        }
    };
    if !document.is_object() {
        return vec!["the schema must be a JSON object.".to_owned()];
    }
    let mut found = Vec::new();
    if document.get("$schema").is_some_and(|draft| draft != DRAFT) {
        found.push(format!(
            "$schema must be {DRAFT:?}, or absent: no other draft is read."
        ));
    }
    let mut elsewhere = Vec::new();
    references(&document, &mut elsewhere);
    for reference in &elsewhere {
        let shown = shorten(reference, MAX_TEXT);
        found.push(format!(
            "{shown:?} refers to another document; put what it says under $defs and refer to #/$defs/…."
        ));
    }
    // A reference to elsewhere would be reported a second time.
    if elsewhere.is_empty()
        && let Err(error) = Schema::compile(version, "".into(), &document)
    {
        found.push(format!(
            "the schema is not valid: {}.",
            shorten(&error, MAX_TEXT)
        ));
    }
    found.extend(of_the_event(version, kind, &document));
    found
}

fn of_the_event(version: Version, kind: &str, document: &Value) -> Vec<String> {
    let mut found = Vec::new();
    let ending = format!("/{version}/{kind}.json");
    if let Some(id) = document
        .get("$id")
        .and_then(Value::as_str)
        .filter(|id| !id.ends_with(&ending))
    {
        let shown = shorten(id, MAX_TEXT);
        found.push(format!(
            "$id is {shown:?}, but the file is {}; let $id end so, or leave it out.",
            &ending[1..]
        ));
    }
    if document["type"] != "object" {
        found.push("it must describe a whole event: \"type\": \"object\" is missing.".to_owned());
    }
    let required = document["required"]
        .as_array()
        .map(Vec::as_slice)
        .unwrap_or_default();
    for member in NEEDED
        .iter()
        .filter(|member| !required.iter().any(|one| one == **member))
    {
        found.push(format!(
            "every event needs {member}; name it in \"required\"."
        ));
    }
    let named = &document["properties"]["type"]["const"];
    if named != kind {
        let shown = if named.is_null() {
            "absent".to_owned()
        } else {
            shorten(&named.to_string(), MAX_TEXT)
        };
        found.push(format!(
            "/properties/type/const must be {kind:?}, the file's name; it is {shown}."
        ));
    }
    let data = &document["properties"]["data"];
    for (place, object) in [("", document), ("/properties/data", data)] {
        for keyword in ["additionalProperties", "unevaluatedProperties"] {
            if object[keyword] == false {
                found.push(format!(
                    "{place}/{keyword} forbids unknown members, which are kept everywhere; remove it."
                ));
            }
        }
    }
    found
}

/// Collects what refers to another document.
fn references(schema: &Value, found: &mut Vec<String>) {
    match schema {
        Value::Object(members) => {
            for (name, value) in members {
                match value {
                    Value::String(reference) if name == "$ref" || name == "$dynamicRef" => {
                        if !reference.starts_with('#') {
                            found.push(reference.clone());
                        }
                    }
                    _ if DATA.contains(&name.as_str()) => {}
                    _ => references(value, found),
                }
            }
        }
        Value::Array(elements) => elements
            .iter()
            .for_each(|element| references(element, found)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const V1: Version = Version { major: 1, minor: 0 };

    fn coffee() -> Value {
        json!({"$schema": DRAFT, "$id": "https://example.org/1.0/coffee.brewed.json", "type": "object",
               "required": ["id", "type", "occurred_at"],
               "properties": {"type": {"const": "coffee.brewed"}, "data": {"$ref": "#/$defs/data"}},
               "$defs": {"data": {"type": "object", "properties": {"$ref": {"const": {"$ref": "http://x"}}}}}})
    }

    fn problems_of(schema: &Value) -> Vec<String> {
        problems(V1, "coffee.brewed", &schema.to_string())
    }

    #[test]
    fn every_builtin_schema_is_usable_and_so_is_one_like_them() {
        for &(version, kind, text) in super::super::builtin::FILES {
            assert_eq!(
                problems(version.parse().unwrap(), kind, text),
                [""; 0],
                "{version}/{kind}"
            );
        }
        assert_eq!(problems_of(&coffee()), [""; 0]);
    }

    #[test]
    fn what_is_wrong_is_said_one_by_one() {
        let with = |pointer: &str, value: Value| {
            let mut schema = coffee();
            *schema.pointer_mut(pointer).unwrap() = value;
            problems_of(&schema)
        };
        for (pointer, value, expected) in [
            (
                "/$schema",
                json!("http://json-schema.org/draft-07/schema#"),
                "no other draft",
            ),
            (
                "/$id",
                json!("https://example.org/1.1/coffee.brewed.json"),
                "1.0/coffee.brewed.json",
            ),
            ("/type", json!("array"), "whole event"),
            ("/required", json!(["id", "type"]), "occurred_at"),
            (
                "/properties/type/const",
                json!("tea.brewed"),
                "\"tea.brewed\"",
            ),
            (
                "/properties/data",
                json!({"$ref": "https://example.org/data.json"}),
                "$defs",
            ),
            (
                "/properties/data",
                json!({"additionalProperties": false}),
                "/properties/data/additionalProperties",
            ),
            ("/$defs/data/type", json!("objekt"), "not valid"),
            ("/$defs/data", json!({"pattern": "("}), "not valid"),
        ] {
            let found = with(pointer, value);
            assert!(
                found.len() == 1 && found[0].contains(expected),
                "{pointer}: {found:?}"
            );
        }
        assert!(problems(V1, "coffee.brewed", "{")[0].contains("no JSON"));
        assert!(problems(V1, "coffee.brewed", "true")[0].contains("object"));
        assert!(problems_of(&json!({})).len() > 4);
    }
}
