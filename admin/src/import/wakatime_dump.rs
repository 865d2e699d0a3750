//! `devtrail import wakatime`: the dump of heartbeats that WakaTime gives its users.
//!
//! The dump is one object: `user` with a `timezone`, and `days` with the `heartbeats` of each
//! (<https://wakatime.com/developers#data_dumps>; muety/wakapi reads the same members). A heartbeat becomes the event
//! that the collector makes of one sent by WakaTime's own client, with the same id.

use anyhow::Context as _;
use runtime::process::Process;
use runtime::settings::UsageError;
use serde::Deserialize;
use serde::de::{DeserializeOwned, IgnoredAny, MapAccess, SeqAccess};
use serde_json::value::RawValue;
use types::event::EventHead;
use types::formats::wakatime;
use types::json::quoted;
use types::time::{self, local_day, parse_rfc3339};

use super::files::{self, EnvelopeParts, FileArgs, FileEvent, FileKind, FileText, Found, Take};
use super::json_stream::{self, Each, MemberReader, With};
use crate::send::source;
use crate::time_args::{DayRangeArgs, parse_zone};

/// Which dump, and which days of it.
#[derive(Debug, clap::Args)]
pub struct ImportWakatimeSettings {
    /// The dump of heartbeats, as wakatime.com/settings/account gives it; it may be compressed
    file: String,
    #[command(flatten)]
    range: DayRangeArgs,
    /// The IANA zone of local days and times [default: that of the dump's user]
    #[arg(long, value_name = "ZONE", value_parser = parse_zone)]
    zone: Option<String>,
    #[command(flatten)]
    args: FileArgs,
}

/// Runs the command.
///
/// # Errors
/// Returns an error if the file is no dump of heartbeats, or a batch is not acknowledged.
pub async fn run(settings: ImportWakatimeSettings, process: &Process) -> anyhow::Result<()> {
    let ImportWakatimeSettings {
        file,
        range,
        zone,
        args,
    } = settings;
    // The zone may stand behind the days: the dump is read twice, and nothing is sent of one that is damaged.
    let seen = files::surveyed(&file, &range, survey).await?;
    let name = source::name(&file).to_owned();
    let zone = zone.or_else(|| seen.zone.filter(|zone| time::zone(zone).is_some()));
    let read = move |text: FileText, take: &mut Take<'_>| {
        events(text, take, &name, zone.as_deref(), &range)
    };
    let kind = FileKind {
        prefix: "wakatime",
        needs_events: true,
    };
    files::import(&file, &args, kind, process, read).await?;
    Ok(())
}

/// What a dump says of all its heartbeats.
#[derive(Debug, Default, PartialEq, Eq)]
struct Survey {
    zone: Option<String>,
    heartbeats: u64,
    days: u64,
}

#[derive(Deserialize)]
struct User {
    timezone: Option<String>,
}

/// A dump, of which each heartbeat is given to a function as a `T`.
struct Dump<'f, T, F> {
    heartbeats: Each<'f, T, F>,
    /// The user's zone, as far as it was read.
    zone: Option<String>,
    /// How many days were read.
    days: u64,
}

/// Its days.
struct Days<'d, 'f, T, F>(&'d mut Dump<'f, T, F>);
/// One of them.
struct Day<'d, 'f, T, F>(&'d mut Each<'f, T, F>);

impl<'f, T, F: FnMut(T) -> bool> Dump<'f, T, F> {
    /// One of which nothing is read yet.
    fn new(each: &'f mut F) -> Self {
        Self {
            heartbeats: Each::new(each),
            zone: None,
            days: 0,
        }
    }
}

impl<T: DeserializeOwned, F: FnMut(T) -> bool> MemberReader for Dump<'_, T, F> {
    fn member<'de, A: MapAccess<'de>>(
        &mut self,
        name: &str,
        object: &mut A,
    ) -> Result<(), A::Error> {
        match name {
            "user" => {
                let user = object.next_value::<Option<User>>()?;
                self.zone = user.and_then(|user| user.timezone);
            }
            "days" => object.next_value_seed(With(&mut Days(self)))?,
            _ => drop(object.next_value::<IgnoredAny>()?),
        }
        Ok(())
    }
}

impl<T: DeserializeOwned, F: FnMut(T) -> bool> MemberReader for Days<'_, '_, T, F> {
    fn element<'de, A: SeqAccess<'de>>(&mut self, list: &mut A) -> Result<bool, A::Error> {
        let mut day = Day(&mut self.0.heartbeats);
        let is_one = list.next_element_seed(With(&mut day))?.is_some();
        self.0.days += u64::from(is_one);
        Ok(is_one)
    }
}

impl<T: DeserializeOwned, F: FnMut(T) -> bool> MemberReader for Day<'_, '_, T, F> {
    fn member<'de, A: MapAccess<'de>>(
        &mut self,
        name: &str,
        object: &mut A,
    ) -> Result<(), A::Error> {
        match name {
            "heartbeats" => object.next_value_seed(With(&mut *self.0)),
            _ => object.next_value::<IgnoredAny>().map(drop),
        }
    }
}

/// Looks through a dump.
///
/// # Errors
/// Returns a [`UsageError`] if it is none, or none of heartbeats.
fn survey(text: FileText, name: &str) -> anyhow::Result<Survey> {
    let mut heartbeats = 0;
    let mut count = |_: IgnoredAny| {
        heartbeats += 1;
        true
    };
    let mut dump = Dump::new(&mut count);
    json_stream::read(text, &mut dump).map_err(|error| no_dump(name, &error.to_string()))?;
    let Dump { zone, days, .. } = dump;
    if heartbeats == 0 {
        let what = match days {
            0 => "it has no days".to_owned(),
            days => format!("its {days} days have no heartbeats, as a dump of daily totals"),
        };
        return Err(no_dump(name, &what));
    }
    Ok(Survey {
        zone,
        heartbeats,
        days,
    })
}

fn no_dump(name: &str, what: &str) -> anyhow::Error {
    let text = format!(
        "{name} is no dump of heartbeats: {what}. Ask for one under \"Export\" at wakatime.com/settings/account, of \
         heartbeats, and name its JSON file."
    );
    UsageError(text).into()
}

/// Reads the heartbeats of the days as events.
///
/// # Errors
/// Returns an error if the dump cannot be read.
fn events(
    text: FileText,
    take: &mut Take<'_>,
    name: &str,
    zone: Option<&str>,
    range: &DayRangeArgs,
) -> anyhow::Result<()> {
    let client = zone.map(|zone| format!("{{\"time_zone\":{}}}", quoted(zone).get()));
    let envelope = EnvelopeParts {
        schema_version: "1.0".to_owned(),
        client,
    };
    let zone = zone.and_then(time::zone);
    let mut number = 0_u64;
    let mut each = |heartbeat: Box<RawValue>| {
        number += 1;
        match event(&heartbeat, zone.as_ref(), &envelope) {
            Ok(event) if range.contains(&event.day) => take(Found::Event(event)),
            Ok(_) => true,
            Err(reason) => take(Found::PassedOver {
                what: format!("heartbeat {number}"),
                reason: format!("makes no event: {reason}"),
            }),
        }
    };
    let mut dump = Dump::new(&mut each);
    json_stream::read_wanted(text, &mut dump).with_context(|| source::cannot_be_read(name))
}

/// The event of a heartbeat.
fn event(
    heartbeat: &RawValue,
    zone: Option<&jiff::tz::TimeZone>,
    envelope: &EnvelopeParts,
) -> Result<FileEvent, String> {
    let event = wakatime::event_of(heartbeat).map_err(|refusal| refusal.detail)?;
    let written = EventHead::parse(event.get())
        .ok()
        .and_then(|head| head.occurred_at());
    let written = written.as_deref().and_then(parse_rfc3339);
    let at = written
        .and_then(|written| written.at)
        .ok_or("it has no time")?;
    Ok(FileEvent {
        envelope: envelope.clone(),
        event,
        not_before: at,
        day: local_day(at, zone, jiff::tz::Offset::UTC),
    })
}

#[cfg(test)]
mod tests {
    use std::io::BufReader;

    use super::*;

    const DUMP: &str = include_str!("../../tests/data/wakatime-dump.json");

    fn text(text: &str) -> FileText {
        BufReader::new(Box::new(std::io::Cursor::new(text.as_bytes().to_vec())))
    }

    fn found(dump: &str, range: &DayRangeArgs) -> (Vec<(String, String)>, Vec<String>) {
        let (mut days, mut bad) = (Vec::new(), Vec::new());
        let zone = Some("Europe/Berlin");
        let mut take = |found| {
            match found {
                Found::Event(event) => days.push((event.day, event.event.get().to_owned())),
                Found::PassedOver { what, .. } => bad.push(what),
                Found::LeftOut(_) => {}
            }
            true
        };
        events(text(dump), &mut take, "f", zone, range).unwrap();
        (days, bad)
    }

    #[test]
    fn each_heartbeat_of_a_dump_is_the_event_that_a_live_one_is() {
        let seen = survey(text(DUMP), "f").unwrap();
        assert_eq!(
            (seen.zone.as_deref(), seen.days, seen.heartbeats),
            (Some("Europe/Berlin"), 2, 5)
        );
        let (events, bad) = found(DUMP, &DayRangeArgs::default());
        assert_eq!(bad, ["heartbeat 5"]);
        let days: Vec<&str> = events.iter().map(|(day, _)| day.as_str()).collect();
        assert_eq!(
            days,
            ["2024-03-30", "2024-03-30", "2024-03-31", "2024-03-31"]
        );
        let live = r#"{"entity":"/src/demo/main.rs","type":"file","category":"coding","time":1711828800.25,
            "project":"demo","branch":"main","language":"Rust","is_write":true,"lines":120}"#;
        let live = RawValue::from_string(live.to_owned()).unwrap();
        let id = |event: &str| EventHead::parse(event).unwrap().id();
        assert_eq!(
            id(&events[0].1),
            id(wakatime::event_of(&live).unwrap().get())
        );
        let (march_31, _) = found(DUMP, &DayRangeArgs::of("2024-03-31".to_owned()));
        assert_eq!(march_31.len(), 2);
    }

    #[test]
    fn what_is_no_dump_of_heartbeats_is_refused_before_anything_is_sent() {
        for (dump, what) in [
            ("{\"days\": [", "line 1 column 10"),
            ("[]", "no days"),
            ("{}", "no days"),
            (
                r#"{"days":[{"date":"2024-01-01","grand_total":{}}]}"#,
                "daily totals",
            ),
            (r#"{"days":[{"heartbeats":[{}]}]} x"#, "trailing"),
            ("7", "an object or a list"),
        ] {
            let error = survey(text(dump), "f").unwrap_err();
            assert!(
                error.is::<UsageError>() && error.to_string().contains(what),
                "{dump}: {error}"
            );
        }
    }

    #[test]
    fn nothing_more_is_read_once_nobody_wants_it() {
        let mut taken = 0;
        let mut take = |_| {
            taken += 1;
            taken < 2
        };
        events(text(DUMP), &mut take, "f", None, &DayRangeArgs::default()).unwrap();
        assert_eq!(taken, 2);
    }
}
