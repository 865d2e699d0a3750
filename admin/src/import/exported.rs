//! The lines of an export, and the events that they become. Pure.
//!
//! An event is sent as it was, so that its id and bytes are the same. Only where a fast clock was corrected, its
//! `occurred_at` is the corrected time, and [`ORIGINAL`] the one that was sent.

use jiff::Timestamp;
use serde::Deserialize;
use serde_json::value::RawValue;
use types::developer_settings::DeveloperSettings;
use types::event::EventHead;
use types::export::{EventLine, ExportCounts, FORMAT, HeaderLine, VERSION};
use types::json::{RawObject, quoted, shorten};
use types::time::{self, Micros, OffsetTime, client_zone, parse_rfc3339, rfc3339};

use super::files::{EnvelopeParts, FileEvent};

/// The member of an event for the time that it was sent with, if that was corrected.
const ORIGINAL: &str = "original_occurred_at";

/// A line of an export, as far as an import reads it.
#[derive(Debug)]
pub enum ExportedLine {
    /// Its format and version are known ones.
    Header,
    Settings(DeveloperSettings),
    Event(Box<FileEvent>),
    /// Derived from events, or not for a store.
    Other,
    End(ExportCounts),
}

/// Reads a line.
///
/// # Errors
/// Returns what is wrong with it; the sentence goes on after the line's number.
pub fn read(text: &str) -> Result<ExportedLine, String> {
    #[derive(Deserialize)]
    struct Kind {
        kind: String,
    }
    #[derive(Deserialize)]
    struct Settings {
        settings: DeveloperSettings,
    }
    #[derive(Deserialize)]
    struct End {
        counts: ExportCounts,
    }
    fn members<'a, T: Deserialize<'a>>(text: &'a str) -> Result<T, String> {
        serde_json::from_str(text).map_err(|error| format!("is no line of an export: {error}"))
    }
    let Kind { kind } = members(text)?;
    match kind.as_str() {
        "header" => {
            let header: HeaderLine = members(text)?;
            if header.format != FORMAT {
                return Err(format!(
                    "has the format {:?}, not {FORMAT:?}",
                    shorten(&header.format, 40)
                ));
            }
            if header.version > VERSION {
                return Err(format!(
                    "has version {} of the format; this program reads up to {VERSION}: take a newer one",
                    header.version
                ));
            }
            Ok(ExportedLine::Header)
        }
        "settings" => members(text).map(|Settings { settings }| ExportedLine::Settings(settings)),
        "event" => Ok(ExportedLine::Event(Box::new(event(members(text)?)?))),
        "end" => members(text).map(|End { counts }| ExportedLine::End(counts)),
        _ => Ok(ExportedLine::Other),
    }
}

/// The event of a line, and the envelope that gives it the same local day again.
fn event(line: EventLine) -> Result<FileEvent, String> {
    let time = |name: &str, text: &str| {
        let at = parse_rfc3339(text).and_then(|written| written.at);
        at.ok_or_else(|| format!("has no time in {name}: {:?}", shorten(text, 40)))
    };
    let effective = time("effective_at", &line.effective_at)?;
    let not_before = time("received_at", &line.received_at)?;
    let event = (line.event).ok_or_else(|| "has no member event".to_owned())?;
    let client = match line.client.as_deref().map(RawValue::get) {
        Some("null") => None,
        client => client,
    };
    Ok(FileEvent {
        envelope: EnvelopeParts {
            schema_version: line.schema_version,
            client: with_zone(client, line.zone.as_deref()),
        },
        event: at_its_time(event, effective)?,
        not_before,
        day: line.local_day,
    })
}

/// The client, with the zone that the developer had set if it names none itself.
fn with_zone(client: Option<&str>, zone: Option<&str>) -> Option<String> {
    let as_sent = client.map(str::to_owned);
    let names_one = client.is_some_and(|client| client_zone(client.as_bytes()).is_some());
    let Some(zone) = zone.filter(|zone| !names_one && time::zone(zone).is_some()) else {
        return as_sent;
    };
    let zone = format!("\"time_zone\":{}", quoted(zone).get());
    let Some(client) = client else {
        return Some(format!("{{{zone}}}"));
    };
    let Ok(RawObject(members)) = serde_json::from_str(client) else {
        return Some(format!("{{\"client\":{client},{zone}}}"));
    };
    let others = members
        .iter()
        .filter(|(name, _)| name != "time_zone")
        .map(|(name, value)| format!("{}:{},", quoted(name).get(), value.get()));
    Some(format!("{{{}{zone}}}", others.collect::<String>()))
}

/// The event with its effective time: as it was sent, unless that was corrected.
fn at_its_time(event: Box<RawValue>, effective: Micros) -> Result<Box<RawValue>, String> {
    let unreadable =
        |error: serde_json::Error| format!("holds an event that cannot be read: {error}");
    let written = EventHead::parse(event.get())
        .map_err(unreadable)?
        .occurred_at();
    let written = written.ok_or("holds an event without occurred_at")?;
    let time = parse_rfc3339(&written);
    let time = time.ok_or_else(|| format!("holds an event whose occurred_at is {written:?}"))?;
    if time.at == Some(effective) {
        return Ok(event);
    }
    let RawObject(members) = serde_json::from_str(event.get()).map_err(unreadable)?;
    let has_original = members.iter().any(|(name, _)| name == ORIGINAL);
    let mut texts: Vec<String> = Vec::with_capacity(members.len() + 1);
    for (name, value) in &members {
        let text = match name.as_str() {
            "occurred_at" => quoted(&as_written(effective, time)).get().to_owned(),
            _ => value.get().to_owned(),
        };
        texts.push(format!("{}:{text}", quoted(name).get()));
    }
    if !has_original {
        texts.push(format!("\"{ORIGINAL}\":{}", quoted(&written).get()));
    }
    RawValue::from_string(format!("{{{}}}", texts.join(","))).map_err(unreadable)
}

/// An instant with the offset that another one was written with.
fn as_written(at: Micros, written: OffsetTime) -> String {
    let instant = Timestamp::from_microsecond(at)
        .ok()
        .filter(|_| written.is_local);
    instant.map_or_else(
        || rfc3339(at),
        |instant| {
            let local = instant.to_zoned_datetime(written.offset.to_time_zone());
            local.strftime("%Y-%m-%dT%H:%M:%S.%6f%:z").to_string()
        },
    )
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;

    fn line(event: &Value, effective_at: &str) -> Value {
        json!({
            "kind": "event", "id": event["id"], "type": event["type"], "schema_version": "1.0",
            "effective_at": effective_at, "local_day": "2026-03-01", "zone": null, "client": null,
            "batch_id": "b1", "received_at": "2026-03-05T00:00:00.000000Z", "event": event,
        })
    }

    fn read_event(line: &Value) -> FileEvent {
        match read(&line.to_string()).unwrap() {
            ExportedLine::Event(event) => *event,
            line => panic!("{line:?}"),
        }
    }

    fn heartbeat(occurred_at: &str) -> Value {
        json!({"id": "e1", "type": "heartbeat", "occurred_at": occurred_at, "data": {"entity": "a.rs"}})
    }

    #[test]
    fn an_event_goes_out_byte_for_byte_unless_its_time_was_corrected() {
        let sent = heartbeat("2026-03-01T10:00:00+05:30");
        let same = read_event(&line(&sent, "2026-03-01T04:30:00.000000Z"));
        assert_eq!(same.event.get(), sent.to_string());
        assert_eq!((&*same.day, same.envelope.client), ("2026-03-01", None));
        let corrected = read_event(&line(&sent, "2026-03-01T04:20:00.000001Z"));
        let event: Value = serde_json::from_str(corrected.event.get()).unwrap();
        assert_eq!(event["occurred_at"], "2026-03-01T09:50:00.000001+05:30");
        assert_eq!(event[ORIGINAL], "2026-03-01T10:00:00+05:30");
        assert_eq!((&event["id"], &event["data"]), (&sent["id"], &sent["data"]));
        // Without a local clock none is made up.
        let utc = read_event(&line(
            &heartbeat("2026-03-01T10:00:00Z"),
            "2026-03-01T09:00:00.000000Z",
        ));
        assert!(
            utc.event
                .get()
                .contains(r#""occurred_at":"2026-03-01T09:00:00.000000Z""#)
        );
    }

    #[test]
    fn the_zone_that_counted_is_the_clients() {
        let zone = Some("Asia/Kolkata");
        for (client, zone, expected) in [
            (None, None, None),
            (None, zone, Some(r#"{"time_zone":"Asia/Kolkata"}"#)),
            (
                Some(r#"{"name":"vim","time_zone":"Europe/Berlin"}"#),
                zone,
                Some(r#"{"name":"vim","time_zone":"Europe/Berlin"}"#),
            ),
            (
                Some(r#"{"name":"vim","time_zone":"nowhere"}"#),
                zone,
                Some(r#"{"name":"vim","time_zone":"Asia/Kolkata"}"#),
            ),
            (
                Some(r#"{"name":"vim"}"#),
                Some("nowhere"),
                Some(r#"{"name":"vim"}"#),
            ),
            (
                Some("[1]"),
                zone,
                Some(r#"{"client":[1],"time_zone":"Asia/Kolkata"}"#),
            ),
        ] {
            assert_eq!(
                with_zone(client, zone).as_deref(),
                expected,
                "{client:?} {zone:?}"
            );
        }
    }

    #[test]
    fn what_is_no_line_of_an_export_is_named() {
        let header = |format: &str, version: u32| {
            json!({"kind": "header", "format": format, "version": version, "program": "x", "developer": "ada",
                "exported_at": ""})
            .to_string()
        };
        for (text, reason) in [
            ("{", "is no line of an export"),
            (r#"{"id":"e1"}"#, "missing field `kind`"),
            (&header("tar", 1), "\"tar\""),
            (&header("devtrail-export", 2), "take a newer one"),
            (
                &line(&json!({"id": "e1", "type": "heartbeat"}), "noon").to_string(),
                "no time in effective_at",
            ),
            (
                &line(
                    &json!({"id": "e1", "type": "heartbeat"}),
                    "2026-03-01T09:00:00Z",
                )
                .to_string(),
                "without occurred_at",
            ),
        ] {
            let error = read(text).unwrap_err();
            assert!(error.contains(reason), "{text}: {error}");
        }
        assert!(matches!(
            read(r#"{"kind":"tomorrow's"}"#),
            Ok(ExportedLine::Other)
        ));
    }

    #[test]
    fn the_example_of_the_docs_is_an_export() {
        let page = include_str!("../../../docs/export.md");
        let (_, example) = page.split_once("```ndjson\n").unwrap();
        let (example, _) = example.split_once("```").unwrap();
        let lines: Vec<ExportedLine> = example.lines().map(|line| read(line).unwrap()).collect();
        let events = lines
            .iter()
            .filter(|line| matches!(line, ExportedLine::Event(_)));
        let [
            ExportedLine::Header,
            ExportedLine::Settings(settings),
            ..,
            ExportedLine::End(counts),
        ] = &lines[..]
        else {
            panic!("{lines:?}")
        };
        assert_eq!((events.count() as u64, counts.refused), (counts.events, 1));
        assert_eq!(settings.idle_seconds, Some(300));
        for line in example.lines() {
            let kind = serde_json::from_str::<Value>(line).unwrap()["kind"].take();
            assert!(
                types::export::KINDS.contains(&kind.as_str().unwrap()),
                "{kind}"
            );
        }
        for kind in types::export::KINDS {
            assert!(
                page.contains(&format!("| `{kind}` |")),
                "{kind} is not explained"
            );
        }
    }

    proptest! {
        /// Read once more, an event is what it was: time, day and offset of its own.
        #[test]
        fn admission_finds_the_effective_time_again(
            at in 1_000_000_000_i64..2_000_000_000, ahead in 0_i64..100_000_000_000, minutes in -1439_i32..1440,
            is_utc in any::<bool>()
        ) {
            let offset = jiff::tz::Offset::from_seconds(minutes * 60).unwrap();
            let sent = at * time::SECOND + ahead;
            let written = OffsetTime { at: Some(sent), offset, is_local: !is_utc };
            let event = heartbeat(&as_written(sent, written));
            let back = read_event(&line(&event, &rfc3339(at * time::SECOND)));
            let head = EventHead::parse(back.event.get()).unwrap();
            let again = parse_rfc3339(&head.occurred_at().unwrap()).unwrap();
            prop_assert_eq!(again.at, Some(at * time::SECOND));
            prop_assert_eq!(again.is_local, !is_utc);
            if !is_utc {
                prop_assert_eq!(again.offset, offset);
            }
            let sent = event.to_string();
            prop_assert_eq!(back.event.get() == sent, ahead == 0);
        }
    }
}
