//! The event schemas: one JSON Schema (draft 2020-12) a type and version, compiled once.
//!
//! The files under `common/schemas/` are the source, files of the administrator's own are added to
//! them; they describe whole events. A schema set version such as 1.1 means, for each type, the
//! newest file of that major up to it.

mod builtin;
mod compiled;
mod definition;
mod representation;
mod version;

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde_json::{Map, Value};

pub use compiled::{Schema, SchemaViolation};
pub use definition::problems;
pub use version::Version;

/// A schema file, named by its path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SchemaFile {
    /// The path, as messages name it.
    pub path: String,
    /// The version its folder is named by.
    pub version: Version,
    /// The type it is named by.
    pub kind: String,
    /// What is in it.
    pub text: String,
}

impl SchemaFile {
    /// Says that the type and version are known from elsewhere.
    #[must_use]
    pub fn is_known(&self) -> String {
        let Self { version, kind, .. } = self;
        format!(
            "version {version} of {kind} is known already, and a version never changes. Give the file a newer version, \
             or remove it."
        )
    }
}

/// What the schemas know of a type and version.
pub enum SchemaLookup<'a> {
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
pub struct Schemas {
    types: BTreeMap<String, Vec<Schema>>,
    versions: Vec<Version>,
}

impl Schemas {
    /// Compiles the schemas this program was built with. A few milliseconds: once a process.
    ///
    /// # Panics
    /// Never in a released build: a test compiles every file.
    #[must_use]
    pub fn builtin() -> Self {
        let mut schemas = Self::default();
        for &(version, kind, text) in builtin::FILES {
            let document: Value = serde_json::from_str(text).expect("an embedded schema is JSON");
            let version = version
                .parse()
                .expect("a schema folder is named by its version");
            let schema = Schema::compile(version, Cow::Borrowed(text), &document);
            schemas.add(kind, schema.expect("an embedded schema compiles"));
        }
        schemas
    }

    /// These schemas and those of `files`.
    ///
    /// # Errors
    /// Returns a sentence for each fault of a file: it is not a usable schema (see
    /// [`problems`]), or its type and version are known already. Two truths for one version
    /// would make a verdict depend on who validates.
    pub fn extended(mut self, files: &[SchemaFile]) -> Result<Self, Vec<String>> {
        let mut found = Vec::new();
        for file in files {
            let SchemaFile {
                path,
                version,
                kind,
                text,
            } = file;
            let wrong = problems(*version, kind, text);
            if self.has(kind, *version) {
                found.push(format!("{path}: {}", file.is_known()));
            } else if wrong.is_empty() {
                let document: Value = serde_json::from_str(text).unwrap_or_default();
                match Schema::compile(*version, Cow::Owned(text.clone()), &document) {
                    Ok(schema) => self.add(kind, schema),
                    Err(error) => found.push(format!("{path}: {error}")),
                }
            }
            found.extend(wrong.into_iter().map(|wrong| format!("{path}: {wrong}")));
        }
        if found.is_empty() {
            Ok(self)
        } else {
            Err(found)
        }
    }

    fn add(&mut self, kind: &str, schema: Schema) {
        if let Err(place) = self.versions.binary_search(&schema.version) {
            self.versions.insert(place, schema.version);
        }
        let list = self.types.entry(kind.to_owned()).or_default();
        list.push(schema);
        list.sort_by_key(|schema| schema.version);
    }

    /// Whether there is a file of exactly this type and version.
    #[must_use]
    pub fn has(&self, kind: &str, version: Version) -> bool {
        self.types
            .get(kind)
            .is_some_and(|known| known.iter().any(|one| one.version == version))
    }

    /// The supported versions, rising.
    #[must_use]
    pub fn versions(&self) -> &[Version] {
        &self.versions
    }

    /// The supported versions as text, as replies list them.
    #[must_use]
    pub fn supported(&self) -> Vec<String> {
        self.versions.iter().map(Version::to_string).collect()
    }

    /// Every type with its schemas, sorted.
    pub fn types(&self) -> impl Iterator<Item = (&str, &[Schema])> {
        self.types
            .iter()
            .map(|(kind, schemas)| (kind.as_str(), schemas.as_slice()))
    }

    /// The schema that holds for `kind` at `version`: the newest file of the major up to it.
    #[must_use]
    pub fn get(&self, kind: &str, version: Version) -> Option<&Schema> {
        let fits =
            |schema: &&Schema| schema.version.major == version.major && schema.version <= version;
        self.types.get(kind)?.iter().rev().find(fits)
    }

    /// What is known of an event that calls itself `kind` in schema version `version`.
    #[must_use]
    pub fn find(&self, kind: &str, version: &str) -> SchemaLookup<'_> {
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

/// The data of an older event as the newest minor has it, for readers of stored events.
///
/// The stored bytes stay as they were sent. 1.0 → 1.1: `test.finished` gains `flaky`, 0.
#[must_use]
pub fn upcast<'d>(
    kind: &str,
    from: Version,
    data: &'d Map<String, Value>,
) -> Cow<'d, Map<String, Value>> {
    let gains_flaky = kind == "test.finished" && from < (Version { major: 1, minor: 1 });
    if !gains_flaky || data.contains_key("flaky") {
        return Cow::Borrowed(data);
    }
    let mut data = data.clone();
    data.insert("flaky".to_owned(), Value::from(0));
    Cow::Owned(data)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_version_finds_the_schema_that_decides() {
        let schemas = Schemas::builtin();
        assert_eq!(schemas.supported(), ["1.0", "1.1"]);
        let version = |found: SchemaLookup<'_>| match found {
            SchemaLookup::Known(schema) => format!("known {}", schema.version),
            SchemaLookup::NewerMinor(schema) => format!("newer {}", schema.version),
            SchemaLookup::UnknownType => "unknown type".to_owned(),
            SchemaLookup::UnsupportedVersion => "unsupported".to_owned(),
        };
        assert_eq!(version(schemas.find("file.edited", "1.0")), "known 1.0");
        assert_eq!(version(schemas.find("file.edited", "1.1")), "known 1.0");
        assert_eq!(version(schemas.find("test.finished", "1.1")), "known 1.1");
        assert_eq!(version(schemas.find("test.finished", "1.0")), "known 1.0");
        assert_eq!(version(schemas.find("test.finished", "1.9")), "newer 1.1");
        assert_eq!(
            version(schemas.find("coffee.brewed", "1.0")),
            "unknown type"
        );
        assert_eq!(version(schemas.find("test.finished", "2.0")), "unsupported");
        assert_eq!(
            version(schemas.find("test.finished", "latest")),
            "unsupported"
        );
    }

    #[test]
    fn an_old_test_run_is_upcast_with_no_flaky_tests() {
        let data = Map::new();
        let old = Version { major: 1, minor: 0 };
        assert_eq!(upcast("test.finished", old, &data)["flaky"], 0);
        assert_eq!(*upcast("file.saved", old, &data), data);
    }
}
