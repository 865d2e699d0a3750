//! The event schemas: one JSON Schema (draft 2020-12) a type and version, compiled once.
//!
//! The files under `common/schemas/` are the source; they describe whole events. A schema set
//! version such as 1.1 means, for each type, the newest file of that major up to it.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use jsonschema::Validator;
use jsonschema::error::ValidationErrorKind;
use serde_json::Value;

use crate::json::shorten;

/// Longest `detail` of a refused event, in bytes: a reply never repeats a large value.
const MAX_DETAIL: usize = 300;

macro_rules! embedded {
    ($version:literal, $kind:literal) => {
        ($version, $kind, include_str!(concat!("../schemas/", $version, "/", $kind, ".json")))
    };
}
/// Each schema file, embedded: the version's folder, the type, the text.
const FILES: &[(&str, &str, &str)] = &[
    embedded!("1.0", "ai.suggestion"),
    embedded!("1.0", "build.finished"),
    embedded!("1.0", "debug.ended"),
    embedded!("1.0", "debug.started"),
    embedded!("1.0", "diagnostics.changed"),
    embedded!("1.0", "editor.blurred"),
    embedded!("1.0", "editor.focused"),
    embedded!("1.0", "file.closed"),
    embedded!("1.0", "file.edited"),
    embedded!("1.0", "file.opened"),
    embedded!("1.0", "file.saved"),
    embedded!("1.0", "git.branch_switched"),
    embedded!("1.0", "git.commit"),
    embedded!("1.0", "git.push"),
    embedded!("1.0", "heartbeat"),
    embedded!("1.0", "session.ended"),
    embedded!("1.0", "session.started"),
    embedded!("1.0", "task.switched"),
    embedded!("1.0", "terminal.command"),
    embedded!("1.0", "test.finished"),
    embedded!("1.1", "test.finished"),
];

/// A schema version, `major.minor`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Version {
    /// Changes when old events no longer fit.
    pub major: u16,
    /// Changes when something is added.
    pub minor: u16,
}

impl FromStr for Version {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let number = |part: &str| match part.as_bytes() {
            [b'0'] => Ok(0),
            [b'1'..=b'9', rest @ ..] if rest.iter().all(u8::is_ascii_digit) => part.parse().map_err(|_| ()),
            _ => Err(()),
        };
        let (major, minor) = text.split_once('.').ok_or(())?;
        Ok(Self { major: number(major)?, minor: number(minor)? })
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.major, self.minor)
    }
}

/// One schema: the text people read, and its compiled form.
pub struct Schema {
    /// The version of the file.
    pub version: Version,
    /// The JSON Schema document.
    pub text: &'static str,
    validator: Validator,
}

/// The first place where an event does not fit its schema.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Misfit {
    /// JSON Pointer into the event.
    pub pointer: String,
    /// What is wrong, for people.
    pub detail: String,
}

impl Schema {
    /// Checks a whole event.
    ///
    /// # Errors
    /// The first misfit.
    pub fn check(&self, event: &Value) -> Result<(), Misfit> {
        self.validator.validate(event).map_err(|error| {
            let detail = match error.kind() {
                ValidationErrorKind::Minimum { limit } => {
                    format!("{} is less than {limit}", error.instance())
                }
                ValidationErrorKind::Maximum { limit } => {
                    format!("{} is greater than {limit}", error.instance())
                }
                _ => error.to_string(),
            };
            // An error names the offending value whole; a long one is cut.
            let detail = shorten(&detail, MAX_DETAIL);
            Misfit { pointer: error.instance_path().to_string(), detail }
        })
    }
}

/// What the schemas know of a type and version.
pub enum Found<'a> {
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
pub struct Schemas {
    types: BTreeMap<&'static str, Vec<Schema>>,
    versions: Vec<Version>,
}

impl Schemas {
    /// Compiles the schemas this program was built with. A few milliseconds: once a process.
    ///
    /// # Panics
    /// Never in a released build: a test compiles every file.
    #[must_use]
    pub fn builtin() -> Self {
        let mut types: BTreeMap<&'static str, Vec<Schema>> = BTreeMap::new();
        for &(version, kind, text) in FILES {
            let document: Value = serde_json::from_str(text).expect("an embedded schema is JSON");
            let validator = jsonschema::draft202012::new(&document).expect("an embedded schema compiles");
            let version = version.parse().expect("a schema folder is named by its version");
            types.entry(kind).or_default().push(Schema { version, text, validator });
        }
        types.values_mut().for_each(|schemas| schemas.sort_by_key(|schema| schema.version));
        let mut versions: Vec<Version> = types.values().flatten().map(|schema| schema.version).collect();
        versions.sort_unstable();
        versions.dedup();
        Self { types, versions }
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
    pub fn types(&self) -> impl Iterator<Item = (&'static str, &[Schema])> {
        self.types.iter().map(|(kind, schemas)| (*kind, schemas.as_slice()))
    }

    /// The schema that holds for `kind` at `version`: the newest file of the major up to it.
    #[must_use]
    pub fn get(&self, kind: &str, version: Version) -> Option<&Schema> {
        let fits = |schema: &&Schema| schema.version.major == version.major && schema.version <= version;
        self.types.get(kind)?.iter().rev().find(fits)
    }

    /// What is known of an event that calls itself `kind` in schema version `version`.
    #[must_use]
    pub fn find(&self, kind: &str, version: &str) -> Found<'_> {
        let Ok(version) = version.parse::<Version>() else { return Found::UnsupportedVersion };
        let Some(newest) = self.versions.iter().rev().find(|known| known.major == version.major) else {
            return Found::UnsupportedVersion;
        };
        match self.get(kind, version) {
            None => Found::UnknownType,
            Some(schema) if version > *newest => Found::NewerMinor(schema),
            Some(schema) => Found::Known(schema),
        }
    }
}

/// Brings the data of an older event up to the newest minor, for readers of stored events.
///
/// The stored bytes stay as they were sent. 1.0 → 1.1: `test.finished` gains `flaky`, 0.
pub fn upcast(kind: &str, from: Version, data: &mut serde_json::Map<String, Value>) {
    if kind == "test.finished" && from < (Version { major: 1, minor: 1 }) {
        data.entry("flaky").or_insert_with(|| Value::from(0));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_two_plain_numbers() {
        assert_eq!("1.10".parse(), Ok(Version { major: 1, minor: 10 }));
        for bad in ["", "1", "1.", "1.0.0", "01.0", "1.00", "+1.0", "1.x", "99999.0"] {
            assert_eq!(bad.parse::<Version>(), Err(()), "{bad}");
        }
    }

    #[test]
    fn each_version_finds_the_schema_that_decides() {
        let schemas = Schemas::builtin();
        assert_eq!(schemas.supported(), ["1.0", "1.1"]);
        let version = |found: Found<'_>| match found {
            Found::Known(schema) => format!("known {}", schema.version),
            Found::NewerMinor(schema) => format!("newer {}", schema.version),
            Found::UnknownType => "unknown type".to_owned(),
            Found::UnsupportedVersion => "unsupported".to_owned(),
        };
        assert_eq!(version(schemas.find("file.edited", "1.0")), "known 1.0");
        assert_eq!(version(schemas.find("file.edited", "1.1")), "known 1.0");
        assert_eq!(version(schemas.find("test.finished", "1.1")), "known 1.1");
        assert_eq!(version(schemas.find("test.finished", "1.0")), "known 1.0");
        assert_eq!(version(schemas.find("test.finished", "1.9")), "newer 1.1");
        assert_eq!(version(schemas.find("coffee.brewed", "1.0")), "unknown type");
        assert_eq!(version(schemas.find("test.finished", "2.0")), "unsupported");
        assert_eq!(version(schemas.find("test.finished", "latest")), "unsupported");
    }

    #[test]
    fn an_old_test_run_is_upcast_with_no_flaky_tests() {
        let mut data = serde_json::Map::new();
        upcast("test.finished", Version { major: 1, minor: 0 }, &mut data);
        assert_eq!(data["flaky"], 0);
    }
}
