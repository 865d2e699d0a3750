//! `devtrail import activitywatch`: the buckets of editors in an export of ActivityWatch.
//!
//! The export is one object: `buckets`, by id, each with `type`, `client`, `hostname` and `events` of a `timestamp`, a
//! `duration` in seconds and `data` (<https://docs.activitywatch.net/en/latest/buckets-and-events.html>). An event that
//! lasts becomes heartbeats from its start to its end, so near to each other that the shortest timeout
//! counts all of it.

use std::collections::BTreeMap;

use anyhow::Context as _;
use jiff::tz::{Offset, TimeZone};
use runtime::process::Process;
use runtime::settings::UsageError;
use serde::de::{IgnoredAny, MapAccess};
use serde::{Deserialize, Serialize};
use serde_json::value::{RawValue, to_raw_value};
use types::developer_settings::LEAST_IDLE;
use types::id::made_of;
use types::json::shorten;
use types::time::{self, Micros, SECOND, local_day, parse_rfc3339, rfc3339};

use super::files::{self, EnvelopeParts, FileArgs, FileEvent, FileKind, FileText, Found, Take};
use super::json_stream::{self, Each, MemberReader, With};
use crate::send::source;
use crate::time_args::{DayRangeArgs, parse_zone};

/// The type of the buckets that editors' watchers fill.
const EDITOR: &str = "app.editor.activity";
/// What ActivityWatch's watchers are called before the name of what they watch.
const WATCHER: &str = "aw-watcher-";
/// The longest pause between two heartbeats of an event: the shortest timeout counts it.
const STEP: Micros = LEAST_IDLE as Micros * SECOND;
/// The longest that an event lasts, in seconds: nobody is in one file for longer.
const MOST_SECONDS: f64 = 24.0 * 3600.0;

/// Which export, and which days of it.
#[derive(Debug, clap::Args)]
pub struct ImportActivitywatchSettings {
    /// The export of all buckets or of one, as ActivityWatch's page "Raw Data" gives it; it may be compressed
    file: String,
    #[command(flatten)]
    range: DayRangeArgs,
    /// The IANA zone of local days and times [default: the developer's, else UTC: the export has no other]
    #[arg(long, value_name = "ZONE", value_parser = parse_zone)]
    zone: Option<String>,
    #[command(flatten)]
    args: FileArgs,
}

/// Runs the command.
///
/// # Errors
/// Returns an error if the file is no export of ActivityWatch, or a batch is not acknowledged.
pub async fn run(settings: ImportActivitywatchSettings, process: &Process) -> anyhow::Result<()> {
    let ImportActivitywatchSettings {
        file,
        range,
        zone,
        args,
    } = settings;
    // What a bucket is may stand behind its events: the export is read twice.
    let buckets = files::surveyed(&file, &range, survey).await?;
    let name = source::name(&file).to_owned();
    let read = move |text: FileText, take: &mut Take<'_>| {
        for left_out in buckets
            .iter()
            .filter_map(|(id, bucket)| bucket.left_out(id))
        {
            if !take(Found::LeftOut(left_out)) {
                return Ok(());
            }
        }
        let zone = zone.as_deref();
        events(text, take, &name, &buckets, zone, &range)
    };
    let kind = FileKind {
        prefix: "activitywatch",
        needs_events: true,
    };
    files::import(&file, &args, kind, process, read).await?;
    Ok(())
}

/// What an export says of a bucket.
#[derive(Debug, Default, PartialEq, Eq)]
struct Bucket {
    kind: String,
    client: String,
    hostname: String,
    events: u64,
}

impl Bucket {
    fn is_editors(&self) -> bool {
        self.kind == EDITOR
    }

    /// Why nothing of it becomes an event; `None` if its events do.
    fn left_out(&self, id: &str) -> Option<String> {
        let why = match self.kind.as_str() {
            EDITOR => return None,
            "currentwindow" => "windows do not tell of files and projects",
            "afkstatus" => "pauses follow from the times of events",
            "web.tab.current" => "tabs do not tell of files and projects",
            _ => "only editors' buckets are read",
        };
        Some(format!(
            "bucket {} of the type {}, {} events: {why}",
            shorten(id, 80),
            shorten(&self.kind, 40),
            self.events
        ))
    }

    /// The envelope's client.
    fn client(&self, zone: Option<&str>) -> serde_json::Result<String> {
        #[derive(Serialize)]
        struct Client<'a> {
            name: &'a str,
            #[serde(skip_serializing_if = "str::is_empty")]
            host_id: &'a str,
            #[serde(skip_serializing_if = "Option::is_none")]
            time_zone: Option<&'a str>,
        }
        serde_json::to_string(&Client {
            name: self.client.strip_prefix(WATCHER).unwrap_or(&self.client),
            host_id: &self.hostname,
            time_zone: zone,
        })
    }
}

/// The buckets of an export, by id.
#[derive(Default)]
struct Survey {
    buckets: BTreeMap<String, Bucket>,
}

/// The member `buckets`.
struct SurveyedBuckets<'s>(&'s mut Survey);

impl MemberReader for Survey {
    fn member<'de, A: MapAccess<'de>>(
        &mut self,
        name: &str,
        object: &mut A,
    ) -> Result<(), A::Error> {
        match name {
            "buckets" => object.next_value_seed(With(&mut SurveyedBuckets(self))),
            _ => object.next_value::<IgnoredAny>().map(drop),
        }
    }
}

impl MemberReader for SurveyedBuckets<'_> {
    fn member<'de, A: MapAccess<'de>>(
        &mut self,
        name: &str,
        object: &mut A,
    ) -> Result<(), A::Error> {
        let mut bucket = Bucket::default();
        object.next_value_seed(With(&mut bucket))?;
        self.0.buckets.insert(name.to_owned(), bucket);
        Ok(())
    }
}

impl MemberReader for Bucket {
    fn member<'de, A: MapAccess<'de>>(
        &mut self,
        name: &str,
        object: &mut A,
    ) -> Result<(), A::Error> {
        match name {
            "type" => self.kind = object.next_value::<Option<String>>()?.unwrap_or_default(),
            "client" => self.client = object.next_value::<Option<String>>()?.unwrap_or_default(),
            "hostname" => {
                self.hostname = object.next_value::<Option<String>>()?.unwrap_or_default();
            }
            "events" => {
                let mut count = |_: IgnoredAny| {
                    self.events += 1;
                    true
                };
                object.next_value_seed(With(&mut Each::new(&mut count)))?;
            }
            _ => drop(object.next_value::<IgnoredAny>()?),
        }
        Ok(())
    }
}

/// Looks through an export.
///
/// # Errors
/// Returns a [`UsageError`] if it is none, or has no editor's bucket.
fn survey(text: FileText, name: &str) -> anyhow::Result<BTreeMap<String, Bucket>> {
    let no_export = |what: &str| {
        UsageError(format!(
            "{name} is no export of ActivityWatch with an editor's bucket: {what}. Export all buckets as JSON on \
             its page \"Raw Data\", and name that file."
        ))
    };
    let mut survey = Survey::default();
    json_stream::read(text, &mut survey).map_err(|error| no_export(&error.to_string()))?;
    let buckets = survey.buckets;
    if buckets.is_empty() {
        return Err(no_export("it has no buckets").into());
    }
    if !buckets.values().any(Bucket::is_editors) {
        let kinds: Vec<&str> = buckets
            .values()
            .map(|bucket| bucket.kind.as_str())
            .collect();
        let kinds = shorten(&kinds.join(", "), 200).to_owned();
        return Err(no_export(&format!("none is of the type {EDITOR}, there are {kinds}")).into());
    }
    Ok(buckets)
}

/// An event of a bucket.
#[derive(Debug, Deserialize)]
struct Watched {
    timestamp: String,
    #[serde(default)]
    duration: f64,
    data: WatchedData,
}

/// What an editor's watcher says of it.
#[derive(Debug, Deserialize)]
struct WatchedData {
    file: Option<String>,
    project: Option<String>,
    language: Option<String>,
    branch: Option<String>,
}

/// `common/schemas/1.0/heartbeat.json`
#[derive(Serialize)]
struct Heartbeat<'a> {
    id: String,
    #[serde(rename = "type")]
    kind: &'static str,
    occurred_at: String,
    data: HeartbeatData<'a>,
}

#[derive(Serialize)]
struct HeartbeatData<'a> {
    entity: &'a str,
    entity_type: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    project: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    language: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    branch: Option<&'a str>,
}

/// A text that says something: watchers write `unknown` or nothing where they know nothing.
fn told(text: Option<&String>) -> Option<&str> {
    let text = text?.trim();
    (!text.is_empty() && !text.eq_ignore_ascii_case("unknown")).then_some(text)
}

/// The times of the heartbeats of an event: its start, its end, and between them every [`STEP`] from the start on.
///
/// An event that has grown since keeps those that it had, but for the end, which lies between two of them.
fn times(start: Micros, duration: Micros) -> impl Iterator<Item = Micros> {
    let steps = (0..).map(move |step| start + step * STEP);
    let before_end = steps.take_while(move |at| *at < start + duration);
    let end = start + duration;
    before_end.chain(std::iter::once(end))
}

/// The heartbeats of an event of this bucket.
fn heartbeats(
    bucket: &str,
    event: &RawValue,
    zone: Option<&TimeZone>,
    envelope: &EnvelopeParts,
) -> Result<Vec<FileEvent>, String> {
    let watched: Watched = serde_json::from_str(event.get()).map_err(|error| error.to_string())?;
    let start = parse_rfc3339(&watched.timestamp).and_then(|written| written.at);
    let start =
        start.ok_or_else(|| format!("its timestamp is {:?}", shorten(&watched.timestamp, 40)))?;
    if !(0.0..=MOST_SECONDS).contains(&watched.duration) {
        return Err(format!(
            "it lasts {} seconds, the bounds are 0 and {MOST_SECONDS}",
            watched.duration
        ));
    }
    let duration = (watched.duration * 1e6).round() as Micros;
    let data = &watched.data;
    let entity = told(data.file.as_ref()).ok_or("it names no file")?;
    let heartbeat = |at: Micros| {
        let data = HeartbeatData {
            entity,
            entity_type: "file",
            project: told(data.project.as_ref()),
            language: told(data.language.as_ref()),
            branch: told(data.branch.as_ref()),
        };
        let text = serde_json::to_string(&data).map_err(|error| error.to_string())?;
        let identity = [bucket, &start.to_string(), &at.to_string(), &text];
        let event = to_raw_value(&Heartbeat {
            id: made_of("activitywatch", identity.into_iter()),
            kind: "heartbeat",
            occurred_at: rfc3339(at),
            data,
        });
        Ok(FileEvent {
            envelope: envelope.clone(),
            event: event.map_err(|error| error.to_string())?,
            not_before: start,
            day: local_day(at, zone, Offset::UTC),
        })
    };
    times(start, duration).map(heartbeat).collect()
}

/// Reads the events of editors' buckets.
///
/// # Errors
/// Returns an error if the export cannot be read.
fn events(
    text: FileText,
    take: &mut Take<'_>,
    name: &str,
    buckets: &BTreeMap<String, Bucket>,
    zone: Option<&str>,
    range: &DayRangeArgs,
) -> anyhow::Result<()> {
    let mut envelopes = BTreeMap::new();
    for (id, bucket) in buckets.iter().filter(|(_, bucket)| bucket.is_editors()) {
        let parts = EnvelopeParts {
            schema_version: "1.0".to_owned(),
            client: Some(bucket.client(zone)?),
        };
        envelopes.insert(id.as_str(), parts);
    }
    let zone = zone.and_then(time::zone);
    let mut each = |bucket: &str, number: u64, event: &RawValue| {
        let Some(envelope) = envelopes.get(bucket) else {
            return true;
        };
        match heartbeats(bucket, event, zone.as_ref(), envelope) {
            Ok(events) => events
                .into_iter()
                .filter(|event| range.contains(&event.day))
                .all(|event| take(Found::Event(event))),
            Err(reason) => take(Found::PassedOver {
                what: format!("event {number} of bucket {}", shorten(bucket, 80)),
                reason: format!("makes no event: {reason}"),
            }),
        }
    };
    let mut buckets = Buckets {
        each: &mut each,
        id: None,
    };
    json_stream::read_wanted(text, &mut buckets).with_context(|| source::cannot_be_read(name))
}

/// An export, of which each event is given to a function with its bucket and number.
struct Buckets<'f, F> {
    each: &'f mut F,
    /// The bucket that is read; `None` outside of them.
    id: Option<Inside>,
}

/// Where in an export.
enum Inside {
    Buckets,
    Bucket(String),
}

impl<F: FnMut(&str, u64, &RawValue) -> bool> MemberReader for Buckets<'_, F> {
    fn member<'de, A: MapAccess<'de>>(
        &mut self,
        name: &str,
        object: &mut A,
    ) -> Result<(), A::Error> {
        let inside = match (&self.id, name) {
            (None, "buckets") => Inside::Buckets,
            (Some(Inside::Buckets), id) => Inside::Bucket(id.to_owned()),
            (Some(Inside::Bucket(id)), "events") => {
                let mut number = 0;
                let each = &mut *self.each;
                let mut numbered = |event: Box<RawValue>| {
                    number += 1;
                    each(id, number, &event)
                };
                return object.next_value_seed(With(&mut Each::new(&mut numbered)));
            }
            _ => return object.next_value::<IgnoredAny>().map(drop),
        };
        let each = &mut *self.each;
        object.next_value_seed(With(&mut Buckets {
            each,
            id: Some(inside),
        }))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::io::BufReader;

    use proptest::prelude::*;
    use serde_json::Value;

    use super::*;

    const EXPORT: &str = include_str!("../../tests/data/activitywatch-export.json");

    fn text(text: &str) -> FileText {
        BufReader::new(Box::new(std::io::Cursor::new(text.as_bytes().to_vec())))
    }

    #[test]
    fn events_of_editors_become_heartbeats_and_other_buckets_are_named() {
        let buckets = survey(text(EXPORT), "f").unwrap();
        let left_out: Vec<String> = buckets
            .iter()
            .filter_map(|(id, bucket)| bucket.left_out(id))
            .collect();
        assert!(
            left_out.len() == 2 && left_out.iter().any(|line| line.contains("currentwindow")),
            "{left_out:?}"
        );
        let (mut events, mut bad) = (Vec::new(), Vec::new());
        let mut take = |found| {
            match found {
                Found::Event(event) => events.push(event),
                Found::PassedOver { what, .. } => bad.push(what),
                Found::LeftOut(_) => {}
            }
            true
        };
        let zone = Some("Asia/Kolkata");
        let all = DayRangeArgs::default();
        super::events(text(EXPORT), &mut take, "f", &buckets, zone, &all).unwrap();
        assert_eq!(bad, ["event 3 of bucket aw-watcher-vim_laptop"]);
        let seen: Vec<(String, String)> = events
            .iter()
            .map(|event| {
                let value: Value = serde_json::from_str(event.event.get()).unwrap();
                let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
                (text(&value["occurred_at"]), text(&value["data"]["project"]))
            })
            .collect();
        let at = |time: &str, project: &str| (format!("2026-02-01T{time}Z"), project.to_owned());
        assert_eq!(
            seen,
            [
                at("20:00:00.500000", "demo"),
                at("20:01:00.500000", "demo"),
                at("20:02:00.500000", "demo"),
                at("20:02:10.500000", "demo"),
                at("21:00:00.000000", ""),
            ]
        );
        assert_eq!(events[0].day, "2026-02-02");
        assert_eq!(
            events[0].envelope.client.as_deref(),
            Some(r#"{"name":"vim","host_id":"laptop","time_zone":"Asia/Kolkata"}"#)
        );
    }

    #[test]
    fn what_is_no_export_is_refused_with_the_remedy() {
        for (export, what) in [
            ("{", "EOF"),
            ("{}", "no buckets"),
            (
                r#"{"buckets":{"w":{"type":"currentwindow","events":[]}}}"#,
                "there are currentwindow",
            ),
        ] {
            let error = survey(text(export), "f").unwrap_err();
            assert!(
                error.is::<UsageError>() && error.to_string().contains(what),
                "{export}: {error}"
            );
        }
    }

    proptest! {
        #[test]
        fn heartbeats_cover_an_event_and_stay_when_it_grows(
            start in 0_i64..4_000_000_000_000_000, duration in 0_i64..90_000_000_000, more in 0_i64..9_000_000_000
        ) {
            let all: Vec<Micros> = times(start, duration).collect();
            prop_assert_eq!((all[0], *all.last().unwrap()), (start, start + duration));
            prop_assert!(all.windows(2).all(|two| two[0] < two[1] && two[1] - two[0] <= STEP));
            let grown: BTreeSet<Micros> = times(start, duration + more).collect();
            prop_assert!(all[..all.len() - 1].iter().all(|at| grown.contains(at)));
        }
    }
}
