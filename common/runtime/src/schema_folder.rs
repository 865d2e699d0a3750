//! Schema files of the administrator's own: `DIR/<version>/<type>.json`, as under `common/schemas/`.

use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use types::schema::{SchemaFile, Schemas, Version};

use crate::settings::UsageError;
use crate::text_file;

/// Bytes of a schema file: 250 times the longest of the built-in ones. Each is kept compiled and as text.
const MAX_FILE: u64 = 1024 * 1024;

/// Schemas beside the built-in ones.
#[derive(Debug, Clone, Default, clap::Args)]
pub struct SchemaSettings {
    /// Folder of schema files of your own, DIR/<version>/<type>.json, beside the built-in ones
    #[arg(
        long,
        env = "DEVTRAIL_SCHEMAS",
        value_name = "DIR",
        help_heading = "Schemas"
    )]
    pub schemas: Option<PathBuf>,
}

/// A file or folder is wrong: a sentence with its path and the remedy.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct BadSchemaFile(String);

impl SchemaSettings {
    /// The built-in schemas and those of the folder.
    ///
    /// # Errors
    /// Returns every fault: the folder or a file cannot be read, or a file is no valid schema.
    pub fn load(&self) -> Result<Schemas, UsageError> {
        let Some(folder) = &self.schemas else {
            return Ok(Schemas::builtin());
        };
        let (files, bad) = read(folder).map_err(|bad| UsageError(format!("--schemas: {bad}")))?;
        let mut found: Vec<String> = bad.iter().map(ToString::to_string).collect();
        match Schemas::builtin().extended(&files) {
            Ok(schemas) if found.is_empty() => return Ok(schemas),
            Ok(_) => {}
            Err(more) => found.extend(more),
        }
        let count = found.len();
        Err(UsageError(format!(
            "--schemas {}: {count} faults.\n  {}",
            folder.display(),
            found.join("\n  ")
        )))
    }
}

/// Reads the schema file at `path`.
///
/// # Errors
/// Returns a sentence if it cannot be read, or its path names no version and type.
pub fn read_file(path: &Path) -> Result<SchemaFile, BadSchemaFile> {
    let (version, kind) = names(path).map_err(|wrong| at(path, &wrong))?;
    let text = read_bounded(path)?;
    Ok(SchemaFile {
        path: path.display().to_string(),
        version,
        kind,
        text,
    })
}

fn at(path: &Path, wrong: &str) -> BadSchemaFile {
    BadSchemaFile(format!("{}: {wrong}", path.display()))
}

/// A file's text. No file that waits for a writer, as a pipe does, and none beyond [`MAX_FILE`] is read.
fn read_bounded(path: &Path) -> Result<String, BadSchemaFile> {
    let failed = |error: io::Error| at(path, &unreadable(&error));
    if !path.metadata().map_err(failed)?.is_file() {
        return Err(at(
            path,
            "it is no file; put the schema itself there, or a link to it.",
        ));
    }
    let mut bytes = Vec::new();
    let mut file = std::fs::File::open(path)
        .map_err(failed)?
        .take(MAX_FILE + 1);
    let length = file.read_to_end(&mut bytes).map_err(failed)?;
    if length as u64 > MAX_FILE {
        return Err(at(
            path,
            &format!("it has more than {MAX_FILE} bytes, the limit; make it smaller."),
        ));
    }
    text_file::decode(bytes).map_err(failed)
}

fn unreadable(error: &io::Error) -> String {
    format!("it cannot be read ({error}).")
}

/// The version and type that a path names.
fn names(path: &Path) -> Result<(Version, String), String> {
    let folder = path
        .parent()
        .and_then(Path::file_name)
        .and_then(|name| name.to_str())
        .unwrap_or_default();
    let version = folder.parse().map_err(|()| {
        format!(
            "a schema lies in a folder named by its version, such as 1.0, not {folder:?}; move it into one."
        )
    })?;
    let name = path
        .file_name()
        .and_then(|name| name.to_str())
        .unwrap_or_default();
    let kind = name
        .strip_suffix(".json")
        .filter(|kind| is_type(kind))
        .ok_or_else(|| {
            format!(
                "a schema is named by its type, such as coffee.brewed.json, of letters, digits, \
             '.', '_' and '-', not {name:?}; rename it."
            )
        })?;
    Ok((version, kind.to_owned()))
}

/// Whether a file may be named so: a type is any string, but a path's parts must stay in their folder.
fn is_type(kind: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    (1..=64).contains(&kind.len()) && !kind.starts_with('.') && kind.bytes().all(plain)
}

/// Every schema file of the folder, by path, and what is wrong with those that cannot be read. Whatever
/// starts with a dot, or is no `.json`, is ignored.
fn read(folder: &Path) -> Result<(Vec<SchemaFile>, Vec<BadSchemaFile>), BadSchemaFile> {
    let mut files = Vec::new();
    let mut bad = Vec::new();
    for entry in entries(folder)? {
        // A file that lies in no version's folder is read as well, to say in which it should be.
        let paths = if entry.is_dir() {
            entries(&entry)?
        } else {
            vec![entry]
        };
        for path in paths.iter().filter(|path| is_json(path)) {
            match read_file(path) {
                Ok(file) => files.push(file),
                Err(wrong) => bad.push(wrong),
            }
        }
    }
    if files.is_empty() && bad.is_empty() {
        return Err(at(
            folder,
            "there is no schema in it; put them there as <version>/<type>.json, such as 1.0/coffee.brewed.json.",
        ));
    }
    Ok((files, bad))
}

fn is_json(path: &Path) -> bool {
    path.extension()
        .is_some_and(|extension| extension == "json")
}

fn entries(folder: &Path) -> Result<Vec<PathBuf>, BadSchemaFile> {
    let read = || {
        let mut paths = Vec::new();
        for entry in std::fs::read_dir(folder)? {
            let entry = entry?;
            if !entry.file_name().as_encoded_bytes().starts_with(b".") {
                paths.push(entry.path());
            }
        }
        paths.sort();
        Ok(paths)
    };
    read().map_err(|error: io::Error| at(folder, &unreadable(&error)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use types::schema::SchemaLookup;

    const COFFEE: &str = r#"{"type": "object", "required": ["id", "type", "occurred_at"],
        "properties": {"type": {"const": "coffee.brewed"}}}"#;

    fn folder(files: &[(&str, &str)]) -> (tempfile::TempDir, SchemaSettings) {
        let folder = tempfile::tempdir().unwrap();
        for (path, text) in files {
            let path = folder.path().join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        }
        let settings = SchemaSettings {
            schemas: Some(folder.path().to_owned()),
        };
        (folder, settings)
    }

    #[test]
    fn a_folder_adds_types_and_versions_to_the_built_in_ones() {
        let test = COFFEE.replace("coffee.brewed", "test.finished");
        let files = [
            ("1.0/coffee.brewed.json", COFFEE),
            ("1.2/test.finished.json", &test),
            ("2.0/test.finished.json", &test),
            ("README.md", "no schema"),
            (".git/x.json", "{"),
        ];
        let (_kept, settings) = folder(&files);
        let schemas = settings.load().unwrap();
        assert_eq!(schemas.supported(), ["1.0", "1.1", "1.2", "2.0"]);
        assert!(matches!(
            schemas.find("coffee.brewed", "1.1"),
            SchemaLookup::Known(_)
        ));
        let known = |version: &str| match schemas.find("test.finished", version) {
            SchemaLookup::Known(schema) => schema.version.to_string(),
            _ => panic!("{version} is not known"),
        };
        assert_eq!(["1.1", "1.2", "2.0"].map(known), ["1.1", "1.2", "2.0"]);
        assert!(matches!(
            schemas.find("coffee.brewed", "1.3"),
            SchemaLookup::NewerMinor(_)
        ));
        assert!(matches!(
            schemas.find("coffee.brewed", "2.0"),
            SchemaLookup::UnknownType
        ));
    }

    #[test]
    fn every_fault_is_named_by_its_file() {
        let refusal = |files: &[(&str, &str)]| folder(files).1.load().map(|_| ()).unwrap_err().0;
        assert!(refusal(&[]).contains("there is no schema in it"));
        assert!(refusal(&[("coffee.brewed.json", COFFEE)]).contains("folder named by its version"));
        assert!(refusal(&[("v1/coffee.brewed.json", COFFEE)]).contains("not \"v1\""));
        assert!(refusal(&[("1.0/coffee brewed.json", COFFEE)]).contains("rename it"));
        let built_in = COFFEE.replace("coffee.brewed", "heartbeat");
        let all = refusal(&[
            ("1.0/heartbeat.json", &built_in),
            ("1.0/tea.brewed.json", COFFEE),
            ("v1/coffee.brewed.json", COFFEE),
            ("coffee.brewed.json", COFFEE),
        ]);
        for part in [
            "4 faults",
            "not \"v1\"",
            "folder named by its version, such as 1.0, not",
            "1.0/heartbeat.json: version 1.0 of heartbeat is known",
            "tea.brewed.json: /properties",
        ] {
            assert!(all.contains(part), "{part}: {all}");
        }
        let long = format!("{}{}", " ".repeat(MAX_FILE as usize), COFFEE);
        assert!(refusal(&[("1.0/coffee.brewed.json", &long)]).contains("1048576 bytes, the limit"));
        assert!(refusal(&[("1.0/coffee.brewed.json/x", "")]).contains("it is no file"));
        let gone = SchemaSettings {
            schemas: Some("nowhere".into()),
        };
        assert!(
            gone.load()
                .map(|_| ())
                .unwrap_err()
                .0
                .contains("nowhere: it cannot be read")
        );
    }
}
