//! The event schemas, compiled once more, for values of `serde_json`.

mod compiled;
mod version;

use std::collections::BTreeMap;

use serde_json::Value;

pub(crate) use compiled::{Schema, SchemaViolation};
pub(crate) use version::Version;

/// What the schemas know of a type and version.
pub(crate) enum SchemaLookup<'a> {
    /// The schema that an event of this version must fit.
    Known(&'a Schema),
    /// A newer minor: the newest known schema of the type decides, and failing it is no fault.
    NewerMinor(&'a Schema),
    /// No schema knows the type.
    UnknownType,
    /// Another major version, or no version at all.
    UnsupportedVersion,
}

/// All schemas, by type, each type's in rising versions.
#[derive(Default)]
pub(crate) struct Schemas {
    types: BTreeMap<String, Vec<Schema>>,
    versions: Vec<Version>,
}

impl Schemas {
    /// Compiles the texts of the library's schemas.
    pub(crate) fn of(library: &types::schema::Schemas) -> Self {
        let mut schemas = Self::default();
        for (kind, list) in library.types() {
            for one in list {
                let document: Value = serde_json::from_str(&one.text).expect("a schema is JSON");
                let version = one.version.to_string().parse().expect("a version");
                let schema = Schema::compile(version, &document).expect("a schema compiles");
                schemas.add(kind, schema);
            }
        }
        schemas
    }

    fn add(&mut self, kind: &str, schema: Schema) {
        if let Err(place) = self.versions.binary_search(&schema.version) {
            self.versions.insert(place, schema.version);
        }
        let list = self.types.entry(kind.to_owned()).or_default();
        list.push(schema);
        list.sort_by_key(|schema| schema.version);
    }

    /// The schema that holds for `kind` at `version`: the newest file of the major up to it.
    fn get(&self, kind: &str, version: Version) -> Option<&Schema> {
        let fits =
            |schema: &&Schema| schema.version.major == version.major && schema.version <= version;
        self.types.get(kind)?.iter().rev().find(fits)
    }

    /// What is known of an event that calls itself `kind` in schema version `version`.
    pub(crate) fn find(&self, kind: &str, version: &str) -> SchemaLookup<'_> {
        let Ok(version) = version.parse::<Version>() else {
            return SchemaLookup::UnsupportedVersion;
        };
        let Some(newest) = self
            .versions
            .iter()
            .rev()
            .find(|known| known.major == version.major)
        else {
            return SchemaLookup::UnsupportedVersion;
        };
        match self.get(kind, version) {
            None => SchemaLookup::UnknownType,
            Some(schema) if version > *newest => SchemaLookup::NewerMinor(schema),
            Some(schema) => SchemaLookup::Known(schema),
        }
    }
}
