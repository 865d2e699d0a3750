//! `devtrail schemas check`: whether a file is a usable schema, and which verdicts admission would give these events.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::bail;
use runtime::clock;
use runtime::schema_folder;
use runtime::schema_folder::SchemaSettings;
use serde::Serialize;
use types::admission::EventValidator;
use types::batch::EventMetadata;
use types::event::EventHead;
use types::formats::{Format, ParsedEvent, Refusal};
use types::schema::{SchemaFile, Schemas, problems};
use types::time::Micros;
use types::verdict::{Code, Verdict};

use crate::output::{self, OUTPUT};
use crate::send::intake;
use crate::send::values::Piece;

/// What to check.
#[derive(Debug, clap::Args)]
#[command(after_long_help = "Examples:
  devtrail schemas check my-schemas/1.0/coffee.brewed.json
  devtrail schemas check my-schemas/1.0/coffee.brewed.json --event coffees.ndjson
  devtrail schemas check --event - --schemas my-schemas < events.ndjson")]
pub struct SchemasCheckSettings {
    /// Schema files, each DIR/<version>/<type>.json; the events are checked against them, too
    #[arg(required_unless_present = "event")]
    files: Vec<PathBuf>,
    /// A file of events, one a line, to check as admission would; - for stdin
    #[arg(long, value_name = "FILE")]
    event: Option<String>,
    /// The schema version of events that name none
    #[arg(long, default_value = "1.0", value_name = "VERSION")]
    schema_version: String,
    #[command(flatten)]
    schemas: SchemaSettings,
    /// Print JSON
    #[arg(long, help_heading = OUTPUT)]
    json: bool,
}

/// The report on one schema file.
#[derive(Debug, Serialize)]
struct CheckedFile {
    file: String,
    usable: bool,
    problems: Vec<String>,
}

/// The verdict on one event.
#[derive(Debug, Serialize)]
struct CheckedEvent {
    /// Its line, from 1.
    line: u64,
    id: Option<String>,
    verdict: Verdict,
    code: Option<Code>,
    pointer: Option<String>,
    detail: Option<String>,
}

#[derive(Debug, Serialize)]
struct Checked {
    files: Vec<CheckedFile>,
    events: Vec<CheckedEvent>,
}

/// Runs the command.
///
/// # Errors
/// Returns an error if a file is no usable schema, an event is not accepted, or one of both cannot be read.
pub fn run(settings: &SchemasCheckSettings) -> anyhow::Result<()> {
    let mut schemas = settings.schemas.load()?;
    let mut files = Vec::new();
    for path in &settings.files {
        let checked = check_file(path, &schemas, &settings.schemas);
        // The next file may be a newer version of this one.
        if let Some(file) = checked.addition {
            schemas = schemas
                .extended(&[file])
                .map_err(|found| anyhow::anyhow!(found.join("\n")))?;
        }
        files.push(checked.report);
    }
    let events = match &settings.event {
        Some(file) => check_events(
            &read_events(file)?,
            &schemas,
            &settings.schema_version,
            clock::now(),
        ),
        None => Vec::new(),
    };
    let checked = Checked { files, events };
    if settings.json {
        output::json(&checked)?;
    } else {
        print(&checked)?;
    }
    conclude(&checked)
}

/// What was found out about a file.
struct FileCheck {
    report: CheckedFile,
    /// The schema, if it is usable and not among the schemas yet.
    addition: Option<SchemaFile>,
}

fn check_file(path: &Path, schemas: &Schemas, settings: &SchemaSettings) -> FileCheck {
    let mut addition = None;
    let problems = match schema_folder::read_file(path) {
        Err(bad) => vec![bad.to_string()],
        Ok(file) => {
            let mut found = problems(file.version, &file.kind, &file.text);
            let is_there = lies_in(path, settings.schemas.as_deref());
            if !is_there && schemas.has(&file.kind, file.version) {
                found.push(file.is_known());
            }
            if !is_there && found.is_empty() {
                addition = Some(file);
            }
            found
        }
    };
    FileCheck {
        report: CheckedFile {
            file: path.display().to_string(),
            usable: problems.is_empty(),
            problems,
        },
        addition,
    }
}

/// Whether the file is one of the folder's, which are among the schemas already.
fn lies_in(path: &Path, folder: Option<&Path>) -> bool {
    let real = |path: &Path| path.canonicalize().ok();
    folder
        .and_then(real)
        .zip(real(path))
        .is_some_and(|(folder, path)| path.starts_with(folder))
}

/// Everything in the file, as `devtrail send` reads it.
fn read_events(file: &str) -> anyhow::Result<Vec<Piece>> {
    let mut all = Vec::new();
    intake::pieces(file, &Arc::default(), |pieces| {
        all.extend(pieces);
        true
    })?;
    Ok(all)
}

/// The verdict on each of them, as if all had come in one batch, received `now`.
fn check_events(
    pieces: &[Piece],
    schemas: &Schemas,
    schema_version: &str,
    now: Micros,
) -> Vec<CheckedEvent> {
    let format = Format::Ndjson;
    let validator = EventValidator {
        schemas,
        format,
        schema_version,
        skew: 0,
        received_at: now,
        zone: None,
    };
    let refused = |bytes: &'_ [u8], reason: &str| {
        let refusal = Refusal::new(Code::NotAnObject, "", reason);
        ParsedEvent::Refused(bytes.to_vec().into(), refusal)
    };
    let event = |piece: &'_ Piece| match piece {
        Piece::Value { text, .. } => match String::from_utf8(text.clone()) {
            Ok(text) => ParsedEvent::Text(text.into()),
            Err(_) => refused(text, "it is no UTF-8"),
        },
        Piece::Bad { reason, .. } => refused(&[], &format!("it {reason}")),
    };
    let events: Vec<ParsedEvent<'_>> = pieces.iter().map(event).collect();
    let one = |(piece, note): (&Piece, EventMetadata)| {
        let (Piece::Value { line, .. } | Piece::Bad { line, .. }) = piece;
        let text = match piece {
            Piece::Value { text, .. } => &text[..],
            Piece::Bad { .. } => &[],
        };
        CheckedEvent {
            line: *line,
            id: EventHead::of(text).and_then(|head| head.id()),
            verdict: note.verdict(),
            code: note.code,
            pointer: note.pointer,
            detail: note.detail,
        }
    };
    pieces
        .iter()
        .zip(validator.validate_all(&events))
        .map(one)
        .collect()
}

fn print(checked: &Checked) -> std::io::Result<()> {
    for file in &checked.files {
        output::line(format!(
            "{}: {}",
            file.file,
            if file.usable { "usable" } else { "NOT USABLE" }
        ))?;
        file.problems
            .iter()
            .try_for_each(|problem| output::line(output::plain(&format!("  {problem}"))))?;
    }
    for event in &checked.events {
        let id = event.id.as_deref().unwrap_or("without id");
        let why = [
            event.code.map(Code::as_str),
            event.pointer.as_deref(),
            event.detail.as_deref(),
        ];
        let why: Vec<&str> = why
            .into_iter()
            .flatten()
            .filter(|part| !part.is_empty())
            .collect();
        let why = if why.is_empty() {
            String::new()
        } else {
            format!(": {}", why.join(": "))
        };
        output::line(output::plain(&format!(
            "line {} {id}: {}{why}",
            event.line,
            event.verdict.as_str()
        )))?;
    }
    Ok(())
}

fn conclude(checked: &Checked) -> anyhow::Result<()> {
    let files = checked.files.iter().filter(|file| !file.usable).count();
    let events = checked
        .events
        .iter()
        .filter(|event| event.verdict != Verdict::Accepted)
        .count();
    if files > 0 {
        bail!(
            "Not usable as a schema: {files} of {}.",
            output::count(checked.files.len(), "file")
        );
    }
    anyhow::ensure!(
        events == 0,
        "Not accepted: {events} of {}.",
        output::count(checked.events.len(), "event")
    );
    Ok(())
}

#[cfg(test)]
mod tests {
    use types::time::parse_rfc3339;

    use super::*;
    use crate::send::values::Splitter;

    #[test]
    fn each_line_has_the_verdict_that_admission_would_give() {
        let event = |id: &str, rest: &str| {
            format!(
                r#"{{"id": "{id}", "type": "file.saved", "occurred_at": "2026-03-01T09:00:00Z", {rest}}}"#
            )
        };
        let good = event("e1", r#""data": {"path": "a"}"#);
        let bad = event("e2", r#""data": {}"#);
        let newer = event("e3", r#""schema_version": "9.0", "data": {"path": "a"}"#);
        let text = [&good, "", "{", &bad, &newer, &good]
            .map(str::to_owned)
            .join("\n");
        let now = parse_rfc3339("2026-03-01T09:00:00Z")
            .and_then(|written| written.at)
            .unwrap();
        let mut splitter = Splitter::default();
        splitter.feed(text.as_bytes());
        splitter.end();
        let pieces: Vec<Piece> = splitter.collect();
        let checked = check_events(&pieces, &Schemas::builtin(), "1.0", now);
        let verdicts: Vec<_> = checked
            .iter()
            .map(|event| (event.line, event.id.as_deref(), event.code))
            .collect();
        let expected = [
            (1, Some("e1"), None),
            (3, None, Some(Code::NotAnObject)),
            (4, Some("e2"), Some(Code::SchemaInvalid)),
            (5, Some("e3"), Some(Code::SchemaVersionUnsupported)),
            (6, Some("e1"), Some(Code::DuplicateId)),
        ];
        assert_eq!(verdicts, expected);
    }
}
