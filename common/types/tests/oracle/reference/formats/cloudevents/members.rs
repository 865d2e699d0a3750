//! The members of a CloudEvent, and the Devtrail event that they make.

use std::borrow::Cow;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::value::RawValue;

use crate::reference::formats::submission::Refusal;
use crate::reference::json::quoted;
use crate::reference::time;
use types::verdict::Code;

/// Names of CloudEvents, and Devtrail's that differ.
pub(crate) const NAMES: [(&str, &str); 2] =
    [("time", "occurred_at"), ("schemaversion", "schema_version")];

/// Members that decide something: one that occurs twice makes the event ambiguous.
const DECISIVE: [&str; 8] = [
    "specversion",
    "id",
    "source",
    "type",
    "time",
    "schemaversion",
    "data",
    "data_base64",
];

/// A member: its name, and its value's JSON text.
pub(crate) type Member<'a> = (String, Cow<'a, str>);

/// The text of the Devtrail event that a CloudEvent of these members becomes.
pub(crate) fn translated(mut members: Vec<Member<'_>>) -> Result<String, Refusal> {
    // "A null value MUST be treated as the equivalent of unset" (JSON format, section 2.2).
    members.retain(|(_, value)| value != "null");
    check_attributes(&members)?;
    decode_data(&mut members)?;
    for (name, _) in &mut members {
        if let Some((_, ours)) = NAMES.iter().find(|(theirs, _)| name == theirs) {
            (*ours).clone_into(name);
        }
    }
    Ok(written(&members))
}

/// Checks what the specification requires, and Devtrail does not check itself under the same name.
fn check_attributes(members: &[Member<'_>]) -> Result<(), Refusal> {
    let invalid = |name: &str, detail: &str| {
        Err(Refusal::new(
            Code::SchemaInvalid,
            &format!("/{name}"),
            detail,
        ))
    };
    let find = |name: &str| {
        members
            .iter()
            .find(|(known, _)| known == name)
            .map(|(_, value)| &**value)
    };
    let string =
        |name: &str| find(name).and_then(|value| serde_json::from_str::<String>(value).ok());
    for name in DECISIVE {
        if members.iter().filter(|(known, _)| known == name).count() > 1 {
            return invalid(name, &format!("the member {name:?} occurs more than once"));
        }
    }
    // Otherwise two members would get one name.
    for (theirs, ours) in NAMES {
        if find(ours).is_some() {
            return invalid(
                ours,
                &format!(
                    "a CloudEvent's attributes have no underscore; this one is called {theirs}"
                ),
            );
        }
    }
    if string("specversion").as_deref() != Some("1.0") {
        return invalid("specversion", "specversion must be \"1.0\"");
    }
    if string("source").is_none_or(|source| source.is_empty()) {
        return invalid("source", "source must be a string that is not empty");
    }
    if find("schemaversion").is_some() && string("schemaversion").is_none() {
        return invalid("schemaversion", "schemaversion must be a string");
    }
    if string("time")
        .as_deref()
        .and_then(time::parse_rfc3339)
        .is_none()
    {
        let detail = "time must be an RFC 3339 time with an offset or Z; Devtrail needs it";
        return Err(Refusal::new(Code::TimeInvalid, "/time", detail));
    }
    Ok(())
}

/// Turns `data_base64` into `data`: events hold JSON.
fn decode_data(members: &mut [Member<'_>]) -> Result<(), Refusal> {
    let invalid = |detail: &str| Refusal::new(Code::SchemaInvalid, "/data_base64", detail);
    let has_data = members.iter().any(|(name, _)| name == "data");
    let Some((name, value)) = members.iter_mut().find(|(name, _)| name == "data_base64") else {
        return Ok(());
    };
    if has_data {
        return Err(invalid("data and data_base64 exclude each other"));
    }
    let encoded: Option<String> = serde_json::from_str(value).ok();
    let decoded = encoded.and_then(|encoded| STANDARD.decode(encoded).ok());
    let decoded = decoded.ok_or_else(|| invalid("data_base64 must be a string of Base64"))?;
    let text =
        json_text(&decoded).ok_or_else(|| invalid("the bytes of data_base64 must be JSON"))?;
    *value = Cow::Owned(text.to_owned());
    "data".clone_into(name);
    Ok(())
}

/// The one JSON value that `bytes` are, without white space around it.
pub(crate) fn json_text(bytes: &[u8]) -> Option<&str> {
    serde_json::from_str::<&RawValue>(std::str::from_utf8(bytes).ok()?)
        .map(RawValue::get)
        .ok()
}

/// The members as the text of a JSON object.
pub(crate) fn written(members: &[Member<'_>]) -> String {
    let mut text = String::from("{");
    for (name, value) in members {
        if text.len() > 1 {
            text.push(',');
        }
        text.extend([quoted(name).get(), ":", value]);
    }
    text.push('}');
    text
}
