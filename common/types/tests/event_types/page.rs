//! The page: schemas in, Markdown out. A keyword it does not know is an error, so that no rule of a schema
//! is left out of the page.

use std::fmt;
use std::marker::PhantomData;

use serde::de::{Deserializer, MapAccess, Visitor};
use serde::{Deserialize, de::IgnoredAny};
use serde_json::value::RawValue;
use types::schema::{Schema, Schemas};

/// The type whose `data` has only what every `data` may have.
const PLAIN: &str = "editor.focused";

/// The largest integer that every JSON reader keeps exactly: 2^53 - 1 (RFC 8259, section 6).
const MAX_SAFE: i64 = 9_007_199_254_740_991;

/// What the page needs of a schema file.
#[derive(Deserialize)]
pub struct Document {
    title: String,
    description: String,
    #[serde(default)]
    required: Vec<String>,
    properties: Properties,
    /// Whole events, as they are written in the file.
    pub examples: Vec<Box<RawValue>>,
}

#[derive(Deserialize)]
struct Properties {
    data: Data,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Data {
    #[serde(rename = "description", default)]
    _description: IgnoredAny,
    #[serde(rename = "type", default)]
    _kind: IgnoredAny,
    #[serde(default)]
    required: Vec<String>,
    properties: InOrder<Member>,
}

#[derive(Deserialize, PartialEq)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Member {
    #[serde(default)]
    description: String,
    #[serde(rename = "type")]
    kind: String,
    r#enum: Option<Vec<String>>,
    minimum: Option<i64>,
    maximum: Option<i64>,
    min_length: Option<u32>,
    max_length: Option<u32>,
    items: Option<Box<Member>>,
}

/// The members of an object in the order of the file, which a map would lose.
struct InOrder<T>(Vec<(String, T)>);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for InOrder<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Members<T>(PhantomData<T>);
        impl<'de, T: Deserialize<'de>> Visitor<'de> for Members<T> {
            type Value = InOrder<T>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut members = Vec::new();
                while let Some(member) = map.next_entry()? {
                    members.push(member);
                }
                Ok(InOrder(members))
            }
        }
        deserializer.deserialize_map(Members(PhantomData))
    }
}

impl Document {
    /// Reads a schema's text.
    ///
    /// # Panics
    /// Fails if it lacks a title, description or examples, or uses a keyword that the page cannot say.
    pub fn of(schema: &Schema) -> Self {
        let error = |error| panic!("{} of version {}: {error}", schema.text, schema.version);
        serde_json::from_str(&schema.text).unwrap_or_else(error)
    }
}

/// The whole page. `how` renews it.
pub fn render(schemas: &Schemas, how: &str) -> String {
    let types: Vec<(&str, &[Schema])> = schemas.types().collect();
    let plain = types
        .iter()
        .find(|(kind, _)| *kind == PLAIN)
        .expect("the plain type is known");
    let plain = newest(plain.1);
    let mut page = format!(
        "<!-- Made from common/schemas/. Do not edit; renew it with: {how} -->\n\n{HEAD}\n"
    );
    page += &table(&plain.properties.data, |_| true);
    page += "\n## The types\n\n";
    for (kind, files) in &types {
        let anchor = kind.replace('.', "");
        page += &format!("- [`{kind}`](#{anchor}): {}\n", newest(files).title);
    }
    for (kind, files) in &types {
        page += &section(kind, files, &plain.properties.data);
    }
    page
}

const HEAD: &str = "\
# Event types

An event is a JSON object with `id`, `type`, `occurred_at` and, by its type, `data`
([what holds for all of them](contract.md#post-v1events)).
`GET /v1/schemas/{version}/{type}` gives the JSON Schema that decides.
`devtrail schemas list` lists the types.
Each example below is a whole event: save it as `event.json` and send it with `devtrail send event.json`.

## What every `data` may have

Unknown members are kept, here and everywhere.
None of these is required, unless a type says so.
";

fn newest(files: &[Schema]) -> Document {
    Document::of(files.last().expect("a type has a schema"))
}

/// One type: what it means, since when, its members, an example.
fn section(kind: &str, files: &[Schema], plain: &Data) -> String {
    let document = newest(files);
    let data = &document.properties.data;
    let own = |one: &(String, Member)| {
        data.required.contains(&one.0) || !plain.properties.0.contains(one)
    };
    let mut text = format!(
        "\n## `{kind}`\n\n{} {}\n\n{}",
        document.title,
        document.description,
        since(files)
    );
    if !document.required.iter().any(|name| name == "data") {
        text += " `data` may be left out.";
    }
    text += "\n";
    if data.properties.0.iter().any(own) {
        text += &format!("\n{}", table(data, own));
    }
    let example = document.examples[0].get().replace("\n    ", "\n");
    text + &format!("\n```json\n{example}\n```\n")
}

/// The first version of a type, and what later ones added.
fn since(files: &[Schema]) -> String {
    let mut text = format!("Since version {}.", files[0].version);
    for pair in files.windows(2) {
        let [old, new] =
            [&pair[0], &pair[1]].map(|schema| Document::of(schema).properties.data.properties.0);
        let known = |name: &String| old.iter().any(|(known, _)| known == name);
        let added = new.iter().map(|(name, _)| name).filter(|name| !known(name));
        let added: Vec<String> = added.map(|name| format!("`{name}`")).collect();
        text += &format!(" Version {} adds {}.", pair[1].version, added.join(", "));
    }
    text
}

/// A row for each member of `data` that is `wanted`.
fn table(data: &Data, wanted: impl Fn(&(String, Member)) -> bool) -> String {
    let mut text =
        "| member | type | bounds | required | what it says |\n|---|---|---|---|---|\n".to_owned();
    for (name, member) in data.properties.0.iter().filter(|one| wanted(one)) {
        let required = if data.required.contains(name) {
            "yes"
        } else {
            ""
        };
        let kind = member.kind();
        let bounds = member.bounds();
        let says = &member.description;
        assert!(!says.is_empty(), "{name} has no description");
        text += &format!("| `{name}` | {kind} | {bounds} | {required} | {says} |\n");
    }
    text
}

impl Member {
    fn kind(&self) -> String {
        self.items.as_ref().map_or_else(
            || self.kind.clone(),
            |item| format!("array of {}s", item.kind()),
        )
    }

    fn bounds(&self) -> String {
        if let Some(item) = &self.items {
            return format!("each {}", item.bounds());
        }
        if let Some(words) = &self.r#enum {
            return words
                .iter()
                .map(|word| format!("`{word}`"))
                .collect::<Vec<_>>()
                .join(", ");
        }
        let number = |value: i64| match value {
            MAX_SAFE => "2^53 - 1".to_owned(),
            value if value == -MAX_SAFE => "-(2^53 - 1)".to_owned(),
            value => value.to_string(),
        };
        match (self.minimum, self.maximum, self.min_length, self.max_length) {
            (None, None, None, None) => String::new(),
            (Some(from), Some(to), None, None) => format!("{} to {}", number(from), number(to)),
            (None, None, None, Some(to)) => format!("up to {to} characters"),
            (None, None, Some(from), Some(to)) => format!("{from} to {to} characters"),
            _ => panic!(
                "the page has no words for the bounds of: {}",
                self.description
            ),
        }
    }
}
